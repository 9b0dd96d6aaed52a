//! Single objects and lists of them.

use ccrun_kernel::rhai::{Array, Dynamic, FnPtr, Map};
use ccrun_kernel::value::{Duration, Size};
use ccrun_kernel::{Caller, Cx, Error, Options, Preview, Result, primitive};
use futures::TryStreamExt as _;

use super::store::Store;
use crate::files::Content;
use crate::store::Entry;

/// How an object is written.
#[derive(Clone, Options)]
pub struct PutOptions {
    /// Fail (`s3.exists`) if there is one already.
    #[option(default = "false")]
    if_absent: bool,
}

/// How an object is read.
#[derive(Clone, Options)]
pub struct GetOptions {
    /// The first byte that is read.
    start: Option<u64>,
    /// The first byte that is not read any more.
    end: Option<u64>,
    /// The most that is read at once; what is larger goes into a file with `get_file`.
    #[option(default = "16MiB")]
    max: Size,
    /// Return a blob, for what is no text.
    #[option(default = "false")]
    binary: bool,
    /// One of its versions (`store.versions`), instead of the latest. As a whole: not with `start` and `end`.
    version: Option<String>,
}

/// What of an object is deleted.
#[derive(Clone, Options)]
pub struct DeleteOptions {
    /// One of its versions (`store.versions`), for good. Left out: the object; a bucket that keeps versions still has them.
    version: Option<String>,
}

/// What is listed.
#[derive(Clone, Options)]
pub struct ListOptions {
    /// How many at most.
    #[option(default = "100000")]
    limit: usize,
    /// Only what follows up to the next `/`: names of folders, if objects had some. Returns strings then.
    #[option(default = "false")]
    folders: bool,
}

/// How long a URL is valid, and for what.
#[derive(Clone, Options)]
pub struct PresignOptions {
    /// `GET`, `PUT`, `HEAD` or `DELETE`.
    #[option(default = "GET")]
    method: String,
    /// How long: seven days at most.
    #[option(default = "15m")]
    valid: Duration,
}

impl Store {
    /// Write an object: a string, a blob or a secret. One that is there is replaced as a whole.
    ///
    /// # Errors
    /// `s3.exists` with `if_absent`, `s3.no_bucket`, `s3.denied`, `s3.unreachable`.
    ///
    /// # Example
    /// ```rhai
    /// let store = s3::folder("kept");
    /// store.put("notes/one.txt", "hello", #{ if_absent: true });
    /// ```
    #[primitive(change, needs = s3(self.resource()), preview = put_preview)]
    pub(super) async fn put(
        &self,
        cx: &Cx,
        key: String,
        content: Content,
        options: PutOptions,
    ) -> Result<()> {
        let store = self.writer(cx).await?;
        let bytes = content.bytes().to_vec().into();
        if options.if_absent {
            store.put_if_absent(&key, bytes).await
        } else {
            store.put(&key, bytes).await
        }
    }

    /// What is in an object, or in a part of it: text, unless `binary`.
    ///
    /// # Errors
    /// `s3.not_found`, `s3.too_large`, `s3.not_utf8`, `s3.denied`, `s3.unreachable`; `s3.not_supported` for a folder with
    /// `version`.
    ///
    /// # Example
    /// ```rhai
    /// let store = s3::folder("kept");
    /// store.put("one", "hello");
    /// assert(store.get("one", #{ start: 1, end: 3 }) == "el");
    /// ```
    #[primitive(read, needs = s3(self.resource()))]
    pub(super) async fn get(&self, cx: &Cx, key: String, options: GetOptions) -> Result<Dynamic> {
        let store = self.reader(cx).await?;
        let most = options.max.bytes();
        let bytes = if let Some(version) = &options.version {
            if options.start.is_some() || options.end.is_some() {
                return Err(Error::new(
                    "s3.bad_option",
                    "a part of an older version can't be read",
                )
                .hint("leave out `start` and `end`, or `bring_back` the version first"));
            }
            store.get_version(&key, version, most).await?.to_vec()
        } else if options.start.is_some() || options.end.is_some() {
            let size = store.head(&key).await?.size;
            let end = options.end.unwrap_or(size).min(size);
            let start = options.start.unwrap_or(0).min(end);
            if end - start > most {
                return Err(Error::new(
                    "s3.too_large",
                    format!(
                        "{} bytes of {key} are asked for, and {most} may be read at once",
                        end - start
                    ),
                )
                .hint("raise `max`, or ask for less"));
            }
            let mut all = Vec::new();
            if start < end {
                let mut stream = store.read(&key, Some(start..end)).await?;
                while let Some(piece) = stream.try_next().await? {
                    all.extend_from_slice(&piece);
                }
            }
            all
        } else {
            store.get(&key, most).await?.to_vec()
        };
        if options.binary {
            return Ok(Dynamic::from_blob(bytes));
        }
        match String::from_utf8(bytes) {
            Ok(text) => Ok(text.into()),
            Err(_) => Err(Error::new("s3.not_utf8", format!("{key} is no text"))
                .hint("`#{ binary: true }` gives a blob; `get_file` writes it into a file")),
        }
    }

