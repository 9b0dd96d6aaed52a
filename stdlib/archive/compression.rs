//! The kinds of compression, and how each is written and read.

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::rc::Rc;

use ccrun_kernel::rhai::Dynamic;
use ccrun_kernel::value::{Size, closest};
use ccrun_kernel::{Error, FromArg, Mismatch, Result};

/// How a stream is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip(1), RFC 1952.
    Gzip,
    /// zstd(1), RFC 8878.
    Zstd,
}

impl Compression {
    const NAMES: [(&'static str, Self); 3] = [
        ("none", Self::None),
        ("gzip", Self::Gzip),
        ("zstd", Self::Zstd),
    ];

    /// Its name in scripts.
    pub fn name(self) -> &'static str {
        Self::NAMES
            .iter()
            .find(|(_, kind)| *kind == self)
            .map_or("none", |(name, _)| name)
    }

    /// By the end of a file's name: `.tar.zst`, `.tgz` …
    pub fn of_name(name: &str) -> Self {
        let name = name.to_ascii_lowercase();
        let ends = |ends: &[&str]| ends.iter().any(|end| name.ends_with(end));
        if ends(&[".gz", ".tgz"]) {
            Self::Gzip
        } else if ends(&[".zst", ".zstd", ".tzst"]) {
            Self::Zstd
        } else {
            Self::None
        }
    }

    /// By the first bytes of the content.
    pub fn of_content(begin: &[u8]) -> Self {
        match begin {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            // A skippable frame may come first.
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            _ => Self::None,
        }
    }

    /// What is written is compressed on its way to `inner`. [`Encoder::finish`] must be called.
    pub fn encoder<'w, W: Write + 'w>(
        self,
        inner: W,
        level: Option<i64>,
        threads: u32,
    ) -> Result<Encoder<'w, W>> {
        let refused = |lowest: i64, highest: i64, level: i64| {
            Error::new(
                "archive.level",
                format!("there is no compression level {level}"),
            )
            .hint(format!(
                "the levels go from {lowest} (fast) to {highest} (small)"
            ))
        };
        Ok(match (self, level) {
            (Self::None, _) => Encoder::Plain(inner),
            (Self::Gzip, level) => {
                let level = level.unwrap_or(6);
                let number = u32::try_from(level)
                    .ok()
                    .filter(|level| (1..=9).contains(level));
                let level = flate2::Compression::new(number.ok_or_else(|| refused(1, 9, level))?);
                Encoder::Gzip(flate2::write::GzEncoder::new(inner, level))
            }
            (Self::Zstd, level) => {
                let level = level.unwrap_or(3);
                let number = i32::try_from(level)
                    .ok()
                    .filter(|level| (1..=22).contains(level));
                let number = number.ok_or_else(|| refused(1, 22, level))?;
                let mut encoder = zstd::Encoder::new(inner, number).map_err(unusable)?;
                encoder.include_checksum(true).map_err(unusable)?;
                if threads > 1 {
                    encoder.multithread(threads).map_err(unusable)?;
                }
                Encoder::Zstd(encoder)
            }
        })
    }

    /// What is read from `inner` comes decompressed. Streams that were written one after the other into
    /// one file are read as one, as `gunzip` and `unzstd` do.
    pub fn decoder<'r, R: BufRead + 'r>(self, inner: R) -> Result<Box<dyn Read + 'r>> {
        Ok(match self {
            Self::None => Box::new(inner),
            Self::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(inner)),
            Self::Zstd => {
                let mut decoder = zstd::Decoder::with_buffer(inner).map_err(unusable)?;
                // As zstd(1) does: a frame that wants more than 128 MiB of memory is refused.
                decoder.window_log_max(27).map_err(unusable)?;
                Box::new(decoder)
            }
        })
    }
}

fn unusable(error: io::Error) -> Error {
    Error::new(
        "archive.failed",
        format!("the compression can't be set up: {error}"),
    )
    .hint("a lower level needs less memory")
}

