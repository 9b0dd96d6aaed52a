//! `ccrun list`.

use ccrun_kernel::Result;

use crate::app::App;
use crate::cli::Output;
use crate::render::{self, table};

/// List the runbooks that can be run by name.
pub fn list(app: &App) -> Result<u8> {
    let entries = app.runbooks();
    if app.common.output == Output::Json {
        let documents: Vec<_> = entries
            .iter()
            .map(|entry| match &entry.runbook {
                Ok(runbook) => serde_json::json!({
                    "name": entry.name, "path": entry.path, "summary": runbook.summary,
                    "params": runbook.header.iter().flat_map(|h| h.params.values().map(|p| {
                        serde_json::json!({ "name": p.name, "required": p.required, "help": p.help })
                    })).collect::<Vec<_>>(),
                }),
                Err(error) => serde_json::json!({
                    "name": entry.name, "path": entry.path, "error": error.to_json(),
                }),
            })
            .collect();
        render::json::document(&documents.into());
        return Ok(0);
    }
    if entries.is_empty() {
        render::remark(&format!(
            "no runbooks in {}; `ccrun new NAME` writes one",
            app.runbook_path()
                .iter()
                .map(|p| p.display().to_string())
                .collect::<Vec<_>>()
                .join(", ")
        ));
        return Ok(0);
    }
    let rows = entries.iter().map(|entry| {
        let (summary, params) = match &entry.runbook {
            Ok(runbook) => (runbook.summary.clone(), describe_params(runbook)),
            Err(error) => (
                format!("does not check: {}", error.message()),
                String::new(),
            ),
        };
        vec![entry.name.clone(), summary, params]
    });
    render::result(&table::table(
        &["runbook", "what it does", "parameters"],
        rows,
    ));
    Ok(0)
}

fn describe_params(runbook: &ccrun_kernel::runbook::Runbook) -> String {
    let params: Vec<String> = runbook
        .header
        .iter()
        .flat_map(|header| header.params.values())
        .map(|param| {
            if param.required {
                format!("{}*", param.name)
            } else {
                param.name.clone()
            }
        })
        .collect();
    params.join(" ")
}
