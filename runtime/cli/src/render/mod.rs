//! Everything that is printed is printed here.

pub mod colour;
pub mod error;
pub mod finding;
pub mod json;
pub mod plan;
pub mod table;
pub mod terminal;
pub mod time;

use std::io::Write;

/// Print a result to standard output. A closed pipe (`| head`) ends quietly.
pub fn result(text: &str) {
    let mut out = std::io::stdout().lock();
    drop(writeln!(out, "{text}").and_then(|()| out.flush()));
}

/// Print a line for the operator to standard error.
pub fn remark(text: &str) {
    let mut out = std::io::stderr().lock();
    drop(writeln!(out, "{text}"));
}

/// `1 file`, `2 files`.
#[must_use]
pub fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
