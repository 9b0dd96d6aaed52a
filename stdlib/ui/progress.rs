//! Progress of work that the script itself does.

use std::sync::Arc;

use ccrun_kernel::{Cx, Object, Progress, primitive};
use parking_lot::Mutex;

/// The progress of work in the script. It ends by `done()`, or when the script lets go of it.
#[derive(Clone, Object)]
#[object(name = "ProgressBar", describe = "ProgressBar::describe")]
pub struct ProgressBar(Arc<Inner>);

struct Inner {
    label: String,
    /// Gone when it is done.
    shown: Mutex<Option<Progress>>,
}

/// Show how far the work of the script is. Without `total`, only how much is done.
///
/// # Errors
/// None.
///
/// # Example
/// ```rhai
/// let files = ["a", "b", "c"];
/// let progress = ui::progress("Checking files", files.len());
/// for file in files {
///     progress.advance(1);
/// }
/// progress.done();
/// ```
#[primitive(pure)]
pub fn progress(cx: &Cx, label: String, total: Option<u64>) -> ProgressBar {
    let shown = cx.progress(label.as_str(), total);
    ProgressBar(Arc::new(Inner {
        label,
        shown: Mutex::new(Some(shown)),
    }))
}

impl ProgressBar {
    fn describe(&self) -> String {
        format!("ProgressBar {}", self.0.label)
    }

    fn with(&self, work: impl FnOnce(&mut Progress)) {
        if let Some(progress) = self.0.shown.lock().as_mut() {
            work(progress);
        }
    }

    /// So much more is done; without a number, one.
    ///
    /// # Errors
    /// None. After `done()` nothing happens.
    ///
    /// # Example
    /// ```rhai
    /// ui::progress("Copying", 10).advance(3);
    /// ```
    #[primitive(pure)]
    pub fn advance(&self, more: Option<u64>) {
        self.with(|progress| progress.advance(more.unwrap_or(1)));
    }

    /// So much is done in all.
    ///
    /// # Errors
    /// None. After `done()` nothing happens.
    ///
    /// # Example
    /// ```rhai
    /// ui::progress("Copying", 10).set(7);
    /// ```
    #[primitive(pure)]
    pub fn set(&self, done: u64) {
        self.with(|progress| progress.set(done));
    }

    /// Say what is going on now.
    ///
    /// # Errors
    /// None. After `done()` nothing happens.
    ///
    /// # Example
    /// ```rhai
    /// ui::progress("Copying", 10).message("Copying the index");
    /// ```
    #[primitive(pure)]
    pub fn message(&self, label: String) {
        self.with(|progress| progress.message(label));
    }

    /// End it. Calling it again does nothing.
    ///
    /// # Errors
    /// None.
    ///
    /// # Example
    /// ```rhai
    /// let progress = ui::progress("Copying");
    /// progress.done();
    /// ```
    #[primitive(pure)]
    pub fn done(&self) {
        drop(self.0.shown.lock().take());
    }
}
