//! Which store is meant.

use std::fmt;
use std::path::PathBuf;

use ccrun_kernel::secret::Secret;

/// Where objects are kept.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Place {
    /// A bucket.
    S3(S3Place),
    /// A folder of this machine.
    Folder(PathBuf),
}

/// A bucket on a server that speaks S3.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct S3Place {
    /// The server, `https://s3.example.org`; AWS without it.
    pub endpoint: Option<String>,
    /// The region; `us-east-1` where the server has none.
    pub region: String,
    /// The bucket.
    pub bucket: String,
    /// Who asks.
    pub keys: Keys,
    /// Whether the bucket is in the path of a request, not in its host name.
    pub path_style: bool,
    /// How long it may be silent in the middle of an answer.
    pub timeout: std::time::Duration,
}

/// An access key and the secret that goes with it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Keys {
    /// None: what everybody may see.
    Anonymous,
    /// They are known.
    Known(String, String),
    /// Names of secrets, or the text itself where it is no reference (`secret:NAME`).
    References(String, String),
}

impl Place {
    /// What permissions name.
    #[must_use]
    pub fn resource(&self) -> String {
        match self {
            Self::S3(place) => place.bucket.clone(),
            Self::Folder(folder) => folder.display().to_string(),
        }
    }
}

impl Keys {
    /// The keys as scripts give them.
    #[must_use]
    pub fn known(access: &str, secret: &Secret) -> Self {
        Self::Known(access.to_owned(), secret.expose().to_owned())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::S3(place) => match &place.endpoint {
                Some(endpoint) => write!(f, "the bucket {} at {endpoint}", place.bucket),
                None => write!(f, "the bucket {} ({})", place.bucket, place.region),
            },
            Self::Folder(folder) => write!(f, "{}", folder.display()),
        }
    }
}

/// Without the keys.
impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
