//! What scripts give: one word or several, and moments.

use ccrun_kernel::rhai::Dynamic;
use ccrun_kernel::value::{Duration, Timestamp};
use ccrun_kernel::{FromArg, Mismatch};

/// One text or an array of them.
#[derive(Clone)]
pub struct Words(pub Vec<String>);

impl FromArg for Words {
    fn type_name() -> String {
        "string or array of string".into()
    }

    fn from_arg(value: Dynamic) -> Result<Self, Mismatch> {
        match value.is_array() {
            true => Vec::from_arg(value).map(Self),
            false => String::from_arg(value).map(|word| Self(vec![word])),
        }
    }
}

/// A moment: a `Timestamp`, a text such as `2026-11-23T12:00:00Z`, or how long ago (`"10m"`).
#[derive(Clone)]
pub struct Moment(jiff::Timestamp);

impl Moment {
    /// Seconds since 1970, as the engine's interface counts them.
    pub fn seconds(&self) -> i32 {
        i32::try_from(self.0.as_second()).unwrap_or(i32::MAX)
    }
}

impl FromArg for Moment {
    fn type_name() -> String {
        "Timestamp or duration".into()
    }

    fn from_arg(value: Dynamic) -> Result<Self, Mismatch> {
        if let Some(at) = value.clone().try_cast::<Timestamp>() {
            return Ok(Self(at.instant()));
        }
        if let Ok(text) = value.as_immutable_string_ref()
            && let Ok(at) = text.parse::<jiff::Timestamp>()
        {
            return Ok(Self(at));
        }
        let ago = Duration::from_arg(value)?;
        let ago = jiff::SignedDuration::try_from(ago.to_std())
            .map_err(|error| Mismatch::Value(error.to_string()))?;
        jiff::Timestamp::now()
            .checked_sub(ago)
            .map(Self)
            .map_err(|error| Mismatch::Value(error.to_string()))
    }
}
