//! `db.backup`: a database into a store.

use std::future::Future;
use std::io::{self, Write as _};
use std::sync::Arc;

use ccrun_kernel::effect::Effect;
use ccrun_kernel::rhai::Dynamic;
use ccrun_kernel::value::{Size, Timestamp};
use ccrun_kernel::{Cx, Error, Options, Preview, Result, primitive};
use indexmap::IndexMap;
use tokio::sync::{mpsc, oneshot};
use tokio_util::bytes::Bytes;

use super::archive::{self, Contents};
use super::catalog::{self, Facts};
use super::manifest::{Count, FORMAT, Kind, Locked, LsnRange, MANIFEST, Manifest, Part, Table};
use super::objects;
use super::seal::{Inlet, Recipients, Sealer};
use super::tool::Toolbox;
use crate::files::{FilePath, Files, Work, blocking};
use crate::pg::Database;
use crate::s3::Store;
use crate::store::{Bucket, Lock};

/// How a backup is made.
#[derive(Clone, Options)]
pub struct BackupOptions {
    /// The folder in the store that backups lie in.
    #[option(default = "backups")]
    prefix: String,
    /// Who may read it: recipients of age (`age1…`). Without one, whoever can read the store can read the backup.
    recipients: Option<Vec<String>>,
    /// How hard zstd tries, from 1 to 19. The server is the bottleneck: more costs time and saves little.
    #[option(default = "1")]
    level: i64,
    /// How many threads compress. Left out: as many as there are processors.
    threads: Option<u32>,
    /// Files that belong to it, by the name they get in the set: the env file, the Compose file. Compressed, and
    /// encrypted like the rest.
    files: Option<IndexMap<String, FilePath>>,
    /// Buckets whose objects belong to it, by the name they get in the set: `#{ uploads: s3::connect(…) }`. Each becomes a
    /// tar archive, streamed; `pg::restore_objects` brings them back.
    buckets: Option<IndexMap<String, Store>>,
    /// What to call it: a version, a reason.
    note: Option<String>,
    /// How long the store keeps it whatever is deleted: the bucket must have been made with locks
    /// (`store.create_bucket(#{ locks: true })`). Whoever deletes it hides it, and `store.versions` still has it.
    locked_for: Option<ccrun_kernel::value::Duration>,
    /// `governance`: keys with the right to (`s3:BypassGovernanceRetention`; an administrator's have it) may delete it all the
    /// same; `compliance`: none may, and nobody can take that back.
    #[option(default = "governance")]
    lock_mode: String,
    /// How long `pg_dump` waits for a table that somebody has locked.
    #[option(default = "5m")]
    lock_timeout: ccrun_kernel::value::Duration,
}

/// Pieces under way between two stages.
const UNDER_WAY: usize = 16;

