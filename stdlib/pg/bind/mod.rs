//! Parameters: script values as the types that Postgres says `$1`, `$2` … have.
//!
//! What has an obvious binary form is sent in it. Everything else that is given as a text (a `tsquery`,
//! an `inet`, an enum array …) goes through the type's own input function: `$2` is then rewritten to
//! `$2::text::inet`, which reads exactly what a literal in the SQL could be.

mod literal;

use ccrun_kernel::rhai::Dynamic;
use ccrun_kernel::secret::Secret;
use ccrun_kernel::value::{Duration, Timestamp, to_json, type_name};
use ccrun_kernel::{Error, Result};
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgArguments, PgTypeInfo, PgTypeKind};
use sqlx::{Arguments as _, Encode, Postgres, Type, TypeInfo as _};

use literal::{array_literal, literal};

use super::decode;
use super::sql::Facts;

/// Encoded parameters.
pub struct Bound {
    /// What sqlx sends.
    pub arguments: PgArguments,
    /// The parameters that must go through their type's input function.
    pub casts: Vec<Cast>,
}

/// A parameter that is sent as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cast {
    /// Its number, from 1.
    pub number: usize,
    /// The type that it is cast to.
    pub type_name: String,
    /// The text.
    pub text: String,
}

/// One parameter on its way.
enum Encoded {
    Null,
    Binary(Vec<u8>),
    Text(String),
}

/// A value that is encoded already.
struct Raw {
    bytes: Option<Vec<u8>>,
    info: PgTypeInfo,
}

impl Type<Postgres> for Raw {
    fn type_info() -> PgTypeInfo {
        <String as Type<Postgres>>::type_info()
    }
}

impl Encode<'_, Postgres> for Raw {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        match &self.bytes {
            None => Ok(IsNull::Yes),
            Some(bytes) => {
                buffer.extend_from_slice(bytes);
                Ok(IsNull::No)
            }
        }
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        Some(self.info.clone())
    }
}

/// Encode the parameters for a statement whose parameters have these types.
///
/// # Errors
/// `pg.bad_parameter` naming the parameter, its type and what was given.
pub fn bind(types: &[PgTypeInfo], values: &[Dynamic]) -> Result<Bound> {
    if types.len() != values.len() {
        return Err(wrong_count(types.len(), values.len()));
    }
    let mut bound = Bound {
        arguments: PgArguments::default(),
        casts: Vec::new(),
    };
    for (index, (info, value)) in types.iter().zip(values).enumerate() {
        let bytes = match encode(info, value).map_err(|why| bad(index + 1, info, value, &why))? {
            Encoded::Null => None,
            Encoded::Binary(bytes) => Some(bytes),
            Encoded::Text(text) => {
                let bytes = text.clone().into_bytes();
                let type_name = info.name().to_owned();
                bound.casts.push(Cast {
                    number: index + 1,
                    type_name,
                    text,
                });
                Some(bytes)
            }
        };
        bound
            .arguments
            .add(Raw {
                bytes,
                info: info.clone(),
            })
            .map_err(|why| bad(index + 1, info, value, &why.to_string()))?;
    }
    Ok(bound)
}

/// The statement with the given parameters cast: `$2` becomes `$2::text::inet`.
#[must_use]
pub fn with_casts(sql: &str, casts: &[Cast]) -> String {
    let mut text = sql.to_owned();
    for (range, number) in Facts::of(sql).parameters.into_iter().rev() {
        if let Some(cast) = casts.iter().find(|cast| cast.number == number) {
            text.replace_range(range, &format!("${number}::text::{}", cast.type_name));
        }
    }
    text
}

/// The statement has another number of parameters than were given.
#[must_use]
pub fn wrong_count(expected: usize, given: usize) -> Error {
    let plural = if expected == 1 { "" } else { "s" };
    Error::new(
        "pg.bad_parameter",
        format!("the statement has {expected} parameter{plural}, and {given} given"),
    )
    .hint("give one value per `$1`, `$2` … in an array: db.query(sql, [a, b])")
}

fn bad(number: usize, info: &PgTypeInfo, value: &Dynamic, why: &str) -> Error {
    let wanted = info.name().to_lowercase();
    let found = type_name(value);
    let why = if why.is_empty() {
        String::new()
    } else {
        format!(": {why}")
    };
    Error::new(
        "pg.bad_parameter",
        format!("${number} is {wanted}, and a {found} was given{why}"),
    )
    .hint(format!(
        "convert the value, or cast the parameter in the SQL: `${number}::text`"
    ))
    .detail("parameter", number as i64)
    .detail("expected", wanted)
    .detail("found", found)
}

