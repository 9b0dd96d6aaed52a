//! The backups of a store: which there are, and which may go.

use std::sync::Arc;

use ccrun_kernel::rhai::Dynamic;
use ccrun_kernel::value::{Size, Timestamp};
use ccrun_kernel::{Cx, Error, Options, Preview, Result, primitive};
use futures::{StreamExt as _, TryStreamExt as _};

use super::create::folder_of;
use super::manifest::{Kind, LARGEST, MANIFEST, Manifest, VERIFIED, Verified};
use super::retention::{self, Keep};
use crate::s3::Store;
use crate::store::Bucket;

/// Which backups are meant.
#[derive(Clone, Options)]
pub struct ListOptions {
    /// The folder in the store that backups lie in.
    #[option(default = "backups")]
    prefix: String,
    /// Only those of this database.
    database: Option<String>,
    /// Only these: `logical` (a database, by `db.backup`) or `base` (a whole server, by `db.base_backup`).
    kind: Option<String>,
}

/// What is kept.
#[derive(Clone, Options)]
pub struct PruneOptions {
    /// The folder in the store that backups lie in.
    #[option(default = "backups")]
    prefix: String,
    /// The newest so many.
    #[option(default = "3")]
    last: usize,
    /// The newest of each of the last so many hours that have one.
    #[option(default = "0")]
    hourly: usize,
    /// The newest of each of the last so many days that have one.
    #[option(default = "7")]
    daily: usize,
    /// The newest of each of the last so many weeks (ISO 8601) that have one.
    #[option(default = "4")]
    weekly: usize,
    /// The newest of each of the last so many months that have one.
    #[option(default = "6")]
    monthly: usize,
    /// The newest of each of the last so many years that have one.
    #[option(default = "0")]
    yearly: usize,
    /// All that are younger.
    within: Option<ccrun_kernel::value::Duration>,
    /// Whose days, weeks and months: `Europe/Berlin`.
    #[option(default = "UTC")]
    timezone: String,
}

/// How many manifests are read at once.
const AT_ONCE: usize = 16;

/// What was begun and has no manifest is left alone for so long: it may still be under way.
const UNFINISHED_FOR: i64 = 24 * 3600;

/// A backup, and when it was found right.
pub(super) struct Known {
    pub manifest: Manifest,
    pub verified: Option<Verified>,
}

/// The backups in a store, newest first: their manifests, as `db.backup` returns them.
///
/// What has no manifest is no backup, and is not listed.
///
/// # Errors
/// `pg.backup_damaged` for a manifest that can't be read; `s3.…` of the store.
///
/// # Example
/// ```rhai
/// assert(pg::backups(s3::folder("kept")).is_empty());
/// ```
#[primitive(read, volatile, needs = s3(store.resource()))]
pub(in crate::pg) async fn backups(
    cx: &Cx,
    store: Store,
    options: ListOptions,
) -> Result<Vec<Dynamic>> {
    let Some(bucket) = opened(cx, &store).await? else {
        return Ok(Vec::new());
    };
    let mut known = all(&bucket, &options.prefix).await?.0;
    if let Some(database) = &options.database {
        known.retain(|backup| backup.manifest.database.name == *database);
    }
    match options.kind.as_deref() {
        None => {}
        Some("logical") => known.retain(|backup| backup.manifest.kind == Kind::Logical),
        Some("base") => known.retain(|backup| backup.manifest.kind == Kind::Base),
        Some(other) => {
            return Err(Error::new(
                "pg.backup_option",
                format!("there is no kind of backup `{other}`"),
            )
            .hint("there are `logical` and `base`"));
        }
    }
    known
        .iter()
        .map(|backup| backup.manifest.to_script(backup.verified.as_ref()))
        .collect()
}

/// The store, unless it is a folder that nobody has made yet.
pub(super) async fn opened(cx: &Cx, store: &Store) -> Result<Option<Arc<Bucket>>> {
    match store.reader(cx).await {
        Ok(bucket) => Ok(Some(bucket)),
        Err(error) if error.kind() == "s3.no_bucket" => Ok(None),
        Err(error) => Err(error),
    }
}

