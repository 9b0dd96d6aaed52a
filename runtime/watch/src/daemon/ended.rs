//! A run ended: tried again, or told to the triggers that wait for it.

use std::sync::Arc;

use ccrun_kernel::Result;
use ccrun_kernel::runbook::TriggerSource;
use ccrun_kernel::runbook::trigger::AfterStatus;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::Daemon;
use crate::catalog::{Armed, Occasion};
use crate::child::{Exit, StopReason};
use crate::ledger::{Fire, Status, With};

/// The longest pause before a retry.
const LONGEST_PAUSE: f64 = 3600.0;

impl Daemon {
    /// The process of a firing ended.
    pub(super) async fn exited(&mut self, id: &str, run: &str, exit: Exit) {
        if let Err(error) = self.settle_exit(id, run, &exit).await {
            // Tried again: nothing may stay "at work" because the ledger was away for a moment.
            self.complain(&error);
            let (events, id, run) = (self.shared.events.clone(), id.to_owned(), run.to_owned());
            tokio::spawn(async move {
                tokio::time::sleep(std::time::Duration::from_secs(2)).await;
                drop(events.send(crate::shared::Event::Exited(id, run, exit)));
            });
        }
    }

    async fn settle_exit(&mut self, id: &str, run: &str, exit: &Exit) -> Result<()> {
        let ledger = self.shared.ledger.clone();
        let (status, why) = match exit.stopped {
            Some(StopReason::Replaced) => (
                Status::Replaced,
                "it was stopped for a later firing".to_owned(),
            ),
            Some(StopReason::Timeout) => (
                Status::Failed,
                "it took longer than its trigger allows, and was stopped".to_owned(),
            ),
            Some(StopReason::Shutdown) => (
                Status::Interrupted,
                "it was stopped because the daemon ended".to_owned(),
            ),
            None if exit.code == Some(130) => {
                (Status::Interrupted, "it was interrupted".to_owned())
            }
            None => (Status::Interrupted, exit.text.clone()),
        };
        // A run says itself how it ended, unless it could not any more.
        ledger.finish(id, run, status, Some(&why)).await?;
        if let Some(fire) = ledger.fire(id).await?
            && fire.run.as_deref() == Some(run)
            && fire.status.is_final()
        {
            self.ended(fire, exit.stopped).await?;
        }
        self.at_work.remove(id);
        Ok(())
    }

