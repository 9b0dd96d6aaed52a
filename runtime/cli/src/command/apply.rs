//! `ccrun apply`.

use std::path::Path;

use ccrun_kernel::rhai::Map;
use ccrun_kernel::run;
use ccrun_kernel::runbook;
use ccrun_kernel::{Error, Result};

use super::plan::{self, FORMAT, SavedPlan};
use crate::app::{App, Source};
use crate::render;

/// Carry out a saved plan, unless the world has changed since: the runbook is planned again, and
/// must come to the same changes from the same reads.
pub fn apply(app: &App, file: &Path) -> Result<u8> {
    let saved = read(file)?;
    let mut common = app.common.clone();
    common.target = Some(saved.target.clone());
    let app = app.with(common)?;

    let runbook = runbook::load(Path::new(&saved.runbook))?;
    if runbook.source != saved.source {
        return Err(drift(format!(
            "{} was edited after the plan was made",
            saved.runbook
        )));
    }
    let value = ccrun_kernel::value::unkeep(&saved.params)?;
    let mut params = value.try_cast::<Map>().unwrap_or_default();
    super::params::restore_secrets(&app, Some(&saved.target), &mut params)?;

    render::remark("looking whether the world is as it was when the plan was made");
    let mut source = Source::runbook(runbook.clone(), params.clone());
    source.journaled = false;
    let (status, now) = plan::make(&app.dry()?, source, false)?;
    if status != 0 {
        return Err(drift("the runbook can't be planned any more".to_owned()));
    }
    if let Some(difference) = difference(&saved, &now) {
        return Err(drift(difference));
    }
    let prepared = app.prepare(Source::runbook(runbook, params))?;
    run::on_script_thread(|| prepared.execute(&app))?
}

fn read(file: &Path) -> Result<SavedPlan> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        Error::new(
            "plan.unreadable",
            format!("can't read the plan {}: {error}", file.display()),
        )
        .hint("`ccrun plan FILE -o PLAN` makes one")
    })?;
    let not_a_plan = |why: String| {
        Error::new("usage", format!("{} is not a plan: {why}", file.display()))
            .hint("`ccrun plan FILE -o PLAN` makes one")
    };
    let value: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| not_a_plan(error.to_string()))?;
    match value["format"].as_u64() {
        Some(format) if format == u64::from(FORMAT) => {}
        Some(format) => {
            return Err(not_a_plan(format!(
                "its format is {format}, this ccrun knows {FORMAT}"
            )));
        }
        None => return Err(not_a_plan("it does not say its format".to_owned())),
    }
    serde_json::from_value(value).map_err(|error| not_a_plan(error.to_string()))
}

/// What is no longer as it was, in words.
fn difference(saved: &SavedPlan, now: &SavedPlan) -> Option<String> {
    for (then, now) in saved.reads.iter().zip(&now.reads) {
        if then != now {
            return Some(format!(
                "{} {} no longer answers the same",
                then.primitive, then.args
            ));
        }
    }
    if saved.reads.len() != now.reads.len() {
        return Some("the runbook reads other things than it did".to_owned());
    }
    let text = |plan: &SavedPlan| -> Vec<String> {
        plan.real_changes()
            .map(|c| format!("{} {} {:?}", c.primitive, c.args, c.preview))
            .collect()
    };
    (text(saved) != text(now)).then(|| "it would make other changes than planned".to_owned())
}

fn drift(why: String) -> Error {
    Error::new("plan.drift", format!("the plan no longer holds: {why}"))
        .hint("nothing was changed; make a new plan and look at it: `ccrun plan FILE -o PLAN`")
}
