//! Compressing and decompressing one file.

use std::io::{self, Write};
use std::path::Path;

use ccrun_kernel::value::Size;
use ccrun_kernel::{Cx, Error, Options, Preview, Result, primitive};

use super::compression::{Bounded, Compression, is_too_large, recognised};
use crate::files::{FilePath, Files, blocking, failed, preview};

/// How a file is compressed.
#[derive(Clone, Options)]
pub struct GzipOptions {
    /// From 1 (fast) to 9 (small).
    #[option(default = "6")]
    level: i64,
}

/// How a file is compressed.
#[derive(Clone, Options)]
pub struct ZstdOptions {
    /// From 1 (fast) to 22 (small).
    #[option(default = "3")]
    level: i64,
    /// How many threads compress. The result is the same for any number above 1.
    #[option(default = "1")]
    threads: u32,
}

/// How a file is decompressed.
#[derive(Clone, Options)]
pub struct DecompressOptions {
    /// The most that may come out: a small file can hold very much.
    #[option(default = "64GiB")]
    max_size: Size,
}

/// Compress a file into another, as `gzip` does, and return the size of the result.
///
/// The result takes its place when it is complete; the original stays.
///
/// # Errors
/// `fs.not_found`, `fs.is_a_directory` (see `tar`), `archive.level`, `io.disk_full`,
/// `fs.permission_denied`.
///
/// # Example
/// ```rhai
/// fs::write("dump.sql", "select 1;\n");
/// archive::gzip("dump.sql", "dump.sql.gz", #{ level: 9 });
/// archive::gunzip("dump.sql.gz", "copy.sql");
/// assert(fs::read("copy.sql") == "select 1;\n");
/// ```
#[primitive(change, needs = read fs(path), needs = fs(dest), preview = gzip_preview)]
async fn gzip(cx: &Cx, path: FilePath, dest: FilePath, options: GzipOptions) -> Result<Size> {
    compress(cx, path, dest, Compression::Gzip, options.level, 1).await
}

async fn gzip_preview(
    cx: &Cx,
    path: &FilePath,
    dest: &FilePath,
    _options: &GzipOptions,
) -> Result<Preview> {
    into(cx, "compress", path, dest).await
}

/// Decompress a file that `gzip` made into another, and return the size of the result.
///
/// Its checksum is verified. The result takes its place when it is complete.
///
/// # Errors
/// `archive.corrupt` for a file that is damaged, cut short or no gzip at all, `archive.too_large`,
/// `fs.not_found`, `io.disk_full`.
///
/// # Example
/// ```rhai
/// fs::write("a.txt", "hello");
/// archive::gzip("a.txt", "a.txt.gz");
/// assert(archive::gunzip("a.txt.gz", "b.txt") == 5);
/// ```
#[primitive(change, needs = read fs(path), needs = fs(dest), preview = decompress_preview)]
async fn gunzip(
    cx: &Cx,
    path: FilePath,
    dest: FilePath,
    options: DecompressOptions,
) -> Result<Size> {
    decompress(cx, path, dest, Compression::Gzip, options.max_size).await
}

/// Compress a file into another, as `zstd` does, and return the size of the result.
///
/// Faster than gzip, and smaller. A checksum is included. The result takes its place when it is
/// complete; the original stays.
///
/// # Errors
/// `fs.not_found`, `fs.is_a_directory` (see `tar`), `archive.level`, `io.disk_full`,
/// `fs.permission_denied`.
///
/// # Example
/// ```rhai
/// fs::write("dump.sql", "select 1;\n");
/// archive::zstd_compress("dump.sql", "dump.sql.zst", #{ level: 10, threads: 2 });
/// archive::zstd_decompress("dump.sql.zst", "copy.sql");
/// assert(fs::read("copy.sql") == "select 1;\n");
/// ```
#[primitive(change, needs = read fs(path), needs = fs(dest), preview = zstd_preview)]
async fn zstd_compress(
    cx: &Cx,
    path: FilePath,
    dest: FilePath,
    options: ZstdOptions,
) -> Result<Size> {
    compress(
        cx,
        path,
        dest,
        Compression::Zstd,
        options.level,
        options.threads,
    )
    .await
}

async fn zstd_preview(
    cx: &Cx,
    path: &FilePath,
    dest: &FilePath,
    _options: &ZstdOptions,
) -> Result<Preview> {
    into(cx, "compress", path, dest).await
}

/// Decompress a file that `zstd` made into another, and return the size of the result.
///
/// Its checksum is verified, where it has one. The result takes its place when it is complete.
///
/// # Errors
/// `archive.corrupt` for a file that is damaged, cut short or no zstd at all, `archive.too_large`,
/// `fs.not_found`, `io.disk_full`.
///
/// # Example
/// ```rhai
/// fs::write("a.txt", "hello");
/// archive::zstd_compress("a.txt", "a.txt.zst");
/// assert(archive::zstd_decompress("a.txt.zst", "b.txt") == 5);
/// ```
#[primitive(change, needs = read fs(path), needs = fs(dest), preview = decompress_preview)]
async fn zstd_decompress(
    cx: &Cx,
    path: FilePath,
    dest: FilePath,
    options: DecompressOptions,
) -> Result<Size> {
    decompress(cx, path, dest, Compression::Zstd, options.max_size).await
}

