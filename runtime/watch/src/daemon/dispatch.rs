//! Starting what waits: in order, one run of a runbook at a time, so many runs in all.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use ccrun_kernel::Result;
use ccrun_kernel::journal::Process;
use ccrun_kernel::run::RunId;
use ccrun_kernel::runbook::trigger::Overlap;
use jiff::Timestamp;
use tokio::sync::mpsc::unbounded_channel;

use super::{AtWork, Daemon};
use crate::child::{self, Say};
use crate::ledger::{Fire, Status};
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
        let Some(mut fire) = self.waiting.remove(id) else {
            return Ok(());
        };
        fire.run = Some(run.as_str().to_owned());
        fire.status = Status::Starting;
        let lag = Timestamp::now()
            .duration_since(fire.not_before)
            .as_secs_f64();
        self.shared.metrics.began(&fire.runbook, lag);
        let command = self.host.command(&fire, run.as_str());
        let timeout = fire
            .policy
            .timeout
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let (stop, stops) = unbounded_channel();
        let events = self.shared.events.clone();
        let host = Arc::clone(&self.host);
        let prefix = format!("[{} {}] ", fire.runbook, run.short());
        let say: Say = Arc::new(move |line: &str| host.remark(&format!("{prefix}{line}")));
        let (id, run) = (fire.id.clone(), run.as_str().to_owned());
        tokio::spawn(async move {
            let exit = child::run(command, timeout, stops, say).await;
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
        Ok(())
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
        tokio::spawn(async move {
            let exit = child::adopt(process, stops).await;
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
