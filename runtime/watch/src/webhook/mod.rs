//! Webhooks: who may fire a trigger, with what, and never twice with the same message.

mod alertmanager;
mod body;
mod signature;

use std::collections::HashMap;

pub use alertmanager::{AlertMessage, alerts};
pub use body::{lookup, matches, parse};
pub use signature::{Checked, check, same};

/// What of a message is looked at: its headers with lower-case names, and its body as it came.
#[derive(Debug, Clone, Default)]
pub struct Message {
    /// The headers, names in lower case.
    pub headers: HashMap<String, String>,
    /// The body.
    pub body: Vec<u8>,
}

impl Message {
    /// A header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// Why a message is refused: the reason for metrics, and a sentence for whoever sent it that helps
/// nobody to guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// There is no signature at all.
    Unsigned,
    /// The signature is not that of the secret.
    WrongSignature,
    /// It was signed too long ago, or in the future.
    TooOld,
    /// The body is not what its type says.
    Malformed,
}

impl Refusal {
    /// The reason in metrics.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Unsigned => "unsigned",
            Self::WrongSignature => "signature",
            Self::TooOld => "too_old",
            Self::Malformed => "malformed",
        }
    }

    /// The status of the answer.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::Unsigned | Self::WrongSignature | Self::TooOld => 401,
            Self::Malformed => 400,
        }
    }

    /// The text of the answer.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Unsigned => "the message is not signed",
            Self::WrongSignature => "the signature does not fit",
            Self::TooOld => "the time of the signature is too far from now",
            Self::Malformed => "the body can't be read",
        }
    }
}
