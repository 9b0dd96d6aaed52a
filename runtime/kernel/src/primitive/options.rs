//! Options maps: `#{ timeout: "20s" }` read into a struct.

use rhai::{Dynamic, Map};

use super::args::Mismatch;
use super::convert::FromArg;
use crate::value::closest;

/// One key of an options map.
#[derive(Debug, Clone)]
pub struct OptionField {
    /// The key.
    pub name: &'static str,
    /// The name of its type in scripts.
    pub type_name: String,
    /// What it is for.
    pub doc: &'static str,
    /// The value it has when left out, as a script would write it.
    pub default: Option<&'static str>,
    /// Whether it must be given.
    pub required: bool,
}

impl OptionField {
    /// The key `name` of type `T`.
    #[must_use]
    pub fn of<T: FromArg>(
        name: &'static str,
        doc: &'static str,
        default: Option<&'static str>,
    ) -> Self {
        Self {
            name,
            type_name: T::type_name(),
            doc,
            default,
            required: default.is_none() && !T::optional(),
        }
    }
}

/// Reads the keys of one options map.
pub struct OptionReader {
    map: Map,
}

impl OptionReader {
    /// Begin reading `value` as the options struct `T`.
    ///
    /// # Errors
    /// If it is no map, or has a key that `T` does not know.
    pub fn new<T: FromArg>(value: Dynamic) -> Result<Self, Mismatch> {
        let found = Mismatch::of::<T>(&value);
        let map = value.try_cast::<Map>().ok_or(found)?;
        let known: Vec<&'static str> = T::fields()
            .unwrap_or_default()
            .iter()
            .map(|field| field.name)
            .collect();
        if let Some(key) = map.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(Mismatch::UnknownKey {
                key: key.to_string(),
                nearest: closest(key, known.iter().copied()).map(str::to_owned),
                known,
            });
        }
        Ok(Self { map })
    }

    /// The value of `name`, or of its default.
    ///
    /// # Errors
    /// If it is missing or does not fit.
    pub fn take<T: FromArg>(
        &mut self,
        name: &'static str,
        default: Option<&'static str>,
    ) -> Result<T, Mismatch> {
        match (self.map.remove(name), default) {
            (Some(value), _) => T::from_arg(value).map_err(|m| m.inside(name)),
            (None, Some(text)) => from_text(text).map_err(|m| m.inside(name)),
            (None, None) => T::when_missing().ok_or_else(|| Mismatch::MissingKey {
                key: name.to_owned(),
                expected: T::type_name(),
            }),
        }
    }
}

/// A declared default: a number or a boolean where the type takes one, else the text.
fn from_text<T: FromArg>(text: &str) -> Result<T, Mismatch> {
    let typed = text
        .parse::<i64>()
        .map(Dynamic::from)
        .or_else(|_| text.parse::<bool>().map(Dynamic::from))
        .or_else(|_| text.parse::<f64>().map(Dynamic::from));
    if let Ok(value) = typed
        && let Ok(value) = T::from_arg(value)
    {
        return Ok(value);
    }
    T::from_arg(Dynamic::from(text.to_owned()))
}
