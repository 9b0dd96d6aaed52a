//! The client of object stores.
#![allow(
    clippy::disallowed_methods,
    reason = "this is the client that connections to object stores come from"
)]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ccrun_kernel::secret::{Secret, reference};
use ccrun_kernel::{Access, Client, Error, Result};
use http::Method;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::local::LocalFileSystem;
use object_store::{BackoffConfig, ClientOptions, RetryConfig};
use parking_lot::Mutex;

use super::bucket::Bucket;
use super::place::{Keys, Place, S3Place};
use super::request::Request;

/// The stores of a run, for one right.
pub struct Stores {
    access: Access,
    open: Mutex<HashMap<Place, Arc<Bucket>>>,
}

impl Client for Stores {
    async fn open(access: &Access) -> Result<Self> {
        Ok(Self {
            access: access.clone(),
            open: Mutex::default(),
        })
    }
}

impl Stores {
    /// A store to read from.
    ///
    /// # Errors
    /// What finding its keys says; `s3.bad_option`.
    pub async fn reader(&self, place: &Place) -> Result<Arc<Bucket>> {
        if let Some(bucket) = self.open.lock().get(place) {
            return Ok(Arc::clone(bucket));
        }
        let bucket = Arc::new(self.connect(place).await?);
        self.open.lock().insert(place.clone(), Arc::clone(&bucket));
        Ok(bucket)
    }

    /// A store to change.
    ///
    /// # Errors
    /// `read_only` where nothing may be changed, and as `reader`.
    pub async fn writer(&self, place: &Place) -> Result<Arc<Bucket>> {
        if self.access.read_only() {
            return Err(
                Error::new("read_only", format!("{place}: nothing may be changed here"))
                    .hint("this is a dry run, or a primitive that only reads"),
            );
        }
        if let Place::Folder(folder) = place {
            use std::os::unix::fs::DirBuilderExt as _;
            // What is kept is for nobody else's eyes.
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)
                .map_err(|error| crate::files::failed("create the folder", folder, &error))?;
        }
        self.reader(place).await
    }

    /// Whether the store is there and may be read.
    ///
    /// # Errors
    /// `s3.denied`, `s3.unreachable`.
    pub async fn exists(&self, place: &Place) -> Result<bool> {
        let there = async { self.reader(place).await?.folders("").await };
        match there.await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == "s3.no_bucket" => Ok(false),
            // Servers that do not say what is missing: a list of a bucket finds something, or the bucket is missing.
            Err(error) if error.kind() == "s3.not_found" => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Create the store, with what makes that its objects can be locked.
    ///
    /// # Errors
    /// `read_only`, `s3.denied`, `s3.unreachable`; `s3.not_supported` for a folder with `locks`.
    pub async fn create(&self, place: &Place, locks: bool) -> Result<()> {
        let bucket = self.writer(place).await?;
        let Place::S3(s3) = place else {
            return if locks {
                bucket.signer("make a store with locks").map(drop)
            } else {
                Ok(())
            };
        };
        let mut request = Request::new(Method::PUT, "", "create a bucket".to_owned());
        if locks {
            request = request.header("x-amz-bucket-object-lock-enabled", "true")?;
        }
        // AWS wants to be told the region; its first one must not be named.
        if s3.endpoint.is_none() && s3.region != "us-east-1" {
            request = request.body(format!(
                "<CreateBucketConfiguration><LocationConstraint>{}</LocationConstraint></CreateBucketConfiguration>",
                s3.region
            ))?;
        }
        bucket.ask(request).await.map(drop)
    }

    async fn connect(&self, place: &Place) -> Result<Bucket> {
        match place {
            Place::Folder(folder) => {
                let store = LocalFileSystem::new_with_prefix(folder).map_err(|_| {
                    Error::new(
                        "s3.no_bucket",
                        format!("there is no folder {}", folder.display()),
                    )
                    .hint("create it, or correct the path; what is kept there creates it")
                })?;
                // A file counts as there when it is on the disk, not in the kernel's memory.
                let store = store.with_fsync(true);
                Ok(Bucket::new(place.clone(), Arc::new(store), None))
            }
            Place::S3(s3) => {
                let store = Arc::new(self.s3(place, s3).await?);
                Ok(Bucket::new(place.clone(), store.clone(), Some(store)))
            }
        }
    }

    async fn s3(&self, place: &Place, s3: &S3Place) -> Result<AmazonS3> {
        let http = s3
            .endpoint
            .as_deref()
            .is_some_and(|endpoint| endpoint.starts_with("http://"));
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&s3.bucket)
            .with_region(&s3.region)
            .with_virtual_hosted_style_request(!s3.path_style)
            // Compatible servers have their own ideas of what deletes many at once.
            .with_disable_bulk_delete(true)
            .with_retry(RetryConfig {
                backoff: BackoffConfig {
                    init_backoff: Duration::from_millis(200),
                    max_backoff: Duration::from_secs(10),
                    base: 2.,
                },
                max_retries: 8,
                retry_timeout: Duration::from_secs(120),
            })
            .with_client_options(
                ClientOptions::new()
                    .with_allow_http(http)
                    .with_connect_timeout(Duration::from_secs(5))
                    .with_timeout_disabled()
                    .with_read_timeout(s3.timeout),
            );
        if let Some(endpoint) = &s3.endpoint {
            builder = builder.with_endpoint(endpoint.trim_end_matches('/'));
        }
        builder = match self.keys(&s3.keys).await? {
            None => builder.with_skip_signature(true),
            Some((access, secret)) => builder
                .with_access_key_id(access)
                .with_secret_access_key(secret.expose()),
        };
        builder.build().map_err(|error| {
            Error::new("s3.bad_option", format!("{place}: {error}"))
                .hint("an endpoint is a URL: `https://s3.example.org`")
        })
    }

    async fn keys(&self, keys: &Keys) -> Result<Option<(String, Secret)>> {
        match keys {
            Keys::Anonymous => Ok(None),
            Keys::Known(access, secret) => Ok(Some((
                access.clone(),
                Secret::new("S3 secret key", secret.as_str()),
            ))),
            Keys::References(access, secret) => {
                let access = match reference(access) {
                    Some(name) => self.access.secret(name).await?.expose().to_owned(),
                    None => access.clone(),
                };
                let secret = match reference(secret) {
                    Some(name) => self.access.secret(name).await?,
                    None => Secret::new("S3 secret key", secret.as_str()),
                };
                Ok(Some((access, secret)))
            }
        }
    }
}
