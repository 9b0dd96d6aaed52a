//! The objects of buckets as part of a backup: a tar archive, made and unpacked as it goes by.
//!
//! Plain tools read it. Names and types are in its extended headers (pax, POSIX.1-2001), so they may be of any length.

use std::collections::HashMap;
use std::io::Read;
use std::sync::Arc;

use ccrun_kernel::effect::Effect;
use ccrun_kernel::rhai::{Dynamic, Map};
use ccrun_kernel::value::Size;
use ccrun_kernel::{Cx, Error, MaybeSecret, Options, Preview, Result, primitive};
use futures::{StreamExt as _, TryStreamExt as _};
use tokio::sync::mpsc::{Sender, channel};
use tokio::task::JoinSet;
use tokio_util::bytes::Bytes;

use super::create::{Set, folder_of, is_name};
use super::manifest::{Manifest, PackedBucket};
use super::seal;
use super::sets;
use super::verify::{Reader, without_key};
use crate::s3::Store;
use crate::store::{Bucket, Opened, Writer, Written};

/// How many objects are opened ahead, or written at once.
const AT_ONCE: usize = 4;

/// What holds an object's type in its extended header.
const TYPE: &str = "SCHILY.xattr.user.content-type";

/// Put all objects of a bucket into a backup.
///
/// # Errors
/// `pg.backup_option` for a name that can't be one; what the stores say.
pub(super) async fn pack(set: &mut Set<'_>, name: &str, store: &Store) -> Result<PackedBucket> {
    if !is_name(name) {
        return Err(Error::new(
            "pg.backup_option",
            format!("`{name}` can't be the name of a bucket in a backup"),
        )
        .hint("letters, digits, `.`, `_` and `-`"));
    }
    set.cx.permit("s3", &store.resource(), Some(Effect::Read))?;
    let bucket = store.reader(set.cx).await?;
    let part = format!("bucket.{name}.tar");
    let (to, from) = channel(AT_ONCE);
    let counted = Arc::new(parking_lot::Mutex::new((0, 0)));
    let counting = Arc::clone(&counted);
    let packing = async move {
        let written = write(&bucket, &to).await?;
        drop(to);
        *counting.lock() = written;
        Ok(())
    };
    set.ship(&part, "", None, from, packing, |inlet| {
        std::io::copy(inlet, &mut std::io::sink()).map(drop)
    })
    .await?;
    let (objects, bytes) = *counted.lock();
    Ok(PackedBucket {
        name: name.to_owned(),
        part,
        objects,
        bytes,
    })
}

/// All objects, as a tar archive. Returns how many, and their bytes.
async fn write(bucket: &Arc<Bucket>, to: &Sender<Bytes>) -> Result<(u64, u64)> {
    let mut opened = bucket
        .list("")?
        .map(|entry| async move {
            let key = entry?.key;
            match bucket.open(&key, None).await {
                Ok(opened) => Ok(Some((key, opened))),
                // It was there when they were listed, and is not any more.
                Err(error) if error.kind() == "s3.not_found" => Ok(None),
                Err(error) => Err(error),
            }
        })
        .buffered(AT_ONCE);
    let (mut objects, mut bytes) = (0, 0);
    while let Some(next) = opened.try_next().await? {
        let Some((key, mut opened)) = next else {
            continue;
        };
        send(to, head(&key, &opened)?.into()).await?;
        while let Some(piece) = opened.stream.try_next().await? {
            send(to, piece).await?;
        }
        send(to, filling(opened.size)).await?;
        objects += 1;
        bytes += opened.size;
    }
    send(to, Bytes::from_static(&[0; 1024])).await?;
    Ok((objects, bytes))
}

async fn send(to: &Sender<Bytes>, bytes: Bytes) -> Result<()> {
    to.send(bytes)
        .await
        .map_err(|_| Error::new("pg.backup_damaged", "nobody takes the objects any more"))
}

/// What fills the last block.
fn filling(size: u64) -> Bytes {
    static NOTHING: [u8; 512] = [0; 512];
    let over = usize::try_from(size % 512).unwrap_or_default();
    Bytes::from_static(&NOTHING[if over == 0 { 512 } else { over }..])
}

