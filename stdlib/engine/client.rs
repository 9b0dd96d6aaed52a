//! The client of a Docker engine.
#![allow(
    clippy::disallowed_methods,
    reason = "this is the client that the engine's connection comes from"
)]

use std::path::Path;

use bollard::{API_DEFAULT_VERSION, Docker};
use ccrun_kernel::config::Target;
use ccrun_kernel::{Access, Client, Error, Result};

use super::failure::{failed, refused_over_there};
use super::host::Host;
use super::tunnel::Tunnel;

/// Seconds that the engine may be silent: long, because an image takes its time; the deadline of the
/// step and the primitives' own timeouts are what bounds a call.
const SILENCE: u64 = 3600;

/// A connection to a Docker engine, with the API version that both sides know.
pub struct Engine {
    docker: Docker,
    host: Host,
    read_only: bool,
    _tunnel: Option<Tunnel>,
}

impl Client for Engine {
    async fn open(access: &Access) -> Result<Self> {
        let engine = Self::of_target(access.target()).await?;
        Ok(Self {
            read_only: access.read_only(),
            ..engine
        })
    }
}

impl Engine {
    /// The engine of a target, for reading only.
    ///
    /// # Errors
    /// `docker.*` if it can't be reached.
    pub async fn of_target(target: &Target) -> Result<Self> {
        let host = Host::find(target, |name| {
            std::env::var(name).ok().filter(|text| !text.is_empty())
        })?;
        let tunnel = match host.address.starts_with("ssh://") {
            true => Some(Tunnel::open(&host).await?),
            false => None,
        };
        let negotiated = connect(&host, tunnel.as_ref())?.negotiate_version().await;
        let docker = negotiated.map_err(|error| {
            match tunnel
                .as_ref()
                .map(Tunnel::said)
                .filter(|said| !said.is_empty())
            {
                Some(said) => refused_over_there(&host, &said),
                None => failed(&host, "ask for its version", error),
            }
        })?;
        Ok(Self {
            docker,
            host,
            read_only: true,
            _tunnel: tunnel,
        })
    }

    /// For calls that only read.
    #[must_use]
    pub fn read(&self) -> &Docker {
        &self.docker
    }

    /// For calls that change something.
    ///
    /// # Errors
    /// `read_only` where nothing may change.
    pub fn write(&self, what: &str) -> Result<&Docker> {
        match self.read_only {
            true => Err(Error::new(
                "read_only",
                format!("can't {what} where nothing may change"),
            )),
            false => Ok(&self.docker),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// An error of this engine. `what` was tried: `stop the container web`.
    #[must_use]
    pub fn failed(&self, what: &str, error: bollard::errors::Error) -> Error {
        failed(&self.host, what, error)
    }
}

fn connect(host: &Host, tunnel: Option<&Tunnel>) -> Result<Docker> {
    if let Some(tunnel) = tunnel {
        let socket = tunnel.socket().to_string_lossy();
        return Docker::connect_with_unix(&socket, SILENCE, API_DEFAULT_VERSION)
            .map_err(|error| failed(host, "reach it", error));
    }
    let connected = match (host.address.split_once("://"), &host.tls) {
        (Some(("unix", path)), _) => {
            if !Path::new(path).exists() {
                return Err(failed(
                    host,
                    "reach it",
                    std::io::Error::from(std::io::ErrorKind::NotFound).into(),
                ));
            }
            Docker::connect_with_unix(path, SILENCE, API_DEFAULT_VERSION)
        }
        (Some(("tcp" | "https", _)), Some(tls)) => {
            // Somebody else may have installed it already: it is the same one.
            let _ = rustls::crypto::ring::default_provider().install_default();
            Docker::connect_with_ssl(
                &host.address,
                &tls.key,
                &tls.cert,
                &tls.ca,
                SILENCE,
                API_DEFAULT_VERSION,
            )
        }
        (Some(("tcp" | "http", _)), None) => {
            Docker::connect_with_http(&host.address, SILENCE, API_DEFAULT_VERSION)
        }
        _ => {
            return Err(Error::new(
                "docker.address",
                format!(
                    "`{}` (from {}) is no address of a Docker engine",
                    host.address, host.origin
                ),
            )
            .hint("write unix:///var/run/docker.sock, tcp://host:2376 or ssh://user@host"));
        }
    };
    connected.map_err(|error| failed(host, "reach it", error))
}
