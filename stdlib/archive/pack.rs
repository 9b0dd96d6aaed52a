//! Making tar archives.

use std::fs::Metadata;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use ccrun_kernel::event::Level;
use ccrun_kernel::rhai::{Dynamic, Map};
use ccrun_kernel::value::Size;
use ccrun_kernel::{Cx, Error, FromArg, Options, Preview, Progress, Result, primitive};

use super::compression::Compression;
use crate::files::{FilePath, Files, PathPattern, Work, blocking, failed, preview};

/// What goes into an archive, and how it is compressed.
#[derive(Clone, Options)]
pub struct TarOptions {
    /// `"none"`, `"gzip"` or `"zstd"`; without it, what the name of the result says (`.tar`, `.tar.gz`,
    /// `.tgz`, `.tar.zst`).
    compression: Option<Compression>,
    /// From 1 (fast) to 9 for gzip, to 22 for zstd; without it, what their programs use.
    level: Option<i64>,
    /// How many threads compress (zstd only).
    #[option(default = "1")]
    threads: u32,
    /// Only these files and directories of the directory, as paths inside of it.
    only: Option<Names>,
    /// Leave out what matches one of these patterns: a name at any depth (`"*.tmp"`), or a path inside
    /// of the directory (`"cache/**"`).
    exclude: Option<Patterns>,
    /// A directory inside of the archive that everything is put into.
    prefix: Option<String>,
}

/// Put a directory or a file into a tar archive.
///
/// The names in the archive start inside of the directory: unpacking it into another folder gives the
/// same content there (see `prefix`). They are sorted. Modes, owners (as numbers) and times are kept,
/// symbolic links are stored as links; sockets, pipes and devices are left out with a warning. The
/// archive takes its place when it is complete. Returns a map: `entries`, `content` (the size of what is
/// in it) and `size` (of the archive).
///
/// # Errors
/// `fs.not_found`, `fs.permission_denied` for anything that can't be read, `archive.level`,
/// `io.disk_full`.
///
/// # Example
/// ```rhai
/// fs::write("conf/app.toml", "port = 80\n", #{ parents: true });
/// let made = archive::tar("conf", "conf.tar.zst", #{ exclude: ["*.tmp"] });
/// archive::untar("conf.tar.zst", "copy");
/// assert(made.entries == 1 && fs::read("copy/app.toml") == "port = 80\n");
/// ```
#[primitive(change, needs = read fs(path), needs = fs(dest), preview = tar_preview)]
async fn tar(cx: &Cx, path: FilePath, dest: FilePath, options: TarOptions) -> Result<Map> {
    let files = cx.client::<Files>().await?;
    let progress = cx.progress(format!("{path} → {dest}"), None).bytes();
    let told = cx.clone();
    blocking(cx, move |work| {
        let kind = options
            .compression
            .unwrap_or_else(|| Compression::of_name(&dest.to_string()));
        let prefix = prefix(options.prefix.as_deref())?;
        let selected = Selection::new(&files, work, &path, &options)?;
        let file = files.replace(work, &dest, None)?;
        // Neither of them is to contain itself.
        let own = [dest.to_path_buf(), file.temporary().to_owned()];
        let encoder = kind.encoder(file, options.level, options.threads)?;
        let mut packer = Packer {
            files: &files,
            work,
            archive: tar::Builder::new(encoder),
            dest: &dest,
            progress,
            entries: 0,
            content: 0,
        };
        selected.each(|source, inside, metadata| {
            if own.iter().any(|own| own == source) {
                return Ok(());
            }
            if !packer.add(source, &prefix.join(inside), metadata)? {
                told.log(
                    Level::Warn,
                    format!(
                        "left out {}: it is no file, directory or link",
                        source.display()
                    ),
                );
            }
            Ok(())
        })?;
        let Packer {
            archive,
            entries,
            content,
            ..
        } = packer;
        let written = |error: io::Error| failed("write", &dest, &error);
        let file = archive
            .into_inner()
            .and_then(|encoder| encoder.finish())
            .map_err(written)?;
        let size = file.written();
        file.commit()?;
        Ok(Map::from_iter([
            (
                "entries".into(),
                Dynamic::from(i64::try_from(entries).unwrap_or(i64::MAX)),
            ),
            ("content".into(), Dynamic::from(Size::from_bytes(content))),
            ("size".into(), Dynamic::from(Size::from_bytes(size))),
        ]))
    })
    .await
}

async fn tar_preview(
    cx: &Cx,
    path: &FilePath,
    dest: &FilePath,
    options: &TarOptions,
) -> Result<Preview> {
    let files = cx.client::<Files>().await?;
    let (path, dest, options) = (path.clone(), dest.clone(), options.clone());
    let summary = format!("put {path} into {dest}");
    preview(cx, summary, move |work| {
        let (mut entries, mut content) = (0_u64, 0_u64);
        Selection::new(&files, work, &path, &options)?.each(|_, _, metadata| {
            entries += 1;
            content += if metadata.is_file() {
                metadata.len()
            } else {
                0
            };
            Ok(())
        })?;
        let content = Size::from_bytes(content);
        let summary = format!("put {path} ({entries} entries, {content}) into {dest}");
        Ok(match files.find(&dest, true)? {
            Some(_) => Preview::new(format!("{summary}, which is replaced")),
            None => Preview::new(summary).undo(format!("fs::remove({:?})", dest.to_string())),
        })
    })
    .await
}

/// The files to be packed.
struct Selection<'a> {
    files: &'a Files,
    work: &'a Work,
    root: &'a Path,
    start: Vec<PathBuf>,
    exclude: Vec<PathPattern>,
}

