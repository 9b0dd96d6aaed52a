//! A text that may be a secret, or the name of one: `password = "secret:REDIS_PASSWORD"` of a target.

use ccrun_kernel::secret::{Redactor, Secret, reference};
use ccrun_kernel::{Access, MaybeSecret, Result};

/// A password, token or URL, known or still to be asked for.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Credential {
    /// It is known.
    Known(String),
    /// The secret with this name, asked for when it is needed.
    Reference(String),
}

impl Credential {
    /// As it stands in `ccrun.toml`: `secret:NAME`, or the text itself.
    #[must_use]
    pub fn of_config(text: &str) -> Self {
        match reference(text) {
            Some(name) => Self::Reference(name.to_owned()),
            None => Self::Known(text.to_owned()),
        }
    }

    /// As a script gives it. `redactor` learns it, also where the script gives plain text.
    #[must_use]
    pub fn of_script(given: &MaybeSecret, what: &str, redactor: &Redactor) -> Self {
        if let MaybeSecret::Plain(text) = given {
            redactor.add(&Secret::new(what, text.as_str()));
        }
        Self::Known(given.expose().to_owned())
    }

    /// The text, which the redactor knows from here on.
    ///
    /// # Errors
    /// `secret.not_found`, and what the sources say.
    pub async fn resolve(&self, access: &Access, what: &str) -> Result<Secret> {
        match self {
            Self::Known(text) => {
                let secret = Secret::new(what, text.as_str());
                access.secrets().redactor().add(&secret);
                Ok(secret)
            }
            Self::Reference(name) => access.secret(name).await,
        }
    }
}

/// Without the text.
impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Known(_) => f.write_str("a secret"),
            Self::Reference(name) => write!(f, "secret:{name}"),
        }
    }
}
