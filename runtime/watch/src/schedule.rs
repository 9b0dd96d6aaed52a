//! Which times of a schedule are to run now. A function of the clock and of what is accounted for,
//! so that every jump of the clock can be tried out.

use std::time::Duration;

use ccrun_kernel::runbook::trigger::{Missed, Schedule};
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

/// A time that passed so recently is on time: the daemon was busy, or was started again.
const ON_TIME: SignedDuration = SignedDuration::from_secs(60);

/// A clock that goes back by more than this was wrong before, and the account is begun anew.
const CORRECTION: SignedDuration = SignedDuration::from_hours(3);

/// Where counting of times that passed stops.
const COUNTED: u64 = ccrun_kernel::runbook::trigger::Cron::MOST_COUNTED;

/// What a look at the clock says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// The time to run for.
    pub run: Option<Timestamp>,
    /// The times before it, or all, that nobody ran for.
    pub missed: Option<Missed>,
    /// Up to when the schedule is accounted for now.
    pub cursor: Timestamp,
    /// The clock had been far ahead, and was put right.
    pub corrected: bool,
}

/// What a schedule that is accounted for up to `cursor` asks for now.
///
/// Of several times that passed since, the last one runs if it is on time or within `catch_up`; the
/// others are missed.
#[must_use]
pub fn look(schedule: &Schedule, cursor: Timestamp, now: Timestamp) -> Look {
    let nothing = |cursor, corrected| Look {
        run: None,
        missed: None,
        cursor,
        corrected,
    };
    if cursor.duration_since(now) > CORRECTION {
        return nothing(now, true);
    }
    let Some(passed) = schedule.cron.between(cursor, now) else {
        return nothing(cursor, false);
    };
    let patience = schedule
        .catch_up
        .map_or(SignedDuration::ZERO, ccrun_kernel::value::Duration::signed)
        .max(ON_TIME);
    let last = last(schedule, passed, now);
    if now.duration_since(last) > patience {
        return Look {
            run: None,
            missed: Some(Missed { last, ..passed }),
            cursor: last,
            corrected: false,
        };
    }
    let before = schedule.cron.between(
        cursor,
        last.checked_sub(SignedDuration::from_nanos(1))
            .unwrap_or(last),
    );
    Look {
        run: Some(last),
        missed: before,
        cursor: last,
        corrected: false,
    }
}

/// Counting stops somewhere; the last time is looked for near the clock.
fn last(schedule: &Schedule, passed: Missed, now: Timestamp) -> Timestamp {
    if passed.count < COUNTED {
        return passed.last;
    }
    let recently = now
        .checked_sub(SignedDuration::from_hours(24))
        .unwrap_or(now);
    let near = schedule.cron.between(recently, now);
    near.map_or(passed.last, |near| near.last.max(passed.last))
}

/// How long the start for a time is put off: the same on every host and after every restart.
#[must_use]
pub fn jitter(schedule: &Schedule, key: &str, due: Timestamp) -> Duration {
    let most = u64::try_from(schedule.jitter.to_std().as_millis()).unwrap_or(0);
    if most == 0 {
        return Duration::ZERO;
    }
    let digest = Sha256::digest(format!("{key} {due}"));
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&digest[..8]);
    Duration::from_millis(u64::from_be_bytes(bytes) % most)
}

#[cfg(test)]
mod tests {
    use ccrun_kernel::runbook::{TriggerSource, parse};

    use super::*;

