//! Durations: `"5m"`, `"1h30m"`, `"250ms"`.

use std::fmt;
use std::str::FromStr;

use jiff::SignedDuration;

use crate::error::{Error, Result};

/// A span of time, negative where it is the difference to something later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Duration(SignedDuration);

/// The units of the canonical form, greatest first, in nanoseconds.
const UNITS: [(&str, i128); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

const FORM: &str = "write a number with its unit, such as 250ms, 30s, 5m, 1h30m, 7d or 2w";

impl Duration {
    /// No time at all.
    pub const ZERO: Self = Self(SignedDuration::ZERO);

    /// Whole seconds.
    #[must_use]
    pub const fn from_secs(secs: i64) -> Self {
        Self(SignedDuration::from_secs(secs))
    }

    /// Whole milliseconds.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(SignedDuration::from_millis(millis))
    }

    /// The signed duration of the time library.
    #[must_use]
    pub const fn signed(self) -> SignedDuration {
        self.0
    }

    /// For timers: a negative duration is over already.
    #[must_use]
    pub fn to_std(self) -> std::time::Duration {
        std::time::Duration::try_from(self.0).unwrap_or_default()
    }

    /// Whether it is less than nothing.
    #[must_use]
    pub const fn is_negative(self) -> bool {
        self.0.is_negative()
    }

    /// All of it in nanoseconds.
    #[must_use]
    pub const fn as_nanos(self) -> i128 {
        self.0.as_nanos()
    }

    /// All of it in seconds, with fractions.
    #[must_use]
    pub fn as_secs_f64(self) -> f64 {
        self.0.as_secs_f64()
    }

    /// From nanoseconds.
    ///
    /// # Errors
    /// `value.overflow` beyond 292 thousand million years.
    pub fn from_nanos(nanos: i128) -> Result<Self> {
        SignedDuration::try_from_nanos_i128(nanos)
            .map(Self)
            .ok_or_else(overflow)
    }

    /// The sum.
    ///
    /// # Errors
    /// `value.overflow`
    pub fn plus(self, other: Self) -> Result<Self> {
        self.0.checked_add(other.0).map(Self).ok_or_else(overflow)
    }

    /// The difference.
    ///
    /// # Errors
    /// `value.overflow`
    pub fn minus(self, other: Self) -> Result<Self> {
        self.0.checked_sub(other.0).map(Self).ok_or_else(overflow)
    }

    /// So many times as long.
    ///
    /// # Errors
    /// `value.overflow`
    pub fn times(self, factor: i64) -> Result<Self> {
        self.as_nanos()
            .checked_mul(factor.into())
            .ok_or_else(overflow)
            .and_then(Self::from_nanos)
    }

    /// So many times as long, rounded to nanoseconds.
    ///
    /// # Errors
    /// `value.overflow`, also for a factor that is no number.
    pub fn times_float(self, factor: f64) -> Result<Self> {
        let nanos = (self.as_nanos() as f64 * factor).round();
        if !nanos.is_finite() || nanos.abs() >= i128::MAX as f64 {
            return Err(overflow());
        }
        Self::from_nanos(nanos as i128)
    }

    /// An equal part of it.
    ///
    /// # Errors
    /// `value.division_by_zero`
    pub fn divided_by(self, parts: i64) -> Result<Self> {
        if parts == 0 {
            return Err(Error::new(
                "value.division_by_zero",
                format!("{self} divided by 0"),
            ));
        }
        Self::from_nanos(self.as_nanos() / i128::from(parts))
    }
}

fn overflow() -> Error {
    Error::new(
        "value.overflow",
        "the duration is too long to be represented",
    )
}

impl Duration {
    /// A duration that was measured, no finer than people read: to the second above a minute, to the
    /// millisecond above ten of them, else to the microsecond.
    #[must_use]
    pub fn measured(duration: std::time::Duration) -> Self {
        Self::from(duration).rounded()
    }

    /// As [`Self::measured`] has it.
    #[must_use]
    pub fn rounded(self) -> Self {
        let nanos = self.as_nanos();
        let unit: i128 = match nanos.abs() {
            0..10_000_000 => 1_000,
            10_000_000..60_000_000_000 => 1_000_000,
            _ => 1_000_000_000,
        };
        Self(SignedDuration::from_nanos_i128(nanos - nanos % unit))
    }
}

impl From<std::time::Duration> for Duration {
    fn from(duration: std::time::Duration) -> Self {
        Self(SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX))
    }
}

impl From<SignedDuration> for Duration {
    fn from(duration: SignedDuration) -> Self {
        Self(duration)
    }
}

impl From<Duration> for std::time::Duration {
    fn from(duration: Duration) -> Self {
        duration.to_std()
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.as_nanos();
        if nanos == 0 {
            return f.pad("0s");
        }
        let mut text = if nanos < 0 {
            "-".to_owned()
        } else {
            String::new()
        };
        let mut rest = nanos.abs();
        for (unit, length) in UNITS {
            if rest >= length {
                text.push_str(&format!("{}{unit}", rest / length));
                rest %= length;
            }
        }
        f.pad(&text)
    }
}

