//! `pg::restore_files`: what belongs to a backup beside the database, back into a folder.

use std::path::PathBuf;

use ccrun_kernel::rhai::{Dynamic, Map};
use ccrun_kernel::value::Size;
use ccrun_kernel::{Cx, Error, MaybeSecret, Options, Preview, Result, primitive};
use tokio::sync::{mpsc, oneshot};
use tokio_util::bytes::Bytes;

use super::create::folder_of;
use super::manifest::{Manifest, Part};
use super::seal;
use super::sets;
use super::verify::{Reader, without_key};
use crate::files::{FilePath, Files, Mode, Work, blocking};
use crate::s3::Store;

/// Which files, and the key to them.
#[derive(Clone, Options)]
pub struct FilesOptions {
    /// The folder in the store that backups lie in.
    #[option(default = "backups")]
    prefix: String,
    /// The key that opens it, as `age-keygen` wrote it.
    key: Option<MaybeSecret>,
    /// Only these; all if left out.
    names: Option<Vec<String>>,
}

/// Whether it is none of the database and the buckets, which are restored by other means.
fn is_file(manifest: &Manifest, part: &Part) -> bool {
    !["database", "globals", "base"].contains(&part.name.as_str())
        && manifest
            .buckets
            .iter()
            .all(|bucket| bucket.part != part.name)
}

/// Write the files of a backup into a folder: what `files` of `db.backup` put into it, under the names it gave them.
///
/// Each is decrypted, decompressed, compared with the hash in the manifest, and takes its place when it is complete, for
/// its owner's eyes only. Returns a list of maps: `name`, `path`, `size`.
///
/// # Errors
/// `pg.backup_damaged`, `pg.no_backup`, `pg.backup_key`, `pg.backup_part` for a name that it has not; `io.disk_full`.
///
/// # Example
/// ```rhai,no_run
/// let store = s3::connect(#{ endpoint: "https://s3.example.org", bucket: "backups", access_key: secret("S3_KEY"), secret_key: secret("S3_SECRET") });
/// for file in pg::restore_files(store, "latest", "back", #{ key: secret("BACKUP_KEY") }) { print(`${file.path}: ${file.size}`); }
/// ```
#[primitive(change, needs = s3(store.resource()), needs = fs(folder), preview = files_preview)]
pub(in crate::pg) async fn restore_files(
    cx: &Cx,
    store: Store,
    id: String,
    folder: FilePath,
    options: FilesOptions,
) -> Result<Vec<Map>> {
    let bucket = store.reader(cx).await?;
    let manifest = sets::one(&bucket, &options.prefix, &id).await?.manifest;
    let parts: Vec<Part> = chosen(&manifest, &options)?.into_iter().cloned().collect();
    let keys = match &options.key {
        Some(key) => seal::identities(key.expose())?,
        None => Vec::new(),
    };
    if keys.is_empty() && !manifest.recipients.is_empty() {
        return Err(without_key(&manifest));
    }
    let reader = Reader {
        cx,
        bucket: &bucket,
        folder: &folder_of(&options.prefix, &manifest.id),
        manifest: &manifest,
        keys: &keys,
    };
    let files = cx.client::<Files>().await?;
    files.create_dir(&folder, Some(Mode::from_bits(0o700)))?;
    let mut written = Vec::new();
    for part in &parts {
        let path = folder.join(&part.name);
        let size = write(cx, &reader, part, path.clone()).await?;
        written.push(Map::from_iter([
            ("name".into(), part.name.clone().into()),
            ("path".into(), path.display().to_string().into()),
            ("size".into(), Dynamic::from(Size::from_bytes(size))),
        ]));
    }
    Ok(written)
}

/// An object into a file. What is there stays until all of it has arrived, and is right.
async fn write(cx: &Cx, reader: &Reader<'_>, part: &Part, path: PathBuf) -> Result<u64> {
    let files = cx.client::<Files>().await?;
    let (to, mut from) = mpsc::channel::<Bytes>(4);
    let (end, ended) = oneshot::channel::<()>();
    let writing = blocking(cx, move |work: &Work| {
        let mut file = files.replace(work, &path, Some(Mode::from_bits(0o600)))?;
        while let Some(piece) = from.blocking_recv() {
            file.write_content(&piece)?;
        }
        // Without the word that its hash is right, nothing takes the place of what was there.
        if ended.blocking_recv().is_err() {
            return Ok(0);
        }
        let written = file.written();
        file.commit()?;
        Ok(written)
    });
    let reading = async {
        let copying = reader.open(part, move |plain| {
            let mut buffer = vec![0; 1 << 20];
            loop {
                let read = plain.read(&mut buffer)?;
                let piece = Bytes::copy_from_slice(&buffer[..read]);
                // The writer says itself why it takes no more.
                if read == 0 || to.blocking_send(piece).is_err() {
                    return Ok(());
                }
            }
        });
        copying.await?;
        let _ = end.send(());
        Ok(())
    };
    let (read, written): (Result<()>, Result<u64>) = tokio::join!(reading, writing);
    let written = written?;
    read?;
    Ok(written)
}

fn chosen<'m>(manifest: &'m Manifest, options: &FilesOptions) -> Result<Vec<&'m Part>> {
    let parts: Vec<&Part> = match &options.names {
        None => manifest
            .objects
            .iter()
            .filter(|part| is_file(manifest, part))
            .collect(),
        Some(names) => names
            .iter()
            .map(|name| manifest.part(name))
            .collect::<Result<_>>()?,
    };
    // Whoever writes into the store writes manifests as well.
    match parts
        .iter()
        .find(|part| !super::create::is_name(&part.name))
    {
        None => Ok(parts),
        Some(part) => Err(Error::new(
            "pg.backup_damaged",
            format!("{:?} can't be the name of a file in a backup", part.name),
        )
        .hint("ccrun gives no such names: somebody else wrote this manifest. Nothing was written")),
    }
}

async fn files_preview(
    cx: &Cx,
    store: &Store,
    id: &str,
    folder: &FilePath,
    options: &FilesOptions,
) -> Result<Preview> {
    let bucket = store.reader(cx).await?;
    let manifest = sets::one(&bucket, &options.prefix, id).await?.manifest;
    let names: Vec<&str> = chosen(&manifest, options)?
        .iter()
        .map(|part| part.name.as_str())
        .collect();
    Ok(Preview::new(format!(
        "write {} of {} into {folder}",
        names.join(", "),
        manifest.id
    )))
}
