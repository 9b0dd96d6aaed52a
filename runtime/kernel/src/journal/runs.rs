//! Runs: begun, claimed for a resume, finished, found again.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use futures::TryStreamExt as _;
use jiff::Timestamp;
use serde_json::Value;
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::column;
use super::failure::Failure;
use super::process::Process;
use super::{Journal, writer};
use crate::error::{Error, Result};

/// A run on another host that gave no sign of life for so long is taken for dead.
const SILENCE: Duration = Duration::from_secs(4 * writer::HEARTBEAT.as_secs());

/// How a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RunStatus {
    /// Its process is at work.
    Running,
    /// It came to its end.
    Done,
    /// It failed.
    Failed,
    /// It was stopped, or its process is gone.
    Interrupted,
}

impl RunStatus {
    /// The word for it, as in the journal and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
        }
    }
}

impl fmt::Display for RunStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for RunStatus {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        [Self::Running, Self::Done, Self::Failed, Self::Interrupted]
            .into_iter()
            .find(|status| status.as_str() == word)
            .ok_or_else(|| format!("`{word}` is none of running, done, failed, interrupted"))
    }
}

/// A run that begins.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// Its id, unique in this journal.
    pub id: String,
    /// The path of the runbook, or a name such as `-e`.
    pub runbook: String,
    /// The text of the runbook as it runs.
    pub source: String,
    /// The hash of that text.
    pub source_hash: String,
    /// The name of the target, if there is one.
    pub target: Option<String>,
    /// The parameters, secrets as references only.
    pub params: Value,
    /// `run`, `dry_run`, `apply` and the like.
    pub mode: String,
    /// The run that this one was forked from.
    pub parent: Option<String>,
    /// Who started it.
    pub user: String,
    /// The process that runs it.
    pub process: Process,
    /// When it started.
    pub started: Timestamp,
}

/// A recorded run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRow {
    /// Its id.
    pub id: String,
    /// The path of the runbook, or a name such as `-e`.
    pub runbook: String,
    /// The hash of the text that ran; [`Journal::source`] has the text.
    pub source_hash: String,
    /// The name of the target.
    pub target: Option<String>,
    /// The parameters.
    pub params: Value,
    /// `run`, `dry_run`, `apply` and the like.
    pub mode: String,
    /// The run that this one was forked from.
    pub parent: Option<String>,
    /// Who started it.
    pub user: String,
    /// The process that runs it, or ran it last.
    pub process: Process,
    /// How it stands. A run whose process is gone is [`RunStatus::Interrupted`], though nobody was
    /// left to record that.
    pub status: RunStatus,
    /// 1, and one more with every resume.
    pub attempt: u32,
    /// When it first started.
    pub started: Timestamp,
    /// When it ended.
    pub finished: Option<Timestamp>,
    /// Why it failed.
    pub error: Option<Value>,
    /// The counts of its recap line.
    pub recap: Option<Value>,
}

/// Which runs to list.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    /// The runbook's path contains this, in any case.
    pub runbook: Option<String>,
    /// They stand like this.
    pub status: Option<RunStatus>,
    /// They ran against this target.
    pub target: Option<String>,
    /// They started then or later.
    pub since: Option<Timestamp>,
    /// So many at most, the newest.
    pub limit: Option<usize>,
}

const COLUMNS: &str = "id, runbook, source_hash, target, params, mode, parent, user, host, pid, \
     pid_start, seen, attempt, status, started, finished, error, recap";

impl Journal {
    /// Record that a run begins. Durable when this returns.
    ///
    /// # Errors
    /// `journal.run_exists` if the id is taken, or what the disk says.
    pub async fn start_run(&self, run: &NewRun) -> Result<()> {
        let (new, id) = (run.clone(), run.id.clone());
        self.work(move |connection| Box::pin(insert(connection, new)))
            .await?;
        self.buffer().active.lock().insert(id);
        Ok(())
    }

    /// Record how a run ended. Durable when this returns, with everything before.
    ///
    /// # Errors
    /// `journal.run_not_found` if it was never begun, or what the disk says.
    pub async fn finish_run(
        &self,
        run: &str,
        status: RunStatus,
        error: Option<Value>,
        recap: Option<Value>,
        finished: Timestamp,
    ) -> Result<()> {
        let id = run.to_owned();
        self.work(move |connection| {
            Box::pin(async move {
                let updated = sqlx::query(
                    "UPDATE runs SET status = ?, error = ?, recap = ?, finished = ?, seen = ?
                     WHERE id = ?",
                )
                .bind(status.as_str())
                .bind(error.map(|error| error.to_string()))
                .bind(recap.map(|recap| recap.to_string()))
                .bind(column::time_text(finished))
                .bind(column::time_text(finished))
                .bind(&id)
                .execute(connection)
                .await?;
                if updated.rows_affected() == 0 {
                    return Err(not_found(&id).into());
                }
                Ok(())
            })
        })
        .await?;
        self.buffer().active.lock().remove(run);
        Ok(())
    }

