//! The arguments of a call, on their way from the script to Rust types.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use rhai::Dynamic;

use super::convert::FromArg;
use crate::error::{Error, Result};
use crate::primitive::{Object, Primitive};

/// The arguments of one call.
pub struct Args {
    primitive: Arc<Primitive>,
    this: Option<Dynamic>,
    values: VecDeque<Option<Dynamic>>,
    wants_preview: bool,
}

impl Args {
    /// `values` has one entry per parameter, `None` where the call leaves it out.
    #[must_use]
    pub fn new(
        primitive: &Arc<Primitive>,
        this: Option<Dynamic>,
        values: VecDeque<Option<Dynamic>>,
        wants_preview: bool,
    ) -> Self {
        Self {
            primitive: Arc::clone(primitive),
            this,
            values,
            wants_preview,
        }
    }

    /// Whether somebody will look at a preview.
    #[must_use]
    pub fn wants_preview(&self) -> bool {
        self.wants_preview
    }

    /// The object of a method call.
    ///
    /// # Errors
    /// `argument.receiver` if the object is of another type; the interpreter prevents that.
    pub fn receiver<T: Object>(&mut self) -> Result<T> {
        self.this
            .take()
            .and_then(|this| this.try_cast::<T>())
            .ok_or_else(|| {
                Error::new(
                    "argument.receiver",
                    format!("{} is a method of {}", self.primitive.path(), T::NAME),
                )
            })
    }

    /// The argument for the parameter with this index and name.
    ///
    /// # Errors
    /// `argument.missing`, `argument.type`, or what the options map says of its keys.
    pub fn take<T: FromArg>(&mut self, index: usize, name: &str) -> Result<T> {
        match self.values.get_mut(index).and_then(Option::take) {
            None => T::when_missing().ok_or_else(|| {
                Error::new(
                    "argument.missing",
                    format!(
                        "{} needs `{name}` ({})",
                        self.primitive.path(),
                        T::type_name()
                    ),
                )
                .hint(format!(
                    "`ccrun doc {}` shows how to call it",
                    self.primitive.path()
                ))
            }),
            Some(value) => {
                T::from_arg(value).map_err(|m| m.into_error(&self.primitive.path(), name))
            }
        }
    }
}

/// A value that does not fit the type it is wanted as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mismatch {
    /// Another type altogether.
    Type {
        /// What was wanted.
        expected: String,
        /// What came.
        found: String,
    },
    /// The right type with an impossible value.
    Value(String),
    /// A part of the value, named by its key or index.
    Inside {
        /// Where: `timeout`, `[3]`.
        place: String,
        /// What is wrong there.
        what: Box<Mismatch>,
    },
    /// An options map without a required key.
    MissingKey {
        /// The key.
        key: String,
        /// The type of its value.
        expected: String,
    },
    /// An options map with a key that means nothing.
    UnknownKey {
        /// The key.
        key: String,
        /// The nearest key that does.
        nearest: Option<String>,
        /// All of them.
        known: Vec<&'static str>,
    },
}

impl Mismatch {
    /// `value` is not a `T`.
    #[must_use]
    pub fn of<T: FromArg>(value: &Dynamic) -> Self {
        Self::Type {
            expected: T::type_name(),
            found: script_type_name(value),
        }
    }

    /// The same, found at `place` inside a larger value.
    #[must_use]
    pub fn inside(self, place: impl Into<String>) -> Self {
        Self::Inside {
            place: place.into(),
            what: Box::new(self),
        }
    }

    fn into_error(self, callee: &str, parameter: &str) -> Error {
        let hint = match &self {
            Self::UnknownKey {
                nearest: Some(nearest),
                ..
            } => format!("did you mean `{nearest}`?"),
            Self::UnknownKey { known, .. } => format!("it takes {}", known.join(", ")),
            _ => format!("`ccrun doc {callee}` shows how to call it"),
        };
        let (kind, message) = match &self {
            Self::UnknownKey { key, .. } => (
                "argument.unknown_key",
                format!("{callee} has no option `{key}`"),
            ),
            Self::MissingKey { key, expected } => (
                "argument.missing",
                format!("{callee} needs the option `{key}` ({expected})"),
            ),
            Self::Inside { place, what } if !place.starts_with('[') => (
                "argument.type",
                format!("option `{place}` of {callee}: {what}"),
            ),
            _ => (
                "argument.type",
                format!("`{parameter}` of {callee}: {self}"),
            ),
        };
        Error::new(kind, message).hint(hint)
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Type { expected, found } => write!(f, "expected {expected}, found {found}"),
            Self::Value(text) => f.write_str(text),
            Self::Inside { place, what } => write!(f, "{place}: {what}"),
            Self::MissingKey { key, expected } => write!(f, "`{key}` ({expected}) is missing"),
            Self::UnknownKey { key, .. } => write!(f, "there is no key `{key}`"),
        }
    }
}

/// The name of a value's type as scripts and their authors know it.
#[must_use]
pub fn script_type_name(value: &Dynamic) -> String {
    let name = value.type_name();
    match name {
        "i64" => "int".into(),
        "f64" => "float".into(),
        "alloc::string::String" | "&str" => "string".into(),
        _ => name
            .rsplit("::")
            .next()
            .unwrap_or(name)
            .trim_end_matches('>')
            .to_owned(),
    }
}
