//! Durations and sizes for people.

use std::time::Duration;

/// `8 ms`, `1.2 s`, `41 s`, `3 min 5 s`, `2 h 3 min`.
#[must_use]
pub fn elapsed(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match duration.as_millis() {
        ms @ 0..1000 => format!("{ms} ms"),
        ms @ 1000..10_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        _ if seconds < 60 => format!("{seconds} s"),
        _ if seconds < 3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// `3 min ago`, for lists.
#[must_use]
pub fn ago(then: jiff::Timestamp) -> String {
    let seconds = jiff::Timestamp::now().as_second() - then.as_second();
    match seconds {
        ..60 => "just now".to_owned(),
        60..3600 => format!("{} min ago", seconds / 60),
        3600..86_400 => format!("{} h ago", seconds / 3600),
        _ => format!("{} d ago", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        let text = |ms| elapsed(Duration::from_millis(ms));
        assert_eq!(text(8), "8 ms");
        assert_eq!(text(1234), "1.2 s");
        assert_eq!(text(41_900), "41 s");
        assert_eq!(text(185_000), "3 min 5 s");
        assert_eq!(text(7_380_000), "2 h 3 min");
    }
}
