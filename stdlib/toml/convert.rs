//! Between script values and TOML values.

use ccrun_kernel::rhai::{Array, Dynamic, Map};
use ccrun_kernel::value::{Timestamp, to_json};
use ccrun_kernel::{Error, Result};
use toml::{Table, Value};

use super::FORMAT;
use crate::document::MOST_VALUES;

/// A table as a map.
///
/// # Errors
/// `toml.too_large`
pub fn map(table: Table) -> Result<Map> {
    let mut left = MOST_VALUES;
    read_table(table, &mut left)
}

fn read_table(table: Table, left: &mut usize) -> Result<Map> {
    table
        .into_iter()
        .map(|(key, value)| Ok((key.into(), read(value, left)?)))
        .collect()
}

fn read(value: Value, left: &mut usize) -> Result<Dynamic> {
    *left = left
        .checked_sub(1)
        .ok_or_else(|| FORMAT.too_large(&format!("more than {MOST_VALUES} values")))?;
    Ok(match value {
        Value::String(text) => text.into(),
        Value::Integer(int) => int.into(),
        Value::Float(float) => float.into(),
        Value::Boolean(truth) => truth.into(),
        Value::Datetime(at) => match (at.offset, at.to_string().parse::<Timestamp>()) {
            (Some(_), Ok(timestamp)) => Dynamic::from(timestamp),
            _ => at.to_string().into(),
        },
        Value::Array(items) => items
            .into_iter()
            .map(|item| read(item, left))
            .collect::<Result<Array>>()?
            .into(),
        Value::Table(table) => read_table(table, left)?.into(),
    })
}

/// A map as a table. `path` is where it stands in the document.
///
/// # Errors
/// `toml.null` for a `()` in an array.
pub fn table(map: &Map, path: &str) -> Result<Table> {
    let mut table = Table::new();
    for (key, value) in map {
        if !value.is_unit() {
            table.insert(key.to_string(), write(value, &format!("{path}.{key}"))?);
        }
    }
    Ok(table)
}

fn write(value: &Dynamic, path: &str) -> Result<Value> {
    if let Ok(map) = value.as_map_ref() {
        return table(&map, path).map(Value::Table);
    }
    if let Ok(items) = value.as_array_ref() {
        let items = items.iter().enumerate();
        let items = items.map(|(index, item)| write(item, &format!("{path}[{index}]")));
        return items.collect::<Result<Vec<_>>>().map(Value::Array);
    }
    if let Ok(float) = value.as_float() {
        return Ok(Value::Float(float));
    }
    if let Some(timestamp) = value.read_lock::<Timestamp>()
        && let Ok(at) = timestamp.to_string().parse()
    {
        return Ok(Value::Datetime(at));
    }
    Ok(match to_json(value) {
        serde_json::Value::Null => {
            return Err(Error::new(
                "toml.null",
                format!(
                    "`{}` is `()`, and TOML has no null",
                    path.trim_start_matches('.')
                ),
            )
            .hint("leave it out of the array, or write an empty text"));
        }
        serde_json::Value::Bool(truth) => Value::Boolean(truth),
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(int), _) => Value::Integer(int),
            (None, Some(float)) if number.is_f64() => Value::Float(float),
            _ => Value::String(number.to_string()),
        },
        serde_json::Value::String(text) => Value::String(text),
        other => Value::String(other.to_string()),
    })
}
