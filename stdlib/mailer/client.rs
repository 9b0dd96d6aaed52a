//! The client: connections to mail servers.
#![allow(
    clippy::disallowed_methods,
    reason = "this is the client that connections to mail servers come from"
)]

use std::path::Path;

use ccrun_kernel::{Access, Client, Error, Result};
use tokio::net::TcpStream;

use super::letter::Letter;
use super::server::Server;
use super::session::{Delivery, Report, Session};
use crate::service;

/// Who speaks to mail servers in a run, for one right.
pub struct Mailer {
    access: Access,
}

impl Client for Mailer {
    async fn open(access: &Access) -> Result<Self> {
        // Somebody else may have installed it already: it is the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Ok(Self {
            access: access.clone(),
        })
    }
}

impl Mailer {
    /// Go through a session without sending anything: EHLO, STARTTLS, AUTH, QUIT.
    ///
    /// # Errors
    /// What the first step says that fails.
    pub async fn check(&self, server: &Server) -> Result<Report> {
        let mut session = Session::open(self, server).await?;
        session.log_in(&self.access).await?;
        Ok(session.quit().await)
    }

    /// Send a letter.
    ///
    /// # Errors
    /// `read_only` where nothing may be sent; what the first step says that fails.
    pub async fn send(&self, server: &Server, letter: &Letter) -> Result<Delivery> {
        if self.access.read_only() {
            return Err(Error::new(
                "read_only",
                format!("{server}: no mail is sent where nothing may change"),
            )
            .hint("this is a dry run, or a primitive that only reads"));
        }
        let mut session = Session::open(self, server).await?;
        session.log_in(&self.access).await?;
        session.deliver(letter).await
    }

    /// Where a server is now: a container that was made again has another address.
    pub(super) async fn address(&self, server: &Server) -> Result<(String, u16)> {
        if server.is_service {
            let found = service::address(&self.access, "smtp", &server.host, server.port).await?;
            if let Some(found) = found {
                return Ok(found);
            }
        }
        Ok((server.host.clone(), server.port))
    }

    /// A connection without TLS.
    pub(super) async fn connect(&self, host: &str, port: u16) -> std::io::Result<TcpStream> {
        TcpStream::connect((host, port)).await
    }

    /// The certificates of a file that the configuration names.
    ///
    /// # Errors
    /// `config.section`
    pub fn read_ca(&self, path: &Path) -> Result<Vec<u8>> {
        let path = self.access.target().folder().join(path);
        std::fs::read(&path).map_err(|error| {
            Error::new(
                "config.section",
                format!("`ca` of a mail server: {}: {error}", path.display()),
            )
            .hint("it names a PEM file, relative to ccrun.toml")
        })
    }
}
