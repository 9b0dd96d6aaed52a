//! Between values of Redis and of scripts.

use ccrun_kernel::rhai::{Array, Dynamic, Map};
use ccrun_kernel::secret::Secret;
use ccrun_kernel::value::to_json;
use ccrun_kernel::{Error, Result};
use redis::Value;

/// What the server answered. Bytes that are no text become a blob.
pub fn to_script(value: Value) -> Dynamic {
    match value {
        Value::Nil => Dynamic::UNIT,
        Value::Int(number) => number.into(),
        Value::Double(number) => number.into(),
        Value::Boolean(truth) => truth.into(),
        Value::Okay => "OK".into(),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => text.into(),
        Value::BulkString(bytes) | Value::BigNumber(bytes) => match String::from_utf8(bytes) {
            Ok(text) => text.into(),
            Err(error) => Dynamic::from_blob(error.into_bytes()),
        },
        Value::Array(values) | Value::Set(values) | Value::Push { data: values, .. } => {
            values.into_iter().map(to_script).collect::<Array>().into()
        }
        Value::Map(pairs) => pairs
            .into_iter()
            .map(|(key, value)| (text(key).into(), to_script(value)))
            .collect::<Map>()
            .into(),
        Value::Attribute { data, .. } => to_script(*data),
        Value::ServerError(error) => error.to_string().into(),
        // The enumeration may grow.
        other => format!("{other:?}").into(),
    }
}

fn text(key: Value) -> String {
    match key {
        Value::BulkString(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Value::SimpleString(text) => text,
        Value::Int(number) => number.to_string(),
        other => format!("{other:?}"),
    }
}

/// A command as it is sent. A secret among the arguments is welcome.
pub fn of_script(command: &[Dynamic]) -> Result<Vec<Vec<u8>>> {
    command.iter().enumerate().map(|(at, value)| {
        if let Some(secret) = value.read_lock::<Secret>() {
            return Ok(secret.expose().as_bytes().to_vec());
        }
        if let Some(bytes) = value.read_lock::<Vec<u8>>() {
            return Ok(bytes.clone());
        }
        if value.is_map() || value.is_array() || value.is_unit() {
            return Err(Error::new(
                "redis.bad_argument",
                format!("argument {at} of the command is a {}", value.type_name()),
            )
            .hint("arguments are strings, numbers, blobs and secrets; `json::stringify` makes a string of a map"));
        }
        Ok(match to_json(value) {
            serde_json::Value::String(text) => text.into_bytes(),
            other => other.to_string().into_bytes(),
        })
    }).collect()
}