/// The backups, newest first, and the folders that have no manifest.
pub(super) async fn all(bucket: &Arc<Bucket>, prefix: &str) -> Result<(Vec<Known>, Vec<String>)> {
    let prefix = prefix.trim_matches('/');
    let ids = bucket.folders(prefix).await?;
    let mut found = Vec::new();
    let mut without = Vec::new();
    let mut reading = futures::stream::iter(ids.into_iter().filter(|id| is_id(id)))
        .map(|id| async move { Ok::<_, Error>((find(bucket, prefix, &id).await?, id)) })
        .buffered(AT_ONCE);
    while let Some((known, id)) = reading.try_next().await? {
        match known {
            Some(known) => found.push(known),
            None => without.push(id),
        }
    }
    Ok((newest_first(found), without))
}

/// In the order in which they were made, the newest first.
///
/// Clocks are set, and jump; the position in a server's write-ahead log only ever grows. So of the backups of one
/// server and timeline the log decides, and none counts as newer than one that was made after it. Among
/// servers, there is only the time.
fn newest_first(mut found: Vec<Known>) -> Vec<Known> {
    use std::collections::HashMap;
    type Line = (String, u32);
    let line = |known: &Known| -> Line {
        let server = &known.manifest.server;
        (server.system_identifier.clone(), server.timeline)
    };
    found.sort_by(|a, b| {
        let place = |known: &Known| {
            (
                position(&known.manifest.lsn.start),
                known.manifest.started.instant(),
            )
        };
        place(b)
            .cmp(&place(a))
            .then_with(|| b.manifest.id.cmp(&a.manifest.id))
    });
    let mut latest: HashMap<Line, i64> = HashMap::new();
    let mut dated: Vec<(i64, usize, Known)> = Vec::new();
    for (place, known) in found.into_iter().enumerate() {
        let own = known.manifest.started.instant().as_nanosecond();
        let own = i64::try_from(own).unwrap_or(i64::MAX);
        let time = latest.entry(line(&known)).or_insert(own);
        *time = own.min(*time);
        dated.push((*time, place, known));
    }
    dated.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    dated.into_iter().map(|(_, _, known)| known).collect()
}

/// `16/B374D848` as a number.
fn position(lsn: &str) -> u64 {
    let Some((high, low)) = lsn.split_once('/') else {
        return 0;
    };
    let part = |text| u64::from_str_radix(text, 16).unwrap_or(0);
    (part(high) << 32) | (part(low) & 0xffff_ffff)
}

/// Whether a folder's name is one that `db.backup` gives: other things in the store are none of our business.
fn is_id(name: &str) -> bool {
    let bytes = name.as_bytes();
    bytes.len() > 17
        && bytes[8] == b'T'
        && bytes[15] == b'Z'
        && bytes[16] == b'-'
        && bytes[..8]
            .iter()
            .chain(&bytes[9..15])
            .all(u8::is_ascii_digit)
}

async fn find(bucket: &Arc<Bucket>, prefix: &str, id: &str) -> Result<Option<Known>> {
    let folder = folder_of(prefix, id);
    let manifest = match bucket.get(&format!("{folder}/{MANIFEST}"), LARGEST).await {
        Ok(bytes) => Manifest::parse(id, &bytes)?,
        Err(error) if error.kind() == "s3.not_found" => return Ok(None),
        Err(error) => return Err(error),
    };
    let verified = match bucket.get(&format!("{folder}/{VERIFIED}"), 1 << 20).await {
        Ok(bytes) => serde_json::from_slice(&bytes).ok(),
        Err(error) if error.kind() == "s3.not_found" => None,
        Err(error) => return Err(error),
    };
    Ok(Some(Known { manifest, verified }))
}

/// One backup: by its id, the beginning of it, or `latest`.
pub(super) async fn one(bucket: &Arc<Bucket>, prefix: &str, id: &str) -> Result<Known> {
    one_of(bucket, prefix, id, None).await
}

