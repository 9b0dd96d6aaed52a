//! The runbooks with triggers, each in its last good version.

use std::collections::BTreeMap;
use std::sync::Arc;

use ccrun_kernel::Error;
use ccrun_kernel::runbook::{Trigger, TriggerSource};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::host::Found;
use crate::ledger::{FirePolicy, NewFire, Status};

/// A trigger of a runbook, ready to fire.
#[derive(Debug, Clone, PartialEq)]
pub struct Armed {
    /// Tells it from every other trigger.
    pub key: String,
    /// The runbook.
    pub runbook: String,
    /// Its file.
    pub path: String,
    /// The hash of its text.
    pub hash: String,
    /// The trigger.
    pub trigger: Trigger,
}

/// What a firing is about.
#[derive(Debug, Default)]
pub struct Occasion {
    /// The same wherever and however often it is noticed.
    pub dedup: String,
    /// What `trigger` holds in the runbook besides the usual.
    pub payload: Value,
    /// Parameters that come with it.
    pub params: Map<String, Value>,
    /// When it should run.
    pub due: Timestamp,
    /// Not to be started earlier.
    pub not_before: Option<Timestamp>,
    /// The runbooks whose end led here.
    pub chain: Vec<String>,
}

impl Armed {
    /// A firing of this trigger.
    #[must_use]
    pub fn fire(&self, occasion: Occasion) -> NewFire {
        let kind = self.trigger.source.kind();
        let mut payload = json!({
            "kind": kind,
            "runbook": self.runbook,
            "due": occasion.due.to_string(),
        });
        if let (Some(to), Value::Object(more)) = (payload.as_object_mut(), occasion.payload) {
            to.extend(more);
        }
        let mut params = self.trigger.params.clone();
        params.extend(occasion.params);
        NewFire {
            dedup: format!("{kind} {} {}", self.key, occasion.dedup),
            trigger: self.key.clone(),
            runbook: self.runbook.clone(),
            path: self.path.clone(),
            source: self.hash.clone(),
            cause: kind,
            payload,
            params,
            policy: FirePolicy::of(&self.trigger.policy),
            chain: occasion.chain,
            due: occasion.due,
            not_before: occasion.not_before.unwrap_or(occasion.due),
            status: Status::Queued,
            error: None,
            run: None,
        }
    }

    /// The target that it watches and runs on.
    #[must_use]
    pub fn target(&self) -> Option<&str> {
        self.trigger.policy.target.as_deref()
    }
}

/// A runbook in its last good version.
#[derive(Debug, Clone)]
struct Good {
    hash: String,
    source: String,
    triggers: Vec<Arc<Armed>>,
}

/// The runbooks with triggers.
#[derive(Debug, Default)]
pub struct Catalog {
    good: BTreeMap<String, Good>,
    broken: BTreeMap<String, String>,
}

/// What changed when the runbooks were read again.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// New and changed runbooks with triggers.
    pub loaded: Vec<String>,
    /// Those that are gone, or have no triggers any more.
    pub gone: Vec<String>,
    /// Those that have a mistake now, and what it is.
    pub broken: Vec<(String, String)>,
    /// Those whose mistake is mended.
    pub mended: Vec<String>,
}

impl Catalog {
    /// Take the runbooks as they are now. One that does not check keeps its last good version.
    pub fn update(&mut self, found: Vec<Found>) -> Changes {
        let mut changes = Changes::default();
        let mut before = std::mem::take(&mut self.good);
        let mut broken = std::mem::take(&mut self.broken);
        for Found {
            name,
            path,
            runbook,
        } in found
        {
            let old = before.remove(&name);
            let was_broken = broken.remove(&name);
            let runbook = match runbook {
                Ok(runbook) => runbook,
                Err(error) => {
                    let error = in_one_line(&error);
                    // One without triggers is nobody's concern here; one that was never good may be.
                    if was_broken.as_ref() != Some(&error) {
                        changes.broken.push((name.clone(), error.clone()));
                    }
                    self.broken.insert(name.clone(), error);
                    if let Some(old) = old {
                        self.good.insert(name, old);
                    }
                    continue;
                }
            };
            if was_broken.is_some() {
                changes.mended.push(name.clone());
            }
            let hash = hex::encode(Sha256::digest(&runbook.source));
            let on = runbook.header.map(|header| header.on).unwrap_or_default();
            if on.is_empty() {
                if old.is_some() {
                    changes.gone.push(name);
                }
                continue;
            }
            if old.as_ref().is_none_or(|old| old.hash != hash) {
                changes.loaded.push(name.clone());
            }
            let mut triggers: Vec<Arc<Armed>> = Vec::with_capacity(on.len());
            for trigger in on {
                let key = trigger.key(&name);
                // The same trigger twice would fire once anyway.
                if !triggers.iter().any(|other| other.key == key) {
                    triggers.push(Arc::new(Armed {
                        key,
                        runbook: name.clone(),
                        path: path.display().to_string(),
                        hash: hash.clone(),
                        trigger,
                    }));
                }
            }
            let good = Good {
                hash,
                source: runbook.source,
                triggers,
            };
            self.good.insert(name, good);
        }
        changes.gone.extend(before.into_keys());
        changes
    }

