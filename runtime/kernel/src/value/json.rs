//! Between script values and JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rhai::{Array, Dynamic, Map};
use rust_decimal::Decimal;
use serde_json::{Number, Value};

use super::display::{handle_text, scalar_text};

/// Deeper than any JSON reader follows.
const DEPTH: usize = 120;

/// The script value of a JSON value. Integers stay integers; those above the greatest `int` become
/// decimals, so that no digit is lost.
pub fn from_json(value: &Value) -> Dynamic {
    match value {
        Value::Null => Dynamic::UNIT,
        Value::Bool(value) => (*value).into(),
        Value::Number(number) => from_number(number),
        Value::String(text) => text.clone().into(),
        Value::Array(items) => items.iter().map(from_json).collect::<Array>().into(),
        Value::Object(entries) => entries
            .iter()
            .map(|(key, value)| (key.into(), from_json(value)))
            .collect::<Map>()
            .into(),
    }
}

fn from_number(number: &Number) -> Dynamic {
    if let Some(int) = number.as_i64() {
        return int.into();
    }
    if let Some(large) = number.as_u64() {
        return Dynamic::from_decimal(Decimal::from(large));
    }
    number.as_f64().unwrap_or(f64::NAN).into()
}

/// The JSON of a value, for output: every value has one.
///
/// Durations, sizes and times are texts as they print, blobs are base64, decimals numbers where a
/// number says exactly the same, numbers that JSON does not know (`NaN`) texts; a closure or a handle
/// is a text `<Container>`, and a secret `‹secret NAME›`.
#[must_use]
pub fn to_json(value: &Dynamic) -> Value {
    convert(value, 0)
}

fn convert(value: &Dynamic, depth: usize) -> Value {
    if value.is_unit() {
        Value::Null
    } else if let Ok(text) = value.as_immutable_string_ref() {
        text.as_str().into()
    } else if let Ok(int) = value.as_int() {
        int.into()
    } else if let Ok(truth) = value.as_bool() {
        truth.into()
    } else if let Ok(float) = value.as_float() {
        Number::from_f64(float).map_or_else(|| float.to_string().into(), Value::Number)
    } else if let Ok(decimal) = value.as_decimal() {
        exact_number(decimal).map_or_else(|| decimal.to_string().into(), Value::Number)
    } else if let Ok(c) = value.as_char() {
        c.to_string().into()
    } else if let Ok(blob) = value.as_blob_ref() {
        BASE64.encode(&*blob).into()
    } else if let Ok(items) = value.as_array_ref() {
        if depth >= DEPTH {
            return "…".into();
        }
        items.iter().map(|item| convert(item, depth + 1)).collect()
    } else if let Ok(map) = value.as_map_ref() {
        if depth >= DEPTH {
            return "…".into();
        }
        map.iter()
            .map(|(key, item)| (key.to_string(), convert(item, depth + 1)))
            .collect()
    } else {
        scalar_text(value)
            .unwrap_or_else(|| handle_text(value))
            .into()
    }
}

/// The JSON number whose text is the decimal's, if there is one.
fn exact_number(decimal: Decimal) -> Option<Number> {
    let text = decimal.normalize().to_string();
    if let Ok(int) = text.parse::<i64>() {
        return Some(int.into());
    }
    if let Ok(large) = text.parse::<u64>() {
        return Some(large.into());
    }
    let float = text.parse::<f64>().ok()?;
    if float.to_string() == text {
        Number::from_f64(float)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use rhai::Engine;
    use serde_json::json;

    use super::*;
    use crate::secret::Secret;
    use crate::value::{Duration, Size, Timestamp};

    #[derive(Clone)]
    struct Pool;

    #[test]
    fn json_comes_in_with_natural_types() {
        let value = from_json(&json!({
            "int": 5, "negative": -1, "float": 5.0, "large": u64::MAX, "null": null,
            "list": [true, "x"],
        }));
        let map = value.as_map_ref().unwrap();
        assert_eq!(map["int"].type_name(), "i64");
        assert_eq!(map["float"].type_name(), "f64");
        assert_eq!(
            map["large"].as_decimal().unwrap().to_string(),
            "18446744073709551615"
        );
        assert!(map["null"].is_unit());
        assert_eq!(
            to_json(&value),
            json!({
                "int": 5, "negative": -1, "float": 5.0, "large": u64::MAX, "null": null,
                "list": [true, "x"],
            })
        );
    }

    #[test]
    fn every_value_has_a_json() {
        let closure: Dynamic = Engine::new().eval("|| 1").unwrap();
        let decimal = |text: &str| Dynamic::from_decimal(text.parse().unwrap());
        for (value, expected) in [
            (
                Dynamic::from("90s".parse::<Duration>().unwrap()),
                json!("1m30s"),
            ),
            (Dynamic::from(Size::from_bytes(1536)), json!("1.5 KiB")),
            (
                Dynamic::from("2025-03-01".parse::<Timestamp>().unwrap()),
                json!("2025-03-01T00:00:00Z"),
            ),
            (Dynamic::from_blob(vec![0, 255]), json!("AP8=")),
            (decimal("12.50"), json!(12.5)),
            (decimal("3.00"), json!(3)),
            (
                decimal("0.1234567890123456789"),
                json!("0.1234567890123456789"),
            ),
            (f64::NAN.into(), json!("NaN")),
            (f64::NEG_INFINITY.into(), json!("-inf")),
            ('x'.into(), json!("x")),
            (closure, json!("<closure>")),
            (Dynamic::from(Pool), json!("<Pool>")),
            (
                Dynamic::from(Secret::new("TOKEN", "hunter2-and-more")),
                json!("‹secret TOKEN›"),
            ),
            (Dynamic::from(1..5_i64), json!("1..5")),
        ] {
            assert_eq!(to_json(&value), expected);
        }
    }

    #[test]
    fn a_bottomless_value_ends() {
        let mut deep = Dynamic::UNIT;
        for _ in 0..2_000 {
            deep = Dynamic::from(Array::from(vec![deep]));
        }
        let text = to_json(&deep).to_string();
        assert!(text.contains('…'));
        assert!(serde_json::from_str::<Value>(&text).is_ok());
    }
}