    /// What is known of an object: a map with `key`, `size`, `modified`, `etag`; `()` if there is none.
    ///
    /// # Errors
    /// `s3.no_bucket`, `s3.denied`, `s3.unreachable`.
    ///
    /// # Example
    /// ```rhai
    /// let store = s3::folder("kept");
    /// store.put("one", "hello");
    /// assert(store.head("one").size == "5B" && store.head("two") == ());
    /// ```
    #[primitive(read, volatile, needs = s3(self.resource()))]
    pub(super) async fn head(&self, cx: &Cx, key: String) -> Result<Option<Map>> {
        Ok(self.reader(cx).await?.find(&key).await?.map(map_of))
    }

    /// The objects below a path, in the order of their keys: maps with `key`, `size`, `modified`, `etag`. For very many,
    /// `each_object` keeps none.
    ///
    /// # Errors
    /// `s3.no_bucket`, `s3.denied`, `s3.unreachable`; `s3.too_many` beyond `limit`.
    ///
    /// # Example
    /// ```rhai
    /// let store = s3::folder("kept");
    /// store.put("a/1", "x");
    /// store.put("b/2", "x");
    /// assert(store.list("a").map(|object| object.key) == ["a/1"]);
    /// assert(store.list("", #{ folders: true }) == ["a", "b"]);
    /// ```
    #[primitive(read, volatile, needs = s3(self.resource()))]
    pub(super) async fn list(
        &self,
        cx: &Cx,
        prefix: Option<String>,
        options: ListOptions,
    ) -> Result<Array> {
        let store = self.reader(cx).await?;
        let prefix = prefix.unwrap_or_default();
        if options.folders {
            let names = store.folders(&prefix).await?;
            return Ok(names.into_iter().map(Dynamic::from).collect());
        }
        let mut found: Vec<Entry> = Vec::new();
        let mut stream = store.list(&prefix)?;
        while let Some(entry) = stream.try_next().await? {
            if found.len() == options.limit {
                return Err(Error::new(
                    "s3.too_many",
                    format!(
                        "there are more than {} objects below {prefix:?}",
                        options.limit
                    ),
                )
                .hint("list a longer prefix, or raise `limit`"));
            }
            found.push(entry);
        }
        found.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(found
            .into_iter()
            .map(|entry| map_of(entry).into())
            .collect())
    }

    /// Call a closure with each object below a path, of which only a page is in memory at a time: a map with `key`, `size`,
    /// `modified`, `etag`. How many there were is returned; a closure that returns `false` ends it.
    ///
    /// # Errors
    /// `s3.no_bucket`, `s3.denied`, `s3.unreachable`, and what the closure throws.
    ///
    /// # Example
    /// ```rhai
    /// let store = s3::folder("kept");
    /// store.put("a/1", "x");
    /// store.put("a/2", "xy");
    /// let total = 0;
    /// store.each_object("a", |object| { total += object.size.bytes; });
    /// assert(total == 3);
    /// ```
    #[primitive(read, volatile, needs = s3(self.resource()))]
    pub(super) fn each_object(
        &self,
        cx: &Cx,
        call: &Caller<'_>,
        prefix: String,
        body: FnPtr,
    ) -> Result<i64> {
        let store = cx.block_on(self.reader(cx))?;
        let mut stream = store.list(&prefix)?;
        let mut count = 0;
        while let Some(entry) = cx.block_on(stream.try_next())? {
            count += 1;
            if let Ok(false) = call
                .invoke(&body, [Dynamic::from(map_of(entry))])?
                .as_bool()
            {
                break;
            }
        }
        Ok(count)
    }

    /// Copy an object within the store.
    ///
    /// # Errors
    /// `s3.not_found`, `s3.denied`, `s3.unreachable`.
    ///
    /// # Example
    /// ```rhai
    /// let store = s3::folder("kept");
    /// store.put("one", "hello");
    /// store.copy("one", "two");
    /// assert(store.get("two") == "hello");
    /// ```
    #[primitive(change, needs = s3(self.resource()))]
    pub(super) async fn copy(&self, cx: &Cx, from: String, to: String) -> Result<()> {
        self.writer(cx).await?.copy(&from, &to).await
    }

