//! The ledger: every firing of every trigger, written down before anything of it runs.
//!
//! It lives beside the journal in SQLite, or in Postgres for daemons on several hosts. What keeps a
//! firing from happening twice is in the database alone: a unique key for each, and states that only
//! one process can move forward (`queued` → `starting` → `running` → ended), each move naming the
//! state it comes from.

mod connect;
mod files;
mod fire;
mod look;
mod moves;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use ccrun_kernel::{Error, Result};
use jiff::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{Any, AnyPool, Row as _, Transaction};

pub use files::FileChanges;
pub use fire::{Fire, FirePolicy, NewFire, Status};
pub use look::{Last, Stopped};

use fire::time_text;

/// The name of the ledger's file in the journal's folder.
pub const FILE: &str = "watch.db";

/// A ledger that is open. Clones share it.
#[derive(Clone, Debug)]
pub struct Ledger {
    pool: AnyPool,
    place: Arc<str>,
    sqlite: bool,
}

/// What is recorded together with firings, or not at all.
#[derive(Debug, Default)]
pub struct With {
    /// Up to when a trigger is accounted for.
    pub cursor: Option<(String, Timestamp)>,
    /// What its files look like now.
    pub files: Option<FileChanges>,
    /// The firing whose end is told by this.
    pub told: Option<String>,
    /// A runbook whose last run ended, and whether it failed.
    pub last: Option<(String, bool)>,
}

impl Ledger {
    /// Open the ledger in the journal's folder, making it if there is none.
    ///
    /// # Errors
    /// `watch.ledger`
    pub async fn open(folder: &Path) -> Result<Self> {
        connect::sqlite(folder).await
    }

    /// Open the ledger in a Postgres database, making its tables if there are none.
    ///
    /// # Errors
    /// `watch.ledger`
    pub async fn open_postgres(url: &str) -> Result<Self> {
        connect::postgres(url).await
    }

    /// Write what is left and close it.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Where it is, for messages.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Whether it is in Postgres.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        !self.sqlite
    }

    /// Record firings, and what goes with them, in one transaction. Those that were recorded before,
    /// by whomever, are left out of what it returns.
    ///
    /// # Errors
    /// `watch.ledger`
    pub async fn record(&self, fires: Vec<NewFire>, with: With) -> Result<Vec<Fire>> {
        let mut transaction = self.begin().await?;
        let mut fresh = Vec::with_capacity(fires.len());
        for new in fires {
            let inserted = moves::insert(&mut transaction, new).await;
            fresh.extend(inserted.map_err(|error| self.failed(error))?);
        }
        let extra = moves::with(&mut transaction, with).await;
        extra.map_err(|error| self.failed(error))?;
        self.commit(transaction).await?;
        Ok(fresh)
    }

    async fn begin(&self) -> Result<Transaction<'static, Any>> {
        // SQLite: for writing from the start, or two writers find out too late that they are two.
        let begin = if self.sqlite {
            "BEGIN IMMEDIATE"
        } else {
            "BEGIN"
        };
        let begun = self.pool.begin_with(begin).await;
        begun.map_err(|error| self.failed(error))
    }

    async fn commit(&self, transaction: Transaction<'static, Any>) -> Result<()> {
        transaction
            .commit()
            .await
            .map_err(|error| self.failed(error))
    }

    fn failed(&self, error: sqlx::Error) -> Error {
        let message = match &error {
            sqlx::Error::Database(database) => database.message().to_owned(),
            sqlx::Error::PoolTimedOut => "no connection within 10 s".to_owned(),
            other => other.to_string(),
        };
        let hint = if self.sqlite {
            "see who holds the file with `fuser`, and whether the disk is full with `df -h`"
        } else {
            "check that the database is up, and `[watch] ledger` in ccrun.toml"
        };
        Error::new(
            "watch.ledger",
            format!("the ledger of triggers in {} failed: {message}", self.place),
        )
        .hint(hint)
        .retryable()
    }

    async fn fires(&self, sql: &'static str, text: &str) -> Result<Vec<Fire>> {
        let rows: Vec<AnyRow> = sqlx::query(sql)
            .bind(text.to_owned())
            .fetch_all(&self.pool)
            .await
            .map_err(|error| self.failed(error))?;
        let fires = rows.iter().map(fire::fire).collect::<sqlx::Result<_>>();
        fires.map_err(|error| self.failed(error))
    }

    async fn number(&self, sql: &'static str, binds: &[&str]) -> Result<i64> {
        let query = binds.iter().fold(sqlx::query(sql), |query, text| {
            query.bind((*text).to_owned())
        });
        let row = query.fetch_one(&self.pool).await;
        row.and_then(|row| row.try_get(0))
            .map_err(|error| self.failed(error))
    }

    /// Run a statement and say how many rows it touched.
    async fn run(&self, sql: &'static str, binds: &[Option<&str>]) -> Result<u64> {
        let query = binds.iter().fold(sqlx::query(sql), |query, text| {
            query.bind(text.map(str::to_owned))
        });
        let done = query.execute(&self.pool).await;
        done.map(|done| done.rows_affected())
            .map_err(|error| self.failed(error))
    }
}

fn now() -> String {
    time_text(Timestamp::now())
}
