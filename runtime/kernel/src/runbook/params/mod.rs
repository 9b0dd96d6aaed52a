//! The parameters that a header declares.

use std::fmt;

use regex::Regex;
use rhai::Dynamic;
use serde::Serialize;

use crate::error::Location;
use crate::value::KeptSecret;

mod declaration;
mod resolve;
mod value;

pub use resolve::{ENVIRONMENT_PREFIX, ParamSource, ParamSources, ResolvedParams, resolve};
pub use value::parse_value;

/// What a parameter accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ParamKind {
    /// Any text.
    String,
    /// A whole number.
    Int,
    /// A number.
    Float,
    /// Yes or no.
    Bool,
    /// `30s`, `1h30m`
    Duration,
    /// `10MiB`
    Size,
    /// A file or folder.
    Path,
    /// One of a few texts.
    Choice,
    /// Several texts.
    List,
    /// A reference to a secret, `secret:NAME`.
    Secret,
}

/// One parameter.
#[derive(Debug, Clone)]
pub struct ParamSpec {
    /// Its name, as in `params.NAME`.
    pub name: String,
    /// What it accepts.
    pub kind: ParamKind,
    /// The value when none is given.
    pub default: Option<Dynamic>,
    /// Whether there must be a value.
    pub required: bool,
    /// What a text must match as a whole.
    pub pattern: Option<Regex>,
    /// What it is for.
    pub help: Option<String>,
    /// The allowed values, as texts.
    pub choices: Vec<String>,
    /// Where it is declared.
    pub location: Option<Location>,
}

const KINDS: [(&str, ParamKind); 10] = [
    ("string", ParamKind::String),
    ("int", ParamKind::Int),
    ("float", ParamKind::Float),
    ("bool", ParamKind::Bool),
    ("duration", ParamKind::Duration),
    ("size", ParamKind::Size),
    ("path", ParamKind::Path),
    ("choice", ParamKind::Choice),
    ("list", ParamKind::List),
    ("secret", ParamKind::Secret),
];

impl ParamKind {
    /// The name in a header.
    #[must_use]
    pub fn name(self) -> &'static str {
        KINDS
            .iter()
            .find(|(_, kind)| *kind == self)
            .map_or("string", |(name, _)| name)
    }

    /// A value, for an example.
    fn example(self) -> &'static str {
        match self {
            Self::String | Self::Choice => "TEXT",
            Self::Int => "3",
            Self::Float => "0.5",
            Self::Bool => "true",
            Self::Duration => "30m",
            Self::Size => "10MiB",
            Self::Path => "./file",
            Self::List => "a,b",
            Self::Secret => "secret:NAME",
        }
    }

    /// What it accepts, for a person.
    fn accepts(self) -> &'static str {
        match self {
            Self::String => "a text",
            Self::Int => "a whole number",
            Self::Float => "a number",
            Self::Bool => "true or false",
            Self::Duration => "a duration such as 30s, 5m, 1h30m or 7d",
            Self::Size => "a size such as 512, 64KiB, 10MiB or 5GB",
            Self::Path => "a path",
            Self::Choice => "one of its choices",
            Self::List => "texts, separated by commas",
            Self::Secret => "a reference to a secret, secret:NAME",
        }
    }
}

impl fmt::Display for ParamKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl ParamSpec {
    /// What it accepts, for a person: `one of daily, weekly`.
    #[must_use]
    pub fn accepts(&self) -> String {
        let values = match self.choices.as_slice() {
            [] => self.kind.accepts().to_owned(),
            choices if self.kind == ParamKind::List => format!("some of {}", choices.join(", ")),
            choices => format!("one of {}", choices.join(", ")),
        };
        match &self.pattern {
            None => values,
            Some(pattern) => {
                let each = if self.kind == ParamKind::List {
                    ", each"
                } else {
                    ""
                };
                format!("{values}{each} matching `{}`", shown_pattern(pattern))
            }
        }
    }

    /// The default as it would be typed; empty without one.
    #[must_use]
    pub fn default_text(&self) -> String {
        self.default.as_ref().map(default_text).unwrap_or_default()
    }

    /// The option of the command line, with a value that is accepted where one is known.
    #[must_use]
    pub fn example(&self) -> String {
        let value = match (&self.default, self.choices.first()) {
            (_, Some(choice)) => choice.clone(),
            (Some(default), None) => default_text(default),
            // What a pattern takes is not for us to invent.
            (None, None) if self.pattern.is_some() => {
                return format!("--param {}=…", self.name);
            }
            (None, None) => self.kind.example().to_owned(),
        };
        format!("--param {}={}", self.name, shell_word(&value))
    }
}

/// How a value refers to a secret.
const SECRET_REFERENCE: &str = "secret:";

/// A pattern describes the whole text, so it is anchored.
const ANCHOR_START: &str = "^(?:";
const ANCHOR_END: &str = ")$";

fn shown_pattern(pattern: &Regex) -> &str {
    let text = pattern.as_str();
    text.strip_prefix(ANCHOR_START)
        .and_then(|t| t.strip_suffix(ANCHOR_END))
        .unwrap_or(text)
}

fn default_text(default: &Dynamic) -> String {
    match default.as_array_ref() {
        Ok(items) => items.iter().map(default_text).collect::<Vec<_>>().join(","),
        Err(_) if default.is::<KeptSecret>() => {
            let name = default
                .read_lock::<KeptSecret>()
                .map(|secret| secret.0.clone());
            format!("{SECRET_REFERENCE}{}", name.unwrap_or_default())
        }
        Err(_) => crate::value::show(default),
    }
}

/// As a shell wants it.
fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:,=@%+".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests;
