//! Where archived log lies in a store, and what is known of it.
//!
//! ```text
//! wal/7448…/cluster.json                                     how large its segments are
//! wal/7448…/00000001/000000010000000000000003.zst.age        a segment, compressed and encrypted
//! wal/7448…/00000001/000000010000000000000003.json           its note
//! wal/7448…/00000002/00000002.history.zst, ….json            where a timeline branched off
//! wal/7448…/points/00000001.0000000003000060.json            a named restore point
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use ccrun_kernel::value::Timestamp;
use ccrun_kernel::{Cx, Error, Result};
use futures::{StreamExt as _, TryStreamExt as _};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::super::manifest::moment;
use super::super::seal;
use super::name::{FileKind, Lsn, Segment, parse_history};
use super::scan::{Moments, Point};
use crate::files::{Work, blocking};
use crate::store::Bucket;

/// The layout of notes that this version writes.
pub const FORMAT: u32 = 1;

/// How many small objects are read at once.
pub const AT_ONCE: usize = 16;

/// A note is never larger.
const LARGEST_NOTE: u64 = 16 << 20;

/// What is known of a file of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Note {
    /// The layout of this document.
    pub format: u32,
    /// Its name, as Postgres gave it.
    pub name: String,
    /// The cluster it is of.
    pub system_identifier: String,
    /// The key of what lies in the store, beside this note.
    pub key: String,
    /// The size of that.
    pub size: u64,
    /// Its SHA-256.
    pub sha256: String,
    /// The size of the file.
    pub plain_size: u64,
    /// The SHA-256 of the file.
    pub plain_sha256: String,
    /// When it was shipped.
    #[serde(with = "moment")]
    pub shipped: Timestamp,
    /// Who can read it. Empty if everybody can.
    pub recipients: Vec<String>,
    /// Of a segment: which moments are in it.
    #[serde(default)]
    pub moments: Moments,
}

/// What is the same for all of a cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cluster {
    /// The layout of this document.
    pub format: u32,
    /// The system identifier.
    pub system_identifier: String,
    /// How large segments are.
    pub segment_size: u64,
}

/// The archived log of one cluster.
#[derive(Debug, Clone, Default)]
pub struct Archive {
    /// `wal/7448…`.
    pub folder: String,
    /// The system identifier.
    pub system: String,
    /// How large segments are.
    pub segment_size: u64,
    /// The segments that are there.
    pub segments: BTreeSet<Segment>,
    /// Where timelines left others: of each, its ancestors.
    pub histories: BTreeMap<u32, Vec<(u32, Lsn)>>,
    /// Their text.
    pub history_texts: BTreeMap<u32, String>,
    /// How much lies in the store.
    pub size: u64,
    /// The keys of the restore points.
    pub(super) points: Vec<String>,
    /// Keys of all that is there, by the name of the file.
    pub(super) keys: BTreeMap<String, Vec<String>>,
}

/// The clusters that a store has log of.
///
/// # Errors
/// What the store says.
pub async fn clusters(bucket: &Arc<Bucket>, prefix: &str) -> Result<Vec<String>> {
    let names = bucket.folders(prefix.trim_matches('/')).await?;
    let is_system = |name: &String| !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit());
    Ok(names.into_iter().filter(is_system).collect())
}

