//! The daemon: one loop that hears of everything and decides, in the order in which it hears.

mod dispatch;
mod ended;
mod fired;
mod load;
mod once;
mod tick;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ccrun_kernel::{Error, Result};
use jiff::Timestamp;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

use crate::catalog::Catalog;
use crate::child::{Spare, StopReason};
use crate::files::{FileEvent, FileWatcher};
use crate::host::{Host, Settings, Setup};
use crate::leader::Lead;
use crate::ledger::{Fire, Ledger};
use crate::shared::{Event, Shared};
use crate::systemd::Manager;

pub use once::Once;

/// Where the daemon keeps its things.
#[derive(Debug, Clone)]
pub struct Places {
    /// Patterns of files start here.
    pub folder: PathBuf,
    /// Where the journal is.
    pub state: PathBuf,
    /// The database of the ledger, where it is not beside the journal.
    pub postgres: Option<String>,
}

/// A run at work.
struct AtWork {
    fire: Fire,
    stop: UnboundedSender<StopReason>,
    /// It is being stopped for this.
    stopping: Option<StopReason>,
}

/// The daemon.
pub struct Daemon {
    host: Arc<dyn Host>,
    places: Places,
    shared: Arc<Shared>,
    events: UnboundedReceiver<Event>,
    catalog: Catalog,
    manager: Manager,
    watcher: Option<FileWatcher>,
    /// Firings that wait, in order.
    waiting: BTreeMap<String, Fire>,
    /// Runs at work, by the id of their firing.
    at_work: HashMap<String, AtWork>,
    /// Up to when each schedule is accounted for.
    cursors: HashMap<String, Timestamp>,
    /// The triggers that were stopped.
    stopped: HashMap<String, String>,
    /// How often in a row the files of a trigger changed while its own run was at work.
    selfish: HashMap<String, u32>,
    /// Changes of files that the ledger could not take yet.
    unrecorded: VecDeque<FileEvent>,
    engines: HashMap<Option<String>, JoinHandle<()>>,
    /// A process that waits for the next firing.
    spare: Option<Spare>,
    /// Patterns of the files that everything was read from.
    read_from: Vec<String>,
    stopping: bool,
    tally: Once,
    pruned: Timestamp,
}

/// The key of the trigger that stands for the daemon's own files.
const OWN: &str = "@reload";
/// How often the loop goes round at least: a clock that was set shows then.
const ROUND: Duration = Duration::from_secs(2);
/// How often a daemon that stands by asks for the lead.
const ASK_AGAIN: Duration = Duration::from_millis(500);

impl Daemon {
    /// A daemon that has read everything and started nothing.
    ///
    /// # Errors
    /// What the configuration or the ledger says.
    pub async fn new(host: Arc<dyn Host>, places: Places) -> Result<Self> {
        let setup = host.read()?;
        check_settings(&setup.settings)?;
        let ledger = match &places.postgres {
            Some(url) => Ledger::open_postgres(url).await?,
            None => Ledger::open(&places.state).await?,
        };
        let (sender, events) = unbounded_channel();
        let shared = Arc::new(Shared::new(ledger, setup.settings.clone(), sender));
        let mut daemon = Self {
            host,
            places,
            shared,
            events,
            catalog: Catalog::default(),
            manager: Manager::find(),
            watcher: None,
            waiting: BTreeMap::new(),
            at_work: HashMap::new(),
            cursors: HashMap::new(),
            stopped: HashMap::new(),
            selfish: HashMap::new(),
            unrecorded: VecDeque::new(),
            engines: HashMap::new(),
            spare: None,
            read_from: Vec::new(),
            stopping: false,
            tally: Once::default(),
            pruned: Timestamp::UNIX_EPOCH,
        };
        daemon.take(setup).await?;
        Ok(daemon)
    }

    /// What it shares with its HTTP server.
    #[must_use]
    pub fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Run until somebody sends [`Event::Stop`]. Stands by while another daemon fires.
    ///
    /// # Errors
    /// What makes it impossible to go on.
    pub async fn run(mut self) -> Result<()> {
        let server = if self.places.postgres.is_some() {
            crate::http::serve(&self.shared).await?
        } else {
            None
        };
        let mut told = false;
        let mut lead = loop {
            match self.ask_for_lead().await {
                Ok(Ok(lead)) => break lead,
                Ok(Err(who)) => {
                    if !std::mem::replace(&mut told, true) {
                        self.host
                            .remark(&format!("standing by: {who} fires the triggers"));
                        self.manager.tell("READY=1\nSTATUS=standing by");
                    }
                }
                Err(error) if error.is_retryable() && told => self.host.remark(&error.to_string()),
                Err(error) => return Err(error),
            }
            self.shared.beat();
            self.manager.tell("WATCHDOG=1");
            let heard = tokio::time::timeout(ASK_AGAIN, self.events.recv()).await;
            match heard {
                Ok(Some(Event::Stop) | None) => return Ok(()),
                Ok(Some(Event::Reload)) => self.reload().await,
                _ => {}
            }
        };
        self.shared.lead(true);
        let server = match server {
            Some(server) => Some(server),
            None => crate::http::serve(&self.shared).await?,
        };
        self.recover().await?;
        self.start_sources().await?;
        let count = self.catalog.triggers().count();
        self.host.remark(&format!(
            "watching: {count} {}{}",
            if count == 1 { "trigger" } else { "triggers" },
            server
                .as_ref()
                .map(|server| format!(", http://{}", server.address))
                .unwrap_or_default()
        ));
        self.manager.tell("READY=1");
        let ended = self.rounds(&mut lead).await;
        self.manager.tell("STOPPING=1");
        self.shared.lead(false);
        drop(server);
        self.shared.ledger.close().await;
        ended
    }

