//! `interval`: a duration where it is one, else the ISO 8601 text, because a month has no length.

use ccrun_kernel::value::Duration;
use rhai::Dynamic;

use super::reader::{Read, Reader};

const NANOS_A_DAY: i128 = 86_400_000_000_000;

/// Without months a `Duration` (a day is 24 hours); with months a text such as `P1Y2M3DT4H`.
pub fn interval(bytes: &[u8]) -> Read<Dynamic> {
    let mut reader = Reader(bytes);
    let micros = reader.i64()?;
    let days = reader.i32()?;
    let months = reader.i32()?;
    // Postgres 17 has infinite intervals, with every field at its limit.
    if (micros, days, months) == (i64::MAX, i32::MAX, i32::MAX) {
        return Ok("infinity".into());
    }
    if (micros, days, months) == (i64::MIN, i32::MIN, i32::MIN) {
        return Ok("-infinity".into());
    }
    if months == 0 {
        let nanos = i128::from(days) * NANOS_A_DAY + i128::from(micros) * 1000;
        if let Ok(duration) = Duration::from_nanos(nanos) {
            return Ok(Dynamic::from(duration));
        }
    }
    Ok(iso_8601(months, days, micros).into())
}

/// The wire form of a duration: microseconds only, so that it means the same across a clock change.
pub fn encode(duration: Duration) -> Option<Vec<u8>> {
    let micros = i64::try_from(duration.as_nanos() / 1000).ok()?;
    let mut bytes = micros.to_be_bytes().to_vec();
    bytes.extend([0; 8]);
    Some(bytes)
}

fn iso_8601(months: i32, days: i32, micros: i64) -> String {
    let mut text = String::from("P");
    let mut part = |amount: i64, unit: char| {
        if amount != 0 {
            text.push_str(&format!("{amount}{unit}"));
        }
    };
    part(i64::from(months / 12), 'Y');
    part(i64::from(months % 12), 'M');
    part(i64::from(days), 'D');
    if micros != 0 {
        let (hours, minutes) = (micros / 3_600_000_000, micros / 60_000_000 % 60);
        let (seconds, fraction) = (micros / 1_000_000 % 60, micros % 1_000_000);
        text.push('T');
        let mut part = |amount: i64, unit: char| {
            if amount != 0 {
                text.push_str(&format!("{amount}{unit}"));
            }
        };
        part(hours, 'H');
        part(minutes, 'M');
        if fraction == 0 {
            part(seconds, 'S');
        } else {
            let sign = if micros < 0 { "-" } else { "" };
            let fraction = format!("{:06}", fraction.abs());
            let seconds = seconds.abs();
            text.push_str(&format!(
                "{sign}{seconds}.{}S",
                fraction.trim_end_matches('0')
            ));
        }
    }
    if text == "P" {
        text.push_str("0D");
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(months: i32, days: i32, micros: i64) -> Dynamic {
        let mut bytes = micros.to_be_bytes().to_vec();
        bytes.extend(days.to_be_bytes());
        bytes.extend(months.to_be_bytes());
        interval(&bytes).unwrap()
    }

    #[test]
    fn with_months_it_is_a_text() {
        assert_eq!(read(14, 3, 14_706_500_000).to_string(), "P1Y2M3DT4H5M6.5S");
        assert_eq!(read(-1, 0, -1_500_000).to_string(), "P-1MT-1.5S");
        assert_eq!(read(12, 0, 0).to_string(), "P1Y");
    }

    #[test]
    fn without_months_it_is_a_duration() {
        let duration = read(0, 1, 1_000_000).cast::<Duration>();
        assert_eq!(duration, Duration::from_secs(86_401));
        let bytes = encode(duration).unwrap();
        assert_eq!(interval(&bytes).unwrap().cast::<Duration>(), duration);
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes: Vec<u8>, months: i32, days: i32, micros: i64) {
            let _ = interval(&bytes);
            let _ = read(months, days, micros);
        }
    }
}
