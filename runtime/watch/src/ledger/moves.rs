//! How a firing moves from one state to the next. Each move names the state it comes from, so of two
//! that try only one succeeds.

use ccrun_kernel::Result;
use ccrun_kernel::journal::Process;
use jiff::Timestamp;
use serde_json::Value;
use sqlx::{Any, Transaction};

use super::fire::{Fire, NewFire, Status, fire, time_text};
use super::{FileChanges, Ledger, With, files, now};

impl Ledger {
    /// A process is about to be started for a queued firing: whether it may be.
    ///
    /// # Errors
    /// `watch.ledger`
    pub async fn start(&self, id: &str, run: &str) -> Result<bool> {
        let sql = "UPDATE watch_fires SET status = 'starting', run = $2 \
                   WHERE id = $1 AND status = 'queued'";
        Ok(self.run(sql, &[Some(id), Some(run)]).await? > 0)
    }

    /// Take back the start of a run that never claimed its firing: whether that was so. If its
    /// process is only slow, it finds nothing to claim.
    ///
    /// # Errors
    /// `watch.ledger`
    pub async fn take_back(&self, id: &str, run: &str) -> Result<bool> {
        let sql = "UPDATE watch_fires SET status = 'queued', run = NULL \
                   WHERE id = $1 AND run = $2 AND status = 'starting'";
        Ok(self.run(sql, &[Some(id), Some(run)]).await? > 0)
    }

    /// The process of a run takes its firing; `None` if it is not, or no longer, for this run.
    ///
    /// # Errors
    /// `watch.ledger`
    pub async fn claim(&self, id: &str, run: &str, process: &Process) -> Result<Option<Fire>> {
        let claimed = sqlx::query(
            "UPDATE watch_fires SET status = 'running', host = $3, pid = $4, pid_start = $5, \
             started = $6, seen = $6 WHERE id = $1 AND run = $2 AND status = 'starting'",
        )
        .bind(id.to_owned())
        .bind(run.to_owned())
        .bind(process.host.clone())
        .bind(i64::from(process.pid))
        .bind(process.pid_start.cast_signed())
        .bind(now())
        .execute(&self.pool)
        .await
        .map_err(|error| self.failed(error))?;
        if claimed.rows_affected() == 0 {
            return Ok(None);
        }
        self.fire(id).await
    }

    /// The process of a run lives: for daemons on other hosts, which can't see that.
    ///
    /// # Errors
    /// `watch.ledger`
    pub async fn beat(&self, id: &str, run: &str) -> Result<()> {
        let sql =
            "UPDATE watch_fires SET seen = $3 WHERE id = $1 AND run = $2 AND status = 'running'";
        self.run(sql, &[Some(id), Some(run), Some(&now())])
            .await
            .map(drop)
    }

    /// A firing ended: whether this run was still the one to say so. A runbook's success and failure
    /// are kept with it.
    ///
    /// # Errors
    /// `watch.ledger`
    pub async fn finish(
        &self,
        id: &str,
        run: &str,
        status: Status,
        error: Option<&str>,
    ) -> Result<bool> {
        let sql = "UPDATE watch_fires SET status = $3, error = $4, finished = $5 \
                   WHERE id = $1 AND run = $2 AND status IN ('starting', 'running')";
        let binds = [
            Some(id),
            Some(run),
            Some(status.as_str()),
            error,
            Some(&now()),
        ];
        Ok(self.run(sql, &binds).await? > 0)
    }

    /// A firing that never began ends like this: whether it had not begun.
    ///
    /// # Errors
    /// `watch.ledger`
    pub async fn settle(&self, id: &str, status: Status, why: &str) -> Result<bool> {
        let sql = "UPDATE watch_fires SET status = $2, error = $3, finished = $4, told = 1 \
                   WHERE id = $1 AND status = 'queued'";
        let binds = [Some(id), Some(status.as_str()), Some(why), Some(&now())];
        Ok(self.run(sql, &binds).await? > 0)
    }

    /// Try a firing again: whether `run` was its last attempt.
    ///
    /// # Errors
    /// `watch.ledger`
    pub async fn retry(
        &self,
        id: &str,
        run: &str,
        not_before: Timestamp,
        why: &str,
    ) -> Result<bool> {
        let sql = "UPDATE watch_fires SET status = 'queued', run = NULL, host = NULL, pid = NULL, \
                   attempt = attempt + 1, not_before = $3, error = $4, finished = NULL \
                   WHERE id = $1 AND run = $2 AND status NOT IN ('queued', 'done') AND told = 0";
        let binds = [Some(id), Some(run), Some(&time_text(not_before)), Some(why)];
        Ok(self.run(sql, &binds).await? > 0)
    }

    /// Put more into a firing that still waits: whether it does.
    ///
    /// # Errors
    /// `watch.ledger`
    pub async fn merge(&self, id: &str, payload: &Value, files: FileChanges) -> Result<bool> {
        let mut transaction = self.begin().await?;
        let sql = "UPDATE watch_fires SET payload = $2 WHERE id = $1 AND status = 'queued'";
        let merged = sqlx::query(sql)
            .bind(id.to_owned())
            .bind(payload.to_string())
            .execute(&mut *transaction)
            .await
            .map_err(|error| self.failed(error))?;
        if merged.rows_affected() == 0 {
            return Ok(false);
        }
        files::write(&mut transaction, files)
            .await
            .map_err(|error| self.failed(error))?;
        self.commit(transaction).await?;
        Ok(true)
    }

