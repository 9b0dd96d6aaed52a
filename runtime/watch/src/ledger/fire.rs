//! One firing of a trigger: its row in the ledger.

use ccrun_kernel::journal::Process;
use ccrun_kernel::runbook::trigger::{Overlap, RunPolicy};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sqlx::Row as _;
use sqlx::any::AnyRow;

/// How a firing stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It waits for its turn.
    Queued,
    /// A process was, or is about to be, started for it.
    Starting,
    /// That process is at work.
    Running,
    /// Its run came to its end.
    Done,
    /// Its run failed, and is not tried again.
    Failed,
    /// Its process was stopped or is gone, and it is not tried again.
    Interrupted,
    /// It was left out, because its runbook was at work.
    Skipped,
    /// It was stopped for a later firing.
    Replaced,
    /// Its time passed while nobody was there to start it.
    Missed,
    /// It was refused, because its trigger fires too often.
    Limited,
}

impl Status {
    const ALL: [Self; 10] = [
        Self::Queued,
        Self::Starting,
        Self::Running,
        Self::Done,
        Self::Failed,
        Self::Interrupted,
        Self::Skipped,
        Self::Replaced,
        Self::Missed,
        Self::Limited,
    ];

    /// The word in the ledger.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
            Self::Skipped => "skipped",
            Self::Replaced => "replaced",
            Self::Missed => "missed",
            Self::Limited => "limited",
        }
    }

    /// Whether nothing more will happen.
    #[must_use]
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::Starting | Self::Running)
    }
}

/// What of a trigger's policy a firing takes along.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FirePolicy {
    /// `queue`, `skip`, `restart`
    pub overlap: String,
    /// Seconds that a run may take.
    pub timeout: Option<f64>,
    /// How often a failed run is tried again.
    pub retries: u32,
    /// Seconds until the first retry.
    pub retry_after: f64,
    /// The target.
    pub target: Option<String>,
}

impl FirePolicy {
    /// What a trigger says.
    #[must_use]
    pub fn of(policy: &RunPolicy) -> Self {
        Self {
            overlap: policy.overlap.as_str().to_owned(),
            timeout: policy.timeout.map(|d| d.as_secs_f64()),
            retries: policy.retries,
            retry_after: policy.retry_after.as_secs_f64(),
            target: policy.target.clone(),
        }
    }

    /// What happens while the runbook runs.
    #[must_use]
    pub fn overlap(&self) -> Overlap {
        [Overlap::Skip, Overlap::Restart]
            .into_iter()
            .find(|overlap| overlap.as_str() == self.overlap)
            .unwrap_or_default()
    }
}

/// A firing that is to be recorded.
#[derive(Debug, Clone)]
pub struct NewFire {
    /// The same wherever and however often it is noticed.
    pub dedup: String,
    /// The trigger.
    pub trigger: String,
    /// The runbook, as `ccrun list` names it.
    pub runbook: String,
    /// Its file.
    pub path: String,
    /// The hash of its text.
    pub source: String,
    /// `files`, `schedule` …
    pub cause: &'static str,
    /// The value of `trigger` in the runbook.
    pub payload: Value,
    /// Parameters.
    pub params: Map<String, Value>,
    /// How it is run.
    pub policy: FirePolicy,
    /// The runbooks whose end led here.
    pub chain: Vec<String>,
    /// When it should run.
    pub due: Timestamp,
    /// Not to be started earlier.
    pub not_before: Timestamp,
    /// [`Status::Queued`], or how it ended at once.
    pub status: Status,
    /// Why it ended at once.
    pub error: Option<String>,
    /// The run that is started for it at once: its status is [`Status::Starting`] then.
    pub run: Option<String>,
}

