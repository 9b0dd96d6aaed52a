//! YAML 1.2: reading and writing.
//!
//! Mappings become maps (keys become strings), sequences arrays, null `()`. Merge keys (`<<`), anchors
//! and aliases are resolved, within limits: a small text can't expand into a huge value.

#[cfg(test)]
mod tests;

use ccrun_kernel::rhai::Dynamic;
use ccrun_kernel::value::to_json;
use ccrun_kernel::{Error, Namespace, Result, primitive, primitives};
use serde_saphyr::{NonFiniteFloatPolicy, Options};

use crate::document::{self, Document, Format, Place, syntax_error};

const FORMAT: Format = Format {
    namespace: "yaml",
    title: "YAML",
};

/// Registers the namespace.
#[must_use]
pub fn namespace() -> Namespace {
    Namespace::new("yaml", "YAML 1.2: reading and writing.")
        .primitives(primitives![parse, parse_all, stringify])
}

/// The value of a YAML text with one document. An empty text is `()`.
///
/// # Errors
/// `yaml.syntax` with line, column and the line itself, also for a key that stands twice in one
/// mapping; `yaml.too_large` for what grows beyond the limits (32 MiB, a million values).
///
/// # Example
/// ```rhai
/// let compose = yaml::parse("services:\n  web:\n    image: caddy:2\n    ports: [80, 443]\n");
/// assert(compose.services.web.image == "caddy:2");
/// assert(compose.services.web.ports[1] == 443);
/// ```
#[primitive(pure)]
fn parse(text: String) -> Result<Dynamic> {
    FORMAT.check_size(&text)?;
    if text.trim().is_empty() {
        return Ok(Dynamic::UNIT);
    }
    match serde_saphyr::from_str_with_options::<Document>(&text, options()) {
        Ok(Document(value)) => Ok(value),
        Err(error) => Err(refused(&text, &error)),
    }
}

/// The values of all documents of a YAML text, in order. Empty documents are left out.
///
/// # Errors
/// As of `yaml::parse`.
///
/// # Example
/// ```rhai
/// let documents = yaml::parse_all("kind: Service\n---\nkind: Deployment\n");
/// assert(documents.len() == 2);
/// assert(documents[1].kind == "Deployment");
/// ```
#[primitive(pure)]
fn parse_all(text: String) -> Result<Vec<Dynamic>> {
    FORMAT.check_size(&text)?;
    match serde_saphyr::from_multiple_with_options::<Document>(&text, options()) {
        Ok(documents) => Ok(documents.into_iter().map(|Document(value)| value).collect()),
        Err(error) => Err(refused(&text, &error)),
    }
}

/// A value as YAML.
///
/// Durations, sizes and times are written as the texts they print; texts that would read as something
/// else (`"yes"`, `"1.0"`) are quoted.
///
/// # Errors
/// `yaml.secret` for a value with a secret in it, `yaml.not_plain` for a closure, `yaml.too_deep`.
///
/// # Example
/// ```rhai
/// assert(yaml::stringify(#{ image: "caddy:2", ports: [80, 443] }) == "image: caddy:2\nports:\n- 80\n- 443\n");
/// ```
#[primitive(pure)]
fn stringify(value: Dynamic) -> Result<String> {
    document::check(FORMAT, &value)?;
    serde_saphyr::to_string(&to_json(&value)).map_err(|error| {
        Error::new(
            "yaml.not_plain",
            format!("the value has no YAML form: {error}"),
        )
    })
}

fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_nodes: document::MOST_VALUES,
            max_events: document::MOST_VALUES * 4,
            max_total_scalar_bytes: document::MOST_BYTES,
            max_depth: 100,
        },
        // YAML 1.2: `yes`, `no`, `on` and `off` are texts, and the country of Norway stays `no`.
        strict_booleans: true,
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        with_snippet: false,
    }
}

fn refused(text: &str, error: &serde_saphyr::Error) -> Error {
    let message = error.without_snippet().to_string();
    // The place is said in the message as well; it is shown once.
    let why = message
        .split(" at line ")
        .next()
        .unwrap_or(&message)
        .trim_end_matches([',', ':', ' ']);
    // Deep inside of aliases, only the message still says that a limit was met.
    if Document::is_too_large(why)
        || ["budget breached", "limit exceeded"]
            .iter()
            .any(|sign| why.contains(sign))
    {
        return FORMAT.too_large("after its aliases are resolved, or in its depth");
    }
    let place = error
        .location()
        .map_or(Place { line: 1, column: 1 }, |at| Place {
            line: usize::try_from(at.line()).unwrap_or(1).max(1),
            column: usize::try_from(at.column()).unwrap_or(1).max(1),
        });
    let built = syntax_error(FORMAT, text, place, why);
    match error.without_snippet() {
        serde_saphyr::Error::MultipleDocuments { .. } => {
            built.hint("`yaml::parse_all` reads all documents of a text")
        }
        _ => built,
    }
}
