//! Reading tar archives.

use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use ccrun_kernel::event::Level;
use ccrun_kernel::rhai::{Dynamic, Map};
use ccrun_kernel::value::{Size, Timestamp};
use ccrun_kernel::{Cx, Error, Options, Preview, Result, primitive};

use super::compress::unreadable;
use super::compression::{Allowance, Bounded, recognised};
use super::entries::{Item, Kind, item};
use crate::files::{FilePath, Files, Mode, Work, blocking, failed, preview};

/// How an archive is unpacked.
#[derive(Clone, Options)]
pub struct UntarOptions {
    /// The most that may come out: a small archive can hold very much.
    #[option(default = "64GiB")]
    max_size: Size,
    /// The most entries that it may have.
    #[option(default = "1000000")]
    max_entries: u64,
    /// Leave out so many parts at the beginning of each name.
    #[option(default = "0")]
    strip: usize,
    /// Replace files that are there already.
    #[option(default = "true")]
    overwrite: bool,
    /// Give files the owners that the archive says, by number. Only root can.
    #[option(default = "false")]
    owner: bool,
}

/// Unpack a tar archive into a folder, which is created if it does not exist.
///
/// gzip and zstd are recognised by the content. The archive is first read through, and refused as a
/// whole if an entry has an absolute path, leaves the folder by `..`, or is a link that leads out of it;
/// nothing is ever written through a symbolic link that is in the folder already. Modes and times are
/// kept, set-user-ID and the like are not; devices and pipes are left out with a warning. What is there
/// and not in the archive stays. Returns a map: `entries` and `size` (of what came out).
///
/// # Errors
/// `archive.unsafe_entry`, `archive.too_large`, `archive.too_many_entries`, `archive.corrupt`,
/// `fs.already_exists` with `overwrite: false`, `fs.unsafe_path`, `fs.not_found`, `io.disk_full`: what was
/// unpacked until then is there.
///
/// # Example
/// ```rhai
/// fs::write("site/index.html", "<p>hello", #{ parents: true });
/// archive::tar("site", "site.tar.gz", #{ prefix: "site-1.0" });
/// archive::untar("site.tar.gz", "www", #{ strip: 1 });
/// assert(fs::read("www/index.html") == "<p>hello");
/// ```
#[primitive(change, needs = read fs(path), needs = fs(folder), preview = untar_preview)]
async fn untar(cx: &Cx, path: FilePath, folder: FilePath, options: UntarOptions) -> Result<Map> {
    let files = cx.client::<Files>().await?;
    let told = cx.clone();
    let mut progress = cx.progress(format!("check {path}"), None).bytes();
    blocking(cx, move |work| {
        let source = Source {
            files: &files,
            work,
            path: &path,
            options: &options,
        };
        source.each(
            |_| (),
            |item, _| occupied(&files, &folder, item, options.overwrite),
        )?;

        files.create_dir(&folder, None)?;
        progress.total(files.metadata(&path, true)?.len());
        progress.message(format!("{path} → {folder}"));
        let mut unpacked = Unpacked {
            files: &files,
            folder: &folder,
            options: &options,
            modes: Vec::new(),
        };
        let totals = source.each(
            |read| progress.advance(read),
            |item, content| {
                if !unpacked.add(item, content, &path)? {
                    told.log(
                        Level::Warn,
                        format!(
                            "left out {}: it is no file, directory or link",
                            item.path.display()
                        ),
                    );
                }
                Ok(())
            },
        )?;
        unpacked.finish()?;
        Ok(Map::from_iter([
            (
                "entries".into(),
                Dynamic::from(i64::try_from(totals.entries).unwrap_or(i64::MAX)),
            ),
            ("size".into(), Dynamic::from(Size::from_bytes(totals.size))),
        ]))
    })
    .await
}

async fn untar_preview(
    cx: &Cx,
    path: &FilePath,
    folder: &FilePath,
    options: &UntarOptions,
) -> Result<Preview> {
    let files = cx.client::<Files>().await?;
    let (path, folder, options) = (path.clone(), folder.clone(), options.clone());
    let summary = format!("unpack {path} into {folder}");
    preview(cx, summary, move |work| {
        let source = Source {
            files: &files,
            work,
            path: &path,
            options: &options,
        };
        let mut replaced = 0_u64;
        let totals = source.each(
            |_| (),
            |item, _| {
                occupied(&files, &folder, item, options.overwrite)?;
                let there = files.find(&folder.join(&item.path), false)?;
                replaced += u64::from(there.is_some_and(|found| !found.is_dir()));
                Ok(())
            },
        )?;
        let size = Size::from_bytes(totals.size);
        let entries = totals.entries;
        let summary = format!("unpack {path} ({entries} entries, {size}) into {folder}");
        Ok(match (replaced, files.find(&folder, true)?) {
            (0, None) => {
                Preview::new(summary).undo(format!("fs::remove_all({:?})", folder.to_string()))
            }
            (0, Some(_)) => Preview::new(summary),
            (replaced, _) => Preview::new(format!("{summary}, replacing {replaced} files")),
        })
    })
    .await
}

