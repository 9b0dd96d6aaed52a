//! The client of the environment.
#![allow(
    clippy::disallowed_methods,
    reason = "this is the client that the environment comes from"
)]

use std::env::VarError;

use ccrun_kernel::{Access, Client, Error, Result};

/// ccrun's own environment. It is only ever read.
pub struct Environment;

impl Client for Environment {
    async fn open(_access: &Access) -> Result<Self> {
        Ok(Self)
    }
}

impl Environment {
    /// The value of a variable, if it is set.
    ///
    /// # Errors
    /// `env.not_utf8`
    pub fn get(&self, name: &str) -> Result<Option<String>> {
        // The system's functions take no such names, and answer with a panic.
        if name.is_empty() || name.contains(['=', '\0']) {
            return Ok(None);
        }
        match std::env::var(name) {
            Ok(text) => Ok(Some(text)),
            Err(VarError::NotPresent) => Ok(None),
            Err(VarError::NotUnicode(_)) => Err(Error::new(
                "env.not_utf8",
                format!("the environment variable `{name}` is not UTF-8 text"),
            )
            .hint("set it anew where ccrun is started")),
        }
    }

    /// The names of all variables, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = std::env::vars_os()
            .filter_map(|(name, _)| name.into_string().ok())
            .collect();
        names.sort();
        names
    }
}
