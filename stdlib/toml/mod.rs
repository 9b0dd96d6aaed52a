//! TOML 1.0: reading and writing.
//!
//! Tables become maps. A date with time and offset becomes a `Timestamp`; the local dates and times,
//! which are no point in time, stay texts.

mod convert;
#[cfg(test)]
mod tests;

use ccrun_kernel::rhai::{Dynamic, Map};
use ccrun_kernel::{Error, Namespace, Result, primitive, primitives};

use crate::document::{self, Format, Place, syntax_error};

const FORMAT: Format = Format {
    namespace: "toml",
    title: "TOML",
};

/// Registers the namespace.
#[must_use]
pub fn namespace() -> Namespace {
    Namespace::new("toml", "TOML 1.0: reading and writing.")
        .primitives(primitives![parse, stringify])
}

/// The map of a TOML text.
///
/// # Errors
/// `toml.syntax` with line, column and the line itself; `toml.too_large` above 32 MiB or a million
/// values.
///
/// # Example
/// ```rhai
/// let manifest = toml::parse("[package]\nname = \"web\"\nports = [80, 443]\n");
/// assert(manifest.package.name == "web");
/// assert(manifest.package.ports == [80, 443]);
/// ```
#[primitive(pure)]
fn parse(text: String) -> Result<Map> {
    FORMAT.check_size(&text)?;
    match ::toml::from_str::<::toml::Table>(&text) {
        Ok(table) => convert::map(table),
        Err(error) => {
            let place = Place::of_byte(&text, error.span().map_or(0, |span| span.start));
            Err(syntax_error(
                FORMAT,
                &text,
                place,
                &error.message().replace('\n', ", "),
            ))
        }
    }
}

/// A map as TOML.
///
/// Durations and sizes are written as the texts they print, a `Timestamp` as a date with offset. A
/// key whose value is `()` is left out: TOML has no null.
///
/// # Errors
/// `toml.not_a_table` for anything but a map; `toml.null` for `()` in an array; `toml.secret` for a
/// value with a secret in it, `toml.not_plain` for a closure, `toml.too_deep`.
///
/// # Example
/// ```rhai
/// assert(toml::stringify(#{ package: #{ name: "web" } }) == "[package]\nname = \"web\"\n");
/// ```
#[primitive(pure)]
fn stringify(value: Dynamic) -> Result<String> {
    document::check(FORMAT, &value)?;
    let found = ccrun_kernel::value::type_name(&value);
    let Some(map) = value.try_cast::<Map>() else {
        return Err(Error::new(
            "toml.not_a_table",
            format!("a TOML document is a map; this is {found}"),
        )
        .hint("put it under a key: `toml::stringify(#{ items: … })`"));
    };
    ::toml::to_string(&convert::table(&map, "")?).map_err(|error| {
        Error::new(
            "toml.not_plain",
            format!("the value has no TOML form: {error}"),
        )
    })
}
