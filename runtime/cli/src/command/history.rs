//! `ccrun history`.

use std::time::Duration;

use ccrun_kernel::Result;
use ccrun_kernel::journal::RunRow;

use crate::app::App;
use crate::cli::{History, Output};
use crate::render::{self, table, time};

/// List past runs.
pub fn history(app: &App, args: &History) -> Result<u8> {
    let filter = app.run_filter(args)?;
    let runs = match app.journal_if_any()? {
        Some(journal) => app.block_on(journal.runs(&filter))?,
        None => Vec::new(),
    };
    if app.common.output == Output::Json {
        render::json::document(&runs.iter().map(as_json).collect());
        return Ok(0);
    }
    if runs.is_empty() {
        render::remark("no such runs are recorded here");
        return Ok(0);
    }
    let rows = runs.iter().map(|run| {
        vec![
            run.id.get(..4).unwrap_or(&run.id).to_owned(),
            run.status.to_string(),
            run.runbook.clone(),
            run.target.clone().unwrap_or_default(),
            run.mode.clone(),
            time::ago(run.started),
            took(run).map(time::elapsed).unwrap_or_default(),
            run.user.clone(),
        ]
    });
    let headers = [
        "run", "status", "runbook", "target", "mode", "started", "took", "by",
    ];
    render::result(&table::table(&headers, rows));
    Ok(0)
}

/// One run as data.
pub fn as_json(run: &RunRow) -> serde_json::Value {
    serde_json::json!({
        "run": run.id, "status": run.status.as_str(), "runbook": run.runbook,
        "target": run.target, "mode": run.mode, "params": run.params, "parent": run.parent,
        "user": run.user, "host": run.process.host, "attempt": run.attempt,
        "started": run.started, "finished": run.finished, "error": run.error, "recap": run.recap,
    })
}

/// How long the last attempt took.
pub fn took(run: &RunRow) -> Option<Duration> {
    let elapsed = run.recap.as_ref()?["elapsed_ms"].as_u64()?;
    Some(Duration::from_millis(elapsed))
}
