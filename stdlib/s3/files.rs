//! Files and folders to and from a store.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ccrun_kernel::rhai::{Dynamic, Map};
use ccrun_kernel::value::Size;
use ccrun_kernel::{Cx, Error, Options, Preview, Result, primitive};
use futures::{StreamExt as _, TryStreamExt as _};
use tokio_util::bytes::Bytes;

use super::store::Store;
use crate::files::{FilePath, Files, Work, blocking, failed};
use crate::store::{Bucket, Entry, Written};

/// How a folder and a store are brought to the same.
#[derive(Clone, Options)]
pub struct SyncOptions {
    /// Delete what the other side has not.
    #[option(default = "false")]
    delete: bool,
}

/// How much is read from a file at once.
const PIECE: usize = 1 << 20;

/// How many files are under way at once.
const AT_ONCE: usize = 4;

impl Store {
    /// Write a file into the store: in parts, several at once, in bounded memory.
    ///
    /// The object is there as a whole or not at all. Returns a map: `key`, `size`, `sha256`.
    ///
    /// # Errors
    /// `fs.not_found`, `s3.no_bucket`, `s3.denied`, `s3.unreachable`, `s3.damaged` if it arrived otherwise.
    ///
    /// # Example
    /// ```rhai
    /// fs::write("report.txt", "all is well");
    /// let put = s3::folder("kept").put_file("reports/1.txt", "report.txt");
    /// assert(put.size == "11B" && put.sha256 == fs::sha256("report.txt"));
    /// ```
    #[primitive(change, needs = s3(self.resource()), needs = fs(path), preview = put_file_preview)]
    pub(super) async fn put_file(&self, cx: &Cx, key: String, path: FilePath) -> Result<Map> {
        let store = self.writer(cx).await?;
        let written = upload(cx, &store, &key, &path).await?;
        Ok(done(&key, &written))
    }

    /// Write an object into a file. It takes its place when it is complete.
    ///
    /// Returns a map: `path`, `size`.
    ///
    /// # Errors
    /// `s3.not_found`, `s3.denied`, `s3.unreachable`, `s3.damaged` if it ended too soon, `io.disk_full`.
    ///
    /// # Example
    /// ```rhai
    /// let store = s3::folder("kept");
    /// store.put("one", "hello");
    /// store.get_file("one", "one.txt");
    /// assert(fs::read("one.txt") == "hello");
    /// ```
    #[primitive(change, needs = s3(self.resource()), needs = fs(path), preview = get_file_preview)]
    pub(super) async fn get_file(&self, cx: &Cx, key: String, path: FilePath) -> Result<Map> {
        let store = self.reader(cx).await?;
        let size = download(cx, &store, &key, &path).await?;
        Ok(Map::from_iter([
            ("path".into(), path.to_string().into()),
            ("size".into(), Dynamic::from(Size::from_bytes(size))),
        ]))
    }

    /// Bring the objects below a path to what is in a folder: what is new, of another size, or newer is sent.
    ///
    /// Returns a map with how many: `sent`, `same`, `deleted`.
    ///
    /// # Errors
    /// As `put_file`.
    ///
    /// # Example
    /// ```rhai
    /// fs::create_dir("site");
    /// fs::write("site/index.html", "<h1>hello</h1>");
    /// let store = s3::folder("kept");
    /// assert(store.sync_up("site", "www").sent == 1);
    /// assert(store.sync_up("site", "www").same == 1);
    /// ```
    #[primitive(change, needs = s3(self.resource()), needs = fs(folder), preview = sync_up_preview)]
    pub(super) async fn sync_up(
        &self,
        cx: &Cx,
        folder: FilePath,
        prefix: String,
        options: SyncOptions,
    ) -> Result<Map> {
        let store = self.writer(cx).await?;
        let plan = up(cx, &store, &folder, &prefix, &options).await?;
        if plan.is_nothing() {
            cx.unchanged();
        }
        let mut progress = cx.progress(
            format!("{folder} → {}", self.resource()),
            Some(plan.copied.len() as u64),
        );
        let mut sending = futures::stream::iter(plan.copied.clone())
            .map(|name: String| {
                let (store, key, path) =
                    (Arc::clone(&store), join(&prefix, &name), folder.join(&name));
                async move { upload(cx, &store, &key, &path).await }
            })
            .buffer_unordered(AT_ONCE);
        while sending.try_next().await?.is_some() {
            progress.advance(1);
        }
        for name in &plan.deleted {
            store.delete(&join(&prefix, name)).await?;
        }
        Ok(plan.counts())
    }

