//! Alerts against receivers that check what they get: real ones where there are any, else a server that holds it
//! against the receiver's own documentation.
#![allow(
    clippy::disallowed_methods,
    reason = "tests look at the files themselves"
)]

mod channels;
mod failures;
mod real;
mod routing;
mod schema;

use std::sync::Arc;

use ccrun_kernel::event::{Event, Record};
use ccrun_kernel::permission::{Needs, Policy};
use ccrun_kernel::rhai::Dynamic;
use ccrun_kernel::secret::{Redactor, SecretSource, SecretStore};
use ccrun_kernel::testing::{Scratch, TestRun};
use ccrun_kernel::value::to_json;
use ccrun_kernel::{BoxFuture, Result};
use serde_json::Value;

/// A folder with channels and secrets; what is remembered stays between its runs.
struct Bed {
    folder: Scratch,
    secrets: Vec<(&'static str, String)>,
}

/// What a run gave, and its events.
struct Ran {
    result: Result<Dynamic>,
    records: Vec<Record>,
}

struct Given(Vec<(&'static str, String)>);

impl SecretSource for Given {
    fn describe(&self) -> String {
        "the test".to_owned()
    }

    fn get<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<String>>> {
        let found = self.0.iter().find(|(known, _)| *known == name);
        let found = found.map(|(_, text)| text.clone());
        Box::pin(async move { Ok(found) })
    }
}

impl Bed {
    /// `channels` is the inside of `[target.local.alerts]`.
    fn new(channels: &str) -> Self {
        Self::with(&format!("[target.local.alerts]\n{channels}\n"))
    }

    /// With this `ccrun.toml`.
    fn with(toml: &str) -> Self {
        let folder = Scratch::new();
        std::fs::write(folder.0.join("ccrun.toml"), toml).unwrap();
        Self {
            folder,
            secrets: Vec::new(),
        }
    }

    fn secret(mut self, name: &'static str, text: impl Into<String>) -> Self {
        self.secrets.push((name, text.into()));
        self
    }

    fn test_run(&self) -> TestRun {
        let namespaces = vec![super::namespace(), crate::fs::namespace()];
        let mut run = TestRun::new(&self.folder.0, namespaces);
        let source: Arc<dyn SecretSource> = Arc::new(Given(self.secrets.clone()));
        run.spec.secrets = SecretStore::new(vec![source], Redactor::default());
        run
    }

    fn run(&self, script: &str) -> Ran {
        let (result, records) = self.test_run().eval(script);
        self.no_secret_in(&result, &records);
        Ran { result, records }
    }

    fn dry(&self, script: &str) -> Ran {
        let (result, records) = self.test_run().dry().eval(script);
        Ran { result, records }
    }

    fn allowing(&self, header: &str, script: &str) -> Ran {
        let source = format!("runbook(#{{ needs: {header} }});");
        let parsed = ccrun_kernel::runbook::parse("test.rhai", source).unwrap();
        let needs: Needs = parsed.header.unwrap().needs.unwrap();
        let run = self.test_run().policy(Policy::new(Some(needs), None));
        let (result, records) = run.eval(script);
        Ran { result, records }
    }

    /// The script must not fail; its value as JSON.
    fn json(&self, script: &str) -> Value {
        self.run(script).json()
    }

    /// Nothing that a run says or keeps has a secret in it.
    fn no_secret_in(&self, result: &Result<Dynamic>, records: &[Record]) {
        let said = format!("{}{result:?}", serde_json::to_string(records).unwrap());
        let kept = self.folder.0.join(".ccrun/alerts/local/state.json");
        let kept = std::fs::read_to_string(kept).unwrap_or_default();
        for (name, text) in &self.secrets {
            // Of a URL, what nobody may know is its path.
            let text = text.rsplit('/').next().unwrap();
            assert!(!said.contains(text), "{name} shows: {said}");
            assert!(!kept.contains(text), "{name} is kept: {kept}");
        }
    }
}

impl Ran {
    fn json(&self) -> Value {
        match &self.result {
            Ok(value) => to_json(value),
            Err(error) => panic!("{error:?}"),
        }
    }

    fn error(&self) -> &ccrun_kernel::Error {
        self.result.as_ref().expect_err("an error")
    }

    /// The findings: name and evidence.
    fn findings(&self) -> Vec<(String, String)> {
        let findings = self
            .records
            .iter()
            .filter_map(|record| match &record.event {
                Event::Check { name, evidence, .. } => Some((name.clone(), evidence.clone())),
                _ => None,
            });
        findings.collect()
    }

    /// What would be done.
    fn planned(&self) -> Vec<(String, bool)> {
        let planned = self
            .records
            .iter()
            .filter_map(|record| match &record.event {
                Event::Planned(change) => {
                    Some((change.preview.summary.clone(), change.preview.unchanged))
                }
                _ => None,
            });
        planned.collect()
    }
}

/// The outcome of each channel: `ops: sent`.
const OUTCOMES: &str = ".channels.map(|c| `${c.channel}: ${c.outcome}`)";
