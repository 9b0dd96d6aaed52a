//! What a write would change, as a unified diff.

use std::path::Path;
use std::time::Duration;

use similar::TextDiff;

use crate::files::Content;

/// The longest text that is compared.
pub const MOST: u64 = 1 << 20;

/// How much of a diff is shown.
const SHOWN: usize = 64 << 10;

/// The text of what is to be written, if it may be shown and is not too long.
pub fn text(content: &Content) -> Option<&str> {
    if content.is_secret() || content.bytes().len() as u64 > MOST {
        return None;
    }
    std::str::from_utf8(content.bytes()).ok()
}

/// The unified diff from `old` to `new`.
pub fn unified(path: &Path, old: &str, new: &str) -> String {
    let name = path.display().to_string();
    // Two texts with nothing in common would take long to compare, for a diff nobody reads.
    let diff = TextDiff::configure()
        .timeout(Duration::from_millis(500))
        .diff_lines(old, new);
    let from = if old.is_empty() {
        "/dev/null"
    } else {
        name.as_str()
    };
    let mut text = diff
        .unified_diff()
        .context_radius(3)
        .header(from, &name)
        .to_string();
    if text.len() > SHOWN {
        let end = text[..text.floor_char_boundary(SHOWN)]
            .rfind('\n')
            .unwrap_or(0);
        let left_out = text[end..].lines().count().saturating_sub(1);
        text.truncate(end);
        text.push_str(&format!("\n… {left_out} more lines\n"));
    }
    text
}
