//! Cron lines: which times they mean, also on the days when clocks are put forward or back.
//!
//! A line is read as cron(8) reads it, and the days on which clocks change are treated as Debian's
//! cron does: a line with a fixed hour and minute runs once on each of its days, right after the
//! change if its time was skipped and at the first of the two if it comes twice; a line that runs
//! every so many minutes or hours follows the clock on the wall.

use std::fmt;

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp, ToSpan as _};

/// Clocks that are put forward by more than this are being corrected; nothing is made up for.
const LONGEST_GAP: SignedDuration = SignedDuration::from_hours(3);

/// How far ahead to look: 29 February comes every four years, but not in 2100.
const HORIZON_YEARS: i16 = 9;

/// A cron line in a time zone.
#[derive(Clone)]
pub struct Cron {
    line: String,
    zone: TimeZone,
    seconds: u64,
    minutes: u64,
    hours: u64,
    months: u64,
    days: Days,
    weekdays: Weekdays,
    /// A day has to match only one of the two if both are restricted (crontab(5)).
    either_day: bool,
    /// Whether minute and hour are fixed, so that each day has its run.
    fixed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Days {
    set: u64,
    /// `L`: the last day of the month.
    last: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Weekdays {
    /// Bit 0 is Sunday.
    every: u64,
    /// `MON#1`: bit `weekday` of `nth[n - 1]`.
    nth: [u64; 5],
    /// `5L`: the last Friday of the month.
    last: u64,
}

/// Times that passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missed {
    /// So many.
    pub count: u64,
    /// The first of them.
    pub first: Timestamp,
    /// The last of them.
    pub last: Timestamp,
}

/// One field of a line: its name for people, its range, and the names it knows.
struct Field {
    name: &'static str,
    least: u64,
    most: u64,
    names: &'static [&'static str],
}

const SECOND: Field = Field::new("second", 0, 59, &[]);
const MINUTE: Field = Field::new("minute", 0, 59, &[]);
const HOUR: Field = Field::new("hour", 0, 23, &[]);
const DAY: Field = Field::new("day of the month", 1, 31, &[]);
const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const MONTH: Field = Field::new("month", 1, 12, &MONTHS);
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
/// 7 is Sunday as well.
const WEEKDAY: Field = Field::new("day of the week", 0, 7, &WEEKDAYS);

impl Field {
    const fn new(
        name: &'static str,
        least: u64,
        most: u64,
        names: &'static [&'static str],
    ) -> Self {
        Self {
            name,
            least,
            most,
            names,
        }
    }

    fn number(&self, text: &str) -> Result<u64, String> {
        let lower = text.to_ascii_lowercase();
        if let Some(place) = self.names.iter().position(|name| *name == lower) {
            return Ok(place as u64 + self.least);
        }
        let wrong = || {
            format!(
                "`{text}` is no {}: it is {} to {}",
                self.name, self.least, self.most
            )
        };
        let number: u64 = text.parse().map_err(|_| wrong())?;
        if (self.least..=self.most).contains(&number) {
            Ok(number)
        } else {
            Err(wrong())
        }
    }

    /// `*`, `5`, `1-5`, `*/10`, `10-40/5`, `30/5`.
    fn part(&self, text: &str) -> Result<u64, String> {
        let (range, step) = match text.split_once('/') {
            None => (text, None),
            Some((range, step)) => {
                let step: u64 = step.parse().unwrap_or(0);
                if step == 0 {
                    return Err(format!(
                        "`{text}`: the step of the {} is no number above 0",
                        self.name
                    ));
                }
                (range, Some(step))
            }
        };
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (self.least, self.most),
            Some((from, to)) => (self.number(from)?, self.number(to)?),
            None => {
                let from = self.number(range)?;
                (from, if step.is_some() { self.most } else { from })
            }
        };
        if from > to {
            return Err(format!(
                "`{range}` of the {} goes backwards: write two parts, `{from}-{},{}-{to}`",
                self.name, self.most, self.least
            ));
        }
        let step = usize::try_from(step.unwrap_or(1)).unwrap_or(usize::MAX);
        Ok((from..=to).step_by(step).fold(0, |set, n| set | 1 << n))
    }

    fn set(&self, text: &str) -> Result<u64, String> {
        text.split(',')
            .try_fold(0, |set, part| Ok(set | self.part(part)?))
    }
}