impl FromArg for Compression {
    fn type_name() -> String {
        "string".into()
    }

    fn from_arg(value: Dynamic) -> Result<Self, Mismatch> {
        let name = String::from_arg(value)?;
        if let Some((_, found)) = Self::NAMES.iter().find(|(known, _)| *known == name) {
            return Ok(*found);
        }
        let names = Self::NAMES.map(|(known, _)| known);
        Err(Mismatch::Value(match closest(&name, names) {
            Some(nearest) => format!("there is no compression {name:?}: did you mean {nearest:?}?"),
            None => {
                format!("there is no compression {name:?}: there are \"none\", \"gzip\", \"zstd\"")
            }
        }))
    }
}

/// Compresses what is written to it.
pub enum Encoder<'w, W: Write + 'w> {
    /// Not at all.
    Plain(W),
    /// As gzip.
    Gzip(flate2::write::GzEncoder<W>),
    /// As zstd.
    Zstd(zstd::Encoder<'w, W>),
}

impl<'w, W: Write + 'w> Encoder<'w, W> {
    /// Write what is still held back, and give back the stream below.
    pub fn finish(self) -> io::Result<W> {
        match self {
            Self::Plain(inner) => Ok(inner),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl<'w, W: Write + 'w> Write for Encoder<'w, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(inner) => inner.write(bytes),
            Self::Gzip(encoder) => encoder.write(bytes),
            Self::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(inner) => inner.flush(),
            Self::Gzip(encoder) => encoder.flush(),
            Self::Zstd(encoder) => encoder.flush(),
        }
    }
}

/// A reader with the kind of compression that its first bytes tell.
pub fn recognised<R: Read>(inner: R) -> io::Result<(Compression, BufReader<R>)> {
    let mut reader = BufReader::with_capacity(256 << 10, inner);
    let kind = Compression::of_content(reader.fill_buf()?);
    Ok((kind, reader))
}

/// Fails when more than so much is read: what a bomb does.
pub struct Bounded<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Bounded<R> {
    /// A reader that gives at most `max`.
    pub fn new(inner: R, max: Size) -> Self {
        Self {
            inner,
            left: max.bytes(),
        }
    }
}

/// What [`Bounded`] says; recognised by [`is_too_large`].
#[derive(Debug)]
struct TooLarge;

impl std::fmt::Display for TooLarge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("more than is accepted")
    }
}

impl std::error::Error for TooLarge {}

/// Whether an error comes from [`Bounded`], wherever it was wrapped on its way.
pub fn is_too_large(error: &io::Error) -> bool {
    let mut source: Option<&(dyn std::error::Error + 'static)> = error.get_ref().map(|e| e as _);
    while let Some(error) = source {
        if error.is::<TooLarge>() {
            return true;
        }
        source = match error.downcast_ref::<io::Error>() {
            Some(inner) => inner.get_ref().map(|e| e as _),
            None => error.source(),
        };
    }
    false
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.left = self
            .left
            .checked_sub(read as u64)
            .ok_or_else(|| io::Error::other(TooLarge))?;
        Ok(read)
    }
}

/// What may still be read until more is allowed. A tar archive has long names and extended headers
/// between its entries, which its reader takes into memory as a whole, however long they say they are.
#[derive(Clone, Default)]
pub struct Allowance(Rc<Cell<u64>>);

impl Allowance {
    /// Allow so much from here on.
    pub fn set(&self, bytes: u64) {
        self.0.set(bytes);
    }

    /// A reader that keeps to it.
    pub fn reading<R: Read>(&self, inner: R) -> impl Read + use<R> {
        Allowed {
            inner,
            allowance: self.clone(),
        }
    }
}

struct Allowed<R> {
    inner: R,
    allowance: Allowance,
}

impl<R: Read> Read for Allowed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        let left = self.allowance.0.get().checked_sub(read as u64);
        self.allowance
            .set(left.ok_or_else(|| io::Error::other(TooLarge))?);
        Ok(read)
    }
}
