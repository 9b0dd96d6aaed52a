//! Positions in the write-ahead log, and the names of its files.

use std::fmt;
use std::str::FromStr;

use ccrun_kernel::{Error, Result};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A position in the write-ahead log: `0/3000060`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Lsn(pub u64);

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xffff_ffff)
    }
}

impl FromStr for Lsn {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let part = |part: &str| {
            let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_hexdigit());
            digits
                .then(|| u32::from_str_radix(part, 16).ok())
                .flatten()
                .map(u64::from)
        };
        text.trim()
            .split_once('/')
            .and_then(|(high, low)| Some(Self(part(high)? << 32 | part(low)?)))
            .ok_or_else(|| {
                Error::new(
                    "pg.recovery_target",
                    format!("`{text}` is no position in the write-ahead log"),
                )
                .hint("it is written as `SELECT pg_current_wal_lsn()` does: `0/3000060`")
            })
    }
}

impl Serialize for Lsn {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'d> Deserialize<'d> for Lsn {
    fn deserialize<D: Deserializer<'d>>(from: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        let text = String::deserialize(from)?;
        text.parse()
            .map_err(|error: Error| D::Error::custom(error.message()))
    }
}

/// A segment: a file of the log, of one timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Segment {
    /// The timeline in its name.
    pub timeline: u32,
    /// Which one it is, counted from the begin of the log.
    pub number: u64,
}

impl Segment {
    /// The position it begins at.
    #[must_use]
    pub fn start(self, size: u64) -> Lsn {
        Lsn(self.number.saturating_mul(size))
    }

    /// Its name, in a cluster with segments of this size.
    #[must_use]
    pub fn name(self, size: u64) -> String {
        let each = (1_u64 << 32) / size;
        format!(
            "{:08X}{:08X}{:08X}",
            self.timeline,
            self.number / each,
            self.number % each
        )
    }

    /// From its name.
    #[must_use]
    pub fn parse(name: &str, size: u64) -> Option<Self> {
        if name.len() != 24 || !is_upper_hex(name) {
            return None;
        }
        let part = |range| u32::from_str_radix(name.get(range)?, 16).ok();
        let each = (1_u64 << 32) / size;
        let (log, low) = (u64::from(part(8..16)?), u64::from(part(16..24)?));
        (low < each).then_some(Self {
            timeline: part(0..8)?,
            number: log * each + low,
        })
    }
}

/// What a file is that Postgres hands to its `archive_command`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A segment, or the rest of one at the end of a timeline (`….partial`).
    Segment {
        /// Whether it is such a rest.
        partial: bool,
    },
    /// Where a timeline branched off: `00000002.history`.
    History,
    /// When a base backup was made: `….00000028.backup`.
    Backup,
}

impl FileKind {
    /// What a name says; `None` for one that Postgres does not give.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        let hex = |text: &str, length| text.len() == length && is_upper_hex(text);
        match name.split_once('.') {
            None if hex(name, 24) => Some(Self::Segment { partial: false }),
            Some((segment, "partial")) if hex(segment, 24) => Some(Self::Segment { partial: true }),
            Some((timeline, "history")) if hex(timeline, 8) => Some(Self::History),
            Some((segment, rest)) if hex(segment, 24) => {
                let (offset, last) = rest.split_once('.')?;
                (hex(offset, 8) && last == "backup").then_some(Self::Backup)
            }
            _ => None,
        }
    }
}

/// The timeline that a name begins with.
#[must_use]
pub fn timeline_of(name: &str) -> Option<u32> {
    u32::from_str_radix(name.get(..8)?, 16).ok()
}

fn is_upper_hex(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_digit() || (b'A'..=b'F').contains(&byte))
}

/// Where a timeline left others: of each ancestor, the position up to which it holds.
///
/// # Errors
/// `pg.wal_damaged` if it is no history file.
pub fn parse_history(name: &str, text: &str) -> Result<Vec<(u32, Lsn)>> {
    let damaged = |line: &str| {
        Error::new(
            "pg.wal_damaged",
            format!("{name} is no history of a timeline: `{line}`"),
        )
        .hint("take it from the server's pg_wal again")
    };
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let mut words = line.split_whitespace();
            let timeline = words.next().and_then(|word| word.parse().ok());
            let lsn = words.next().and_then(|word| word.parse().ok());
            timeline.zip(lsn).ok_or_else(|| damaged(line))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u64 = 16 << 20;

    #[test]
    fn names_are_those_of_postgres() {
        let lsn: Lsn = "1/3A000028".parse().unwrap();
        let segment = Segment {
            timeline: 2,
            number: lsn.0 / SIZE,
        };
        // SELECT pg_walfile_name('1/3A000028')
        assert_eq!(segment.name(SIZE), "00000002000000010000003A");
        assert_eq!(
            Segment::parse("00000002000000010000003A", SIZE),
            Some(segment)
        );
        assert_eq!(segment.start(SIZE).to_string(), "1/3A000000");
        // With segments of 1 GiB there are four of them in 4 GiB.
        assert_eq!(Segment::parse("000000010000000000000004", 1 << 30), None);
        assert_eq!(Segment::parse("00000002000000010000003a", SIZE), None);
        assert!("0/".parse::<Lsn>().is_err());
        assert!("0/1/2".parse::<Lsn>().is_err());
        assert!("x/y".parse::<Lsn>().is_err());
    }

    #[test]
    fn files_are_told_apart() {
        let kind = |name| FileKind::of(name);
        assert_eq!(
            kind("000000010000000000000003"),
            Some(FileKind::Segment { partial: false })
        );
        assert_eq!(
            kind("000000010000000000000003.partial"),
            Some(FileKind::Segment { partial: true })
        );
        assert_eq!(kind("00000002.history"), Some(FileKind::History));
        assert_eq!(
            kind("000000010000000000000003.00000028.backup"),
            Some(FileKind::Backup)
        );
        for other in [
            ".000000010000000000000003.part",
            "00000001",
            "000000010000000000000003.gz",
            "README",
            "",
        ] {
            assert_eq!(kind(other), None, "{other}");
        }
    }

    #[test]
    fn a_history_names_the_ancestors() {
        let text = "1\t0/3000110\tbefore 2026-11-25 10:00:00+00\n\n# a comment\n2\t0/5000000\tat restore point \"x\"\n";
        let history = parse_history("00000003.history", text).unwrap();
        assert_eq!(history, [(1, Lsn(0x300_0110)), (2, Lsn(0x500_0000))]);
        assert!(parse_history("00000003.history", "nonsense").is_err());
    }
}
