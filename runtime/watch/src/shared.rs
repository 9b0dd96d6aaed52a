//! What the daemon and its HTTP server share.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use jiff::Timestamp;
use parking_lot::RwLock;
use tokio::sync::mpsc::UnboundedSender;

use crate::catalog::Armed;
use crate::files::FileEvent;
use crate::host::{EngineEvent, Settings};
use crate::ledger::{Fire, Ledger};
use crate::limits::Limits;
use crate::metrics::Metrics;

/// What the daemon hears.
#[derive(Debug)]
pub enum Event {
    /// Of files.
    File(FileEvent),
    /// Of the engine of a target.
    Engine(Option<String>, EngineEvent),
    /// A message was recorded.
    Recorded(Vec<Fire>),
    /// The process of a firing ended: its id and its run.
    Exited(String, String, crate::child::Exit),
    /// Something is worth telling.
    Trouble(String),
    /// The configuration or a runbook changed.
    Reload,
    /// Let runs finish and end.
    Stop,
}

/// A trigger that a message can fire, with the secret that the message must know.
#[derive(Debug, Clone)]
pub struct Hook {
    /// The trigger.
    pub armed: Arc<Armed>,
    /// The secret; `None` if it could not be found, and nothing gets in.
    pub secret: Option<Arc<[u8]>>,
}

/// Where messages go.
#[derive(Debug, Default)]
pub struct Routes {
    /// Webhooks by their path.
    pub hooks: HashMap<String, Vec<Hook>>,
    /// Triggers that wait for alerts.
    pub alerts: Vec<Hook>,
}

/// What the daemon and its HTTP server share.
pub struct Shared {
    /// The ledger.
    pub ledger: Ledger,
    /// Counts for Prometheus.
    pub metrics: Metrics,
    /// How often triggers may fire.
    pub limits: Limits,
    /// Where messages go.
    pub routes: RwLock<Arc<Routes>>,
    /// How the daemon works.
    pub settings: RwLock<Settings>,
    /// The daemon's ears.
    pub events: UnboundedSender<Event>,
    leader: AtomicBool,
    alive: AtomicI64,
}

impl Shared {
    /// For a daemon that begins.
    #[must_use]
    pub fn new(ledger: Ledger, settings: Settings, events: UnboundedSender<Event>) -> Self {
        Self {
            ledger,
            metrics: Metrics::default(),
            limits: Limits::default(),
            routes: RwLock::default(),
            settings: RwLock::new(settings),
            events,
            leader: AtomicBool::new(false),
            alive: AtomicI64::new(Timestamp::now().as_second()),
        }
    }

    /// This daemon fires from now on, or stands by.
    pub fn lead(&self, leader: bool) {
        self.leader.store(leader, Ordering::Relaxed);
        self.metrics.leads(leader);
    }

    /// Whether this daemon is the one that fires.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.leader.load(Ordering::Relaxed)
    }

    /// The daemon's loop goes round.
    pub fn beat(&self) {
        self.alive
            .store(Timestamp::now().as_second(), Ordering::Relaxed);
    }

    /// Seconds since the daemon's loop last went round.
    #[must_use]
    pub fn silence(&self) -> i64 {
        Timestamp::now().as_second() - self.alive.load(Ordering::Relaxed)
    }
}
