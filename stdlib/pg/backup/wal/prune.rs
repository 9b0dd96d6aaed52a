//! `pg::prune_wal`: log that no base backup needs any more.

use std::sync::Arc;

use ccrun_kernel::rhai::{Dynamic, Map};
use ccrun_kernel::{Cx, Options, Preview, Result, primitive};
use futures::{StreamExt as _, TryStreamExt as _};

use super::super::sets;
use super::archive::{AT_ONCE, Archive, clusters};
use super::list::bases;
use super::name::{FileKind, Lsn, Segment};
use crate::s3::Store;
use crate::store::Bucket;

/// Which log is meant.
#[derive(Clone, Options)]
pub struct PruneWalOptions {
    /// The folder in the store that the log lies in.
    #[option(default = "wal")]
    prefix: String,
    /// The folder in the store that backups lie in.
    #[option(default = "backups")]
    backups: String,
}

/// What of one cluster goes.
struct Gone {
    system: String,
    /// The position from which on all is kept, with the backup that needs it.
    kept_from: Option<(Lsn, String)>,
    /// The keys, in the order in which they are deleted: a file's note first, so that nothing is half there.
    keys: Vec<Vec<String>>,
    segments: usize,
}

/// Delete archived log that is older than the oldest base backup of its cluster: no recovery needs it. Returns a map for
/// each cluster: `system_identifier`, `deleted` (segments), `kept_from` (a position in the log), `backup` (the base backup
/// that needs it from there).
///
/// Of a cluster without any base backup nothing goes. Histories of timelines stay. `pg::prune` decides which base
/// backups stay.
///
/// # Errors
/// `pg.backup_damaged`, `pg.wal_damaged`; `s3.…` of the store.
///
/// # Example
/// ```rhai
/// assert(pg::prune_wal(s3::folder("kept")).is_empty());
/// ```
#[primitive(change, needs = s3(store.resource()), preview = prune_wal_preview)]
pub(in crate::pg) async fn prune_wal(
    cx: &Cx,
    store: Store,
    options: PruneWalOptions,
) -> Result<Vec<Map>> {
    let gone = match sets::opened(cx, &store).await? {
        Some(bucket) => decide(&bucket, &options).await?,
        None => Vec::new(),
    };
    if gone.iter().all(|each| each.keys.is_empty()) {
        cx.unchanged();
    } else {
        let bucket = &store.writer(cx).await?;
        for each in &gone {
            let mut deleting = futures::stream::iter(each.keys.clone())
                .map(|keys| async move {
                    for key in keys {
                        bucket.delete(&key).await?;
                    }
                    Ok::<_, ccrun_kernel::Error>(())
                })
                .buffer_unordered(AT_ONCE);
            while deleting.try_next().await?.is_some() {}
        }
    }
    Ok(gone
        .into_iter()
        .map(|each| {
            let (from, backup) = each.kept_from.unzip();
            Map::from_iter([
                ("system_identifier".into(), each.system.into()),
                (
                    "deleted".into(),
                    Dynamic::from(i64::try_from(each.segments).unwrap_or(i64::MAX)),
                ),
                (
                    "kept_from".into(),
                    from.map_or(Dynamic::UNIT, |lsn| lsn.to_string().into()),
                ),
                ("backup".into(), backup.map_or(Dynamic::UNIT, Dynamic::from)),
            ])
        })
        .collect())
}

async fn decide(bucket: &Arc<Bucket>, options: &PruneWalOptions) -> Result<Vec<Gone>> {
    let mut all = Vec::new();
    for system in clusters(bucket, &options.prefix).await? {
        // The archive first: a backup that is completed in between needs newer log than any that was there.
        let archive = Archive::open(bucket, &options.prefix, &system).await?;
        let (known, _) = sets::all(bucket, &options.backups).await?;
        let oldest = bases(&known, &system)
            .into_iter()
            .min_by_key(|(_, base)| base.start)
            .map(|(manifest, base)| (base.start, manifest.id));
        let mut gone = Gone {
            system,
            kept_from: oldest,
            keys: Vec::new(),
            segments: 0,
        };
        if let Some((from, _)) = &gone.kept_from
            && archive.segment_size > 0
        {
            let first = from.0 / archive.segment_size;
            let old = |name: &str| {
                Segment::parse(name.get(..24)?, archive.segment_size)
                    .map(|segment| segment.number < first)
            };
            for (name, keys) in archive.files() {
                let kind = FileKind::of(name);
                if kind.is_none() || kind == Some(FileKind::History) || old(name) != Some(true) {
                    continue;
                }
                gone.segments += usize::from(kind == Some(FileKind::Segment { partial: false }));
                gone.keys
                    .push(keys.into_iter().rev().map(str::to_owned).collect());
            }
            for (key, lsn) in archive.point_keys() {
                if lsn < *from {
                    gone.keys.push(vec![key.to_owned()]);
                }
            }
        }
        all.push(gone);
    }
    Ok(all)
}

async fn prune_wal_preview(cx: &Cx, store: &Store, options: &PruneWalOptions) -> Result<Preview> {
    let gone = match sets::opened(cx, store).await? {
        Some(bucket) => decide(&bucket, options).await?,
        None => Vec::new(),
    };
    let segments: usize = gone.iter().map(|each| each.segments).sum();
    if gone.iter().all(|each| each.keys.is_empty()) {
        return Ok(Preview::new("no archived log needs to go").unchanged());
    }
    let text: String = gone
        .iter()
        .map(|each| match &each.kept_from {
            Some((from, backup)) => format!(
                "delete {} segments of {}: {backup} needs it from {from} on\n",
                each.segments, each.system
            ),
            None => format!("keep all of {}: it has no base backup\n", each.system),
        })
        .collect();
    Ok(Preview::new(format!(
        "delete {segments} segments of archived log from {}",
        store.place
    ))
    .diff(text))
}
