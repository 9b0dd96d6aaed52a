//! How requests are made.

use ccrun_kernel::rhai::{Dynamic, Map};
use ccrun_kernel::value::{Duration, Size};
use ccrun_kernel::{MaybeSecret, Options, Result};
use indexmap::IndexMap;
use reqwest::Method;

use super::body::{self, Body};
use crate::files::Content;
use crate::web::{Address, Connection, Expect, Intent, Request};

/// A user name and a password.
#[derive(Clone, Options)]
pub struct Basic {
    /// The user name.
    pub(super) user: String,
    /// The password.
    pub(super) password: MaybeSecret,
}

/// How a request is made.
#[derive(Clone, Options)]
pub struct RequestOptions {
    /// Headers; their values may be secrets.
    pub(super) headers: Option<IndexMap<String, MaybeSecret>>,
    /// More for the query of the URL; an array repeats its key.
    pub(super) query: Option<Map>,
    /// Send this value as JSON. Secrets in it are welcome.
    pub(super) json: Option<Dynamic>,
    /// Send these fields as an HTML form does. Secrets in it are welcome.
    pub(super) form: Option<Map>,
    /// Send these bytes as they are.
    pub(super) body: Option<Content>,
    /// A token, sent as `Authorization: Bearer …` (RFC 6750).
    pub(super) bearer: Option<MaybeSecret>,
    /// User name and password for basic authentication: `#{ user, password }`.
    pub(super) basic: Option<Basic>,
    /// How long one attempt may take, body included.
    #[option(default = "30s")]
    pub(super) timeout: Duration,
    /// How long connecting may take.
    #[option(default = "10s")]
    pub(super) connect_timeout: Duration,
    /// How often to try again when the server can't be reached, or answers 408, 429, 502, 503 or 504.
    /// Without it: 2 for what only reads, 0 for changes, which might be done twice.
    pub(super) retries: Option<u32>,
    /// How long to wait before the first retry; doubled each time, at most 30 s. A `Retry-After` of the
    /// server's goes before it.
    #[option(default = "500ms")]
    pub(super) backoff: Duration,
    /// Fail (`http.status`) if the status is 400 or above.
    #[option(default = "true")]
    pub(super) check: bool,
    /// The only statuses that are no error: `[200, 404]`.
    pub(super) expect: Option<Vec<u16>>,
    /// Follow redirects to the same host.
    #[option(default = "true")]
    pub(super) follow: bool,
    /// The most that is read of the body.
    #[option(default = "8MiB")]
    pub(super) max_body: Size,
    /// Certificates to trust beside the system's, as PEM: `fs::read("ca.pem")`.
    pub(super) ca: Option<Content>,
    /// Trust any certificate. Whoever sits between you and the server can then read and change
    /// everything: for a look at a broken certificate, not for work.
    #[option(default = "false")]
    pub(super) insecure: bool,
    /// Connect to this address, `"127.0.0.1"` or `"127.0.0.1:8443"`, whatever the URL's host resolves to:
    /// for asking a server about a name before the DNS points to it.
    pub(super) connect_to: Option<String>,
}

/// How a file is fetched.
#[derive(Clone, Options)]
pub struct DownloadOptions {
    /// The SHA-256 that it must have, in hexadecimal.
    pub(super) sha256: Option<String>,
    /// The file's mode, such as `"0755"`.
    pub(super) mode: Option<crate::files::Mode>,
    /// Headers; their values may be secrets.
    pub(super) headers: Option<IndexMap<String, MaybeSecret>>,
    /// A token, sent as `Authorization: Bearer …`.
    pub(super) bearer: Option<MaybeSecret>,
    /// User name and password: `#{ user, password }`.
    pub(super) basic: Option<Basic>,
    /// How long the server may be silent.
    #[option(default = "60s")]
    pub(super) idle_timeout: Duration,
    /// How often to go on after a broken connection, from where it broke where the server allows.
    #[option(default = "5")]
    pub(super) retries: u32,
    /// How long to wait before the first retry; doubled each time.
    #[option(default = "500ms")]
    pub(super) backoff: Duration,
    /// Certificates to trust beside the system's, as PEM.
    pub(super) ca: Option<Content>,
}

