//! `pg::ship_wal`: finished log from the spool into a store.

use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ccrun_kernel::rhai::{Dynamic, Map};
use ccrun_kernel::value::{Size, Timestamp};
use ccrun_kernel::{Cx, Error, Options, Preview, Result, primitive};
use futures::{StreamExt as _, TryStreamExt as _};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio_util::bytes::Bytes;

use super::super::create::{Sealing, Set};
use super::super::seal::Recipients;
use super::archive::{self, Cluster, FORMAT, Note, NoteFile, note_key, timeline_folder};
use super::name::{FileKind, parse_history, timeline_of};
use super::scan::{Header, Moments, PAGE, Point, Scan};
use crate::files::{FilePath, Files, Work, blocking};
use crate::s3::Store;
use crate::store::Bucket;

/// How finished log is shipped.
#[derive(Clone, Options)]
pub struct ShipOptions {
    /// The folder in the store that the log lies in.
    #[option(default = "wal")]
    prefix: String,
    /// Who may read it: recipients of age (`age1…`). Without one, whoever can read the store can read it.
    recipients: Option<Vec<String>>,
    /// How hard zstd tries, from 1 to 19.
    #[option(default = "1")]
    level: i64,
    /// The cluster that the spool belongs to, as `SELECT system_identifier FROM pg_control_system()` says. Left out, it
    /// is the one that was shipped from this spool first.
    system_identifier: Option<String>,
    /// Read each file back from the store, and compare, before it goes from the spool.
    #[option(default = "true")]
    read_back: bool,
}

/// The file in a spool that says which cluster it belongs to.
const MARK: &str = ".system_identifier";

/// So many are shipped at once.
const AT_ONCE: usize = 3;

/// A history or a `.backup` file is never larger.
const LARGEST_TEXT: u64 = 1 << 20;

/// A restore point that ccrun makes so that a quiet server's log tells the time.
pub const HEARTBEAT: &str = "ccrun heartbeat";

/// What waits in a spool.
struct Waiting {
    name: String,
    path: PathBuf,
    kind: FileKind,
    size: u64,
}

/// What became of a file.
struct Shipped {
    note: Note,
    new: bool,
}

