//! The one thread that writes. It owns the connection for writing, so nobody's cancellation can leave
//! a transaction half-way, and steps that finish together are committed together.

use std::any::Any;
use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use super::buffer::{Buffer, Taken};
use super::failure::{Failure, explain, is_about_the_rows};
use super::row::{Batch, Row, batch, transaction};
use crate::error::{Error, Result};

/// How long a buffered row waits at most, while the disk keeps up.
const DELAY: Duration = Duration::from_millis(200);
/// After a failed write the next try comes so much later.
const DELAY_AFTER_FAILURE: Duration = Duration::from_secs(2);
/// How often a run says that it lives, for readers on other hosts.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(20);

/// A boxed future, as a piece of work on the database returns.
pub(super) type Working<'c, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send + 'c>>;

type Outcome = Box<dyn Any + Send>;
type Work = Box<dyn for<'c> FnOnce(&'c mut SqliteConnection) -> Working<'c, Outcome> + Send>;

/// What the writer is asked to do.
pub(super) enum Command {
    /// Make durable whatever is buffered; an error is told if it concerns this run, or any if `None`.
    Commit(Option<Arc<str>>, oneshot::Sender<Result<()>>),
    /// Run a piece of work in a transaction of its own, after everything that is buffered.
    Work(Work, oneshot::Sender<Result<Outcome>>),
    /// Write what is left, close the file and end.
    Close(oneshot::Sender<Result<()>>),
}

/// The commands of a writer.
pub(super) struct Commands(mpsc::Sender<Command>);

impl Commands {
    /// Make durable whatever is buffered.
    pub(super) async fn commit(&self, run: Option<Arc<str>>) -> Result<()> {
        self.ask(|reply| Command::Commit(run, reply)).await
    }

    /// Write what is left and close the file. Closing twice is no error.
    pub(super) async fn close(&self) -> Result<()> {
        if self.0.is_closed() {
            return Ok(());
        }
        self.ask(Command::Close).await
    }

    /// Run `work` in a transaction of its own; durable when this returns.
    pub(super) async fn work<T, W>(&self, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: for<'c> FnOnce(&'c mut SqliteConnection) -> Working<'c, T> + Send + 'static,
    {
        let work: Work = Box::new(move |connection| {
            let working = work(connection);
            Box::pin(async move { Ok(Box::new(working.await?) as Outcome) })
        });
        let outcome = self.ask(|reply| Command::Work(work, reply)).await?;
        Ok(*outcome
            .downcast()
            .expect("the outcome is of the type the work returns"))
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T>>) -> Command,
    ) -> Result<T> {
        let closed = || Error::new("journal.closed", "the journal was closed already");
        let (reply, answer) = oneshot::channel();
        self.0.send(command(reply)).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }
}

/// Start the writer. It ends when its last handle is dropped.
///
/// It has a thread to itself, and a runtime without sockets: waking a thread of the common runtime
/// out of `epoll` took 40 µs where this takes 4, and a commit is on the way of every step. And the
/// journal works as long as the process does, whatever happens to the runtime it was opened on.
///
/// # Errors
/// If the process may not start another thread.
pub(super) fn start(
    connection: SqliteConnection,
    path: PathBuf,
    buffer: Arc<Buffer>,
    heartbeat: Duration,
) -> std::io::Result<Commands> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    let (sender, commands) = mpsc::channel(256);
    let writer = Writer {
        connection,
        path,
        buffer,
        commands,
        put_off: None,
        refused: BTreeMap::new(),
        heartbeat,
    };
    std::thread::Builder::new()
        .name("journal-writer".to_owned())
        .spawn(move || runtime.block_on(writer.run()))?;
    Ok(Commands(sender))
}

struct Writer {
    connection: SqliteConnection,
    path: PathBuf,
    buffer: Arc<Buffer>,
    commands: mpsc::Receiver<Command>,
    /// A command taken from the queue while looking for more commits.
    put_off: Option<Command>,
    /// Why rows of these runs were not written, for their own fault, until those runs commit.
    refused: BTreeMap<Arc<str>, Error>,
    heartbeat: Duration,
}

