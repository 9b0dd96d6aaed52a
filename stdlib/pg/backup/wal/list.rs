//! `pg::wal`: the log that is archived, its gaps, and the moments that recovery can reach.

use std::collections::BTreeMap;
use std::sync::Arc;

use ccrun_kernel::rhai::{Array, Dynamic, Map};
use ccrun_kernel::value::{Size, Timestamp};
use ccrun_kernel::{Cx, Options, Result, primitive};

use super::super::manifest::{Base, Kind, Manifest};
use super::super::sets;
use super::archive::{Archive, clusters};
use super::name::{Lsn, Segment};
use super::reach::{Line, Origin, Reach, lines, reach};
use super::ship::{moment_of, timestamp_of};
use crate::s3::Store;
use crate::store::Bucket;

/// Which log is meant.
#[derive(Clone, Options)]
pub struct WalOptions {
    /// The folder in the store that the log lies in.
    #[option(default = "wal")]
    prefix: String,
    /// The folder in the store that backups lie in.
    #[option(default = "backups")]
    backups: String,
    /// Only that of this cluster.
    system_identifier: Option<String>,
}

/// The moments that one base backup leads to on one timeline.
#[derive(Debug, Clone)]
pub struct Window {
    /// The backup's name.
    pub backup: String,
    /// The timeline.
    pub timeline: u32,
    /// Its first moment.
    pub from: Timestamp,
    /// And where that is.
    pub from_lsn: Lsn,
    /// The last moment that is known to be reached.
    pub to: Timestamp,
    /// The last record.
    pub to_lsn: Lsn,
    /// The way.
    pub line: Line,
    /// And how far it goes.
    pub reach: Reach,
}

impl Window {
    /// For people.
    #[must_use]
    pub fn shown(&self) -> String {
        let at = |time: &Timestamp| time.format("%Y-%m-%d %H:%M:%S").unwrap_or_default();
        format!(
            "{} to {} UTC ({} to {}) from {}, timeline {}",
            at(&self.from),
            at(&self.to),
            self.from_lsn,
            self.to_lsn,
            self.backup,
            self.timeline
        )
    }
}

/// A backup that is a base backup, with what recovery needs to know of it.
pub fn bases(known: &[sets::Known], system: &str) -> Vec<(Manifest, Base)> {
    known
        .iter()
        .filter(|known| known.manifest.kind == Kind::Base)
        .filter(|known| known.manifest.server.system_identifier == system)
        .filter_map(|known| Some((known.manifest.clone(), known.manifest.base.clone()?)))
        .collect()
}

/// Where a backup stands.
#[must_use]
pub fn origin(base: &Base) -> Origin {
    Origin {
        timeline: base.timeline,
        start: base.start,
        end: base.end,
    }
}

/// The segments that came with it.
#[must_use]
pub fn included(base: &Base) -> Vec<Segment> {
    base.wal
        .iter()
        .filter_map(|name| Segment::parse(name, base.segment_size))
        .collect()
}

/// The moments that a backup leads to, of each timeline.
///
/// # Errors
/// What the store says.
pub async fn windows(
    bucket: &Arc<Bucket>,
    archive: &Archive,
    manifest: &Manifest,
    base: &Base,
) -> Result<Vec<Window>> {
    /// So many segments without any moment in them are looked at.
    const LOOKED_AT: usize = 256;
    // Without any archive, a backup leads to its own end.
    let mut sized = archive.clone();
    sized.segment_size = base.segment_size;
    let (origin, included) = (origin(base), included(base));
    let mut found = Vec::new();
    for line in lines(&sized, origin) {
        let reach = reach(&sized, &line, origin, &included);
        let mut window = Window {
            backup: manifest.id.clone(),
            timeline: line.timeline,
            from: base.ended.clone(),
            from_lsn: base.end,
            to: base.ended.clone(),
            to_lsn: base.end,
            line,
            reach,
        };
        let mut ends = false;
        for segment in window.reach.segments.iter().rev().take(LOOKED_AT) {
            if !sized.segments.contains(segment) {
                break;
            }
            let moments = sized.note_of(bucket, *segment).await?.moments;
            if !ends {
                window.to_lsn = moments.last_record.unwrap_or(base.end).max(base.end);
                ends = true;
            }
            if let Some(latest) = moments.latest.and_then(timestamp_of) {
                window.to = latest.max(base.ended.clone());
                break;
            }
        }
        found.push(window);
    }
    Ok(found)
}

