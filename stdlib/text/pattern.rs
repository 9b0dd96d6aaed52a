//! Regular expressions, compiled once and within limits.

use std::cell::RefCell;
use std::collections::VecDeque;

use ccrun_kernel::{Error, Result};
use regex::{Regex, RegexBuilder};

/// The memory that a compiled pattern may take.
const SIZE: usize = 1 << 20;

/// How many compiled patterns are kept: a loop over lines uses the same few.
const KEPT: usize = 16;

thread_local! {
    static COMPILED: RefCell<VecDeque<Regex>> = const { RefCell::new(VecDeque::new()) };
}

/// The compiled pattern.
///
/// # Errors
/// `text.regex` showing the place in the pattern.
pub fn compile(pattern: &str) -> Result<Regex> {
    COMPILED.with_borrow_mut(|compiled| {
        if let Some(known) = compiled.iter().find(|regex| regex.as_str() == pattern) {
            return Ok(known.clone());
        }
        let regex = RegexBuilder::new(pattern)
            .size_limit(SIZE)
            .build()
            .map_err(|error| refused(pattern, &error))?;
        if compiled.len() == KEPT {
            compiled.pop_front();
        }
        compiled.push_back(regex.clone());
        Ok(regex)
    })
}

fn refused(pattern: &str, error: &regex::Error) -> Error {
    match error {
        regex::Error::CompiledTooBig(_) => Error::new(
            "text.regex",
            format!("the pattern takes more than {} MiB when it is compiled", SIZE >> 20),
        )
        .hint("large counted repetitions such as `{1000}` of Unicode classes do that: use `[0-9]` for `\\d`, or `+`"),
        regex::Error::Syntax(shown) => {
            // The library shows the pattern with a caret, then `error: …`.
            let why = shown.rsplit("error: ").next().unwrap_or(shown).trim();
            let place: String = shown
                .lines()
                .skip(1)
                .take_while(|line| !line.starts_with("error: "))
                .map(|line| format!("\n{line}"))
                .collect();
            let error = Error::new("text.regex", format!("not a regular expression: {why}{place}"));
            if why.contains("look-around") || why.contains("backreferences") {
                return error.hint("these are left out so that no pattern takes forever: use groups, or two patterns");
            }
            error.hint("write patterns between backticks, and `\\` before a character that means itself (`text::escape`)")
        }
        other => Error::new("text.regex", format!("not a regular expression: {other}: {pattern}")),
    }
}
