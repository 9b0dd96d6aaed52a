//! Something happened: which triggers that fires, and their firings in the ledger.

use std::collections::HashMap;
use std::sync::Arc;

use ccrun_kernel::runbook::TriggerSource;
use ccrun_kernel::runbook::trigger::{DockerEvent, Overlap};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::load::{engine_key, has_all};
use super::{Daemon, StopReason};
use crate::catalog::{Armed, Occasion};
use crate::files::{Change, FileEvent};
use crate::host::EngineEvent;
use crate::ledger::{Fire, NewFire, Status, With};

/// So many changed files are named in `trigger.files`; `trigger.count` counts them all.
const NAMED_FILES: usize = 1000;
/// So often in a row may a run change the files that start it.
const SELFISH: u32 = 10;

impl Daemon {
    /// Files of a trigger changed.
    pub(super) async fn files_changed(&mut self, event: FileEvent) {
        self.unrecorded.push_back(event);
        self.record_files().await;
    }

    /// Put changes of files into the ledger; what it does not take now is kept for the next round.
    pub(super) async fn record_files(&mut self) {
        while let Some(event) = self.unrecorded.pop_front() {
            let recorded = match &event {
                FileEvent::Changed(key, changes, seen) => {
                    self.record_changes(key, changes, seen.clone()).await
                }
                FileEvent::Seen(seen) => {
                    let with = With {
                        cursor: Some((seen.trigger.clone(), Timestamp::now())),
                        files: Some(seen.clone()),
                        ..With::default()
                    };
                    self.shared.ledger.record(Vec::new(), with).await.map(drop)
                }
                FileEvent::Trouble(_) => Ok(()),
            };
            if let Err(error) = recorded {
                self.complain(&error);
                self.unrecorded.push_front(event);
                return;
            }
        }
    }

    async fn record_changes(
        &mut self,
        key: &str,
        changes: &[Change],
        seen: crate::ledger::FileChanges,
    ) -> ccrun_kernel::Result<()> {
        let ledger = self.shared.ledger.clone();
        let seen_only = |seen| With {
            files: Some(seen),
            ..With::default()
        };
        let Some(armed) = self.catalog.trigger(key).cloned() else {
            return Ok(());
        };
        let now = Timestamp::now();
        let payload = files_payload(changes);
        // One that waits takes the rest along: a run looks at all files anyway.
        if let Some(waiting) = self.waiting.values_mut().find(|fire| fire.trigger == key) {
            let merged = merged(&waiting.payload, &payload);
            if ledger.merge(&waiting.id, &merged, seen.clone()).await? {
                waiting.payload = merged;
                return Ok(());
            }
        }
        let own_run = self
            .at_work
            .values()
            .any(|work| work.fire.trigger == key && work.stopping.is_none());
        let selfish = self.selfish.entry(key.to_owned()).or_default();
        *selfish = if own_run { *selfish + 1 } else { 0 };
        if *selfish >= SELFISH && !self.stopped.contains_key(key) {
            let names: Vec<&str> = changes.iter().take(3).map(|c| c.path.as_str()).collect();
            let why = format!(
                "its own runs change the files that start it ({})",
                names.join(", ")
            );
            self.stop_trigger(&armed, &why).await?;
        }
        let occasion = Occasion {
            dedup: uuid::Uuid::now_v7().to_string(),
            payload,
            due: now,
            ..Occasion::default()
        };
        match self.admit(&armed, occasion).await? {
            None => ledger.record(Vec::new(), seen_only(seen)).await.map(drop),
            Some(mut new) => {
                self.start_at_once(&mut new);
                let fires = ledger.record(vec![new], seen_only(seen)).await?;
                self.recorded(fires);
                Ok(())
            }
        }
    }

