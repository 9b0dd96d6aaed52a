//! `ccrun plan`, and the form of a saved plan.

use std::path::Path;

use ccrun_kernel::event::PlannedChange;
use ccrun_kernel::run::{self, ReadRecord};
use ccrun_kernel::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::app::{App, Source};
use crate::cli::Run as RunArgs;
use crate::render;

/// The version of the form; a plan of another one is refused.
pub const FORMAT: u32 = 1;

/// The exit status that says that there is something to change.
pub const CHANGES: u8 = 100;

/// A saved plan.
#[derive(Debug, Serialize, Deserialize)]
pub struct SavedPlan {
    /// The version of this form.
    pub format: u32,
    /// The runbook.
    pub runbook: String,
    /// Its text when it was planned: another text is another plan.
    pub source: String,
    /// The target.
    pub target: String,
    /// The parameters, secrets as references.
    pub params: serde_json::Value,
    /// When it was made.
    pub made: jiff::Timestamp,
    /// What it would change.
    pub changes: Vec<PlannedChange>,
    /// What was read to find that out.
    pub reads: Vec<ReadRecord>,
}

impl SavedPlan {
    /// The changes that are ones.
    pub fn real_changes(&self) -> impl Iterator<Item = &PlannedChange> {
        self.changes
            .iter()
            .filter(|change| !change.preview.unchanged)
    }
}

/// Say what a runbook would change, and save that.
pub fn plan(app: &App, args: &RunArgs, out: Option<&Path>) -> Result<u8> {
    let app = app.dry()?;
    let runbook = app.load(&args.file)?;
    let params = app.params(&runbook, args)?;
    let (status, plan) = make(&app, Source::runbook(runbook, params), true)?;
    if status != 0 {
        if let Some(out) = out {
            let out = out.display();
            render::remark(&format!(
                "{out} was not written: the dry run did not get to its end"
            ));
        }
        return Ok(status);
    }
    if let Some(out) = out {
        let text = serde_json::to_string_pretty(&plan)
            .map_err(|error| Error::new("plan.unwritable", error.to_string()))?;
        std::fs::write(out, text)
            .map_err(|error| Error::from(error).detail("path", out.display().to_string()))?;
        render::remark(&format!(
            "saved; `ccrun apply {}` carries it out",
            out.display()
        ));
    }
    Ok(if plan.real_changes().next().is_some() {
        CHANGES
    } else {
        0
    })
}

/// Run the runbook dry. Returns its exit status and the plan.
pub fn make(app: &App, source: Source, heard: bool) -> Result<(u8, SavedPlan)> {
    let runbook = source.runbook.path.display().to_string();
    let text = source.runbook.source.clone();
    let params = super::record::params(&source);
    let prepared = if heard {
        app.prepare(source)?
    } else {
        app.prepare_silent(source)?
    };
    let (status, run) = run::on_script_thread(|| prepared.execute_for_plan(app))??;
    let plan = SavedPlan {
        format: FORMAT,
        runbook,
        source: text,
        target: run.target().name().to_owned(),
        params,
        made: jiff::Timestamp::now(),
        changes: run.plan().changes(),
        reads: run.plan().reads(),
    };
    Ok((status, plan))
}