    /// All triggers, by runbook.
    pub fn triggers(&self) -> impl Iterator<Item = &Arc<Armed>> {
        self.good.values().flat_map(|good| &good.triggers)
    }

    /// A trigger.
    #[must_use]
    pub fn trigger(&self, key: &str) -> Option<&Arc<Armed>> {
        self.triggers().find(|armed| armed.key == key)
    }

    /// The texts of the runbooks by their hashes.
    pub fn sources(&self) -> impl Iterator<Item = (&str, &str)> {
        self.good
            .values()
            .map(|good| (good.hash.as_str(), good.source.as_str()))
    }

    /// The runbooks that have a mistake.
    #[must_use]
    pub fn broken(&self) -> &BTreeMap<String, String> {
        &self.broken
    }

    /// The runbooks that nobody is, though a trigger waits for their end.
    #[must_use]
    pub fn missing(&self, all: &[String]) -> Vec<(String, String)> {
        self.triggers()
            .filter_map(|armed| match &armed.trigger.source {
                TriggerSource::After(after)
                    if after.runbook != "*" && !all.contains(&after.runbook) =>
                {
                    Some((armed.runbook.clone(), after.runbook.clone()))
                }
                _ => None,
            })
            .collect()
    }
}

/// What is wrong, where, and what to do about it: whoever reads the daemon's log has nothing else.
fn in_one_line(error: &Error) -> String {
    let mut text = error.message().to_owned();
    if let Some(location) = error.location() {
        let place = location.to_string();
        if !text.contains(&place) {
            text.push_str(&format!(" ({place})"));
        }
    }
    if let Some(hint) = error.hint_text() {
        text.push_str("; ");
        text.push_str(hint);
    }
    text
}

#[cfg(test)]
mod tests {
    use ccrun_kernel::runbook::parse;

    use super::*;

    fn found(name: &str, source: &str) -> Found {
        Found {
            name: name.to_owned(),
            path: format!("{name}.rhai").into(),
            runbook: parse(format!("{name}.rhai"), source),
        }
    }

    #[test]
    fn a_runbook_that_does_not_check_keeps_its_last_good_version() {
        let mut catalog = Catalog::default();
        let good = r#"runbook(#{ on: [#{ schedule: "@daily" }, #{ schedule: "@daily" }] });"#;
        let changes = catalog.update(vec![found("a", good), found("b", "1")]);
        assert_eq!(changes.loaded, ["a"]);
        assert_eq!(catalog.triggers().count(), 1);
        let hash = catalog.triggers().next().unwrap().hash.clone();

        let changes = catalog.update(vec![found(
            "a",
            r#"runbook(#{ on: [#{ schedule: "x" }] });"#,
        )]);
        assert_eq!(changes.broken.len(), 1);
        assert_eq!(catalog.triggers().next().unwrap().hash, hash);
        // The same mistake is told once.
        let again = catalog.update(vec![found(
            "a",
            r#"runbook(#{ on: [#{ schedule: "x" }] });"#,
        )]);
        assert_eq!(again, Changes::default());

        let mended = good.replace("@daily", "@hourly");
        let changes = catalog.update(vec![found("a", &mended)]);
        assert_eq!(
            (changes.loaded, changes.mended),
            (vec!["a".to_owned()], vec!["a".to_owned()])
        );
        assert_ne!(catalog.triggers().next().unwrap().hash, hash);
        assert_eq!(catalog.update(Vec::new()).gone, ["a"]);
    }

    #[test]
    fn a_mistake_is_told_with_its_place_and_what_to_do() {
        let mut catalog = Catalog::default();
        let typo = r#"runbook(#{ on: [#{ shedule: "0 2 * * *" }] });"#;
        let changes = catalog.update(vec![found("a", typo)]);
        let told = &changes.broken[0].1;
        assert!(told.contains("(a.rhai:1:"), "{told}");
        assert!(told.contains("; did you mean `schedule`"), "{told}");
    }
}
