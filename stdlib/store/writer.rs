//! Writing an object whose size nobody knows yet: in parts, several under way, none kept longer than it takes.

use std::sync::Arc;

use ccrun_kernel::{Error, Result};
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, MultipartUpload, ObjectStore, PutMultipartOptions, PutOptions,
    PutPayload,
};
use sha2::{Digest as _, Sha256};
use tokio::task::JoinSet;
use tokio_util::bytes::{Bytes, BytesMut};

use super::bucket::Bucket;
use super::failure::failed;

/// How large a part is if nobody knows how large the object becomes. S3 allows 10,000 parts: 156 GiB.
const PART: usize = 16 << 20;

/// How large it is at least: S3 takes 5 MiB, and each costs a request.
const SMALLEST: usize = 8 << 20;

/// How many an object of the expected size has at most: half of what S3 allows, for it may become larger.
const PARTS: u64 = 5_000;

/// How many parts are under way at once.
const PARALLEL: usize = 3;

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Its size in bytes.
    pub size: u64,
    /// The SHA-256 of what was sent, in hexadecimal.
    pub sha256: String,
}

/// An object that is being written. It is there when `finish` says so; dropped before, nothing is.
pub struct Writer {
    bucket: Arc<Bucket>,
    key: String,
    path: Path,
    attributes: Attributes,
    part_size: usize,
    part: BytesMut,
    upload: Option<Box<dyn MultipartUpload>>,
    /// Each gives its part back.
    under_way: JoinSet<(object_store::Result<()>, Bytes)>,
    /// Memory of parts that have arrived, for those to come.
    spare: Vec<BytesMut>,
    hash: Sha256,
    size: u64,
}

impl Writer {
    pub(super) fn new(
        bucket: Arc<Bucket>,
        key: &str,
        content_type: Option<String>,
    ) -> Result<Self> {
        let path = bucket.path(key)?;
        let mut attributes = Attributes::new();
        if let Some(content_type) = content_type {
            attributes.insert(Attribute::ContentType, content_type.into());
        }
        Ok(Self {
            attributes,
            bucket,
            key: key.to_owned(),
            path,
            part_size: PART,
            part: BytesMut::new(),
            upload: None,
            under_way: JoinSet::new(),
            spare: Vec::new(),
            hash: Sha256::new(),
            size: 0,
        })
    }

    /// Parts as an object takes that has some `bytes`: the memory that they take is in proportion, with 32 MiB at least. All are of one
    /// size, as some stores want them.
    #[must_use]
    pub fn expecting(mut self, bytes: u64) -> Self {
        self.part_size = part_size(bytes);
        self
    }

    /// Write what follows.
    ///
    /// # Errors
    /// What the store says, of this or of an earlier part.
    pub async fn write(&mut self, mut bytes: Bytes) -> Result<()> {
        self.hash.update(&bytes);
        self.size += bytes.len() as u64;
        while self.part.len() + bytes.len() >= self.part_size {
            let rest = bytes.split_off(self.part_size - self.part.len());
            self.part.extend_from_slice(&bytes);
            bytes = rest;
            self.send_part().await?;
        }
        self.part.extend_from_slice(&bytes);
        Ok(())
    }

    /// Write the end: the object is there.
    ///
    /// # Errors
    /// What the store says; `s3.damaged` if it has another size than was sent.
    pub async fn finish(mut self) -> Result<Written> {
        let written = Written {
            size: self.size,
            sha256: hex::encode(self.hash.clone().finalize()),
        };
        if self.upload.is_none() {
            let bytes = std::mem::take(&mut self.part).freeze();
            let options = PutOptions::from(self.attributes.clone());
            let put = self
                .store()
                .put_opts(&self.path, bytes.into(), options)
                .await;
            put.map_err(|error| self.failed(error))?;
        } else {
            if !self.part.is_empty() {
                self.send_part().await?;
            }
            while !self.under_way.is_empty() {
                self.one_less().await?;
            }
            if let Some(mut upload) = self.upload.take() {
                let done = upload.complete().await;
                done.map_err(|error| self.failed(error))?;
            }
        }
        let there = self.bucket.head(&self.key).await?;
        if there.size != written.size {
            return Err(Error::new(
                "s3.damaged",
                format!(
                    "{} bytes of {} were sent, and {} has {}",
                    written.size,
                    self.key,
                    self.bucket.place(),
                    there.size
                ),
            )
            .retryable());
        }
        Ok(written)
    }

    /// Take back what was sent.
    pub async fn abort(mut self) {
        self.under_way.shutdown().await;
        if let Some(mut upload) = self.upload.take() {
            drop(upload.abort().await);
        }
    }

    async fn send_part(&mut self) -> Result<()> {
        while self.under_way.len() >= PARALLEL {
            self.one_less().await?;
        }
        if self.upload.is_none() {
            let options = PutMultipartOptions::from(self.attributes.clone());
            let begun = self.store().put_multipart_opts(&self.path, options).await;
            self.upload = Some(begun.map_err(|error| self.failed(error))?);
        }
        let fresh = || BytesMut::with_capacity(self.part_size);
        let next = self.spare.pop().unwrap_or_else(fresh);
        let part = std::mem::replace(&mut self.part, next).freeze();
        if let Some(upload) = &mut self.upload {
            let sending = upload.put_part(PutPayload::from_bytes(part.clone()));
            self.under_way.spawn(async move { (sending.await, part) });
        }
        Ok(())
    }

    async fn one_less(&mut self) -> Result<()> {
        match self.under_way.join_next().await {
            None => Ok(()),
            Some(Ok((Ok(()), part))) => {
                if let Ok(mut part) = part.try_into_mut() {
                    part.clear();
                    self.spare.push(part);
                }
                Ok(())
            }
            Some(Ok((Err(error), _))) => Err(self.failed(error)),
            Some(Err(error)) => Err(Error::new("s3.failed", error.to_string())),
        }
    }

    fn store(&self) -> &dyn ObjectStore {
        self.bucket.store()
    }

    fn failed(&self, error: object_store::Error) -> Error {
        failed(self.bucket.place(), &format!("write {}", self.key), error)
    }
}

/// How large the parts of an object are that has some `bytes`.
fn part_size(bytes: u64) -> usize {
    let each = bytes.div_ceil(PARTS).next_multiple_of(1 << 20);
    usize::try_from(each).unwrap_or(PART).max(SMALLEST)
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let (Some(mut upload), Ok(runtime)) =
            (self.upload.take(), tokio::runtime::Handle::try_current())
        {
            runtime.spawn(async move { drop(upload.abort().await) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_an_object_has_its_parts_are_few_enough_and_large_enough() {
        for bytes in [0, 1, 1 << 30, 156 << 30, 5 << 40] {
            let size = part_size(bytes);
            assert!(size >= 5 << 20 && size.is_multiple_of(1 << 20), "{size}");
            assert!(bytes.div_ceil(size as u64) <= PARTS, "{bytes}");
        }
        assert_eq!(part_size(1 << 30), SMALLEST);
    }
}
