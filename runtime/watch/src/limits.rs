//! How often a trigger may fire.

use std::collections::{HashMap, VecDeque};

use jiff::Timestamp;
use parking_lot::Mutex;

use ccrun_kernel::runbook::trigger::Rate;

/// The recent firings of every trigger.
#[derive(Debug, Default)]
pub struct Limits(Mutex<HashMap<String, VecDeque<Timestamp>>>);

impl Limits {
    /// Whether a trigger may fire now; if so, that counts.
    #[must_use]
    pub fn admit(&self, key: &str, rate: Rate, now: Timestamp) -> bool {
        let mut recent = self.0.lock();
        let fired = recent.entry(key.to_owned()).or_default();
        while fired
            .front()
            .is_some_and(|first| now.duration_since(*first) >= rate.within.signed())
        {
            fired.pop_front();
        }
        // A clock that was put back must not count its future.
        fired.retain(|time| *time <= now);
        if fired.len() >= rate.starts as usize {
            return false;
        }
        fired.push_back(now);
        true
    }

    /// Begin to count anew.
    pub fn forget(&self, key: &str) {
        self.0.lock().remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_within_a_time() {
        let limits = Limits::default();
        let rate = Rate {
            starts: 2,
            within: "1m".parse().unwrap(),
        };
        let admitted = |second| limits.admit("t", rate, Timestamp::from_second(second).unwrap());
        let story = [0, 1, 2, 59, 60, 60, 61, 62].map(admitted);
        assert_eq!(story, [true, true, false, false, true, false, true, false]);
        assert!(limits.admit("other", rate, Timestamp::from_second(62).unwrap()));
        assert!(admitted(10), "the clock was put back");
    }
}
