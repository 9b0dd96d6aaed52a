//! Starting what waits: in order, one run of a runbook at a time, so many runs in all.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use ccrun_kernel::Result;
use ccrun_kernel::journal::Process;
use ccrun_kernel::run::RunId;
use ccrun_kernel::runbook::TriggerSource;
use ccrun_kernel::runbook::trigger::Overlap;
use jiff::Timestamp;
use tokio::sync::mpsc::unbounded_channel;

use super::{AtWork, Daemon};
use crate::catalog::Armed;
use crate::child::{self, Exit, Say, Spare, Start};
use crate::ledger::{Fire, Ledger, NewFire, Status};
use crate::shared::Event;

impl Daemon {
    /// Start what may be started now.
    pub(super) async fn dispatch(&mut self) {
        if self.stopping || self.waiting.is_empty() {
            return;
        }
        let now = Timestamp::now();
        let mut busy: HashSet<String> = self
            .at_work
            .values()
            .map(|work| work.fire.runbook.clone())
            .collect();
        let concurrency = self.shared.settings.read().concurrency;
        let ids: Vec<String> = self.waiting.keys().cloned().collect();
        for id in ids {
            if self.at_work.len() >= concurrency {
                return;
            }
            let Some(fire) = self.waiting.get(&id) else {
                continue;
            };
            if fire.not_before > now {
                continue;
            }
            if fire.policy.overlap() == Overlap::Restart {
                let newer = self
                    .waiting
                    .values()
                    .any(|other| other.runbook == fire.runbook && other.id > fire.id);
                if newer {
                    self.settle(&id, Status::Replaced, "a later firing took its place")
                        .await;
                    continue;
                }
            }
            if !busy.insert(fire.runbook.clone()) {
                if fire.policy.overlap() == Overlap::Skip {
                    self.settle(&id, Status::Skipped, "the runbook was at work")
                        .await;
                }
                continue;
            }
            if let Err(error) = self.start(&id).await {
                self.complain(&error);
                return;
            }
        }
    }

    pub(super) async fn settle(&mut self, id: &str, status: Status, why: &str) {
        match self.shared.ledger.settle(id, status, why).await {
            Ok(_) => {
                if let Some(fire) = self.waiting.remove(id) {
                    self.shared
                        .metrics
                        .ended(&fire.runbook, status.as_str(), None);
                }
            }
            Err(error) => self.complain(&error),
        }
    }

    async fn start(&mut self, id: &str) -> Result<()> {
        let run = RunId::random();
        if !self.shared.ledger.start(id, run.as_str()).await? {
            // Another daemon was first.
            self.waiting.remove(id);
            return Ok(());
        }
        if let Some(mut fire) = self.waiting.remove(id) {
            fire.run = Some(run.as_str().to_owned());
            fire.status = Status::Starting;
            self.launch(fire);
        }
        Ok(())
    }

    /// Let a firing that nothing stands in the way of be recorded as started: that saves the disk one
    /// wait.
    pub(super) fn start_at_once(&self, new: &mut NewFire) {
        let free = !self.stopping
            && self.shared.leads()
            && new.status == Status::Queued
            && new.not_before <= Timestamp::now()
            && self.at_work.len() < self.shared.settings.read().concurrency
            && !self.is_busy(&new.runbook);
        if free {
            new.status = Status::Starting;
            new.run = Some(RunId::random().as_str().to_owned());
        }
    }