    /// Make a recorded run this process's own, running again, to resume it. Durable when this
    /// returns.
    ///
    /// # Errors
    /// `journal.run_active` if another living process runs it, `journal.run_not_found`.
    pub async fn claim_run(&self, run: &str, process: &Process) -> Result<RunRow> {
        let (id, process) = (run.to_owned(), process.clone());
        let claimed = self
            .work(move |connection| Box::pin(claim(connection, id, process)))
            .await?;
        self.buffer().active.lock().insert(claimed.id.clone());
        Ok(claimed)
    }

    /// The run whose id begins with `id_prefix`.
    ///
    /// # Errors
    /// `journal.run_not_found`, or `journal.run_ambiguous` naming the runs that fit.
    pub async fn run(&self, id_prefix: &str) -> Result<RunRow> {
        let mut connection = self.reader().await?;
        let found = find(&mut connection, id_prefix).await;
        found.map_err(|failure| failure.at(self.path()))
    }

    /// The runs that fit the filter, the newest first.
    ///
    /// # Errors
    /// What the disk says.
    pub async fn runs(&self, filter: &RunFilter) -> Result<Vec<RunRow>> {
        let mut connection = self.reader().await?;
        let listed = list(&mut connection, filter).await;
        listed.map_err(|error| Failure::from(error).at(self.path()))
    }

    /// The text of the runbook as the run with exactly this id ran it.
    ///
    /// # Errors
    /// `journal.run_not_found`, or what the disk says.
    pub async fn source(&self, run: &str) -> Result<String> {
        let mut connection = self.reader().await?;
        let source: Option<String> = sqlx::query_scalar("SELECT source FROM runs WHERE id = ?")
            .bind(run)
            .fetch_optional(&mut *connection)
            .await
            .map_err(|error| Failure::from(error).at(self.path()))?;
        source.ok_or_else(|| not_found(run))
    }
}

async fn insert(connection: &mut SqliteConnection, run: NewRun) -> Result<(), Failure> {
    let inserted = sqlx::query(
        "INSERT INTO runs (id, runbook, source, source_hash, target, params, mode, parent, user,
                           host, pid, pid_start, seen, status, started)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'running', ?)
         ON CONFLICT (id) DO NOTHING",
    )
    .bind(&run.id)
    .bind(run.runbook)
    .bind(run.source)
    .bind(run.source_hash)
    .bind(run.target)
    .bind(run.params.to_string())
    .bind(run.mode)
    .bind(run.parent)
    .bind(run.user)
    .bind(run.process.host)
    .bind(run.process.pid)
    .bind(run.process.pid_start.cast_signed())
    .bind(column::time_text(run.started))
    .bind(column::time_text(run.started))
    .execute(connection)
    .await?;
    if inserted.rows_affected() == 0 {
        let message = format!("there is a run {} in the journal already", run.id);
        return Err(Error::new("journal.run_exists", message).retryable().into());
    }
    Ok(())
}

async fn claim(
    connection: &mut SqliteConnection,
    id: String,
    process: Process,
) -> Result<RunRow, Failure> {
    let found = exactly(connection, &id)
        .await?
        .ok_or_else(|| not_found(&id))?;
    if found.status == RunStatus::Running && found.process != process {
        let Process { host, pid, .. } = &found.process;
        return Err(Error::new(
            "journal.run_active",
            format!("run {id} is at work in process {pid} on {host}"),
        )
        .hint(if found.process.is_here() {
            format!("wait for it, or stop it with `kill -INT {pid}`, then resume it")
        } else {
            format!(
                "wait for it, or stop it on {host}; a run there that fell silent can be resumed \
                 after {} s",
                SILENCE.as_secs()
            )
        })
        .detail("pid", *pid)
        .detail("host", host.as_str())
        .into());
    }
    sqlx::query(
        "UPDATE runs SET status = 'running', host = ?, pid = ?, pid_start = ?, seen = ?,
                         attempt = attempt + 1, finished = NULL, error = NULL, recap = NULL
         WHERE id = ?",
    )
    .bind(process.host)
    .bind(process.pid)
    .bind(process.pid_start.cast_signed())
    .bind(column::time_text(Timestamp::now()))
    .bind(&id)
    .execute(&mut *connection)
    .await?;
    Ok(exactly(connection, &id)
        .await?
        .ok_or_else(|| not_found(&id))?)
}

async fn exactly(connection: &mut SqliteConnection, id: &str) -> sqlx::Result<Option<RunRow>> {
    let sql = sqlx::AssertSqlSafe(format!("SELECT {COLUMNS} FROM runs WHERE id = ?"));
    let row = sqlx::query(sql).bind(id).fetch_optional(connection).await?;
    row.as_ref().map(run_row).transpose()
}

