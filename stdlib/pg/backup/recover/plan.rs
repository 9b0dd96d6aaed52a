//! From what is asked for to what has to be fetched, or a refusal that says what is possible.

use std::sync::Arc;

use ccrun_kernel::value::Timestamp;
use ccrun_kernel::{Error, Result};
use futures::{StreamExt as _, TryStreamExt as _};

use super::super::manifest::{Base, Manifest};
use super::super::sets;
use super::super::wal::{self, Archive, Lsn, Note, Segment, Window};
use super::options::{RecoverOptions, Target};
use crate::store::Bucket;

/// What is done.
pub struct Plan {
    pub manifest: Manifest,
    pub base: Base,
    pub archive: Archive,
    /// What the server is told to stop at.
    pub target: Target,
    /// The timeline that it follows.
    pub timeline: u32,
    /// What has to be fetched, in order.
    pub fetch: Vec<Segment>,
    /// For people.
    pub shown: String,
}

/// So many notes are read at once.
const AT_ONCE: usize = 16;

/// Find out whether what is asked for can be had.
///
/// # Errors
/// `pg.no_backup`, `pg.other_cluster`, `pg.recovery_target`, `pg.wal_missing`; what the store says.
pub async fn plan(bucket: &Arc<Bucket>, id: &str, options: &RecoverOptions) -> Result<Plan> {
    let target = options.target()?;
    let (known, _) = sets::all(bucket, &options.prefix).await?;
    let system = system_of(bucket, &known, id, options).await?;
    let archive = Archive::open(bucket, &options.wal, &system).await?;
    let bases = wal::bases(&known, &system);
    if bases.is_empty() {
        return Err(Error::new(
            "pg.no_backup",
            format!(
                "there is no base backup of the cluster {system} in {}",
                bucket.place()
            ),
        )
        .hint("`ccrun base-backup` makes one; the moments from its end on can then be had"));
    }
    let mut ways = Vec::new();
    for (manifest, base) in &bases {
        if id != "latest" && !manifest.id.starts_with(id) {
            continue;
        }
        for window in wal::windows(bucket, &archive, manifest, base).await? {
            ways.push(Way {
                manifest: manifest.clone(),
                base: base.clone(),
                window,
            });
        }
    }
    if ways.is_empty() {
        return Err(Error::new(
            "pg.no_backup",
            format!(
                "there is no base backup {id} of the cluster {system} in {}",
                bucket.place()
            ),
        )
        .hint("`ccrun pitr` lists them; `latest` takes the newest that leads to the moment"));
    }
    let finder = Finder {
        bucket,
        archive: &archive,
        all: &ways,
    };
    let (way, found) = finder.find(&target, options.timeline).await?;
    let included = wal::included(&way.base);
    let fetch = way
        .window
        .reach
        .segments
        .iter()
        .filter(|segment| segment.number <= found.upto && !included.contains(segment))
        .copied()
        .collect();
    Ok(Plan {
        manifest: way.manifest.clone(),
        base: way.base.clone(),
        target: found.target,
        timeline: way.window.timeline,
        shown: found.shown,
        fetch,
        archive,
    })
}

/// The cluster that is meant.
async fn system_of(
    bucket: &Arc<Bucket>,
    known: &[sets::Known],
    id: &str,
    options: &RecoverOptions,
) -> Result<String> {
    let mut systems: Vec<String> = known
        .iter()
        .filter(|known| known.manifest.base.is_some())
        .map(|known| known.manifest.server.system_identifier.clone())
        .collect();
    systems.sort();
    systems.dedup();
    if id != "latest" {
        let manifest = sets::one(bucket, &options.prefix, id).await?.manifest;
        if manifest.base.is_none() {
            return Err(Error::new(
                "pg.recovery_target",
                format!("{} is a backup of a database, not of a whole server", manifest.id),
            )
            .hint("restore it with `ccrun restore`; `ccrun base-backup` makes one that leads to any moment"));
        }
        let system = manifest.server.system_identifier;
        if let Some(wanted) = &options.system_identifier
            && *wanted != system
        {
            return Err(other_cluster(&manifest.id, &system, wanted));
        }
        return Ok(system);
    }
    match (&options.system_identifier, systems.as_slice()) {
        (Some(wanted), _) => Ok(wanted.clone()),
        (None, [one]) => Ok(one.clone()),
        (None, []) => Err(Error::new(
            "pg.no_backup",
            format!("there is no base backup in {}", bucket.place()),
        )
        .hint("`ccrun base-backup` makes one; the moments from its end on can then be had")),
        (None, several) => Err(Error::new(
            "pg.other_cluster",
            format!(
                "the store has backups of several clusters: {}",
                several.join(", ")
            ),
        )
        .hint("say which: `system_identifier`, or the name of a backup")),
    }
}