/// Ship the finished log that waits in a spool into a store, and remove from the spool what has arrived.
///
/// Postgres puts it there (`archive_command`). A segment is looked at first: its length, the system identifier and the
/// timeline in its pages, the position its name says; one that is empty, cut short or of another cluster is never taken.
/// It is compressed with zstd, encrypted with age if there are recipients, read back from the store, and then a note is
/// written beside it that makes it count: hashes, and which moments are in it. What is in the store already with the
/// same content is removed from the spool; with another content it is an error, and both stay. Files whose names
/// Postgres does not give are left alone.
///
/// What is wrong with one file does not hold up the others; the error names all of them at the end. Returns a map:
/// `system_identifier`, `shipped`, `same` (were there already), `size`, `last`, `latest` (the latest moment in what was
/// shipped), `ignored`, `elapsed`.
///
/// # Errors
/// `pg.wal_damaged` for files that are no log; `pg.wal_foreign` for those of another cluster; `pg.wal_differs`;
/// `pg.backup_key`; `s3.…` of the store.
///
/// # Example
/// ```rhai
/// fs::create_dir("spool");
/// assert(pg::ship_wal(s3::folder("kept"), "spool").shipped == 0);
/// ```
#[primitive(change, needs = s3(store.resource()), needs = fs(spool), preview = ship_preview)]
pub(in crate::pg) async fn ship_wal(
    cx: &Cx,
    store: Store,
    spool: FilePath,
    options: ShipOptions,
) -> Result<Map> {
    let started = Timestamp::now();
    let recipients = Recipients::parse(&options.recipients.clone().unwrap_or_default())?;
    let files = cx.client::<Files>().await?;
    let (waiting, ignored) = waiting(&files, &spool)?;
    let mut shipment = Shipment {
        cx,
        bucket: store.writer(cx).await?,
        files: Arc::clone(&files),
        spool: &spool,
        prefix: &options.prefix,
        system: expected(&files, &spool, options.system_identifier.as_deref())?,
        recipients,
        level: i32::try_from(options.level.clamp(1, 19)).unwrap_or(1),
        read_back: options.read_back,
    };
    let mut wrong: Vec<Error> = Vec::new();
    // Whose spool it is, the first segment says, if nobody has said so yet.
    let mut good = Vec::new();
    for file in waiting {
        match shipment.look(&file) {
            Ok(Some(())) => good.push(file),
            // Somebody else has shipped it meanwhile.
            Ok(None) => {}
            Err(error) => wrong.push(error),
        }
    }
    let shipment = &shipment;
    shipment.say_whose(&good).await?;
    let mut shipped: Vec<Shipped> = Vec::new();
    let mut shipping = futures::stream::iter(good)
        .map(|file| shipment.ship(file))
        .buffered(AT_ONCE);
    while let Some(done) = shipping.next().await {
        match done {
            Ok(done) => shipped.extend(done),
            Err(error) if error.kind().starts_with("pg.wal_") => wrong.push(error),
            // The store: there is no use in going on, and nothing is lost.
            Err(error) => return Err(error),
        }
    }
    if shipped.is_empty() {
        cx.unchanged();
    }
    if !wrong.is_empty() {
        return Err(together(&spool, shipped.len(), wrong));
    }
    let new: Vec<&Note> = shipped
        .iter()
        .filter(|each| each.new)
        .map(|each| &each.note)
        .collect();
    let until = new.iter().filter_map(|note| note.moments.latest).max();
    let count = |count: usize| Dynamic::from(i64::try_from(count).unwrap_or(i64::MAX));
    Ok(Map::from_iter([
        (
            "system_identifier".into(),
            shipment.system.clone().map_or(Dynamic::UNIT, Dynamic::from),
        ),
        ("shipped".into(), count(new.len())),
        ("same".into(), count(shipped.len() - new.len())),
        (
            "size".into(),
            Dynamic::from(Size::from_bytes(new.iter().map(|note| note.size).sum())),
        ),
        (
            "last".into(),
            new.last()
                .map_or(Dynamic::UNIT, |note| note.name.clone().into()),
        ),
        ("latest".into(), until.map_or(Dynamic::UNIT, moment_of)),
        (
            "ignored".into(),
            ignored
                .into_iter()
                .map(Dynamic::from)
                .collect::<ccrun_kernel::rhai::Array>()
                .into(),
        ),
        (
            "elapsed".into(),
            Dynamic::from(Timestamp::now().since(&started).rounded()),
        ),
    ]))
}

/// A moment of the log, for scripts.
pub fn moment_of(micros: i64) -> Dynamic {
    timestamp_of(micros).map_or(Dynamic::UNIT, Dynamic::from)
}

/// A moment of the log.
pub fn timestamp_of(micros: i64) -> Option<Timestamp> {
    jiff::Timestamp::from_microsecond(micros)
        .ok()
        .map(Timestamp::from)
}

/// What waits in a spool, histories first, and the names of what is none of our business.
fn waiting(files: &Files, spool: &Path) -> Result<(Vec<Waiting>, Vec<String>)> {
    let mut waiting = Vec::new();
    let mut ignored = Vec::new();
    for entry in files.entries(spool)? {
        let name = entry
            .path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        match FileKind::of(&name) {
            Some(kind) if entry.metadata.is_file() => waiting.push(Waiting {
                name,
                kind,
                size: entry.metadata.size(),
                path: entry.path,
            }),
            // Dotted: being written, or our mark.
            None if name.starts_with('.') => {}
            _ => ignored.push(name),
        }
    }
    waiting.sort_by_key(|file| (file.kind != FileKind::History, file.name.clone()));
    Ok((waiting, ignored))
}