/// The same, where `latest` is the newest of a kind.
pub(super) async fn one_of(
    bucket: &Arc<Bucket>,
    prefix: &str,
    id: &str,
    kind: Option<Kind>,
) -> Result<Known> {
    if is_id(id)
        && let Some(known) = find(bucket, prefix, id).await?
    {
        return Ok(known);
    }
    let (all, without) = all(bucket, prefix).await?;
    let count = all.len();
    let mut fitting: Vec<Known> = all
        .into_iter()
        .filter(|known| match id {
            "latest" => kind.is_none_or(|kind| known.manifest.kind == kind),
            _ => !id.is_empty() && known.manifest.id.starts_with(id),
        })
        .collect();
    if id == "latest" {
        fitting.truncate(1);
    }
    match fitting.len() {
        1 => Ok(fitting.remove(0)),
        0 if without.iter().any(|other| other == id) => Err(Error::new(
            "pg.no_backup",
            format!("{id} has no manifest: it was not completed, so it is no backup"),
        )
        .hint("take another: `ccrun backups` lists them")),
        0 => Err(Error::new(
            "pg.no_backup",
            format!(
                "there is no backup {id} below {prefix} in {}",
                bucket.place()
            ),
        )
        .hint(if count == 0 {
            "there is none at all: `ccrun backup` makes one".to_owned()
        } else {
            format!("`ccrun backups` lists the {count} that there are; `latest` is the newest")
        })),
        several => Err(
            Error::new("pg.no_backup", format!("{several} backups begin with {id}"))
                .hint("give more of its name"),
        ),
    }
}

/// Delete backups that need not be kept. Returns what was decided of each, newest first: maps with `id`, `started`,
/// `size`, `keep`, `why`.
///
/// A backup is kept if any rule wants it. Beside the rules: the newest verified one of each database always stays, and
/// as long as the newest of all was not verified, nothing of that database goes; nor does what is locked. What was begun more than a day ago and
/// never completed goes.
///
/// # Errors
/// `pg.backup_option` if nothing would be kept; `pg.backup_damaged`; `s3.…` of the store.
///
/// # Example
/// ```rhai
/// assert(pg::prune(s3::folder("kept"), #{ last: 3, daily: 7, weekly: 4 }).is_empty());
/// ```
#[primitive(change, needs = s3(store.resource()), preview = prune_preview)]
pub(in crate::pg) async fn prune(
    cx: &Cx,
    store: Store,
    options: PruneOptions,
) -> Result<Vec<Dynamic>> {
    let keep = options.keep()?;
    let Some(bucket) = opened(cx, &store).await? else {
        cx.unchanged();
        return Ok(Vec::new());
    };
    let (decided, unfinished) = decide(&bucket, &options, &keep).await?;
    if decided.iter().all(|decision| decision.keep) && unfinished.is_empty() {
        cx.unchanged();
    }
    for decision in decided.iter().filter(|decision| !decision.keep) {
        // The manifest first: killed in between, it is no backup any more, rather than a broken one.
        let folder = folder_of(&options.prefix, &decision.id);
        bucket.delete(&format!("{folder}/{MANIFEST}")).await?;
        bucket.delete_prefix(&folder).await?;
    }
    for id in old_enough(&bucket, &options.prefix, unfinished).await? {
        bucket
            .delete_prefix(&folder_of(&options.prefix, &id))
            .await?;
    }
    Ok(decided.iter().map(retention::Decision::to_script).collect())
}

/// Those of what was never completed that are old by the clock of the store, and not by this machine's alone: one that is
/// ahead would let a backup go that is under way.
async fn old_enough(
    bucket: &Arc<Bucket>,
    prefix: &str,
    unfinished: Vec<String>,
) -> Result<Vec<String>> {
    if unfinished.is_empty() {
        return Ok(unfinished);
    }
    let key = folder_of(prefix, &format!("clock-{:08x}", rand::random::<u32>()));
    bucket
        .put(
            &key,
            tokio_util::bytes::Bytes::from_static(b"what time is it?"),
        )
        .await?;
    let now = bucket.head(&key).await?.modified;
    bucket.delete(&key).await?;
    let mut old = Vec::new();
    for id in unfinished {
        if is_old(bucket, &folder_of(prefix, &id), &now).await? {
            old.push(id);
        }
    }
    Ok(old)
}