/// So many runs with refused rows are remembered.
const MOST_REFUSED: usize = 64;

/// What the writer wakes for.
enum Next {
    Command(Command),
    /// The timer, or the buffer.
    Woken,
    /// Nobody holds the journal any more.
    AllGone,
}

/// When buffered rows are written without anybody asking.
enum Timer {
    /// Nothing is buffered; the buffer wakes the writer.
    Asleep,
    /// Then at the latest, earlier if much comes together.
    At(Instant),
    /// The last write failed: not before then.
    NotBefore(Instant),
}

impl Writer {
    async fn run(mut self) {
        let mut timer = Timer::Asleep;
        let mut beat_at = Instant::now() + self.heartbeat;
        let closer = loop {
            if matches!(timer, Timer::Asleep) && !self.buffer.fall_asleep() {
                timer = Timer::At(Instant::now() + DELAY);
            }
            let wake_at = match timer {
                Timer::Asleep => beat_at,
                Timer::At(at) | Timer::NotBefore(at) => at.min(beat_at),
            };
            match self.next(wake_at).await {
                Next::Command(Command::Commit(run, reply)) => self.commit(run, reply).await,
                // Whoever stopped waiting does not want it done any more.
                Next::Command(Command::Work(_, reply)) if reply.is_closed() => {}
                Next::Command(Command::Work(work, reply)) => {
                    let _ = reply.send(self.work(work).await);
                }
                Next::Command(Command::Close(reply)) => break Some(reply),
                Next::AllGone => break None,
                Next::Woken => {}
            }
            let now = Instant::now();
            if now >= beat_at {
                self.beat().await;
                beat_at = now + self.heartbeat;
            }
            let due = match timer {
                Timer::Asleep => self.buffer.is_long(),
                Timer::At(at) => now >= at || self.buffer.is_long(),
                Timer::NotBefore(at) => now >= at,
            };
            if due {
                timer = match self.write().await {
                    Ok(()) => Timer::Asleep,
                    Err(error) => {
                        tracing::warn!(%error, "buffered rows stay in memory");
                        Timer::NotBefore(Instant::now() + DELAY_AFTER_FAILURE)
                    }
                };
            }
        };
        self.end(closer).await;
    }

    async fn next(&mut self, wake_at: Instant) -> Next {
        if let Some(command) = self.put_off.take() {
            return Next::Command(command);
        }
        tokio::select! {
            command = self.commands.recv() => command.map_or(Next::AllGone, Next::Command),
            () = self.buffer.wake.notified() => Next::Woken,
            () = sleep_until(wake_at) => Next::Woken,
        }
    }

    /// Write what is left and close the file: the last one to close tidies the `-wal` file away.
    async fn end(mut self, closer: Option<oneshot::Sender<Result<()>>>) {
        self.commands.close();
        let written = self.write().await;
        let written = written.and(self.refused.into_values().next().map_or(Ok(()), Err));
        // Whoever still waits for room waits in vain.
        self.buffer.put_back(Vec::new());
        if let (Err(error), None) = (&written, &closer) {
            tracing::warn!(%error, "the last rows of the journal are lost");
        }
        let closed = self
            .connection
            .close()
            .await
            .map_err(|error| explain(&self.path, &error));
        if let Some(closer) = closer {
            let _ = closer.send(written.and(closed));
        }
    }

    /// Commit for this caller and for all who wait behind it.
    async fn commit(&mut self, run: Option<Arc<str>>, reply: oneshot::Sender<Result<()>>) {
        let mut waiting = vec![(run, reply)];
        while let Ok(command) = self.commands.try_recv() {
            match command {
                Command::Commit(run, reply) => waiting.push((run, reply)),
                other => {
                    self.put_off = Some(other);
                    break;
                }
            }
        }
        let written = self.write().await;
        let mut told = Vec::with_capacity(waiting.len());
        for (run, reply) in waiting {
            let refused = match &run {
                Some(run) => self.refused.get(run),
                None => self.refused.values().next(),
            };
            let refused = refused.cloned().map_or(Ok(()), Err);
            let _ = reply.send(written.clone().and(refused));
            told.push(run);
        }
        if written.is_ok() {
            let is_told = |run: &Arc<str>| told.iter().any(|t| t.as_ref().is_none_or(|t| t == run));
            self.refused.retain(|run, _| !is_told(run));
        }
    }

