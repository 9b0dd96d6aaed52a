//! How long to wait before the next attempt.

use std::time::Duration;

use rand::Rng as _;
use reqwest::header::{HeaderMap, RETRY_AFTER};

/// No pause between two attempts is longer.
const LONGEST: Duration = Duration::from_secs(30);

/// The pause before retry number `retry` (from 0): doubled each time, and a random part of it left
/// out, so that many clients do not come back at once.
pub fn before(retry: u32, first: Duration) -> Duration {
    let whole = first.saturating_mul(1 << retry.min(16)).min(LONGEST);
    whole.mul_f64(rand::rng().random_range(0.5..=1.0))
}

/// What the server asks for: `Retry-After` in seconds or as a date (RFC 9110, 10.2.3).
pub fn asked_for(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    let left = date.duration_since(jiff::Timestamp::now());
    Some(Duration::try_from(left).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_bound() {
        let first = Duration::from_millis(500);
        for retry in 0..40 {
            let pause = before(retry, first);
            assert!(pause <= LONGEST, "{retry}: {pause:?}");
            assert!(pause >= first / 2, "{retry}: {pause:?}");
        }
        assert!(before(39, first) >= LONGEST / 2);
    }

    #[test]
    fn retry_after_is_read_in_both_forms() {
        let asked = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            asked_for(&headers)
        };
        assert_eq!(asked("7"), Some(Duration::from_secs(7)));
        assert_eq!(
            asked("Sun, 06 Nov 1994 08:49:37 GMT"),
            Some(Duration::ZERO),
            "a date in the past"
        );
        let soon = asked("Fri, 31 Dec 2100 23:59:59 GMT").unwrap();
        assert!(soon > Duration::from_secs(3600));
        assert_eq!(asked("soon"), None);
    }
}
