//! Templates in the language of Jinja.

use std::fmt::Write as _;
use std::io;

use base64::Engine as _;
use ccrun_kernel::rhai::{Dynamic, Map};
use ccrun_kernel::secret::Secret;
use ccrun_kernel::value::{closest, show, to_json};
use ccrun_kernel::{Error, Result};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::ValueKind;
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior, Value, escape_formatter};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::document::{MOST_BYTES, Place, excerpt};

/// What RFC 3986 calls unreserved stays as it is.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// What becomes of the secrets among the values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrets {
    /// They are refused: the text is plain.
    Refuse,
    /// Their texts are used: the text must become a secret itself.
    Expose,
}

/// Fill in a template.
///
/// # Errors
/// `template.syntax`, `template.undefined`, `template.secret`, `template.too_large`,
/// `template.failed`, with the line of the template.
pub fn render(template: &str, values: &Map, secrets: Secrets) -> Result<String> {
    let environment = environment()?;
    let context: Value = values
        .iter()
        .map(|(key, value)| Ok((key.to_string(), convert(value, key, secrets)?)))
        .collect::<Result<std::collections::BTreeMap<String, Value>>>()?
        .into();
    let failed = |error: minijinja::Error| explain(template, values, &error);
    let parsed = environment.template_from_str(template).map_err(failed)?;
    let mut out = Limited(Vec::new());
    drop(
        parsed
            .render_captured_to(context, &mut out)
            .map_err(failed)?,
    );
    String::from_utf8(out.0)
        .map_err(|_| Error::new("template.failed", "the template gave no valid text"))
}

fn environment() -> Result<Environment<'static>> {
    let mut environment = Environment::new();
    environment.set_debug(true);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_recursion_limit(100);
    // Loops inside of loops that print nothing would run for ever.
    environment.set_fuel(Some(10_000_000));
    environment.set_formatter(|out, state, value| match value.kind() {
        // `True` and `None`, as Jinja has it, belong to no configuration file.
        ValueKind::Bool => Ok(out.write_str(if value.is_true() { "true" } else { "false" })?),
        ValueKind::None => Err(minijinja::Error::new(
            ErrorKind::InvalidOperation,
            "a value is `()`, which has no text; `{{ name or \"…\" }}` gives it one",
        )),
        _ => escape_formatter(out, state, value),
    });
    environment.add_filter("urlencode", |text: String| {
        utf8_percent_encode(&text, RESERVED).to_string()
    });
    environment.add_filter("b64encode", |text: String| {
        base64::engine::general_purpose::STANDARD.encode(text)
    });
    environment.add_filter("tojson", |value: Value| to_json(&back(&value)).to_string());
    environment.add_filter("shellquote", |text: String| {
        format!("'{}'", text.replace('\'', r"'\''"))
    });
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .keep_trailing_newline(true)
        .build()
        .map_err(|error| Error::new("template.failed", error.to_string()))?;
    environment.set_syntax(syntax);
    Ok(environment)
}

/// A script value for the template.
fn convert(value: &Dynamic, path: &str, secrets: Secrets) -> Result<Value> {
    if let Some(secret) = value.read_lock::<Secret>() {
        return match secrets {
            Secrets::Expose => Ok(Value::from(secret.expose())),
            Secrets::Refuse => Err(Error::new(
                "template.secret",
                format!("`{path}` is a secret, which can't become plain text"),
            )
            .hint("`secret::template(text, values)` gives the whole text as a Secret")),
        };
    }
    if let Ok(items) = value.as_array_ref() {
        let items = items.iter().enumerate();
        let items = items.map(|(index, item)| convert(item, &format!("{path}[{index}]"), secrets));
        return items.collect::<Result<Vec<Value>>>().map(Value::from);
    }
    if let Ok(map) = value.as_map_ref() {
        let entries = map.iter().map(|(key, item)| {
            Ok((
                key.to_string(),
                convert(item, &format!("{path}.{key}"), secrets)?,
            ))
        });
        return entries
            .collect::<Result<std::collections::BTreeMap<_, _>>>()
            .map(Value::from);
    }
    Ok(if value.is_unit() {
        Value::from(())
    } else if let Ok(truth) = value.as_bool() {
        Value::from(truth)
    } else if let Ok(int) = value.as_int() {
        Value::from(int)
    } else if let Ok(float) = value.as_float() {
        Value::from(float)
    } else {
        // Decimals too: as text, no digit is lost. Characters, durations, sizes, times as they print.
        Value::from(match to_json(value) {
            serde_json::Value::String(text) => text,
            serde_json::Value::Number(number) => number.to_string(),
            _ => show(value),
        })
    })
}