/// How a list is made.
#[derive(Clone, Options)]
pub struct ListOptions {
    /// The most that may come out while the archive is read.
    #[option(default = "64GiB")]
    max_size: Size,
    /// The most entries that it may have.
    #[option(default = "100000")]
    max_entries: u64,
}

/// The entries of a tar archive: an array of maps with `path`, `type` (`"file"`, `"directory"`,
/// `"symlink"`, `"hard_link"` or `"other"`), `size`, `mode`, `modified` and `target` (of links).
///
/// gzip and zstd are recognised by the content. The whole archive is read. Entries that `untar` would
/// refuse are refused here too.
///
/// # Errors
/// `archive.unsafe_entry`, `archive.corrupt`, `archive.too_large`, `archive.too_many_entries`,
/// `fs.not_found`.
///
/// # Example
/// ```rhai
/// fs::write("conf/app.toml", "port = 80\n", #{ parents: true });
/// archive::tar("conf", "conf.tar");
/// assert(archive::list("conf.tar")[0].path == "app.toml");
/// ```
#[primitive(read, needs = fs(path))]
async fn list(cx: &Cx, path: FilePath, options: ListOptions) -> Result<Vec<Map>> {
    let files = cx.client::<Files>().await?;
    let mut progress = cx.progress(path.to_string(), None).bytes();
    let ListOptions {
        max_size,
        max_entries,
    } = options;
    blocking(cx, move |work| {
        let options = UntarOptions {
            max_size,
            max_entries,
            strip: 0,
            overwrite: true,
            owner: false,
        };
        let source = Source {
            files: &files,
            work,
            path: &path,
            options: &options,
        };
        let mut maps = Vec::new();
        source.each(
            |read| progress.advance(read),
            |item, _| {
                maps.push(described(item));
                Ok(())
            },
        )?;
        Ok(maps)
    })
    .await
}

fn described(item: &Item) -> Map {
    let (kind, target) = match &item.kind {
        Kind::File => ("file", None),
        Kind::Directory => ("directory", None),
        Kind::Symlink(target) => ("symlink", Some(target)),
        Kind::HardLink(target) => ("hard_link", Some(target)),
        Kind::Other => ("other", None),
    };
    let modified = i64::try_from(item.modified)
        .ok()
        .and_then(|s| Timestamp::from_unix(s).ok());
    Map::from_iter([
        ("path".into(), item.path.display().to_string().into()),
        ("type".into(), kind.into()),
        ("size".into(), Dynamic::from(Size::from_bytes(item.size))),
        ("mode".into(), Mode::from_bits(item.mode).to_string().into()),
        (
            "modified".into(),
            modified.map_or(Dynamic::UNIT, Dynamic::from),
        ),
        (
            "target".into(),
            target.map_or(Dynamic::UNIT, |t| t.display().to_string().into()),
        ),
    ])
}

/// How far ahead an archive is read.
const BUFFER: usize = 256 << 10;

/// How much may stand between two entries: names, extended headers, and what is read ahead.
const MOST_METADATA: u64 = (1 << 20) + 2 * BUFFER as u64;

/// An archive that is read through.
struct Source<'a> {
    files: &'a Files,
    work: &'a Work,
    path: &'a Path,
    options: &'a UntarOptions,
}

#[derive(Default)]
struct Totals {
    entries: u64,
    size: u64,
}