impl Archive {
    /// Look at the log of a cluster.
    ///
    /// # Errors
    /// What the store says; `pg.wal_damaged` for a history that can't be read.
    pub async fn open(bucket: &Arc<Bucket>, prefix: &str, system: &str) -> Result<Self> {
        let mut archive = Self {
            folder: folder_of(prefix, system),
            system: system.to_owned(),
            ..Self::default()
        };
        let Some(cluster) = cluster(bucket, prefix, system).await? else {
            return Ok(archive);
        };
        archive.segment_size = cluster.segment_size;
        let mut notes = BTreeSet::new();
        let mut objects = BTreeSet::new();
        let mut list = bucket.list(&archive.folder)?;
        while let Some(entry) = list.try_next().await? {
            archive.size += entry.size;
            let Some(inside) = entry.key.strip_prefix(&format!("{}/", archive.folder)) else {
                continue;
            };
            if inside.starts_with("points/") {
                archive.points.push(entry.key);
                continue;
            }
            let Some((_, file)) = inside.split_once('/') else {
                continue;
            };
            let file = file.to_owned();
            let known = [(".json", true), (".zst", false), (".zst.age", false)];
            for (suffix, is_note) in known {
                if let Some(name) = file.strip_suffix(suffix) {
                    let into = if is_note { &mut notes } else { &mut objects };
                    into.insert(name.to_owned());
                    archive
                        .keys
                        .entry(name.to_owned())
                        .or_default()
                        .push(entry.key.clone());
                }
            }
        }
        for name in notes.intersection(&objects) {
            match FileKind::of(name) {
                Some(FileKind::Segment { partial: false }) => {
                    archive
                        .segments
                        .extend(Segment::parse(name, archive.segment_size));
                }
                Some(FileKind::History) => archive.read_history(bucket, name).await?,
                _ => {}
            }
        }
        Ok(archive)
    }

    async fn read_history(&mut self, bucket: &Arc<Bucket>, name: &str) -> Result<()> {
        let text = self.note(bucket, name).await?.and_then(|note| note.history);
        if let (Some(text), Some(timeline)) = (text, super::name::timeline_of(name)) {
            self.histories.insert(timeline, parse_history(name, &text)?);
            self.history_texts.insert(timeline, text);
        }
        Ok(())
    }

    /// The note of a file.
    ///
    /// # Errors
    /// What the store says; `pg.wal_damaged`.
    pub async fn note(&self, bucket: &Arc<Bucket>, name: &str) -> Result<Option<NoteFile>> {
        note(bucket, &self.folder, name).await
    }

    /// The note of a segment that is there.
    ///
    /// # Errors
    /// `pg.wal_missing` if it is not.
    pub async fn note_of(&self, bucket: &Arc<Bucket>, segment: Segment) -> Result<Note> {
        let name = segment.name(self.segment_size);
        match self.note(bucket, &name).await? {
            Some(file) => Ok(file.note),
            None => Err(Error::new(
                "pg.wal_missing",
                format!("{name} went from the store while it was looked at"),
            )
            .retryable()),
        }
    }

    /// The restore points that were made.
    ///
    /// # Errors
    /// What the store says.
    pub async fn points(&self, bucket: &Arc<Bucket>) -> Result<Vec<(u32, Point)>> {
        let mut points: Vec<(u32, Point)> = futures::stream::iter(self.points.clone())
            .map(|key| async move {
                let timeline = key
                    .rsplit('/')
                    .next()
                    .and_then(super::name::timeline_of)
                    .unwrap_or_default();
                let bytes = bucket.get(&key, LARGEST_NOTE).await?;
                let point = serde_json::from_slice(&bytes).map_err(|e| unreadable(&key, &e))?;
                Ok::<_, Error>((timeline, point))
            })
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        points.sort_by_key(|(timeline, point)| (point.lsn, *timeline));
        // The first segment of a timeline begins with a copy of its ancestor's.
        points.dedup_by(|(_, later), (_, first)| later == first);
        Ok(points)
    }

    /// The keys of the restore points, with the position of each.
    pub fn point_keys(&self) -> impl Iterator<Item = (&str, Lsn)> {
        self.points.iter().filter_map(|key| {
            let name = key.rsplit('/').next()?.strip_suffix(".json")?;
            let lsn = u64::from_str_radix(name.split_once('.')?.1, 16).ok()?;
            Some((key.as_str(), Lsn(lsn)))
        })
    }

    /// The names of files, with the keys of each: the note is the last one.
    pub fn files(&self) -> impl Iterator<Item = (&str, Vec<&str>)> {
        self.keys.iter().map(|(name, keys)| {
            let mut keys: Vec<&str> = keys.iter().map(String::as_str).collect();
            keys.sort_by_key(|key| key.ends_with(".json"));
            (name.as_str(), keys)
        })
    }
}

