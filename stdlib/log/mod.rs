//! Messages for the operator, the journal and the log.
//!
//! `print` gives results (standard output); these tell how it goes (standard error). Known secrets are
//! masked.

#[cfg(test)]
mod tests;

use ccrun_kernel::event::Level;
use ccrun_kernel::rhai::Map;
use ccrun_kernel::value::literal;
use ccrun_kernel::{Cx, Namespace, primitive, primitives};

/// How much of one field is shown, in characters.
const FIELD: usize = 200;

/// Registers the namespace.
#[must_use]
pub fn namespace() -> Namespace {
    Namespace::new("log", "Messages for the operator, the journal and the log.")
        .primitives(primitives![debug, info, warn, error])
}

/// Say something that helps to find out why.
///
/// # Errors
/// None.
///
/// # Example
/// ```rhai
/// log::debug("asked the registry", #{ tag: "v1.4", attempts: 2 });
/// ```
#[primitive(pure)]
fn debug(cx: &Cx, text: String, fields: Option<Map>) {
    cx.log(Level::Debug, message(text, fields.as_ref()));
}

/// Say how it goes. Fields follow as `key=value`.
///
/// # Errors
/// None.
///
/// # Example
/// ```rhai
/// log::info("pulled the image", #{ image: "caddy:2" });
/// ```
#[primitive(pure)]
fn info(cx: &Cx, text: String, fields: Option<Map>) {
    cx.log(Level::Info, message(text, fields.as_ref()));
}

/// Say what somebody should look at when there is time. The run goes on.
///
/// # Errors
/// None.
///
/// # Example
/// ```rhai
/// log::warn("the certificate ends soon", #{ days: 12 });
/// ```
#[primitive(pure)]
fn warn(cx: &Cx, text: String, fields: Option<Map>) {
    cx.log(Level::Warn, message(text, fields.as_ref()));
}

/// Say what somebody should look at now. The run goes on: `throw` ends it.
///
/// # Errors
/// None.
///
/// # Example
/// ```rhai
/// log::error("the replica does not answer", #{ host: "db2" });
/// ```
#[primitive(pure)]
fn error(cx: &Cx, text: String, fields: Option<Map>) {
    cx.log(Level::Error, message(text, fields.as_ref()));
}

/// The text with its fields: a plain word bare, everything else as a script would write it.
fn message(mut text: String, fields: Option<&Map>) -> String {
    let is_word = |text: &str| {
        !text.is_empty()
            && text.len() <= FIELD
            && text
                .chars()
                .all(|c| c.is_alphanumeric() || "-_./:@+".contains(c))
    };
    for (key, value) in fields.into_iter().flatten() {
        let shown = match value.as_immutable_string_ref() {
            Ok(word) if is_word(&word) => word.to_string(),
            _ => literal(value, FIELD),
        };
        text.push_str(&format!(" {key}={shown}"));
    }
    text
}
