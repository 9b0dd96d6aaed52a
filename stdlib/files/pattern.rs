//! Patterns for names of files.

use std::path::Path;

use ccrun_kernel::rhai::Dynamic;
use ccrun_kernel::{FromArg, Mismatch};
use regex::Regex;

/// One part of a pattern, between two `/`.
#[derive(Debug, Clone)]
pub enum PatternPart {
    /// `**`: any number of directories.
    AnyDepth,
    /// One name.
    Name {
        /// As it was written.
        text: String,
        /// What it means.
        regex: Regex,
    },
}

impl PatternPart {
    /// Read one part.
    ///
    /// # Errors
    /// A sentence on why it is no pattern.
    pub fn parse(name: &str) -> Result<Self, String> {
        if name == ".." {
            return Err("`..` can't come after a wildcard".into());
        }
        if name == "**" {
            return Ok(Self::AnyDepth);
        }
        let regex =
            Regex::new(&translate(name)?).map_err(|_| format!("`{name}` is not a pattern"))?;
        Ok(Self::Name {
            text: name.to_owned(),
            regex,
        })
    }
}

/// A pattern for paths inside of a directory. One without a `/` means a name at any depth.
#[derive(Debug, Clone)]
pub struct PathPattern {
    parts: Vec<PatternPart>,
}

impl PathPattern {
    /// Whether it means this path.
    #[must_use]
    pub fn matches(&self, path: &Path) -> bool {
        let names: Vec<_> = path.iter().map(|name| name.to_string_lossy()).collect();
        matches(&self.parts, &names)
    }
}

fn matches(parts: &[PatternPart], names: &[std::borrow::Cow<'_, str>]) -> bool {
    match (parts.split_first(), names.split_first()) {
        (None, None) => true,
        (Some((PatternPart::AnyDepth, rest)), _) => {
            matches(rest, names)
                || names
                    .split_first()
                    .is_some_and(|(_, deeper)| matches(parts, deeper))
        }
        (Some((PatternPart::Name { regex, .. }, rest)), Some((name, deeper))) => {
            regex.is_match(name) && matches(rest, deeper)
        }
        _ => false,
    }
}

impl FromArg for PathPattern {
    fn type_name() -> String {
        "string".into()
    }

    fn from_arg(value: Dynamic) -> Result<Self, Mismatch> {
        let text = String::from_arg(value)?;
        let mut parts = Vec::new();
        if !text.trim_end_matches('/').contains('/') {
            parts.push(PatternPart::AnyDepth);
        }
        for part in text
            .split('/')
            .filter(|part| !part.is_empty() && *part != ".")
        {
            parts.push(PatternPart::parse(part).map_err(Mismatch::Value)?);
        }
        Ok(Self { parts })
    }
}

/// A pattern for one name as a regular expression (glob(7), with braces).
fn translate(name: &str) -> Result<String, String> {
    let mut regex = String::from("^(?s)");
    let mut letters = name.chars();
    let mut open_braces = 0;
    while let Some(letter) = letters.next() {
        match letter {
            '*' => regex.push_str(".*"),
            '?' => regex.push('.'),
            '{' => {
                open_braces += 1;
                regex.push_str("(?:");
            }
            '}' if open_braces > 0 => {
                open_braces -= 1;
                regex.push(')');
            }
            ',' if open_braces > 0 => regex.push('|'),
            '\\' => {
                let next = letters.next().ok_or("a pattern can't end in a backslash")?;
                regex.push_str(&regex::escape(next.encode_utf8(&mut [0; 4])));
            }
            '[' => {
                let rest = letters.as_str();
                // A `]` at the beginning stands for itself.
                let skip = rest
                    .chars()
                    .take_while(|c| matches!(c, '!' | '^'))
                    .count()
                    .min(1);
                let end = rest.char_indices().skip(skip + 1).find(|(_, c)| *c == ']');
                let (end, _) = end.ok_or_else(|| format!("`{name}` has a `[` without its `]`"))?;
                let (set, after) = (&rest[skip..end], &rest[end + 1..]);
                regex.push_str(if skip == 1 { "[^" } else { "[" });
                for c in set.chars() {
                    if matches!(c, '[' | ']' | '\\' | '^' | '&' | '~') {
                        regex.push('\\');
                    }
                    regex.push(c);
                }
                regex.push(']');
                letters = after.chars();
            }
            other => regex.push_str(&regex::escape(other.encode_utf8(&mut [0; 4]))),
        }
    }
    if open_braces > 0 {
        return Err(format!(
            "`{name}` has a `{{` without its `}}`; braces can't hold a `/`"
        ));
    }
    regex.push('$');
    Ok(regex)
}