impl<'a> Selection<'a> {
    fn new(files: &'a Files, work: &'a Work, root: &'a Path, options: &TarOptions) -> Result<Self> {
        let start = match &options.only {
            None => vec![PathBuf::new()],
            Some(Names(names)) => names
                .iter()
                .map(|name| inside(name))
                .collect::<Result<_>>()?,
        };
        let exclude = options
            .exclude
            .clone()
            .map_or_else(Vec::new, |Patterns(list)| list);
        Ok(Self {
            files,
            work,
            root,
            start,
            exclude,
        })
    }

    /// Go through them in the order of their names: where each is, its path inside, what it is.
    fn each(&self, mut take: impl FnMut(&Path, &Path, &Metadata) -> Result<()>) -> Result<()> {
        // The last one is next.
        let mut todo: Vec<PathBuf> = self.start.clone();
        todo.sort();
        todo.dedup();
        todo.reverse();
        while let Some(inside) = todo.pop() {
            self.work.check()?;
            let top = inside.as_os_str().is_empty();
            let source = if top {
                self.root.to_owned()
            } else {
                self.root.join(&inside)
            };
            if self
                .exclude
                .iter()
                .any(|pattern| !top && pattern.matches(&inside))
            {
                continue;
            }
            let metadata = self.files.metadata(&source, false)?;
            match (top, metadata.is_dir()) {
                (false, _) => take(&source, &inside, &metadata)?,
                (true, true) => {}
                (true, false) => {
                    let name = source.file_name().map(PathBuf::from).unwrap_or_default();
                    take(&source, &name, &metadata)?;
                }
            }
            if metadata.is_dir() {
                let entries = self.files.entries(&source)?;
                let names = entries
                    .iter()
                    .rev()
                    .filter_map(|entry| entry.path.file_name());
                todo.extend(names.map(|name| inside.join(name)));
            }
        }
        Ok(())
    }
}

struct Packer<'a, W: Write> {
    files: &'a Files,
    work: &'a Work,
    archive: tar::Builder<W>,
    dest: &'a Path,
    progress: Progress,
    entries: u64,
    content: u64,
}

impl<W: Write> Packer<'_, W> {
    /// Add one entry; whether it is of a kind that archives hold.
    fn add(&mut self, source: &Path, name: &Path, metadata: &Metadata) -> Result<bool> {
        let mut header = tar::Header::new_gnu();
        header.set_metadata_in_mode(metadata, tar::HeaderMode::Complete);
        let added = if metadata.is_symlink() {
            let target = self.files.read_link(source)?;
            header.set_size(0);
            self.archive.append_link(&mut header, name, target)
        } else if metadata.is_dir() {
            header.set_size(0);
            self.archive.append_data(&mut header, name, io::empty())
        } else if metadata.is_file() {
            // As long as it is now: what the header says must be what follows.
            let (file, metadata) = self.files.open_file(source)?;
            header.set_size(metadata.len());
            let progress = &mut self.progress;
            let mut reading = Exactly {
                inner: self.work.reading(file, |read| progress.advance(read)),
                left: metadata.len(),
                failed: None,
            };
            let added = self.archive.append_data(&mut header, name, &mut reading);
            if let Some(error) = reading.failed {
                return Err(failed("read", source, &error));
            }
            self.content += metadata.len();
            added
        } else {
            return Ok(false);
        };
        added.map_err(|error| failed("write", self.dest, &error))?;
        self.entries += 1;
        Ok(true)
    }
}

/// A file that is read to the length that was announced, whatever happens to it meanwhile: what is
/// missing at its end is filled with zeros, as tar(1) does.
struct Exactly<R> {
    inner: R,
    left: u64,
    /// An error of the file itself, which would else look like one of the archive.
    failed: Option<io::Error>,
}

impl<R: Read> Read for Exactly<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let read = match self.inner.read(&mut buffer[..most]) {
            Ok(0) => {
                buffer[..most].fill(0);
                most
            }
            Ok(read) => read,
            Err(error) => {
                let kind = error.kind();
                self.failed = Some(error);
                return Err(kind.into());
            }
        };
        self.left -= read as u64;
        Ok(read)
    }
}

/// A path inside of a directory, as a script writes it.
fn inside(name: &str) -> Result<PathBuf> {
    let path: PathBuf = Path::new(name)
        .components()
        .filter(|part| *part != std::path::Component::CurDir)
        .collect();
    let normal = path
        .components()
        .all(|part| matches!(part, std::path::Component::Normal(_)));
    match normal {
        true => Ok(path),
        false => Err(Error::new(
            "archive.unsafe_entry",
            format!("{name:?} is not a path inside of the directory"),
        )
        .hint("give paths relative to the directory, without `..`")),
    }
}

fn prefix(text: Option<&str>) -> Result<PathBuf> {
    text.map_or_else(|| Ok(PathBuf::new()), inside)
}

/// An array of names.
#[derive(Clone)]
struct Names(Vec<String>);

/// An array of patterns.
#[derive(Clone)]
struct Patterns(Vec<PathPattern>);

macro_rules! array_of {
    ($list:ident, $element:ty) => {
        impl FromArg for $list {
            fn type_name() -> String {
                "array of string".into()
            }

            fn from_arg(value: Dynamic) -> std::result::Result<Self, ccrun_kernel::Mismatch> {
                let mismatch = ccrun_kernel::Mismatch::of::<Self>(&value);
                let items = value.into_array().map_err(|_| mismatch)?;
                let items = items.into_iter().enumerate().map(|(index, item)| {
                    <$element>::from_arg(item).map_err(|m| m.inside(format!("[{index}]")))
                });
                items.collect::<std::result::Result<_, _>>().map(Self)
            }
        }
    };
}

array_of!(Names, String);
array_of!(Patterns, PathPattern);
