//! `ccrun run`.

use std::path::Path;

use ccrun_kernel::{Result, run};

use crate::app::{App, Source};
use crate::cli::Run;

/// Run a runbook.
pub fn run(app: &App, args: &Run) -> Result<u8> {
    let runbook = app.load(&args.file)?;
    super::check::before_run(app, &runbook, args.record_needs)?;
    let params = app.params(&runbook, args)?;
    let mut source = Source::runbook(runbook, params);
    source.record_needs = args.record_needs;
    source.lock_wait = app.duration(args.lock_wait.as_deref())?;
    source.journaled = !args.no_journal;
    let prepared = app.prepare(source)?;
    run::on_script_thread(|| prepared.execute(app))?
}

/// What a runbook does, and its parameters.
pub fn help(app: &App, file: &Path) -> Result<u8> {
    let runbook = app.load(file)?;
    let text = crate::runbook_options::help(&file.display().to_string(), &runbook);
    crate::render::result(&text);
    Ok(0)
}