    /// Bring a folder to what is below a path of the store: what is new, of another size, or newer is fetched.
    ///
    /// Returns a map with how many: `fetched`, `same`, `deleted`.
    ///
    /// # Errors
    /// As `get_file`; `s3.bad_key` for an object whose key would leave the folder.
    ///
    /// # Example
    /// ```rhai
    /// let store = s3::folder("kept");
    /// store.put("www/index.html", "<h1>hello</h1>");
    /// store.sync_down("www", "site");
    /// assert(fs::read("site/index.html") == "<h1>hello</h1>");
    /// ```
    #[primitive(change, needs = s3(self.resource()), needs = fs(folder), preview = sync_down_preview)]
    pub(super) async fn sync_down(
        &self,
        cx: &Cx,
        prefix: String,
        folder: FilePath,
        options: SyncOptions,
    ) -> Result<Map> {
        let store = self.reader(cx).await?;
        let plan = down(cx, &store, &folder, &prefix, &options).await?;
        if plan.is_nothing() {
            cx.unchanged();
        }
        let files = cx.client::<Files>().await?;
        let mut progress = cx.progress(
            format!("{} → {folder}", self.resource()),
            Some(plan.copied.len() as u64),
        );
        let mut fetching = futures::stream::iter(plan.copied.clone())
            .map(|name: String| {
                let (store, files) = (Arc::clone(&store), Arc::clone(&files));
                let (key, path) = (join(&prefix, &name), folder.join(&name));
                async move {
                    if let Some(parent) = path.parent() {
                        files.create_dir(parent, None)?;
                    }
                    download(cx, &store, &key, &path).await
                }
            })
            .buffer_unordered(AT_ONCE);
        while fetching.try_next().await?.is_some() {
            progress.advance(1);
        }
        for name in &plan.deleted {
            files.remove(&folder.join(name))?;
        }
        let mut counts = plan.counts();
        if let Some(sent) = counts.remove("sent") {
            counts.insert("fetched".into(), sent);
        }
        Ok(counts)
    }
}

/// A file into the store.
pub(crate) async fn upload(
    cx: &Cx,
    store: &Arc<Bucket>,
    key: &str,
    path: &Path,
) -> Result<Written> {
    let files = cx.client::<Files>().await?;
    let (file, about) = files.open_file(path)?;
    let mut progress = cx.progress(format!("→ {key}"), Some(about.len())).bytes();
    let mut writer = store.write(key)?;
    let (to, mut from) = tokio::sync::mpsc::channel::<Bytes>(4);
    let shown = path.to_owned();
    let reading = blocking(cx, move |work: &Work| {
        use std::io::Read as _;
        let mut file = file;
        loop {
            work.check()?;
            let mut piece = Vec::with_capacity(PIECE);
            let read = file
                .by_ref()
                .take(PIECE as u64)
                .read_to_end(&mut piece)
                .map_err(|error| failed("read", &shown, &error))?;
            if read == 0 || to.blocking_send(piece.into()).is_err() {
                return Ok(());
            }
        }
    });
    let sending = async {
        while let Some(piece) = from.recv().await {
            progress.advance(piece.len() as u64);
            writer.write(piece).await?;
        }
        Ok(writer)
    };
    let ((), writer) = tokio::try_join!(reading, sending)?;
    writer.finish().await
}

/// An object into a file.
pub(crate) async fn download(cx: &Cx, store: &Arc<Bucket>, key: &str, path: &Path) -> Result<u64> {
    let files = cx.client::<Files>().await?;
    let size = store.head(key).await?.size;
    let mut progress = cx.progress(format!("← {key}"), Some(size)).bytes();
    let mut stream = store.read(key, None).await?;
    let (to, mut from) = tokio::sync::mpsc::channel::<Bytes>(4);
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let path = path.to_owned();
    let writing = blocking(cx, move |work| {
        let mut target = files.replace(work, &path, None)?;
        while let Some(piece) = from.blocking_recv() {
            target.write_content(&piece)?;
        }
        // Without the word that it was all, the file stays as it was.
        if ended.blocking_recv().is_err() {
            return Ok(0);
        }
        let written = target.written();
        target.commit()?;
        Ok(written)
    });
    let reading = async {
        while let Some(piece) = stream.try_next().await? {
            progress.advance(piece.len() as u64);
            if to.send(piece).await.is_err() {
                // The other end says itself why it takes no more.
                return Ok(());
            }
        }
        drop(to);
        let _ = end.send(());
        Ok(())
    };
    let (read, written): (Result<()>, Result<u64>) = tokio::join!(reading, writing);
    let written = written?;
    read?;
    Ok(written)
}

/// What is to be done so that both sides are the same.
struct Plan {
    copied: Vec<String>,
    deleted: Vec<String>,
    same: usize,
}

/// A file or an object: size, and when it was written in seconds.
type Known = BTreeMap<String, (u64, i64)>;

impl Plan {
    fn new(from: &Known, to: &Known, delete: bool) -> Self {
        let is_same = |name: &String| {
            to.get(name)
                .is_some_and(|there| there.0 == from[name].0 && there.1 >= from[name].1)
        };
        let (same, copied): (Vec<_>, Vec<_>) = from.keys().cloned().partition(|name| is_same(name));
        let deleted = to
            .keys()
            .filter(|name| delete && !from.contains_key(*name))
            .cloned()
            .collect();
        Self {
            copied,
            deleted,
            same: same.len(),
        }
    }

