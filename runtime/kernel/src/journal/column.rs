//! How values of the journal stand in columns, and how they are read back.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::process::Process;

/// A time as it stands in a column: fixed width, so that it sorts as text.
pub(super) fn time_text(time: Timestamp) -> String {
    format!("{time:.9}")
}

pub(super) fn time(row: &SqliteRow, column: &str) -> sqlx::Result<Timestamp> {
    optional_time(row, column)?.ok_or_else(|| sqlx::Error::ColumnNotFound(column.to_owned()))
}

pub(super) fn optional_time(row: &SqliteRow, column: &str) -> sqlx::Result<Option<Timestamp>> {
    let text: Option<String> = row.try_get(column)?;
    text.map(|text| text.parse().map_err(|error| decode(column, error)))
        .transpose()
}

pub(super) fn json(row: &SqliteRow, column: &str) -> sqlx::Result<Value> {
    let text: String = row.try_get(column)?;
    serde_json::from_str(&text).map_err(|error| decode(column, error))
}

pub(super) fn optional_json(row: &SqliteRow, column: &str) -> sqlx::Result<Option<Value>> {
    let text: Option<String> = row.try_get(column)?;
    text.map(|text| serde_json::from_str(&text).map_err(|error| decode(column, error)))
        .transpose()
}

pub(super) fn elapsed(row: &SqliteRow, column: &str) -> sqlx::Result<Option<Duration>> {
    let micros: Option<i64> = row.try_get(column)?;
    Ok(micros.map(|micros| Duration::from_micros(micros.unsigned_abs())))
}

pub(super) fn process(row: &SqliteRow) -> sqlx::Result<Process> {
    let pid_start: i64 = row.try_get("pid_start")?;
    Ok(Process {
        host: row.try_get("host")?,
        pid: row.try_get("pid")?,
        pid_start: pid_start.unsigned_abs(),
    })
}

pub(super) fn word<T: std::str::FromStr<Err = String>>(
    row: &SqliteRow,
    column: &str,
) -> sqlx::Result<T> {
    let text: &str = row.try_get(column)?;
    text.parse().map_err(|error: String| decode(column, error))
}

fn decode(column: &str, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> sqlx::Error {
    sqlx::Error::ColumnDecode {
        index: column.to_owned(),
        source: error.into(),
    }
}

/// Whether `value` can be written and read back: the JSON reader stops at 128 levels.
pub(super) fn is_readable_back(value: &Value) -> bool {
    fn within(value: &Value, levels: usize) -> bool {
        match value {
            Value::Array(items) => levels > 0 && items.iter().all(|v| within(v, levels - 1)),
            Value::Object(map) => levels > 0 && map.values().all(|v| within(v, levels - 1)),
            _ => true,
        }
    }
    within(value, 120)
}