async fn compress(
    cx: &Cx,
    path: FilePath,
    dest: FilePath,
    kind: Compression,
    level: i64,
    threads: u32,
) -> Result<Size> {
    let files = cx.client::<Files>().await?;
    let mut progress = cx.progress(format!("{path} → {dest}"), None).bytes();
    blocking(cx, move |work| {
        not_the_same(&path, &dest)?;
        let (source, metadata) = files.open_file(&path)?;
        progress.total(metadata.len());
        let mut reader = work.reading(source, |read| progress.advance(read));
        let mut encoder = kind.encoder(files.replace(work, &dest, None)?, Some(level), threads)?;
        copy(&mut reader, &mut encoder, &path, &dest, |error| {
            failed("read", &path, error)
        })?;
        let file = encoder
            .finish()
            .map_err(|error| failed("write", &dest, &error))?;
        let size = Size::from_bytes(file.written());
        file.commit()?;
        Ok(size)
    })
    .await
}

async fn decompress(
    cx: &Cx,
    path: FilePath,
    dest: FilePath,
    kind: Compression,
    max_size: Size,
) -> Result<Size> {
    let files = cx.client::<Files>().await?;
    let mut progress = cx.progress(format!("{path} → {dest}"), None).bytes();
    blocking(cx, move |work| {
        not_the_same(&path, &dest)?;
        let (source, metadata) = files.open_file(&path)?;
        progress.total(metadata.len());
        let reader = work.reading(source, |read| progress.advance(read));
        let (found, reader) = recognised(reader).map_err(|error| failed("read", &path, &error))?;
        if found != kind {
            return Err(corrupt(
                &path,
                &format!("it does not begin as {} data does", kind.name()),
            ));
        }
        let mut decoder = Bounded::new(kind.decoder(reader)?, max_size);
        let mut file = files.replace(work, &dest, None)?;
        copy(&mut decoder, &mut file, &path, &dest, |error| {
            unreadable(&path, error, max_size)
        })?;
        let size = Size::from_bytes(file.written());
        file.commit()?;
        Ok(size)
    })
    .await
}

/// Copy everything; `unreadable` makes the error where it is the reading that fails.
pub fn copy(
    from: &mut impl io::Read,
    to: &mut impl Write,
    path: &Path,
    dest: &Path,
    unreadable: impl Fn(&io::Error) -> Error,
) -> Result<()> {
    let mut buffer = vec![0; 256 << 10];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => {
                to.write_all(&buffer[..read])
                    .map_err(|error| failed("write", dest, &error))?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                return Err(unreadable(&error).detail("source", path.display().to_string()));
            }
        }
    }
}

/// The error of compressed data.
pub fn unreadable(path: &Path, error: &io::Error, max_size: Size) -> Error {
    if is_too_large(error) {
        return Error::new(
            "archive.too_large",
            format!(
                "{} holds more than {max_size}, which is as much as is accepted",
                path.display()
            ),
        )
        .hint("if that is right, raise `max_size`");
    }
    match error.raw_os_error() {
        Some(_) => failed("read", path, error),
        None => corrupt(path, &error.to_string()),
    }
}

fn corrupt(path: &Path, why: &str) -> Error {
    Error::new(
        "archive.corrupt",
        format!("can't decompress {}: {why}", path.display()),
    )
    .hint("it is damaged, cut short, or of another kind: `file` tells; fetch it again")
}

fn not_the_same(path: &Path, dest: &Path) -> Result<()> {
    match path == dest {
        false => Ok(()),
        true => Err(Error::new(
            "archive.same_file",
            format!("{} can't be its own result", path.display()),
        )
        .hint("give the result another name")),
    }
}

async fn decompress_preview(
    cx: &Cx,
    path: &FilePath,
    dest: &FilePath,
    _options: &DecompressOptions,
) -> Result<Preview> {
    into(cx, "decompress", path, dest).await
}

async fn into(cx: &Cx, verb: &str, path: &FilePath, dest: &FilePath) -> Result<Preview> {
    let files = cx.client::<Files>().await?;
    let (path, dest, verb) = (path.clone(), dest.clone(), verb.to_owned());
    let summary = format!("{verb} {path} into {dest}");
    preview(cx, summary, move |_| {
        not_the_same(&path, &dest)?;
        let (_, metadata) = files.open_file(&path)?;
        let size = Size::from_bytes(metadata.len());
        let summary = format!("{verb} {path} ({size}) into {dest}");
        Ok(match files.find(&dest, true)? {
            Some(_) => Preview::new(format!("{summary}, which is replaced")),
            None => Preview::new(summary).undo(format!("fs::remove({:?})", dest.to_string())),
        })
    })
    .await
}
