//! Where secrets come from: the environment, a `.env` file, an age-encrypted file, Docker secrets,
//! HashiCorp Vault.
#![allow(
    clippy::disallowed_methods,
    reason = "sources are opened by the host, before any script runs; scripts reach them only through the wrapper"
)]

mod age_file;
mod age_key;
mod docker;
mod dotenv;
mod environment;
#[cfg(test)]
mod tests;
mod vault;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ccrun_kernel::secret::SecretSource;
use ccrun_kernel::value::closest;
use ccrun_kernel::{Error, Result};
use serde::Deserialize;

pub use age_file::{AgeConfig, AgeFile};
pub use age_key::generate_identity;
pub use vault::VaultConfig;

use docker::DockerSecrets;
use dotenv::EnvFile;
use environment::Environment;
use vault::Vault;

/// `[target.X.secrets]` in ccrun.toml.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SecretsConfig {
    /// The order in which the sources are asked: `environment`, `env_file`, `age`, `docker`, `vault`.
    pub order: Option<Vec<String>>,
    /// The `.env` file; `.env` beside ccrun.toml by default.
    pub env_file: Option<PathBuf>,
    /// The age-encrypted file.
    pub age: AgeConfig,
    /// The folder of Docker secrets; `/run/secrets` by default.
    pub docker_dir: Option<PathBuf>,
    /// HashiCorp Vault.
    pub vault: Option<VaultConfig>,
}

/// The names of the sources, in their default order.
const SOURCES: [&str; 5] = ["environment", "env_file", "age", "docker", "vault"];

/// Sources in the order in which they are asked.
pub type Sources = Vec<Arc<dyn SecretSource>>;

/// The sources of a target, in order, and what the operator should know about them.
///
/// # Errors
/// `secret.config` for an unknown source, and what a file that is named and can't be used says.
pub fn sources(config: &SecretsConfig, base: &Path) -> Result<(Sources, Vec<String>)> {
    let order: Vec<&str> = match &config.order {
        Some(order) => order.iter().map(String::as_str).collect(),
        None => SOURCES.to_vec(),
    };
    let mut sources = Sources::new();
    let mut warnings = Vec::new();
    for name in order {
        match name {
            "environment" => sources.push(Arc::new(Environment)),
            "env_file" => {
                let path = base.join(config.env_file.as_deref().unwrap_or(Path::new(".env")));
                if let Some(file) = EnvFile::open(&path)? {
                    warnings.extend_from_slice(file.warnings());
                    sources.push(Arc::new(file));
                } else if config.env_file.is_some() {
                    // No error: something has to be able to make it.
                    warnings.push(format!(
                        "{} is not there: `ccrun secrets` makes it from the stack's template",
                        path.display()
                    ));
                }
            }
            "age" => {
                let file = AgeFile::new(&config.age, base);
                if file.exists() {
                    sources.push(Arc::new(file));
                } else if config.age.file.is_some() {
                    // No error: `ccrun secret set` makes it.
                    warnings.push(format!(
                        "{} is not there: `ccrun secret set NAME` makes it",
                        file.path().display()
                    ));
                }
            }
            "docker" => {
                let folder = base.join(
                    config
                        .docker_dir
                        .as_deref()
                        .unwrap_or(Path::new("/run/secrets")),
                );
                if folder.is_dir() {
                    sources.push(Arc::new(DockerSecrets::new(folder)));
                } else if config.docker_dir.is_some() {
                    return Err(not_there(&folder, "docker_dir"));
                }
            }
            "vault" => match &config.vault {
                Some(vault) => {
                    let mut vault = vault.clone();
                    vault.token_file = vault.token_file.map(|file| base.join(file));
                    sources.push(Arc::new(Vault::new(vault)?));
                }
                None if config.order.is_some() => {
                    return Err(Error::new(
                        "secret.config",
                        "`order` in [target.X.secrets] names Vault, which is not configured",
                    )
                    .hint("vault = { address = \"https://…\", path = \"…\" }"));
                }
                None => {}
            },
            other => {
                let error = Error::new(
                    "secret.config",
                    format!("there is no secret source `{other}`"),
                );
                return Err(match closest(other, SOURCES) {
                    Some(nearest) => error.hint(format!("did you mean `{nearest}`?")),
                    None => error.hint(format!("the sources are {}", SOURCES.join(", "))),
                });
            }
        }
    }
    Ok((sources, warnings))
}

fn not_there(path: &Path, key: &str) -> Error {
    Error::new("secret.config", format!("{} is not there", path.display()))
        .hint(format!("`{key}` in [target.X.secrets] names it"))
}

/// The age file of a target, for `ccrun secret`.
///
/// # Errors
/// None today; reading it may fail later.
pub fn open_age_file(config: &SecretsConfig, base: &Path) -> Result<AgeFile> {
    Ok(AgeFile::new(&config.age, base))
}
