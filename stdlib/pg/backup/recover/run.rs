//! `pg::recover` and `pg::recover_volume`.

use std::sync::Arc;

use ccrun_kernel::rhai::{Dynamic, Map};
use ccrun_kernel::value::{Size, Timestamp};
use ccrun_kernel::{Cx, Error, Preview, Result, primitive};
use futures::future::BoxFuture;
use futures::{StreamExt as _, TryStreamExt as _};
use tokio::sync::mpsc::Sender;

use super::super::create::folder_of;
use super::super::seal;
use super::super::verify::{Reader, note, restored};
use super::super::wal;
use super::folder::Folder;
use super::options::RecoverOptions;
use super::plan::{Plan, plan};
use super::replay::{self, Replay, State};
use super::volume::Volume;
use crate::files::FilePath;
use crate::s3::Store;
use crate::store::Bucket;

/// Recover a server into a new folder of this machine, as it was at a moment, and start it there.
///
/// The base backup `id` (its name, the beginning of one, or `latest`: the newest that leads to the moment) is unpacked
/// into `folder`, which must not be there or be empty; its hashes and the server's own checksums are compared. The log
/// that it takes comes from the store. The server's own programs of that version, on this machine, replay it up to the
/// moment (`time`, `lsn`, `name`, `xid`, `immediate`; none of them: all that is archived), and then serve at 127.0.0.1.
/// What is not possible is refused before anything is made, with the moments that are. The copy archives nothing and
/// subscribes to nothing as long as it runs. What fails on the way is removed again.
///
/// Returns a map: `backup`, `folder`, `port`, `socket`, `stopped` (where, as the server says), `lsn` (the last record that was
/// replayed), `last_transaction`, `timeline` (the new one), `segments` (that were fetched), `size`, `state` (`promoted`,
/// `paused`, `shut down`), `elapsed`. `pg_ctl stop -D FOLDER` ends it.
///
/// # Errors
/// `pg.recovery_target`, `pg.wal_missing`, `pg.other_cluster`: refused, nothing was made; `pg.no_backup`, `pg.backup_key`,
/// `pg.no_tools`, `pg.backup_damaged`, `pg.wal_damaged`, `pg.recovery_failed` with what the server said; `fs.not_empty`;
/// `io.disk_full`; `s3.…`.
///
/// # Example
/// ```rhai,no_run
/// let back = pg::recover(s3::folder("/srv/backups"), "latest", "/srv/recovered", #{ time: "2026-11-25 14:30:00", key: secret("BACKUP_KEY") });
/// print(`${back.stopped}; psql -h ${back.socket} -p ${back.port}`);
/// ```
#[primitive(change, needs = s3(store.resource()), needs = fs(folder), preview = recover_preview)]
pub(in crate::pg) async fn recover(
    cx: &Cx,
    store: Store,
    id: String,
    folder: FilePath,
    options: RecoverOptions,
) -> Result<Map> {
    let ready = Ready::new(cx, &store, &id, &options).await?;
    let mut place = Folder::ready(cx, &folder, &ready.plan, &options).await?;
    let started = Timestamp::now();
    let undo = Undo::new(place.undo());
    place.unpack(&ready).await?;
    place.add_wal(&ready).await?;
    let settings = replay::settings(&ready.plan, &options)?;
    place.start(settings).await?;
    let replayed = ready.wait(&options, || place.log()).await?;
    undo.keep();
    ready.restored(cx, &store).await;
    let mut map = ready.to_script(&replayed, &started);
    map.insert("folder".into(), folder.display().to_string().into());
    map.insert("port".into(), Dynamic::from(i64::from(place.port())));
    map.insert("socket".into(), folder.display().to_string().into());
    Ok(map)
}

