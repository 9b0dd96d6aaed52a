//! Reading a backup as a whole: is every byte of it there, and as it was?

use std::io;
use std::sync::Arc;

use ccrun_kernel::rhai::Dynamic;
use ccrun_kernel::value::Timestamp;
use ccrun_kernel::{Cx, Error, MaybeSecret, Options, Result, primitive};
use futures::TryStreamExt as _;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio_util::bytes::Bytes;

use super::archive::{self, Contents};
use super::base;
use super::create::folder_of;
use super::manifest::{Kind, Manifest, Part, Table, VERIFIED, Verified};
use super::seal::{self, Inlet};
use super::sets;
use crate::files::{Work, blocking};
use crate::s3::Store;
use crate::store::Bucket;

/// How a backup is verified.
#[derive(Clone, Options)]
pub struct VerifyOptions {
    /// The folder in the store that backups lie in.
    #[option(default = "backups")]
    prefix: String,
    /// The key that opens it, as `age-keygen` wrote it. Without it, of an encrypted backup only the hashes of what lies
    /// in the store are compared.
    key: Option<MaybeSecret>,
}

/// Read every byte of a backup and compare: sizes and SHA-256 of each object, the archive's structure, rows and hashes
/// of each table. Notes in the store that it was verified, and returns the manifest.
///
/// `id` is a backup's name, the beginning of one, or `latest`.
///
/// # Errors
/// `pg.backup_damaged` with what is wrong; `pg.no_backup`; `pg.backup_key`; `s3.…` of the store.
///
/// # Example
/// ```rhai,no_run
/// let backup = pg::verify(s3::folder("/srv/backups"), "latest", #{ key: secret("BACKUP_KEY") });
/// print(`${backup.id}: ${backup.verified.how}`);
/// ```
#[primitive(change, needs = s3(store.resource()))]
pub(in crate::pg) async fn verify(
    cx: &Cx,
    store: Store,
    id: String,
    options: VerifyOptions,
) -> Result<Dynamic> {
    let bucket = store.writer(cx).await?;
    let known = sets::one(&bucket, &options.prefix, &id).await?;
    let manifest = known.manifest;
    let keys = match &options.key {
        Some(key) => seal::identities(key.expose())?,
        None => Vec::new(),
    };
    let inside = manifest.recipients.is_empty() || !keys.is_empty();
    let folder = folder_of(&options.prefix, &manifest.id);
    for part in &manifest.objects {
        let reader = Reader {
            cx,
            bucket: &bucket,
            folder: &folder,
            manifest: &manifest,
            keys: &keys,
        };
        if !inside {
            reader.hashes(part).await?;
        } else if part.name == "database" && manifest.kind == Kind::Logical {
            let contents = reader.open(part, |plain| archive::read(plain)).await?;
            compare(&manifest, &contents)?;
        } else if part.name == "base" && manifest.kind == Kind::Base {
            let contents = reader
                .open(part, |plain| base::read(plain, &mut base::Nothing))
                .await?;
            same_base(&manifest, &contents)?;
        } else {
            reader
                .open(part, |plain| io::copy(plain, &mut io::sink()).map(drop))
                .await?;
        }
    }
    let verified = Verified {
        at: Timestamp::now(),
        how: if inside { "read" } else { "hashes" }.to_owned(),
    };
    // What was restored is known better than what was read.
    let verified = match known.verified {
        Some(old) if old.how == "restored" => Verified {
            how: old.how,
            ..verified
        },
        _ => verified,
    };
    note(&bucket, &folder, &verified).await?;
    manifest.to_script(Some(&verified))
}

/// Note in the store that a backup is right.
pub(super) async fn note(bucket: &Bucket, folder: &str, verified: &Verified) -> Result<()> {
    let text = serde_json::to_vec(verified)
        .map_err(|error| Error::new("pg.protocol", error.to_string()))?;
    bucket
        .put(&format!("{folder}/{VERIFIED}"), text.into())
        .await
}

/// That something was made of a backup, and is right.
pub(super) fn restored() -> Verified {
    Verified {
        at: Timestamp::now(),
        how: "restored".to_owned(),
    }
}

/// Whether an archive holds what the manifest says.
pub(super) fn compare(manifest: &Manifest, contents: &Contents) -> Result<()> {
    let damaged = |what: String| {
        Err(Error::new(
            "pg.backup_damaged",
            format!("the backup {} is not what was written: {what}", manifest.id),
        )
        .hint("take another: `ccrun backups` lists them; find out what happens to what lies in the store"))
    };
    let tables: Vec<Table> = contents.tables.iter().cloned().map(Table::from).collect();
    if tables.len() != manifest.tables.len() {
        return damaged(format!(
            "it has {} tables, its manifest {}",
            tables.len(),
            manifest.tables.len()
        ));
    }
    for (there, noted) in tables.iter().zip(&manifest.tables) {
        if there != noted {
            return damaged(format!(
                "{}.{} has {} rows, its manifest says {} of {}.{}",
                there.schema, there.name, there.rows, noted.rows, noted.schema, noted.name
            ));
        }
    }
    let objects = (manifest.large_objects.count, manifest.large_objects.bytes);
    if contents.large_objects != objects {
        return damaged(format!(
            "it has {} large objects, its manifest {}",
            contents.large_objects.0, objects.0
        ));
    }
    Ok(())
}

/// That a backup is encrypted, and no key was given.
pub(super) fn without_key(manifest: &Manifest) -> Error {
    Error::new(
        "pg.backup_key",
        format!(
            "the backup {} is encrypted, and no key was given",
            manifest.id
        ),
    )
    .hint(format!(
        "give the key of {}: `key: secret(\"BACKUP_KEY\")`",
        manifest.recipients.join(" or ")
    ))
}

