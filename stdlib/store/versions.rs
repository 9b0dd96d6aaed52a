//! Versions of objects, and locks on them.
//!
//! Both follow the API reference of Amazon S3: `ListObjectVersions`, `PutBucketVersioning`, `PutObjectRetention`.

use std::str::FromStr;

use ccrun_kernel::value::Timestamp;
use ccrun_kernel::{Error, Result};
use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::bucket::{Bucket, Entry};
use super::failure::could_not;
use super::place::Place;
use super::request::Request;

/// What is encoded in the path of a URL (RFC 3986: all but what is unreserved, and the slashes).
const IN_A_PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// One of an object's versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// What it is; of one that says that the object was deleted, without size and etag.
    pub entry: Entry,
    /// Its name.
    pub version: String,
    /// Whether it is what one gets who names none.
    pub latest: bool,
    /// Whether it only says that the object was deleted.
    pub deleted: bool,
}

/// Who may shorten a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockMode {
    /// Those with the right to (`s3:BypassGovernanceRetention`).
    Governance,
    /// Nobody, whoever they are.
    Compliance,
}

/// Until when a version can't be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// Who may shorten it.
    pub mode: LockMode,
    /// When it ends.
    pub until: Timestamp,
}

impl LockMode {
    /// As scripts have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Governance => "governance",
            Self::Compliance => "compliance",
        }
    }
}

