//! Versions of objects, and locks on them.

use ccrun_kernel::rhai::{Array, Dynamic, Map};
use ccrun_kernel::value::{Duration, Timestamp};
use ccrun_kernel::{Cx, Options, Preview, Result, primitive};

use super::objects::map_of;
use super::store::Store;
use crate::store::{Lock, LockMode};

/// How an object is locked.
#[derive(Clone, Options)]
pub struct LockOptions {
    /// `governance`: keys with the right to (`s3:BypassGovernanceRetention`; an administrator's have it) may delete it all the
    /// same. `compliance`: none may, and nobody can take that back.
    #[option(default = "governance")]
    mode: String,
    /// One of its versions, instead of the latest.
    version: Option<String>,
}

/// Of what the lock is looked at.
#[derive(Clone, Options)]
pub struct LockedOptions {
    /// One of its versions, instead of the latest.
    version: Option<String>,
}

/// How many versions are listed at most.
const MOST: usize = 100_000;

impl Store {
    /// Whether the bucket keeps what is replaced or deleted.
    ///
    /// # Errors
    /// `s3.not_supported` for a folder; `s3.no_bucket`, `s3.denied`, `s3.unreachable`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// let store = s3::connect(#{ bucket: "backups", access_key: secret("S3_ACCESS_KEY"), secret_key: secret("S3_SECRET_KEY") });
    /// if !store.keeps_versions() { log::warn("whoever has the keys can delete all backups"); }
    /// ```
    #[primitive(read, volatile, needs = s3(self.resource()))]
    pub(super) async fn keeps_versions(&self, cx: &Cx) -> Result<bool> {
        self.reader(cx).await?.keeps_versions().await
    }

    /// Have the bucket keep what is replaced or deleted from now on. Returns whether it did not before. What is kept takes room until
    /// its version is deleted: set a rule for that in the store (lifecycle, `NoncurrentVersionExpiration`).
    ///
    /// # Errors
    /// `s3.not_supported` for a folder, or from a server that has no versions; `s3.no_bucket`, `s3.denied`, `s3.unreachable`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// let store = s3::connect(#{ bucket: "uploads", access_key: secret("S3_ACCESS_KEY"), secret_key: secret("S3_SECRET_KEY") });
    /// store.keep_versions();
    /// ```
    #[primitive(change, needs = s3(self.resource()), preview = keep_versions_preview)]
    pub(super) async fn keep_versions(&self, cx: &Cx) -> Result<bool> {
        let store = self.writer(cx).await?;
        if store.keeps_versions().await? {
            cx.unchanged();
            return Ok(false);
        }
        store.keep_versions().await?;
        Ok(true)
    }

    /// The versions of an object and of those below it, by key, the latest first: maps with `key`, `version`, `latest`,
    /// `deleted` (it only says that the object was deleted then), `size`, `modified`, `etag`.
    ///
    /// # Errors
    /// `s3.not_supported` for a folder; `s3.too_many` beyond 100,000; `s3.no_bucket`, `s3.denied`, `s3.unreachable`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// let store = s3::connect(#{ bucket: "uploads", access_key: secret("S3_ACCESS_KEY"), secret_key: secret("S3_SECRET_KEY") });
    /// for one in store.versions("invoices/17.pdf") { print(`${one.modified} ${one.version} ${one.size}`); }
    /// ```
    #[primitive(read, volatile, needs = s3(self.resource()))]
    pub(super) async fn versions(&self, cx: &Cx, prefix: Option<String>) -> Result<Array> {
        let store = self.reader(cx).await?;
        let found = store.versions(&prefix.unwrap_or_default(), MOST).await?;
        let map = |one: crate::store::Version| {
            let mut map = map_of(one.entry);
            map.extend([
                ("version".into(), Dynamic::from(one.version)),
                ("latest".into(), one.latest.into()),
                ("deleted".into(), one.deleted.into()),
            ]);
            map.into()
        };
        Ok(found.into_iter().map(map).collect())
    }