/// Whether a base backup holds what the manifest says.
pub(super) fn same_base(manifest: &Manifest, contents: &base::Contents) -> Result<()> {
    let same = manifest.base.as_ref().is_some_and(|noted| {
        contents.system.to_string() == manifest.server.system_identifier
            && (contents.start, contents.end) == (noted.start, noted.end)
            && (contents.files, contents.bytes) == (noted.files, noted.bytes)
            && contents.has_its_wal(noted.segment_size).is_ok()
    });
    if same {
        return Ok(());
    }
    Err(Error::new(
        "pg.backup_damaged",
        format!(
            "the base backup {} holds another server's files than its manifest says",
            manifest.id
        ),
    )
    .hint("take another: `ccrun backups` lists them; find out who writes into the store"))
}

/// Reads the objects of a backup.
pub(super) struct Reader<'r> {
    pub cx: &'r Cx,
    pub bucket: &'r Arc<Bucket>,
    pub folder: &'r str,
    pub manifest: &'r Manifest,
    pub keys: &'r [age::x25519::Identity],
}

/// What has gone by of an object.
#[derive(Default)]
struct Seen {
    hash: Sha256,
    size: u64,
}

impl Reader<'_> {
    /// Read an object as it lies there.
    async fn hashes(&self, part: &Part) -> Result<()> {
        let mut seen = Seen::default();
        let mut progress = self.progress(part);
        let mut stream = self.stream(part).await?;
        while let Some(piece) = stream.try_next().await? {
            progress.advance(piece.len() as u64);
            seen.hash.update(&piece);
            seen.size += piece.len() as u64;
        }
        self.check(part, &seen)
    }

    /// Decrypt and decompress an object for a blocking `reader`, and compare its hash. What the reader made must not be
    /// used before this returns.
    pub async fn open<T: Send + 'static>(
        &self,
        part: &Part,
        reader: impl FnOnce(&mut dyn io::Read) -> io::Result<T> + Send + 'static,
    ) -> Result<T> {
        let mut progress = self.progress(part);
        let mut stream = self.stream(part).await?;
        let (to, from) = mpsc::channel::<Bytes>(8);
        let encrypted = !self.manifest.recipients.is_empty();
        let keys = self.keys.to_vec();
        let (shown, id) = (part.name.clone(), self.manifest.id.clone());
        let reading = blocking(self.cx, move |work: &Work| {
            let work = work.clone();
            let inlet = Inlet::new(from, move |_| {
                work.check()
                    .map_err(|error| io::Error::other(error.to_string()))
            });
            let mut plain = seal::open(inlet, encrypted, &keys)?;
            let read = reader(&mut *plain);
            // To the end, whatever the reader wanted: its hash is of the whole.
            let rest = io::copy(&mut plain, &mut io::sink());
            read.and_then(|read| rest.map(|_| read)).map_err(|error| {
                if error.kind() == io::ErrorKind::StorageFull {
                    return Error::new("io.disk_full", "the disk is full")
                        .hint("`df -h` shows which; `spool` names another folder");
                }
                Error::new(
                    "pg.backup_damaged",
                    format!("{shown} of the backup {id} can't be read: {error}"),
                )
                .hint("take another: `ccrun backups` lists them")
            })
        });
        let feeding = async {
            let mut seen = Seen::default();
            while let Some(piece) = stream.try_next().await? {
                progress.advance(piece.len() as u64);
                seen.hash.update(&piece);
                seen.size += piece.len() as u64;
                if to.send(piece).await.is_err() {
                    // The reader gave up; what of the object is still to come counts for its hash.
                    while let Some(piece) = stream.try_next().await? {
                        seen.hash.update(&piece);
                        seen.size += piece.len() as u64;
                    }
                    break;
                }
            }
            drop(to);
            Ok(seen)
        };
        let (seen, read): (Result<Seen>, Result<T>) = tokio::join!(feeding, reading);
        let seen = seen?;
        // A wrong key is no damage.
        if let Err(error) = &read
            && ["pg.backup_key", "io.disk_full"].contains(&error.kind())
        {
            return read;
        }
        self.check(part, &seen)?;
        read
    }

    async fn stream(
        &self,
        part: &Part,
    ) -> Result<futures::stream::BoxStream<'static, Result<Bytes>>> {
        let key = format!("{}/{}", self.folder, part.key);
        self.bucket.read(&key, None).await.map_err(|error| {
            if error.kind() == "s3.not_found" {
                self.damaged(part, "it is not in the store any more")
            } else {
                error
            }
        })
    }

    fn progress(&self, part: &Part) -> ccrun_kernel::Progress {
        self.cx
            .progress(format!("read {}", part.name), Some(part.size))
            .bytes()
    }

    fn check(&self, part: &Part, seen: &Seen) -> Result<()> {
        if seen.size != part.size {
            return Err(self.damaged(
                part,
                &format!("it has {} bytes, and had {}", seen.size, part.size),
            ));
        }
        if hex::encode(seen.hash.clone().finalize()) != part.sha256 {
            return Err(self.damaged(part, "its SHA-256 is another than when it was written"));
        }
        Ok(())
    }

    fn damaged(&self, part: &Part, what: &str) -> Error {
        Error::new(
            "pg.backup_damaged",
            format!("{} of the backup {}: {what}", part.key, self.manifest.id),
        )
        .hint("take another: `ccrun backups` lists them; find out what happens to what lies in the store")
    }
}