    async fn ask_for_lead(&self) -> Result<std::result::Result<Lead, String>> {
        match &self.places.postgres {
            Some(url) => Lead::in_postgres(url).await,
            None => Lead::in_folder(&self.places.state),
        }
    }

    async fn rounds(&mut self, lead: &mut Lead) -> Result<()> {
        let watchdog = self.manager.watchdog().unwrap_or(ROUND);
        let mut grace: Option<tokio::time::Instant> = None;
        let mut checked = tokio::time::Instant::now();
        loop {
            if !self.stopping {
                self.tick().await;
            }
            self.dispatch().await;
            self.stand();
            if !self.stopping {
                self.keep_spare();
            }
            if self.stopping {
                let end = *grace.get_or_insert_with(|| self.begin_to_stop());
                if self.at_work.is_empty() {
                    return Ok(());
                }
                if tokio::time::Instant::now() >= end {
                    for work in self.at_work.values_mut() {
                        work.stop_for(StopReason::Shutdown);
                    }
                }
            }
            if checked.elapsed() > Duration::from_secs(5) {
                checked = tokio::time::Instant::now();
                if !lead.is_held().await {
                    return Err(Error::new(
                        "watch.lead",
                        "the connection that said that this daemon fires was lost",
                    )
                    .hint("another daemon takes over; start this one again to stand by"));
                }
            }
            let wake = self.next_wake().min(watchdog).min(ROUND);
            let first = match tokio::time::timeout(wake, self.events.recv()).await {
                Ok(Some(event)) => event,
                Ok(None) => return Ok(()),
                Err(_) => continue,
            };
            self.hear(first).await;
            // What came in the meantime, without going round for each.
            for _ in 0..64 {
                match self.events.try_recv() {
                    Ok(event) => self.hear(event).await,
                    Err(_) => break,
                }
            }
        }
    }

    async fn hear(&mut self, event: Event) {
        match event {
            Event::File(FileEvent::Changed(key, ..)) if key == OWN => self.reload().await,
            Event::File(FileEvent::Seen(seen)) if seen.trigger == OWN => {}
            Event::File(FileEvent::Trouble(text)) | Event::Trouble(text) => self.host.remark(&text),
            Event::File(event) => self.files_changed(event).await,
            Event::Engine(target, event) => self.engine_said(target, event).await,
            Event::Recorded(fires) => self.recorded(fires),
            Event::Exited(id, run, exit) => self.exited(&id, &run, exit).await,
            Event::Reload => self.reload().await,
            Event::Stop => self.stopping = true,
        }
    }

    fn begin_to_stop(&mut self) -> tokio::time::Instant {
        self.watcher = None;
        self.spare = None;
        self.engines.drain().for_each(|(_, task)| task.abort());
        let grace = self.shared.settings.read().grace;
        if !self.at_work.is_empty() {
            self.host.remark(&format!(
                "stopping: {} at work, for {} s at most",
                self.at_work.len(),
                grace.as_secs()
            ));
        }
        self.manager.tell("STOPPING=1");
        tokio::time::Instant::now() + grace
    }

    fn stand(&self) {
        self.shared.beat();
        self.shared.metrics.stand(
            self.waiting.len(),
            self.at_work.len(),
            self.catalog.broken().len(),
            self.stopped.len(),
        );
        let (waiting, at_work) = (self.waiting.len(), self.at_work.len());
        self.manager.tell(&format!(
            "WATCHDOG=1\nSTATUS={at_work} at work, {waiting} waiting"
        ));
    }

    /// What went wrong with the ledger is tried again with the next round.
    fn complain(&self, error: &Error) {
        self.host.remark(&error.to_string());
    }
}

impl AtWork {
    fn stop_for(&mut self, reason: StopReason) {
        if self.stopping.is_none() {
            self.stopping = Some(reason);
            let _ = self.stop.send(reason);
        }
    }
}

/// Nobody but this host reaches a daemon without a token.
fn check_settings(settings: &Settings) -> Result<()> {
    match settings.listen {
        Some(address) if !address.ip().is_loopback() && settings.token.is_none() => Err(Error::new(
            "config.watch",
            format!("`[watch] listen = \"{address}\"` is open to other hosts, and there is no `token`"),
        )
        .hint("set `token = \"secret:WATCH_TOKEN\"` beside it, or listen on 127.0.0.1")),
        _ => Ok(()),
    }
}

impl Daemon {
    /// Take what was read, if it makes sense.
    async fn take(&mut self, mut setup: Setup) -> Result<Vec<(String, String)>> {
        check_settings(&setup.settings)?;
        if let Some(token) = &mut setup.settings.token
            && let Some(name) = token.strip_prefix("secret:")
        {
            *token = self.host.secret(None, name).await?;
        }
        self.read_from = std::mem::take(&mut setup.read_from);
        let all: Vec<String> = setup
            .runbooks
            .iter()
            .map(|found| found.name.clone())
            .collect();
        let broken = self.load(setup).await?;
        for (runbook, missing) in self.catalog.missing(&all) {
            self.host.remark(&format!(
                "{runbook} waits for the end of {missing}, and there is no such runbook"
            ));
        }
        Ok(broken)
    }
}