/// Whether nothing was written into a folder for a day.
async fn is_old(bucket: &Arc<Bucket>, folder: &str, now: &Timestamp) -> Result<bool> {
    let mut newest = None;
    let mut list = bucket.list(folder)?;
    while let Some(entry) = list.try_next().await? {
        newest = newest.max(Some(entry.modified.instant().as_second()));
    }
    Ok(newest.is_some_and(|newest| now.instant().as_second() - newest > UNFINISHED_FOR))
}

/// What `pg::prune` would decide of each backup, newest first: maps with `id`, `started`, `size`, `keep`, `why`.
///
/// # Errors
/// As `pg::prune`.
///
/// # Example
/// ```rhai
/// assert(pg::retention(s3::folder("kept"), #{ last: 3, daily: 7 }).is_empty());
/// ```
#[primitive(read, volatile, needs = s3(store.resource()), name = "retention")]
pub(in crate::pg) async fn decided(
    cx: &Cx,
    store: Store,
    options: PruneOptions,
) -> Result<Vec<Dynamic>> {
    let keep = options.keep()?;
    let Some(bucket) = opened(cx, &store).await? else {
        return Ok(Vec::new());
    };
    let (decided, _) = decide(&bucket, &options, &keep).await?;
    Ok(decided.iter().map(retention::Decision::to_script).collect())
}

async fn decide(
    bucket: &Arc<Bucket>,
    options: &PruneOptions,
    keep: &Keep,
) -> Result<(Vec<retention::Decision>, Vec<String>)> {
    let (known, without) = all(bucket, &options.prefix).await?;
    let candidates: Vec<retention::Candidate> = known
        .iter()
        .map(|known| retention::Candidate {
            id: known.manifest.id.clone(),
            // A base backup is of all databases of a server, so those of a cluster are judged together.
            database: match known.manifest.kind {
                Kind::Logical => known.manifest.database.name.clone(),
                Kind::Base => format!("/{}", known.manifest.server.system_identifier),
            },
            started: known.manifest.started.clone(),
            size: known.manifest.size(),
            verified: known.verified.is_some(),
            locked_until: known
                .manifest
                .locked
                .as_ref()
                .map(|locked| locked.until.clone()),
        })
        .collect();
    let now = Timestamp::now();
    let decided = retention::decide(&candidates, keep, &now)?;
    let mut unfinished = Vec::new();
    for id in without {
        if is_old(bucket, &folder_of(&options.prefix, &id), &now).await? {
            unfinished.push(id);
        }
    }
    Ok((decided, unfinished))
}

impl PruneOptions {
    fn keep(&self) -> Result<Keep> {
        let keep = Keep {
            last: self.last,
            hourly: self.hourly,
            daily: self.daily,
            weekly: self.weekly,
            monthly: self.monthly,
            yearly: self.yearly,
            within: self.within,
            timezone: self.timezone.clone(),
        };
        if keep.is_nothing() {
            return Err(
                Error::new("pg.backup_option", "these rules keep no backup at all")
                    .hint("keep at least one: `last: 3`"),
            );
        }
        Ok(keep)
    }
}

async fn prune_preview(cx: &Cx, store: &Store, options: &PruneOptions) -> Result<Preview> {
    let keep = options.keep()?;
    let nothing = || Preview::new("no backup needs to go").unchanged();
    let Some(bucket) = opened(cx, store).await? else {
        return Ok(nothing());
    };
    let (decided, unfinished) = decide(&bucket, options, &keep).await?;
    let gone: Vec<&retention::Decision> = decided.iter().filter(|each| !each.keep).collect();
    if gone.is_empty() && unfinished.is_empty() {
        return Ok(nothing());
    }
    let size: u64 = gone.iter().map(|each| each.size).sum();
    let mut text = String::new();
    for each in &decided {
        let verb = if each.keep { "keep  " } else { "delete" };
        text.push_str(&format!("{verb} {}: {}\n", each.id, each.why));
    }
    for id in &unfinished {
        text.push_str(&format!("delete {id}: never completed\n"));
    }
    Ok(Preview::new(format!(
        "delete {} of {} backups ({}) from {}",
        gone.len(),
        decided.len(),
        Size::from_bytes(size),
        store.place
    ))
    .diff(text))
}