/// The cluster that a spool belongs to, as far as anybody has said so.
fn expected(files: &Files, spool: &Path, asked: Option<&str>) -> Result<Option<String>> {
    let mark = spool.join(MARK);
    let marked = match files.find(&mark, true)? {
        None => None,
        Some(_) => {
            let mut text = String::new();
            let (file, _) = files.open_file(&mark)?;
            file.take(64)
                .read_to_string(&mut text)
                .map_err(|error| crate::files::failed("read", &mark, &error))?;
            Some(text.trim().to_owned()).filter(|text| !text.is_empty())
        }
    };
    match (asked, marked) {
        (Some(asked), Some(marked)) if asked != marked => Err(Error::new(
            "pg.wal_foreign",
            format!(
                "{} belongs to the cluster {marked}, and the server is {asked}",
                spool.display()
            ),
        )
        .hint(format!(
            "was the server made anew? Then give it a spool of its own, or, when all that waits there is shipped or not needed, remove {}",
            mark.display()
        ))),
        (asked, marked) => Ok(asked.map(str::to_owned).or(marked)),
    }
}

fn damaged(what: String) -> Error {
    Error::new("pg.wal_damaged", what)
}

/// One error for all that is wrong.
fn together(spool: &Path, shipped: usize, wrong: Vec<Error>) -> Error {
    const NAMED: usize = 10;
    let count = wrong.len();
    let kind = wrong[0].kind().to_owned();
    let named: String = wrong
        .iter()
        .take(NAMED)
        .map(|error| format!("\n  {}", error.message()))
        .collect();
    let more = if count > NAMED {
        format!("\n  and {} more", count - NAMED)
    } else {
        String::new()
    };
    let hint = match kind.as_str() {
        "pg.wal_foreign" => {
            "each cluster needs a spool of its own: look at `archive_command` of the server that writes there"
        }
        "pg.wal_differs" => {
            "did somebody start a copy of the server that archives as well? Stop that; then decide which of the two files is right, and take a new base backup"
        }
        _ => {
            "if the server still has it in pg_wal, copy it from there; else remove it and take a new base backup: recovery can't go past it. `ccrun wal-archive -p action=setup` sets the archive_command that writes whole files only"
        }
    };
    Error::new(
        kind,
        format!(
            "{count} of the files in {} can't be shipped, and stay there ({shipped} others were shipped):{named}{more}",
            spool.display()
        ),
    )
    .hint(hint)
}

/// A run of `ship_wal`.
struct Shipment<'c> {
    cx: &'c Cx,
    bucket: Arc<Bucket>,
    files: Arc<Files>,
    spool: &'c Path,
    prefix: &'c str,
    system: Option<String>,
    recipients: Recipients,
    level: i32,
    read_back: bool,
}

