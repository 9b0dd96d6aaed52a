//! Requests of S3's API that `object_store` does not make: of buckets, versions and locks.
#![allow(
    clippy::disallowed_methods,
    reason = "this is a client of object stores, as in client.rs"
)]

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ccrun_kernel::{Error, Result};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use object_store::signer::{SignedUrlOptions, Signer as _};
use sha2::{Digest as _, Sha256};

use super::bucket::Bucket;
use super::failure::{UNREACHABLE, answered, could_not, failed};

/// How often it is tried.
const TRIES: u32 = 4;

/// What is asked of an object, or of the bucket if the key is empty.
pub(super) struct Request<'r> {
    /// For errors: `lock a/b`.
    pub what: String,
    pub method: Method,
    pub key: &'r str,
    pub query: Vec<(&'r str, &'r str)>,
    /// Other headers than those that go with every request.
    pub headers: HeaderMap,
    /// XML; empty for none.
    pub body: String,
}

impl<'r> Request<'r> {
    /// Without query, headers, body.
    pub fn new(method: Method, key: &'r str, what: String) -> Self {
        Self {
            what,
            method,
            key,
            query: Vec::new(),
            headers: HeaderMap::new(),
            body: String::new(),
        }
    }

    /// With a parameter in the query, which may have no value.
    pub fn query(mut self, name: &'r str, value: &'r str) -> Self {
        self.query.push((name, value));
        self
    }

    /// Of one version of an object, if one is named.
    pub fn version(self, version: Option<&'r str>) -> Self {
        match version {
            Some(version) => self.query("versionId", version),
            None => self,
        }
    }

    /// With a header.
    ///
    /// # Errors
    /// `s3.bad_option` for a value that no header can have.
    pub fn header(mut self, name: &'static str, value: &str) -> Result<Self> {
        let value = HeaderValue::from_str(value).map_err(|error| {
            Error::new("s3.bad_option", format!("`{value}` for {name}: {error}"))
        })?;
        self.headers.insert(HeaderName::from_static(name), value);
        Ok(self)
    }

    /// With a body, and its SHA-256, which S3 wants where a body says how long something is kept.
    ///
    /// # Errors
    /// None.
    pub fn body(mut self, body: String) -> Result<Self> {
        let hash = BASE64_STANDARD.encode(Sha256::digest(body.as_bytes()));
        self.body = body;
        self.header("x-amz-checksum-sha256", &hash)
    }
}

impl Bucket {
    /// Ask, several times if the server does not answer or has troubles of its own. Returns the body of the answer.
    ///
    /// # Errors
    /// `s3.not_supported` for a folder, and what the store says.
    pub(super) async fn ask(&self, request: Request<'_>) -> Result<String> {
        let signer = self.signer(&request.what)?;
        let path = self.path(request.key)?;
        let mut options = SignedUrlOptions::new().with_query(request.query.iter().copied());
        options.signed_headers = request.headers.clone();
        let mut tries = 0;
        loop {
            tries += 1;
            let valid = Duration::from_secs(60);
            let method = request.method.clone();
            let url = signer.signed_url_opts(method, &path, valid, &options).await;
            let url = url.map_err(|error| failed(self.place(), &request.what, error))?;
            let sent = self
                .http
                .get_or_init(reqwest::Client::new)
                .request(request.method.clone(), url.as_str().trim_end_matches('?'))
                .headers(request.headers.clone())
                .body(request.body.clone())
                .timeout(Duration::from_secs(30))
                .send()
                .await;
            let error = match sent {
                Ok(answer) => {
                    let status = answer.status();
                    match answer.text().await {
                        Ok(body) if status.is_success() => return Ok(body),
                        Ok(body) => answered(self.place(), &request.what, status, &body),
                        Err(error) => self.unreachable(&request.what, &error),
                    }
                }
                Err(error) => self.unreachable(&request.what, &error),
            };
            if tries == TRIES || !error.is_retryable() {
                return Err(error);
            }
            tokio::time::sleep(Duration::from_millis(200) * 2_u32.pow(tries)).await;
        }
    }

    fn unreachable(&self, what: &str, error: &reqwest::Error) -> Error {
        let why = crate::causes::deepest(error);
        could_not(what, self.place(), "s3.unreachable", &why, UNREACHABLE).retryable()
    }
}
