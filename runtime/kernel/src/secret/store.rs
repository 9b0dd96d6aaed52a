//! Where secrets come from.

use std::collections::HashMap;
use std::sync::Arc;

use futures::future::BoxFuture;
use parking_lot::Mutex;

use super::{Redactor, Secret};
use crate::error::{Error, Result};
use crate::value::closest;

/// A place that keeps secrets: the environment, a file, Vault.
pub trait SecretSource: Send + Sync {
    /// What it is, for messages: `the environment`, `.env.production`.
    fn describe(&self) -> String;

    /// The text of a secret, if it is there.
    fn get<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<String>>>;

    /// The names that are there, for "did you mean".
    fn names(&self) -> BoxFuture<'_, Result<Vec<String>>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

/// The sources of a target, asked in order, and the redactor that learns what they gave.
#[derive(Clone)]
pub struct SecretStore(Arc<Inner>);

struct Inner {
    sources: Vec<Arc<dyn SecretSource>>,
    redactor: Redactor,
    found: Mutex<HashMap<String, Secret>>,
}

impl SecretStore {
    /// A store with these sources.
    #[must_use]
    pub fn new(sources: Vec<Arc<dyn SecretSource>>, redactor: Redactor) -> Self {
        Self(Arc::new(Inner {
            sources,
            redactor,
            found: Mutex::default(),
        }))
    }

    /// The secret with this name, from the first source that has it.
    ///
    /// # Errors
    /// `secret.not_found` naming the sources asked and the nearest name, or what a source says.
    pub async fn get(&self, name: &str) -> Result<Secret> {
        if let Some(secret) = self.0.found.lock().get(name) {
            return Ok(secret.clone());
        }
        for source in &self.0.sources {
            if let Some(text) = source.get(name).await? {
                let secret = Secret::new(name, text);
                self.0.redactor.add(&secret);
                self.0.found.lock().insert(name.to_owned(), secret.clone());
                return Ok(secret);
            }
        }
        Err(self.not_found(name).await)
    }

    /// The redactor that knows every secret that was asked for.
    #[must_use]
    pub fn redactor(&self) -> &Redactor {
        &self.0.redactor
    }

    /// The sources, in the order in which they are asked.
    #[must_use]
    pub fn describe(&self) -> Vec<String> {
        self.0
            .sources
            .iter()
            .map(|source| source.describe())
            .collect()
    }

    async fn not_found(&self, name: &str) -> Error {
        let mut names = Vec::new();
        for source in &self.0.sources {
            names.extend(source.names().await.unwrap_or_default());
        }
        let asked = match self.describe() {
            none if none.is_empty() => "no source is configured".to_owned(),
            asked => format!("asked: {}", asked.join(", ")),
        };
        let error = Error::new(
            "secret.not_found",
            format!("there is no secret `{name}` ({asked})"),
        );
        match closest(name, names.iter().map(String::as_str)) {
            Some(nearest) => error.hint(format!("did you mean `{nearest}`?")),
            None => error.hint(format!(
                "set the environment variable {name}, or `ccrun secret set {name}`"
            )),
        }
    }
}

/// The name in a reference such as `secret:NAME` or `slack:secret:NAME`.
#[must_use]
pub fn reference(text: &str) -> Option<&str> {
    let at = text.rfind("secret:")?;
    let begins = at == 0 || text[..at].ends_with(':');
    let name = &text[at + "secret:".len()..];
    let named = !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_alphanumeric() || "_-./".contains(c));
    (begins && named).then_some(name)
}