    /// The engine told of something.
    pub(super) async fn engine_said(&mut self, target: Option<String>, event: EngineEvent) {
        let time = Timestamp::from_nanosecond(i128::from(event.time)).unwrap_or_default();
        let armed: Vec<Arc<Armed>> = self
            .catalog
            .triggers()
            .filter(|armed| armed.target() == target.as_deref())
            .filter(|armed| match &armed.trigger.source {
                TriggerSource::Docker(wanted) => fits(wanted, &event),
                _ => false,
            })
            .cloned()
            .collect();
        for armed in armed {
            let occasion = Occasion {
                dedup: format!("{} {} {}", event.time, event.id, event.action),
                payload: engine_payload(&event, time),
                due: time,
                ..Occasion::default()
            };
            let recorded = match self.admit(&armed, occasion).await {
                Ok(Some(mut new)) => {
                    self.start_at_once(&mut new);
                    let with = With {
                        cursor: Some((engine_key(target.as_deref()), time)),
                        ..With::default()
                    };
                    self.shared.ledger.record(vec![new], with).await
                }
                Ok(None) => continue,
                Err(error) => Err(error),
            };
            match recorded {
                Ok(fires) => self.recorded(fires),
                Err(error) => self.complain(&error),
            }
        }
    }

    /// The firing of a trigger, unless it is stopped. One that fires too often, or whose runbook is
    /// at work and skips then, ends at once.
    pub(super) async fn admit(
        &mut self,
        armed: &Arc<Armed>,
        occasion: Occasion,
    ) -> ccrun_kernel::Result<Option<NewFire>> {
        if self.stopped.contains_key(&armed.key) {
            return Ok(None);
        }
        let policy = &armed.trigger.policy;
        let mut new = armed.fire(occasion);
        if !self
            .shared
            .limits
            .admit(&armed.key, policy.rate, Timestamp::now())
        {
            let why = format!(
                "it fired more than {} times in {}",
                policy.rate.starts, policy.rate.within
            );
            // What a run can cause itself goes on for ever; the rest passes.
            if matches!(
                armed.trigger.source,
                TriggerSource::Files(_) | TriggerSource::After(_)
            ) {
                self.stop_trigger(armed, &why).await?;
            }
            new.status = Status::Limited;
            new.error = Some(why);
        } else if policy.overlap == Overlap::Skip && self.is_busy(&armed.runbook) {
            new.status = Status::Skipped;
            new.error = Some("the runbook was at work".to_owned());
        }
        Ok(Some(new))
    }

    pub(super) fn is_busy(&self, runbook: &str) -> bool {
        self.at_work
            .values()
            .any(|work| work.fire.runbook == runbook)
            || self.waiting.values().any(|fire| fire.runbook == runbook)
    }

    /// Firings were recorded: those that wait get their turn.
    pub(super) fn recorded(&mut self, fires: Vec<Fire>) {
        for fire in fires {
            self.shared.metrics.fired(&fire.runbook, &fire.cause);
            if fire.status.is_final() {
                let status = fire.status.as_str();
                self.shared.metrics.ended(&fire.runbook, status, None);
                let why = fire.error.as_deref().unwrap_or_default();
                self.host.remark(&format!(
                    "{} ({}): {status}: {why}",
                    fire.runbook, fire.cause
                ));
                continue;
            }
            if fire.status == Status::Starting {
                self.launch(fire);
                continue;
            }
            if fire.policy.overlap() == Overlap::Restart {
                for work in self.at_work.values_mut() {
                    if work.fire.runbook == fire.runbook {
                        work.stop_for(StopReason::Replaced);
                    }
                }
            }
            self.waiting.insert(fire.id.clone(), fire);
        }
    }

    /// Stop a trigger until a person lets it go on or changes the runbook.
    pub(super) async fn stop_trigger(
        &mut self,
        armed: &Arc<Armed>,
        why: &str,
    ) -> ccrun_kernel::Result<()> {
        self.shared
            .ledger
            .stop(&armed.key, &armed.runbook, why)
            .await?;
        self.stopped.insert(armed.key.clone(), why.to_owned());
        let text = format!(
            "{} is no longer started by its trigger ({}): {why}; `ccrun watch go-on {}` lets it go on",
            armed.runbook,
            armed.trigger.describe(),
            armed.runbook
        );
        self.host.remark(&text);
        Box::pin(self.alarm(&armed.runbook, &text, "stopped")).await;
        Ok(())
    }
}

fn files_payload(changes: &[Change]) -> Value {
    let files: Vec<Value> = changes
        .iter()
        .take(NAMED_FILES)
        .map(|change| json!({ "path": change.path, "change": change.change }))
        .collect();
    json!({ "files": files, "count": changes.len() })
}

