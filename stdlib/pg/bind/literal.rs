//! Values as text: `{"a",NULL}`, `("a",1)`, `["1","5")`.

use ccrun_kernel::rhai::{Array, Dynamic, Map};
use ccrun_kernel::value::{Duration, Timestamp};
use sqlx::postgres::{PgTypeInfo, PgTypeKind};

use super::{in_element, json, number_text, text_of};

/// The text of a value as the input function of its type reads it.
///
/// # Errors
/// What does not fit, empty if it is only of another type.
pub fn literal(info: &PgTypeInfo, value: &Dynamic) -> Result<String, String> {
    match info.kind() {
        PgTypeKind::Domain(base) => literal(base, value),
        PgTypeKind::Array(element) if value.is_array() => {
            array_literal(element, &*value.as_array_ref().map_err(str::to_owned)?)
        }
        PgTypeKind::Composite(fields) if value.is_map() => {
            let map = value.as_map_ref().map_err(str::to_owned)?;
            if let Some(key) = map
                .keys()
                .find(|key| !fields.iter().any(|(name, _)| name == *key))
            {
                return Err(format!("there is no field `{key}`"));
            }
            let parts: Vec<String> = fields
                .iter()
                .map(|(name, field)| match map.get(name.as_str()) {
                    None => Ok(String::new()),
                    Some(value) if value.is_unit() => Ok(String::new()),
                    Some(value) => literal(field, value).map(|text| quoted(&text)),
                })
                .collect::<Result<_, String>>()?;
            Ok(format!("({})", parts.join(",")))
        }
        PgTypeKind::Range(bound) if value.is_map() => {
            range_literal(bound, &*value.as_map_ref().map_err(str::to_owned)?)
        }
        _ => match info.oid().map_or(0, |oid| oid.0) {
            114 | 3802 => json(value),
            17 if value.is_blob() => {
                let blob = value.as_blob_ref().map_err(str::to_owned)?;
                Ok(format!("\\x{}", hex::encode(&*blob)))
            }
            _ => scalar_text(value),
        },
    }
}

/// `{"a",NULL}`
///
/// # Errors
/// As for [`literal`].
pub fn array_literal(element: &PgTypeInfo, items: &Array) -> Result<String, String> {
    let parts: Vec<String> = items
        .iter()
        .enumerate()
        .map(|(index, item)| {
            if item.is_unit() {
                Ok("NULL".to_owned())
            } else if let Ok(inner) = item.as_array_ref() {
                array_literal(element, &inner)
            } else {
                literal(element, item)
                    .map(|text| quoted(&text))
                    .map_err(|why| in_element(index, element, item, &why))
            }
        })
        .collect::<Result<_, String>>()?;
    Ok(format!("{{{}}}", parts.join(",")))
}

/// A range as queries return it: `#{ lower, upper, lower_inclusive, upper_inclusive, empty }`.
fn range_literal(bound: &PgTypeInfo, map: &Map) -> Result<String, String> {
    const KEYS: [&str; 5] = [
        "lower",
        "upper",
        "lower_inclusive",
        "upper_inclusive",
        "empty",
    ];
    if let Some(key) = map.keys().find(|key| !KEYS.contains(&key.as_str())) {
        return Err(format!("a range has no `{key}`, but {}", KEYS.join(", ")));
    }
    let flag = |key: &str, default: bool| {
        map.get(key)
            .map_or(default, |value| value.as_bool().unwrap_or(default))
    };
    if flag("empty", false) {
        return Ok("empty".to_owned());
    }
    let side = |key: &str| match map.get(key) {
        None => Ok(String::new()),
        Some(value) if value.is_unit() => Ok(String::new()),
        Some(value) => literal(bound, value).map(|text| quoted(&text)),
    };
    let open = if flag("lower_inclusive", true) {
        '['
    } else {
        '('
    };
    let close = if flag("upper_inclusive", false) {
        ']'
    } else {
        ')'
    };
    Ok(format!(
        "{open}{},{}{close}",
        side("lower")?,
        side("upper")?
    ))
}

/// Quoted inside an array, a composite or a range.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Anything that has one obvious text.
fn scalar_text(value: &Dynamic) -> Result<String, String> {
    if let Ok(truth) = value.as_bool() {
        return Ok(truth.to_string());
    }
    if let Some(text) = number_text(value) {
        return Ok(text);
    }
    if let Some(time) = value.read_lock::<Timestamp>() {
        return Ok(time.instant().to_string());
    }
    if let Some(duration) = value.read_lock::<Duration>() {
        return Ok(format!("{} microseconds", duration.as_nanos() / 1000));
    }
    text_of(value)
}

#[cfg(test)]
mod tests {
    use sqlx::{Postgres, Type};

    use super::*;

    fn info<T: Type<Postgres>>() -> PgTypeInfo {
        T::type_info()
    }

    #[test]
    fn what_stands_in_literals_is_quoted() {
        let items: Array = vec!["a\"b\\c,".into(), Dynamic::UNIT, "NULL".into()];
        assert_eq!(
            array_literal(&info::<String>(), &items).unwrap(),
            r#"{"a\"b\\c,",NULL,"NULL"}"#
        );
        let mut map = Map::new();
        map.insert("lower".into(), 1_i64.into());
        map.insert("upper_inclusive".into(), true.into());
        assert_eq!(range_literal(&info::<i32>(), &map).unwrap(), "[\"1\",]");
    }
}
