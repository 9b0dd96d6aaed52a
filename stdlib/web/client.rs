//! The client of HTTP.
#![allow(
    clippy::disallowed_methods,
    reason = "this is the client that HTTP connections come from"
)]

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ccrun_kernel::{Access, Client, Error, Result};
use parking_lot::Mutex;
use reqwest::{Certificate, Method};
use serde::Deserialize;

/// Connections to servers, kept and used again within a run.
pub struct Http {
    read_only: bool,
    /// What `[target.X.http]` trusts beside the system's certificates.
    ca: Option<Vec<u8>>,
    clients: Mutex<HashMap<Connection, reqwest::Client>>,
}

/// `[target.X.http]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    /// A file with certificates to trust, as PEM.
    ca: Option<std::path::PathBuf>,
}

/// What tells one connection from another.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Connection {
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long the server may be silent, where the whole has no bound.
    pub idle_timeout: Option<Duration>,
    /// Certificates to trust as well, as PEM.
    pub ca: Option<Vec<u8>>,
    /// Trust any certificate.
    pub insecure: bool,
    /// A host, and the address to take for it.
    pub connect_to: Option<(String, String)>,
    /// Take bodies as they come, without undoing their compression.
    pub as_it_is: bool,
}

impl Default for Connection {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            idle_timeout: None,
            ca: None,
            insecure: false,
            connect_to: None,
            as_it_is: false,
        }
    }
}

/// Whether a request may change something on the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent {
    /// It only asks, by what HTTP itself calls a safe method, or as the runbook's author declares.
    Ask,
    /// It changes something.
    Change,
}

impl Client for Http {
    async fn open(access: &Access) -> Result<Self> {
        // Somebody else may have installed it already: it is the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let ca = match access.target().section::<Section>("http")? {
            Some(Section { ca: Some(path) }) => {
                let path = access.target().folder().join(path);
                Some(std::fs::read(&path).map_err(|error| {
                    Error::new(
                        "config.section",
                        format!("`ca` of [target.*.http]: {}: {error}", path.display()),
                    )
                    .hint("it names a PEM file, relative to ccrun.toml")
                })?)
            }
            _ => None,
        };
        Ok(Self {
            read_only: access.read_only(),
            ca,
            clients: Mutex::default(),
        })
    }
}

impl Http {
    /// Refuse what would write where nothing may be written.
    ///
    /// # Errors
    /// `read_only`
    pub fn check(&self, method: &Method, intent: Intent) -> Result<()> {
        let safe = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
        if self.read_only && !safe && intent == Intent::Change {
            return Err(Error::new(
                "read_only",
                format!("a {method} request is not sent where nothing may change"),
            )
            .hint("if it only asks something, say so with `http::query`"));
        }
        Ok(())
    }

    /// The connections of this sort.
    ///
    /// # Errors
    /// `http.certificate`, `http.address`
    pub fn connections(&self, connection: &Connection) -> Result<reqwest::Client> {
        let mut clients = self.clients.lock();
        if let Some(client) = clients.get(connection) {
            return Ok(client.clone());
        }
        let client = self.connect(connection)?;
        clients.insert(connection.clone(), client.clone());
        Ok(client)
    }

    fn connect(&self, connection: &Connection) -> Result<reqwest::Client> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("ccrun/", env!("CARGO_PKG_VERSION")))
            // Redirects are ours to follow: another host is another permission.
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(connection.connect_timeout)
            .tls_danger_accept_invalid_certs(connection.insecure);
        if let Some(timeout) = connection.idle_timeout {
            builder = builder.read_timeout(timeout);
        }
        if connection.as_it_is {
            builder = builder.no_gzip();
        }
        for pem in self.ca.iter().chain(&connection.ca) {
            builder = builder.tls_certs_merge(certificates(pem)?);
        }
        if let Some((host, address)) = &connection.connect_to {
            builder = builder.resolve(host, socket(address)?);
        }
        builder
            .build()
            .map_err(|error| Error::new("http.failed", crate::causes::deepest(&error)))
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<Certificate>> {
    let wrong = |what: String| {
        Error::new("http.certificate", format!("`ca`: {what}")).hint(
            "give the text of a PEM file, `-----BEGIN CERTIFICATE-----` …, as by `fs::read(path)`",
        )
    };
    match Certificate::from_pem_bundle(pem) {
        Ok(found) if found.is_empty() => Err(wrong("there is no certificate in it".to_owned())),
        Ok(found) => Ok(found),
        Err(error) => Err(wrong(crate::causes::deepest(&error))),
    }
}

/// An address with or without a port; without one, the URL's.
fn socket(text: &str) -> Result<SocketAddr> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok(SocketAddr::new(address, 0));
    }
    text.parse().map_err(|_| {
        Error::new(
            "http.address",
            format!("`connect_to`: `{text}` is no IP address"),
        )
        .hint("write `127.0.0.1`, `127.0.0.1:8443` or `[::1]:8443`; `net::lookup` resolves names")
    })
}