/// `Err` holds what is wrong with the value, empty if it is only of another type.
fn encode(info: &PgTypeInfo, value: &Dynamic) -> Result<Encoded, String> {
    if value.is_unit() {
        return Ok(Encoded::Null);
    }
    match info.kind() {
        PgTypeKind::Domain(base) => return encode(base, value),
        PgTypeKind::Array(element) if value.is_array() => return encode_array(element, value),
        PgTypeKind::Enum(_) => return text_of(value).map(|t| Encoded::Binary(t.into_bytes())),
        PgTypeKind::Composite(_) | PgTypeKind::Range(_) if value.is_map() => {
            return literal(info, value).map(Encoded::Text);
        }
        _ => {}
    }
    let oid = info.oid().map_or(0, |oid| oid.0);
    match oid {
        16 => match value.as_bool() {
            Ok(truth) => Ok(Encoded::Binary(vec![u8::from(truth)])),
            Err(_) => text_of(value).map(Encoded::Text),
        },
        20 => int(value, i64::MIN, i64::MAX).map(|n| Encoded::Binary(n.to_be_bytes().to_vec())),
        21 => narrow(
            value,
            |n| i16::try_from(n).map(|n| n.to_be_bytes().to_vec()).ok(),
            "-32768",
            "32767",
        ),
        23 => narrow(
            value,
            |n| i32::try_from(n).map(|n| n.to_be_bytes().to_vec()).ok(),
            "-2147483648",
            "2147483647",
        ),
        26 | 28 | 29 => narrow(
            value,
            |n| u32::try_from(n).map(|n| n.to_be_bytes().to_vec()).ok(),
            "0",
            "4294967295",
        ),
        700 => float(value).map(|n| Encoded::Binary((n as f32).to_be_bytes().to_vec())),
        701 => float(value).map(|n| Encoded::Binary(n.to_be_bytes().to_vec())),
        1700 => {
            let text = number_text(value).map_or_else(|| text_of(value), Ok)?;
            match decode::encode_numeric(&text) {
                Some(bytes) => Ok(Encoded::Binary(bytes)),
                None => Ok(Encoded::Text(text)),
            }
        }
        17 => match value.as_blob_ref() {
            Ok(bytes) => Ok(Encoded::Binary(bytes.clone())),
            Err(_) => text_of(value).map(Encoded::Text),
        },
        // text, name, bpchar, varchar, xml, unknown
        25 | 19 | 1042 | 1043 | 142 | 705 => {
            let text = text_of(value)?;
            // The one byte that no text of the server can have.
            match text.contains('\0') {
                true => Err("it has a zero byte".to_owned()),
                false => Ok(Encoded::Binary(text.into_bytes())),
            }
        }
        1184 | 1114 => match value.read_lock::<Timestamp>() {
            Some(time) => Ok(Encoded::Binary(decode::encode_moment(time.instant()))),
            None => text_of(value).map(Encoded::Text),
        },
        1082 => match value.read_lock::<Timestamp>() {
            Some(time) => decode::encode_date(time.zoned().date())
                .map(Encoded::Binary)
                .ok_or_else(|| "it is out of range".to_owned()),
            None => text_of(value).map(Encoded::Text),
        },
        1186 => match value.read_lock::<Duration>() {
            Some(duration) => decode::encode_interval(*duration)
                .map(Encoded::Binary)
                .ok_or_else(|| "it is out of range".to_owned()),
            None => text_of(value).map(Encoded::Text),
        },
        2950 => {
            let text = text_of(value)?;
            match text.parse::<uuid::Uuid>() {
                Ok(id) => Ok(Encoded::Binary(id.into_bytes().to_vec())),
                Err(_) => Err(format!("{text:?} is not a uuid")),
            }
        }
        114 => json(value).map(|text| Encoded::Binary(text.into_bytes())),
        3802 => json(value).map(|text| {
            let mut bytes = vec![1];
            bytes.extend(text.into_bytes());
            Encoded::Binary(bytes)
        }),
        _ => match number_text(value) {
            Some(text) => Ok(Encoded::Text(text)),
            None => text_of(value).map(Encoded::Text),
        },
    }
}

fn encode_array(element: &PgTypeInfo, value: &Dynamic) -> Result<Encoded, String> {
    let items = value.as_array_ref().map_err(str::to_owned)?;
    let mut encoded = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        if item.is_array() {
            return array_literal(element, &items).map(Encoded::Text);
        }
        match encode(element, item).map_err(|why| in_element(index, element, item, &why))? {
            Encoded::Null => encoded.push(None),
            Encoded::Binary(bytes) => encoded.push(Some(bytes)),
            Encoded::Text(_) => return array_literal(element, &items).map(Encoded::Text),
        }
    }
    let oid = element.oid().map_or(0, |oid| oid.0);
    decode::encode_array(oid, &encoded)
        .map(Encoded::Binary)
        .ok_or_else(|| "it is too large".to_owned())
}

