//! Steps: what a resume can rely on.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::Journal;
use super::column;
use super::failure::Failure;
use super::row::{Column, Insert, Row};
use crate::error::Result;

/// How a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StepStatus {
    /// Begun and never finished.
    Running,
    /// Completed.
    Done,
    /// Failed.
    Failed,
    /// Left out.
    Skipped,
}

impl StepStatus {
    /// The word for it, as in the journal.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

impl fmt::Display for StepStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for StepStatus {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        [Self::Running, Self::Done, Self::Failed, Self::Skipped]
            .into_iter()
            .find(|status| status.as_str() == word)
            .ok_or_else(|| format!("`{word}` is none of running, done, failed, skipped"))
    }
}

/// What makes a step the same step when a run is resumed, wherever it moved in the file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StepKey {
    /// Its path, such as `Deploy/Pull images`.
    pub path: String,
    /// Which one among those of the same path and inputs.
    pub occurrence: u32,
    /// The hash of its inputs.
    pub inputs: String,
}

/// A step that begins.
#[derive(Debug, Clone)]
pub struct NewStep {
    /// Which step.
    pub key: StepKey,
    /// The hash of its code.
    pub body: String,
    /// Which try of its `retry`, from 1.
    pub attempt: u32,
    /// When it started.
    pub started: Timestamp,
}

/// A step that ended.
#[derive(Debug, Clone)]
pub struct FinishedStep {
    /// Which step.
    pub key: StepKey,
    /// The hash of its code.
    pub body: String,
    /// How it ended.
    pub status: StepStatus,
    /// Which try of its `retry` it was, from 1.
    pub attempt: u32,
    /// What it returned, if that can be kept.
    pub result: Option<Value>,
    /// Whether `result` is what it returned: a resume can return it again.
    pub result_kept: bool,
    /// When it started.
    pub started: Timestamp,
    /// How long it took.
    pub elapsed: Duration,
    /// Why it failed.
    pub error: Option<Value>,
}

/// A recorded step.
#[derive(Debug, Clone, PartialEq)]
pub struct StepRow {
    /// Which step.
    pub key: StepKey,
    /// The hash of its code.
    pub body: String,
    /// How it ended last, or that it never ended.
    pub status: StepStatus,
    /// Which try of its `retry` it was, from 1.
    pub attempt: u32,
    /// What it returned, if that was kept.
    pub result: Option<Value>,
    /// Whether `result` is what it returned.
    pub result_kept: bool,
    /// When it started.
    pub started: Timestamp,
    /// How long it took, if it ended.
    pub elapsed: Option<Duration>,
    /// Why it failed.
    pub error: Option<Value>,
    /// It had ended like this and was then begun again, and that has not ended: the world may be
    /// half-way between.
    pub restarted: Option<Timestamp>,
}

static START: Insert = Insert {
    rank: 0,
    head: "INSERT INTO steps (run, path, occurrence, inputs, body, attempt, started, status) VALUES",
    tuple: "(?,?,?,?,?,?,?,'running')",
    // What is recorded as finished stays until a newer finish replaces it.
    tail: " ON CONFLICT (run, path, occurrence, inputs) DO UPDATE SET \
            restarted = CASE status WHEN 'running' THEN NULL ELSE excluded.started END, \
            body = CASE status WHEN 'running' THEN excluded.body ELSE body END, \
            attempt = CASE status WHEN 'running' THEN excluded.attempt ELSE attempt END, \
            started = CASE status WHEN 'running' THEN excluded.started ELSE started END",
};

static FINISH: Insert = Insert {
    rank: 0,
    head: "INSERT INTO steps (run, path, occurrence, inputs, body, attempt, started, status, \
           result, result_kept, elapsed_us, error) VALUES",
    tuple: "(?,?,?,?,?,?,?,?,?,?,?,?)",
    tail: " ON CONFLICT (run, path, occurrence, inputs) DO UPDATE SET body = excluded.body, \
            attempt = excluded.attempt, started = excluded.started, status = excluded.status, \
            result = excluded.result, result_kept = excluded.result_kept, \
            elapsed_us = excluded.elapsed_us, error = excluded.error, restarted = NULL",
};

