//! Previews of changes to what may not exist yet.

use ccrun_kernel::{Cx, Preview, Result};

use super::work::{Work, blocking};

/// The preview that `work` makes. In a plan, what is missing now may be what an earlier change makes:
/// that is said with `summary`, and is no error.
///
/// # Errors
/// What the work says of anything else.
pub async fn preview(
    cx: &Cx,
    summary: String,
    work: impl FnOnce(&Work) -> Result<Preview> + Send + 'static,
) -> Result<Preview> {
    match blocking(cx, work).await {
        Err(error) if error.kind() == "fs.not_found" => {
            let path = error.details().get("path").and_then(|path| path.as_str());
            let missing = path.unwrap_or("a part of it").to_owned();
            Ok(Preview::new(format!(
                "{summary} ({missing} does not exist yet)"
            )))
        }
        made => made,
    }
}
