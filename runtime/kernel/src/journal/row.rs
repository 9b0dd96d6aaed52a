//! One row on its way into the journal, and how many rows become few SQL statements.

use std::sync::Arc;

use sqlx::Arguments as _;
use sqlx::sqlite::SqliteArguments;

/// A kind of row: `head` then one `tuple` per row, then `tail`.
pub(super) struct Insert {
    /// Rows of a lower rank are written first; rows of equal rank keep their order.
    pub rank: u8,
    pub head: &'static str,
    pub tuple: &'static str,
    pub tail: &'static str,
}

/// A value of a column.
#[derive(Clone)]
pub(super) enum Column {
    Text(Arc<str>),
    Int(i64),
    Null,
}

impl From<&str> for Column {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Column {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<i64> for Column {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<u32> for Column {
    fn from(number: u32) -> Self {
        Self::Int(number.into())
    }
}

impl From<bool> for Column {
    fn from(yes: bool) -> Self {
        Self::Int(yes.into())
    }
}

impl<T: Into<Self>> From<Option<T>> for Column {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl From<jiff::Timestamp> for Column {
    fn from(time: jiff::Timestamp) -> Self {
        super::column::time_text(time).into()
    }
}

impl From<std::time::Duration> for Column {
    fn from(duration: std::time::Duration) -> Self {
        Self::Int(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX))
    }
}

impl From<serde_json::Value> for Column {
    fn from(json: serde_json::Value) -> Self {
        json.to_string().into()
    }
}

/// A row on its way.
#[derive(Clone)]
pub(super) struct Row {
    pub insert: &'static Insert,
    pub run: Arc<str>,
    /// In the order of the columns of `insert`.
    pub columns: Vec<Column>,
}

impl Row {
    /// About how much memory it takes.
    pub(super) fn weight(&self) -> usize {
        let text = |column: &Column| match column {
            Column::Text(text) => text.len(),
            Column::Int(_) | Column::Null => 0,
        };
        128 + self.columns.iter().map(text).sum::<usize>()
    }

    pub(super) fn is(&self, insert: &'static Insert) -> bool {
        std::ptr::eq(self.insert, insert)
    }
}

/// SQL of one or more statements, and what its `?` stand for in order.
pub(super) struct Batch {
    pub sql: String,
    pub arguments: SqliteArguments,
    /// Worth keeping prepared: its like will come again.
    pub keep: bool,
}

/// Rows in one statement. SQLite allows 32,766 parameters; longer statements compile slower.
const ROWS_PER_STATEMENT: usize = 32;
/// Rows in one batch.
const ROWS_PER_BATCH: usize = 256;
/// A batch of so few rows is what a step ends with, so its text comes again and again.
const ROWS_TO_KEEP: usize = 24;

/// One transaction that writes `rows`, as batches to be executed in order. Sorts the rows.
///
/// Each execution is a message to SQLite's thread and back, so the usual transaction (one step, a
/// few events and effects) is one batch: `BEGIN IMMEDIATE; INSERT …; INSERT …; COMMIT`.
pub(super) fn transaction(rows: &mut [Row]) -> Vec<Batch> {
    rows.sort_by_key(|row| row.insert.rank);
    let mut batches: Vec<Batch> = rows.chunks(ROWS_PER_BATCH).map(batch).collect();
    if let Some(first) = batches.first_mut() {
        first.sql.insert_str(0, "BEGIN IMMEDIATE;");
    }
    if let Some(last) = batches.last_mut() {
        last.sql.push_str("COMMIT");
    }
    batches
}

/// The statements for `rows`, outside any transaction of their own.
pub(super) fn batch(rows: &[Row]) -> Batch {
    let mut sql = String::with_capacity(256 * rows.len().min(8));
    let mut arguments = SqliteArguments::default();
    for same in rows.chunk_by(|a, b| a.is(b.insert)) {
        for chunk in same.chunks(ROWS_PER_STATEMENT) {
            let insert = chunk[0].insert;
            sql.push_str(insert.head);
            for (n, row) in chunk.iter().enumerate() {
                sql.push_str(if n == 0 { " " } else { "," });
                sql.push_str(insert.tuple);
                row.columns
                    .iter()
                    .for_each(|column| bind(&mut arguments, column));
            }
            sql.push_str(insert.tail);
            sql.push(';');
        }
    }
    let keep = rows.len() <= ROWS_TO_KEEP;
    Batch {
        sql,
        arguments,
        keep,
    }
}

fn bind(arguments: &mut SqliteArguments, column: &Column) {
    let bound = match column {
        Column::Text(text) => arguments.add(Arc::clone(text)),
        Column::Int(number) => arguments.add(*number),
        Column::Null => arguments.add(None::<i64>),
    };
    bound.expect("text and numbers always encode");
}