async fn find(connection: &mut SqliteConnection, prefix: &str) -> Result<RunRow, Failure> {
    if prefix.is_empty() {
        return Err(not_found(prefix).into());
    }
    if let Some(run) = exactly(connection, prefix).await? {
        return Ok(run);
    }
    const NAMED: usize = 5;
    let sql = sqlx::AssertSqlSafe(format!(
        "SELECT {COLUMNS} FROM runs WHERE id > ?1 AND substr(id, 1, length(?1)) = ?1
         ORDER BY started DESC, rowid DESC LIMIT {}",
        NAMED + 1
    ));
    let rows = sqlx::query(sql).bind(prefix).fetch_all(connection).await?;
    match rows.as_slice() {
        [] => Err(not_found(prefix).into()),
        [row] => Ok(run_row(row)?),
        rows => {
            let more = if rows.len() > NAMED { ", …" } else { "" };
            let runs: Vec<RunRow> = rows.iter().map(run_row).collect::<sqlx::Result<_>>()?;
            let name = |run: &RunRow| format!("{} ({}, {})", run.id, run.runbook, run.status);
            let named: Vec<String> = runs.iter().take(NAMED).map(name).collect();
            let ids: Vec<&str> = runs.iter().map(|run| run.id.as_str()).collect();
            let message = format!(
                "several runs begin with {prefix}: {}{more}",
                named.join(", ")
            );
            Err(Error::new("journal.run_ambiguous", message)
                .hint("give more of the id")
                .detail("candidates", ids)
                .into())
        }
    }
}

async fn list(connection: &mut SqliteConnection, filter: &RunFilter) -> sqlx::Result<Vec<RunRow>> {
    let limit = filter.limit.unwrap_or(usize::MAX);
    if limit == 0 {
        return Ok(Vec::new());
    }
    // A run recorded as running may have to be shown as interrupted, so these two are told apart
    // after reading.
    let recorded = match filter.status {
        None => None,
        Some(RunStatus::Running | RunStatus::Interrupted) => Some(["running", "interrupted"]),
        Some(other) => Some([other.as_str(); 2]),
    };
    let sql = sqlx::AssertSqlSafe(format!(
        "SELECT {COLUMNS} FROM runs
         WHERE (?1 IS NULL OR instr(lower(runbook), lower(?1)) > 0)
           AND (?2 IS NULL OR status IN (?2, ?3))
           AND (?4 IS NULL OR target = ?4)
           AND (?5 IS NULL OR started >= ?5)
         ORDER BY started DESC, rowid DESC"
    ));
    let mut rows = sqlx::query(sql)
        .bind(&filter.runbook)
        .bind(recorded.map(|words| words[0]))
        .bind(recorded.map(|words| words[1]))
        .bind(&filter.target)
        .bind(filter.since.map(column::time_text))
        .fetch(connection);
    let mut runs = Vec::new();
    while let Some(row) = rows.try_next().await? {
        let run = run_row(&row)?;
        if filter.status.is_none_or(|status| status == run.status) {
            runs.push(run);
        }
        if runs.len() == limit {
            break;
        }
    }
    Ok(runs)
}

fn run_row(row: &SqliteRow) -> sqlx::Result<RunRow> {
    let process = column::process(row)?;
    let recorded: RunStatus = column::word(row, "status")?;
    let seen = column::time(row, "seen")?;
    Ok(RunRow {
        id: row.try_get("id")?,
        runbook: row.try_get("runbook")?,
        source_hash: row.try_get("source_hash")?,
        target: row.try_get("target")?,
        params: column::json(row, "params")?,
        mode: row.try_get("mode")?,
        parent: row.try_get("parent")?,
        user: row.try_get("user")?,
        status: true_status(recorded, &process, seen),
        process,
        attempt: row.try_get("attempt")?,
        started: column::time(row, "started")?,
        finished: column::optional_time(row, "finished")?,
        error: column::optional_json(row, "error")?,
        recap: column::optional_json(row, "recap")?,
    })
}

/// A process that was killed could not record it, so "running" is believed only of a living one.
fn true_status(recorded: RunStatus, process: &Process, seen: Timestamp) -> RunStatus {
    let silent = || Timestamp::now().duration_since(seen).unsigned_abs() > SILENCE;
    let gone = || process.is_alive().map_or_else(silent, |alive| !alive);
    match recorded {
        RunStatus::Running if gone() => RunStatus::Interrupted,
        other => other,
    }
}

fn not_found(id: &str) -> Error {
    Error::new(
        "journal.run_not_found",
        format!("there is no run `{id}` in the journal"),
    )
    .hint("list the runs with `ccrun history`")
}