impl Database {
    /// Back the database up into a store, and return its manifest.
    ///
    /// `pg_dump` of the server's own version reads it (from the service's container, else from this machine), in one
    /// snapshot, as a whole: a role that policies filter for is refused. What it writes is compressed with zstd, encrypted
    /// with age if there are recipients, and streamed into the store; nothing of it touches a disk here. Roles with their
    /// grants go with it (`globals`), and the files that are named.
    ///
    /// The manifest is written last, when `pg_dump` has ended with status 0, its archive was read to its end as it went
    /// by (rows, bytes and a hash for each table), and every object has arrived. What is killed before leaves no backup.
    ///
    /// The manifest is a map: `id`, `started`, `finished`, `elapsed`, `size`, `rows`, `server`, `database`, `tool`,
    /// `lsn`, `extensions`, `roles`, `settings`, `objects`, `tables`, `large_objects`, `recipients`, `encrypted`,
    /// `note`, `locked`, `verified`.
    ///
    /// # Errors
    /// `pg.tool_failed` with what `pg_dump` said; `pg.no_tools`; `pg.backup_key`; `pg.permission_denied`; `s3.no_locks` with
    /// `locked_for`; `s3.…` of the store.
    ///
    /// # Example
    /// ```rhai,no_run
    /// let db = pg::connect().login("postgres", secret("POSTGRES_PASSWORD"));
    /// let backup = db.backup(s3::store("backups"), #{ recipients: ["age1…"], files: #{ "env": ".env.production" } });
    /// print(`${backup.id}: ${backup.size} in ${backup.elapsed}`);
    /// ```
    #[primitive(change, needs = pg(self.server.resource), needs = s3(store.resource()), preview = backup_preview)]
    pub(in crate::pg) async fn backup(
        &self,
        cx: &Cx,
        store: Store,
        options: BackupOptions,
    ) -> Result<Dynamic> {
        let recipients = Recipients::parse(&options.recipients.clone().unwrap_or_default())?;
        let bucket = store.writer(cx).await?;
        let lock = lock_of(&bucket, options.locked_for, &options.lock_mode).await?;
        let facts = catalog::facts(cx, &self.server).await?;
        let toolbox = Toolbox::find(cx, &self.server, facts.server.version_num / 10_000).await?;
        let started = Timestamp::now();
        let id = new_id(&started, &facts.database.name)?;
        let mut set = Set {
            cx,
            bucket,
            folder: folder_of(&options.prefix, &id),
            sealing: Sealing {
                recipients,
                level: i32::try_from(options.level.clamp(1, 19)).unwrap_or(1),
                threads: threads(options.threads),
            },
            parts: Vec::new(),
            lock,
        };
        cx.log(
            ccrun_kernel::event::Level::Debug,
            format!("{}: pg_dump {}", self.server, toolbox.shown()),
        );
        let contents = set.database(&toolbox, &facts, &options).await?;
        set.globals(&toolbox, &facts).await?;
        for (name, path) in options.files.iter().flatten() {
            set.file(name, path).await?;
        }
        let mut buckets = Vec::new();
        for (name, store) in options.buckets.iter().flatten() {
            buckets.push(objects::pack(&mut set, name, store).await?);
        }
        let end = catalog::facts(cx, &self.server).await?;
        if end.server.system_identifier != facts.server.system_identifier {
            return Err(Error::new(
                "pg.backup_damaged",
                "another server answers than the one that was backed up: it was replaced meanwhile",
            )
            .retryable());
        }
        let manifest = Manifest {
            format: FORMAT,
            id: id.clone(),
            kind: Kind::Logical,
            started,
            finished: Timestamp::now(),
            ccrun: env!("CARGO_PKG_VERSION").to_owned(),
            tool: format!("pg_dump {}", contents.tool),
            server: facts.server,
            database: facts.database,
            lsn: LsnRange {
                start: facts.lsn,
                end: end.lsn,
            },
            extensions: facts.extensions,
            roles: facts.roles,
            settings: facts.settings,
            tables: contents.tables.into_iter().map(Table::from).collect(),
            large_objects: Count {
                count: contents.large_objects.0,
                bytes: contents.large_objects.1,
            },
            buckets,
            recipients: set.sealing.recipients.names(),
            note: options.note.clone(),
            locked: set.locked(),
            base: None,
            objects: std::mem::take(&mut set.parts),
        };
        set.commit(&manifest).await?;
        manifest.to_script(None)
    }
}

/// A backup that is being made.
pub(super) struct Set<'c> {
    pub cx: &'c Cx,
    pub bucket: Arc<Bucket>,
    pub folder: String,
    pub sealing: Sealing,
    pub parts: Vec<Part>,
    /// What the store is to do for it.
    pub lock: Option<Lock>,
}

/// How what is kept is made smaller and unreadable for others.
#[derive(Clone)]
pub(super) struct Sealing {
    pub recipients: Recipients,
    pub level: i32,
    pub threads: u32,
}