impl FromStr for Duration {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let trimmed = text.trim();
        let (negative, mut rest) = match trimmed.strip_prefix('-') {
            Some(rest) => (true, rest.trim_start()),
            None => (false, trimmed),
        };
        if rest.is_empty() {
            return Err(invalid(text, FORM));
        }
        if rest == "0" {
            return Ok(Self::ZERO);
        }
        let mut total: i128 = 0;
        let mut previous = i128::MAX;
        while !rest.is_empty() {
            let digits = split(rest, |c| c.is_ascii_digit() || c == '.');
            let unit = split(digits.1.trim_start(), char::is_alphabetic);
            if digits.0.is_empty() {
                return Err(invalid(text, FORM));
            }
            if unit.0.is_empty() {
                return Err(invalid(text, &format!("which unit? {FORM}")));
            }
            let length = unit_length(unit.0).map_err(|why| invalid(text, &why))?;
            if length >= previous {
                return Err(invalid(
                    text,
                    "write each unit once, the greatest first, as in 1h30m",
                ));
            }
            previous = length;
            let nanos = scaled(digits.0, length).ok_or_else(|| invalid(text, FORM))?;
            total = total.checked_add(nanos).ok_or_else(|| too_long(text))?;
            rest = unit.1.trim_start();
        }
        Self::from_nanos(if negative { -total } else { total }).map_err(|_| too_long(text))
    }
}

/// The longest beginning whose characters are all of one sort, and the rest.
fn split(text: &str, sort: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !sort(c)).unwrap_or(text.len()))
}

fn unit_length(unit: &str) -> Result<i128, String> {
    const SECOND: i128 = 1_000_000_000;
    Ok(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" | "millis" => 1_000_000,
        "s" | "sec" | "secs" | "second" | "seconds" => SECOND,
        "m" | "min" | "mins" | "minute" | "minutes" => 60 * SECOND,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3_600 * SECOND,
        "d" | "day" | "days" => 86_400 * SECOND,
        "w" | "week" | "weeks" => 7 * 86_400 * SECOND,
        "M" | "mo" | "month" | "months" | "y" | "year" | "years" => {
            return Err(
                "months and years have no fixed length; write days, such as 30d".to_owned(),
            );
        }
        _ => return Err(format!("there is no unit `{unit}`; {FORM}")),
    })
}

/// `1.5` of a unit in nanoseconds, without going through a float.
fn scaled(number: &str, length: i128) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let well_formed =
        !whole.is_empty() && !number.ends_with('.') && fraction.chars().all(|c| c.is_ascii_digit());
    if !well_formed {
        return None;
    }
    let whole = whole.parse::<i128>().ok()?.checked_mul(length)?;
    // Beyond nanoseconds of the greatest unit, digits mean nothing.
    let fraction = &fraction[..fraction.len().min(18)];
    let part = match fraction.len() {
        0 => 0,
        digits => fraction.parse::<i128>().ok()? * length / 10_i128.pow(digits as u32),
    };
    whole.checked_add(part)
}

fn invalid(text: &str, why: &str) -> Error {
    Error::new(
        "value.duration",
        format!("`{text}` is not a duration: {why}"),
    )
}

fn too_long(text: &str) -> Error {
    Error::new(
        "value.duration",
        format!("`{text}` is too long to be represented"),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_form_people_write_is_read_and_printed_in_one() {
        for (text, canonical) in [
            ("5m", "5m"),
            ("1h30m", "1h30m"),
            ("1h 30m", "1h30m"),
            ("90s", "1m30s"),
            ("250ms", "250ms"),
            ("1.5h", "1h30m"),
            ("7d", "7d"),
            ("2w", "14d"),
            ("2 weeks", "14d"),
            ("1500us", "1ms500us"),
            ("-5m", "-5m"),
            ("0", "0s"),
            ("0.5s", "500ms"),
        ] {
            let duration: Duration = text.parse().unwrap();
            assert_eq!(duration.to_string(), canonical, "{text}");
        }
    }

    #[test]
    fn a_wrong_one_says_what_is_accepted() {
        let message = |text: &str| text.parse::<Duration>().unwrap_err().message().to_owned();
        assert_eq!(
            message("5"),
            "`5` is not a duration: which unit? write a number with its unit, such as 250ms, 30s, 5m, 1h30m, 7d or 2w"
        );
        assert_eq!(
            message("3 months"),
            "`3 months` is not a duration: months and years have no fixed length; write days, such as 30d"
        );
        assert_eq!(
            message("5m5m"),
            "`5m5m` is not a duration: write each unit once, the greatest first, as in 1h30m"
        );
        assert!(message("5parsecs").contains("there is no unit `parsecs`"));
        for text in ["", "m", "1.s", ".5s", "1..5s", "soon", "5m-3s", "--5m"] {
            assert!(message(text).contains("is not a duration"), "{text}");
        }
        assert!(
            message("99999999999999999999w").contains("too long"),
            "{}",
            message("99999999999999999999w")
        );
    }

    #[test]
    fn too_much_is_an_error() {
        let day: Duration = "1d".parse().unwrap();
        assert_eq!(day.times(i64::MAX).unwrap_err().kind(), "value.overflow");
        assert_eq!(
            day.times_float(f64::NAN).unwrap_err().kind(),
            "value.overflow"
        );
        assert_eq!(
            day.divided_by(0).unwrap_err().kind(),
            "value.division_by_zero"
        );
        let most = Duration::from(SignedDuration::MAX);
        assert_eq!(most.plus(day).unwrap_err().kind(), "value.overflow");
        let least = Duration::from(SignedDuration::MIN);
        assert_eq!(least.minus(day).unwrap_err().kind(), "value.overflow");
        assert_eq!(least.to_string().parse::<Duration>().unwrap(), least);
    }

    proptest! {
        #[test]
        fn printed_and_read_back_is_the_same(secs in any::<i64>(), nanos in 0..1_000_000_000_i32) {
            let duration = Duration(SignedDuration::new(secs / 2, nanos));
            prop_assert_eq!(duration.to_string().parse::<Duration>().unwrap(), duration);
        }

        #[test]
        fn no_text_panics(text in "[-0-9. a-zµ]{0,30}") {
            let _ = text.parse::<Duration>();
        }
    }
}
