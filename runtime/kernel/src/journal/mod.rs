//! The durable record of runs, in SQLite.
//!
//! What is reported as done is on the disk first: [`Journal::finish_step`] returns after the commit
//! (`synchronous = FULL`) that holds the step and everything handed over before it. Events and
//! effects are buffered and ride with that commit, or follow within 200 ms. Several processes may
//! use one journal at once.
//!
//! ```text
//! event, effect, start_step ──▶ buffer ──▶ writer ──▶ journal.db (one transaction)
//! finish_step, answer, lock ──────────────▶    (waits for the commit)
//! run, runs, steps, events ◀──────────────── a second connection, for reading
//! ```
//!
//! What the process could not record itself is worked out when reading: a run whose process is gone
//! is `interrupted`, a lock whose holder is gone is free.

mod answers;
mod buffer;
mod column;
mod events;
mod failure;
mod locks;
mod process;
mod row;
mod runs;
mod schema;
mod steps;
#[cfg(test)]
mod tests;
mod writer;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::SqliteConnection;
use tokio::sync::{MappedMutexGuard, Mutex, MutexGuard};

pub use answers::DeferredRow;
pub use events::EffectRow;
pub use locks::{Holder, LockOutcome, LockRow};
pub use process::Process;
pub use runs::{NewRun, RunFilter, RunRow, RunStatus};
pub use schema::SCHEMA_VERSION;
pub use steps::{FinishedStep, NewStep, StepKey, StepRow, StepStatus};

use crate::error::Result;
use buffer::Buffer;
use failure::explain_io;
use writer::{Commands, HEARTBEAT, Working};

/// The name of the journal's file in its folder.
const FILE: &str = "journal.db";

/// A journal that is open. Clones share it; it is closed by [`Journal::close`], or when the last
/// clone is dropped.
#[derive(Clone)]
pub struct Journal(Arc<Inner>);

struct Inner {
    path: PathBuf,
    buffer: Arc<Buffer>,
    commands: Commands,
    /// Opened when first needed: a run that is not resumed reads nothing.
    reader: Mutex<Option<SqliteConnection>>,
    immutable: bool,
}

impl Journal {
    /// Open the journal in `folder`, making both (for their owner alone) if they do not exist.
    ///
    /// On a file system that cannot be written an existing journal opens, and can be read.
    ///
    /// # Errors
    /// `journal.newer` (and the file stays untouched), `journal.corrupt` (likewise),
    /// `journal.read_only`, `journal.disk_full`, `journal.busy`, `journal.cannot_open`.
    pub async fn open(folder: &Path) -> Result<Self> {
        Self::open_beating(folder, HEARTBEAT).await
    }

    async fn open_beating(folder: &Path, heartbeat: Duration) -> Result<Self> {
        // Absolute, because SQLite would read a relative name such as `file:x` as a URI.
        let folder =
            std::path::absolute(folder).map_err(|error| explain_io(&folder.join(FILE), &error))?;
        let path = folder.join(FILE);
        let schema::Opened {
            connection,
            immutable,
        } = schema::open(&path).await?;
        let buffer = Arc::new(Buffer::default());
        let commands = writer::start(connection, path.clone(), Arc::clone(&buffer), heartbeat)
            .map_err(|error| explain_io(&path, &error))?;
        Ok(Self(Arc::new(Inner {
            path,
            buffer,
            commands,
            reader: Mutex::default(),
            immutable,
        })))
    }

    /// The journal's file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Make durable everything that is buffered.
    ///
    /// # Errors
    /// What the disk says. The rows stay buffered then.
    pub async fn flush(&self) -> Result<()> {
        self.0.commands.commit(None).await
    }

    /// Write what is left and close the file. Whatever is recorded later is an error, or is lost.
    ///
    /// # Errors
    /// What the disk says.
    pub async fn close(&self) -> Result<()> {
        if let Some(reader) = self.0.reader.lock().await.take() {
            schema::close(reader).await;
        }
        self.0.commands.close().await
    }

    fn buffer(&self) -> &Buffer {
        &self.0.buffer
    }

    async fn commit(&self, run: Arc<str>) -> Result<()> {
        self.0.commands.commit(Some(run)).await
    }

    async fn work<T, W>(&self, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: for<'c> FnOnce(&'c mut SqliteConnection) -> Working<'c, T> + Send + 'static,
    {
        self.0.commands.work(work).await
    }

    /// The connection for reading. It sees everything that was handed to this journal before,
    /// unless that cannot be written: what is recorded can still be read then.
    async fn reader(&self) -> Result<MappedMutexGuard<'_, SqliteConnection>> {
        if !self.buffer().is_settled() {
            let _ = self.flush().await;
        }
        let mut reader = self.0.reader.lock().await;
        if reader.is_none() {
            *reader = Some(schema::open_again(&self.0.path, self.0.immutable).await?);
        }
        Ok(MutexGuard::map(reader, |reader| {
            reader.as_mut().expect("opened just before")
        }))
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Journal").field(&self.0.path).finish()
    }
}