impl Cron {
    /// Read a line of five fields, or six with the second in front, or `@daily` and the like.
    ///
    /// # Errors
    /// What is wrong with it, for a person.
    pub fn parse(line: &str, zone: TimeZone) -> Result<Self, String> {
        let expanded = match line.trim() {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            "@reboot" => return Err("`@reboot` is no time".to_owned()),
            other => other,
        };
        let fields: Vec<&str> = expanded.split_whitespace().collect();
        let (seconds, rest) = match fields.len() {
            5 => ("0", &fields[..]),
            6 => (fields[0], &fields[1..]),
            count => {
                return Err(format!(
                    "a cron line has five fields (minute, hour, day of the month, month, day of the \
                     week), and this one has {count}"
                ));
            }
        };
        let [minutes, hours, days, months, weekdays] = rest else {
            return Err("a cron line has five fields".to_owned());
        };
        let cron = Self {
            line: line.trim().to_owned(),
            zone,
            seconds: SECOND.set(seconds)?,
            minutes: MINUTE.set(minutes)?,
            hours: HOUR.set(hours)?,
            months: MONTH.set(months)?,
            days: Days::parse(days)?,
            weekdays: Weekdays::parse(weekdays)?,
            either_day: !days.starts_with('*') && !weekdays.starts_with('*'),
            fixed: !minutes.starts_with('*')
                && !hours.starts_with('*')
                && !seconds.starts_with('*'),
        };
        let far = Timestamp::from_second(946_684_800).map_err(|error| error.to_string())?;
        if cron.next(far).is_none() {
            return Err(format!("`{line}` never comes: no month has such a day"));
        }
        Ok(cron)
    }

    /// The time zone.
    #[must_use]
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The first time after `after`.
    #[must_use]
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let mut date = after.to_zoned(self.zone.clone()).date();
        let horizon = date.year().checked_add(HORIZON_YEARS)?;
        while date.year() <= horizon {
            if self.months & (1 << date.month()) == 0 {
                date = date.first_of_month().checked_add(1.month()).ok()?;
                continue;
            }
            if self.is_day(date)
                && let Some(found) = self.first_on(date, after)
            {
                return Some(found);
            }
            date = date.tomorrow().ok()?;
        }
        None
    }

    /// Where [`Cron::between`] stops counting.
    pub const MOST_COUNTED: u64 = 10_000;

    /// How many times there were after `after`, up to and with `until`, counted up to
    /// [`Cron::MOST_COUNTED`].
    #[must_use]
    pub fn between(&self, after: Timestamp, until: Timestamp) -> Option<Missed> {
        let mut found: Option<Missed> = None;
        let mut at = after;
        while let Some(next) = self.next(at).filter(|next| *next <= until) {
            let missed = found.get_or_insert(Missed {
                count: 0,
                first: next,
                last: next,
            });
            missed.count += 1;
            missed.last = next;
            if missed.count >= Self::MOST_COUNTED {
                break;
            }
            at = next;
        }
        found
    }

    fn is_day(&self, date: Date) -> bool {
        let day = self.days.has(date);
        let weekday = self.weekdays.has(date);
        if self.either_day {
            day || weekday
        } else {
            day && weekday
        }
    }

    fn first_on(&self, date: Date, after: Timestamp) -> Option<Timestamp> {
        let mut first: Option<Timestamp> = None;
        let mut second_pass: Vec<Timestamp> = Vec::new();
        let begin = self.first_time_to_try(date, after);
        let from = |set: u64, least: i8| members(set).filter(move |n| *n >= least);
        for hour in from(self.hours, begin.hour()) {
            let same_hour = hour == begin.hour();
            let least = if same_hour { begin.minute() } else { 0 };
            for minute in from(self.minutes, least) {
                let same_minute = same_hour && minute == begin.minute();
                let least = if same_minute { begin.second() } else { 0 };
                for second in from(self.seconds, least) {
                    let time = Time::new(hour, minute, second, 0).ok()?;
                    let local = date.to_datetime(time);
                    let at = match self.zone.to_ambiguous_timestamp(local).offset() {
                        AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(local).ok(),
                        AmbiguousOffset::Gap { before, after } => {
                            let gap = SignedDuration::from_secs(
                                (after.seconds() - before.seconds()).into(),
                            );
                            let skipped = before.to_timestamp(local).ok()?;
                            (self.fixed && gap <= LONGEST_GAP)
                                .then(|| self.change_before(skipped))
                                .flatten()
                        }
                        AmbiguousOffset::Fold { before, after } => {
                            if !self.fixed {
                                second_pass.extend(after.to_timestamp(local).ok());
                            }
                            before.to_timestamp(local).ok()
                        }
                    };
                    if let Some(at) = at.filter(|at| *at > after) {
                        first = Some(first.map_or(at, |found| found.min(at)));
                        // Times of a day come in order, but for the hour that comes twice.
                        if second_pass.is_empty() {
                            return first;
                        }
                    }
                }
            }
        }
        let repeated = second_pass.into_iter().filter(|at| *at > after).min();
        match (first, repeated) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Times of the day before this one are over, unless clocks change about then.
    fn first_time_to_try(&self, date: Date, after: Timestamp) -> Time {
        let local = after.to_zoned(self.zone.clone());
        if local.date() != date {
            return Time::midnight();
        }
        let day = SignedDuration::from_hours(24);
        let changes = after.checked_sub(day).ok().is_none_or(|before| {
            let next = self.zone.following(before).next();
            next.is_some_and(|change| change.timestamp().duration_since(after) < day)
        });
        if changes {
            Time::midnight()
        } else {
            local.time()
        }
    }

    /// The moment at which the clocks were put forward, at or before `time`.
    fn change_before(&self, time: Timestamp) -> Option<Timestamp> {
        let just_after = time.checked_add(1.nanosecond()).ok()?;
        let change = self.zone.preceding(just_after).next();
        change.map(|change| change.timestamp())
    }
}

