//! Secrets: a type whose text never shows, the redactor that masks it in longer texts, and where
//! secrets come from.

mod forms;
mod matcher;
mod names;
mod redact;
mod store;
#[cfg(test)]
mod tests;

use std::fmt;
use std::hint::black_box;
use std::sync::Arc;

use zeroize::Zeroize;

pub(crate) use names::is_secret_name;
pub use redact::{Redactor, StreamRedactor};
pub use store::{SecretSource, SecretStore, reference};

/// A text that is never shown.
///
/// It prints as `‹secret NAME›` and is stored as a reference to its name. The text itself is only
/// to be had by [`Secret::expose`], for handing it to another system.
#[derive(Clone)]
pub struct Secret(Arc<Inner>);

struct Inner {
    name: String,
    text: String,
}

impl Drop for Inner {
    /// A freed text can still be found in memory; this one can't.
    fn drop(&mut self) {
        self.text.zeroize();
    }
}

impl Secret {
    /// A secret with the name under which it is known.
    #[must_use]
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self(Arc::new(Inner {
            name: name.into(),
            text: text.into(),
        }))
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The text, for handing it to another system. It must not be kept, printed or logged.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0.text
    }

    /// The number of bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.text.len()
    }

    /// Whether there is no text.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.text.is_empty()
    }

    /// What stands in its place.
    #[must_use]
    pub fn mask(&self) -> String {
        format!("‹secret {}›", self.name())
    }
}

impl PartialEq for Secret {
    /// Compares in a time that does not depend on where the texts differ.
    fn eq(&self, other: &Self) -> bool {
        let (a, b) = (self.expose().as_bytes(), other.expose().as_bytes());
        let differing = |difference, (a, b): (&u8, &u8)| black_box(difference | (a ^ b));
        a.len() == b.len() && a.iter().zip(b).fold(0, differing) == 0
    }
}

impl Eq for Secret {}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.mask())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.mask())
    }
}

impl crate::primitive::Object for Secret {
    const NAME: &'static str = "Secret";
    const DOC: &'static str = "A text that never shows: it prints as its name.";
    fn describe(&self) -> String {
        self.mask()
    }
}

impl serde::Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry("$secret", self.name())?;
        map.end()
    }
}