/// A recorded firing.
#[derive(Debug, Clone, PartialEq)]
pub struct Fire {
    /// Its id; later ones are greater.
    pub id: String,
    /// The trigger.
    pub trigger: String,
    /// The runbook, as `ccrun list` names it.
    pub runbook: String,
    /// Its file.
    pub path: String,
    /// The hash of its text.
    pub source: String,
    /// `files`, `schedule` …
    pub cause: String,
    /// The value of `trigger` in the runbook.
    pub payload: Value,
    /// Parameters.
    pub params: Map<String, Value>,
    /// How it is run.
    pub policy: FirePolicy,
    /// The runbooks whose end led here.
    pub chain: Vec<String>,
    /// When it should run.
    pub due: Timestamp,
    /// When it was recorded.
    pub fired: Timestamp,
    /// Not to be started earlier.
    pub not_before: Timestamp,
    /// How it stands.
    pub status: Status,
    /// From 1, one more with every retry.
    pub attempt: u32,
    /// The run of its current attempt.
    pub run: Option<String>,
    /// The process of that run, once it claimed the firing.
    pub process: Option<Process>,
    /// When that was.
    pub started: Option<Timestamp>,
    /// When that process last gave a sign of life.
    pub seen: Option<Timestamp>,
    /// When it ended.
    pub finished: Option<Timestamp>,
    /// Why it did not end well.
    pub error: Option<String>,
}

/// A time as it stands in a column.
pub(super) fn time_text(time: Timestamp) -> String {
    format!("{time:.9}")
}

fn decode(column: &str, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> sqlx::Error {
    sqlx::Error::ColumnDecode {
        index: column.to_owned(),
        source: error.into(),
    }
}

fn optional_time(row: &AnyRow, column: &str) -> sqlx::Result<Option<Timestamp>> {
    let text: Option<String> = row.try_get(column)?;
    text.map(|text| text.parse().map_err(|error| decode(column, error)))
        .transpose()
}

fn time(row: &AnyRow, column: &str) -> sqlx::Result<Timestamp> {
    optional_time(row, column)?.ok_or_else(|| sqlx::Error::ColumnNotFound(column.to_owned()))
}

fn json<T: serde::de::DeserializeOwned>(row: &AnyRow, column: &str) -> sqlx::Result<T> {
    let text: String = row.try_get(column)?;
    serde_json::from_str(&text).map_err(|error| decode(column, error))
}

/// Read a row of `watch_fires`.
pub(super) fn fire(row: &AnyRow) -> sqlx::Result<Fire> {
    let word: String = row.try_get("status")?;
    let status = Status::ALL
        .into_iter()
        .find(|status| status.as_str() == word)
        .ok_or_else(|| decode("status", format!("`{word}` is no status")))?;
    let chain: String = row.try_get("chain")?;
    let host: Option<String> = row.try_get("host")?;
    let pid: Option<i64> = row.try_get("pid")?;
    let pid_start: Option<i64> = row.try_get("pid_start")?;
    let process = host.zip(pid).map(|(host, pid)| Process {
        host,
        pid: u32::try_from(pid).unwrap_or(0),
        pid_start: pid_start.unwrap_or(0).unsigned_abs(),
    });
    let attempt: i64 = row.try_get("attempt")?;
    Ok(Fire {
        id: row.try_get("id")?,
        trigger: row.try_get("trigger_key")?,
        runbook: row.try_get("runbook")?,
        path: row.try_get("path")?,
        source: row.try_get("source")?,
        cause: row.try_get("cause")?,
        payload: json(row, "payload")?,
        params: json(row, "params")?,
        policy: json(row, "policy")?,
        chain: chain.split_whitespace().map(str::to_owned).collect(),
        due: time(row, "due")?,
        fired: time(row, "fired")?,
        not_before: time(row, "not_before")?,
        status,
        attempt: u32::try_from(attempt).unwrap_or(u32::MAX),
        run: row.try_get("run")?,
        process,
        started: optional_time(row, "started")?,
        seen: optional_time(row, "seen")?,
        finished: optional_time(row, "finished")?,
        error: row.try_get("error")?,
    })
}
