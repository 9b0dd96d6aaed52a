//! Secrets in the environment of ccrun.

use ccrun_kernel::secret::SecretSource;
use ccrun_kernel::{BoxFuture, Error, Result};

/// The environment.
pub struct Environment;

impl SecretSource for Environment {
    fn describe(&self) -> String {
        "the environment".to_owned()
    }

    fn get<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<String>>> {
        Box::pin(async move {
            let value = std::env::var_os(name).filter(|value| !value.is_empty());
            value
                .map(|value| {
                    value.into_string().map_err(|_| {
                        Error::new(
                            "secret.unreadable",
                            format!("the environment variable {name} is no UTF-8 text"),
                        )
                    })
                })
                .transpose()
        })
    }

    fn names(&self) -> BoxFuture<'_, Result<Vec<String>>> {
        // `vars` panics where any variable is no UTF-8.
        Box::pin(async {
            Ok(std::env::vars_os()
                .filter_map(|(name, _)| name.into_string().ok())
                .collect())
        })
    }
}