/// Two lists of changed files as one. A file is named with its last change.
fn merged(before: &Value, after: &Value) -> Value {
    let mut merged = before.clone();
    let files = |value: &Value| value["files"].as_array().cloned().unwrap_or_default();
    let count = |value: &Value| value["count"].as_u64().unwrap_or(0);
    let new = files(after);
    let mut all: Vec<Value> = files(before)
        .into_iter()
        .filter(|old| !new.iter().any(|new| new["path"] == old["path"]))
        .collect();
    let again = files(before).len() - all.len();
    all.extend(new);
    all.truncate(NAMED_FILES);
    merged["count"] = (count(before) + count(after) - again as u64).into();
    merged["files"] = all.into();
    merged
}

fn fits(wanted: &DockerEvent, event: &EngineEvent) -> bool {
    let attribute = |name: &str| event.attributes.get(name).map(String::as_str);
    let is = |wanted: &Option<String>, found: Option<&str>| {
        wanted.as_deref().is_none_or(|wanted| found == Some(wanted))
    };
    // `exec_start: psql` and `health_status: healthy` carry more than their name.
    let named = |name: &String| {
        event.action == *name
            || event
                .action
                .split_once(':')
                .is_some_and(|(start, _)| start == name)
    };
    let attributes: HashMap<&str, &str> = event
        .attributes
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    wanted.events.iter().any(named)
        && is(&wanted.service, attribute("com.docker.compose.service"))
        && is(&wanted.container, attribute("name"))
        && is(&wanted.image, attribute("image"))
        && has_all(&wanted.labels, &attributes)
}

fn engine_payload(event: &EngineEvent, time: Timestamp) -> Value {
    let attribute = |name: &str| event.attributes.get(name);
    let code = attribute("exitCode").and_then(|code| code.parse::<i64>().ok());
    json!({
        "event": event.action,
        "id": event.id,
        "container": attribute("name"),
        "image": attribute("image"),
        "service": attribute("com.docker.compose.service"),
        "project": attribute("com.docker.compose.project"),
        "exit_code": code,
        "attributes": event.attributes,
        "time": time.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(action: &str) -> EngineEvent {
        let attributes = [
            ("name", "stack-postgres-1"),
            ("image", "postgres:15"),
            ("com.docker.compose.service", "postgres"),
            ("tier", "data"),
        ];
        EngineEvent {
            time: 1,
            action: action.to_owned(),
            id: "c1".to_owned(),
            attributes: attributes.map(|(n, v)| (n.to_owned(), v.to_owned())).into(),
        }
    }

    #[test]
    fn an_event_fires_only_what_waits_for_it() {
        let wanted = |events: &[&str], service: Option<&str>| DockerEvent {
            events: events.iter().map(|event| (*event).to_owned()).collect(),
            service: service.map(str::to_owned),
            container: None,
            image: None,
            labels: Vec::new(),
        };
        assert!(fits(&wanted(&["die"], Some("postgres")), &event("die")));
        assert!(!fits(&wanted(&["die"], Some("caddy")), &event("die")));
        assert!(!fits(&wanted(&["die"], None), &event("start")));
        assert!(fits(
            &wanted(&["health_status"], None),
            &event("health_status: unhealthy")
        ));
        assert!(fits(
            &wanted(&["health_status: unhealthy"], None),
            &event("health_status: unhealthy")
        ));
        assert!(!fits(
            &wanted(&["health_status: unhealthy"], None),
            &event("health_status: healthy")
        ));
        let mut labelled = wanted(&["die"], None);
        labelled.labels = vec![("tier".to_owned(), "web".to_owned())];
        assert!(!fits(&labelled, &event("die")));
    }

    #[test]
    fn changes_that_wait_are_put_together() {
        let before = json!({ "kind": "files", "files": [{"path": "a", "change": "create"}, {"path": "b", "change": "create"}], "count": 2 });
        let after = json!({ "files": [{"path": "b", "change": "delete"}, {"path": "c", "change": "create"}], "count": 2 });
        let merged = merged(&before, &after);
        assert_eq!(merged["count"], 3);
        assert_eq!(merged["kind"], "files");
        assert_eq!(merged["files"][1]["change"], "delete");
    }
}
