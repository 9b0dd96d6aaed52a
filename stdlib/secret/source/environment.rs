//! Secrets in the environment of ccrun.

use ccrun_kernel::secret::SecretSource;
use ccrun_kernel::{BoxFuture, Result};

/// The environment.
pub struct Environment;

impl SecretSource for Environment {
    fn describe(&self) -> String {
        "the environment".to_owned()
    }

    fn get<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<String>>> {
        Box::pin(async move { Ok(std::env::var(name).ok().filter(|value| !value.is_empty())) })
    }

    fn names(&self) -> BoxFuture<'_, Result<Vec<String>>> {
        Box::pin(async { Ok(std::env::vars().map(|(name, _)| name).collect()) })
    }
}
