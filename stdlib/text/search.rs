//! Looking for patterns in texts.

use ccrun_kernel::rhai::{Array, Dynamic, Map};
use ccrun_kernel::{Error, Result, primitive};
use regex::{Captures, Regex};

use super::pattern::compile;
use crate::document::MOST_BYTES;

/// The most parts of a text.
const MOST: usize = 1_000_000;

/// The matches of one call: each is a map, and takes some hundred bytes.
const MOST_FOUND: usize = 100_000;

/// Whether a regular expression matches somewhere in a text.
///
/// # Errors
/// `text.regex` for a wrong pattern, showing the place in it.
///
/// # Example
/// ```rhai
/// assert(text::matches("v1.4.2", `^v\d+(\.\d+)*$`));
/// assert(!text::matches("latest", `^v\d`));
/// ```
#[primitive(pure)]
pub fn matches(text: String, pattern: String) -> Result<bool> {
    Ok(compile(&pattern)?.is_match(&text))
}

/// The first match of a regular expression, or `()`.
///
/// A map: `text` (the whole match), `start` (its first character, from 0), `groups` (an array with the
/// text of each group, `()` where it took no part) and `named` (a map of the named groups).
///
/// # Errors
/// `text.regex` for a wrong pattern, showing the place in it.
///
/// # Example
/// ```rhai
/// let found = text::find("postgres:16.3-alpine", `:(?<major>\d+)\.(\d+)`);
/// assert(found.named.major == "16");
/// assert(found.groups == ["16", "3"]);
/// assert(found.start == 8);
/// assert(text::find("latest", `\d`) == ());
/// ```
#[primitive(pure)]
pub fn find(text: String, pattern: String) -> Result<Option<Map>> {
    let regex = compile(&pattern)?;
    let mut counter = Counter::default();
    Ok(regex
        .captures(&text)
        .map(|found| captures(&regex, &found, &text, &mut counter)))
}

/// Every match of a regular expression, each as `text::find` gives it.
///
/// # Errors
/// `text.regex` for a wrong pattern; `text.too_many` above 100,000 matches.
///
/// # Example
/// ```rhai
/// let ports = text::find_all("80/tcp, 443/tcp", `(\d+)/tcp`).map(|found| found.groups[0]);
/// assert(ports == ["80", "443"]);
/// ```
#[primitive(pure)]
pub fn find_all(text: String, pattern: String) -> Result<Array> {
    let regex = compile(&pattern)?;
    let mut counter = Counter::default();
    let mut all = Array::new();
    for found in regex.captures_iter(&text) {
        if all.len() == MOST_FOUND {
            return Err(too_many("matches", MOST_FOUND));
        }
        all.push(captures(&regex, &found, &text, &mut counter).into());
    }
    Ok(all)
}

/// A text with every match of a regular expression replaced.
///
/// In the replacement, `$1` and `${name}` are the groups of the match, and `$$` is a `$`. Write it
/// between quotes: between backticks, `${name}` is the language's own.
///
/// # Errors
/// `text.regex` for a wrong pattern; `text.too_large` if the result is longer than 32 MiB.
///
/// # Example
/// ```rhai
/// assert(text::replace_all("2025-03-01", `(\d+)-(\d+)-(\d+)`, "$3.$2.$1") == "01.03.2025");
/// ```
#[primitive(pure)]
pub fn replace_all(text: String, pattern: String, replacement: String) -> Result<String> {
    let regex = compile(&pattern)?;
    let mut out = String::new();
    let mut copied = 0;
    for found in regex.captures_iter(&text) {
        let Some(whole) = found.get(0) else { continue };
        out.push_str(&text[copied..whole.start()]);
        found.expand(&replacement, &mut out);
        copied = whole.end();
        if out.len() > MOST_BYTES {
            return Err(Error::new(
                "text.too_large",
                "the text with the replacements is too long",
            )
            .hint(format!("a text has at most {} MiB", MOST_BYTES >> 20)));
        }
    }
    out.push_str(&text[copied..]);
    Ok(out)
}

/// The parts of a text between the matches of a regular expression.
///
/// # Errors
/// `text.regex` for a wrong pattern; `text.too_many` above a million parts.
///
/// # Example
/// ```rhai
/// assert(text::split("a, b;c", `[,;]\s*`) == ["a", "b", "c"]);
/// ```
#[primitive(pure)]
pub fn split(text: String, pattern: String) -> Result<Array> {
    limited(compile(&pattern)?.split(&text), "parts")
}

/// A text as a regular expression that matches just it.
///
/// # Errors
/// None.
///
/// # Example
/// ```rhai
/// assert(text::matches("price (net)", text::escape("(net)")));
/// ```
#[primitive(pure)]
pub fn escape(text: String) -> String {
    regex::escape(&text)
}

/// The texts as an array, if they are not too many.
pub(super) fn limited<'t>(parts: impl Iterator<Item = &'t str>, what: &str) -> Result<Array> {
    let mut array = Array::new();
    for part in parts {
        if array.len() == MOST {
            return Err(too_many(what, MOST));
        }
        array.push(part.to_owned().into());
    }
    Ok(array)
}

fn too_many(what: &str, most: usize) -> Error {
    Error::new(
        "text.too_many",
        format!("the text has more than {most} {what}"),
    )
    .hint("take a part of the text first, or read the file line by line")
}

fn captures(regex: &Regex, found: &Captures<'_>, text: &str, counter: &mut Counter) -> Map {
    let value = |group: Option<regex::Match<'_>>| {
        group.map_or(Dynamic::UNIT, |group| group.as_str().to_owned().into())
    };
    let groups: Array = found.iter().skip(1).map(value).collect();
    let named: Map = regex
        .capture_names()
        .flatten()
        .map(|name| (name.into(), value(found.name(name))))
        .collect();
    let start = found.get(0).map_or(0, |whole| whole.start());
    Map::from([
        ("text".into(), value(found.get(0))),
        ("start".into(), counter.characters(text, start).into()),
        ("groups".into(), groups.into()),
        ("named".into(), named.into()),
    ])
}

/// Counts characters up to bytes that only ever grow, in one pass over the text.
#[derive(Default)]
struct Counter {
    byte: usize,
    characters: i64,
}

impl Counter {
    fn characters(&mut self, text: &str, byte: usize) -> i64 {
        self.characters += i64::try_from(text[self.byte..byte].chars().count()).unwrap_or(i64::MAX);
        self.byte = byte;
        self.characters
    }
}