    /// Make an older version the latest one, as a copy of it (of up to 5 GiB): what was replaced or deleted by mistake is there
    /// again.
    ///
    /// # Errors
    /// `s3.not_found`, `s3.not_supported` for a folder; `s3.denied`, `s3.unreachable`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// let store = s3::connect(#{ bucket: "uploads", access_key: secret("S3_ACCESS_KEY"), secret_key: secret("S3_SECRET_KEY") });
    /// let lost = store.versions("invoices/17.pdf").find(|one| !one.deleted);
    /// store.bring_back(lost.key, lost.version);
    /// ```
    #[primitive(change, needs = s3(self.resource()))]
    pub(super) async fn bring_back(&self, cx: &Cx, key: String, version: String) -> Result<()> {
        self.writer(cx).await?.bring_back(&key, &version).await
    }

    /// Make that an object's version can't be deleted for a while. Returns when it ends.
    ///
    /// The bucket must have been made with locks: `store.create_bucket(#{ locks: true })`. Deleting the object hides it then, and its
    /// version is still there.
    ///
    /// # Errors
    /// `s3.no_locks` if the bucket has none; `s3.locked` if it is locked for longer; `s3.bad_option`, `s3.not_found`;
    /// `s3.not_supported` for a folder; `s3.denied`, `s3.unreachable`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// let store = s3::connect(#{ bucket: "reports", access_key: secret("S3_ACCESS_KEY"), secret_key: secret("S3_SECRET_KEY") });
    /// store.lock("2026/annual.pdf", "3650d", #{ mode: "compliance" });
    /// ```
    #[primitive(change, needs = s3(self.resource()), preview = lock_preview)]
    pub(super) async fn lock(
        &self,
        cx: &Cx,
        key: String,
        lasts: Duration,
        options: LockOptions,
    ) -> Result<Timestamp> {
        let mode: LockMode = options.mode.parse()?;
        let lock = Lock {
            mode,
            until: Timestamp::now().plus(lasts)?,
        };
        let store = self.writer(cx).await?;
        store.lock(&key, options.version.as_deref(), &lock).await?;
        Ok(lock.until)
    }

    /// Until when an object can't be deleted: a map with `mode` and `ends`; `()` if it can.
    ///
    /// # Errors
    /// `s3.not_found`; `s3.not_supported` for a folder; `s3.denied`, `s3.unreachable`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// let store = s3::connect(#{ bucket: "reports", access_key: secret("S3_ACCESS_KEY"), secret_key: secret("S3_SECRET_KEY") });
    /// let lock = store.locked("2026/annual.pdf");
    /// print(if lock == () { "not locked" } else { `locked until ${lock.ends}` });
    /// ```
    #[primitive(read, volatile, needs = s3(self.resource()))]
    pub(super) async fn locked(
        &self,
        cx: &Cx,
        key: String,
        options: LockedOptions,
    ) -> Result<Option<Map>> {
        let store = self.reader(cx).await?;
        let lock = store.locked(&key, options.version.as_deref()).await?;
        Ok(lock.map(|lock| {
            Map::from_iter([
                ("mode".into(), lock.mode.name().into()),
                ("ends".into(), Dynamic::from(lock.until)),
            ])
        }))
    }
}

async fn keep_versions_preview(this: &Store, cx: &Cx) -> Result<Preview> {
    let keeps = this.reader(cx).await?.keeps_versions().await?;
    Ok(if keeps {
        Preview::new(format!("{} keeps versions", this.place)).unchanged()
    } else {
        Preview::new(format!("have {} keep versions", this.place))
    })
}

async fn lock_preview(
    this: &Store,
    _cx: &Cx,
    key: &str,
    lasts: &Duration,
    options: &LockOptions,
) -> Result<Preview> {
    let mode: LockMode = options.mode.parse()?;
    Ok(Preview::new(format!(
        "lock {key} in {} for {lasts} ({})",
        this.place,
        mode.name()
    )))
}