    /// A firing has ended and nobody was told.
    pub(super) async fn ended(&mut self, fire: Fire, stopped: Option<StopReason>) -> Result<()> {
        let seconds = fire
            .started
            .zip(fire.finished)
            .map(|(started, finished)| finished.duration_since(started).as_secs_f64());
        let name = fire.status.as_str();
        self.shared.metrics.ended(&fire.runbook, name, seconds);
        let bad = matches!(fire.status, Status::Failed | Status::Interrupted);
        let why = fire.error.clone().unwrap_or_default();
        let run = fire.run.clone().unwrap_or_default();
        if bad && fire.attempt <= fire.policy.retries {
            let pause = fire.policy.retry_after * f64::from(2_u32.saturating_pow(fire.attempt - 1));
            let pause =
                SignedDuration::try_from_secs_f64(pause.min(LONGEST_PAUSE)).unwrap_or_default();
            let now = Timestamp::now();
            let at = now.checked_add(pause).unwrap_or(now);
            if self.shared.ledger.retry(&fire.id, &run, at, &why).await? {
                self.host.remark(&format!(
                    "{} {name} (try {} of {}): {why}; again in {}",
                    fire.runbook,
                    fire.attempt,
                    fire.policy.retries + 1,
                    ccrun_kernel::value::Duration::from(pause)
                ));
                if let Some(fire) = self.shared.ledger.fire(&fire.id).await? {
                    self.waiting.insert(fire.id.clone(), fire);
                }
                return Ok(());
            }
        }
        self.tally.done += u64::from(fire.status == Status::Done);
        self.tally.failed += u64::from(bad);
        if bad {
            self.host.remark(&format!("{} {name}: {why}", fire.runbook));
        }
        let mut fires = Vec::new();
        let mut failing = None;
        if fire.status == Status::Done || bad && stopped != Some(StopReason::Shutdown) {
            let before = self.shared.ledger.is_failing(&fire.runbook).await?;
            failing = Some((fire.runbook.clone(), bad));
            let statuses: &[AfterStatus] = match (bad, before) {
                (true, _) => &[AfterStatus::Failed, AfterStatus::Any],
                (false, true) => &[AfterStatus::Done, AfterStatus::Recovered, AfterStatus::Any],
                (false, false) => &[AfterStatus::Done, AfterStatus::Any],
            };
            let payload = json!({
                "after": fire.runbook,
                "run": run,
                "status": if bad { "failed" } else { "done" },
                "recovered": !bad && before,
                "error": fire.error,
                "attempt": fire.attempt,
                "cause": fire.cause,
            });
            let waiting = self.waiting_for(&fire.runbook, statuses);
            let mut chain = fire.chain.clone();
            chain.push(fire.runbook.clone());
            for armed in waiting {
                if chain.contains(&armed.runbook) {
                    self.in_a_circle(&armed, &chain).await?;
                    continue;
                }
                let occasion = Occasion {
                    dedup: format!("{} {}", fire.id, fire.attempt),
                    payload: payload.clone(),
                    due: Timestamp::now(),
                    chain: chain.clone(),
                    ..Occasion::default()
                };
                fires.extend(Box::pin(self.admit(&armed, occasion)).await?);
            }
        }
        let with = With {
            told: Some(fire.id.clone()),
            last: failing,
            ..With::default()
        };
        let fresh = self.shared.ledger.record(fires, with).await?;
        self.recorded(fresh);
        Ok(())
    }

    /// The triggers that wait for the end of a runbook.
    fn waiting_for(&self, runbook: &str, statuses: &[AfterStatus]) -> Vec<Arc<Armed>> {
        self.catalog
            .triggers()
            .filter(|armed| match &armed.trigger.source {
                TriggerSource::After(after) => {
                    (after.runbook == runbook || after.runbook == "*" && armed.runbook != runbook)
                        && statuses.contains(&after.status)
                }
                _ => false,
            })
            .cloned()
            .collect()
    }

    /// A runbook whose end would start itself.
    async fn in_a_circle(&mut self, armed: &Arc<Armed>, chain: &[String]) -> Result<()> {
        let everything =
            matches!(&armed.trigger.source, TriggerSource::After(after) if after.runbook == "*");
        if everything || self.stopped.contains_key(&armed.key) {
            return Ok(());
        }
        let why = format!(
            "its own end leads to it: {}, {}",
            chain.join(", "),
            armed.runbook
        );
        self.stop_trigger(armed, &why).await
    }

    /// Something is wrong with a runbook besides a failed run: those who wait for its failure are
    /// told.
    pub(super) async fn alarm(&mut self, runbook: &str, text: &str, what: &str) {
        let armed = self.waiting_for(runbook, &[AfterStatus::Failed]);
        for armed in armed {
            let occasion = Occasion {
                dedup: uuid::Uuid::now_v7().to_string(),
                payload: json!({
                    "after": runbook, "status": what, "error": text,
                    "run": "", "recovered": false, "attempt": 0, "cause": what,
                }),
                due: Timestamp::now(),
                chain: vec![runbook.to_owned()],
                ..Occasion::default()
            };
            let recorded = match Box::pin(self.admit(&armed, occasion)).await {
                Ok(Some(new)) => self.shared.ledger.record(vec![new], With::default()).await,
                Ok(None) => continue,
                Err(error) => Err(error),
            };
            match recorded {
                Ok(fires) => self.recorded(fires),
                Err(error) => self.complain(&error),
            }
        }
    }
}