impl FromStr for LockMode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.to_ascii_lowercase().as_str() {
            "governance" => Ok(Self::Governance),
            "compliance" => Ok(Self::Compliance),
            _ => Err(
                Error::new("s3.bad_option", format!("there is no lock called `{text}`"))
                    .hint("governance (some may shorten it) or compliance (nobody may)"),
            ),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    #[serde(default)]
    is_truncated: bool,
    next_key_marker: Option<String>,
    next_version_id_marker: Option<String>,
    #[serde(default, rename = "Version")]
    versions: Vec<ListedVersion>,
    #[serde(default, rename = "DeleteMarker")]
    markers: Vec<ListedVersion>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListedVersion {
    key: String,
    version_id: String,
    is_latest: bool,
    last_modified: jiff::Timestamp,
    #[serde(rename = "ETag")]
    etag: Option<String>,
    size: Option<u64>,
}

impl ListedVersion {
    fn version(self, deleted: bool) -> Version {
        Version {
            entry: Entry {
                key: self.key,
                size: self.size.unwrap_or(0),
                modified: Timestamp::from_unix(self.last_modified.as_second())
                    .unwrap_or_else(|_| Timestamp::now()),
                etag: self.etag,
            },
            version: self.version_id,
            latest: self.is_latest,
            deleted,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Versioning {
    status: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Retention {
    mode: String,
    retain_until_date: jiff::Timestamp,
}

impl Bucket {
    /// Whether what is replaced or deleted is kept.
    ///
    /// # Errors
    /// `s3.not_supported`, and what the store says.
    pub async fn keeps_versions(&self) -> Result<bool> {
        let request = Request::new(Method::GET, "", "look at the versioning".to_owned());
        let answer = self.ask(request.query("versioning", "")).await?;
        let versioning: Versioning = self.read_xml(&answer)?;
        Ok(versioning.status.as_deref() == Some("Enabled"))
    }

    /// Keep what is replaced or deleted from now on.
    ///
    /// # Errors
    /// `s3.not_supported`, and what the store says.
    pub async fn keep_versions(&self) -> Result<()> {
        let body = "<VersioningConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Status>Enabled</Status></VersioningConfiguration>";
        let request = Request::new(Method::PUT, "", "keep versions".to_owned());
        let request = request.query("versioning", "").body(body.to_owned())?;
        self.ask(request).await.map(drop)
    }

    /// The versions of an object and of those below it, by key, the latest first.
    ///
    /// # Errors
    /// `s3.too_many` beyond `limit`, `s3.not_supported`, and what the store says.
    pub async fn versions(&self, prefix: &str, limit: usize) -> Result<Vec<Version>> {
        let prefix = prefix.trim_end_matches('/');
        let below = format!("{prefix}/");
        let mut found: Vec<Version> = Vec::new();
        let mut after: Option<(String, String)> = None;
        loop {
            let what = format!("list the versions of {below}");
            let mut request = Request::new(Method::GET, "", what)
                .query("versions", "")
                .query("prefix", prefix);
            if let Some((key, version)) = &after {
                request = request.query("key-marker", key);
                request = request.query("version-id-marker", version);
            }
            let answer = self.ask(request).await?;
            let listed: Listed = self.read_xml(&answer)?;
            let markers = listed
                .markers
                .into_iter()
                .map(|marker| marker.version(true));
            let versions = listed.versions.into_iter();
            let versions = versions.map(|version| version.version(false));
            found.extend(versions.chain(markers).filter(|version| {
                let key = &version.entry.key;
                prefix.is_empty() || *key == prefix || key.starts_with(&below)
            }));
            if found.len() > limit {
                return Err(Error::new(
                    "s3.too_many",
                    format!("there are more than {limit} versions below {prefix:?}"),
                )
                .hint("list those of a longer path"));
            }
            match (listed.is_truncated, listed.next_key_marker) {
                (true, Some(key)) => {
                    after = Some((key, listed.next_version_id_marker.unwrap_or_default()));
                }
                _ => break,
            }
        }
        found.sort_by(|a, b| {
            let newer = |version: &Version| (version.latest, version.entry.modified.instant());
            let by_key = a.entry.key.cmp(&b.entry.key);
            by_key.then_with(|| newer(b).cmp(&newer(a)))
        });
        Ok(found)
    }

    /// Delete a version for good.
    ///
    /// # Errors
    /// `s3.locked`, `s3.not_supported`, and what the store says.
    pub async fn delete_version(&self, key: &str, version: &str) -> Result<()> {
        let what = format!("delete the version {version} of {key}");
        let request = Request::new(Method::DELETE, key, what.clone()).version(Some(version));
        match self.ask(request).await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.about_locks(error, &what, key, Some(version)).await),
        }
    }

    /// Why something is refused, where it is for locks: not every server says so.
    async fn about_locks(
        &self,
        error: Error,
        what: &str,
        key: &str,
        version: Option<&str>,
    ) -> Error {
        if error.kind() == "s3.denied"
            && let Ok(Some(lock)) = self.locked(key, version).await
            && lock.until.instant() > Timestamp::now().instant()
        {
            let why = format!("it is locked until {}", lock.until);
            let hint = "wait until then; deleting an object without naming a version hides it";
            return could_not(what, self.place(), "s3.locked", &why, hint);
        }
        self.or_no_locks(error).await
    }

    /// An error, or that the bucket has no locks.
    async fn or_no_locks(&self, error: Error) -> Error {
        if error.kind() == "s3.failed"
            && !error.is_retryable()
            && let Err(none) = self.has_locks().await
            && none.kind() == "s3.no_locks"
        {
            return none;
        }
        error
    }

    /// Make an older version the latest one, as a copy of it: up to 5 GiB.
    ///
    /// # Errors
    /// `s3.not_found`, `s3.not_supported`, and what the store says.
    pub async fn bring_back(&self, key: &str, version: &str) -> Result<()> {
        let what = format!("bring back the version {version} of {key}");
        let request = Request::new(Method::PUT, key, what);
        let Place::S3(place) = self.place() else {
            return self.ask(request).await.map(drop);
        };
        let from = utf8_percent_encode(key, IN_A_PATH);
        // Names of versions have `+` in them, on some servers.
        let version = utf8_percent_encode(version, NON_ALPHANUMERIC);
        let source = format!("/{}/{from}?versionId={version}", place.bucket);
        let request = request.header("x-amz-copy-source", &source)?;
        self.ask(request).await.map(drop)
    }

    /// Make that a version, or the latest, can't be deleted or replaced for a while.
    ///
    /// # Errors
    /// `s3.no_locks` if the bucket was made without, `s3.locked` if it would be shortened, `s3.not_supported`, and what
    /// the store says.
    pub async fn lock(&self, key: &str, version: Option<&str>, lock: &Lock) -> Result<()> {
        let until = lock.until.instant().strftime("%Y-%m-%dT%H:%M:%SZ");
        let mode = lock.mode.name().to_ascii_uppercase();
        let body = format!(
            "<Retention xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Mode>{mode}</Mode><RetainUntilDate>{until}</RetainUntilDate></Retention>"
        );
        let what = format!("lock {key}");
        let request = Request::new(Method::PUT, key, what.clone());
        let request = request.query("retention", "").version(version);
        match self.ask(request.body(body)?).await {
            Ok(_) => Ok(()),
            Err(error) => Err(self.about_locks(error, &what, key, version).await),
        }
    }

    /// That the bucket has locks: before something is made that is to be locked.
    ///
    /// # Errors
    /// `s3.no_locks` if it has none, `s3.not_supported`, and what the store says.
    pub async fn has_locks(&self) -> Result<()> {
        let request = Request::new(Method::GET, "", "look for locks".to_owned());
        self.ask(request.query("object-lock", "")).await.map(drop)
    }

    /// Until when a version, or the latest, is locked, if it is.
    ///
    /// # Errors
    /// `s3.not_supported`, and what the store says.
    pub async fn locked(&self, key: &str, version: Option<&str>) -> Result<Option<Lock>> {
        let request = Request::new(Method::GET, key, format!("look at the lock of {key}"));
        let request = request.query("retention", "").version(version);
        let answer = match self.ask(request).await {
            Ok(answer) => answer,
            Err(error) => {
                let error = self.or_no_locks(error).await;
                return if error.kind() == "s3.no_locks" {
                    Ok(None)
                } else {
                    Err(error)
                };
            }
        };
        let retention: Retention = self.read_xml(&answer)?;
        Ok(Some(Lock {
            mode: retention.mode.parse()?,
            until: Timestamp::from_unix(retention.retain_until_date.as_second())?,
        }))
    }

    fn read_xml<T: DeserializeOwned>(&self, answer: &str) -> Result<T> {
        quick_xml::de::from_str(answer).map_err(|error| {
            Error::new(
                "s3.failed",
                format!("{} answers otherwise than S3 does: {error}", self.place()),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_versions_is_read_as_the_reference_has_it() {
        let listed: Listed = quick_xml::de::from_str(
            r#"<?xml version="1.0" encoding="UTF-8"?>
            <ListVersionsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
              <Name>bucket</Name><Prefix>my</Prefix><KeyMarker/><VersionIdMarker/><MaxKeys>5</MaxKeys><IsTruncated>true</IsTruncated>
              <NextKeyMarker>my&amp;key</NextKeyMarker><NextVersionIdMarker>one</NextVersionIdMarker>
              <Version><Key>my-image.jpg</Key><VersionId>3/L4kqtJl40Nr8X8gdRQBpUMLUo</VersionId><IsLatest>false</IsLatest>
                <LastModified>2009-10-12T17:50:30.000Z</LastModified><ETag>&quot;fba9dede5f27731c9771645a39863328&quot;</ETag><Size>434234</Size>
                <StorageClass>STANDARD</StorageClass><Owner><ID>75aa57</ID><DisplayName>a@b.example</DisplayName></Owner></Version>
              <DeleteMarker><Key>my-image.jpg</Key><VersionId>03jpff543dhffds434rfdsFDN943</VersionId><IsLatest>true</IsLatest>
                <LastModified>2009-11-12T17:50:30.000Z</LastModified><Owner><ID>75aa57</ID></Owner></DeleteMarker>
              <Version><Key>my&amp;key</Key><VersionId>null</VersionId><IsLatest>true</IsLatest>
                <LastModified>2009-10-10T17:50:30.000Z</LastModified><ETag>"x"</ETag><Size>0</Size></Version>
            </ListVersionsResult>"#,
        )
        .expect("it is read");
        assert!(listed.is_truncated);
        assert_eq!(listed.next_key_marker.as_deref(), Some("my&key"));
        assert_eq!((listed.versions.len(), listed.markers.len()), (2, 1));
        assert_eq!(listed.versions[0].size, Some(434_234));
        assert_eq!(listed.versions[1].key, "my&key");
        assert!(listed.markers[0].is_latest);
        let none: Versioning = quick_xml::de::from_str("<VersioningConfiguration/>").expect("read");
        assert_eq!(none.status, None);
    }
}
