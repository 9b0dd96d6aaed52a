//! Values in the journal: what a step returned must come back as it was.
//!
//! JSON has no durations, no decimals and no difference between `5.0` and a `5` that somebody wrote
//! as a float, so those are written as an object with one tag: `{"$duration": "5m"}`. A map of a
//! script that has a key with `$` is wrapped: `{"$map": {…}}`.

use std::fmt;
use std::ops::{Range, RangeInclusive};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::tz::{Offset, TimeZone};
use rhai::{Array, Dynamic, INT, Map};
use rust_decimal::Decimal;
use serde_json::{Number, Value, json};

use super::{Duration, Size, Timestamp, type_name, zone_named};
use crate::error::{Error, Result};
use crate::secret::Secret;

/// A reference to a secret, where the secret itself must not be: in the journal, or in a parameter
/// that says `secret:NAME`. The run resolves it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeptSecret(pub String);

impl fmt::Display for KeptSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "‹secret {}›", self.0)
    }
}

/// Each level of a value takes two of JSON at most (a wrapped map), and readers stop at 128.
const DEPTH: usize = 60;

/// The journal's form of a value.
///
/// # Errors
/// `step.value_not_kept` for a value that holds a handle or a closure, saying where.
pub fn keep(value: &Dynamic) -> Result<Value> {
    write(value, &mut Vec::new())
}

/// The value that [`keep`] wrote down. A secret comes back as a [`KeptSecret`].
///
/// # Errors
/// `journal.value` if it is no such form, or one of a newer version.
pub fn unkeep(value: &Value) -> Result<Dynamic> {
    Ok(match value {
        Value::Array(items) => items.iter().map(unkeep).collect::<Result<Array>>()?.into(),
        Value::Object(object) => match object.iter().next() {
            Some((tag, content)) if tag.starts_with('$') => untag(tag, content, object)?,
            _ => read_map(object)?,
        },
        plain => super::from_json(plain),
    })
}

/// A step on the way to a part of a value.
enum Part {
    Index(usize),
    Key(String),
}

fn write(value: &Dynamic, path: &mut Vec<Part>) -> Result<Value> {
    if path.len() > DEPTH {
        return Err(not_kept(
            format!("it is nested deeper than {DEPTH} levels"),
            "return less from the step: what later steps need, not everything",
        ));
    }
    if let Ok(items) = value.as_array_ref() {
        let mut kept = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            path.push(Part::Index(index));
            kept.push(write(item, path)?);
            path.pop();
        }
        return Ok(kept.into());
    }
    if let Ok(map) = value.as_map_ref() {
        let mut kept = serde_json::Map::with_capacity(map.len());
        for (key, item) in map.iter() {
            path.push(Part::Key(key.to_string()));
            kept.insert(key.to_string(), write(item, path)?);
            path.pop();
        }
        let ambiguous = kept.keys().any(|key| key.starts_with('$'));
        return Ok(if ambiguous {
            json!({ "$map": kept })
        } else {
            kept.into()
        });
    }
    scalar(value).ok_or_else(|| {
        let what = type_name(value);
        let place = match spelled(path) {
            place if place.is_empty() => format!("it is a {what}"),
            place => format!("`{place}` is a {what}"),
        };
        let hint = match what.as_str() {
            "closure" => "return plain values, and define the closure outside of the step".to_owned(),
            what => format!(
                "return plain values (a name, a map, an array), and open the {what} outside of the step"
            ),
        };
        not_kept(place, hint)
    })
}

fn not_kept(why: impl fmt::Display, hint: impl Into<String>) -> Error {
    Error::new(
        "step.value_not_kept",
        format!("the value can't be kept in the journal: {why}"),
    )
    .hint(hint)
}

/// `.items[3].db`
fn spelled(path: &[Part]) -> String {
    path.iter()
        .map(|part| match part {
            Part::Index(index) => format!("[{index}]"),
            Part::Key(key) if rhai::is_valid_identifier(key) => format!(".{key}"),
            Part::Key(key) => format!("[{}]", super::quoted(key)),
        })
        .collect()
}