/// Recover a server into a new Docker volume, as it was at a moment, and start it in a container of `image`.
///
/// As `pg::recover`, with the server's own image, which must be here. The container is in no network unless `network` says
/// so: it is asked by `docker::container(name).exec([…])`. The volume and the container must not be there.
///
/// Returns the map of `pg::recover`, with `volume` and `container` in place of `folder`, `port` and `socket`.
///
/// # Errors
/// As `pg::recover`; `docker.image_missing`, `docker.conflict`.
///
/// # Example
/// ```rhai,no_run
/// let back = pg::recover_volume(s3::folder("/srv/backups"), "latest", "shop_recovered", "postgres:15.14", #{ name: "before the migration" });
/// print(docker::container(back.container).exec(["psql", "-U", "postgres", "-c", "TABLE orders"]).stdout);
/// ```
#[primitive(change, needs = s3(store.resource()), needs = docker(volume), needs = docker(image), preview = recover_volume_preview)]
pub(in crate::pg) async fn recover_volume(
    cx: &Cx,
    store: Store,
    id: String,
    volume: String,
    image: String,
    options: RecoverOptions,
) -> Result<Map> {
    let ready = Ready::new(cx, &store, &id, &options).await?;
    let settings = replay::settings(&ready.plan, &options)?;
    let mut place = Volume::ready(cx, &volume, &image, &ready.plan, &options).await?;
    let started = Timestamp::now();
    let undo = Undo::new(place.undo());
    place.make(settings).await?;
    place.unpack(&ready).await?;
    place.add_wal(&ready).await?;
    place.start().await?;
    let replayed = ready.wait(&options, || place.log()).await?;
    undo.keep();
    ready.restored(cx, &store).await;
    let mut map = ready.to_script(&replayed, &started);
    map.insert("volume".into(), volume.into());
    map.insert("container".into(), place.container().to_owned().into());
    Ok(map)
}

/// What is known before anything is made.
pub struct Ready<'c> {
    pub cx: &'c Cx,
    pub bucket: Arc<Bucket>,
    pub plan: Plan,
    pub keys: Vec<age::x25519::Identity>,
    prefix: String,
}

/// So many segments are fetched at once.
const AT_ONCE: usize = 3;

impl<'c> Ready<'c> {
    async fn new(cx: &'c Cx, store: &Store, id: &str, options: &RecoverOptions) -> Result<Self> {
        let keys = match &options.key {
            Some(key) => seal::identities(key.expose())?,
            None => Vec::new(),
        };
        options.action()?;
        let bucket = store.reader(cx).await?;
        let plan = plan(&bucket, id, options).await?;
        let mut recipients = plan.manifest.recipients.clone();
        if let (true, Some(last)) = (recipients.is_empty(), plan.fetch.last()) {
            recipients = plan.archive.note_of(&bucket, *last).await?.recipients;
        }
        if !recipients.is_empty() && keys.is_empty() {
            return Err(Error::new(
                "pg.backup_key",
                format!(
                    "{} is encrypted, or the log after it, and no key was given",
                    plan.manifest.id
                ),
            )
            .hint(format!(
                "nothing was changed. Give the key of {}: `key: secret(\"BACKUP_KEY\")`",
                recipients.join(" or ")
            )));
        }
        Ok(Self {
            cx,
            bucket,
            plan,
            keys,
            prefix: options.prefix.clone(),
        })
    }

    /// The backup's folder in the store.
    pub fn folder(&self) -> String {
        folder_of(&self.prefix, &self.plan.manifest.id)
    }

    /// Reads the backup's objects.
    pub(super) fn reader<'r>(&'r self, folder: &'r str) -> Reader<'r> {
        Reader {
            cx: self.cx,
            bucket: &self.bucket,
            folder,
            manifest: &self.plan.manifest,
            keys: &self.keys,
        }
    }

    /// How much the files take.
    pub fn size(&self) -> u64 {
        size_of(&self.plan)
    }

