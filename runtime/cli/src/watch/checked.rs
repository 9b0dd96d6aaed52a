//! The runbooks as the daemon wants them: read, and checked.
//!
//! The daemon stays for weeks, and checking takes an interpreter with every primitive and what is known of it. So a process of its own
//! does that, and takes it along when it ends.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ccrun_kernel::check::{Checker, Severity};
use ccrun_kernel::runbook::Runbook;
use ccrun_kernel::{Error, Result};
use ccrun_watch::Found;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::app::{App, Entry};

/// What checking says of a runbook.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    path: PathBuf,
    /// The hash of the text that was checked.
    sha256: String,
    /// What is wrong with it, and what to do.
    mistake: Option<(String, Option<String>)>,
}

impl Verdict {
    fn of(checker: &Checker, path: &Path, runbook: &Runbook) -> Self {
        let findings = checker.check(runbook);
        let worst = findings.iter().find(|f| f.severity == Severity::Error);
        Self {
            path: path.to_owned(),
            sha256: hash(runbook),
            mistake: worst.map(|finding| {
                let text = format!("{} ({})", finding.message, finding.location);
                (text, finding.suggestion.clone())
            }),
        }
    }

    fn on(&self, runbook: Runbook) -> Result<Runbook> {
        let Some((message, hint)) = &self.mistake else {
            return Ok(runbook);
        };
        let error = Error::new("check.failed", message.clone());
        Err(match hint {
            Some(hint) => error.hint(hint.clone()),
            None => error,
        })
    }
}

fn hash(runbook: &Runbook) -> String {
    hex::encode(Sha256::digest(&runbook.source))
}

/// Check the runbooks that can be read.
pub fn verdicts(app: &App) -> Vec<Verdict> {
    let checker = Checker::new(app.registry(), &app.modules);
    app.runbooks()
        .iter()
        .filter_map(|entry| {
            let runbook = entry.runbook.as_ref().ok()?;
            Some(Verdict::of(&checker, &entry.path, runbook))
        })
        .collect()
}

/// The runbooks, checked here.
pub fn found(app: &App) -> Vec<Found> {
    let checker = Checker::new(app.registry(), &app.modules);
    let entries = app.runbooks().into_iter();
    entries
        .map(|entry| Found {
            runbook: entry
                .runbook
                .and_then(|runbook| Verdict::of(&checker, &entry.path, &runbook).on(runbook)),
            name: entry.name,
            path: entry.path,
        })
        .collect()
}

/// The runbooks, checked by a process of `program`; here, if there is no such process.
pub fn found_by(program: &Path, app: &App) -> Vec<Found> {
    // Somebody may write to them between the two readings.
    const TRIES: usize = 3;
    for _ in 0..TRIES {
        let Some(verdicts) = ask(program, app) else {
            break;
        };
        if let Some(found) = join(app.runbooks(), verdicts) {
            return found;
        }
    }
    found(app)
}

fn ask(program: &Path, app: &App) -> Option<Vec<Verdict>> {
    let output = Command::new(program)
        .arg("verdicts")
        .current_dir(&app.folder)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    serde_json::from_slice(&output.stdout).ok()
}

/// What is known of each runbook; nothing, if one is another than the one that was checked.
fn join(entries: Vec<Entry>, verdicts: Vec<Verdict>) -> Option<Vec<Found>> {
    let verdicts: HashMap<PathBuf, Verdict> = verdicts
        .into_iter()
        .map(|verdict| (verdict.path.clone(), verdict))
        .collect();
    entries
        .into_iter()
        .map(
            |Entry {
                 name,
                 path,
                 runbook,
             }| {
                let runbook = match runbook {
                    Err(error) => Err(error),
                    Ok(runbook) => {
                        let verdict = verdicts.get(&path)?;
                        if verdict.sha256 != hash(&runbook) {
                            return None;
                        }
                        verdict.on(runbook)
                    }
                };
                Some(Found {
                    name,
                    path,
                    runbook,
                })
            },
        )
        .collect()
}

#[cfg(test)]
mod tests {
    use ccrun_kernel::runbook::parse;

    use super::*;

    fn entry(source: &str) -> Entry {
        Entry {
            name: "a".to_owned(),
            path: "a.rhai".into(),
            runbook: parse("a.rhai", source),
        }
    }

    fn verdict(source: &str, mistake: Option<&str>) -> Verdict {
        Verdict {
            path: "a.rhai".into(),
            sha256: hash(&entry(source).runbook.expect("it can be read")),
            mistake: mistake.map(|text| (text.to_owned(), Some("do this".to_owned()))),
        }
    }

    #[test]
    fn a_verdict_is_of_the_text_that_was_checked_only() {
        let found = join(vec![entry("1")], vec![verdict("1", None)]).expect("all known");
        assert!(found[0].runbook.is_ok());
        let found = join(vec![entry("1")], vec![verdict("1", Some("it is wrong"))]);
        let error = found.expect("all known").remove(0).runbook.unwrap_err();
        assert_eq!(
            (error.message(), error.hint_text()),
            ("it is wrong", Some("do this"))
        );
        assert!(join(vec![entry("2")], vec![verdict("1", None)]).is_none());
        assert!(join(vec![entry("2")], Vec::new()).is_none());
        // What can't be read says so itself.
        let found = join(vec![entry("let")], Vec::new()).expect("nothing to know");
        assert!(found[0].runbook.is_err());
    }

    #[test]
    fn a_program_that_is_not_there_is_no_reason_to_know_nothing() {
        let common = crate::cli::parse(vec!["ccrun".into(), "list".into()]);
        let app = App::new(common.expect("it can be read").common).expect("an application");
        assert!(ask(Path::new("/no/such/program"), &app).is_none());
        assert!(ask(Path::new("/bin/true"), &app).is_none());
    }
}
