//! Points in time, with the zone they are to be read in.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Zoned};

use super::{Duration, closest};
use crate::error::{Error, Result};

/// A point in time. Two are equal if they are the same moment, whatever their zones.
#[derive(Debug, Clone)]
pub struct Timestamp {
    at: jiff::Timestamp,
    /// What its calendar fields and its text are in; without one, UTC.
    zone: Option<TimeZone>,
}

impl Timestamp {
    /// This moment, in UTC.
    #[must_use]
    pub fn now() -> Self {
        jiff::Timestamp::now().into()
    }

    /// The moment without its zone.
    #[must_use]
    pub fn instant(&self) -> jiff::Timestamp {
        self.at
    }

    /// The moment in its zone.
    #[must_use]
    pub fn zoned(&self) -> Zoned {
        self.at.to_zoned(self.zone.clone().unwrap_or(TimeZone::UTC))
    }

    /// The zone, where it is not simply UTC.
    #[must_use]
    pub fn zone(&self) -> Option<&TimeZone> {
        self.zone.as_ref()
    }

    /// The zone's name: `UTC`, `Europe/Berlin`, `+02:00`.
    #[must_use]
    pub fn zone_name(&self) -> String {
        match &self.zone {
            None => "UTC".to_owned(),
            Some(zone) => zone
                .iana_name()
                .map_or_else(|| zone.to_offset(self.at).to_string(), str::to_owned),
        }
    }

    /// The same moment in a zone.
    #[must_use]
    pub fn with_zone(&self, zone: TimeZone) -> Self {
        Self {
            at: self.at,
            zone: Some(zone),
        }
    }

    /// The same moment in the zone `name`: `UTC`, `Europe/Berlin`.
    ///
    /// # Errors
    /// `value.zone` with the nearest name.
    pub fn in_zone(&self, name: &str) -> Result<Self> {
        zone_named(name).map(|zone| self.with_zone(zone))
    }

    /// From seconds since 1970.
    ///
    /// # Errors
    /// `value.overflow` outside of the years -9999 to 9999.
    pub fn from_unix(seconds: i64) -> Result<Self> {
        jiff::Timestamp::from_second(seconds)
            .map(Self::from)
            .map_err(|_| overflow())
    }

    /// Formatted by `strftime`: `%Y-%m-%d %H:%M`.
    ///
    /// # Errors
    /// `value.format` for a directive that does not exist.
    pub fn format(&self, format: &str) -> Result<String> {
        jiff::fmt::strtime::format(format, &self.zoned()).map_err(|error| {
            Error::new(
                "value.format",
                format!("`{format}` is not a time format: {error}"),
            )
            .hint("it takes strftime directives, such as `%Y-%m-%d %H:%M:%S`, `%F %T %Z`")
        })
    }

    /// Later by a duration.
    ///
    /// # Errors
    /// `value.overflow`
    pub fn plus(&self, duration: Duration) -> Result<Self> {
        let at = self
            .at
            .checked_add(duration.signed())
            .map_err(|_| overflow())?;
        Ok(Self {
            at,
            zone: self.zone.clone(),
        })
    }

    /// Earlier by a duration.
    ///
    /// # Errors
    /// `value.overflow`
    pub fn minus(&self, duration: Duration) -> Result<Self> {
        let at = self
            .at
            .checked_sub(duration.signed())
            .map_err(|_| overflow())?;
        Ok(Self {
            at,
            zone: self.zone.clone(),
        })
    }

    /// How much later than `earlier` it is; negative if it is earlier.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Duration {
        let difference: SignedDuration = self.at.duration_since(earlier.at);
        difference.into()
    }
}

/// The zone with this name.
///
/// # Errors
/// `value.zone` with the nearest name.
pub fn zone_named(name: &str) -> Result<TimeZone> {
    TimeZone::get(name).map_err(|_| {
        let known: Vec<String> = jiff::tz::db()
            .available()
            .map(|zone| zone.as_str().to_owned())
            .collect();
        // `Berlin` for `Europe/Berlin` is what people type.
        let nearest = known
            .iter()
            .find(|zone| {
                zone.rsplit('/')
                    .next()
                    .is_some_and(|city| city.eq_ignore_ascii_case(name))
            })
            .map(String::as_str)
            .or_else(|| closest(name, known.iter().map(String::as_str)));
        let hint = match nearest {
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None => "zones are named by region and city, such as `Europe/Berlin`, or `UTC`".into(),
        };
        Error::new("value.zone", format!("there is no time zone `{name}`")).hint(hint)
    })
}

fn overflow() -> Error {
    Error::new(
        "value.overflow",
        "the time is outside of the years -9999 to 9999",
    )
}

impl From<jiff::Timestamp> for Timestamp {
    fn from(at: jiff::Timestamp) -> Self {
        Self { at, zone: None }
    }
}

impl From<Zoned> for Timestamp {
    fn from(zoned: Zoned) -> Self {
        Self {
            at: zoned.timestamp(),
            zone: Some(zoned.time_zone().clone()),
        }
    }
}

impl PartialEq for Timestamp {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Timestamp {}

impl PartialOrd for Timestamp {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Timestamp {
    fn cmp(&self, other: &Self) -> Ordering {
        self.at.cmp(&other.at)
    }
}

impl Hash for Timestamp {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.at.hash(state);
    }
}

/// RFC 3339: `2025-03-01T02:00:00Z`, or with the offset of its zone.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.zone {
            Some(zone) if *zone != TimeZone::UTC => {
                let offset = zone.to_offset(self.at);
                f.pad(&self.at.display_with_offset(offset).to_string())
            }
            _ => f.pad(&self.at.to_string()),
        }
    }
}

