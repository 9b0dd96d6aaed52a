//! A store that is open: what can be asked of it.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ccrun_kernel::value::Timestamp;
use ccrun_kernel::{Error, Result};
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::aws::AmazonS3;
use object_store::path::Path;
use object_store::signer::Signer as _;
use object_store::{
    Attribute, GetOptions, GetRange, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions,
};
use tokio_util::bytes::Bytes;

use super::failure::failed;
use super::place::{Keys, Place};
use super::writer::Writer;

/// A store that is open.
pub struct Bucket {
    place: Place,
    store: Arc<dyn ObjectStore>,
    signer: Option<Arc<AmazonS3>>,
    /// For what `object_store` does not ask.
    pub(super) http: OnceLock<reqwest::Client>,
}

/// An object, as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its key.
    pub key: String,
    /// Its size in bytes.
    pub size: u64,
    /// When it was written.
    pub modified: Timestamp,
    /// What tells one content from another, as the server says it.
    pub etag: Option<String>,
}

/// An object that is being read.
pub struct Opened {
    /// How many bytes will come.
    pub size: u64,
    /// What the store says that it is: `image/png`.
    pub content_type: Option<String>,
    /// When it was written.
    pub modified: Timestamp,
    /// The bytes. A connection that breaks is made again and goes on where it was.
    pub stream: BoxStream<'static, Result<Bytes>>,
}

/// How many are deleted or read at once.
const AT_ONCE: usize = 16;

impl Bucket {
    pub(super) fn new(
        place: Place,
        store: Arc<dyn ObjectStore>,
        signer: Option<Arc<AmazonS3>>,
    ) -> Self {
        Self {
            place,
            store,
            signer,
            http: OnceLock::new(),
        }
    }