    async fn work(&mut self, work: Work) -> Result<Outcome> {
        self.write().await?;
        let outcome = self.in_transaction(work).await;
        if outcome.is_err() {
            self.roll_back().await;
        }
        outcome.map_err(|failure| failure.at(&self.path))
    }

    async fn in_transaction(&mut self, work: Work) -> Result<Outcome, Failure> {
        self.connection.execute("BEGIN IMMEDIATE").await?;
        let outcome = work(&mut self.connection).await?;
        self.connection.execute("COMMIT").await?;
        Ok(outcome)
    }

    /// Write all that is buffered in one durable transaction. On an error of the file or the disk
    /// the rows stay buffered. Rows that are wrong themselves are left out, see `refused`.
    async fn write(&mut self) -> Result<()> {
        let Taken { mut rows, lost } = self.buffer.take();
        rows.extend(
            lost.into_iter()
                .map(|(run, count)| super::events::gap(run, count)),
        );
        if rows.is_empty() {
            return Ok(());
        }
        let written = match self.write_together(&mut rows).await {
            Err(error) if is_about_the_rows(&error) => self.write_singly(&rows).await,
            other => other,
        };
        match written {
            Ok(()) => {
                self.buffer.written();
                Ok(())
            }
            Err(error) => {
                self.roll_back().await;
                self.buffer.put_back(rows);
                Err(explain(&self.path, &error))
            }
        }
    }

    async fn write_together(&mut self, rows: &mut [Row]) -> sqlx::Result<()> {
        for batch in transaction(rows) {
            self.execute(batch).await?;
        }
        Ok(())
    }

    /// After one wrong row spoiled a transaction: write all but the wrong ones.
    async fn write_singly(&mut self, rows: &[Row]) -> sqlx::Result<()> {
        self.roll_back().await;
        self.connection.execute("BEGIN IMMEDIATE").await?;
        let mut refused = Vec::new();
        for row in rows {
            // A constraint undoes the statement, not the transaction.
            match self.execute(batch(std::slice::from_ref(row))).await {
                Err(error) if is_about_the_rows(&error) => {
                    refused.push((Arc::clone(&row.run), explain(&self.path, &error)));
                }
                other => other?,
            }
        }
        self.connection.execute("COMMIT").await?;
        for (run, error) in refused {
            tracing::warn!(%run, %error, "the journal refused a row");
            if self.refused.len() < MOST_REFUSED {
                self.refused.entry(run).or_insert(error);
            }
        }
        Ok(())
    }

    async fn execute(&mut self, batch: Batch) -> sqlx::Result<()> {
        let Batch {
            sql,
            arguments,
            keep,
        } = batch;
        let query = sqlx::query_with(AssertSqlSafe(sql), arguments).persistent(keep);
        self.connection.execute(query).await.map(drop)
    }

    /// Leave no transaction open. An error only says that SQLite rolled back by itself.
    async fn roll_back(&mut self) {
        let _ = self.connection.execute("ROLLBACK").await;
    }

    /// Say that the runs of this process live.
    async fn beat(&mut self) {
        let active: Vec<String> = self.buffer.active.lock().iter().cloned().collect();
        for run in active {
            let now = super::column::time_text(jiff::Timestamp::now());
            let beat = sqlx::query("UPDATE runs SET seen = ? WHERE id = ?")
                .bind(now)
                .bind(run);
            if let Err(error) = self.connection.execute(beat).await {
                tracing::warn!(%error, "the journal missed a heartbeat");
            }
        }
    }
}
