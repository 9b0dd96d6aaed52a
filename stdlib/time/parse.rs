//! Reading times from texts.

use ccrun_kernel::value::{Timestamp, zone_named};
use ccrun_kernel::{Error, Options, Result, primitive};
use jiff::civil::DateTime;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::fmt::temporal::Pieces;
use jiff::tz::TimeZone;

/// How to read a time.
#[derive(Debug, Clone, Options)]
pub struct ParseOptions {
    /// The form of the text, in `strptime` directives: `%d.%m.%Y %H:%M`. Without it: RFC 3339 and the
    /// other forms that are taken for times everywhere.
    format: Option<String>,
    /// The zone of a text that says none (default: UTC), and of the result.
    zone: Option<String>,
}

/// The time that a text says: `2025-03-01T02:00:00Z`, `2025-03-01 02:00` (UTC), `2025-03-01`,
/// `@1740794400`, an e-mail date, or a form of your own.
///
/// # Errors
/// `value.timestamp` naming what is accepted, also for an hour that the clocks of the zone skip or
/// repeat; `value.zone`.
///
/// # Example
/// ```rhai
/// assert(time::parse("2025-03-01T03:00:00+01:00").unix == 1740794400);
/// let berlin = time::parse("01.03.2025 03:00", #{ format: "%d.%m.%Y %H:%M", zone: "Europe/Berlin" });
/// assert(berlin == "2025-03-01T02:00:00Z");
/// ```
#[primitive(pure)]
pub fn parse(text: String, options: ParseOptions) -> Result<Timestamp> {
    let zone = options.zone.as_deref().map(zone_named).transpose()?;
    match (options.format, zone) {
        (Some(format), zone) => in_format(&text, &format, zone),
        (None, None) => text.parse(),
        (None, Some(zone)) => match without_offset(text.trim()) {
            Some(civil) => civil_in(&text, civil, zone),
            None => Ok(text.parse::<Timestamp>()?.with_zone(zone)),
        },
    }
}

/// The date and time of a text that says neither offset nor zone.
fn without_offset(text: &str) -> Option<DateTime> {
    let pieces = Pieces::parse(text).ok()?;
    let free = pieces.offset().is_none() && pieces.time_zone_annotation().is_none();
    free.then(|| pieces.date().to_datetime(pieces.time().unwrap_or_default()))
}

fn in_format(text: &str, format: &str, zone: Option<TimeZone>) -> Result<Timestamp> {
    let wrong = |error: jiff::Error| {
        Error::new(
            "value.timestamp",
            format!("`{text}` does not have the form `{format}`: {error}"),
        )
        .hint("the form takes strptime directives, such as `%Y-%m-%d %H:%M:%S`, `%d.%m.%Y`, `%s`")
    };
    let parts = BrokenDownTime::parse(format, text.trim()).map_err(wrong)?;
    let moment = if parts.iana_time_zone().is_some() {
        Some(Timestamp::from(parts.to_zoned().map_err(wrong)?))
    } else if parts.offset().is_some() {
        Some(Timestamp::from(parts.to_timestamp().map_err(wrong)?))
    } else {
        parts.to_timestamp().ok().map(Timestamp::from)
    };
    match (moment, zone) {
        (Some(moment), Some(zone)) => Ok(moment.with_zone(zone)),
        (Some(moment), None) => Ok(moment),
        (None, zone) => {
            let date = parts.to_date().map_err(wrong)?;
            let civil = date.to_datetime(parts.to_time().unwrap_or_default());
            civil_in(text, civil, zone.unwrap_or(TimeZone::UTC))
        }
    }
}

/// What the clocks of a zone show, as a moment. An hour that the clocks skip or repeat is refused:
/// nobody can know which one is meant.
fn civil_in(text: &str, civil: DateTime, zone: TimeZone) -> Result<Timestamp> {
    let name = zone.iana_name().unwrap_or("this zone").to_owned();
    let at = zone.to_ambiguous_zoned(civil);
    if at.is_ambiguous() {
        return Err(Error::new(
            "value.timestamp",
            format!("`{text}` is not one moment in {name}: the clocks change at that hour"),
        )
        .hint("write it with its offset, such as 2025-10-26T02:30:00+02:00"));
    }
    at.compatible().map(Timestamp::from).map_err(|error| {
        Error::new(
            "value.timestamp",
            format!("`{text}` is not a time in {name}: {error}"),
        )
    })
}
