//! Unified diffs.

use std::time::Duration;

use ccrun_kernel::{Error, Options, Result};
use similar::TextDiff;

/// The longest text that is compared.
const MOST: usize = 8 << 20;

/// How to show a diff.
#[derive(Debug, Clone, Options)]
pub struct DiffOptions {
    /// The name of the old text in the header.
    #[option(default = "old")]
    from: String,
    /// The name of the new text in the header.
    #[option(default = "new")]
    to: String,
    /// How many unchanged lines are shown around each change.
    #[option(default = "3")]
    context: u16,
}

/// The unified diff of two texts, empty if they are the same.
///
/// # Errors
/// `text.too_large`
pub fn unified(old: &str, new: &str, options: &DiffOptions) -> Result<String> {
    let longest = old.len().max(new.len());
    if longest > MOST {
        return Err(Error::new(
            "text.too_large",
            format!("a text of {} MiB is too long to be compared", longest >> 20),
        )
        .hint(format!(
            "compare at most {} MiB, or their `crypto::sha256`",
            MOST >> 20
        )));
    }
    if old == new {
        return Ok(String::new());
    }
    // Two texts with nothing in common would take long to compare as well as possible, for a diff
    // that nobody reads. After the timeout it is still right, only not the shortest.
    let diff = TextDiff::configure()
        .timeout(Duration::from_millis(500))
        .diff_lines(old, new);
    Ok(diff
        .unified_diff()
        .context_radius(usize::from(options.context))
        .header(&options.from, &options.to)
        .to_string())
}
