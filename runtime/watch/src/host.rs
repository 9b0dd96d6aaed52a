//! What the daemon is given by whoever starts it: it knows no configuration file, no engine and no
//! store of secrets itself.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ccrun_kernel::runbook::Runbook;
use ccrun_kernel::{BoxFuture, Result};
use futures::stream::BoxStream;
use jiff::Timestamp;

use crate::ledger::Fire;

/// How the daemon works.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Where it listens; nowhere without one.
    pub listen: Option<SocketAddr>,
    /// What `/metrics` and `/runs` ask for; needed to listen on more than this host.
    pub token: Option<String>,
    /// So many runs at once.
    pub concurrency: usize,
    /// How long runs may go on once the daemon is asked to stop.
    pub grace: Duration,
    /// The largest body that is taken.
    pub body: usize,
    /// So many firings of one trigger may wait.
    pub queue: usize,
    /// How long firings are remembered.
    pub keep: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: Some(SocketAddr::from(([127, 0, 0, 1], 8467))),
            token: None,
            concurrency: 4,
            grace: Duration::from_secs(30),
            body: 1 << 20,
            queue: 1000,
            keep: Duration::from_secs(30 * 24 * 3600),
        }
    }
}

/// A runbook that was found.
#[derive(Debug, Clone)]
pub struct Found {
    /// `backup`, `troubleshoot/postgres`
    pub name: String,
    /// Its file.
    pub path: PathBuf,
    /// The runbook, if it can be read and checks.
    pub runbook: Result<Runbook>,
}

/// Everything that is read again when it changes.
#[derive(Debug, Clone)]
pub struct Setup {
    /// How the daemon works.
    pub settings: Settings,
    /// The runbooks.
    pub runbooks: Vec<Found>,
    /// Patterns of the files that all this was read from.
    pub read_from: Vec<String>,
}

/// An event of the Docker engine.
#[derive(Debug, Clone, PartialEq)]
pub struct EngineEvent {
    /// When, in nanoseconds since 1970.
    pub time: i64,
    /// `die`, `health_status: unhealthy`
    pub action: String,
    /// The container.
    pub id: String,
    /// Its name, image, labels and what else the engine says.
    pub attributes: BTreeMap<String, String>,
}

/// Events of an engine, one after the other.
pub type EngineEvents = BoxStream<'static, Result<EngineEvent>>;

/// Whoever starts the daemon.
pub trait Host: Send + Sync + 'static {
    /// Read the configuration and the runbooks.
    ///
    /// # Errors
    /// If the configuration can't be read. A runbook that can't is told in its [`Found`].
    fn read(&self) -> Result<Setup>;

    /// The text of a secret.
    fn secret<'a>(
        &'a self,
        target: Option<&'a str>,
        name: &'a str,
    ) -> BoxFuture<'a, Result<String>>;

    /// Listen to the engine of a target, from a time on.
    fn engine<'a>(
        &'a self,
        target: Option<&'a str>,
        since: Timestamp,
    ) -> BoxFuture<'a, Result<EngineEvents>>;

    /// The command that runs a firing in a process of its own.
    fn command(&self, fire: &Fire, run: &str) -> std::process::Command;

    /// The command of a process that waits for one line, `ID RUN`, and then runs that firing.
    fn spare(&self) -> std::process::Command;

    /// Tell the operator something.
    fn remark(&self, text: &str);
}