/// A value of the template for `tojson`.
fn back(value: &Value) -> Dynamic {
    match value.kind() {
        ValueKind::None | ValueKind::Undefined => Dynamic::UNIT,
        ValueKind::Bool => value.is_true().into(),
        ValueKind::Number => match i64::try_from(value.clone()) {
            Ok(int) if value.is_integer() => int.into(),
            _ => f64::try_from(value.clone()).map_or(Dynamic::UNIT, Dynamic::from),
        },
        ValueKind::Seq | ValueKind::Iterable => value
            .try_iter()
            .map(|items| items.map(|item| back(&item)).collect::<Vec<_>>().into())
            .unwrap_or(Dynamic::UNIT),
        ValueKind::Map => value
            .try_iter()
            .map(|keys| {
                let entries = keys.map(|key| {
                    let item = value.get_item(&key).unwrap_or_default();
                    (key.to_string().into(), back(&item))
                });
                entries.collect::<Map>().into()
            })
            .unwrap_or(Dynamic::UNIT),
        _ => value.to_string().into(),
    }
}

/// The error of a template, with its line.
fn explain(template: &str, values: &Map, error: &minijinja::Error) -> Error {
    let (kind, what) = match error.kind() {
        ErrorKind::UndefinedError => (
            "template.undefined",
            "the template uses a value that is not there",
        ),
        ErrorKind::WriteFailure => {
            return Error::new(
                "template.too_large",
                "the text that the template gives is too long",
            )
            .hint(format!("a text has at most {} MiB", MOST_BYTES >> 20));
        }
        ErrorKind::SyntaxError | ErrorKind::BadEscape | ErrorKind::InvalidDelimiter => {
            ("template.syntax", "the template is wrong")
        }
        _ => ("template.failed", "the template failed"),
    };
    let range = error.range().filter(|range| range.end <= template.len());
    let named = range
        .as_ref()
        .and_then(|range| template.get(range.clone()))
        .map(str::trim);
    let place = match (&range, error.line()) {
        (Some(range), _) => Some(Place::of_byte(template, range.start)),
        (None, Some(line)) if line > 0 => Some(Place { line, column: 1 }),
        _ => None,
    };
    let detail = error
        .detail()
        .map_or_else(|| error.kind().to_string(), str::to_owned);
    let mut message = match (kind, named) {
        ("template.undefined", Some(name)) if !name.is_empty() => {
            format!("`{name}` is not defined")
        }
        _ => format!("{what}: {detail}"),
    };
    if let Some(place) = place {
        let _ = write!(
            message,
            " in line {} of the template\n{}",
            place.line,
            excerpt(template, place)
        );
    }
    let mut built = Error::new(kind, message);
    if let Some(place) = place {
        built = built
            .detail("line", place.line)
            .detail("column", place.column);
    }
    if kind != "template.undefined" {
        return built;
    }
    let nearest = named.and_then(|name| closest(name, values.keys().map(|key| key.as_str())));
    match nearest {
        Some(nearest) => built.hint(format!("did you mean `{nearest}`?")),
        None => built.hint("give it among the values, or write `{{ name | default(\"…\") }}`"),
    }
}

/// A text that may not grow without end.
struct Limited(Vec<u8>);

impl io::Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MOST_BYTES {
            return Err(io::Error::other("too long"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