impl Set<'_> {
    async fn database(
        &mut self,
        toolbox: &Toolbox<'_>,
        facts: &Facts,
        options: &BackupOptions,
    ) -> Result<Contents> {
        let (to, from) = mpsc::channel(UNDER_WAY);
        let wait = format!(
            "--lock-wait-timeout={}",
            options.lock_timeout.to_std().as_millis()
        );
        let arguments = [
            "--format=custom",
            "--compress=0",
            &wait,
            "--dbname",
            &facts.database.name,
        ];
        let dumping = toolbox.stream("pg_dump", &arguments, Effect::Change, to);
        let contents = self
            .ship(
                "database",
                "dump",
                Some(facts.database.size),
                from,
                dumping,
                |inlet| archive::read(inlet),
            )
            .await?;
        Ok(contents)
    }

    async fn globals(&mut self, toolbox: &Toolbox<'_>, facts: &Facts) -> Result<()> {
        let (to, from) = mpsc::channel(UNDER_WAY);
        let mut arguments = vec!["--globals-only", "--database", facts.database.name.as_str()];
        if !facts.superuser {
            // Only superusers see passwords, as verifiers.
            arguments.push("--no-role-passwords");
        }
        let dumping = toolbox.stream("pg_dumpall", &arguments, Effect::Change, to);
        let last = b"-- PostgreSQL database cluster dump complete\n";
        self.ship("globals", "sql", None, from, dumping, move |inlet| {
            let mut tail: Vec<u8> = Vec::new();
            let mut buffer = vec![0; 64 << 10];
            loop {
                let read = io::Read::read(inlet, &mut buffer)?;
                if read == 0 {
                    break;
                }
                tail.extend_from_slice(&buffer[..read]);
                let old = tail.len().saturating_sub(4096);
                tail.drain(..old);
            }
            if memchr::memmem::find(&tail, last).is_none() {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "pg_dumpall's output was cut off: its last line is missing",
                ));
            }
            Ok(())
        })
        .await
    }

    /// A file of this machine.
    pub async fn file(&mut self, name: &str, path: &FilePath) -> Result<()> {
        if !is_name(name) || ["database", "globals", "base"].contains(&name) {
            return Err(Error::new(
                "pg.backup_option",
                format!("`{name}` can't be the name of a file in a backup"),
            )
            .hint("letters, digits, `.`, `_` and `-`; not `database`, `globals` or `base`"));
        }
        self.cx
            .permit("fs", &path.display().to_string(), Some(Effect::Read))?;
        let files = self.cx.client::<Files>().await?;
        let (file, _) = files.open_file(path)?;
        let (to, from) = mpsc::channel(UNDER_WAY);
        let shown = path.to_path_buf();
        let reading = blocking(self.cx, move |work: &Work| {
            use io::Read as _;
            let mut file = file;
            loop {
                work.check()?;
                let mut piece = Vec::new();
                let read = io::Read::by_ref(&mut file)
                    .take(1 << 20)
                    .read_to_end(&mut piece);
                let read = read.map_err(|error| crate::files::failed("read", &shown, &error))?;
                if read == 0 || to.blocking_send(Bytes::from(piece)).is_err() {
                    return Ok(());
                }
            }
        });
        self.ship(name, "", None, from, reading, |inlet| {
            io::copy(inlet, &mut io::sink()).map(drop)
        })
        .await
    }

    /// Bring what `source` sends into the store, while `reader` looks at it. It will have about `size` bytes, if that is known. Nothing is there before the source has
    /// ended well and the reader is content.
    pub async fn ship<T: Send + 'static>(
        &mut self,
        name: &str,
        suffix: &str,
        size: Option<u64>,
        from: mpsc::Receiver<Bytes>,
        source: impl Future<Output = Result<()>>,
        reader: impl FnOnce(&mut Inlet) -> io::Result<T> + Send + 'static,
    ) -> Result<T> {
        let mut key = name.to_owned();
        if !suffix.is_empty() {
            key.push('.');
            key.push_str(suffix);
        }
        key.push_str(".zst");
        if !self.sealing.recipients.is_empty() {
            key.push_str(".age");
        }
        let mut progress = self.cx.progress(format!("back up {name}"), None).bytes();
        let (sealed, mut pieces) = mpsc::channel::<Bytes>(UNDER_WAY / 2);
        let (well, ended) = oneshot::channel::<()>();
        let sealing = self.sealing.clone();
        let shown = name.to_owned();
        let passed = Arc::new(std::sync::atomic::AtomicU64::new(0));
        let counting = Arc::clone(&passed);
        let looking = blocking(self.cx, move |work: &Work| {
            let failed = |error: io::Error| {
                Error::new("pg.backup_damaged", format!("{shown}: {error}"))
                    .hint("nothing was kept; run it again")
                    .retryable()
            };
            let sealer = Sealer::new(sealed, sealing.level, sealing.threads, &sealing.recipients)
                .map_err(failed)?;
            let sealer = Arc::new(parking_lot::Mutex::new(sealer));
            let tee = Arc::clone(&sealer);
            let work = work.clone();
            let mut inlet = Inlet::new(from, move |piece| {
                work.check()
                    .map_err(|error| io::Error::other(error.to_string()))?;
                counting.fetch_add(piece.len() as u64, std::sync::atomic::Ordering::Relaxed);
                tee.lock().write_all(piece)
            });
            let read = reader(&mut inlet);
            // Why the source ended too soon, it says itself, and better.
            if ended.blocking_recv().is_err() {
                return Err(failed(io::Error::other("its source failed")));
            }
            let read = read.map_err(failed)?;
            drop(inlet);
            let sealer = Arc::into_inner(sealer)
                .ok_or_else(|| failed(io::Error::other("it is still being read")))?;
            sealer.into_inner().finish().map_err(failed)?;
            Ok(read)
        });
        let mut writer = self.bucket.write(&format!("{}/{key}", self.folder))?;
        if let Some(size) = size {
            writer = writer.expecting(size);
        }
        let source = async {
            source.await?;
            let _ = well.send(());
            Ok(())
        };
        let sending = async {
            while let Some(piece) = pieces.recv().await {
                writer.write(piece).await?;
                progress.set(passed.load(std::sync::atomic::Ordering::Relaxed));
            }
            Ok(writer)
        };
        // Whichever fails first is the cause; the others are dropped, and nothing is in the store.
        let ((), read, writer) = tokio::try_join!(source, looking, sending)?;
        let written = writer.finish().await?;
        self.parts.push(Part {
            name: name.to_owned(),
            key,
            size: written.size,
            sha256: written.sha256,
            plain_size: passed.load(std::sync::atomic::Ordering::Relaxed),
        });
        Ok(read)
    }

    /// Write the manifest: from here on it is a backup.
    pub async fn commit(&self, manifest: &Manifest) -> Result<()> {
        // Somebody may have cleaned up meanwhile, by a clock that is ahead.
        for part in &manifest.objects {
            let key = format!("{}/{}", self.folder, part.key);
            let there = self.bucket.find(&key).await?;
            if there.is_none_or(|there| there.size != part.size) {
                return Err(Error::new(
                    "pg.backup_damaged",
                    format!("{key} was written, and is not there any more: somebody deleted or replaced it meanwhile"),
                )
                .hint("look who else deletes from this store; nothing of this backup counts; run it again")
                .retryable());
            }
        }
        let text = serde_json::to_vec_pretty(manifest)
            .map_err(|error| Error::new("pg.protocol", error.to_string()))?;
        // What is not locked as it was asked to be does not count.
        for part in &manifest.objects {
            self.lock(&part.key).await?;
        }
        let key = format!("{}/{MANIFEST}", self.folder);
        self.bucket.put_if_absent(&key, text.into()).await?;
        let locked = self.lock(MANIFEST).await;
        if locked.is_err() {
            self.bucket.delete(&key).await?;
        }
        locked
    }

    async fn lock(&self, key: &str) -> Result<()> {
        match &self.lock {
            Some(lock) => {
                let key = format!("{}/{key}", self.folder);
                self.bucket.lock(&key, None, lock).await
            }
            None => Ok(()),
        }
    }

    /// The lock as the manifest has it.
    pub fn locked(&self) -> Option<Locked> {
        self.lock.as_ref().map(|lock| Locked {
            mode: lock.mode.name().to_owned(),
            until: lock.until.clone(),
        })
    }
}

