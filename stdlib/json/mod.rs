//! JSON: reading, writing, merging, looking up.
//!
//! Objects become maps, arrays arrays, `null` becomes `()`. Integers stay integers; those above the
//! greatest `int` become decimals. Durations, sizes and times are written as the texts they print.

mod merge;
mod pointer;
#[cfg(test)]
pub(crate) mod tests;

use ccrun_kernel::rhai::Dynamic;
use ccrun_kernel::value::to_json;
use ccrun_kernel::{Error, Namespace, Result, primitive, primitives};

use crate::document::{self, Document, Format, Place, syntax_error};

/// JSON in messages.
pub(crate) const FORMAT: Format = Format {
    namespace: "json",
    title: "JSON",
};

/// Registers the namespace.
#[must_use]
pub fn namespace() -> Namespace {
    Namespace::new("json", "JSON: reading, writing, merging, looking up.").primitives(primitives![
        parse,
        stringify,
        pretty,
        merge::merge,
        pointer::pointer
    ])
}

/// The value of a JSON text.
///
/// # Errors
/// `json.syntax` with line, column and the line itself; `json.too_large` above 32 MiB or a million
/// values.
///
/// # Example
/// ```rhai
/// let release = json::parse(`{"tag": "v1.4", "assets": [{"size": 1024}]}`);
/// assert(release.tag == "v1.4");
/// assert(release.assets[0].size == 1024);
/// ```
#[primitive(pure)]
fn parse(text: String) -> Result<Dynamic> {
    FORMAT.check_size(&text)?;
    match serde_json::from_str::<Document>(&text) {
        Ok(Document(value)) => Ok(value),
        Err(error) => Err(refused(&text, &error)),
    }
}

fn refused(text: &str, error: &serde_json::Error) -> Error {
    let message = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    let why = message.strip_suffix(&position).unwrap_or(&message);
    if Document::is_too_large(why) {
        return FORMAT.too_large(why);
    }
    let place = Place::of_byte_column(text, error.line(), error.column());
    syntax_error(FORMAT, text, place, why)
}

/// A value as JSON in one line.
///
/// # Errors
/// `json.secret` for a value with a secret in it, `json.not_plain` for a closure, `json.too_deep`.
///
/// # Example
/// ```rhai
/// assert(json::stringify(#{ name: "web", ports: [80, 443] }) == `{"name":"web","ports":[80,443]}`);
/// ```
#[primitive(pure)]
fn stringify(value: Dynamic) -> Result<String> {
    document::check(FORMAT, &value)?;
    Ok(to_json(&value).to_string())
}

/// A value as JSON over several lines, for people and for files under version control.
///
/// # Errors
/// As of `json::stringify`.
///
/// # Example
/// ```rhai
/// assert(json::pretty(#{ name: "web" }) == "{\n  \"name\": \"web\"\n}");
/// ```
#[primitive(pure)]
fn pretty(value: Dynamic) -> Result<String> {
    document::check(FORMAT, &value)?;
    Ok(format!("{:#}", to_json(&value)))
}
