//! From a stream of bytes to what lies in the store, and back: compressed by zstd, encrypted by age where somebody
//! is to be able to read it and others not.
//!
//! Both are the plain formats (RFC 8878, age-encryption.org/v1): `age --decrypt | zstd -d` reads a backup without
//! ccrun.

use std::io::{self, Read, Write};
use std::str::FromStr as _;

use age::x25519::{Identity, Recipient};
use ccrun_kernel::{Error, Result};
use tokio::sync::mpsc::{Receiver, Sender};
use tokio_util::bytes::{Buf as _, Bytes, BytesMut};

/// How much is collected before it is passed on.
const PIECE: usize = 256 << 10;

/// How much one thread of zstd compresses at once at level 1, whose window is half of that. It would take twice as much by itself,
/// and some copies of it.
const JOB: u32 = 1 << 20;

/// Who may read what is sealed.
#[derive(Clone, Default)]
pub struct Recipients(Vec<Recipient>);

impl Recipients {
    /// From `age1…` keys.
    ///
    /// # Errors
    /// `pg.backup_key` for one that is none.
    pub fn parse(keys: &[String]) -> Result<Self> {
        keys.iter()
            .map(|key| {
                Recipient::from_str(key.trim()).map_err(|error| {
                    Error::new(
                        "pg.backup_key",
                        format!("`{key}` is no recipient of age: {error}"),
                    )
                    .hint("a recipient begins with `age1`; `age-keygen -o key.txt` makes a pair and shows it. Keep key.txt off this machine")
                })
            })
            .collect::<Result<Vec<_>>>()
            .map(Self)
    }

    /// Their keys as text.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.0.iter().map(ToString::to_string).collect()
    }

    /// Whether anybody may read it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The key that opens what was encrypted: lines of `AGE-SECRET-KEY-1…`, with comments, as `age-keygen` writes them.
///
/// # Errors
/// `pg.backup_key` if there is none in it.
pub fn identities(text: &str) -> Result<Vec<Identity>> {
    let found: Vec<Identity> = text
        .lines()
        .filter_map(|line| Identity::from_str(line.trim()).ok())
        .collect();
    if found.is_empty() {
        return Err(Error::new(
            "pg.backup_key",
            "the secret given as key holds no identity of age",
        )
        .hint("it is a line that begins with AGE-SECRET-KEY-1, as `age-keygen` wrote it"));
    }
    Ok(found)
}

/// What bytes are written into on their way to the store.
pub struct Sealer(zstd::stream::write::Encoder<'static, Layer>);

enum Layer {
    Plain(Outlet),
    Encrypted(age::stream::StreamWriter<Outlet>),
}

/// Passes bytes on in pieces.
struct Outlet {
    to: Sender<Bytes>,
    piece: BytesMut,
}

impl Sealer {
    /// Write into it, and `finish`; what comes out goes to `to`. For a blocking thread.
    ///
    /// # Errors
    /// What zstd or age say.
    pub fn new(
        to: Sender<Bytes>,
        level: i32,
        threads: u32,
        recipients: &Recipients,
    ) -> io::Result<Self> {
        let outlet = Outlet {
            to,
            piece: BytesMut::with_capacity(PIECE),
        };
        let layer = if recipients.is_empty() {
            Layer::Plain(outlet)
        } else {
            let each = recipients.0.iter().map(|one| one as &dyn age::Recipient);
            let encryptor = age::Encryptor::with_recipients(each).map_err(io::Error::other)?;
            Layer::Encrypted(encryptor.wrap_output(outlet)?)
        };
        let mut encoder = zstd::stream::write::Encoder::new(layer, level)?;
        encoder.include_checksum(true)?;
        if threads > 0 {
            encoder.multithread(threads)?;
            if level <= 1 {
                encoder.set_parameter(zstd::zstd_safe::CParameter::JobSize(JOB))?;
            }
        }
        Ok(Self(encoder))
    }

    /// Write the end.
    ///
    /// # Errors
    /// If nobody takes it any more.
    pub fn finish(self) -> io::Result<()> {
        let mut outlet = match self.0.finish()? {
            Layer::Plain(outlet) => outlet,
            Layer::Encrypted(writer) => writer.finish()?,
        };
        outlet.flush()
    }
}

impl Write for Sealer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Write for Layer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(outlet) => outlet.write(bytes),
            Self::Encrypted(writer) => writer.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(outlet) => outlet.flush(),
            Self::Encrypted(writer) => writer.flush(),
        }
    }
}

impl Write for Outlet {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.piece, BytesMut::with_capacity(PIECE));
        self.to.blocking_send(piece.freeze()).map_err(|_| {
            io::Error::new(
                io::ErrorKind::BrokenPipe,
                "nobody takes the backup any more",
            )
        })
    }
}

/// Bytes that arrive in pieces, for a blocking reader.
pub struct Inlet {
    from: Receiver<Bytes>,
    piece: Bytes,
    /// What each piece is shown to as it arrives.
    seen: Seen,
}

type Seen = Box<dyn FnMut(&Bytes) -> io::Result<()> + Send>;

impl Inlet {
    /// Read what is sent to `from`, and show each piece to `seen` first.
    pub fn new(
        from: Receiver<Bytes>,
        seen: impl FnMut(&Bytes) -> io::Result<()> + Send + 'static,
    ) -> Self {
        Self {
            from,
            piece: Bytes::new(),
            seen: Box::new(seen),
        }
    }
}

impl Read for Inlet {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.from.blocking_recv() {
                None => return Ok(0),
                Some(piece) => {
                    (self.seen)(&piece)?;
                    self.piece = piece;
                }
            }
        }
        let count = into.len().min(self.piece.len());
        into[..count].copy_from_slice(&self.piece[..count]);
        self.piece.advance(count);
        Ok(count)
    }
}

/// Open what a `Sealer` made. For a blocking thread.
///
/// # Errors
/// `pg.backup_key` if it is encrypted and none of the keys opens it; `pg.backup_damaged`.
pub fn open(
    from: impl Read + Send + 'static,
    encrypted: bool,
    keys: &[Identity],
) -> Result<Box<dyn Read + Send>> {
    let plain: Box<dyn Read + Send> = if encrypted {
        let no_key = |why: String| {
            Error::new("pg.backup_key", why).hint("give the key whose recipient the backup names, from a secret: `key: secret(\"BACKUP_KEY\")`")
        };
        if keys.is_empty() {
            return Err(no_key(
                "the backup is encrypted, and no key was given".into(),
            ));
        }
        let decryptor = age::Decryptor::new(from)
            .map_err(|error| no_key(format!("the backup can't be decrypted: {error}")))?;
        let keys = keys.iter().map(|key| key as &dyn age::Identity);
        let reader = decryptor
            .decrypt(keys)
            .map_err(|error| no_key(format!("the key given does not open the backup: {error}")))?;
        Box::new(reader)
    } else {
        Box::new(from)
    };
    let decoder = zstd::stream::read::Decoder::new(plain).map_err(|error| {
        Error::new(
            "pg.backup_damaged",
            format!("the backup can't be decompressed: {error}"),
        )
    })?;
    // What is read from it is often a few bytes.
    Ok(Box::new(io::BufReader::with_capacity(PIECE, decoder)))
}