/// The two headers of an object.
fn head(key: &str, opened: &Opened) -> Result<Vec<u8>> {
    let failed = |error: std::io::Error| Error::new("pg.backup_option", format!("{key}: {error}"));
    let mut records = record("path", key);
    if let Some(kind) = &opened.content_type {
        records.push_str(&record(TYPE, kind));
    }
    let mut all = Vec::new();
    for (kind, size) in [
        (tar::EntryType::XHeader, records.len() as u64),
        (tar::EntryType::Regular, opened.size),
    ] {
        let mut header = tar::Header::new_ustar();
        // The name that counts is in the records.
        header.set_path("object").map_err(failed)?;
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_mode(0o644);
        let modified = opened.modified.instant().as_second();
        header.set_mtime(u64::try_from(modified).unwrap_or_default());
        header.set_cksum();
        all.extend_from_slice(header.as_bytes());
        if kind == tar::EntryType::XHeader {
            all.extend_from_slice(records.as_bytes());
            all.extend_from_slice(&filling(size));
        }
    }
    Ok(all)
}

/// `LENGTH key=value`, where the length counts itself.
fn record(key: &str, value: &str) -> String {
    let rest = format!(" {key}={value}\n");
    let mut length = rest.len() + 1;
    while length.to_string().len() + rest.len() != length {
        length = length.to_string().len() + rest.len();
    }
    format!("{length}{rest}")
}

/// The key to what is restored.
#[derive(Clone, Options)]
pub struct ObjectsOptions {
    /// The folder in the store that backups lie in.
    #[option(default = "backups")]
    prefix: String,
    /// The key that opens it, as `age-keygen` wrote it.
    key: Option<MaybeSecret>,
}

/// Bring the objects of a bucket that is part of a backup into a store: what `buckets` of `db.backup` put into it.
///
/// `name` is the one that the backup gave the bucket. Objects that are there under the same key are replaced; others stay.
/// Returns a map: `objects`, `size`.
///
/// # Errors
/// `pg.backup_damaged`, `pg.no_backup`, `pg.backup_key`, `pg.backup_part` for a bucket that it has not; `s3.…` of the stores.
///
/// # Example
/// ```rhai,no_run
/// let uploads = s3::connect(#{ endpoint: "http://127.0.0.1:8333", bucket: "uploads", access_key: secret("S3_ACCESS_KEY"), secret_key: secret("S3_SECRET_KEY") });
/// uploads.create_bucket();
/// pg::restore_objects(s3::store("backups"), "latest", "uploads", uploads, #{ key: secret("BACKUP_KEY") });
/// ```
#[primitive(change, needs = read s3(store.resource()), needs = s3(into.resource()), preview = objects_preview)]
pub(in crate::pg) async fn restore_objects(
    cx: &Cx,
    store: Store,
    id: String,
    name: String,
    into: Store,
    options: ObjectsOptions,
) -> Result<Map> {
    let bucket = store.reader(cx).await?;
    let manifest = sets::one(&bucket, &options.prefix, &id).await?.manifest;
    let packed = chosen(&manifest, &name)?.clone();
    let keys = match &options.key {
        Some(key) => seal::identities(key.expose())?,
        None => Vec::new(),
    };
    if keys.is_empty() && !manifest.recipients.is_empty() {
        return Err(without_key(&manifest));
    }
    let target = into.writer(cx).await?;
    let reader = Reader {
        cx,
        bucket: &bucket,
        folder: &folder_of(&options.prefix, &manifest.id),
        manifest: &manifest,
        keys: &keys,
    };
    let (to, mut from) = channel::<Piece>(8);
    let reading = async {
        let part = manifest.part(&packed.part)?;
        reader.open(part, move |plain| unpack(plain, &to)).await
    };
    let writing = async {
        let mut under_way: JoinSet<Result<Written>> = JoinSet::new();
        let mut current: Option<Writer> = None;
        while let Some(piece) = from.recv().await {
            match piece {
                Piece::Begin(key, kind) => current = Some(target.write_as(&key, kind)?),
                Piece::Bytes(bytes) => {
                    if let Some(writer) = current.as_mut() {
                        writer.write(bytes).await?;
                    }
                }
                Piece::End => {
                    if under_way.len() >= AT_ONCE {
                        joined(under_way.join_next().await)?;
                    }
                    if let Some(writer) = current.take() {
                        under_way.spawn(writer.finish());
                    }
                }
            }
        }
        while let Some(done) = under_way.join_next().await {
            joined(Some(done))?;
        }
        Ok(())
    };
    let (read, written): (Result<()>, Result<()>) = tokio::join!(reading, writing);
    written?;
    read?;
    Ok(Map::from_iter([
        (
            "objects".into(),
            Dynamic::from(i64::try_from(packed.objects).unwrap_or(i64::MAX)),
        ),
        ("size".into(), Dynamic::from(Size::from_bytes(packed.bytes))),
    ]))
}

