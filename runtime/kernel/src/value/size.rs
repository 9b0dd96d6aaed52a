//! Sizes in bytes: `"10MiB"`, `"5 GB"`, `"512"`.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// A number of bytes. Prints in binary units with one decimal: `1.5 GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Size(u64);

const FORM: &str =
    "write a number of bytes, or one with a unit, such as 512, 64KiB, 10MiB, 1.5GiB or 5GB";
const PREFIXES: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

impl Size {
    /// So many bytes.
    #[must_use]
    pub const fn from_bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The number of bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
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
    /// `value.overflow`: a size is never negative.
    pub fn minus(self, other: Self) -> Result<Self> {
        self.0.checked_sub(other.0).map(Self).ok_or_else(|| {
            Error::new(
                "value.overflow",
                format!("{self} less {other} would be negative"),
            )
            .hint("compare the sizes first")
        })
    }

    /// So many times as large.
    ///
    /// # Errors
    /// `value.overflow`, also for a negative factor.
    pub fn times(self, factor: i64) -> Result<Self> {
        u64::try_from(factor)
            .ok()
            .and_then(|factor| self.0.checked_mul(factor))
            .map(Self)
            .ok_or_else(overflow)
    }

    /// So many times as large, rounded to bytes.
    ///
    /// # Errors
    /// `value.overflow`, also for a negative factor or one that is no number.
    pub fn times_float(self, factor: f64) -> Result<Self> {
        let bytes = (self.0 as f64 * factor).round();
        if !(0.0..u64::MAX as f64).contains(&bytes) {
            return Err(overflow());
        }
        Ok(Self(bytes as u64))
    }

    /// An equal part of it, rounded down.
    ///
    /// # Errors
    /// `value.division_by_zero`, `value.overflow` for a negative divisor.
    pub fn divided_by(self, parts: i64) -> Result<Self> {
        match u64::try_from(parts) {
            Ok(0) => Err(Error::new(
                "value.division_by_zero",
                format!("{self} divided by 0"),
            )),
            Ok(parts) => Ok(Self(self.0 / parts)),
            Err(_) => Err(overflow()),
        }
    }
}

fn overflow() -> Error {
    Error::new(
        "value.overflow",
        "the size is not between 0 bytes and 16 EiB",
    )
}

impl From<u64> for Size {
    fn from(bytes: u64) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 1024 {
            return f.pad(&format!("{} B", self.0));
        }
        // Tenths of the unit, rounded; what rounds up to 1024 of a unit is 1 of the next.
        let mut unit = 0;
        let mut length = 1024_u128;
        let tenths = |length: u128| (u128::from(self.0) * 10 + length / 2) / length;
        while tenths(length) >= 10_240 && unit + 1 < PREFIXES.len() {
            unit += 1;
            length *= 1024;
        }
        let tenths = tenths(length);
        let text = match tenths % 10 {
            0 => format!("{} {}", tenths / 10, PREFIXES[unit]),
            tenth => format!("{}.{tenth} {}", tenths / 10, PREFIXES[unit]),
        };
        f.pad(&text)
    }
}

impl FromStr for Size {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let trimmed = text.trim();
        let end = trimmed.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '_'));
        let (number, unit) = trimmed.split_at(end.unwrap_or(trimmed.len()));
        let length = unit_length(unit.trim_start())
            .ok_or_else(|| invalid(text, &format!("there is no unit `{}`; {FORM}", unit.trim())))?;
        let number = number.replace('_', "");
        let (whole, fraction) = number.split_once('.').unwrap_or((&number, ""));
        if whole.is_empty() || number.ends_with('.') || fraction.contains('.') {
            return Err(invalid(text, FORM));
        }
        let fraction = &fraction[..fraction.len().min(15)];
        let part = match fraction.len() {
            0 => 0,
            digits => {
                let fraction = fraction.parse::<u128>().map_err(|_| invalid(text, FORM))?;
                fraction * length / 10_u128.pow(digits as u32)
            }
        };
        whole
            .parse::<u128>()
            .ok()
            .and_then(|whole| whole.checked_mul(length)?.checked_add(part))
            .and_then(|bytes| u64::try_from(bytes).ok())
            .map(Self)
            .ok_or_else(|| Error::new("value.size", format!("`{text}` is more than 16 EiB")))
    }
}

