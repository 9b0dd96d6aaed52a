//! What a change would do.

/// The answer of a preview function: one line, and what makes it believable.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Preview {
    /// What would happen, in a line.
    pub summary: String,
    /// The difference it would make, as a unified diff.
    pub diff: Option<String>,
    /// How to take it back.
    pub undo: Option<String>,
    /// Whether the world is so already.
    pub unchanged: bool,
}

impl Preview {
    /// A preview that says what would happen.
    #[must_use]
    pub fn new(summary: impl Into<String>) -> Self {
        Self {
            summary: summary.into(),
            ..Self::default()
        }
    }

    /// Show the difference.
    #[must_use]
    pub fn diff(mut self, diff: impl Into<String>) -> Self {
        self.diff = Some(diff.into());
        self
    }

    /// Say how to take it back.
    #[must_use]
    pub fn undo(mut self, undo: impl Into<String>) -> Self {
        self.undo = Some(undo.into());
        self
    }

    /// Say that nothing would change.
    #[must_use]
    pub fn unchanged(mut self) -> Self {
        self.unchanged = true;
        self
    }
}
