//! Times and durations.
//!
//! A `Timestamp` is a moment, in UTC unless it says another zone; a `Duration` is a span. Both take
//! part in arithmetic with texts: `time::now() - "7d"`, `elapsed < "5m"`. `sleep("10s")` belongs to the
//! language itself.

mod parse;
#[cfg(test)]
mod tests;

use std::time::Instant;

use ccrun_kernel::rhai::{FnPtr, Map};
use ccrun_kernel::value::{Duration, Timestamp};
use ccrun_kernel::{Caller, IntoValue, Namespace, Result, primitive, primitives};

/// Registers the namespace.
#[must_use]
pub fn namespace() -> Namespace {
    Namespace::new("time", "Times and durations.").primitives(primitives![
        now,
        parse::parse,
        from_unix,
        duration,
        since,
        remaining,
        format,
        in_zone,
        measure
    ])
}

/// This moment, in UTC, or in a zone.
///
/// # Errors
/// `value.zone` for an unknown zone.
///
/// # Example
/// ```rhai
/// assert(time::now() > "2025-01-01");
/// assert(time::now("Europe/Berlin").zone == "Europe/Berlin");
/// ```
#[primitive(pure)]
fn now(zone: Option<String>) -> Result<Timestamp> {
    match zone {
        None => Ok(Timestamp::now()),
        Some(zone) => Timestamp::now().in_zone(&zone),
    }
}

/// The time so many seconds after 1970-01-01 00:00 UTC.
///
/// # Errors
/// `value.overflow` outside of the years -9999 to 9999 (often: milliseconds instead of seconds).
///
/// # Example
/// ```rhai
/// assert(time::from_unix(1740794400) == "2025-03-01T02:00:00Z");
/// ```
#[primitive(pure)]
fn from_unix(seconds: i64) -> Result<Timestamp> {
    Timestamp::from_unix(seconds)
        .map_err(|error| error.hint("is it in milliseconds? `time::from_unix(n / 1000)`"))
}

/// A duration: `"90s"`, `"5m"`, `"1h30m"`, `"7d"`.
///
/// # Errors
/// `argument.type` naming what is accepted.
///
/// # Example
/// ```rhai
/// assert(time::duration("1h30m").minutes == 90);
/// assert(time::duration("5m") * 2 == "10m");
/// ```
#[primitive(pure)]
fn duration(text: Duration) -> Duration {
    text
}

/// How long ago a time was. Negative if it is still to come.
///
/// # Errors
/// None.
///
/// # Example
/// ```rhai
/// assert(time::since(time::now() - "5m") >= "5m");
/// assert(time::since(time::parse("2025-03-01")) > "1d");
/// ```
#[primitive(pure)]
fn since(earlier: Timestamp) -> Duration {
    Timestamp::now().since(&earlier).rounded()
}

/// How long it is to a time. Negative if it is over.
///
/// # Errors
/// None.
///
/// # Example
/// ```rhai
/// assert(time::remaining(time::now() + "1h") > "59m");
/// ```
#[primitive(pure)]
fn remaining(later: Timestamp) -> Duration {
    later.since(&Timestamp::now())
}

/// A time as text, by `strftime` directives, in its own zone or another.
///
/// # Errors
/// `value.format` for a directive that does not exist, `value.zone`.
///
/// # Example
/// ```rhai
/// let at = time::parse("2025-07-01T00:30:00Z");
/// assert(time::format(at, "%Y%m%d-%H%M%S") == "20250701-003000");
/// assert(time::format(at, "%d.%m.%Y %H:%M %Z", "Europe/Berlin") == "01.07.2025 02:30 CEST");
/// ```
#[primitive(pure)]
fn format(at: Timestamp, format: String, zone: Option<String>) -> Result<String> {
    match zone {
        None => at.format(&format),
        Some(zone) => at.in_zone(&zone)?.format(&format),
    }
}

/// The same moment, read by the clocks of a zone.
///
/// # Errors
/// `value.zone` with the nearest name.
///
/// # Example
/// ```rhai
/// let at = time::parse("2025-07-01T00:30:00Z");
/// assert(time::in_zone(at, "Europe/Berlin").hour == 2);
/// assert(time::in_zone(at, "Europe/Berlin") == at);
/// ```
#[primitive(pure)]
fn in_zone(at: Timestamp, zone: String) -> Result<Timestamp> {
    at.in_zone(&zone)
}

/// Run a closure and say how long it took: `#{ value, elapsed }`.
///
/// # Errors
/// What the closure throws.
///
/// # Example
/// ```rhai
/// let measured = time::measure(|| 6 * 7);
/// assert(measured.value == 42);
/// assert(measured.elapsed < "1m");
/// ```
#[primitive(pure)]
fn measure(call: &Caller, work: FnPtr) -> Result<Map> {
    let started = Instant::now();
    let value = call.invoke(&work, [])?;
    let elapsed = Duration::measured(started.elapsed());
    Ok(Map::from([
        ("value".into(), value),
        ("elapsed".into(), elapsed.into_value()),
    ]))
}
