//! `--once`: run what is due now, and end.

use std::time::Duration;

use ccrun_kernel::runbook::TriggerSource;
use ccrun_kernel::{Error, Result};

use super::{Daemon, StopReason};
use crate::files::{FileSet, changes_of};
use crate::shared::Event;

/// What came of it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Once {
    /// So many firings ended well.
    pub done: u64,
    /// So many did not.
    pub failed: u64,
    /// So many runbooks do not check, and were left out or ran as they last were.
    pub broken: usize,
}

impl Daemon {
    /// Run what is due: times that passed, files that changed since, what was left waiting, and what
    /// follows from that.
    ///
    /// # Errors
    /// `watch.lead` if another daemon fires the triggers.
    pub async fn once(mut self) -> Result<Once> {
        let _lead = match self.ask_for_lead().await? {
            Ok(lead) => lead,
            Err(who) => {
                return Err(Error::new(
                    "watch.lead",
                    format!("{who} fires the triggers of this journal"),
                )
                .hint("there is nothing to do for `--once` while a daemon runs"));
            }
        };
        self.recover().await?;
        let triggers: Vec<_> = self.catalog.triggers().cloned().collect();
        for armed in triggers {
            if let TriggerSource::Files(files) = &armed.trigger.source {
                let known = self.known(&armed.key).await?;
                let first = known.is_none();
                let mut set = FileSet::new(&self.places.folder, files);
                set.remember(known.unwrap_or_default());
                let found = set.walk(None).files;
                let changes = set.compare_all(&found);
                let event = changes_of(&armed.key, files, changes, first);
                if let Some(event) = event {
                    self.files_changed(event).await;
                }
            }
        }
        self.tick().await;
        loop {
            self.dispatch().await;
            if self.at_work.is_empty() && self.waiting.is_empty() {
                break;
            }
            let wake = self.next_wake().min(Duration::from_secs(1));
            match tokio::time::timeout(wake, self.events.recv()).await {
                Ok(Some(Event::Stop)) => {
                    self.stopping = true;
                    for work in self.at_work.values_mut() {
                        work.stop_for(StopReason::Shutdown);
                    }
                }
                Ok(Some(event)) => self.hear(event).await,
                _ => {}
            }
            if self.stopping && self.at_work.is_empty() {
                break;
            }
        }
        self.shared.ledger.close().await;
        self.tally.broken = self.catalog.broken().len();
        Ok(self.tally)
    }
}
