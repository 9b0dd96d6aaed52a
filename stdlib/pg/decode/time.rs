//! Dates, times and timestamps. The server counts days and microseconds from 2000-01-01, further
//! than any calendar library goes.

use ccrun_kernel::value::Timestamp;
use rhai::Dynamic;

use super::reader::{Malformed, Read, Reader};

const DAYS_1970_TO_2000: i64 = 10_957;
const MICROS_A_DAY: i64 = 86_400_000_000;
const MICROS_1970_TO_2000: i64 = DAYS_1970_TO_2000 * MICROS_A_DAY;

/// `date` as `2025-03-01`, `0044-03-15 BC`, `infinity`.
pub fn date(bytes: &[u8]) -> Read<Dynamic> {
    Ok(match Reader(bytes).i32()? {
        i32::MAX => "infinity".into(),
        i32::MIN => "-infinity".into(),
        days => {
            let (day, before_christ) = calendar_day(i64::from(days));
            format!("{day}{before_christ}").into()
        }
    })
}

/// `time` as `14:30:00`, `14:30:00.25`.
pub fn time(bytes: &[u8]) -> Read<Dynamic> {
    clock(Reader(bytes).i64()?).map(Into::into)
}

/// `timetz` as `14:30:00+02:00`.
pub fn timetz(bytes: &[u8]) -> Read<Dynamic> {
    let mut reader = Reader(bytes);
    let clock = clock(reader.i64()?)?;
    // The wire has seconds west of Greenwich.
    let east = reader.i32()?.checked_neg().ok_or(Malformed)?;
    let (sign, zone) = if east < 0 {
        ('-', east.unsigned_abs())
    } else {
        ('+', east.unsigned_abs())
    };
    let mut text = format!("{clock}{sign}{:02}:{:02}", zone / 3600, zone / 60 % 60);
    if zone % 60 != 0 {
        text.push_str(&format!(":{:02}", zone % 60));
    }
    Ok(text.into())
}

/// `timestamp`, which is no moment: the text `2025-03-01T14:30:00`.
pub fn timestamp(bytes: &[u8]) -> Read<Dynamic> {
    let micros = Reader(bytes).i64()?;
    Ok(infinite(micros).unwrap_or_else(|| local(micros, "").into()))
}

/// `timestamptz` as a `Timestamp`; beyond the year 9999 and for infinity as text.
pub fn timestamptz(bytes: &[u8]) -> Read<Dynamic> {
    let micros = Reader(bytes).i64()?;
    if let Some(infinite) = infinite(micros) {
        return Ok(infinite);
    }
    let moment = micros
        .checked_add(MICROS_1970_TO_2000)
        .and_then(|micros| jiff::Timestamp::from_microsecond(micros).ok());
    Ok(match moment {
        Some(moment) => Dynamic::from(Timestamp::from(moment)),
        None => local(micros, "Z").into(),
    })
}

/// The wire form of a moment, cut to microseconds.
pub fn encode_moment(at: jiff::Timestamp) -> Vec<u8> {
    (at.as_microsecond() - MICROS_1970_TO_2000)
        .to_be_bytes()
        .to_vec()
}

/// The wire form of a day.
pub fn encode_date(date: jiff::civil::Date) -> Option<Vec<u8>> {
    let start = date
        .to_zoned(jiff::tz::TimeZone::UTC)
        .ok()?
        .timestamp()
        .as_second();
    let days = start.div_euclid(86_400) - DAYS_1970_TO_2000;
    Some(i32::try_from(days).ok()?.to_be_bytes().to_vec())
}

fn infinite(micros: i64) -> Option<Dynamic> {
    match micros {
        i64::MAX => Some("infinity".into()),
        i64::MIN => Some("-infinity".into()),
        _ => None,
    }
}

fn local(micros: i64, zone: &str) -> String {
    let (day, before_christ) = calendar_day(micros.div_euclid(MICROS_A_DAY));
    let clock = clock(micros.rem_euclid(MICROS_A_DAY)).unwrap_or_default();
    format!("{day}T{clock}{zone}{before_christ}")
}

/// `24:00:00` is a time of day in Postgres.
fn clock(micros: i64) -> Read<String> {
    if !(0..=MICROS_A_DAY).contains(&micros) {
        return Err(Malformed);
    }
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    let mut text = format!(
        "{:02}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    );
    if fraction > 0 {
        text.push_str(format!(".{fraction:06}").trim_end_matches('0'));
    }
    Ok(text)
}

/// The day so many days after 2000-01-01, and ` BC` for years before the first.
/// The algorithm is `civil_from_days` of <https://howardhinnant.github.io/date_algorithms.html>.
fn calendar_day(days_since_2000: i64) -> (String, &'static str) {
    let z = days_since_2000 + DAYS_1970_TO_2000 + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    // There is no year 0: what astronomers call 0 is 1 BC.
    let (year, before_christ) = if year <= 0 {
        (1 - year, " BC")
    } else {
        (year, "")
    };
    (format!("{year:04}-{month:02}-{day:02}"), before_christ)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn days_of_the_whole_range_are_the_servers() {
        for (days, text) in [
            (0, "2000-01-01"),
            (-1, "1999-12-31"),
            (59, "2000-02-29"),
            (-730_119, "0001-01-01"),
            (-730_120, "0001-12-31 BC"),
            (2_145_031_948, "5874897-12-31"),
            (-2_451_545, "4714-11-24 BC"),
            (i32::MAX, "infinity"),
        ] {
            assert_eq!(date(&days.to_be_bytes()).unwrap().to_string(), text);
        }
    }

    #[test]
    fn clocks() {
        let time_of = |micros: i64| time(&micros.to_be_bytes()).map(|value| value.to_string());
        assert_eq!(time_of(0).unwrap(), "00:00:00");
        assert_eq!(time_of(MICROS_A_DAY).unwrap(), "24:00:00");
        assert_eq!(time_of(52_200_250_000).unwrap(), "14:30:00.25");
        assert_eq!(time_of(-1), Err(Malformed));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            for decode in [date, time, timetz, timestamp, timestamptz] {
                let _ = decode(&bytes);
            }
        }

        #[test]
        fn no_number_panics(micros: i64, days: i32) {
            let _ = timestamp(&micros.to_be_bytes());
            let _ = timestamptz(&micros.to_be_bytes());
            let _ = date(&days.to_be_bytes());
        }

        #[test]
        fn moments_survive(second in -60_000_000_000_i64..250_000_000_000) {
            let at = jiff::Timestamp::from_second(second).unwrap();
            let read = timestamptz(&encode_moment(at)).unwrap().cast::<Timestamp>();
            prop_assert_eq!(read, Timestamp::from(at));
            let day = at.to_zoned(jiff::tz::TimeZone::UTC).date();
            if day.year() > 0 {
                let text = date(&encode_date(day).unwrap()).unwrap().to_string();
                prop_assert_eq!(text, day.to_string());
            }
        }
    }
}