fn scalar(value: &Dynamic) -> Option<Value> {
    if value.is_unit() {
        return Some(Value::Null);
    }
    if let Ok(text) = value.as_immutable_string_ref() {
        return Some(text.as_str().into());
    }
    if let Ok(int) = value.as_int() {
        return Some(int.into());
    }
    if let Ok(truth) = value.as_bool() {
        return Some(truth.into());
    }
    if let Ok(float) = value.as_float() {
        return Some(float_number(float).unwrap_or_else(|| json!({ "$float": float.to_string() })));
    }
    if let Ok(decimal) = value.as_decimal() {
        return Some(json!({ "$decimal": decimal.to_string() }));
    }
    if let Ok(c) = value.as_char() {
        return Some(json!({ "$char": c }));
    }
    if let Ok(blob) = value.as_blob_ref() {
        return Some(json!({ "$blob": BASE64.encode(&*blob) }));
    }
    if let Some(duration) = value.read_lock::<Duration>() {
        return Some(json!({ "$duration": duration.to_string() }));
    }
    if let Some(size) = value.read_lock::<Size>() {
        return Some(json!({ "$size": size.bytes() }));
    }
    if let Some(time) = value.read_lock::<Timestamp>() {
        return Some(write_time(&time));
    }
    if let Some(secret) = value.read_lock::<Secret>() {
        return Some(json!({ "$secret": secret.name() }));
    }
    if let Some(KeptSecret(name)) = value.read_lock::<KeptSecret>().as_deref() {
        return Some(json!({ "$secret": name }));
    }
    if let Some(range) = value.read_lock::<Range<INT>>() {
        return Some(json!({ "$range": [range.start, range.end] }));
    }
    value
        .read_lock::<RangeInclusive<INT>>()
        .map(|range| json!({ "$range": [range.start(), range.end()], "inclusive": true }))
}

/// The JSON number that is read back as exactly this one, if there is one: JSON has no `NaN`, and
/// its reader may miss the last bit.
fn float_number(float: f64) -> Option<Value> {
    let value = Value::Number(Number::from_f64(float)?);
    let read: Value = serde_json::from_str(&value.to_string()).ok()?;
    let same = read.is_f64() && read.as_f64().map(f64::to_bits) == Some(float.to_bits());
    same.then_some(value)
}

fn write_time(time: &Timestamp) -> Value {
    let at = time.instant().to_string();
    match time.zone() {
        None => json!({ "$timestamp": at }),
        Some(zone) => match zone.iana_name() {
            Some(name) => json!({ "$timestamp": at, "zone": name }),
            None => {
                json!({ "$timestamp": at, "offset": zone.to_offset(time.instant()).seconds() })
            }
        },
    }
}

fn read_map(object: &serde_json::Map<String, Value>) -> Result<Dynamic> {
    let map: Result<Map> = object
        .iter()
        .map(|(key, value)| Ok((key.into(), unkeep(value)?)))
        .collect();
    map.map(Dynamic::from)
}

fn untag(tag: &str, content: &Value, object: &serde_json::Map<String, Value>) -> Result<Dynamic> {
    let text = content.as_str();
    let value = match tag {
        "$map" => content.as_object().map(read_map).transpose()?,
        "$float" => text.and_then(|t| t.parse::<f64>().ok()).map(Dynamic::from),
        "$decimal" => text
            .and_then(|t| t.parse::<Decimal>().ok())
            .map(Dynamic::from_decimal),
        "$char" => text.and_then(|t| t.chars().next()).map(Dynamic::from),
        "$blob" => text
            .and_then(|t| BASE64.decode(t).ok())
            .map(Dynamic::from_blob),
        "$duration" => text
            .and_then(|t| t.parse::<Duration>().ok())
            .map(Dynamic::from),
        "$size" => content
            .as_u64()
            .map(|bytes| Dynamic::from(Size::from_bytes(bytes))),
        "$timestamp" => text.and_then(|t| read_time(t, object)).map(Dynamic::from),
        "$secret" => text.map(|name| Dynamic::from(KeptSecret(name.to_owned()))),
        "$range" => read_range(content, object.contains_key("inclusive")),
        _ => {
            return Err(Error::new(
                "journal.value",
                format!("the journal holds a value of the unknown sort `{tag}`"),
            )
            .hint("it was written by a newer ccrun: use that one to go on with this run"));
        }
    };
    value.ok_or_else(|| {
        Error::new(
            "journal.value",
            format!("the journal holds a damaged value: {tag} {content}"),
        )
        .hint("start the run again, or from a step before this one with `--from`")
    })
}

