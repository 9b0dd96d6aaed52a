//! Which mail server, as scripts say it.

use ccrun_kernel::event::Level;
use ccrun_kernel::permission::ANYTHING;
use ccrun_kernel::value::Duration;
use ccrun_kernel::{Cx, Error, MaybeSecret, Options, Result};

use crate::credential::Credential;
use crate::files::Content;
use crate::mailer::{Encryption, Mailer, Section, Server};

/// How to reach a mail server. Without `host` and `service` it is the target's.
#[derive(Clone, Options)]
pub struct ServerOptions {
    /// A host name or an address.
    pub(super) host: Option<String>,
    /// A Compose service, found at the address of its container.
    pub(super) service: Option<String>,
    /// The port: 587, with TLS at once 465, without TLS 25.
    pub(super) port: Option<u16>,
    /// When TLS begins: `starttls`, `implicit` (at once) or `none`.
    pub(super) tls: Option<Encryption>,
    /// The user.
    pub(super) user: Option<String>,
    /// The password.
    pub(super) password: Option<MaybeSecret>,
    /// How ccrun introduces itself (EHLO): this machine's name if left out.
    pub(super) hello: Option<String>,
    /// How long each step may take: 10 s if left out.
    pub(super) timeout: Option<Duration>,
    /// Certificates to trust beside the system's, as PEM: `fs::read("ca.pem")`.
    pub(super) ca: Option<Content>,
    /// Trust any certificate. Whoever sits in between can then read the letter and the password.
    #[option(default = "false")]
    pub(super) insecure: bool,
}

impl ServerOptions {
    /// What permissions name, as far as the options say it; the target's server is asked for when it is known.
    pub fn resource(&self) -> String {
        let named = self.service.as_ref().or(self.host.as_ref());
        named.cloned().unwrap_or_else(|| ANYTHING.to_owned())
    }

    /// The server, and the sender that the target names.
    ///
    /// # Errors
    /// `config.section`, `permission_denied`, `smtp.bad_option`.
    pub async fn server(&self, cx: &Cx) -> Result<(Server, Option<String>)> {
        let target = Section::of_target(cx.target())?;
        let ca = match (&self.ca, &target.ca) {
            (Some(pem), _) => Some(pem.bytes().to_vec()),
            (None, Some(path)) => Some(cx.client::<Mailer>().await?.read_ca(path)?),
            (None, None) => None,
        };
        let given = Section {
            service: self.service.clone(),
            host: self.host.clone(),
            port: self.port,
            tls: self.tls,
            hello: self.hello.clone(),
            ..Section::default()
        };
        let section = given.or(target);
        let sender = section.from.clone();
        let mut server = section.server(cx.target())?;
        match (&self.user, &self.password) {
            (Some(user), Some(password)) => {
                let password = Credential::of_script(password, "SMTP password", cx.redactor());
                server.login = Some((user.clone(), password));
            }
            (None, None) => {}
            _ => {
                return Err(
                    Error::new("smtp.bad_option", "one of user and password is missing")
                        .hint("give both, or none"),
                );
            }
        }
        server.ca = ca;
        server.insecure = self.insecure;
        if let Some(timeout) = self.timeout {
            server.timeout = timeout.to_std();
        }
        cx.permit("smtp", &server.resource, None)?;
        if server.insecure && server.tls != Encryption::None {
            cx.log(
                Level::Warn,
                format!("the certificate of {server} is not checked"),
            );
        }
        if server.tls == Encryption::None && server.login.is_some() {
            cx.log(
                Level::Warn,
                format!(
                    "the password goes to {server} without TLS: anybody on the way can read it"
                ),
            );
        }
        Ok((server, sender))
    }
}