    fn is_nothing(&self) -> bool {
        self.copied.is_empty() && self.deleted.is_empty()
    }

    fn counts(&self) -> Map {
        let number = |count: usize| Dynamic::from(i64::try_from(count).unwrap_or(i64::MAX));
        Map::from_iter([
            ("sent".into(), number(self.copied.len())),
            ("same".into(), number(self.same)),
            ("deleted".into(), number(self.deleted.len())),
        ])
    }

    fn preview(&self, from: &str, to: &str) -> Preview {
        let preview = Preview::new(format!(
            "copy {} of {} files from {from} to {to}, delete {}",
            self.copied.len(),
            self.copied.len() + self.same,
            self.deleted.len()
        ));
        if self.is_nothing() {
            preview.unchanged()
        } else {
            preview
        }
    }
}

async fn up(
    cx: &Cx,
    store: &Bucket,
    folder: &Path,
    prefix: &str,
    options: &SyncOptions,
) -> Result<Plan> {
    let here = files_of(cx, folder).await?;
    let there = objects_of(store, prefix).await?;
    Ok(Plan::new(&here, &there, options.delete))
}

async fn down(
    cx: &Cx,
    store: &Bucket,
    folder: &Path,
    prefix: &str,
    options: &SyncOptions,
) -> Result<Plan> {
    let there = objects_of(store, prefix).await?;
    for name in there.keys() {
        if name.split('/').any(|part| part == "..") || name.contains('\0') {
            return Err(Error::new(
                "s3.bad_key",
                format!("the key {name} would leave the folder"),
            )
            .hint("somebody put it there on purpose: find out who; nothing was written"));
        }
    }
    let files = cx.client::<Files>().await?;
    let here = if files.find(folder, true)?.is_some() {
        files_of(cx, folder).await?
    } else {
        Known::new()
    };
    Ok(Plan::new(&there, &here, options.delete))
}

async fn objects_of(store: &Bucket, prefix: &str) -> Result<Known> {
    let mut known = Known::new();
    let mut stream = store.list(prefix)?;
    let start = format!("{}/", prefix.trim_end_matches('/'));
    while let Some(Entry {
        key,
        size,
        modified,
        ..
    }) = stream.try_next().await?
    {
        let name = key.strip_prefix(&start).unwrap_or(&key).to_owned();
        known.insert(name, (size, modified.instant().as_second()));
    }
    Ok(known)
}

async fn files_of(cx: &Cx, folder: &Path) -> Result<Known> {
    let files = cx.client::<Files>().await?;
    let folder = folder.to_owned();
    blocking(cx, move |work| {
        let mut known = Known::new();
        let mut left: Vec<PathBuf> = vec![PathBuf::new()];
        while let Some(inside) = left.pop() {
            work.check()?;
            for entry in files.entries(&folder.join(&inside))? {
                let name = inside.join(entry.path.file_name().unwrap_or_default());
                let about = files.metadata(&folder.join(&name), true)?;
                if about.is_dir() {
                    left.push(name);
                } else if about.is_file() {
                    use std::os::unix::fs::MetadataExt as _;
                    known.insert(name.display().to_string(), (about.len(), about.mtime()));
                }
            }
        }
        Ok(known)
    })
    .await
}

fn join(prefix: &str, name: &str) -> String {
    let prefix = prefix.trim_matches('/');
    if prefix.is_empty() {
        name.to_owned()
    } else {
        format!("{prefix}/{name}")
    }
}

fn done(key: &str, written: &Written) -> Map {
    Map::from_iter([
        ("key".into(), key.into()),
        ("size".into(), Dynamic::from(Size::from_bytes(written.size))),
        ("sha256".into(), written.sha256.clone().into()),
    ])
}

async fn put_file_preview(this: &Store, _cx: &Cx, key: &str, path: &FilePath) -> Result<Preview> {
    Ok(Preview::new(format!(
        "write {path} to {key} in {}",
        this.place
    )))
}

async fn get_file_preview(this: &Store, _cx: &Cx, key: &str, path: &FilePath) -> Result<Preview> {
    Ok(Preview::new(format!(
        "write {key} of {} to {path}",
        this.place
    )))
}

async fn sync_up_preview(
    this: &Store,
    cx: &Cx,
    folder: &FilePath,
    prefix: &str,
    options: &SyncOptions,
) -> Result<Preview> {
    let store = this.reader(cx).await?;
    let plan = up(cx, &store, folder, prefix, options).await?;
    Ok(plan.preview(&folder.to_string(), &format!("{prefix} in {}", this.place)))
}

async fn sync_down_preview(
    this: &Store,
    cx: &Cx,
    prefix: &str,
    folder: &FilePath,
    options: &SyncOptions,
) -> Result<Preview> {
    let store = this.reader(cx).await?;
    let plan = down(cx, &store, folder, prefix, options).await?;
    Ok(plan.preview(&format!("{prefix} in {}", this.place), &folder.to_string()))
}