    fn schedule(text: &str) -> Schedule {
        let source = format!("runbook(#{{ on: #{{ {text} }} }});");
        let header = parse("t.rhai", source).unwrap().header.unwrap();
        match &header.on[0].source {
            TriggerSource::Schedule(schedule) => schedule.clone(),
            other => panic!("{other:?}"),
        }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// What runs and what is missed while the clock shows these times, one after the other.
    fn story(schedule: &Schedule, clock: &[&str]) -> (Vec<String>, u64) {
        let mut cursor = at(clock[0]);
        let (mut runs, mut missed) = (Vec::new(), 0);
        for now in &clock[1..] {
            let look = look(schedule, cursor, at(now));
            runs.extend(look.run.map(|due| due.to_string()));
            missed += look.missed.map_or(0, |missed| missed.count);
            cursor = look.cursor;
        }
        (runs, missed)
    }

    #[test]
    fn a_time_runs_once_however_often_one_looks() {
        let daily = schedule(r#"schedule: "0 2 * * *""#);
        let clock = [
            "2026-01-01T01:00:00Z",
            "2026-01-01T01:59:59Z",
            "2026-01-01T02:00:00Z",
            "2026-01-01T02:00:00.5Z",
            "2026-01-01T02:00:30Z",
            "2026-01-01T09:00:00Z",
        ];
        assert_eq!(
            story(&daily, &clock),
            (vec!["2026-01-01T02:00:00Z".to_owned()], 0)
        );
    }

    #[test]
    fn after_a_suspend_the_last_time_is_made_up_for_within_catch_up() {
        let clock = [
            "2026-01-01T00:30:00Z",
            "2026-01-01T05:40:00Z",
            "2026-01-01T05:41:00Z",
        ];
        let patient = schedule(r#"schedule: "0 * * * *", catch_up: "1h""#);
        assert_eq!(
            story(&patient, &clock),
            (vec!["2026-01-01T05:00:00Z".to_owned()], 4)
        );
        let strict = schedule(r#"schedule: "0 * * * *""#);
        assert_eq!(story(&strict, &clock), (vec![], 5));
        let short = schedule(r#"schedule: "0 2 * * *", catch_up: "1h""#);
        assert_eq!(
            story(&short, &clock),
            (vec![], 1),
            "three hours and a half are too long ago"
        );
    }

    #[test]
    fn a_clock_that_jumps_doubles_nothing() {
        let hourly = schedule(r#"schedule: "0 * * * *", catch_up: "2h""#);
        // Forwards, and back by the same hour.
        let clock = [
            "2026-01-01T01:30:00Z",
            "2026-01-01T03:10:00Z",
            "2026-01-01T02:10:00Z",
            "2026-01-01T03:00:00Z",
            "2026-01-01T04:00:00Z",
        ];
        let (runs, missed) = story(&hourly, &clock);
        assert_eq!(runs, ["2026-01-01T03:00:00Z", "2026-01-01T04:00:00Z"]);
        assert_eq!(missed, 1);
        // The clock had been a year ahead.
        let far = look(
            &hourly,
            at("2027-01-01T00:00:00Z"),
            at("2026-01-01T00:10:00Z"),
        );
        assert!(far.corrected && far.run.is_none());
        assert_eq!(far.cursor, at("2026-01-01T00:10:00Z"));
    }

    #[test]
    fn the_hour_that_comes_twice_and_the_one_that_does_not_come_run_once() {
        for (zone, day, skipped) in [
            ("Europe/Berlin", "2026-10-24T22:00:00Z", false),
            ("Europe/Berlin", "2026-03-28T23:00:00Z", true),
            ("America/New_York", "2026-11-01T04:00:00Z", false),
            ("America/New_York", "2026-03-08T05:00:00Z", true),
            ("Australia/Lord_Howe", "2026-04-04T13:00:00Z", false),
            ("Australia/Lord_Howe", "2026-10-03T13:30:00Z", true),
        ] {
            let line = match (zone, skipped) {
                ("Europe/Berlin", _) => "30 2 * * *",
                ("America/New_York", true) => "30 2 * * *",
                ("America/New_York", false) => "30 1 * * *",
                (_, true) => "15 2 * * *",
                (_, false) => "45 1 * * *",
            };
            let daily = schedule(&format!(r#"schedule: "{line}", timezone: "{zone}""#));
            // A look every ten seconds of that day and the next.
            let mut cursor = at(day);
            let mut runs = 0;
            for second in (0..48 * 3600).step_by(10) {
                let now = at(day)
                    .checked_add(SignedDuration::from_secs(second))
                    .unwrap();
                let look = look(&daily, cursor, now);
                runs += u32::from(look.run.is_some());
                assert!(look.missed.is_none());
                cursor = look.cursor;
            }
            assert_eq!(runs, 2, "{zone} {day}");
        }
    }

    #[test]
    fn the_leap_day_comes() {
        let leap = schedule(r#"schedule: "0 0 29 2 *", catch_up: "1d""#);
        let clock = [
            "2026-01-01T00:00:00Z",
            "2027-03-01T00:00:00Z",
            "2028-02-28T23:59:59Z",
            "2028-02-29T10:00:00Z",
            "2028-03-01T00:00:00Z",
        ];
        assert_eq!(
            story(&leap, &clock),
            (vec!["2028-02-29T00:00:00Z".to_owned()], 0)
        );
    }

    #[test]
    fn jitter_is_the_same_everywhere_and_within_its_bounds() {
        let plain = schedule(r#"schedule: "0 2 * * *""#);
        let daily = schedule(r#"schedule: "0 2 * * *", jitter: "5m""#);
        let due = at("2026-01-01T02:00:00Z");
        assert_eq!(jitter(&plain, "k", due), Duration::ZERO);
        assert_eq!(jitter(&daily, "k", due), jitter(&daily, "k", due));
        let spread: std::collections::HashSet<_> = (0..50)
            .map(|n| jitter(&daily, &n.to_string(), due))
            .collect();
        assert!(spread.len() > 40);
        assert!(
            spread
                .iter()
                .all(|put_off| *put_off < Duration::from_secs(300))
        );
    }
}