/// `MB` is a million bytes, `MiB` 1,048,576; a bare `M` is binary, as Docker and most servers read it.
fn unit_length(unit: &str) -> Option<u128> {
    let unit = unit.to_ascii_lowercase();
    let (prefix, base) = match unit.as_str() {
        "" | "b" | "byte" | "bytes" => return Some(1),
        unit => match (unit.strip_suffix("ib"), unit.strip_suffix('b')) {
            (Some(prefix), _) => (prefix.to_owned(), 1024_u128),
            (None, Some(prefix)) => (prefix.to_owned(), 1000),
            (None, None) => (unit.to_owned(), 1024),
        },
    };
    let power = ["k", "m", "g", "t", "p", "e"]
        .iter()
        .position(|p| *p == prefix)?;
    Some(base.pow(power as u32 + 1))
}

fn invalid(text: &str, why: &str) -> Error {
    Error::new("value.size", format!("`{text}` is not a size: {why}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_form_people_write_is_read() {
        for (text, bytes) in [
            ("512", 512),
            ("1_000", 1000),
            ("10MiB", 10 << 20),
            ("10 mib", 10 << 20),
            ("5 GB", 5_000_000_000),
            ("512m", 512 << 20),
            ("64k", 64 << 10),
            ("1.5 GiB", 3 << 29),
            ("0.5KB", 500),
            ("16 bytes", 16),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(text.parse::<Size>().unwrap().bytes(), bytes, "{text}");
        }
    }

    #[test]
    fn it_prints_as_people_say_it() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            ((1 << 20) - 1, "1 MiB"),
            (3 << 29, "1.5 GiB"),
            (u64::MAX, "16 EiB"),
        ] {
            assert_eq!(Size(bytes).to_string(), text);
        }
    }

    #[test]
    fn a_wrong_one_says_what_is_accepted() {
        let message = |text: &str| text.parse::<Size>().unwrap_err().message().to_owned();
        assert_eq!(
            message("big"),
            "`big` is not a size: there is no unit `big`; write a number of bytes, or one with a unit, such as 512, 64KiB, 10MiB, 1.5GiB or 5GB"
        );
        for text in ["", "1.", ".5M", "1.2.3G", "-5", "5 MiBs"] {
            assert!(message(text).contains("is not a size"), "{text}");
        }
        assert_eq!(message("17EiB"), "`17EiB` is more than 16 EiB");
    }

    #[test]
    fn no_arithmetic_wraps() {
        let one = Size(1);
        assert_eq!(
            Size(u64::MAX).plus(one).unwrap_err().kind(),
            "value.overflow"
        );
        assert_eq!(
            one.minus(Size(2048)).unwrap_err().message(),
            "1 B less 2 KiB would be negative"
        );
        assert_eq!(
            Size(u64::MAX).times(2).unwrap_err().kind(),
            "value.overflow"
        );
        assert_eq!(one.times(-1).unwrap_err().kind(), "value.overflow");
        assert_eq!(
            one.times_float(f64::INFINITY).unwrap_err().kind(),
            "value.overflow"
        );
        assert_eq!(
            one.divided_by(0).unwrap_err().kind(),
            "value.division_by_zero"
        );
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[-0-9._ kKmMgGiIbB]{0,40}") {
            let _ = text.parse::<Size>();
        }

        #[test]
        fn every_size_prints(bytes in any::<u64>()) {
            let text = Size(bytes).to_string();
            prop_assert!(text.len() <= 10, "{}", text);
        }
    }
}
