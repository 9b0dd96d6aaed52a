//! `ccrun doctor`: can I reach everything?

use ccrun_kernel::Result;
use console::style;

use crate::app::App;
use crate::cli::Output;
use crate::render;

/// One thing that was looked at.
struct Look {
    what: &'static str,
    result: Result<String>,
}

/// Look at the configuration, the journal, the runbooks and everything the target names.
pub fn doctor(app: &App) -> Result<u8> {
    let mut looks = vec![
        Look {
            what: "configuration",
            result: configuration(app),
        },
        Look {
            what: "target",
            result: target(app),
        },
        Look {
            what: "journal",
            result: journal(app),
        },
        Look {
            what: "runbooks",
            result: runbooks(app),
        },
        Look {
            what: "secrets",
            result: secrets(app),
        },
    ];
    if let Ok(target) = app.config.target(app.common.target.as_deref()) {
        for (what, script) in ccrun_stdlib::probes(&target) {
            looks.push(Look {
                what,
                result: probe(app, script),
            });
        }
    }
    let bad = looks.iter().filter(|look| look.result.is_err()).count();
    if app.common.output == Output::Json {
        let rows: Vec<_> = looks
            .iter()
            .map(|look| match &look.result {
                Ok(seen) => serde_json::json!({ "name": look.what, "ok": true, "seen": seen }),
                Err(error) => {
                    serde_json::json!({ "name": look.what, "ok": false, "error": error.to_json() })
                }
            })
            .collect();
        render::json::document(&rows.into());
        return Ok(u8::from(bad > 0));
    }
    for look in &looks {
        match &look.result {
            Ok(seen) => {
                render::result(&format!("{} {:14} {seen}", style("✓").green(), look.what));
            }
            Err(error) => {
                render::result(&format!(
                    "{} {:14} {}",
                    style("✗").red(),
                    look.what,
                    error.message()
                ));
                if let Some(hint) = error.hint_text() {
                    render::result(&format!("  {:14} {hint}", ""));
                }
            }
        }
    }
    Ok(u8::from(bad > 0))
}

fn configuration(app: &App) -> Result<String> {
    Ok(match &app.config.path {
        Some(path) => format!(
            "{} (targets: {})",
            path.display(),
            app.config.target_names().join(", ")
        ),
        None => "no ccrun.toml: the target is `local`".to_owned(),
    })
}

fn target(app: &App) -> Result<String> {
    let target = app.config.target(app.common.target.as_deref())?;
    target.check_keys(app.registry().target_keys())?;
    let protected = if target.is_protected() {
        " (protected)"
    } else {
        ""
    };
    Ok(format!("{}{protected}", target.name()))
}

fn journal(app: &App) -> Result<String> {
    let path = app.journal()?.path().display().to_string();
    app.block_on(app.journal()?.flush())?;
    Ok(path)
}

fn runbooks(app: &App) -> Result<String> {
    let entries = app.runbooks();
    let broken: Vec<&str> = entries
        .iter()
        .filter(|entry| entry.runbook.is_err())
        .map(|entry| entry.name.as_str())
        .collect();
    if broken.is_empty() {
        return Ok(format!("{} found", entries.len()));
    }
    Err(ccrun_kernel::Error::new(
        "check.failed",
        format!("can't be read: {}", broken.join(", ")),
    )
    .hint("`ccrun check` says why"))
}

fn secrets(app: &App) -> Result<String> {
    let target = app.config.target(app.common.target.as_deref())?;
    let store = app.secrets(&target, &Default::default())?;
    Ok(store.describe().join(", "))
}

/// Evaluate a reading script of a namespace: its value is what was seen.
fn probe(app: &App, script: &str) -> Result<String> {
    let mut source = crate::app::Source::script("doctor", script);
    source.brief = true;
    let prepared = app.prepare_silent(source)?;
    ccrun_kernel::run::on_script_thread(|| {
        let (mut session, _) = prepared.into_session();
        let value = session.evaluate_line("doctor", script)?;
        Ok(ccrun_kernel::value::show(&value))
    })?
}
