//! A script whose single operations become slow.
//!
//! A loop such as `a = [a]`, or one that copies a text of megabytes again and again, does few
//! operations, so the limit on their number does not end it; but each operation costs more than the
//! one before. What is measured is the time between two looks, outside of primitives.

use std::cell::Cell;
use std::time::{Duration, Instant};

use crate::error::Error;

/// A slice of operations that takes longer than this copies something large. Ordinary ones take
/// microseconds.
const SLOW_SLICE: Duration = Duration::from_millis(5);

/// So much time in slow slices, on one thread, ends the script.
const LIMIT: Duration = Duration::from_millis(1000);

thread_local! {
    static LAST: Cell<Option<Instant>> = const { Cell::new(None) };
    static SLOW: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// Look at the clock after a slice of operations.
pub fn look() -> Option<Error> {
    let now = Instant::now();
    let slice = LAST
        .replace(Some(now))
        .map_or(Duration::ZERO, |last| now - last);
    if slice < SLOW_SLICE {
        return None;
    }
    let slow = SLOW.get() + slice;
    SLOW.set(slow);
    (slow > LIMIT).then(|| {
        SLOW.set(Duration::ZERO);
        Error::new(
            "limit.size",
            "the script spends its time copying a large or deeply nested value",
        )
        .hint("build it once instead of in a loop, or stream it (`fs::each_line`, `db.each_row`)")
        .uncatchable()
    })
}

/// Ends the measurement until it is dropped: a primitive works, or waits.
pub fn pause() -> Pause {
    LAST.set(None);
    Pause
}

/// See [`pause`].
pub struct Pause;

impl Drop for Pause {
    fn drop(&mut self) {
        LAST.set(None);
    }
}
