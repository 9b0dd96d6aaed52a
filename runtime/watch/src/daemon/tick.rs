//! What the clock asks for.

use std::sync::Arc;
use std::time::Duration;

use ccrun_kernel::Result;
use ccrun_kernel::runbook::TriggerSource;
use ccrun_kernel::runbook::trigger::Schedule;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{Daemon, ROUND};
use crate::catalog::{Armed, Occasion};
use crate::ledger::{Status, With};
use crate::schedule::{jitter, look};

impl Daemon {
    /// Look at the clock, and at what was put off.
    pub(super) async fn tick(&mut self) {
        let schedules: Vec<Arc<Armed>> = self
            .catalog
            .triggers()
            .filter(|armed| matches!(armed.trigger.source, TriggerSource::Schedule(_)))
            .cloned()
            .collect();
        for armed in schedules {
            if let TriggerSource::Schedule(schedule) = &armed.trigger.source
                && let Err(error) = self.look_at_clock(&armed, schedule).await
            {
                self.complain(&error);
            }
        }
        self.record_files().await;
        if self.shared.ledger.is_shared() {
            self.find_recorded().await;
        }
        self.prune().await;
    }

    async fn look_at_clock(&mut self, armed: &Arc<Armed>, schedule: &Schedule) -> Result<()> {
        let now = Timestamp::now();
        let cursor = *self.cursors.entry(armed.key.clone()).or_insert(now);
        let seen = look(schedule, cursor, now);
        if seen.cursor == cursor {
            return Ok(());
        }
        if seen.corrected {
            self.host.remark(&format!(
                "the clock was put back by hours: {} is planned from now on",
                armed.runbook
            ));
        }
        let mut fires = Vec::new();
        if let Some(missed) = seen.missed {
            let mut new = armed.fire(Occasion {
                dedup: format!("missed {} {}", missed.first, missed.last),
                payload: json!({ "missed": missed.count, "first": missed.first.to_string(), "last": missed.last.to_string() }),
                due: missed.last,
                ..Occasion::default()
            });
            new.status = Status::Missed;
            new.error = Some(match missed.count {
                1 => format!("nobody was there at {}", missed.last),
                count => format!(
                    "nobody was there {count} times, from {} to {}",
                    missed.first, missed.last
                ),
            });
            fires.push(new);
        }
        if let Some(due) = seen.run {
            let late = now.duration_since(due);
            let put_off = SignedDuration::try_from(jitter(schedule, &armed.key, due));
            let start = due.checked_add(put_off.unwrap_or_default()).unwrap_or(due);
            let occasion = Occasion {
                dedup: due.to_string(),
                payload: json!({
                    "missed": seen.missed.map_or(0, |missed| missed.count),
                    "late": late.as_secs(),
                }),
                due,
                not_before: Some(start),
                ..Occasion::default()
            };
            if let Some(mut new) = self.admit(armed, occasion).await? {
                self.start_at_once(&mut new);
                fires.push(new);
            }
        }
        let with = With {
            cursor: Some((armed.key.clone(), seen.cursor)),
            ..With::default()
        };
        let fresh = self.shared.ledger.record(fires, with).await?;
        self.cursors.insert(armed.key.clone(), seen.cursor);
        self.recorded(fresh);
        Ok(())
    }

    /// Firings that a daemon standing by has recorded.
    async fn find_recorded(&mut self) {
        match self.shared.ledger.open_fires().await {
            Ok(open) => {
                let new = open.into_iter().filter(|fire| {
                    fire.status == Status::Queued
                        && !self.waiting.contains_key(&fire.id)
                        && !self.at_work.contains_key(&fire.id)
                });
                let new: Vec<_> = new.collect();
                self.recorded(new);
            }
            Err(error) => self.complain(&error),
        }
    }

    async fn prune(&mut self) {
        let now = Timestamp::now();
        if now.duration_since(self.pruned) < SignedDuration::from_hours(1) {
            return;
        }
        self.pruned = now;
        let keep = self.shared.settings.read().keep;
        let before = SignedDuration::try_from(keep)
            .ok()
            .and_then(|keep| now.checked_sub(keep).ok());
        if let Some(before) = before
            && let Err(error) = self.shared.ledger.prune(before).await
        {
            self.complain(&error);
        }
    }

    /// How long nothing will happen by itself.
    pub(super) fn next_wake(&self) -> Duration {
        let now = Timestamp::now();
        let schedules = self.catalog.triggers().filter_map(|armed| {
            let TriggerSource::Schedule(schedule) = &armed.trigger.source else {
                return None;
            };
            schedule.cron.next(*self.cursors.get(&armed.key)?)
        });
        let put_off = self
            .waiting
            .values()
            .map(|fire| fire.not_before)
            .filter(|time| *time > now);
        let next = schedules.chain(put_off).min();
        let wait = next.map(|next| next.duration_since(now));
        // A little more than nothing: what is overdue and can't be done yet must not spin.
        wait.and_then(|wait| Duration::try_from(wait).ok())
            .map_or(
                if next.is_some() {
                    Duration::from_millis(50)
                } else {
                    ROUND
                },
                |wait| wait,
            )
            .min(ROUND)
    }
}
