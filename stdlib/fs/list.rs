//! Looking at files and directories.

use std::fs::Metadata;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::time::SystemTime;

use ccrun_kernel::rhai::{Dynamic, Map};
use ccrun_kernel::value::{Size, Timestamp};
use ccrun_kernel::{Cx, Options, Result, primitive};

use super::accounts::Accounts;
use crate::files::{FilePath, Files, Mode, blocking, resolve};

/// The entries of a directory, sorted by name: an array of maps with `name`, `path`, `type`, `size`,
/// `modified`, `mode`.
///
/// `type` is `"file"`, `"directory"`, `"symlink"`, `"fifo"`, `"socket"` or `"device"`; of a symbolic
/// link the entries describe the link itself. Hidden entries are listed too. Directories below are not
/// entered: see `fs::glob`.
///
/// # Errors
/// `fs.not_found` with the nearest name, `fs.not_a_directory`, `fs.permission_denied`.
///
/// # Example
/// ```rhai
/// fs::write("logs/a.log", "one\n", #{ parents: true });
/// let entries = fs::list("logs");
/// assert(entries[0].name == "a.log" && entries[0].type == "file");
/// ```
#[primitive(read, needs = fs(path))]
async fn list(cx: &Cx, path: FilePath) -> Result<Vec<Map>> {
    let files = cx.client::<Files>().await?;
    blocking(cx, move |_| {
        let entries = files.entries(&path)?;
        Ok(entries
            .iter()
            .map(|entry| brief(&entry.path, &entry.metadata))
            .collect())
    })
    .await
}

/// Which file is meant.
#[derive(Clone, Options)]
pub struct MetadataOptions {
    /// Of a symbolic link: what it points to (`true`), or the link itself.
    #[option(default = "true")]
    follow: bool,
}

/// What is known of a file or directory.
///
/// A map with `name`, `path`, `type`, `size`, `modified`, `mode` (such as `"0640"`), `owner` and
/// `group` by name where there is one, `uid`, `gid`, `links`, and `target` for a symbolic link that is
/// not followed.
///
/// # Errors
/// `fs.not_found` with the nearest name, `fs.permission_denied`.
///
/// # Example
/// ```rhai
/// fs::write("key.pem", "…", #{ mode: "0600" });
/// let m = fs::metadata("key.pem");
/// assert(m.mode == "0600" && m.type == "file");
/// ```
#[primitive(read, needs = fs(place(&path, options.follow)))]
async fn metadata(cx: &Cx, path: String, options: MetadataOptions) -> Result<Map> {
    let files = cx.client::<Files>().await?;
    let place = resolve(&path, cx.folder(), options.follow)
        .map_err(|why| ccrun_kernel::Error::new("argument.type", why))?;
    blocking(cx, move |_| {
        let found = files.metadata(&place, options.follow)?;
        let mut map = brief(&place, &found);
        map.insert(
            "owner".into(),
            Accounts::users(&files).name(found.uid()).into(),
        );
        map.insert(
            "group".into(),
            Accounts::groups(&files).name(found.gid()).into(),
        );
        map.insert("uid".into(), i64::from(found.uid()).into());
        map.insert("gid".into(), i64::from(found.gid()).into());
        map.insert(
            "links".into(),
            i64::try_from(found.nlink()).unwrap_or(i64::MAX).into(),
        );
        if found.is_symlink() {
            map.insert(
                "target".into(),
                files.read_link(&place)?.display().to_string().into(),
            );
        }
        Ok(map)
    })
    .await
}

/// Whether the path leads to something. A broken symbolic link does not.
///
/// # Errors
/// `fs.permission_denied` where the directory can't be looked into.
///
/// # Example
/// ```rhai
/// assert(!fs::exists("missing.txt"));
/// ```
#[primitive(read, needs = fs(path))]
async fn exists(cx: &Cx, path: FilePath) -> Result<bool> {
    find(cx, path, |_| true).await
}

/// Whether the path leads to a regular file.
///
/// # Errors
/// `fs.permission_denied` where the directory can't be looked into.
///
/// # Example
/// ```rhai
/// fs::write("a.txt", "a");
/// assert(fs::is_file("a.txt") && !fs::is_file("."));
/// ```
#[primitive(read, needs = fs(path))]
async fn is_file(cx: &Cx, path: FilePath) -> Result<bool> {
    find(cx, path, Metadata::is_file).await
}

/// Whether the path leads to a directory.
///
/// # Errors
/// `fs.permission_denied` where its parent can't be looked into.
///
/// # Example
/// ```rhai
/// assert(fs::is_dir("."));
/// ```
#[primitive(read, needs = fs(path))]
async fn is_dir(cx: &Cx, path: FilePath) -> Result<bool> {
    find(cx, path, Metadata::is_dir).await
}

async fn find(cx: &Cx, path: FilePath, is: fn(&Metadata) -> bool) -> Result<bool> {
    let files = cx.client::<Files>().await?;
    blocking(cx, move |_| {
        Ok(files.find(&path, true)?.as_ref().is_some_and(is))
    })
    .await
}

/// The permission's resource, where it depends on an option whether a link is followed.
fn place(path: &str, follow: bool) -> String {
    let folder = crate::files::folder_of_run().unwrap_or_else(|_| "/".into());
    resolve(path, &folder, follow)
        .map_or_else(|_| path.to_owned(), |path| path.display().to_string())
}

/// What `list` tells of each entry.
pub fn brief(path: &Path, metadata: &Metadata) -> Map {
    let name = path
        .file_name()
        .map_or_else(|| "/".into(), |name| name.to_string_lossy());
    let mode = Mode::from_bits(metadata.mode()).to_string();
    Map::from_iter([
        ("name".into(), name.into_owned().into()),
        ("path".into(), path.display().to_string().into()),
        ("type".into(), kind(metadata).into()),
        (
            "size".into(),
            Dynamic::from(Size::from_bytes(metadata.len())),
        ),
        (
            "modified".into(),
            metadata
                .modified()
                .ok()
                .and_then(timestamp)
                .map_or(Dynamic::UNIT, Dynamic::from),
        ),
        ("mode".into(), mode.into()),
    ])
}

fn kind(metadata: &Metadata) -> &'static str {
    let kind = metadata.file_type();
    if kind.is_file() {
        "file"
    } else if kind.is_dir() {
        "directory"
    } else if kind.is_symlink() {
        "symlink"
    } else if kind.is_fifo() {
        "fifo"
    } else if kind.is_socket() {
        "socket"
    } else {
        "device"
    }
}

fn timestamp(time: SystemTime) -> Option<Timestamp> {
    jiff::Timestamp::try_from(time).ok().map(Timestamp::from)
}
