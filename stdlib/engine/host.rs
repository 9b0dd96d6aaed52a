//! Where an engine is.

use std::path::PathBuf;

use ccrun_kernel::config::Target;
use ccrun_kernel::{Error, Result};
use serde::Deserialize;

use super::context;

/// The socket of the engine on this machine.
const LOCAL: &str = "unix:///var/run/docker.sock";

/// An engine's address, and the certificates for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// `unix:///path`, `tcp://host:port`, `ssh://user@host`.
    pub address: String,
    /// The files for TLS.
    pub tls: Option<Tls>,
    /// Who said so, for messages.
    pub origin: String,
}

/// The files for TLS: the authority's certificate, our certificate, our key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The authority that the engine's certificate is checked with.
    pub ca: PathBuf,
    /// Our certificate.
    pub cert: PathBuf,
    /// Our key.
    pub key: PathBuf,
}

impl Tls {
    /// The files as the Docker CLI names them in a folder.
    pub(super) fn in_folder(folder: &std::path::Path) -> Self {
        Self {
            ca: folder.join("ca.pem"),
            cert: folder.join("cert.pem"),
            key: folder.join("key.pem"),
        }
    }
}

/// `docker` of a target.
#[derive(Deserialize)]
#[serde(untagged)]
enum Section {
    Address(String),
    Table(Table),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    host: String,
    ca: Option<PathBuf>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
}

impl Host {
    /// The engine of a target. `environment` looks up `DOCKER_HOST` and its companions.
    ///
    /// # Errors
    /// `config.section`, `docker.context`
    pub fn find(target: &Target, environment: impl Fn(&str) -> Option<String>) -> Result<Self> {
        if let Some(section) = target.section::<Section>("docker")? {
            return of_section(section, target);
        }
        if let Some(address) = environment("DOCKER_HOST") {
            let tls = match environment("DOCKER_TLS_VERIFY").is_some() {
                true => environment("DOCKER_CERT_PATH")
                    .map(PathBuf::from)
                    .or_else(|| std::env::home_dir().map(|home| home.join(".docker")))
                    .map(|folder| Tls::in_folder(&folder)),
                false => None,
            };
            return Ok(Self {
                address,
                tls,
                origin: "DOCKER_HOST".to_owned(),
            });
        }
        if let Some(host) = context::current(&environment)? {
            return Ok(host);
        }
        Ok(Self {
            address: LOCAL.to_owned(),
            tls: None,
            origin: "the local socket".to_owned(),
        })
    }

    /// The variables that let the Docker CLI speak to the same engine.
    #[must_use]
    pub fn environment(&self) -> Vec<(String, String)> {
        let mut variables = vec![("DOCKER_HOST".to_owned(), self.address.clone())];
        if let Some(folder) = self.tls.as_ref().and_then(|tls| tls.ca.parent()) {
            variables.push(("DOCKER_TLS_VERIFY".to_owned(), "1".to_owned()));
            variables.push(("DOCKER_CERT_PATH".to_owned(), folder.display().to_string()));
        }
        variables
    }
}

fn of_section(section: Section, target: &Target) -> Result<Host> {
    let origin = format!("`docker` of [target.{}]", target.name());
    let table = match section {
        Section::Address(address) => {
            return Ok(Host {
                address,
                tls: None,
                origin,
            });
        }
        Section::Table(table) => table,
    };
    let tls = match (table.ca, table.cert, table.key) {
        (None, None, None) => None,
        (Some(ca), Some(cert), Some(key)) => Some(Tls {
            ca: target.folder().join(ca),
            cert: target.folder().join(cert),
            key: target.folder().join(key),
        }),
        _ => {
            return Err(Error::new(
                "config.section",
                format!("{origin} needs `ca`, `cert` and `key` for TLS, all three"),
            ));
        }
    };
    Ok(Host {
        address: table.host,
        tls,
        origin,
    })
}