fn other_cluster(id: &str, is: &str, wanted: &str) -> Error {
    Error::new(
        "pg.other_cluster",
        format!("{id} is of the cluster {is}, and {wanted} is wanted"),
    )
    .hint(
        "nothing was changed. Take a backup of that cluster: `ccrun backups` says of which each is",
    )
}

/// A backup and a timeline.
struct Way {
    manifest: Manifest,
    base: Base,
    window: Window,
}

/// What was found.
struct Found {
    target: Target,
    /// The last segment that is needed.
    upto: u64,
    shown: String,
}

struct Finder<'p> {
    bucket: &'p Arc<Bucket>,
    archive: &'p Archive,
    all: &'p [Way],
}

impl Finder<'_> {
    /// The best way to a moment: the newest backup from before it, and the newest timeline that has it.
    async fn find(&self, target: &Target, timeline: Option<u32>) -> Result<(&Way, Found)> {
        let mut ways: Vec<&Way> = self
            .all
            .iter()
            .filter(|way| timeline.is_none_or(|timeline| way.window.timeline == timeline))
            .collect();
        if ways.is_empty() {
            return Err(self.refused(format!(
                "no base backup leads to the timeline {}",
                timeline.unwrap_or_default()
            )));
        }
        // The newest timeline first, as Postgres does; on it the newest backup, which needs the least log.
        ways.sort_by_key(|way| std::cmp::Reverse((way.window.timeline, way.base.end)));
        let newest = ways[0].window.timeline;
        let target = match target {
            Target::Name(name) => self.point(name, &ways).await?,
            other => other.clone(),
        };
        let early: Vec<&Way> = ways
            .iter()
            .filter(|way| timeline.is_some() || way.window.timeline == newest)
            .filter(|way| has_begun(way, &target))
            .copied()
            .collect();
        let Some(way) = early.first() else {
            return Err(self.too_early(&target, &ways));
        };
        let found = self.upto(way, &target).await?;
        Ok((way, found))
    }

    /// The position of a restore point.
    async fn point(&self, name: &str, ways: &[&Way]) -> Result<Target> {
        let points = self.archive.points(self.bucket).await?;
        let on_a_way = |timeline: u32, lsn: Lsn| {
            ways.iter()
                .any(|way| way.window.line.timeline_at(lsn) == timeline)
        };
        let found: Vec<_> = points
            .iter()
            .filter(|(timeline, point)| point.name == name && on_a_way(*timeline, point.lsn))
            .collect();
        match found.as_slice() {
            [(_, point)] => Ok(Target::Lsn(point.lsn)),
            [] => {
                let names: Vec<&str> = points
                    .iter()
                    .map(|(_, point)| point.name.as_str())
                    .collect();
                let known = if names.is_empty() {
                    "it has none at all".to_owned()
                } else {
                    format!("it has {}", names.join(", "))
                };
                Err(self.refused(format!(
                    "the archived log has no restore point `{name}`: {known}"
                )))
            }
            several => {
                let all: Vec<String> = several
                    .iter()
                    .map(|(timeline, point)| format!("{} on the timeline {timeline}", point.lsn))
                    .collect();
                Err(Error::new(
                    "pg.recovery_target",
                    format!(
                        "there are several restore points `{name}`: {}",
                        all.join(", ")
                    ),
                )
                .hint("nothing was changed. Say which by its position: `lsn`"))
            }
        }
    }

    /// How much of the log it takes; or why it can't be had.
    async fn upto(&self, way: &Way, target: &Target) -> Result<Found> {
        let segments = &way.window.reach.segments;
        let size = way.base.segment_size;
        let end = segments.last().map_or(0, |segment| segment.number);
        let found = |target: Target, upto: u64, shown: String| Found {
            target,
            upto,
            shown,
        };
        let archived: Vec<Segment> = segments
            .iter()
            .filter(|segment| self.archive.segments.contains(segment))
            .copied()
            .collect();
        match target {
            // What comes after a gap is wanted as well, and can't be had.
            Target::End if !way.window.reach.missing.is_empty() => {
                Err(self.too_late(way, "the end of the archived log"))
            }
            Target::End => Ok(found(
                Target::End,
                end,
                format!("all that is archived, up to {}", way.window.to_lsn),
            )),
            Target::Immediate => {
                let last = way.base.end.0.saturating_sub(1) / size;
                Ok(found(
                    Target::Immediate,
                    last,
                    format!("the end of {}", way.manifest.id),
                ))
            }
            Target::Lsn(lsn) => {
                if *lsn > way.window.to_lsn {
                    return Err(self.too_late(way, &format!("the position {lsn}")));
                }
                // A record may go on in the next one.
                Ok(found(
                    target.clone(),
                    lsn.0 / size + 1,
                    format!("the position {lsn}"),
                ))
            }
            Target::Time(time) => {
                let micros = time.instant().as_microsecond();
                let mut notes = self.notes(&archived);
                while let Some((segment, note)) = notes.try_next().await? {
                    if note
                        .moments
                        .last_transaction
                        .is_some_and(|last| last > micros)
                    {
                        return Ok(found(target.clone(), segment.number + 1, format!("{time}")));
                    }
                }
                // Nothing happened after it. If the log goes that far all the same, that is all of it.
                if way.window.to >= *time && way.window.to > way.window.from {
                    return Ok(found(
                        Target::End,
                        end,
                        format!("{time}, after which the archived log has nothing"),
                    ));
                }
                Err(self.too_late(way, &format!("{time}")))
            }
            Target::Xid(xid) => {
                let mut notes = self.notes(&archived);
                while let Some((_, note)) = notes.try_next().await? {
                    if note
                        .moments
                        .highest_xid
                        .is_some_and(|highest| !precedes(highest, *xid))
                    {
                        return Ok(found(target.clone(), end, format!("the transaction {xid}")));
                    }
                }
                Err(self.too_late(way, &format!("the end of the transaction {xid}")))
            }
            Target::Name(name) => {
                Err(self.refused(format!("the restore point `{name}` was not looked up")))
            }
        }
    }

    fn notes<'s>(
        &'s self,
        segments: &'s [Segment],
    ) -> futures::stream::BoxStream<'s, Result<(Segment, Note)>> {
        futures::stream::iter(segments)
            .map(move |segment| async move {
                Ok((*segment, self.archive.note_of(self.bucket, *segment).await?))
            })
            .buffered(AT_ONCE)
            .boxed()
    }

    fn too_early(&self, target: &Target, ways: &[&Way]) -> Error {
        let first = ways.iter().min_by_key(|way| way.base.end);
        let what = match target {
            Target::Time(time) => format!("{time}"),
            Target::Lsn(lsn) => format!("the position {lsn}"),
            Target::Xid(xid) => format!("the transaction {xid}"),
            other => format!("{other:?}"),
        };
        let ended = first.map_or_else(String::new, |way| {
            format!(
                ": {} ended at {} ({})",
                way.manifest.id,
                shown(&way.base.ended),
                way.base.end
            )
        });
        self.refused(format!(
            "{what} is before the end of the first base backup that leads there{ended}"
        ))
    }

    fn too_late(&self, way: &Way, what: &str) -> Error {
        let size = way.base.segment_size;
        if let Some(first) = way.window.reach.missing.first() {
            let names: Vec<String> = way
                .window
                .reach
                .missing
                .iter()
                .take(5)
                .map(|segment| segment.name(size))
                .collect();
            let more = way.window.reach.missing.len().saturating_sub(names.len());
            let more = if more > 0 {
                format!(" and {more} more")
            } else {
                String::new()
            };
            return Error::new(
                "pg.wal_missing",
                format!(
                    "{what} can't be reached: the log has a gap from {} on, {}{more} missing",
                    first.start(size),
                    names.join(", ")
                ),
            )
            .hint(self.possible());
        }
        self.refused(format!(
            "{what} is after the end of the archived log ({}, {})",
            way.window.to_lsn,
            shown(&way.window.to)
        ))
    }

    fn refused(&self, message: String) -> Error {
        Error::new("pg.recovery_target", message).hint(self.possible())
    }

    fn possible(&self) -> String {
        let mut windows: Vec<&Window> = self.all.iter().map(|way| &way.window).collect();
        windows.sort_by(|a, b| a.from.cmp(&b.from));
        let all: Vec<String> = windows.iter().map(|window| window.shown()).collect();
        format!("nothing was changed. Possible: {}", all.join("; "))
    }
}

/// Whether a backup had ended by then.
fn has_begun(way: &Way, target: &Target) -> bool {
    match target {
        Target::Time(time) => way.base.ended <= *time,
        Target::Lsn(lsn) => way.base.end <= *lsn,
        #[allow(
            clippy::cast_possible_truncation,
            reason = "Postgres counts in 32 bits"
        )]
        Target::Xid(xid) => !precedes(*xid, way.base.next_xid as u32),
        Target::Immediate | Target::End | Target::Name(_) => true,
    }
}

/// Transactions are compared on a circle (`TransactionIdPrecedes`).
fn precedes(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

fn shown(time: &Timestamp) -> String {
    time.format("%Y-%m-%d %H:%M:%S UTC").unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::precedes;

    #[test]
    fn transactions_go_round() {
        assert!(precedes(3, 4));
        assert!(!precedes(4, 4));
        assert!(precedes(u32::MAX - 2, 10));
        assert!(!precedes(10, u32::MAX - 2));
    }
}