impl Source<'_> {
    /// Take each entry with its content; `told` hears how much of the file was read.
    fn each(
        &self,
        told: impl FnMut(u64),
        mut take: impl FnMut(&Item, &mut dyn Read) -> Result<()>,
    ) -> Result<Totals> {
        let UntarOptions {
            max_size,
            max_entries,
            strip,
            ..
        } = *self.options;
        let wrong = |error: &std::io::Error| unreadable(self.path, error, max_size);
        let (file, _) = self.files.open_file(self.path)?;
        let read = |error: std::io::Error| failed("read", self.path, &error);
        let (kind, reader) = recognised(self.work.reading(file, told)).map_err(read)?;
        // The headers and the padding of each entry come on top of its content.
        let overhead = max_entries.saturating_mul(4096);
        let stream = Size::from_bytes(max_size.bytes().saturating_add(overhead));
        let allowance = Allowance::default();
        let stream = allowance.reading(Bounded::new(kind.decoder(reader)?, stream));
        let mut archive = tar::Archive::new(BufReader::with_capacity(BUFFER, stream));
        allowance.set(MOST_METADATA);
        let mut totals = Totals::default();
        for entry in archive.entries().map_err(|error| wrong(&error))? {
            let mut entry = entry.map_err(|error| wrong(&error))?;
            // What nobody takes of it is skipped on the way to the next one.
            let stored = entry.header().entry_size().unwrap_or(0);
            let until_next = stored.saturating_add(MOST_METADATA);
            totals.entries += 1;
            if totals.entries > max_entries {
                return Err(Error::new(
                    "archive.too_many_entries",
                    format!(
                        "{} has more than {max_entries} entries",
                        self.path.display()
                    ),
                )
                .hint("if that is right, raise `max_entries`"));
            }
            allowance.set(until_next);
            let Some(item) = item(&entry, strip)? else {
                continue;
            };
            totals.size = totals.size.saturating_add(item.size);
            if totals.size > max_size.bytes() {
                return Err(Error::new(
                    "archive.too_large",
                    format!(
                        "{} holds more than {max_size}, which is as much as is accepted",
                        self.path.display()
                    ),
                )
                .hint("if that is right, raise `max_size`"));
            }
            allowance.set(u64::MAX);
            take(&item, &mut entry)?;
            allowance.set(until_next);
        }
        Ok(totals)
    }
}

/// Refuse to replace what must stay.
fn occupied(files: &Files, folder: &Path, item: &Item, overwrite: bool) -> Result<()> {
    if overwrite || item.kind == Kind::Directory {
        return Ok(());
    }
    let path = folder.join(&item.path);
    match files.find(&path, false)? {
        None => Ok(()),
        Some(_) => Err(Error::new(
            "fs.already_exists",
            format!("{} exists already", path.display()),
        )
        .hint("unpack into an empty folder, or leave out `overwrite: false`")),
    }
}

struct Unpacked<'a> {
    files: &'a Files,
    folder: &'a Path,
    options: &'a UntarOptions,
    /// The modes of directories, which are set at the end: a read-only one could not be filled.
    modes: Vec<(PathBuf, Mode)>,
}

impl Unpacked<'_> {
    /// Write one entry; whether it is of a kind that is unpacked.
    fn add(&mut self, item: &Item, content: &mut dyn Read, archive: &Path) -> Result<bool> {
        let parent = item.path.parent().unwrap_or(Path::new(""));
        let path = self.folder.join(&item.path);
        // Neither set-user-ID nor the like comes out of an archive.
        let mode = Mode::from_bits(item.mode & 0o777);
        if item.kind != Kind::Other {
            self.files.create_dirs_below(self.folder, parent)?;
        }
        match &item.kind {
            Kind::Other => return Ok(false),
            Kind::Directory => {
                self.files.create_dirs_below(self.folder, &item.path)?;
                self.modes.push((path.clone(), mode));
            }
            Kind::File => self.file(item, &path, mode, content, archive)?,
            Kind::Symlink(target) => {
                self.files.remove(&path)?;
                self.files.symlink(&target.display().to_string(), &path)?;
            }
            Kind::HardLink(target) => {
                let existing = self.folder.join(target);
                let target_parent = target.parent().unwrap_or(Path::new(""));
                self.files.create_dirs_below(self.folder, target_parent)?;
                if !self.files.metadata(&existing, false)?.is_file() {
                    return Err(Error::new(
                        "archive.unsafe_entry",
                        format!(
                            "{} is a second name for {}, which is no file",
                            item.path.display(),
                            target.display()
                        ),
                    )
                    .hint("look at it with `archive::list`"));
                }
                if existing != path {
                    self.files.remove(&path)?;
                    self.files.hard_link(&existing, &path)?;
                }
            }
        }
        if self.options.owner && matches!(item.kind, Kind::File | Kind::Directory) {
            self.files.chown(&path, item.user, item.group)?;
        }
        Ok(true)
    }

    fn file(
        &self,
        item: &Item,
        path: &Path,
        mode: Mode,
        content: &mut dyn Read,
        archive: &Path,
    ) -> Result<()> {
        let mut file = self.files.create_file(path, Mode::from_bits(0o600))?;
        let max_size = self.options.max_size;
        let mut content = Bounded::new(content, Size::from_bytes(item.size));
        super::compress::copy(&mut content, &mut file, archive, path, |error| {
            unreadable(archive, error, max_size)
        })?;
        let modified = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(item.modified));
        if let Some(modified) = modified {
            // Some file systems know no such time; the content is what counts.
            drop(file.set_modified(modified));
        }
        self.files.chmod(path, mode)
    }

    fn finish(self) -> Result<()> {
        self.modes
            .iter()
            .rev()
            .try_for_each(|(path, mode)| self.files.chmod(path, *mode))
    }
}
