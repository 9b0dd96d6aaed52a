//! `ccrun resume`.

use std::path::Path;

use ccrun_kernel::journal::{Journal, RunFilter, RunRow, RunStatus, StepRow, StepStatus};
use ccrun_kernel::rhai::Map;
use ccrun_kernel::run::{self, OnChanged, RunId};
use ccrun_kernel::runbook::{self, Runbook, step_bodies};
use ccrun_kernel::{Error, Result};

use super::execute::not_resumable;
use crate::app::{App, Source};
use crate::cli::{Changed, Resume};
use crate::render;

/// Go on with a run where it stopped.
pub fn resume(app: &App, args: &Resume) -> Result<u8> {
    let journal = app
        .journal_if_any()?
        .ok_or_else(|| Error::new("journal.run_not_found", "no runs are recorded here yet"))?
        .clone();
    let row = find(app, &journal, args.run.as_deref())?;
    let anew = args.fork || args.from.is_some();
    match row.status {
        RunStatus::Running => {
            return Err(Error::new(
                "journal.run_active",
                format!(
                    "run {} is running, as process {} on {}",
                    row.id, row.process.pid, row.process.host
                ),
            ));
        }
        RunStatus::Done if !anew => {
            return Err(not_resumable(&row.id, "it is done")
                .hint("`--from STEP` runs a step and what follows again, in a new run"));
        }
        _ if row.mode == "dry_run" => return Err(not_resumable(&row.id, "it was a dry run")),
        _ => {}
    }
    let runbook = runbook::load(Path::new(&row.runbook))?;
    let params = kept_params(app, &row)?;
    let mut earlier = app.block_on(run::earlier_attempts(&journal, &row.id))?;
    earlier.from.clone_from(&args.from);
    earlier.on_changed = match args.changed {
        Some(Changed::Rerun) => OnChanged::Rerun,
        Some(Changed::Keep) => OnChanged::Reuse,
        None => OnChanged::Ask,
    };
    announce(app, &journal, &row, &runbook)?;

    let mut source = Source::runbook(runbook, params);
    source.resume = earlier;
    source.lock_wait = app.duration(args.lock_wait.as_deref())?;
    if anew {
        source.parent = Some(row.id.clone());
    } else {
        source.id = RunId::known(&row.id);
        source.goes_on = true;
    }
    let mut common = app.common.clone();
    if common.target.is_none() {
        common.target.clone_from(&row.target);
    }
    let prepared = app.with(common)?.prepare(source)?;
    run::on_script_thread(|| prepared.execute(app))?
}

fn find(app: &App, journal: &Journal, prefix: Option<&str>) -> Result<RunRow> {
    if let Some(prefix) = prefix {
        return app.block_on(journal.run(prefix));
    }
    let runs = app.block_on(journal.runs(&RunFilter::default()))?;
    runs.into_iter()
        .find(|run| {
            matches!(run.status, RunStatus::Failed | RunStatus::Interrupted)
                && run.mode != "dry_run"
        })
        .ok_or_else(|| {
            Error::new("journal.run_not_found", "no run stopped half-way")
                .hint("`ccrun history` lists them")
        })
}

/// Say what will be reused, what changed and what is new, as far as the text tells.
fn announce(app: &App, journal: &Journal, row: &RunRow, runbook: &Runbook) -> Result<()> {
    let steps = app.block_on(journal.steps(&row.id))?;
    let last_part = |step: &StepRow| -> String {
        step.key
            .path
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    let done = |name: &str| {
        let done = steps.iter().filter(|step| step.status == StepStatus::Done);
        done.filter(|step| last_part(step) == name).count()
    };
    let known = |name: &str| steps.iter().any(|step| last_part(step) == name);
    let (mut reused, mut changed, mut new) = (0, 0, 0);
    let old = app.block_on(journal.source(&row.id))?;
    let old: Vec<_> = step_bodies(&old);
    let bodies = step_bodies(&runbook.source);
    // Steps whose names are made up as they run are known by their code.
    let done_with = |hash: &str| {
        let done = steps.iter().filter(|step| step.status == StepStatus::Done);
        done.filter(|step| step.body == hash).count()
    };
    let is_gone = |hash: &str| !bodies.iter().any(|body| body.hash == hash);
    let old_changed = old.iter().any(|o| o.name.is_none() && is_gone(&o.hash));
    for body in &bodies {
        let same_text = old
            .iter()
            .any(|o| o.name == body.name && o.hash == body.hash);
        let Some(name) = &body.name else {
            match (same_text, old_changed) {
                (true, _) => reused += done_with(&body.hash),
                (false, true) => changed += 1,
                (false, false) => new += 1,
            }
            continue;
        };
        match (known(name), same_text, done(name)) {
            (true, true, count) if count > 0 => reused += count,
            (true, true, _) => {}
            (true, false, _) => changed += 1,
            (false, ..) => new += 1,
        }
    }
    render::remark(&format!(
        "resuming run {}: {reused} reused, {changed} changed, {new} new",
        row.id.get(..4).unwrap_or(&row.id)
    ));
    if changed > 0 && !app.common.yes && !confirmed()? {
        return Err(Error::new("refused", "the run was not resumed"));
    }
    Ok(())
}

/// An edited runbook is gone on with only after a look, where somebody can look.
fn confirmed() -> Result<bool> {
    use ccrun_kernel::prompt::{Question, QuestionKind};
    let Some(prompter) = crate::prompt::TerminalPrompter::if_interactive(None) else {
        return Ok(true);
    };
    let question = Question {
        text: "go on?".to_owned(),
        kind: QuestionKind::Confirm,
        default: Some("yes".to_owned()),
        details: None,
    };
    Ok(prompter.ask(&question)? == "yes")
}

/// The parameters as the run had them; secrets are looked up again.
fn kept_params(app: &App, row: &RunRow) -> Result<Map> {
    let value = ccrun_kernel::value::unkeep(&row.params)?;
    let mut params = value.try_cast::<Map>().unwrap_or_default();
    super::params::restore_secrets(app, row.target.as_deref(), &mut params)?;
    Ok(params)
}