    /// Which one it is.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    pub(super) fn store(&self) -> &dyn ObjectStore {
        &*self.store
    }

    /// What signs requests.
    pub(super) fn signer(&self, what: &str) -> Result<&AmazonS3> {
        let Some(signer) = self.signer.as_deref() else {
            return Err(Error::new(
                "s3.not_supported",
                format!(
                    "could not {what}: only a server that speaks S3 can, and {} is a folder",
                    self.place
                ),
            ));
        };
        match &self.place {
            Place::S3(place) if place.keys == Keys::Anonymous => Err(Error::new(
                "s3.denied",
                format!("could not {what} in {}: that needs keys", self.place),
            )
            .hint("give `access_key` and `secret_key`")),
            _ => Ok(signer),
        }
    }

    pub(super) fn path(&self, key: &str) -> Result<Path> {
        Path::parse(key).map_err(|error| {
            Error::new("s3.bad_key", format!("`{key}` can't be a key: {error}"))
                .hint("a key is a path without empty parts, such as `db/2026/dump.zst`")
        })
    }

    /// Write an object as a whole.
    ///
    /// # Errors
    /// What the store says.
    pub async fn put(&self, key: &str, bytes: Bytes) -> Result<()> {
        let put = self.store.put(&self.path(key)?, bytes.into()).await;
        put.map(drop)
            .map_err(|error| failed(&self.place, &format!("write {key}"), error))
    }

    /// Write an object unless there is one.
    ///
    /// # Errors
    /// `s3.exists`, and what the store says.
    pub async fn put_if_absent(&self, key: &str, bytes: Bytes) -> Result<()> {
        let path = self.path(key)?;
        let options = PutOptions {
            mode: PutMode::Create,
            ..PutOptions::default()
        };
        // A server that ignores the condition would overwrite: what is there is looked at as well.
        if self.find(key).await?.is_some() {
            return Err(
                Error::new("s3.exists", format!("{key} is in {} already", self.place))
                    .hint("choose another name, or delete it first"),
            );
        }
        let put = self.store.put_opts(&path, bytes.into(), options).await;
        put.map(drop)
            .map_err(|error| failed(&self.place, &format!("write {key}"), error))
    }

    /// Write an object piece by piece.
    ///
    /// # Errors
    /// `s3.bad_key`.
    pub fn write(self: &Arc<Self>, key: &str) -> Result<Writer> {
        Writer::new(Arc::clone(self), key, None)
    }

    /// The same, and say what it is: `image/png`. A folder does not keep that.
    ///
    /// # Errors
    /// `s3.bad_key`.
    pub fn write_as(self: &Arc<Self>, key: &str, content_type: Option<String>) -> Result<Writer> {
        let content_type = content_type.filter(|_| matches!(self.place, Place::S3(_)));
        Writer::new(Arc::clone(self), key, content_type)
    }

    /// An object as a whole, which must not be larger than `most` bytes.
    ///
    /// # Errors
    /// `s3.not_found`, `s3.too_large`, and what the store says.
    pub async fn get(&self, key: &str, most: u64) -> Result<Bytes> {
        self.open(key, None).await?.whole(key, most).await
    }

    /// One of an object's versions as a whole.
    ///
    /// # Errors
    /// As `get`, and `s3.not_supported` for a folder.
    pub async fn get_version(&self, key: &str, version: &str, most: u64) -> Result<Bytes> {
        self.signer(&format!("read the version {version} of {key}"))?;
        let options = GetOptions {
            version: Some(version.to_owned()),
            ..GetOptions::default()
        };
        self.opened(key, options).await?.whole(key, most).await
    }

    /// What is in an object, or in a part of it.
    ///
    /// # Errors
    /// `s3.not_found`, and what the store says, also in the stream.
    pub async fn read(
        &self,
        key: &str,
        range: Option<std::ops::Range<u64>>,
    ) -> Result<BoxStream<'static, Result<Bytes>>> {
        Ok(self.open(key, range).await?.stream)
    }

    /// The same with what the store says of it.
    ///
    /// # Errors
    /// `s3.not_found`, and what the store says, also in the stream.
    pub async fn open(&self, key: &str, range: Option<std::ops::Range<u64>>) -> Result<Opened> {
        let options = GetOptions {
            range: range.map(GetRange::Bounded),
            ..GetOptions::default()
        };
        self.opened(key, options).await
    }

    async fn opened(&self, key: &str, options: GetOptions) -> Result<Opened> {
        let what = format!("read {key}");
        let got = self.store.get_opts(&self.path(key)?, options).await;
        let got = got.map_err(|error| failed(&self.place, &what, error))?;
        let place = self.place.clone();
        let content_type = got.attributes.get(&Attribute::ContentType);
        let content_type = content_type.map(|value| value.as_ref().to_owned());
        let modified = Entry::from(got.meta.clone()).modified;
        let expected = got.range.end - got.range.start;
        let mut seen = 0;
        let cut = Error::new(
            "s3.damaged",
            format!("{key} in {place} ended too soon: {expected} bytes were announced"),
        )
        .retryable();
        let stream = got
            .into_stream()
            .map_err(move |error| failed(&place, &what, error))
            .map(Some)
            .chain(futures::stream::once(async { None }))
            .map(move |next| match next {
                Some(Ok(bytes)) => {
                    seen += bytes.len() as u64;
                    Some(Ok(bytes))
                }
                Some(error) => Some(error),
                None if seen == expected => None,
                None => Some(Err(cut.clone())),
            })
            .filter_map(futures::future::ready);
        Ok(Opened {
            size: expected,
            content_type,
            modified,
            stream: stream.boxed(),
        })
    }

    /// What is known of an object.
    ///
    /// # Errors
    /// `s3.not_found`, and what the store says.
    pub async fn head(&self, key: &str) -> Result<Entry> {
        let meta = self.store.head(&self.path(key)?).await;
        meta.map(Entry::from)
            .map_err(|error| failed(&self.place, &format!("look at {key}"), error))
    }

    /// What is known of an object, if there is one.
    ///
    /// # Errors
    /// What the store says.
    pub async fn find(&self, key: &str) -> Result<Option<Entry>> {
        match self.head(key).await {
            Ok(entry) => Ok(Some(entry)),
            Err(error) if error.kind() == "s3.not_found" => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The objects whose key begins with a path.
    ///
    /// # Errors
    /// In the stream: what the store says.
    pub fn list(&self, prefix: &str) -> Result<BoxStream<'static, Result<Entry>>> {
        let place = self.place.clone();
        let prefix = prefix.trim_end_matches('/');
        let path = if prefix.is_empty() {
            None
        } else {
            Some(self.path(prefix)?)
        };
        let what = format!("list {prefix}/");
        let stream = self
            .store
            .list(path.as_ref())
            .map_ok(Entry::from)
            .map_err(move |error| failed(&place, &what, error));
        Ok(stream.boxed())
    }

    /// The names that follow a path: folders, if objects had some.
    ///
    /// # Errors
    /// What the store says.
    pub async fn folders(&self, prefix: &str) -> Result<Vec<String>> {
        let prefix = prefix.trim_end_matches('/');
        let path = if prefix.is_empty() {
            None
        } else {
            Some(self.path(prefix)?)
        };
        let listed = self.store.list_with_delimiter(path.as_ref()).await;
        let listed =
            listed.map_err(|error| failed(&self.place, &format!("list {prefix}/"), error))?;
        let mut names: Vec<String> = listed
            .common_prefixes
            .iter()
            .filter_map(|path| path.filename().map(str::to_owned))
            .collect();
        names.sort();
        Ok(names)
    }

    /// Copy an object within the store.
    ///
    /// # Errors
    /// `s3.not_found`, and what the store says.
    pub async fn copy(&self, from: &str, to: &str) -> Result<()> {
        let copied = self.store.copy(&self.path(from)?, &self.path(to)?).await;
        copied.map_err(|error| failed(&self.place, &format!("copy {from} to {to}"), error))
    }

    /// Delete an object. Whether there was one is not known everywhere.
    ///
    /// # Errors
    /// What the store says.
    pub async fn delete(&self, key: &str) -> Result<()> {
        match self.store.delete(&self.path(key)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed(&self.place, &format!("delete {key}"), error)),
        }
    }

    /// Delete all objects whose key begins with a path. Returns how many.
    ///
    /// # Errors
    /// What the store says.
    pub async fn delete_prefix(&self, prefix: &str) -> Result<u64> {
        let mut count = 0;
        let mut deleting = self
            .list(prefix)?
            .map(|entry| async move { self.delete(&entry?.key).await })
            .buffer_unordered(AT_ONCE);
        while deleting.try_next().await?.is_some() {
            count += 1;
        }
        Ok(count)
    }

    /// A URL with which anybody may do one thing with an object for a while.
    ///
    /// # Errors
    /// `s3.not_supported` for a folder.
    pub async fn presign(
        &self,
        method: http::Method,
        key: &str,
        valid: Duration,
    ) -> Result<String> {
        let signer = self.signer("sign a URL")?;
        let signed = signer.signed_url(method, &self.path(key)?, valid).await;
        signed
            .map(|url| url.to_string())
            .map_err(|error| failed(&self.place, &format!("sign a URL for {key}"), error))
    }
}

impl Opened {
    /// All of it, which must not be larger than `most` bytes.
    async fn whole(mut self, key: &str, most: u64) -> Result<Bytes> {
        let size = self.size;
        if size > most {
            return Err(Error::new(
                "s3.too_large",
                format!("{key} has {size} bytes, and {most} may be read at once"),
            )
            .hint("get it into a file: `store.get_file(key, path)`"));
        }
        let mut all = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
        while let Some(piece) = self.stream.try_next().await? {
            all.extend_from_slice(&piece);
        }
        Ok(all.into())
    }
}

impl From<object_store::ObjectMeta> for Entry {
    fn from(meta: object_store::ObjectMeta) -> Self {
        let modified = meta.last_modified;
        Self {
            key: meta.location.to_string(),
            size: meta.size,
            modified: Timestamp::from_unix(modified.timestamp())
                .unwrap_or_else(|_| Timestamp::now()),
            etag: meta.e_tag,
        }
    }
}