fn joined(
    done: Option<std::result::Result<Result<Written>, tokio::task::JoinError>>,
) -> Result<()> {
    match done {
        None => Ok(()),
        Some(Ok(written)) => written.map(drop),
        Some(Err(error)) => Err(Error::new("s3.failed", error.to_string())),
    }
}

/// What a thread that unpacks tells of.
enum Piece {
    Begin(String, Option<String>),
    Bytes(Bytes),
    End,
}

fn unpack(plain: &mut dyn Read, to: &Sender<Piece>) -> std::io::Result<()> {
    // Who writes says itself why it takes no more.
    let send = |piece| to.blocking_send(piece).is_ok();
    let mut archive = tar::Archive::new(plain);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let mut records: HashMap<String, String> = HashMap::new();
        for record in entry.pax_extensions()?.into_iter().flatten() {
            let record = record?;
            if let (Ok(key), Ok(value)) = (record.key(), record.value()) {
                records.insert(key.to_owned(), value.to_owned());
            }
        }
        let Some(key) = records.remove("path") else {
            return Err(std::io::Error::new(
                std::io::ErrorKind::InvalidData,
                "an object in it has no name",
            ));
        };
        if !send(Piece::Begin(key, records.remove(TYPE))) {
            return Ok(());
        }
        let mut buffer = vec![0; 256 << 10];
        loop {
            let read = entry.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            if !send(Piece::Bytes(Bytes::copy_from_slice(&buffer[..read]))) {
                return Ok(());
            }
        }
        if !send(Piece::End) {
            return Ok(());
        }
    }
    Ok(())
}

fn chosen<'m>(manifest: &'m Manifest, name: &str) -> Result<&'m PackedBucket> {
    let found = manifest.buckets.iter().find(|bucket| bucket.name == name);
    found.ok_or_else(|| {
        let names: Vec<&str> = manifest
            .buckets
            .iter()
            .map(|bucket| bucket.name.as_str())
            .collect();
        Error::new(
            "pg.backup_part",
            format!("the backup {} has no bucket {name}", manifest.id),
        )
        .hint(if names.is_empty() {
            "it has none: `buckets` of db.backup puts them into it".to_owned()
        } else {
            format!("it has {}", names.join(", "))
        })
    })
}

async fn objects_preview(
    cx: &Cx,
    store: &Store,
    id: &str,
    name: &str,
    into: &Store,
    options: &ObjectsOptions,
) -> Result<Preview> {
    let bucket = store.reader(cx).await?;
    let manifest = sets::one(&bucket, &options.prefix, id).await?.manifest;
    let packed = chosen(&manifest, name)?;
    Ok(Preview::new(format!(
        "write {} objects ({}) of {} into {}",
        packed.objects,
        Size::from_bytes(packed.bytes),
        manifest.id,
        into.place
    )))
}

#[cfg(test)]
mod tests {
    use super::record;

    #[test]
    fn a_record_counts_its_own_length() {
        for value in ["", "x", &"y".repeat(88), &"z".repeat(89), &"ü".repeat(500)] {
            let record = record("path", value);
            let (length, _) = record.split_once(' ').unwrap();
            assert_eq!(length.parse::<usize>().unwrap(), record.len(), "{value}");
        }
    }
}
