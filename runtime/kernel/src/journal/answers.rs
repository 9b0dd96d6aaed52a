//! What a resume must not ask or forget: answers given, and actions put off to the end of the run.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::Journal;
use super::buffer::Keep;
use super::column;
use super::failure::Failure;
use super::row::{Column, Insert, Row};
use crate::error::Result;

/// An action put off to the end of the run that has not happened yet.
#[derive(Debug, Clone, PartialEq)]
pub struct DeferredRow {
    /// What it is known by in its run.
    pub key: String,
    /// The path of the step that put it off.
    pub step: Option<String>,
    /// What the caller recorded about it.
    pub action: Value,
}

static ANSWER: Insert = Insert {
    rank: 1,
    head: "INSERT INTO answers (run, key, value) VALUES",
    tuple: "(?,?,?)",
    tail: " ON CONFLICT (run, key) DO UPDATE SET value = excluded.value",
};

static DEFER: Insert = Insert {
    rank: 1,
    head: "INSERT INTO deferred (run, key, step, action) VALUES",
    tuple: "(?,?,?,?)",
    tail: " ON CONFLICT (run, key) DO UPDATE SET \
            step = excluded.step, action = excluded.action, done = 0",
};

/// An action that is done; the row is there already, unless nobody announced it.
static DEFER_DONE: Insert = Insert {
    rank: 1,
    head: "INSERT INTO deferred (run, key, action, done) VALUES",
    tuple: "(?,?,'null',1)",
    tail: " ON CONFLICT (run, key) DO UPDATE SET done = 1",
};

impl Journal {
    /// Record the answer to a question. Durable when this returns. `key` is the path of the step and
    /// the question; a newer answer replaces an older one.
    ///
    /// # Errors
    /// What the disk says.
    pub async fn answer(&self, run: &str, key: &str, value: &Value) -> Result<()> {
        self.durable(&ANSWER, run, key, vec![value.to_string().into()])
            .await
    }

    /// The answers given in a run, by key.
    ///
    /// # Errors
    /// What the disk says.
    pub async fn answers(&self, run: &str) -> Result<BTreeMap<String, Value>> {
        let mut connection = self.reader().await?;
        let rows = sqlx::query("SELECT key, value FROM answers WHERE run = ?")
            .bind(run)
            .fetch_all(&mut *connection)
            .await;
        let answer = |row: &SqliteRow| Ok((row.try_get("key")?, column::json(row, "value")?));
        rows.and_then(|rows| rows.iter().map(answer).collect())
            .map_err(|error| Failure::from(error).at(self.path()))
    }

    /// Record that an action waits for the end of the run. Durable when this returns.
    ///
    /// # Errors
    /// What the disk says.
    pub async fn defer_added(
        &self,
        run: &str,
        key: &str,
        step: Option<&str>,
        action: &Value,
    ) -> Result<()> {
        self.durable(
            &DEFER,
            run,
            key,
            vec![step.into(), action.to_string().into()],
        )
        .await
    }

    /// Record that a deferred action has happened. Durable when this returns.
    ///
    /// # Errors
    /// What the disk says.
    pub async fn defer_done(&self, run: &str, key: &str) -> Result<()> {
        self.durable(&DEFER_DONE, run, key, Vec::new()).await
    }

    /// The actions of a run that still have to happen, in the order in which they were first added.
    ///
    /// # Errors
    /// What the disk says.
    pub async fn deferred(&self, run: &str) -> Result<Vec<DeferredRow>> {
        let mut connection = self.reader().await?;
        let rows = sqlx::query("SELECT * FROM deferred WHERE run = ? AND NOT done ORDER BY row")
            .bind(run)
            .fetch_all(&mut *connection)
            .await;
        let deferred = |row: &SqliteRow| {
            Ok(DeferredRow {
                key: row.try_get("key")?,
                step: row.try_get("step")?,
                action: column::json(row, "action")?,
            })
        };
        rows.and_then(|rows| rows.iter().map(deferred).collect())
            .map_err(|error| Failure::from(error).at(self.path()))
    }

    async fn durable(
        &self,
        insert: &'static Insert,
        run: &str,
        key: &str,
        rest: Vec<Column>,
    ) -> Result<()> {
        let run: Arc<str> = run.into();
        let mut columns = vec![Column::Text(Arc::clone(&run)), key.into()];
        columns.extend(rest);
        self.buffer().push(
            Row {
                insert,
                run: Arc::clone(&run),
                columns,
            },
            Keep::Always,
        );
        self.commit(run).await
    }
}
