//! Which moments a base backup and the archived log lead to. Nothing here touches a store.

use super::archive::Archive;
use super::name::{Lsn, Segment};

/// The way from a base backup to a timeline: the timelines in between, and where each begins to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The timeline at its end.
    pub timeline: u32,
    /// The oldest first.
    pub parts: Vec<(u32, Lsn)>,
}

/// How far the log goes on a line without a gap.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    /// The segments, in order: those that came with the backup, and those of the archive.
    pub segments: Vec<Segment>,
    /// What is missing before more that is there.
    pub missing: Vec<Segment>,
}

/// Where a base backup stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// Its timeline.
    pub timeline: u32,
    /// Where replay begins.
    pub start: Lsn,
    /// From where on every moment can be had.
    pub end: Lsn,
}

/// More missing segments are not named one by one.
const MOST_MISSING: usize = 1000;

/// The ways from a backup, the one to its own timeline first.
#[must_use]
pub fn lines(archive: &Archive, origin: Origin) -> Vec<Line> {
    let mut lines = vec![Line {
        timeline: origin.timeline,
        parts: vec![(origin.timeline, Lsn(0))],
    }];
    for (timeline, ancestors) in &archive.histories {
        let Some(at) = ancestors.iter().position(|(id, _)| *id == origin.timeline) else {
            continue;
        };
        // It left the backup's timeline before the backup had ended: it knows nothing of it.
        if ancestors[at].1 < origin.end {
            continue;
        }
        let mut parts = vec![(origin.timeline, Lsn(0))];
        for (index, (_, until)) in ancestors.iter().enumerate().skip(at) {
            let next = ancestors.get(index + 1).map_or(*timeline, |(id, _)| *id);
            parts.push((next, *until));
        }
        lines.push(Line {
            timeline: *timeline,
            parts,
        });
    }
    lines
}

impl Line {
    /// The timeline that holds at a position.
    #[must_use]
    pub fn timeline_at(&self, lsn: Lsn) -> u32 {
        let part = self.parts.iter().rev().find(|(_, begin)| *begin <= lsn);
        part.map_or(self.timeline, |(timeline, _)| *timeline)
    }

    /// The segment of this number: that of the newest timeline which has begun by its end.
    #[must_use]
    pub fn segment(&self, number: u64, size: u64) -> Segment {
        let part = self
            .parts
            .iter()
            .rev()
            .find(|(_, begin)| begin.0 / size <= number);
        Segment {
            timeline: part.map_or(self.timeline, |(timeline, _)| *timeline),
            number,
        }
    }
}

/// Follow a line. `included` are the segments that came with the backup.
#[must_use]
pub fn reach(archive: &Archive, line: &Line, origin: Origin, included: &[Segment]) -> Reach {
    let size = archive.segment_size.max(1);
    let there =
        |segment: &Segment| archive.segments.contains(segment) || included.contains(segment);
    let mut found = Reach::default();
    let mut number = origin.start.0 / size;
    loop {
        let segment = line.segment(number, size);
        if !there(&segment) {
            break;
        }
        found.segments.push(segment);
        number += 1;
    }
    let furthest = archive
        .segments
        .iter()
        .filter(|segment| line.segment(segment.number, size) == **segment)
        .map(|segment| segment.number)
        .max();
    if let Some(furthest) = furthest {
        found.missing = (number..furthest)
            .map(|number| line.segment(number, size))
            .filter(|segment| !there(segment))
            .take(MOST_MISSING)
            .collect();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SIZE: u64 = 16 << 20;

    fn at(number: u64) -> Lsn {
        Lsn(number * SIZE + 0x28)
    }

    fn archive(segments: &[(u32, u64)]) -> Archive {
        Archive {
            segment_size: SIZE,
            segments: segments
                .iter()
                .map(|&(timeline, number)| Segment { timeline, number })
                .collect(),
            ..Archive::default()
        }
    }

    fn origin(timeline: u32, start: u64) -> Origin {
        Origin {
            timeline,
            start: at(start),
            end: at(start + 1),
        }
    }

    fn numbers(segments: &[Segment]) -> Vec<(u32, u64)> {
        segments
            .iter()
            .map(|each| (each.timeline, each.number))
            .collect()
    }

    #[test]
    fn a_gap_ends_what_can_be_reached() {
        let archive = archive(&[(1, 3), (1, 4), (1, 6), (1, 7), (1, 9)]);
        let line = &lines(&archive, origin(1, 3))[0];
        let found = reach(&archive, line, origin(1, 3), &[]);
        assert_eq!(numbers(&found.segments), [(1, 3), (1, 4)]);
        assert_eq!(numbers(&found.missing), [(1, 5), (1, 8)]);
        // What came with the backup counts.
        let five = Segment {
            timeline: 1,
            number: 5,
        };
        let found = reach(&archive, line, origin(1, 3), &[five]);
        assert_eq!(numbers(&found.segments).last(), Some(&(1, 7)));
        assert_eq!(numbers(&found.missing), [(1, 8)]);
    }

    #[test]
    fn a_restore_before_makes_another_timeline_and_both_stay() {
        let mut archive = archive(&[(1, 2), (1, 3), (1, 4), (1, 5), (2, 3), (2, 4), (3, 4)]);
        archive.histories.insert(2, vec![(1, at(3))]);
        archive.histories.insert(3, vec![(1, at(3)), (2, at(4))]);
        let from = Origin {
            end: Lsn(2 * SIZE + 0x100),
            ..origin(1, 2)
        };
        let ways = lines(&archive, from);
        assert_eq!(
            ways.iter().map(|line| line.timeline).collect::<Vec<_>>(),
            [1, 2, 3]
        );
        let of = |line: &Line| numbers(&reach(&archive, line, from, &[]).segments);
        assert_eq!(of(&ways[0]), [(1, 2), (1, 3), (1, 4), (1, 5)]);
        assert_eq!(of(&ways[1]), [(1, 2), (2, 3), (2, 4)]);
        assert_eq!(of(&ways[2]), [(1, 2), (2, 3), (3, 4)]);
        // A backup that was taken after the fork is only on its own timeline.
        let later = lines(&archive, origin(1, 4));
        assert_eq!(later.len(), 1);
        let second = lines(
            &archive,
            Origin {
                end: Lsn(3 * SIZE + 0x50),
                ..origin(2, 3)
            },
        );
        assert_eq!(
            second.iter().map(|line| line.timeline).collect::<Vec<_>>(),
            [2, 3]
        );
    }

    proptest! {
        #[test]
        fn what_is_reached_has_no_hole_and_what_is_missing_is_not_there(
            numbers in prop::collection::btree_set(0_u64..40, 0..40), start in 0_u64..20,
        ) {
            let segments: Vec<(u32, u64)> = numbers.iter().map(|number| (1, *number)).collect();
            let archive = archive(&segments);
            let from = origin(1, start);
            let found = reach(&archive, &lines(&archive, from)[0], from, &[]);
            for (index, segment) in found.segments.iter().enumerate() {
                prop_assert_eq!(segment.number, start + index as u64);
                prop_assert!(numbers.contains(&segment.number));
            }
            prop_assert!(!numbers.contains(&(start + found.segments.len() as u64)));
            for segment in &found.missing {
                prop_assert!(!numbers.contains(&segment.number));
                prop_assert!(numbers.iter().any(|number| *number > segment.number));
            }
        }
    }
}