    /// Delete an object, or one of its versions. That there is none is no error.
    ///
    /// # Errors
    /// `s3.no_bucket`, `s3.denied`, `s3.unreachable`; `s3.locked` for a version that is locked.
    ///
    /// # Example
    /// ```rhai
    /// let store = s3::folder("kept");
    /// store.put("one", "hello");
    /// store.delete("one");
    /// assert(store.head("one") == ());
    /// ```
    #[primitive(change, needs = s3(self.resource()))]
    pub(super) async fn delete(&self, cx: &Cx, key: String, options: DeleteOptions) -> Result<()> {
        let store = self.writer(cx).await?;
        match &options.version {
            Some(version) => store.delete_version(&key, version).await,
            None => store.delete(&key).await,
        }
    }

    /// Delete all objects below a path. Returns how many.
    ///
    /// # Errors
    /// `s3.bad_key` for an empty path; `s3.no_bucket`, `s3.denied`, `s3.unreachable`.
    ///
    /// # Example
    /// ```rhai
    /// let store = s3::folder("kept");
    /// store.put("old/1", "x");
    /// store.put("old/2", "x");
    /// assert(store.delete_prefix("old") == 2);
    /// ```
    #[primitive(change, needs = s3(self.resource()), preview = delete_prefix_preview)]
    pub(super) async fn delete_prefix(&self, cx: &Cx, prefix: String) -> Result<u64> {
        if prefix.trim_matches('/').is_empty() {
            return Err(Error::new(
                "s3.bad_key",
                "an empty path would delete everything in the store",
            )
            .hint("name what is to go"));
        }
        self.writer(cx).await?.delete_prefix(&prefix).await
    }

    /// A URL with which anybody may do one thing with an object for a while, without keys.
    ///
    /// # Errors
    /// `s3.not_supported` for a folder, `s3.bad_option`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// let store = s3::connect(#{ bucket: "reports", access_key: secret("S3_ACCESS_KEY"), secret_key: secret("S3_SECRET_KEY") });
    /// print(store.presign("report.html", #{ valid: "1h" }));
    /// ```
    #[primitive(read, volatile, needs = s3(self.resource()))]
    pub(super) async fn presign(
        &self,
        cx: &Cx,
        key: String,
        options: PresignOptions,
    ) -> Result<String> {
        let bad = |message: String| Error::new("s3.bad_option", message);
        let method = match options.method.to_ascii_uppercase().as_str() {
            "GET" => http::Method::GET,
            "PUT" => http::Method::PUT,
            "HEAD" => http::Method::HEAD,
            "DELETE" => http::Method::DELETE,
            other => return Err(bad(format!("a URL can't be signed for {other}"))),
        };
        let valid = options.valid.to_std();
        if valid.is_zero() || valid > std::time::Duration::from_secs(7 * 24 * 3600) {
            return Err(bad(format!(
                "a URL can be valid for up to seven days, not {}",
                options.valid
            )));
        }
        self.reader(cx).await?.presign(method, &key, valid).await
    }
}

/// An object as scripts see it.
pub(super) fn map_of(entry: Entry) -> Map {
    Map::from_iter([
        ("key".into(), entry.key.into()),
        ("size".into(), Dynamic::from(Size::from_bytes(entry.size))),
        ("modified".into(), Dynamic::from(entry.modified)),
        (
            "etag".into(),
            entry.etag.map_or(Dynamic::UNIT, Dynamic::from),
        ),
    ])
}

async fn put_preview(
    this: &Store,
    cx: &Cx,
    key: &str,
    content: &Content,
    options: &PutOptions,
) -> Result<Preview> {
    let there = match this.reader(cx).await {
        Ok(store) => store.find(key).await.unwrap_or_default(),
        Err(_) => None,
    };
    let size = Size::from_bytes(content.bytes().len() as u64);
    Ok(Preview::new(match there {
        Some(_) if options.if_absent => format!("fail: {key} is in {} already", this.place),
        Some(old) => format!(
            "replace {key} ({}) in {} by {size}",
            Size::from_bytes(old.size),
            this.place
        ),
        None => format!("write {size} to {key} in {}", this.place),
    }))
}

async fn delete_prefix_preview(this: &Store, cx: &Cx, prefix: &str) -> Result<Preview> {
    let store = this.reader(cx).await?;
    let mut stream = store.list(prefix)?;
    let (mut count, mut size) = (0_u64, 0);
    while let Some(entry) = stream.try_next().await? {
        count += 1;
        size += entry.size;
    }
    let size = Size::from_bytes(size);
    let preview = Preview::new(format!(
        "delete {count} objects ({size}) below {prefix} in {}",
        this.place
    ));
    Ok(if count == 0 {
        preview.unchanged()
    } else {
        preview
    })
}