fn read_time(text: &str, object: &serde_json::Map<String, Value>) -> Option<Timestamp> {
    let time: Timestamp = text.parse::<jiff::Timestamp>().ok()?.into();
    if let Some(name) = object.get("zone") {
        return Some(time.with_zone(zone_named(name.as_str()?).ok()?));
    }
    match object.get("offset") {
        None => Some(time),
        Some(seconds) => {
            let offset = Offset::from_seconds(seconds.as_i64()?.try_into().ok()?).ok()?;
            Some(time.with_zone(TimeZone::fixed(offset)))
        }
    }
}

fn read_range(content: &Value, inclusive: bool) -> Option<Dynamic> {
    let (start, end) = (content.get(0)?.as_i64()?, content.get(1)?.as_i64()?);
    Some(if inclusive {
        Dynamic::from(start..=end)
    } else {
        Dynamic::from(start..end)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rhai::Engine;

    use super::*;
    use crate::value::literal;

    #[derive(Clone)]
    struct Pool;

    /// Through the text of the journal and back.
    fn kept(value: &Dynamic) -> Dynamic {
        let text = keep(value).unwrap().to_string();
        unkeep(&serde_json::from_str(&text).unwrap()).unwrap()
    }

    #[test]
    fn a_value_comes_back_as_it_was() {
        let time = "2025-03-01T02:00:00Z".parse::<Timestamp>().unwrap();
        let mut map = Map::new();
        map.insert("$duration".into(), "not one".into());
        map.insert("float".into(), 5.0.into());
        map.insert(
            "zoned".into(),
            Dynamic::from(time.in_zone("Europe/Berlin").unwrap()),
        );
        let offset = "2025-03-01T02:00:00+02:00".parse::<Timestamp>().unwrap();
        map.insert("offset".into(), Dynamic::from(offset));
        map.insert("range".into(), Dynamic::from(1..=3_i64));
        let value = Dynamic::from(map);
        let back = kept(&value);
        assert_eq!(literal(&back, 500), literal(&value, 500));
        let map = back.as_map_ref().unwrap();
        assert_eq!(map["float"].type_name(), "f64");
        let zoned = map["zoned"].read_lock::<Timestamp>().unwrap();
        assert_eq!(zoned.zone_name(), "Europe/Berlin");
    }

    #[test]
    fn a_secret_is_kept_by_reference() {
        let value = Dynamic::from(Secret::new("TOKEN", "hunter2-and-more"));
        assert_eq!(keep(&value).unwrap(), json!({ "$secret": "TOKEN" }));
        assert_eq!(
            kept(&value).cast::<KeptSecret>(),
            KeptSecret("TOKEN".into())
        );
        assert_eq!(
            kept(&kept(&value)).cast::<KeptSecret>(),
            KeptSecret("TOKEN".into())
        );
    }

    #[test]
    fn a_handle_is_refused_with_its_place() {
        let mut inner = Map::new();
        inner.insert("db".into(), Dynamic::from(Pool));
        let mut outer = Map::new();
        let items: Array = vec![1.into(), 2.into(), 3.into(), inner.into()];
        outer.insert("items".into(), items.into());
        let error = keep(&outer.into()).unwrap_err();
        assert_eq!(error.kind(), "step.value_not_kept");
        assert_eq!(
            error.message(),
            "the value can't be kept in the journal: `.items[3].db` is a Pool"
        );
        assert_eq!(
            error.hint_text(),
            Some(
                "return plain values (a name, a map, an array), and open the Pool outside of the step"
            )
        );
        let closure: Dynamic = Engine::new().eval("|| 1").unwrap();
        let error = keep(&closure).unwrap_err();
        assert_eq!(
            error.message(),
            "the value can't be kept in the journal: it is a closure"
        );
    }

    #[test]
    fn too_deep_is_refused_and_the_deepest_allowed_is_read_back() {
        let nested = |levels: usize| {
            let mut value = Dynamic::UNIT;
            for _ in 0..levels {
                let mut map = Map::new();
                map.insert("$".into(), value);
                value = Dynamic::from(map);
            }
            value
        };
        assert_eq!(literal(&kept(&nested(60)), 9), literal(&nested(60), 9));
        let error = keep(&nested(200)).unwrap_err();
        assert!(
            error
                .message()
                .ends_with("it is nested deeper than 60 levels"),
            "{error}"
        );
    }

    #[test]
    fn a_damaged_or_newer_value_is_an_error() {
        let newer = unkeep(&json!({ "$quaternion": 1 })).unwrap_err();
        assert_eq!(
            newer.message(),
            "the journal holds a value of the unknown sort `$quaternion`"
        );
        for damaged in [
            json!({ "$duration": 5 }),
            json!({ "$blob": "?" }),
            json!({ "$timestamp": "2025-03-01T00:00:00Z", "zone": "Mars/Base" }),
            json!([{ "$map": [] }]),
        ] {
            assert_eq!(
                unkeep(&damaged).unwrap_err().kind(),
                "journal.value",
                "{damaged}"
            );
        }
    }

    fn any_value() -> impl Strategy<Value = Dynamic> {
        let leaf = prop_oneof![
            Just(Dynamic::UNIT),
            any::<bool>().prop_map(Dynamic::from),
            any::<i64>().prop_map(Dynamic::from),
            any::<f64>().prop_map(Dynamic::from),
            any::<u64>().prop_map(|bits| Dynamic::from(f64::from_bits(bits))),
            any::<char>().prop_map(Dynamic::from),
            ".{0,12}".prop_map(Dynamic::from),
            any::<Vec<u8>>().prop_map(Dynamic::from_blob),
            (any::<i64>(), 0..28_u32).prop_map(|(n, s)| Dynamic::from_decimal(Decimal::new(n, s))),
            any::<i64>().prop_map(|n| Dynamic::from(Duration::from_nanos(n.into()).unwrap())),
            any::<u64>().prop_map(|n| Dynamic::from(Size::from_bytes(n))),
            (0..200_000_000_000_i64).prop_map(|s| Dynamic::from(Timestamp::from_unix(s).unwrap())),
            "[A-Z]{1,8}".prop_map(|name| Dynamic::from(KeptSecret(name))),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Dynamic::from_array),
                prop::collection::btree_map("\\$?[a-z]{0,4}", inner, 0..6).prop_map(|map| {
                    Dynamic::from_map(map.into_iter().map(|(k, v)| (k.into(), v)).collect())
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn everything_comes_back(value in any_value()) {
            let back = kept(&value);
            prop_assert_eq!(keep(&back).unwrap(), keep(&value).unwrap());
            prop_assert_eq!(back.type_name(), value.type_name());
            let _ = crate::value::show(&value);
            let _ = crate::value::to_json(&value);
        }

        #[test]
        fn no_float_loses_a_bit(bits in any::<u64>()) {
            let float = f64::from_bits(bits);
            let back = kept(&Dynamic::from(float)).as_float().unwrap();
            prop_assert!(back.to_bits() == bits || (back.is_nan() && float.is_nan()));
        }
    }
}
