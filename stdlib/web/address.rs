//! Where a request goes.

use std::fmt;

use ccrun_kernel::rhai::Dynamic;
use ccrun_kernel::secret::Secret;
use ccrun_kernel::{FromArg, MaybeSecret, Mismatch};
use url::Url;

/// An `http` or `https` URL. User name and password in it become basic authentication (RFC 7617); they
/// are never shown, nor is a URL that is a secret as a whole, as those of chat webhooks are.
#[derive(Clone)]
pub struct Address {
    url: Url,
    credentials: Option<(String, String)>,
    secret: Option<Secret>,
}

impl Address {
    /// Read the text of a URL. Whatever stands in it may be a password: it is not repeated in the error.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(given: MaybeSecret) -> Result<Self, String> {
        let wrong = |what: &str| format!("this is not the URL of a server: {what}");
        let text = given.expose().trim();
        let mut url = match Url::parse(text) {
            Ok(url) => url,
            Err(url::ParseError::RelativeUrlWithoutBase) => {
                return Err(wrong(
                    "it begins with no scheme; write `https://host/path` or `http://host:port/path`",
                ));
            }
            Err(error) => return Err(wrong(&error.to_string())),
        };
        if !matches!(url.scheme(), "http" | "https") {
            let hint = match url.scheme() {
                "s3" => " (for object storage there is `s3::bucket`)",
                "file" => " (for files there is `fs::read`)",
                _ => "",
            };
            let what = format!("`{}:` is neither `http:` nor `https:`{hint}", url.scheme());
            return Err(wrong(&what));
        }
        let credentials = (!url.username().is_empty() || url.password().is_some()).then(|| {
            let decode = |text: &str| {
                percent_encoding::percent_decode_str(text)
                    .decode_utf8_lossy()
                    .into_owned()
            };
            (
                decode(url.username()),
                decode(url.password().unwrap_or_default()),
            )
        });
        if credentials.is_some() {
            // Neither can fail: the URL has a host.
            let _ = url.set_username("");
            let _ = url.set_password(None);
        }
        let secret = match given {
            MaybeSecret::Secret(secret) => Some(secret),
            MaybeSecret::Plain(_) => None,
        };
        Ok(Self {
            url,
            credentials,
            secret,
        })
    }

    /// The URL, without user name and password.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The user name and the password that stood in it.
    #[must_use]
    pub fn credentials(&self) -> Option<(&str, &str)> {
        self.credentials
            .as_ref()
            .map(|(user, password)| (user.as_str(), password.as_str()))
    }

    /// The host, with the port where that is not the scheme's own: what permissions name.
    #[must_use]
    pub fn authority(&self) -> String {
        authority(&self.url)
    }

    /// This address with more in its query.
    #[must_use]
    pub fn with_query(&self, pairs: &[(String, String)]) -> Self {
        let mut address = self.clone();
        if !pairs.is_empty() {
            address.url.query_pairs_mut().extend_pairs(pairs);
        }
        address
    }

    /// Another place on the same server.
    #[must_use]
    pub fn moved_to(&self, url: Url) -> Self {
        Self {
            url,
            ..self.clone()
        }
    }
}

/// The host of a URL, with the port where that is not the scheme's own.
pub fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// What people see of it.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.secret {
            Some(_) => write!(f, "{}://{}/…", self.url.scheme(), self.authority()),
            None => self.url.fmt(f),
        }
    }
}

impl FromArg for Address {
    fn type_name() -> String {
        "string or Secret".into()
    }

    fn from_arg(value: Dynamic) -> Result<Self, Mismatch> {
        Self::read(MaybeSecret::from_arg(value)?).map_err(Mismatch::Value)
    }
}