fn in_element(index: usize, element: &PgTypeInfo, item: &Dynamic, why: &str) -> String {
    let found = type_name(item);
    if why.is_empty() {
        format!(
            "element [{index}] is {found}, not {}",
            element.name().to_lowercase()
        )
    } else {
        format!("element [{index}] {why}")
    }
}

/// A string or a secret.
fn text_of(value: &Dynamic) -> Result<String, String> {
    if let Ok(text) = value.as_immutable_string_ref() {
        return Ok(text.to_string());
    }
    if let Some(secret) = value.read_lock::<Secret>() {
        return Ok(secret.expose().to_owned());
    }
    match value.as_char() {
        Ok(c) => Ok(c.to_string()),
        Err(_) => Err(String::new()),
    }
}

/// The digits of an int, a decimal or a float.
fn number_text(value: &Dynamic) -> Option<String> {
    if let Ok(int) = value.as_int() {
        return Some(int.to_string());
    }
    if let Ok(decimal) = value.as_decimal() {
        return Some(decimal.to_string());
    }
    let float = value.as_float().ok()?;
    Some(if float.is_nan() {
        "NaN".to_owned()
    } else if float.is_infinite() {
        if float > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()
    } else {
        float.to_string()
    })
}

fn int(value: &Dynamic, least: i64, greatest: i64) -> Result<i64, String> {
    if let Ok(int) = value.as_int() {
        return Ok(int);
    }
    if let Ok(decimal) = value.as_decimal() {
        // `sum(bigint)` is numeric, and is still a number of things.
        return decimal.normalize().to_string().parse().map_err(|_| {
            format!("{decimal} is not between {least} and {greatest} without a fraction")
        });
    }
    let text = text_of(value)?;
    text.trim()
        .parse()
        .map_err(|_| format!("{text:?} is not an integer"))
}

fn narrow(
    value: &Dynamic,
    fit: impl Fn(i64) -> Option<Vec<u8>>,
    least: &str,
    greatest: &str,
) -> Result<Encoded, String> {
    let number = int(value, i64::MIN, i64::MAX)?;
    fit(number)
        .map(Encoded::Binary)
        .ok_or_else(|| format!("{number} is not between {least} and {greatest}"))
}

fn float(value: &Dynamic) -> Result<f64, String> {
    let text = number_text(value).map_or_else(|| text_of(value), Ok)?;
    text.trim()
        .parse()
        .map_err(|_| format!("{text:?} is not a number"))
}

/// A string is JSON already; everything else becomes JSON.
fn json(value: &Dynamic) -> Result<String, String> {
    let Ok(text) = text_of(value) else {
        return Ok(to_json(value).to_string());
    };
    match serde_json::from_str::<serde::de::IgnoredAny>(&text) {
        Ok(_) => Ok(text),
        Err(error) => Err(format!(
            "a string must be JSON text here ({error}); give a map or an array, or the string in quotes: `\"\\\"text\\\"\"`"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info<T: Type<Postgres>>() -> PgTypeInfo {
        T::type_info()
    }

    fn refused(info: PgTypeInfo, value: Dynamic) -> String {
        let error = bind(&[info], &[value]).map(|_| ()).unwrap_err();
        assert_eq!(error.kind(), "pg.bad_parameter");
        error.message().to_owned()
    }

    #[test]
    fn a_wrong_value_names_the_parameter_and_both_types() {
        assert_eq!(
            refused(info::<i16>(), 40_000_i64.into()),
            "$1 is int2, and a int was given: 40000 is not between -32768 and 32767"
        );
        assert_eq!(
            refused(info::<String>(), 1_i64.into()),
            "$1 is text, and a int was given"
        );
        assert_eq!(
            refused(info::<i32>(), 1.5.into()),
            "$1 is int4, and a float was given"
        );
        assert_eq!(
            refused(
                info::<Vec<i32>>(),
                vec![Dynamic::from(1_i64), "x".into()].into()
            ),
            "$1 is int4[], and a array was given: element [1] \"x\" is not an integer"
        );
        let error = bind(&[], &[1_i64.into()]).map(|_| ()).unwrap_err();
        assert_eq!(
            error.message(),
            "the statement has 0 parameters, and 1 given"
        );
    }

    #[test]
    fn parameters_are_cast_where_they_stand() {
        let cast = |number, type_name: &str| Cast {
            number,
            type_name: type_name.to_owned(),
            text: String::new(),
        };
        assert_eq!(
            with_casts("select $1, '$2', $2 = $12, $2", &[cast(2, "inet")]),
            "select $1, '$2', $2::text::inet = $12, $2::text::inet"
        );
    }
}
