//! `ccrun show`.

use std::time::Duration;

use ccrun_kernel::journal::{EffectRow, RunFilter, RunRow, StepRow};
use ccrun_kernel::{Error, Result};
use console::style;

use crate::app::App;
use crate::cli::Output;
use crate::render::{self, table, time};

/// Show one run; the last one without a name.
pub fn show(app: &App, run: Option<&str>, with_events: bool) -> Result<u8> {
    let journal = app.journal_if_any()?.ok_or_else(no_runs)?;
    let row = match run {
        Some(prefix) => app.block_on(journal.run(prefix))?,
        None => app
            .block_on(journal.runs(&RunFilter {
                limit: Some(1),
                ..RunFilter::default()
            }))?
            .pop()
            .ok_or_else(no_runs)?,
    };
    let steps = app.block_on(journal.steps(&row.id))?;
    let effects = app.block_on(journal.effects(&row.id))?;
    let events = app.block_on(journal.events(&row.id))?;
    if app.common.output == Output::Json {
        let mut document = super::history::as_json(&row);
        document["steps"] = steps.iter().map(step_json).collect();
        document["effects"] = effects.iter().map(effect_json).collect();
        document["events"] = events.into();
        render::json::document(&document);
        return Ok(0);
    }
    head(&row);
    if !steps.is_empty() {
        let rows = steps.iter().map(|step| {
            vec![
                mark(step.status.as_str()),
                step.key.path.clone(),
                step.elapsed.map(time::elapsed).unwrap_or_default(),
                step.error
                    .as_ref()
                    .and_then(|e| e["message"].as_str())
                    .unwrap_or_default()
                    .to_owned(),
            ]
        });
        render::result(&format!(
            "\n{}",
            table::table(&["", "step", "took", ""], rows)
        ));
    }
    let changes: Vec<_> = effects
        .iter()
        .filter(|effect| effect.effect == "change")
        .collect();
    if !changes.is_empty() {
        let rows = changes.iter().map(|effect| {
            vec![
                effect.primitive.clone(),
                effect.args.clone(),
                effect.outcome.clone(),
                time::elapsed(effect.elapsed),
                effect.step.clone().unwrap_or_default(),
            ]
        });
        render::result(&format!(
            "\n{}",
            table::table(&["change", "arguments", "outcome", "took", "step"], rows)
        ));
    }
    let reads = effects.len() - changes.len();
    if reads > 0 {
        render::result(&format!(
            "\n{} (`--output json` lists them)",
            render::count(reads, "read")
        ));
    }
    if with_events {
        render::result("");
        for event in &events {
            render::result(&event.to_string());
        }
    }
    if let Some(error) = &row.error {
        render::result(&format!(
            "\n{} {} [{}]",
            style("error:").red(),
            error["message"].as_str().unwrap_or_default(),
            error["kind"].as_str().unwrap_or_default(),
        ));
        if let Some(hint) = error["hint"].as_str() {
            render::result(&format!("help: {hint}"));
        }
    }
    Ok(0)
}

fn head(row: &RunRow) {
    let took = super::history::took(row).map(time::elapsed);
    let attempt = if row.attempt > 1 {
        format!(", attempt {}", row.attempt)
    } else {
        String::new()
    };
    render::result(&format!(
        "{} {}  {}\n{} on {}, {}{attempt}, by {} on {}, {}{}",
        style(&row.id).bold(),
        mark(row.status.as_str()),
        row.status,
        row.runbook,
        row.target.as_deref().unwrap_or("local"),
        row.mode,
        row.user,
        row.process.host,
        time::ago(row.started),
        took.map(|took| format!(", took {took}"))
            .unwrap_or_default(),
    ));
    if let Some(parent) = &row.parent {
        render::result(&format!("made from run {parent}"));
    }
    if row
        .params
        .as_object()
        .is_some_and(|params| !params.is_empty())
    {
        render::result(&format!("parameters: {}", row.params));
    }
}

fn mark(status: &str) -> String {
    match status {
        "done" => style("✓").green().to_string(),
        "failed" => style("✗").red().to_string(),
        "skipped" => style("↷").dim().to_string(),
        _ => style("…").yellow().to_string(),
    }
}

fn no_runs() -> Error {
    Error::new("journal.run_not_found", "no runs are recorded here yet")
        .hint("the journal is in `.ccrun` beside ccrun.toml: go to the folder of the project")
}

fn step_json(step: &StepRow) -> serde_json::Value {
    serde_json::json!({
        "path": step.key.path, "occurrence": step.key.occurrence, "status": step.status.as_str(),
        "attempt": step.attempt, "started": step.started, "elapsed_us": step.elapsed.map(micros),
        "result": step.result, "error": step.error,
    })
}

fn effect_json(effect: &EffectRow) -> serde_json::Value {
    serde_json::json!({
        "id": effect.id, "step": effect.step, "primitive": effect.primitive,
        "effect": effect.effect, "args": effect.args, "outcome": effect.outcome,
        "error": effect.error, "started": effect.started, "elapsed_us": micros(effect.elapsed),
    })
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