    /// Start the process of a firing that is recorded as started.
    pub(super) fn launch(&mut self, fire: Fire) {
        let Some(run) = fire.run.clone() else { return };
        let lag = Timestamp::now()
            .duration_since(fire.not_before)
            .as_secs_f64();
        self.shared.metrics.began(&fire.runbook, lag);
        // One that waits has the daemon's own target.
        let spare = match fire.policy.target {
            None => self.spare.take(),
            Some(_) => None,
        };
        let start = Start {
            spare: spare.map(|spare| (spare, format!("{} {run}\n", fire.id))),
            command: self.host.command(&fire, &run),
        };
        let timeout = fire
            .policy
            .timeout
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let (stop, stops) = unbounded_channel();
        let events = self.shared.events.clone();
        let host = Arc::clone(&self.host);
        let prefix = format!("[{} {}] ", fire.runbook, run.get(..4).unwrap_or(&run));
        let say: Say = Arc::new(move |line: &str| host.remark(&format!("{prefix}{line}")));
        let id = fire.id.clone();
        tokio::spawn(async move {
            let exit = child::run(start, timeout, stops, say).await;
            drop(events.send(Event::Exited(id, run, exit)));
        });
        self.at_work.insert(
            fire.id.clone(),
            AtWork {
                fire,
                stop,
                stopping: None,
            },
        );
    }

    /// Have a process wait for the next firing, if one may come at any moment.
    pub(super) fn keep_spare(&mut self) {
        let sudden =
            |armed: &Arc<Armed>| !matches!(armed.trigger.source, TriggerSource::Schedule(_));
        if self.spare.is_none() && self.at_work.is_empty() && self.catalog.triggers().any(sudden) {
            self.spare = Spare::start(self.host.spare());
        }
    }

    /// Take over what the ledger says is under way: from an earlier life of this daemon, or from
    /// another one.
    pub(super) async fn recover(&mut self) -> Result<()> {
        for fire in self.shared.ledger.open_fires().await? {
            match (fire.status, fire.run.clone(), fire.process.clone()) {
                (Status::Running, Some(run), Some(process)) => self.adopt(fire, run, process),
                (Status::Starting, Some(run), _) => {
                    if self.shared.ledger.take_back(&fire.id, &run).await? {
                        let fire = Fire {
                            status: Status::Queued,
                            run: None,
                            ..fire
                        };
                        self.waiting.insert(fire.id.clone(), fire);
                    } else if let Some(fire) = self.shared.ledger.fire(&fire.id).await?
                        && let (Status::Running, Some(process)) =
                            (fire.status, fire.process.clone())
                    {
                        self.adopt(fire, run, process);
                    }
                }
                _ => {
                    self.waiting.insert(fire.id.clone(), fire);
                }
            }
        }
        for fire in self.shared.ledger.untold().await? {
            self.ended(fire, None).await?;
        }
        Ok(())
    }

    fn adopt(&mut self, fire: Fire, run: String, process: Process) {
        let (stop, stops) = unbounded_channel();
        let events = self.shared.events.clone();
        let id = fire.id.clone();
        let ledger = self.shared.ledger.clone();
        tokio::spawn(async move {
            let exit = if process.is_here() {
                child::adopt(process, stops).await
            } else {
                elsewhere(&ledger, &id, &run).await
            };
            drop(events.send(Event::Exited(id, run, exit)));
        });
        self.at_work.insert(
            fire.id.clone(),
            AtWork {
                fire,
                stop,
                stopping: None,
            },
        );
    }
}

/// A run on another host that gave no sign of life for so long is taken for dead.
const SILENCE: jiff::SignedDuration = jiff::SignedDuration::from_secs(60);

/// Wait for a run on another host.
async fn elsewhere(ledger: &Ledger, id: &str, run: &str) -> Exit {
    loop {
        tokio::time::sleep(Duration::from_secs(2)).await;
        // While the ledger is away nobody knows anything.
        let Ok(found) = ledger.fire(id).await else {
            continue;
        };
        let alive = found.is_some_and(|fire| {
            fire.status == Status::Running
                && fire.run.as_deref() == Some(run)
                && fire
                    .seen
                    .is_some_and(|seen| Timestamp::now().duration_since(seen) < SILENCE)
        });
        if !alive {
            return Exit {
                code: None,
                text: "its process on another host gave no sign of life for a minute".to_owned(),
                stopped: None,
            };
        }
    }
}
