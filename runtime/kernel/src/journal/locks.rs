//! Locks between runs: one holder each, who can be named and who cannot be forgotten.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::Journal;
use super::column;
use super::failure::Failure;
use super::process::Process;
use crate::error::Result;

/// Who holds a lock, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Holder {
    /// The run that holds it; `None` if a person took it by hand.
    pub run: Option<String>,
    /// The person behind it.
    pub person: String,
    /// The process that took it.
    pub process: Process,
    /// What it is held for.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
}

/// A lock that somebody holds.
#[derive(Debug, Clone, PartialEq)]
pub struct LockRow {
    /// The name of the lock.
    pub name: String,
    /// Who holds it.
    pub holder: Holder,
    /// Until when it is sure to be held; `None` if it was taken by hand, which never expires.
    pub expires: Option<Timestamp>,
    /// The holder is gone: whoever wants the lock gets it.
    pub stale: bool,
}

/// What came of trying to take a lock.
#[derive(Debug, Clone, PartialEq)]
pub enum LockOutcome {
    /// It is yours.
    Acquired,
    /// It is yours; its holder was gone.
    TakenOver(LockRow),
    /// Somebody else holds it.
    HeldBy(LockRow),
}

impl Journal {
    /// Try to take a lock, without waiting. Durable when this returns.
    ///
    /// A run that holds it already gets it again, for another `lease`. The lease counts only on
    /// other hosts: here a holder loses it when its process ends, however long that takes.
    ///
    /// # Errors
    /// What the disk says.
    pub async fn lock(&self, name: &str, holder: &Holder, lease: Duration) -> Result<LockOutcome> {
        let (name, holder) = (name.to_owned(), holder.clone());
        self.work(move |connection| Box::pin(take(connection, name, holder, lease)))
            .await
    }

    /// Hold a lock for another `lease` from now: whether the run still held it.
    ///
    /// # Errors
    /// What the disk says.
    pub async fn renew_lock(&self, name: &str, run: &str, lease: Duration) -> Result<bool> {
        let (name, run) = (name.to_owned(), run.to_owned());
        self.work(move |connection| {
            Box::pin(async move {
                let sql = "UPDATE locks SET expires = ? WHERE name = ? AND run = ?";
                let until = column::time_text(after(Timestamp::now(), lease));
                let renewed = sqlx::query(sql)
                    .bind(until)
                    .bind(name)
                    .bind(run)
                    .execute(connection)
                    .await?;
                Ok(renewed.rows_affected() > 0)
            })
        })
        .await
    }

    /// Give back a lock that a run holds: whether it held it.
    ///
    /// # Errors
    /// What the disk says.
    pub async fn release_lock(&self, name: &str, run: &str) -> Result<bool> {
        let (name, run) = (name.to_owned(), run.to_owned());
        self.work(move |connection| {
            Box::pin(async move {
                let sql = "DELETE FROM locks WHERE name = ? AND run = ?";
                let released = sqlx::query(sql)
                    .bind(name)
                    .bind(run)
                    .execute(connection)
                    .await?;
                Ok(released.rows_affected() > 0)
            })
        })
        .await
    }

    /// Take a lock away from whoever holds it, by hand or not, and say who that was.
    ///
    /// # Errors
    /// What the disk says.
    pub async fn force_release(&self, name: &str) -> Result<Option<LockRow>> {
        let name = name.to_owned();
        self.work(move |connection| {
            Box::pin(async move {
                let held = look(connection, &name).await?;
                let sql = "DELETE FROM locks WHERE name = ?";
                sqlx::query(sql).bind(&name).execute(connection).await?;
                Ok(held)
            })
        })
        .await
    }

    /// All locks that are held, by name.
    ///
    /// # Errors
    /// What the disk says.
    pub async fn locks(&self) -> Result<Vec<LockRow>> {
        let mut connection = self.reader().await?;
        let rows = sqlx::query("SELECT * FROM locks ORDER BY name")
            .fetch_all(&mut *connection)
            .await;
        rows.and_then(|rows| rows.iter().map(lock_row).collect())
            .map_err(|error| Failure::from(error).at(self.path()))
    }
}

async fn take(
    connection: &mut SqliteConnection,
    name: String,
    holder: Holder,
    lease: Duration,
) -> Result<LockOutcome, Failure> {
    let held = look(connection, &name).await?;
    let outcome = match held {
        None => LockOutcome::Acquired,
        Some(held) if held.holder.run.is_some() && held.holder.run == holder.run => {
            LockOutcome::Acquired
        }
        Some(held) if held.stale => LockOutcome::TakenOver(held),
        Some(held) => return Ok(LockOutcome::HeldBy(held)),
    };
    let expires = holder
        .run
        .is_some()
        .then(|| column::time_text(after(Timestamp::now(), lease)));
    sqlx::query(
        "INSERT OR REPLACE INTO locks (name, run, person, host, pid, pid_start, reason, since,
                                       expires)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(name)
    .bind(holder.run)
    .bind(holder.person)
    .bind(holder.process.host)
    .bind(holder.process.pid)
    .bind(holder.process.pid_start.cast_signed())
    .bind(holder.reason)
    .bind(column::time_text(holder.since))
    .bind(expires)
    .execute(connection)
    .await?;
    Ok(outcome)
}

async fn look(connection: &mut SqliteConnection, name: &str) -> sqlx::Result<Option<LockRow>> {
    let sql = "SELECT * FROM locks WHERE name = ?";
    let row = sqlx::query(sql)
        .bind(name)
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(lock_row).transpose()
}

fn lock_row(row: &SqliteRow) -> sqlx::Result<LockRow> {
    let holder = Holder {
        run: row.try_get("run")?,
        person: row.try_get("person")?,
        process: column::process(row)?,
        reason: row.try_get("reason")?,
        since: column::time(row, "since")?,
    };
    let expires = column::optional_time(row, "expires")?;
    let passed = || expires.is_some_and(|expires| expires <= Timestamp::now());
    let gone = || {
        holder
            .process
            .is_alive()
            .map_or_else(passed, |alive| !alive)
    };
    let stale = holder.run.is_some() && gone();
    Ok(LockRow {
        name: row.try_get("name")?,
        holder,
        expires,
        stale,
    })
}

fn after(time: Timestamp, lease: Duration) -> Timestamp {
    time.checked_add(lease).unwrap_or(Timestamp::MAX)
}