fn row(insert: &'static Insert, run: &Arc<str>, key: &StepKey, rest: Vec<Column>) -> Row {
    let mut columns = Vec::with_capacity(12);
    columns.extend([
        Column::Text(Arc::clone(run)),
        key.path.as_str().into(),
        key.occurrence.into(),
        key.inputs.as_str().into(),
    ]);
    columns.extend(rest);
    Row {
        insert,
        run: Arc::clone(run),
        columns,
    }
}

/// Whether `row` says that this step began.
fn is_start_of(row: &Row, run: &str, key: &StepKey) -> bool {
    let text = |n: usize, expected: &str| matches!(row.columns.get(n), Some(Column::Text(text)) if &**text == expected);
    row.is(&START)
        && text(1, &key.path)
        && text(3, &key.inputs)
        && matches!(row.columns.get(2), Some(Column::Int(n)) if *n == i64::from(key.occurrence))
        && &*row.run == run
}

impl Journal {
    /// Record that a step begins. Written with the next commit; waits only while the disk is far
    /// behind.
    ///
    /// # Errors
    /// None today.
    pub async fn start_step(&self, run: &str, step: &NewStep) -> Result<()> {
        let rest = vec![
            step.body.as_str().into(),
            step.attempt.into(),
            step.started.into(),
        ];
        let row = row(&START, &run.into(), &step.key, rest);
        self.buffer()
            .replace(row, |row| is_start_of(row, run, &step.key));
        self.room().await;
        Ok(())
    }

    /// Record how a step ended. Durable when this returns, with everything that was buffered before.
    ///
    /// A result nested deeper than 120 levels is not kept.
    ///
    /// # Errors
    /// What the disk says. The record stays buffered then, and is written as soon as that works.
    pub async fn finish_step(&self, run: &str, step: &FinishedStep) -> Result<()> {
        let run: Arc<str> = run.into();
        let result = step
            .result
            .as_ref()
            .filter(|result| column::is_readable_back(result));
        let kept = step.result_kept && (result.is_some() || step.result.is_none());
        let rest = vec![
            step.body.as_str().into(),
            step.attempt.into(),
            step.started.into(),
            step.status.as_str().into(),
            result.map(Value::to_string).into(),
            kept.into(),
            step.elapsed.into(),
            step.error.as_ref().map(Value::to_string).into(),
        ];
        // A step that ends before its beginning was written is one row.
        let row = row(&FINISH, &run, &step.key, rest);
        self.buffer()
            .replace(row, |row| is_start_of(row, &run, &step.key));
        self.commit(run).await
    }

    /// The steps of a run, in the order in which they first began.
    ///
    /// # Errors
    /// What the disk says.
    pub async fn steps(&self, run: &str) -> Result<Vec<StepRow>> {
        let mut connection = self.reader().await?;
        let rows = sqlx::query("SELECT * FROM steps WHERE run = ? ORDER BY id")
            .bind(run)
            .fetch_all(&mut *connection)
            .await;
        rows.and_then(|rows| rows.iter().map(step_row).collect())
            .map_err(|error| Failure::from(error).at(self.path()))
    }
}

fn step_row(row: &SqliteRow) -> sqlx::Result<StepRow> {
    Ok(StepRow {
        key: StepKey {
            path: row.try_get("path")?,
            occurrence: row.try_get("occurrence")?,
            inputs: row.try_get("inputs")?,
        },
        body: row.try_get("body")?,
        status: column::word(row, "status")?,
        attempt: row.try_get("attempt")?,
        result: column::optional_json(row, "result")?,
        result_kept: row.try_get("result_kept")?,
        started: column::time(row, "started")?,
        elapsed: column::elapsed(row, "elapsed_us")?,
        error: column::optional_json(row, "error")?,
        restarted: column::optional_time(row, "restarted")?,
    })
}