/// The archived log of a store, a map for each cluster: `system_identifier`, `segment_size`, `segments`, `size`,
/// `timelines` (each with `timeline`, `first`, `last`, `segments`, `missing`, `parent`, `from`), `windows` (the moments
/// that each base backup leads to: `backup`, `timeline`, `from`, `to`, `from_lsn`, `to_lsn`, `missing`), `points` (named
/// restore points: `name`, `lsn`, `time`, `timeline`), `latest` (the latest moment that can be reached, `()` if none can).
///
/// What is `missing` before a later segment is a gap: from the base backups before it, no moment after it can be
/// reached.
///
/// # Errors
/// `pg.wal_damaged` for a note that can't be read; `s3.…` of the store.
///
/// # Example
/// ```rhai
/// assert(pg::wal(s3::folder("kept")).is_empty());
/// ```
#[primitive(read, volatile, needs = s3(store.resource()))]
pub(in crate::pg) async fn wal(cx: &Cx, store: Store, options: WalOptions) -> Result<Vec<Map>> {
    let Some(bucket) = sets::opened(cx, &store).await? else {
        return Ok(Vec::new());
    };
    let (known, _) = sets::all(&bucket, &options.backups).await?;
    let mut systems = clusters(&bucket, &options.prefix).await?;
    if let Some(only) = &options.system_identifier {
        systems.retain(|system| system == only);
    }
    let mut found = Vec::new();
    for system in systems {
        let archive = Archive::open(&bucket, &options.prefix, &system).await?;
        let mut all = Vec::new();
        for (manifest, base) in bases(&known, &system) {
            all.extend(windows(&bucket, &archive, &manifest, &base).await?);
        }
        found.push(to_script(&bucket, &archive, &all).await?);
    }
    Ok(found)
}

async fn to_script(bucket: &Arc<Bucket>, archive: &Archive, all: &[Window]) -> Result<Map> {
    let count = |count: usize| Dynamic::from(i64::try_from(count).unwrap_or(i64::MAX));
    let names = |segments: &[Segment]| -> Dynamic {
        segments
            .iter()
            .map(|segment| Dynamic::from(segment.name(archive.segment_size)))
            .collect::<Array>()
            .into()
    };
    let windows: Array = all
        .iter()
        .map(|window| {
            Dynamic::from(Map::from_iter([
                ("backup".into(), window.backup.clone().into()),
                ("timeline".into(), Dynamic::from(i64::from(window.timeline))),
                ("from".into(), Dynamic::from(window.from.clone())),
                ("to".into(), Dynamic::from(window.to.clone())),
                ("from_lsn".into(), window.from_lsn.to_string().into()),
                ("to_lsn".into(), window.to_lsn.to_string().into()),
                ("missing".into(), names(&window.reach.missing)),
            ]))
        })
        .collect();
    let points: Array = archive
        .points(bucket)
        .await?
        .into_iter()
        .map(|(timeline, point)| {
            Dynamic::from(Map::from_iter([
                ("name".into(), point.name.into()),
                ("lsn".into(), point.lsn.to_string().into()),
                ("time".into(), moment_of(point.micros)),
                ("timeline".into(), Dynamic::from(i64::from(timeline))),
            ]))
        })
        .collect();
    let until = all.iter().map(|window| window.to.clone()).max();
    Ok(Map::from_iter([
        ("system_identifier".into(), archive.system.clone().into()),
        (
            "segment_size".into(),
            Dynamic::from(Size::from_bytes(archive.segment_size)),
        ),
        ("segments".into(), count(archive.segments.len())),
        ("size".into(), Dynamic::from(Size::from_bytes(archive.size))),
        (
            "timelines".into(),
            timelines(archive)
                .into_iter()
                .map(|timeline| {
                    Dynamic::from(Map::from_iter([
                        ("timeline".into(), Dynamic::from(i64::from(timeline.id))),
                        (
                            "first".into(),
                            timeline.first.name(archive.segment_size).into(),
                        ),
                        (
                            "last".into(),
                            timeline.last.name(archive.segment_size).into(),
                        ),
                        ("segments".into(), count(timeline.count)),
                        ("missing".into(), names(&timeline.missing)),
                        (
                            "parent".into(),
                            timeline
                                .parent
                                .map_or(Dynamic::UNIT, |(id, _)| Dynamic::from(i64::from(id))),
                        ),
                        (
                            "from".into(),
                            timeline
                                .parent
                                .map_or(Dynamic::UNIT, |(_, lsn)| lsn.to_string().into()),
                        ),
                    ]))
                })
                .collect::<Array>()
                .into(),
        ),
        ("windows".into(), windows.into()),
        ("points".into(), points.into()),
        ("latest".into(), until.map_or(Dynamic::UNIT, Dynamic::from)),
    ]))
}

/// The segments of one timeline.
struct Timeline {
    id: u32,
    first: Segment,
    last: Segment,
    count: usize,
    missing: Vec<Segment>,
    parent: Option<(u32, Lsn)>,
}

fn timelines(archive: &Archive) -> Vec<Timeline> {
    /// More are not named one by one.
    const MOST: usize = 1000;
    let mut by_id: BTreeMap<u32, Vec<Segment>> = BTreeMap::new();
    for segment in &archive.segments {
        by_id.entry(segment.timeline).or_default().push(*segment);
    }
    by_id
        .into_iter()
        .filter_map(|(id, segments)| {
            let (first, last) = (*segments.first()?, *segments.last()?);
            let missing = segments
                .windows(2)
                .flat_map(|pair| pair[0].number + 1..pair[1].number)
                .take(MOST)
                .map(|number| Segment {
                    timeline: id,
                    number,
                })
                .collect();
            Some(Timeline {
                id,
                first,
                last,
                count: segments.len(),
                missing,
                parent: archive
                    .histories
                    .get(&id)
                    .and_then(|all| all.last().copied()),
            })
        })
        .collect()
}