    /// Send the log that is needed, as files of `pg_wal`.
    pub async fn send_wal(&self, to: Sender<(String, Vec<u8>)>) -> Result<()> {
        let archive = &self.plan.archive;
        for (timeline, text) in &archive.history_texts {
            let file = (format!("{timeline:08X}.history"), text.clone().into_bytes());
            if to.send(file).await.is_err() {
                return Ok(());
            }
        }
        let total = self.plan.fetch.len() as u64;
        let mut progress = self.cx.progress("fetch the log", Some(total));
        let mut fetching = futures::stream::iter(self.plan.fetch.clone())
            .map(|segment| async move {
                let note = archive.note_of(&self.bucket, segment).await?;
                let plain =
                    wal::fetch(self.cx, &self.bucket, &archive.folder, &note, &self.keys).await?;
                Ok::<_, Error>((note.name, plain))
            })
            .buffered(AT_ONCE);
        while let Some(file) = fetching.try_next().await? {
            progress.advance(1);
            if to.send(file).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    /// Wait until the server has got there.
    async fn wait<F>(&self, options: &RecoverOptions, log: impl Fn() -> F) -> Result<Replay>
    where
        F: Future<Output = Result<(String, bool)>>,
    {
        let replaying = async {
            let mut progress = self.cx.progress("replay the log", None);
            let mut pause = std::time::Duration::from_millis(20);
            loop {
                let (text, alive) = log().await?;
                let replay = Replay::read(&text);
                match replay.state {
                    State::Running if alive => {}
                    State::Running | State::Failed => {
                        return Err(replay::failed(&text, &self.plan));
                    }
                    _ => return Ok(replay),
                }
                progress.set(text.len() as u64);
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(std::time::Duration::from_millis(500));
            }
        };
        match options.timeout {
            None => replaying.await,
            Some(timeout) => tokio::time::timeout(timeout.to_std(), replaying)
                .await
                .unwrap_or_else(|_| {
                    Err(Error::new(
                        "pg.recovery_failed",
                        format!(
                            "the server did not reach {} within {timeout}",
                            self.plan.shown
                        ),
                    )
                    .hint("what was made was removed again; give it longer: `timeout`"))
                }),
        }
    }

    /// Note that a server was made of the backup.
    async fn restored(&self, cx: &Cx, store: &Store) {
        // A store that may only be read from gives its backups all the same.
        if let Ok(bucket) = store.writer(cx).await {
            drop(note(&bucket, &self.folder(), &restored()).await);
        }
    }

    fn to_script(&self, replay: &Replay, started: &Timestamp) -> Map {
        let state = match replay.state {
            State::Promoted => "promoted",
            State::Paused => "paused",
            _ => "shut down",
        };
        let count = i64::try_from(self.plan.fetch.len()).unwrap_or(i64::MAX);
        Map::from_iter([
            ("backup".into(), self.plan.manifest.id.clone().into()),
            ("asked".into(), self.plan.shown.clone().into()),
            (
                "stopped".into(),
                replay
                    .stopped
                    .clone()
                    .unwrap_or_else(|| "at the end of the archived log".to_owned())
                    .into(),
            ),
            (
                "lsn".into(),
                replay
                    .at
                    .map_or(Dynamic::UNIT, |lsn| lsn.to_string().into()),
            ),
            (
                "last_transaction".into(),
                replay
                    .last_transaction
                    .clone()
                    .map_or(Dynamic::UNIT, Dynamic::from),
            ),
            (
                "timeline".into(),
                Dynamic::from(i64::from(replay.timeline.unwrap_or(self.plan.timeline))),
            ),
            ("segments".into(), Dynamic::from(count)),
            ("size".into(), Dynamic::from(Size::from_bytes(self.size()))),
            ("state".into(), state.into()),
            (
                "elapsed".into(),
                Dynamic::from(Timestamp::now().since(started).rounded()),
            ),
        ])
    }
}

/// How much the files take.
pub fn size_of(plan: &Plan) -> u64 {
    let segments = plan.fetch.len() + plan.base.wal.len();
    plan.base.bytes + segments as u64 * plan.base.segment_size
}

/// Removes what was made, unless it is kept: also when the call is cancelled, and ccrun ends right after.
pub struct Undo {
    what: Option<BoxFuture<'static, ()>>,
    handle: tokio::runtime::Handle,
}

/// What takes longer to remove is left.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);

impl Undo {
    fn new(what: BoxFuture<'static, ()>) -> Self {
        Self {
            what: Some(what),
            handle: tokio::runtime::Handle::current(),
        }
    }

    fn keep(mut self) {
        self.what = None;
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        let Some(what) = self.what.take() else { return };
        let (handle, (done, is_done)) = (self.handle.clone(), std::sync::mpsc::channel());
        // A runtime can't be waited for on a thread that drives one already.
        std::thread::spawn(move || {
            handle.block_on(what);
            let _ = done.send(());
        });
        let _ = is_done.recv_timeout(PATIENCE);
    }
}

async fn recover_preview(
    cx: &Cx,
    store: &Store,
    id: &str,
    folder: &FilePath,
    options: &RecoverOptions,
) -> Result<Preview> {
    let ready = Ready::new(cx, store, id, options).await?;
    Folder::ready(cx, folder, &ready.plan, options).await?;
    Ok(shown(&ready, &format!("the folder {folder}"))
        .undo(format!("pg_ctl stop -D {folder}, and remove it")))
}

async fn recover_volume_preview(
    cx: &Cx,
    store: &Store,
    id: &str,
    volume: &str,
    image: &str,
    options: &RecoverOptions,
) -> Result<Preview> {
    let ready = Ready::new(cx, store, id, options).await?;
    Volume::ready(cx, volume, image, &ready.plan, options).await?;
    Ok(shown(&ready, &format!("the volume {volume}"))
        .undo(format!("remove the container and the volume {volume}")))
}

fn shown(ready: &Ready<'_>, place: &str) -> Preview {
    Preview::new(format!(
        "recover {} into {place}, with {} segments of log ({}), up to {}",
        ready.plan.manifest.id,
        ready.plan.fetch.len(),
        Size::from_bytes(ready.size()),
        ready.plan.shown
    ))
}