/// How a file is sent.
#[derive(Clone, Options)]
pub struct UploadOptions {
    /// The method.
    #[option(default = "PUT")]
    pub(super) method: String,
    /// Headers; their values may be secrets.
    pub(super) headers: Option<IndexMap<String, MaybeSecret>>,
    /// A token, sent as `Authorization: Bearer …`.
    pub(super) bearer: Option<MaybeSecret>,
    /// User name and password: `#{ user, password }`.
    pub(super) basic: Option<Basic>,
    /// How long the whole may take.
    #[option(default = "1h")]
    pub(super) timeout: Duration,
    /// How often to try again from the beginning.
    #[option(default = "0")]
    pub(super) retries: u32,
    /// How long to wait before the first retry; doubled each time.
    #[option(default = "500ms")]
    pub(super) backoff: Duration,
    /// Fail (`http.status`) if the status is 400 or above.
    #[option(default = "true")]
    pub(super) check: bool,
    /// Certificates to trust beside the system's, as PEM.
    pub(super) ca: Option<Content>,
}

/// How a server is waited for.
#[derive(Clone, Options)]
pub struct WaitOptions {
    /// How long to wait altogether.
    #[option(default = "60s")]
    pub(super) timeout: Duration,
    /// How long between two attempts.
    #[option(default = "1s")]
    pub(super) interval: Duration,
    /// The status to wait for; without it, any below 400.
    pub(super) status: Option<u16>,
    /// A text that the body must contain.
    pub(super) contains: Option<String>,
    /// Headers; their values may be secrets.
    pub(super) headers: Option<IndexMap<String, MaybeSecret>>,
    /// A token, sent as `Authorization: Bearer …`.
    pub(super) bearer: Option<MaybeSecret>,
    /// User name and password: `#{ user, password }`.
    pub(super) basic: Option<Basic>,
    /// How long one attempt may take.
    #[option(default = "5s")]
    pub(super) attempt_timeout: Duration,
    /// Certificates to trust beside the system's, as PEM.
    pub(super) ca: Option<Content>,
    /// Trust any certificate.
    #[option(default = "false")]
    pub(super) insecure: bool,
    /// Connect to this address, whatever the URL's host resolves to.
    pub(super) connect_to: Option<String>,
}

impl RequestOptions {
    /// The request that these make.
    ///
    /// # Errors
    /// `http.invalid_request`
    pub fn request(
        &self,
        method: Method,
        intent: Intent,
        address: &Address,
        retries: u32,
    ) -> Result<Request> {
        let body = self.content()?;
        let headers = body::headers(
            self.headers.as_ref(),
            self.bearer.as_ref(),
            self.basic.as_ref(),
            address,
            body.as_ref().and_then(|body| body.content_type),
        )?;
        let query = self.query.as_ref().map_or(Ok(Vec::new()), body::pairs)?;
        let host = address.url().host_str().unwrap_or_default();
        Ok(Request {
            headers,
            body: body.map(|Body { bytes, .. }| bytes),
            connection: self.connection(host),
            timeout: self.timeout.to_std(),
            retries,
            backoff: self.backoff.to_std(),
            expect: match &self.expect {
                Some(expected) => Expect::These(expected.clone()),
                None if self.check => Expect::Success,
                None => Expect::Any,
            },
            follow: self.follow,
            max_body: self.max_body,
            ..Request::new(method, intent, address.with_query(&query))
        })
    }

    /// What the connection is made of.
    fn connection(&self, host: &str) -> Connection {
        Connection {
            connect_timeout: self.connect_timeout.to_std(),
            ca: self.ca.as_ref().map(|ca| ca.bytes().to_vec()),
            insecure: self.insecure,
            connect_to: self
                .connect_to
                .clone()
                .map(|address| (host.to_owned(), address)),
            ..Connection::default()
        }
    }
}