impl Days {
    fn parse(text: &str) -> Result<Self, String> {
        let mut days = Self {
            set: 0,
            last: false,
        };
        for part in text.split(',') {
            if part.eq_ignore_ascii_case("l") {
                days.last = true;
            } else {
                days.set |= DAY.part(part)?;
            }
        }
        Ok(days)
    }

    fn has(self, date: Date) -> bool {
        self.set & (1 << date.day()) != 0 || self.last && date.day() == date.days_in_month()
    }
}

impl Weekdays {
    fn parse(text: &str) -> Result<Self, String> {
        let mut weekdays = Self::default();
        for part in text.split(',') {
            if let Some((day, nth)) = part.split_once('#') {
                let nth: usize = nth.parse().unwrap_or(0);
                let Some(set) = nth.checked_sub(1).and_then(|n| weekdays.nth.get_mut(n)) else {
                    return Err(format!("`{part}`: a month has a weekday 1 to 5 times"));
                };
                *set |= sunday_once(1 << WEEKDAY.number(day)?);
            } else if let Some(day) = part.strip_suffix(['l', 'L']).filter(|d| !d.is_empty()) {
                weekdays.last |= sunday_once(1 << WEEKDAY.number(day)?);
            } else {
                weekdays.every |= sunday_once(WEEKDAY.part(part)?);
            }
        }
        Ok(weekdays)
    }

    fn has(self, date: Date) -> bool {
        let bit = 1_u64 << weekday_number(date.weekday());
        let nth = usize::try_from((date.day() - 1) / 7).unwrap_or(0);
        self.every & bit != 0
            || self.nth[nth.min(4)] & bit != 0
            || self.last & bit != 0 && date.day() + 7 > date.days_in_month()
    }
}

fn weekday_number(day: Weekday) -> u32 {
    day.to_sunday_zero_offset().unsigned_abs().into()
}

fn sunday_once(set: u64) -> u64 {
    (set | set >> 7) & 0x7f
}

fn members(set: u64) -> impl Iterator<Item = i8> {
    (0..60_i8).filter(move |n| set & (1 << n) != 0)
}

impl PartialEq for Cron {
    fn eq(&self, other: &Self) -> bool {
        self.line == other.line && self.zone == other.zone
    }
}

impl fmt::Debug for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cron").field(&self.to_string()).finish()
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let zone = self.zone.iana_name().unwrap_or("UTC");
        write!(f, "{} {zone}", self.line)
    }
}
