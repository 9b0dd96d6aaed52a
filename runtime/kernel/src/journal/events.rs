//! Events and effects: the audit of a run, written without making it wait.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::Journal;
use super::buffer::Keep;
use super::column;
use super::failure::Failure;
use super::row::{Column, Insert, Row};
use crate::error::Result;

/// What one call of a primitive did to the world.
#[derive(Debug, Clone, PartialEq)]
pub struct EffectRow {
    /// Its number in the run's events; a resumed run may use a number again.
    pub id: u64,
    /// The path of the step it happened in.
    pub step: Option<String>,
    /// The primitive, such as `pg.execute`.
    pub primitive: String,
    /// `read` or `change`.
    pub effect: String,
    /// Its arguments as text, redacted.
    pub args: String,
    /// How it ended, such as `done`, `failed` or `planned`.
    pub outcome: String,
    /// Why it failed.
    pub error: Option<Value>,
    /// How long it took.
    pub elapsed: Duration,
    /// When it began.
    pub started: Timestamp,
}

static EVENT: Insert = Insert {
    rank: 3,
    head: "INSERT INTO events (run, event) VALUES",
    tuple: "(?,?)",
    tail: "",
};

static EFFECT: Insert = Insert {
    rank: 2,
    head: "INSERT INTO effects (run, id, step, primitive, effect, args, outcome, error, started, \
           elapsed_us) VALUES",
    tuple: "(?,?,?,?,?,?,?,?,?,?)",
    tail: "",
};

fn event_row(run: &Arc<str>, event: Value) -> Row {
    let columns = vec![Column::Text(Arc::clone(run)), event.into()];
    Row {
        insert: &EVENT,
        run: Arc::clone(run),
        columns,
    }
}

/// The event that stands where rows had to be dropped.
pub(super) fn gap(run: Arc<str>, lost: u64) -> Row {
    event_row(&run, json!({ "event": "journal_gap", "lost": lost }))
}

impl Journal {
    /// Record an event, redacted already. Written with the next commit, by [`Journal::flush`], or
    /// within about 200 ms.
    ///
    /// When the disk cannot keep up and 16 MiB wait, further events are dropped, and an event
    /// `journal_gap` says how many.
    pub fn event(&self, run: &str, event: Value) {
        self.buffer()
            .push(event_row(&run.into(), event), Keep::WhileRoom);
    }

    /// Record an effect, redacted already. Written like an event; one that is a change is never
    /// dropped.
    pub fn effect(&self, run: &str, effect: EffectRow) {
        let keep = if effect.effect == "read" {
            Keep::WhileRoom
        } else {
            Keep::Always
        };
        let run: Arc<str> = run.into();
        let columns = vec![
            Column::Text(Arc::clone(&run)),
            effect.id.cast_signed().into(),
            effect.step.into(),
            effect.primitive.into(),
            effect.effect.into(),
            effect.args.into(),
            effect.outcome.into(),
            effect.error.into(),
            effect.started.into(),
            effect.elapsed.into(),
        ];
        self.buffer().push(
            Row {
                insert: &EFFECT,
                run,
                columns,
            },
            keep,
        );
    }

    /// Wait until the journal has caught up with what was handed to it: before the next effect,
    /// this keeps a run with very many of them from outrunning the disk. Usually returns at once.
    pub async fn room(&self) {
        self.buffer().room().await;
    }

    /// The events of a run, in order.
    ///
    /// # Errors
    /// What the disk says.
    pub async fn events(&self, run: &str) -> Result<Vec<Value>> {
        let mut connection = self.reader().await?;
        let events: Vec<String> =
            sqlx::query_scalar("SELECT event FROM events WHERE run = ? ORDER BY row")
                .bind(run)
                .fetch_all(&mut *connection)
                .await
                .map_err(|error| Failure::from(error).at(self.path()))?;
        // One event that cannot be read (nested too deep) must not hide the others.
        let read = |text: String| serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok(events.into_iter().map(read).collect())
    }

    /// The effects of a run, in the order in which they ended.
    ///
    /// # Errors
    /// What the disk says.
    pub async fn effects(&self, run: &str) -> Result<Vec<EffectRow>> {
        let mut connection = self.reader().await?;
        let rows = sqlx::query("SELECT * FROM effects WHERE run = ? ORDER BY row")
            .bind(run)
            .fetch_all(&mut *connection)
            .await;
        rows.and_then(|rows| rows.iter().map(effect_row).collect())
            .map_err(|error| Failure::from(error).at(self.path()))
    }
}

fn effect_row(row: &SqliteRow) -> sqlx::Result<EffectRow> {
    let id: i64 = row.try_get("id")?;
    Ok(EffectRow {
        id: id.cast_unsigned(),
        step: row.try_get("step")?,
        primitive: row.try_get("primitive")?,
        effect: row.try_get("effect")?,
        args: row.try_get("args")?,
        outcome: row.try_get("outcome")?,
        error: column::optional_json(row, "error")?,
        elapsed: column::elapsed(row, "elapsed_us")?.unwrap_or_default(),
        started: column::time(row, "started")?,
    })
}