    /// Whether the last run of a runbook failed.
    ///
    /// # Errors
    /// `watch.ledger`
    pub async fn is_failing(&self, runbook: &str) -> Result<bool> {
        let sql = "SELECT coalesce(max(failing), 0) FROM watch_last WHERE runbook = $1";
        Ok(self.number(sql, &[runbook]).await? != 0)
    }

    /// Keep the text of a runbook.
    ///
    /// # Errors
    /// `watch.ledger`
    pub async fn keep_source(&self, hash: &str, text: &str) -> Result<()> {
        let sql = "INSERT INTO watch_sources (hash, body) VALUES ($1, $2) \
                   ON CONFLICT (hash) DO NOTHING";
        self.run(sql, &[Some(hash), Some(text)]).await.map(drop)
    }

    /// Stop a trigger until a person lets it go on.
    ///
    /// # Errors
    /// `watch.ledger`
    pub async fn stop(&self, trigger: &str, runbook: &str, reason: &str) -> Result<()> {
        let sql = "INSERT INTO watch_stopped (trigger_key, runbook, reason, since) \
                   VALUES ($1, $2, $3, $4) ON CONFLICT (trigger_key) DO NOTHING";
        let binds = [Some(trigger), Some(runbook), Some(reason), Some(&now())];
        self.run(sql, &binds).await.map(drop)
    }

    /// Let the stopped triggers of a runbook go on: how many there were.
    ///
    /// # Errors
    /// `watch.ledger`
    pub async fn go_on(&self, runbook: &str) -> Result<u64> {
        self.run(
            "DELETE FROM watch_stopped WHERE runbook = $1",
            &[Some(runbook)],
        )
        .await
    }

    /// Account for a trigger up to a time.
    ///
    /// # Errors
    /// `watch.ledger`
    pub async fn set_cursor(&self, trigger: &str, upto: Timestamp) -> Result<()> {
        self.run(CURSOR, &[Some(trigger), Some(&time_text(upto))])
            .await
            .map(drop)
    }

    /// Forget firings that ended before `before`.
    ///
    /// # Errors
    /// `watch.ledger`
    pub async fn prune(&self, before: Timestamp) -> Result<u64> {
        let sql = "DELETE FROM watch_fires WHERE finished < $1 AND told = 1 \
                   AND status NOT IN ('queued', 'starting', 'running')";
        self.run(sql, &[Some(&time_text(before))]).await
    }
}

const CURSOR: &str = "INSERT INTO watch_cursors (trigger_key, upto) VALUES ($1, $2) \
                      ON CONFLICT (trigger_key) DO UPDATE SET upto = $2";

pub(super) async fn insert(
    transaction: &mut Transaction<'static, Any>,
    new: NewFire,
) -> sqlx::Result<Option<Fire>> {
    let id = uuid::Uuid::now_v7().simple().to_string();
    let ended = new.status.is_final();
    let time = now();
    let inserted = sqlx::query(
        "INSERT INTO watch_fires (id, dedup, trigger_key, runbook, path, source, cause, payload, \
         params, policy, chain, due, fired, not_before, status, attempt, finished, error, told, run) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, 1, $16, $17, \
         $18, $19) \
         ON CONFLICT (dedup) DO NOTHING",
    )
    .bind(id.clone())
    .bind(new.dedup)
    .bind(new.trigger)
    .bind(new.runbook)
    .bind(new.path)
    .bind(new.source)
    .bind(new.cause.to_owned())
    .bind(new.payload.to_string())
    .bind(Value::Object(new.params).to_string())
    .bind(serde_json::to_string(&new.policy).unwrap_or_default())
    .bind(new.chain.join(" "))
    .bind(time_text(new.due))
    .bind(time.clone())
    .bind(time_text(new.not_before))
    .bind(new.status.as_str().to_owned())
    .bind(ended.then_some(time))
    .bind(new.error)
    .bind(i64::from(ended))
    .bind(new.run)
    .execute(&mut **transaction)
    .await?;
    if inserted.rows_affected() == 0 {
        return Ok(None);
    }
    let row = sqlx::query("SELECT * FROM watch_fires WHERE id = $1")
        .bind(id)
        .fetch_one(&mut **transaction)
        .await?;
    fire(&row).map(Some)
}

pub(super) async fn with(
    transaction: &mut Transaction<'static, Any>,
    with: With,
) -> sqlx::Result<()> {
    if let Some((trigger, upto)) = with.cursor {
        sqlx::query(CURSOR)
            .bind(trigger)
            .bind(time_text(upto))
            .execute(&mut **transaction)
            .await?;
    }
    if let Some(changes) = with.files {
        files::write(transaction, changes).await?;
    }
    if let Some((runbook, failing)) = with.last {
        let sql = if failing {
            "INSERT INTO watch_last (runbook, failing) VALUES ($1, 1) \
             ON CONFLICT (runbook) DO UPDATE SET failing = 1"
        } else {
            "INSERT INTO watch_last (runbook, failing, success) VALUES ($1, 0, $2) \
             ON CONFLICT (runbook) DO UPDATE SET failing = 0, success = $2"
        };
        let mut query = sqlx::query(sql).bind(runbook);
        if !failing {
            query = query.bind(now());
        }
        query.execute(&mut **transaction).await?;
    }
    if let Some(id) = with.told {
        sqlx::query("UPDATE watch_fires SET told = 1 WHERE id = $1")
            .bind(id)
            .execute(&mut **transaction)
            .await?;
    }
    Ok(())
}
