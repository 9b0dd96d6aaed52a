//! Looking things up in the ledger.

use std::collections::BTreeMap;

use ccrun_kernel::Result;
use jiff::Timestamp;
use serde::Serialize;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::Ledger;
use super::fire::{Fire, fire, time_text};

/// A trigger that was stopped because it fired too often.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stopped {
    /// The trigger.
    pub trigger: String,
    /// Its runbook.
    pub runbook: String,
    /// Why.
    pub reason: String,
}

/// How the last run of a runbook ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Last {
    /// It failed.
    pub failing: bool,
    /// When a run last ended well.
    pub success: Option<Timestamp>,
}

impl Ledger {
    /// A firing.
    ///
    /// # Errors
    /// `watch.ledger`
    pub async fn fire(&self, id: &str) -> Result<Option<Fire>> {
        let found = self
            .fires("SELECT * FROM watch_fires WHERE id = $1", id)
            .await?;
        Ok(found.into_iter().next())
    }

    /// All firings that have not ended, in order.
    ///
    /// # Errors
    /// `watch.ledger`
    pub async fn open_fires(&self) -> Result<Vec<Fire>> {
        let sql = "SELECT * FROM watch_fires \
                   WHERE status IN ('queued', 'starting', 'running') AND $1 <> '-' ORDER BY id";
        self.fires(sql, "").await
    }

    /// The firings that ended and whose end was not told to those who wait for it.
    ///
    /// # Errors
    /// `watch.ledger`
    pub async fn untold(&self) -> Result<Vec<Fire>> {
        let sql = "SELECT * FROM watch_fires WHERE told = 0 \
                   AND status NOT IN ('queued', 'starting', 'running') AND $1 <> '-' ORDER BY id";
        self.fires(sql, "").await
    }

    /// The newest firings.
    ///
    /// # Errors
    /// `watch.ledger`
    pub async fn recent(&self) -> Result<Vec<Fire>> {
        let sql = "SELECT * FROM watch_fires WHERE $1 <> '-' ORDER BY id DESC LIMIT 200";
        self.fires(sql, "").await
    }

    /// How many firings of a trigger since then may run, or ran.
    ///
    /// # Errors
    /// `watch.ledger`
    pub async fn count_since(&self, trigger: &str, since: Timestamp) -> Result<i64> {
        let sql = "SELECT count(*) FROM watch_fires WHERE trigger_key = $1 AND fired > $2 \
                   AND status NOT IN ('missed', 'limited', 'skipped')";
        self.number(sql, &[trigger, &time_text(since)]).await
    }

    /// Whether a firing was recorded before.
    ///
    /// # Errors
    /// `watch.ledger`
    pub async fn is_recorded(&self, dedup: &str) -> Result<bool> {
        let sql = "SELECT count(*) FROM watch_fires WHERE dedup = $1";
        Ok(self.number(sql, &[dedup]).await? > 0)
    }

    /// How many firings of a trigger wait.
    ///
    /// # Errors
    /// `watch.ledger`
    pub async fn count_queued(&self, trigger: &str) -> Result<i64> {
        let sql = "SELECT count(*) FROM watch_fires WHERE status = 'queued' AND trigger_key = $1";
        self.number(sql, &[trigger]).await
    }

    /// Up to when a trigger is accounted for.
    ///
    /// # Errors
    /// `watch.ledger`
    pub async fn cursor(&self, trigger: &str) -> Result<Option<Timestamp>> {
        let row = sqlx::query("SELECT upto FROM watch_cursors WHERE trigger_key = $1")
            .bind(trigger.to_owned())
            .fetch_optional(&self.pool)
            .await
            .map_err(|error| self.failed(error))?;
        let text: Option<String> = row
            .map(|row| row.try_get(0))
            .transpose()
            .map_err(|error| self.failed(error))?;
        Ok(text.and_then(|text| text.parse().ok()))
    }

    /// The text of a runbook.
    ///
    /// # Errors
    /// `watch.ledger`
    pub async fn source(&self, hash: &str) -> Result<Option<String>> {
        let row = sqlx::query("SELECT body FROM watch_sources WHERE hash = $1")
            .bind(hash.to_owned())
            .fetch_optional(&self.pool)
            .await
            .map_err(|error| self.failed(error))?;
        row.map(|row| row.try_get(0))
            .transpose()
            .map_err(|error| self.failed(error))
    }

    /// The triggers that are stopped.
    ///
    /// # Errors
    /// `watch.ledger`
    pub async fn stopped(&self) -> Result<Vec<Stopped>> {
        let rows = sqlx::query("SELECT trigger_key, runbook, reason FROM watch_stopped")
            .fetch_all(&self.pool)
            .await
            .map_err(|error| self.failed(error))?;
        let stopped = |row: &AnyRow| -> sqlx::Result<Stopped> {
            Ok(Stopped {
                trigger: row.try_get(0)?,
                runbook: row.try_get(1)?,
                reason: row.try_get(2)?,
            })
        };
        rows.iter()
            .map(stopped)
            .collect::<sqlx::Result<_>>()
            .map_err(|error| self.failed(error))
    }

    /// How the last run of each runbook ended.
    ///
    /// # Errors
    /// `watch.ledger`
    pub async fn last(&self) -> Result<BTreeMap<String, Last>> {
        let rows = sqlx::query("SELECT runbook, failing, success FROM watch_last")
            .fetch_all(&self.pool)
            .await
            .map_err(|error| self.failed(error))?;
        let last = |row: &AnyRow| -> sqlx::Result<(String, Last)> {
            let failing: i64 = row.try_get(1)?;
            let success: Option<String> = row.try_get(2)?;
            let success = success.and_then(|text| text.parse().ok());
            Ok((
                row.try_get(0)?,
                Last {
                    failing: failing != 0,
                    success,
                },
            ))
        };
        rows.iter()
            .map(last)
            .collect::<sqlx::Result<_>>()
            .map_err(|error| self.failed(error))
    }

    /// Every firing, for the record of a test or a person.
    ///
    /// # Errors
    /// `watch.ledger`
    pub async fn all(&self) -> Result<Vec<Fire>> {
        let rows = sqlx::query("SELECT * FROM watch_fires ORDER BY id")
            .fetch_all(&self.pool)
            .await
            .map_err(|error| self.failed(error))?;
        rows.iter()
            .map(fire)
            .collect::<sqlx::Result<_>>()
            .map_err(|error| self.failed(error))
    }
}
