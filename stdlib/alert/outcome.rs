//! What became of an alert in a channel.

use std::time::Duration as StdDuration;

use ccrun_kernel::Error;
use ccrun_kernel::rhai::{Dynamic, Map};
use ccrun_kernel::value::Duration;

/// What became of it.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The channel.
    pub channel: String,
    /// What it is.
    pub kind: &'static str,
    /// How it went.
    pub how: How,
    /// How often it was tried.
    pub attempts: u32,
    /// How long it took.
    pub elapsed: StdDuration,
    /// The channel whose place it took.
    pub instead_of: Option<String>,
}

/// How it went.
#[derive(Debug, Clone)]
pub enum How {
    /// The receiver took it: its status, and the beginning of what it said.
    Sent(Option<u16>, String),
    /// The channel has no word for this: Alertmanager knows no acknowledgement.
    NothingToSay,
    /// It was told not long ago.
    Repeated,
    /// It failed.
    Failed(Error),
}

impl Outcome {
    /// Whether the receiver took it.
    #[must_use]
    pub fn is_sent(&self) -> bool {
        matches!(self.how, How::Sent(..))
    }

    /// The error, if it failed.
    #[must_use]
    pub fn error(&self) -> Option<&Error> {
        match &self.how {
            How::Failed(error) => Some(error),
            _ => None,
        }
    }

    /// As scripts see it.
    #[must_use]
    pub fn to_map(&self) -> Map {
        let (outcome, status, body) = match &self.how {
            How::Sent(status, body) => ("sent", *status, body.clone()),
            How::NothingToSay => ("nothing to say", None, String::new()),
            How::Repeated => ("repeated", None, String::new()),
            How::Failed(error) => {
                let status = error
                    .details()
                    .get("status")
                    .and_then(|status| status.as_u64());
                let body = error.details().get("body").and_then(|body| body.as_str());
                (
                    "failed",
                    status.and_then(|status| u16::try_from(status).ok()),
                    body.unwrap_or_default().to_owned(),
                )
            }
        };
        let error = self.error();
        Map::from_iter([
            ("channel".into(), self.channel.clone().into()),
            ("kind".into(), self.kind.into()),
            ("outcome".into(), outcome.into()),
            (
                "status".into(),
                status.map_or(Dynamic::UNIT, |status| i64::from(status).into()),
            ),
            ("body".into(), body.into()),
            (
                "error".into(),
                error.map_or(Dynamic::UNIT, |error| error.to_map().into()),
            ),
            ("attempts".into(), i64::from(self.attempts).into()),
            (
                "elapsed".into(),
                Dynamic::from(Duration::measured(self.elapsed)),
            ),
            (
                "instead_of".into(),
                self.instead_of.clone().map_or(Dynamic::UNIT, Into::into),
            ),
        ])
    }
}