/// A note, and for a history its text.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NoteFile {
    #[serde(flatten)]
    pub note: Note,
    /// Where the timeline branched off: needed to plan, also without the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<String>,
}

/// What is the same for all of a cluster, if there is log of it.
///
/// # Errors
/// What the store says; `pg.wal_damaged`.
pub async fn cluster(bucket: &Arc<Bucket>, prefix: &str, system: &str) -> Result<Option<Cluster>> {
    let key = format!("{}/cluster.json", folder_of(prefix, system));
    match bucket.get(&key, LARGEST_NOTE).await {
        Ok(bytes) => {
            let cluster: Cluster =
                serde_json::from_slice(&bytes).map_err(|error| unreadable(&key, &error))?;
            let sound = cluster.segment_size.is_power_of_two()
                && (1 << 20..=1 << 30).contains(&cluster.segment_size);
            if !sound || cluster.format > FORMAT {
                return Err(unreadable(&key, &"it says nothing that this ccrun knows"));
            }
            Ok(Some(cluster))
        }
        Err(error) if error.kind() == "s3.not_found" => Ok(None),
        Err(error) => Err(error),
    }
}

/// The note of a file of a cluster.
///
/// # Errors
/// What the store says; `pg.wal_damaged`.
pub async fn note(bucket: &Arc<Bucket>, folder: &str, name: &str) -> Result<Option<NoteFile>> {
    let key = note_key(folder, name);
    match bucket.get(&key, LARGEST_NOTE).await {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| unreadable(&key, &error)),
        Err(error) if error.kind() == "s3.not_found" => Ok(None),
        Err(error) => Err(error),
    }
}

/// `wal/7448…`.
#[must_use]
pub fn folder_of(prefix: &str, system: &str) -> String {
    super::super::create::folder_of(prefix, system)
}

/// The folder of the files of a timeline.
#[must_use]
pub fn timeline_folder(folder: &str, name: &str) -> String {
    format!("{folder}/{}", name.get(..8).unwrap_or_default())
}

/// Where a file's note lies.
#[must_use]
pub fn note_key(folder: &str, name: &str) -> String {
    format!("{}/{name}.json", timeline_folder(folder, name))
}

/// A file out of the store, whole, as it was in the spool.
///
/// # Errors
/// `pg.wal_damaged` if it is another; `pg.backup_key`; what the store says.
pub async fn fetch(
    cx: &Cx,
    bucket: &Arc<Bucket>,
    folder: &str,
    note: &Note,
    keys: &[age::x25519::Identity],
) -> Result<Vec<u8>> {
    let key = format!("{}/{}", timeline_folder(folder, &note.name), note.key);
    // Never much larger than what it was made of.
    let sealed = bucket.get(&key, note.plain_size + (1 << 20)).await?;
    let keys = keys.to_vec();
    let note = note.clone();
    blocking(cx, move |work: &Work| {
        work.check()?;
        let damaged = |what: &str| {
            Error::new("pg.wal_damaged", format!("{} in the store: {what}", note.name)).hint(
                "recovery can't go past it: restore to a moment before it, or find out what happens to what lies in the store",
            )
        };
        if hex::encode(Sha256::digest(&sealed)) != note.sha256 {
            return Err(damaged("its SHA-256 is another than when it was written"));
        }
        let mut plain = Vec::with_capacity(usize::try_from(note.plain_size).unwrap_or_default());
        let mut reader =
            seal::open(io::Cursor::new(sealed), !note.recipients.is_empty(), &keys)?;
        io::Read::read_to_end(&mut reader, &mut plain)
            .map_err(|error| damaged(&error.to_string()))?;
        if hex::encode(Sha256::digest(&plain)) != note.plain_sha256 {
            return Err(damaged("what is in it is not what was in the spool"));
        }
        Ok(plain)
    })
    .await
}

fn unreadable(key: &str, why: &dyn std::fmt::Display) -> Error {
    Error::new("pg.wal_damaged", format!("{key} can't be read: {why}"))
        .hint("find out who writes into the store; a new base backup makes the log from then on useful again")
}
