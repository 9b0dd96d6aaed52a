//! What a primitive does to the world.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a primitive does to the world. Ordered: what allows more is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// It computes, and touches nothing.
    Pure,
    /// It looks at the world, and leaves it as it is.
    Read,
    /// It changes the world.
    Change,
}

impl Effect {
    /// The name in declarations, in the header and in messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pure => "pure",
            Self::Read => "read",
            Self::Change => "change",
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