impl Shipment<'_> {
    /// Whether a file is what its name says; `None` if it is not there any more.
    fn look(&mut self, file: &Waiting) -> Result<Option<()>> {
        let name = &file.name;
        let FileKind::Segment { .. } = file.kind else {
            if file.size == 0 || file.size > LARGEST_TEXT {
                return Err(damaged(format!("{name} has {} bytes", file.size)));
            }
            return match &self.system {
                Some(_) => Ok(Some(())),
                None => Err(damaged(format!(
                    "{name} does not say of which cluster it is, and no segment was shipped from here yet"
                ))),
            };
        };
        let mut first = Vec::new();
        let opened = match self.files.open_file(&file.path) {
            Err(error) if error.kind() == "fs.not_found" => return Ok(None),
            opened => opened?,
        };
        opened
            .0
            .take(PAGE as u64)
            .read_to_end(&mut first)
            .map_err(|error| crate::files::failed("read", &file.path, &error))?;
        if file.size == 0 {
            return Err(damaged(format!("{name} is empty")));
        }
        let Some(header) = Header::read(&first) else {
            return Err(damaged(format!("{name} does not begin as a segment does")));
        };
        if header.segment_size != file.size {
            return Err(damaged(format!(
                "{name} has {} bytes, and segments of its cluster have {}",
                file.size, header.segment_size
            )));
        }
        let named = super::name::Segment::parse(&name[..24], header.segment_size);
        if named.map(|segment| segment.start(header.segment_size)) != Some(header.start) {
            return Err(damaged(format!(
                "{name} is another segment inside: it begins at {}",
                header.start
            )));
        }
        // The first segment of a timeline begins with a copy of its ancestor's pages.
        if named.is_none_or(|segment| header.timeline > segment.timeline) {
            return Err(damaged(format!(
                "{name} is of the timeline {} inside",
                header.timeline
            )));
        }
        let system = header.system.to_string();
        match &self.system {
            Some(expected) if *expected != system => Err(Error::new(
                "pg.wal_foreign",
                format!("{name} is of the cluster {system}, and the spool of {expected}"),
            )),
            Some(_) => Ok(Some(())),
            None => {
                self.system = Some(system);
                Ok(Some(()))
            }
        }
    }

    /// Ship one; `None` if somebody else did meanwhile.
    async fn ship(&self, file: Waiting) -> Result<Option<Shipped>> {
        let system = self.system.clone().unwrap_or_default();
        let folder = archive::folder_of(self.prefix, &system);
        let gone = |error: &Error| error.kind() == "fs.not_found";
        if let Some(old) = archive::note(&self.bucket, &folder, &file.name).await? {
            let there = format!("{}/{}", timeline_folder(&folder, &file.name), old.note.key);
            let size = self.bucket.find(&there).await?.map(|entry| entry.size);
            let plain = match self.hash(&file).await {
                Err(error) if gone(&error) => return Ok(None),
                hashed => hashed?,
            };
            if plain != old.note.plain_sha256 {
                return Err(Error::new(
                    "pg.wal_differs",
                    format!(
                        "{} is in the store with another content: {there} (SHA-256 {}…), and here {} ({}…)",
                        file.name,
                        &old.note.plain_sha256[..12.min(old.note.plain_sha256.len())],
                        file.path.display(),
                        &plain[..12]
                    ),
                ));
            }
            if size == Some(old.note.size) {
                self.files.remove(&file.path)?;
                return Ok(Some(Shipped {
                    note: old.note,
                    new: false,
                }));
            }
            // What the note speaks of is gone: it is shipped again.
        }
        let (note, history) = match self.upload(&file, &folder, &system).await {
            Err(error) if gone(&error) => return Ok(None),
            uploaded => uploaded?,
        };
        if self.read_back {
            self.compare(&folder, &note).await?;
        }
        for point in note
            .moments
            .points
            .iter()
            .filter(|point| point.name != HEARTBEAT)
        {
            self.point(&folder, &file.name, point).await?;
        }
        let text = serde_json::to_vec(&NoteFile {
            note: note.clone(),
            history,
        })
        .map_err(|error| Error::new("pg.protocol", error.to_string()))?;
        self.bucket
            .put(&note_key(&folder, &file.name), text.into())
            .await?;
        // Only now is it safe.
        self.files.remove(&file.path)?;
        Ok(Some(Shipped { note, new: true }))
    }

    /// Say in the spool and in the store which cluster this is.
    async fn say_whose(&self, good: &[Waiting]) -> Result<()> {
        let (Some(system), false) = (&self.system, good.is_empty()) else {
            return Ok(());
        };
        let mut sizes: Vec<u64> = good
            .iter()
            .filter(|file| matches!(file.kind, FileKind::Segment { .. }))
            .map(|file| file.size)
            .collect();
        sizes.dedup();
        for size in sizes {
            self.cluster(system, size).await?;
        }
        let mark = self.spool.join(MARK);
        if self.files.find(&mark, true)?.is_none() {
            let (files, text) = (Arc::clone(&self.files), system.clone());
            blocking(self.cx, move |work: &Work| {
                let mut file = files.replace(work, &mark, None)?;
                file.write_content(text.as_bytes())?;
                file.commit()
            })
            .await?;
        }
        Ok(())
    }

    async fn cluster(&self, system: &str, segment_size: u64) -> Result<()> {
        let folder = archive::folder_of(self.prefix, system);
        let cluster = Cluster {
            format: FORMAT,
            system_identifier: system.to_owned(),
            segment_size,
        };
        match archive::cluster(&self.bucket, self.prefix, system).await? {
            Some(known) if known.segment_size == segment_size => return Ok(()),
            Some(known) => {
                return Err(Error::new(
                    "pg.wal_differs",
                    format!(
                        "segments of the cluster {system} had {} bytes, and have {segment_size} now",
                        known.segment_size
                    ),
                ));
            }
            None => {}
        }
        let text = serde_json::to_vec(&cluster)
            .map_err(|error| Error::new("pg.protocol", error.to_string()))?;
        self.bucket
            .put(&format!("{folder}/cluster.json"), text.into())
            .await
    }

    async fn point(&self, folder: &str, name: &str, point: &Point) -> Result<()> {
        let timeline = timeline_of(name).unwrap_or_default();
        let key = format!("{folder}/points/{timeline:08X}.{:016X}.json", point.lsn.0);
        let text = serde_json::to_vec(point)
            .map_err(|error| Error::new("pg.protocol", error.to_string()))?;
        self.bucket.put(&key, text.into()).await
    }

    /// The SHA-256 of a file.
    async fn hash(&self, file: &Waiting) -> Result<String> {
        let (opened, _) = self.files.open_file(&file.path)?;
        let path = file.path.clone();
        blocking(self.cx, move |work: &Work| {
            let mut hash = Sha256::new();
            let mut reader = work.reading(opened, |_| ());
            let mut buffer = vec![0; 1 << 20];
            loop {
                let read = reader
                    .read(&mut buffer)
                    .map_err(|error| crate::files::failed("read", &path, &error))?;
                if read == 0 {
                    return Ok(hex::encode(hash.finalize()));
                }
                hash.update(&buffer[..read]);
            }
        })
        .await
    }

    /// Bring a file into the store. Returns its note, which is not written yet, and a history's text.
    async fn upload(
        &self,
        file: &Waiting,
        folder: &str,
        system: &str,
    ) -> Result<(Note, Option<String>)> {
        let (opened, _) = self.files.open_file(&file.path)?;
        let is_segment = matches!(file.kind, FileKind::Segment { .. });
        let start = super::name::Segment::parse(&file.name[..24.min(file.name.len())], file.size)
            .filter(|_| is_segment)
            .map(|segment| segment.start(file.size));
        let mut set = Set {
            cx: self.cx,
            bucket: Arc::clone(&self.bucket),
            folder: timeline_folder(folder, &file.name),
            sealing: Sealing {
                recipients: self.recipients.clone(),
                level: self.level,
                threads: 0,
            },
            parts: Vec::new(),
            lock: None,
        };
        let (to, from) = mpsc::channel::<Bytes>(4);
        let path = file.path.clone();
        let reading = blocking(self.cx, move |work: &Work| {
            let mut opened = opened;
            loop {
                work.check()?;
                let mut piece = Vec::with_capacity(1 << 20);
                io::Read::by_ref(&mut opened)
                    .take(1 << 20)
                    .read_to_end(&mut piece)
                    .map_err(|error| crate::files::failed("read", &path, &error))?;
                if piece.is_empty() || to.blocking_send(Bytes::from(piece)).is_err() {
                    return Ok(());
                }
            }
        });
        let is_history = file.kind == FileKind::History;
        let (plain_sha256, moments, text) = set
            .ship(&file.name, "", None, from, reading, move |inlet| {
                let mut hash = Sha256::new();
                let mut scan = start.map(Scan::new);
                let mut text = Vec::new();
                let mut page = vec![0; PAGE];
                loop {
                    let read = read_full(inlet, &mut page)?;
                    if read == 0 {
                        break;
                    }
                    hash.update(&page[..read]);
                    if let Some(scan) = &mut scan {
                        scan.page(&page[..read]);
                    } else if is_history {
                        text.extend_from_slice(&page[..read]);
                    }
                }
                let moments = scan.map(Scan::finish).unwrap_or_default();
                Ok((hex::encode(hash.finalize()), moments, text))
            })
            .await?;
        let history = is_history.then(|| String::from_utf8_lossy(&text).into_owned());
        if let Some(text) = &history {
            parse_history(&file.name, text)?;
        }
        let part = set.parts.remove(0);
        if part.plain_size != file.size {
            return Err(damaged(format!(
                "{} had {} bytes, and {} when it was read: something writes to it",
                file.name, file.size, part.plain_size
            )));
        }
        let note = Note {
            format: FORMAT,
            name: file.name.clone(),
            system_identifier: system.to_owned(),
            key: part.key,
            size: part.size,
            sha256: part.sha256,
            plain_size: part.plain_size,
            plain_sha256,
            shipped: Timestamp::now(),
            recipients: self.recipients.names(),
            moments,
        };
        self.warn(&note, file.kind);
        Ok((note, history))
    }

    /// A damaged record is no reason to keep the rest back; it has to be known.
    fn warn(&self, note: &Note, kind: FileKind) {
        let Moments {
            broken_at: Some(at),
            ..
        } = &note.moments
        else {
            return;
        };
        // What follows the last record of a timeline is what the segment was before.
        if kind == (FileKind::Segment { partial: false }) {
            self.cx.log(
                ccrun_kernel::event::Level::Warn,
                format!(
                    "{} can be read up to {at} only: recovery may end there. Look at the server's disk, and take a new base backup",
                    note.name
                ),
            );
        }
    }

    /// Read a file back.
    async fn compare(&self, folder: &str, note: &Note) -> Result<()> {
        let key = format!("{}/{}", timeline_folder(folder, &note.name), note.key);
        let mut hash = Sha256::new();
        let mut stream = self.bucket.read(&key, None).await?;
        while let Some(piece) = stream.try_next().await? {
            hash.update(&piece);
        }
        if hex::encode(hash.finalize()) == note.sha256 {
            return Ok(());
        }
        Err(Error::new(
            "s3.damaged",
            format!("{key} in {} is not what was sent", self.bucket.place()),
        )
        .hint("it stays in the spool, and is sent again by the next run")
        .retryable())
    }
}

/// As much as fits, unless it ends before.
fn read_full(from: &mut impl io::Read, into: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < into.len() {
        let read = from.read(&mut into[filled..])?;
        if read == 0 {
            break;
        }
        filled += read;
    }
    Ok(filled)
}

async fn ship_preview(
    cx: &Cx,
    store: &Store,
    spool: &FilePath,
    options: &ShipOptions,
) -> Result<Preview> {
    Recipients::parse(&options.recipients.clone().unwrap_or_default())?;
    let files = cx.client::<Files>().await?;
    if files.find(spool, true)?.is_none() {
        return Ok(
            Preview::new(format!("there is no {spool} yet, so nothing waits in it")).unchanged(),
        );
    }
    let (waiting, _) = waiting(&files, spool)?;
    let size = waiting.iter().map(|file| file.size).sum();
    let preview = Preview::new(format!(
        "ship {} files ({}) from {spool} into {}/{}, and remove them from there",
        waiting.len(),
        Size::from_bytes(size),
        store.place,
        options.prefix.trim_matches('/')
    ));
    Ok(if waiting.is_empty() {
        Preview::new(format!("nothing waits in {spool}")).unchanged()
    } else {
        preview
    })
}