/// The lock that is asked for, of a store that has some: nothing is read for long of a database before that is sure.
pub(super) async fn lock_of(
    bucket: &Bucket,
    lasts: Option<ccrun_kernel::value::Duration>,
    mode: &str,
) -> Result<Option<Lock>> {
    let mode = mode.parse()?;
    let Some(lasts) = lasts else { return Ok(None) };
    bucket.has_locks().await?;
    let until = Timestamp::now().plus(lasts)?;
    Ok(Some(Lock { mode, until }))
}

/// Whether a file in a backup can be called so.
pub(super) fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    !name.is_empty() && name.chars().all(allowed) && !name.starts_with('.')
}

/// `20261123T020000Z-command_center-4f1a`: sorts by time, says what it is, and is nobody else's.
pub(super) fn new_id(at: &Timestamp, database: &str) -> Result<String> {
    let time = at.format("%Y%m%dT%H%M%SZ")?;
    let name: String = database
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '_' {
                c
            } else {
                '_'
            }
        })
        .take(40)
        .collect();
    Ok(format!("{time}-{name}-{:04x}", rand::random::<u16>()))
}

/// Where a backup lies.
pub(super) fn folder_of(prefix: &str, id: &str) -> String {
    let prefix = prefix.trim_matches('/');
    if prefix.is_empty() {
        id.to_owned()
    } else {
        format!("{prefix}/{id}")
    }
}

pub(super) fn threads(asked: Option<u32>) -> u32 {
    asked.unwrap_or_else(|| {
        std::thread::available_parallelism()
            .ok()
            .and_then(|count| u32::try_from(count.get()).ok())
            .unwrap_or(1)
            .min(8)
    })
}

async fn backup_preview(
    this: &Database,
    cx: &Cx,
    store: &Store,
    options: &BackupOptions,
) -> Result<Preview> {
    let recipients = Recipients::parse(&options.recipients.clone().unwrap_or_default())?;
    let facts = catalog::facts(cx, &this.server).await?;
    let toolbox = Toolbox::find(cx, &this.server, facts.server.version_num / 10_000).await?;
    Ok(Preview::new(format!(
        "dump {} ({}) with pg_dump {} into {}/{}{}",
        this.server,
        Size::from_bytes(facts.database.size),
        toolbox.shown(),
        store.place,
        options.prefix.trim_matches('/'),
        if recipients.is_empty() {
            ", not encrypted"
        } else {
            ", encrypted"
        },
    ))
    .undo("delete it: `ccrun prune`"))
}
