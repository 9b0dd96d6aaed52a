//! Compression of what a script holds in memory.

use std::io::{Read, Write};

use ccrun_kernel::value::Size;
use ccrun_kernel::{Blob, Bytes, Cx, Error, Options, Result, primitive};

use super::compression::{Bounded, Compression, is_too_large};

/// How a value is compressed.
#[derive(Clone, Options)]
pub struct CompressOptions {
    /// `"gzip"` or `"zstd"`.
    #[option(default = "zstd")]
    compression: Compression,
    /// From 1 (fast) to 9 for gzip, to 22 for zstd; without it, what their programs use.
    level: Option<i64>,
}

/// Compress a string or a blob in memory.
///
/// # Errors
/// `archive.level`.
///
/// # Example
/// ```rhai
/// let small = archive::compress("hello hello hello", #{ compression: "gzip" });
/// assert(archive::decompress(small) == "hello hello hello".to_blob());
/// ```
#[primitive(pure)]
fn compress(_cx: &Cx, data: Bytes, options: CompressOptions) -> Result<Blob> {
    let mut encoder = options.compression.encoder(Vec::new(), options.level, 1)?;
    encoder.write_all(&data.0)?;
    Ok(encoder.finish()?)
}

/// How a value is decompressed.
#[derive(Clone, Options)]
pub struct DecompressBlobOptions {
    /// The most that may come out: a small blob can hold very much. A blob holds a million bytes by
    /// default.
    #[option(default = "1MB")]
    max_size: Size,
}

/// Decompress a blob in memory; gzip and zstd are told apart by their first bytes.
///
/// # Errors
/// `archive.corrupt` for what is damaged, cut short or neither of the two, `archive.too_large`.
///
/// # Example
/// ```rhai
/// let small = archive::compress("hello");
/// assert(archive::decompress(small).as_string() == "hello");
/// ```
#[primitive(pure)]
fn decompress(_cx: &Cx, data: Blob, options: DecompressBlobOptions) -> Result<Blob> {
    let corrupt = |why: &str| {
        Error::new(
            "archive.corrupt",
            format!("can't decompress the blob: {why}"),
        )
        .hint("it is damaged, cut short, or neither gzip nor zstd")
    };
    let kind = Compression::of_content(&data);
    if kind == Compression::None {
        return Err(corrupt("it begins neither as gzip nor as zstd does"));
    }
    let mut decoder = Bounded::new(kind.decoder(data.as_slice())?, options.max_size);
    let mut out = Vec::new();
    match decoder.read_to_end(&mut out) {
        Ok(_) => Ok(out),
        Err(error) if is_too_large(&error) => Err(Error::new(
            "archive.too_large",
            format!("the blob holds more than {}", options.max_size),
        )
        .hint("if that is right, raise `max_size`")),
        Err(error) => Err(corrupt(&error.to_string())),
    }
}
