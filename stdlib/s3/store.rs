//! `Store`: a bucket, or a folder in its place.

use std::sync::Arc;

use ccrun_kernel::{Cx, Object, Options, Preview, Result, primitive};

use crate::store::{Bucket, Place, Stores};

/// A bucket on a server that speaks S3, or a folder of this machine in its place.
#[derive(Clone, Object)]
#[object(name = "Store", describe = "Store::describe")]
pub struct Store {
    pub(crate) place: Place,
}

/// How a bucket is made.
#[derive(Clone, Options)]
pub struct BucketOptions {
    /// With locks (`store.lock`), which not every server gives it later. Such a bucket keeps versions.
    #[option(default = "false")]
    locks: bool,
}

impl Store {
    fn describe(&self) -> String {
        format!("Store({})", self.place)
    }

    /// What permissions name.
    pub(crate) fn resource(&self) -> String {
        self.place.resource()
    }

    /// The store, to read from.
    pub(crate) async fn reader(&self, cx: &Cx) -> Result<Arc<Bucket>> {
        cx.client::<Stores>().await?.reader(&self.place).await
    }

    /// The store, to change.
    pub(crate) async fn writer(&self, cx: &Cx) -> Result<Arc<Bucket>> {
        cx.client::<Stores>().await?.writer(&self.place).await
    }

    /// The name of the bucket, or the path of the folder.
    ///
    /// # Errors
    /// None.
    ///
    /// # Example
    /// ```rhai
    /// assert(s3::folder("kept").name.ends_with("kept"));
    /// ```
    #[primitive(pure, get)]
    pub(super) fn name(&self) -> String {
        self.place.resource()
    }

    /// Create the bucket unless it is there. Returns whether it was created.
    ///
    /// # Errors
    /// `s3.denied`, `s3.unreachable`; with `locks` also `s3.no_locks` if it is there without, and `s3.not_supported` for a folder.
    ///
    /// # Example
    /// ```rhai
    /// assert(s3::folder("kept").create_bucket());
    /// assert(!s3::folder("kept").create_bucket());
    /// ```
    #[primitive(change, needs = s3(self.resource()), preview = create_bucket_preview)]
    pub(super) async fn create_bucket(&self, cx: &Cx, options: BucketOptions) -> Result<bool> {
        let stores = cx.client::<Stores>().await?;
        if stores.exists(&self.place).await? {
            if options.locks {
                self.reader(cx).await?.has_locks().await?;
            }
            cx.unchanged();
            return Ok(false);
        }
        stores.create(&self.place, options.locks).await?;
        Ok(true)
    }

    /// Whether the bucket is there, and these keys may see what is in it.
    ///
    /// # Errors
    /// `s3.denied`, `s3.unreachable`.
    ///
    /// # Example
    /// ```rhai
    /// assert(!s3::folder("kept").exists());
    /// ```
    #[primitive(read, volatile, needs = s3(self.resource()))]
    pub(super) async fn exists(&self, cx: &Cx) -> Result<bool> {
        cx.client::<Stores>().await?.exists(&self.place).await
    }
}

async fn create_bucket_preview(this: &Store, cx: &Cx, options: &BucketOptions) -> Result<Preview> {
    let there = cx.client::<Stores>().await?.exists(&this.place).await?;
    if there && options.locks {
        this.reader(cx).await?.has_locks().await?;
    }
    let preview = Preview::new(format!("create {}", this.place));
    Ok(if there {
        Preview::new(format!("{} is there", this.place)).unchanged()
    } else {
        preview
    })
}
