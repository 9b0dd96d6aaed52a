//! `ccrun check`.

use std::path::PathBuf;

use ccrun_kernel::check::{self, Severity};
use ccrun_kernel::{Result, runbook};

use crate::app::App;
use crate::cli::Output;
use crate::render;

/// Find mistakes in runbooks without running them.
pub fn check(app: &App, paths: &[PathBuf], rules: bool) -> Result<u8> {
    if rules && app.common.output == Output::Json {
        let all = check::rules().iter().map(|rule| {
            serde_json::json!({
                "rule": rule.id, "severity": rule.severity, "explanation": rule.explanation,
            })
        });
        render::json::document(&all.collect());
        return Ok(0);
    }
    if rules {
        let rows = check::rules().iter().map(|rule| {
            let severity = match rule.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            };
            vec![
                rule.id.to_owned(),
                severity.to_owned(),
                rule.explanation.to_owned(),
            ]
        });
        render::result(&render::table::table(
            &["rule", "severity", "what it finds"],
            rows,
        ));
        return Ok(0);
    }
    let files = files(app, paths)?;
    let checker = check::Checker::new(app.registry(), &app.modules);
    let findings = checker.check_files(&files);
    let errors = findings
        .iter()
        .filter(|f| f.severity == Severity::Error)
        .count();
    if app.common.output == Output::Json {
        render::json::document(&serde_json::to_value(&findings).unwrap_or_default());
    } else {
        for finding in &findings {
            render::result(&render::finding::render(finding));
        }
        let warnings = findings.len() - errors;
        render::remark(&format!(
            "{}, {}, {}",
            render::count(files.len(), "file"),
            render::count(errors, "error"),
            render::count(warnings, "warning")
        ));
    }
    Ok(if errors > 0 { 2 } else { 0 })
}

/// The files that are meant: those named, those in the folders named, or all in the runbook path.
fn files(app: &App, paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    if paths.is_empty() {
        return Ok(app.runbooks().into_iter().map(|entry| entry.path).collect());
    }
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            files.extend(app.runbooks_in(path).into_iter().map(|entry| entry.path));
        } else {
            files.push(app.locate(path));
        }
    }
    Ok(files)
}

/// Refuse to run what does not check. A run that records its needs cannot declare them yet.
pub fn before_run(app: &App, runbook: &runbook::Runbook, records_needs: bool) -> Result<()> {
    let findings = check::check(app.registry(), &app.modules, runbook);
    let errors: Vec<_> = findings
        .iter()
        .filter(|f| f.severity == Severity::Error)
        .filter(|f| !records_needs || f.rule != "undeclared-permission")
        .collect();
    if errors.is_empty() {
        return Ok(());
    }
    for finding in &errors {
        render::remark(&render::finding::render(finding));
    }
    Err(ccrun_kernel::Error::new(
        "check.failed",
        format!("{} does not check: nothing was run", runbook.path.display()),
    )
    .hint("mend what is shown above; `ccrun check` looks again"))
}
