//! What scripts give to be written: a string, a blob or a secret.

use ccrun_kernel::rhai::Dynamic;
use ccrun_kernel::secret::Secret;
use ccrun_kernel::{Bytes, FromArg, MaybeSecret, Mismatch};

/// Bytes from a string, a blob or a [`Secret`].
#[derive(Clone)]
pub struct Content {
    bytes: Vec<u8>,
    secret: bool,
}

impl Content {
    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether they must not be shown.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        self.secret
    }
}

impl FromArg for Content {
    fn type_name() -> String {
        "string, blob or Secret".into()
    }

    fn from_arg(value: Dynamic) -> Result<Self, Mismatch> {
        if value.is_blob() {
            return Bytes::from_arg(value).map(|Bytes(bytes)| Self {
                bytes,
                secret: false,
            });
        }
        let secret = value.is::<Secret>();
        if !secret && !value.is_string() {
            return Err(Mismatch::of::<Self>(&value));
        }
        let text = MaybeSecret::from_arg(value)?;
        Ok(Self {
            bytes: text.expose().as_bytes().to_vec(),
            secret,
        })
    }
}
