//! Which mail server, and who sends.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration as StdDuration;

use ccrun_kernel::config::Target;
use ccrun_kernel::rhai::Dynamic;
use ccrun_kernel::value::{Duration, closest};
use ccrun_kernel::{Error, FromArg, Mismatch, Result};
use serde::Deserialize;

use crate::credential::Credential;

/// When TLS begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encryption {
    /// After a STARTTLS, without which nothing is sent (RFC 3207).
    StartTls,
    /// At once (RFC 8314).
    Implicit,
    /// Never.
    None,
}

impl Encryption {
    const NAMES: [&'static str; 3] = ["starttls", "implicit", "none"];

    /// The port that servers have for it: 587, 465, 25.
    #[must_use]
    pub fn port(self) -> u16 {
        match self {
            Self::StartTls => 587,
            Self::Implicit => 465,
            Self::None => 25,
        }
    }

    /// What is usual on a port.
    #[must_use]
    pub fn of_port(port: u16) -> Self {
        if port == 465 {
            Self::Implicit
        } else {
            Self::StartTls
        }
    }
}

impl FromArg for Encryption {
    fn type_name() -> String {
        "string".into()
    }

    fn from_arg(value: Dynamic) -> Result<Self, Mismatch> {
        match String::from_arg(value)?.as_str() {
            "starttls" => Ok(Self::StartTls),
            "implicit" => Ok(Self::Implicit),
            "none" => Ok(Self::None),
            other => Err(Mismatch::Value(match closest(other, Self::NAMES) {
                Some(nearest) => {
                    format!("`{other}` is no way to encrypt; did you mean `{nearest}`?")
                }
                None => format!(
                    "`{other}` is no way to encrypt: `starttls`, `implicit` (TLS from the start) or `none`"
                ),
            })),
        }
    }
}

/// A mail server as `ccrun.toml` names it: the section `smtp` of a target, and mail channels of alerts.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Section {
    /// A Compose service, found at the address of its container.
    pub service: Option<String>,
    /// A host name or an address.
    pub host: Option<String>,
    /// The port.
    pub port: Option<u16>,
    /// When TLS begins.
    pub tls: Option<Encryption>,
    /// The user.
    pub user: Option<String>,
    /// The password: `secret:NAME`.
    pub password: Option<String>,
    /// The sender.
    pub from: Option<String>,
    /// How ccrun introduces itself (EHLO).
    pub hello: Option<String>,
    /// A file with certificates to trust as well, as PEM.
    pub ca: Option<PathBuf>,
    /// How long each step may take.
    pub timeout: Option<String>,
}

/// A server, with all that it takes to send by it.
#[derive(Clone)]
pub struct Server {
    /// What permissions name: the Compose service if there is one, else the host.
    pub resource: String,
    /// Whether the host is only the name of a Compose service.
    pub is_service: bool,
    /// The host.
    pub host: String,
    /// The port.
    pub port: u16,
    /// When TLS begins.
    pub tls: Encryption,
    /// Who sends, if the server wants to know.
    pub login: Option<(String, Credential)>,
    /// How ccrun introduces itself.
    pub hello: Option<String>,
    /// Certificates to trust beside the system's, as PEM.
    pub ca: Option<Vec<u8>>,
    /// Trust any certificate.
    pub insecure: bool,
    /// How long each step may take.
    pub timeout: StdDuration,
}

impl Section {
    /// The target's, or an empty one.
    ///
    /// # Errors
    /// `config.section`
    pub fn of_target(target: &Target) -> Result<Self> {
        Ok(target.section::<Self>("smtp")?.unwrap_or_default())
    }

    /// What this leaves open, as `other` says.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        // Another host is not the one that the other place and password belong to.
        if self.host.is_some() || self.service.is_some() {
            return Self {
                from: self.from.or(other.from),
                hello: self.hello.or(other.hello),
                ..self
            };
        }
        Self {
            service: other.service,
            host: other.host,
            port: self.port.or(other.port),
            tls: self.tls.or(other.tls),
            user: self.user.or(other.user),
            password: self.password.or(other.password),
            from: self.from.or(other.from),
            hello: self.hello.or(other.hello),
            ca: self.ca.or(other.ca),
            timeout: self.timeout.or(other.timeout),
        }
    }

    /// The server that it names.
    ///
    /// # Errors
    /// `config.section` where no server is named.
    pub fn server(self, target: &Target) -> Result<Server> {
        let is_service = self.host.is_none() && self.service.is_some();
        let Some(host) = self.host.or_else(|| self.service.clone()) else {
            return Err(Error::new(
                "config.section",
                format!("the target {} has no mail server", target.name()),
            )
            .hint("add to its section in ccrun.toml: smtp = { host = \"mail.example.org\", user = \"ops\", password = \"secret:SMTP_PASSWORD\", from = \"ops@example.org\" }"));
        };
        let tls = match (self.tls, self.port) {
            (Some(tls), _) => tls,
            (None, Some(port)) => Encryption::of_port(port),
            (None, None) => Encryption::StartTls,
        };
        let login = match (self.user, self.password) {
            (Some(user), Some(password)) => Some((user, Credential::of_config(&password))),
            (None, None) => None,
            _ => {
                return Err(Error::new(
                    "config.section",
                    "a mail server has one of user and password",
                )
                .hint("give both, or none"));
            }
        };
        let timeout = match &self.timeout {
            Some(text) => text.parse::<Duration>()?.to_std(),
            None => StdDuration::from_secs(10),
        };
        Ok(Server {
            resource: self.service.unwrap_or_else(|| host.clone()),
            is_service,
            host,
            port: self.port.unwrap_or_else(|| tls.port()),
            tls,
            login,
            hello: self.hello,
            ca: None,
            insecure: false,
            timeout,
        })
    }
}

/// `mail.example.org:587`.
impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_service {
            true => write!(f, "the service {} (port {})", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}