impl FromStr for Timestamp {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let trimmed = text.trim();
        let parsed = match trimmed.strip_prefix('@') {
            Some(seconds) => seconds.parse().ok().and_then(|n| Self::from_unix(n).ok()),
            None if trimmed.ends_with(']') => trimmed.parse::<Zoned>().ok().map(Self::from),
            None => {
                parts(trimmed).or_else(|| jiff::fmt::rfc2822::parse(trimmed).ok().map(Self::from))
            }
        };
        parsed.ok_or_else(|| {
            Error::new(
                "value.timestamp",
                format!(
                    "`{text}` is not a time: write it as 2025-03-01T02:00:00Z, \
                     2025-03-01 02:00 (UTC), 2025-03-01 or @1740794400"
                ),
            )
        })
    }
}

/// A date, perhaps a time, perhaps an offset. Without an offset it is UTC: a runbook must mean the
/// same on every machine.
fn parts(text: &str) -> Option<Timestamp> {
    use jiff::fmt::temporal::{Pieces, PiecesOffset};

    let pieces = Pieces::parse(text).ok()?;
    let civil = pieces.date().to_datetime(pieces.time().unwrap_or_default());
    let offset = match pieces.offset() {
        None | Some(PiecesOffset::Zulu) => None,
        Some(PiecesOffset::Numeric(numeric)) => {
            Some(numeric.offset()).filter(|o| *o != Offset::UTC)
        }
        Some(_) => return None,
    };
    let at = offset.unwrap_or(Offset::UTC).to_timestamp(civil).ok()?;
    Some(Timestamp {
        at,
        zone: offset.map(TimeZone::fixed),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn the_common_forms_are_read() {
        for (text, printed) in [
            ("2025-03-01T02:00:00Z", "2025-03-01T02:00:00Z"),
            ("2025-03-01T02:00:00.25Z", "2025-03-01T02:00:00.25Z"),
            ("2025-03-01T02:00:00+02:00", "2025-03-01T02:00:00+02:00"),
            ("2025-03-01 02:00:00", "2025-03-01T02:00:00Z"),
            ("2025-03-01 02:00:00+00", "2025-03-01T02:00:00Z"),
            ("2025-03-01 02:00", "2025-03-01T02:00:00Z"),
            ("2025-03-01", "2025-03-01T00:00:00Z"),
            (
                "2025-03-01T02:00:00+01:00[Europe/Berlin]",
                "2025-03-01T02:00:00+01:00",
            ),
            ("Sat, 1 Mar 2025 02:00:00 +0000", "2025-03-01T02:00:00Z"),
            ("@1740794400", "2025-03-01T02:00:00Z"),
        ] {
            assert_eq!(time(text).to_string(), printed, "{text}");
        }
    }

    #[test]
    fn a_wrong_one_says_what_is_accepted() {
        assert_eq!(
            "next tuesday".parse::<Timestamp>().unwrap_err().message(),
            "`next tuesday` is not a time: write it as 2025-03-01T02:00:00Z, 2025-03-01 02:00 (UTC), 2025-03-01 or @1740794400"
        );
        for text in [
            "",
            "2025-02-30",
            "@",
            "@x",
            "@99999999999999999",
            "2025",
            "02:00",
            "]",
        ] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_zone_changes_the_clock_and_not_the_moment() {
        let utc = time("2025-07-01T00:30:00Z");
        let berlin = utc.in_zone("Europe/Berlin").unwrap();
        assert_eq!(berlin, utc);
        assert_eq!(berlin.to_string(), "2025-07-01T02:30:00+02:00");
        assert_eq!(
            berlin.format("%d.%m.%Y %H:%M %Z").unwrap(),
            "01.07.2025 02:30 CEST"
        );
        assert_eq!(berlin.zone_name(), "Europe/Berlin");
        assert_eq!(
            berlin.plus("1d".parse().unwrap()).unwrap().zone_name(),
            "Europe/Berlin"
        );
        let error = utc.in_zone("Berlin").unwrap_err();
        assert_eq!(error.message(), "there is no time zone `Berlin`");
        assert_eq!(error.hint_text(), Some("did you mean `Europe/Berlin`?"));
        assert_eq!(utc.format("%Q %").unwrap_err().kind(), "value.format");
    }

    #[test]
    fn arithmetic_ends_at_the_end_of_time() {
        let late = time("9999-12-01");
        assert_eq!(
            late.plus("60d".parse().unwrap()).unwrap_err().kind(),
            "value.overflow"
        );
        let since = late.since(&time("-009999-01-05T00:00:00Z"));
        assert_eq!(time("-009999-01-05T00:00:00Z").plus(since).unwrap(), late);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[-0-9TZ:+@ .\\[\\]a-z/]{0,30}") {
            let _ = text.parse::<Timestamp>();
        }

        #[test]
        fn no_format_panics(format in "[%a-zA-Z0-9:.-]{0,12}") {
            let _ = time("2025-03-01").format(&format);
        }

        #[test]
        fn printed_and_read_back_is_the_same(
            second in -60_000_000_000_i64..250_000_000_000,
            nanos in 0..1_000_000_000_i32,
        ) {
            let at = Timestamp::from(jiff::Timestamp::new(second, nanos).unwrap());
            prop_assert_eq!(time(&at.to_string()), at);
        }
    }
}
