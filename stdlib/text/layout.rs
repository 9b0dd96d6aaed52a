//! Lines, margins and widths. Widths are in characters.

use ccrun_kernel::rhai::Array;
use ccrun_kernel::{Error, Options, Result, primitive};

use super::search::limited;
use crate::document::MOST_BYTES;

/// The lines of a text, without their ends (`\n` or `\r\n`).
///
/// # Errors
/// `text.too_many` above a million lines.
///
/// # Example
/// ```rhai
/// assert(text::lines("one\r\ntwo\n") == ["one", "two"]);
/// ```
#[primitive(pure)]
pub fn lines(text: String) -> Result<Array> {
    limited(text.lines(), "lines")
}

/// A text without the margin that all its lines share, and without a first line that is empty.
///
/// Lines of spaces become empty. For texts written between backticks, indented like the code around
/// them.
///
/// # Errors
/// None.
///
/// # Example
/// ```rhai
/// let unit = text::dedent(`
///     [Service]
///       Restart=always
/// `);
/// assert(unit == "[Service]\n  Restart=always\n");
/// ```
#[primitive(pure)]
pub fn dedent(text: String) -> String {
    let body = match text.split_once('\n') {
        Some((first, rest)) if first.trim().is_empty() => rest,
        _ => &text,
    };
    let filled = body.lines().filter(|line| !line.trim().is_empty());
    let margin = filled.map(leading).reduce(common).unwrap_or_default().len();
    let lines = body.split('\n').map(|line| {
        if line.trim().is_empty() {
            ""
        } else {
            &line[margin..]
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn leading(line: &str) -> &str {
    &line[..line.len() - line.trim_start_matches([' ', '\t']).len()]
}

fn common<'t>(a: &'t str, b: &'t str) -> &'t str {
    let same = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    &a[..same]
}

/// A text with so many spaces before each line that is not empty.
///
/// # Errors
/// `text.too_large` above 32 MiB.
///
/// # Example
/// ```rhai
/// assert(text::indent("one\n\ntwo", 2) == "  one\n\n  two");
/// ```
#[primitive(pure)]
pub fn indent(text: String, spaces: u16) -> Result<String> {
    let margin = " ".repeat(usize::from(spaces));
    let lines = text.matches('\n').count() + 1;
    check(
        text.len()
            .saturating_add(lines.saturating_mul(margin.len())),
    )?;
    let mut out = String::with_capacity(text.len() + lines * margin.len());
    for (index, line) in text.split('\n').enumerate() {
        if index > 0 {
            out.push('\n');
        }
        if !line.is_empty() {
            out.push_str(&margin);
            out.push_str(line);
        }
    }
    Ok(out)
}

/// A text broken into lines of at most `width` characters, at spaces. A longer word stays whole.
///
/// # Errors
/// None.
///
/// # Example
/// ```rhai
/// assert(text::wrap("the quick brown fox", 10) == "the quick\nbrown fox");
/// ```
#[primitive(pure)]
pub fn wrap(text: String, width: u16) -> String {
    let width = usize::from(width);
    let mut out = String::with_capacity(text.len() + 16);
    for (index, paragraph) in text.split('\n').enumerate() {
        if index > 0 {
            out.push('\n');
        }
        let mut column = 0;
        for word in paragraph.split_whitespace() {
            let length = word.chars().count();
            if column > 0 && column + 1 + length > width {
                out.push('\n');
                column = 0;
            } else if column > 0 {
                out.push(' ');
                column += 1;
            }
            out.push_str(word);
            column += length;
        }
    }
    out
}

/// How to pad.
#[derive(Debug, Clone, Options)]
pub struct PadOptions {
    /// Where the text stands: `left`, `right` or `center`.
    #[option(default = "left")]
    align: String,
    /// The character that fills the rest.
    #[option(default = " ")]
    fill: String,
}

/// A text made so many characters wide. A longer one stays as it is.
///
/// # Errors
/// `text.pad` for another alignment, or a fill that is not one character; `text.too_large`.
///
/// # Example
/// ```rhai
/// assert(text::pad("7", 3, #{ align: "right", fill: "0" }) == "007");
/// assert(text::pad("web", 5) + "|" == "web  |");
/// ```
#[primitive(pure)]
pub fn pad(text: String, width: usize, options: PadOptions) -> Result<String> {
    let mut fills = options.fill.chars();
    let (Some(fill), None) = (fills.next(), fills.next()) else {
        return Err(Error::new(
            "text.pad",
            format!("`fill` is one character, not `{}`", options.fill),
        ));
    };
    let missing = width.saturating_sub(text.chars().count());
    check(
        missing
            .saturating_mul(fill.len_utf8())
            .saturating_add(text.len()),
    )?;
    let before = match options.align.as_str() {
        "left" => 0,
        "right" => missing,
        "center" => missing / 2,
        other => {
            return Err(
                Error::new("text.pad", format!("there is no alignment `{other}`"))
                    .hint("it is `left`, `right` or `center`"),
            );
        }
    };
    let filled = |count: usize| fill.to_string().repeat(count);
    Ok(format!(
        "{}{text}{}",
        filled(before),
        filled(missing - before)
    ))
}

/// A name for files, containers and hosts: lower-case ASCII letters and digits, joined by `-`.
///
/// # Errors
/// None.
///
/// # Example
/// ```rhai
/// assert(text::slug("Nightly backup (EU/West)") == "nightly-backup-eu-west");
/// ```
#[primitive(pure)]
pub fn slug(text: String) -> String {
    let lower = text.to_lowercase();
    let words = lower
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-")
}

fn check(length: usize) -> Result<()> {
    if length <= MOST_BYTES {
        return Ok(());
    }
    Err(Error::new("text.too_large", "the text would be too long")
        .hint(format!("a text has at most {} MiB", MOST_BYTES >> 20)))
}
