//! What the document formats (`json`, `yaml`, `toml`) share: reading into script values within limits,
//! syntax errors that show the place, and refusing what a document can't hold.

mod plain;
mod read;
mod syntax;

pub use plain::{check, expose};
pub use read::{Document, MOST_BYTES, MOST_VALUES, Reader};
pub use syntax::{Place, excerpt, syntax_error};

/// A document format, for messages and for the kinds of its errors.
#[derive(Debug, Clone, Copy)]
pub struct Format {
    /// The namespace: `json`.
    pub namespace: &'static str,
    /// What people call it: `JSON`.
    pub title: &'static str,
}

impl Format {
    /// `json.syntax` and so on.
    #[must_use]
    pub fn kind(&self, what: &str) -> String {
        format!("{}.{what}", self.namespace)
    }

    /// The error for a text that is longer than a script's strings may be.
    ///
    /// # Errors
    /// `json.too_large`
    pub fn check_size(&self, text: &str) -> ccrun_kernel::Result<()> {
        if text.len() <= MOST_BYTES {
            return Ok(());
        }
        Err(self.too_large(&format!("{} MiB", text.len() >> 20)))
    }

    /// The error for a document with more in it than a script can hold.
    #[must_use]
    pub fn too_large(&self, how: &str) -> ccrun_kernel::Error {
        ccrun_kernel::Error::new(
            self.kind("too_large"),
            format!("the {} document is too large ({how})", self.title),
        )
        .hint(format!(
            "a script reads at most {} MiB with {MOST_VALUES} values: take what you need where it comes from \
             (a query, a filter, a page), or read it line by line",
            MOST_BYTES >> 20
        ))
    }
}
