//! A session with a mail server, step by step: each is timed, and each failure says what to do.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use ccrun_kernel::rhai::Map;
use ccrun_kernel::value::to_json;
use ccrun_kernel::{Access, Error, Result};
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{
    AsyncSmtpConnection, AsyncTokioStream, Certificate, TlsParameters,
};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, ServerInfo};
use lettre::transport::smtp::response::Response;
use parking_lot::Mutex;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::client::Mailer;
use super::failure::{self, Step};
use super::letter::Letter;
use super::server::{Encryption, Server};
use crate::certificate;

/// In the order of what they give away where there is no TLS: nothing in it.
const MECHANISMS: [Mechanism; 2] = [Mechanism::Plain, Mechanism::Login];

type Answer<T> = std::result::Result<T, lettre::transport::smtp::Error>;

/// What a session found out.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// The server's name for itself.
    pub name: String,
    /// What it offers, as it says so: `SIZE 36700160`, `AUTH PLAIN LOGIN` …
    pub offers: Vec<String>,
    /// Each step and how long it took.
    pub steps: Vec<(&'static str, Duration)>,
    /// Whether TLS is spoken.
    pub encrypted: bool,
    /// What stands in its certificate.
    pub certificate: Option<Map>,
    /// Whether it took the user and the password.
    pub logged_in: bool,
}

/// What became of a letter.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// What the server said when it took the letter; its number in the queue is often in there.
    pub answer: String,
    /// Whom it goes to.
    pub accepted: Vec<String>,
    /// How the session went.
    pub report: Report,
}

/// An open session.
pub struct Session<'a> {
    server: &'a Server,
    connection: AsyncSmtpConnection,
    report: Report,
}

/// In front of a connection: keeps what the server says before TLS begins, which is where lettre passes over most of what it
/// offers. A second EHLO would bring it as well, but some servers refuse that.
#[derive(Debug)]
struct Overheard {
    stream: TcpStream,
    heard: Arc<Mutex<Vec<u8>>>,
}

/// A greeting and a list of extensions are shorter.
const HEARD: usize = 16 << 10;

impl AsyncRead for Overheard {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.stream).poll_read(context, buffer);
        let mut heard = this.heard.lock();
        if polled.is_ready() && heard.len() < HEARD {
            heard.extend_from_slice(&buffer.filled()[before..]);
        }
        polled
    }
}

impl AsyncWrite for Overheard {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

impl AsyncTokioStream for Overheard {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.peer_addr()
    }
}

impl<'a> Session<'a> {
    /// Connect, greet, encrypt.
    ///
    /// # Errors
    /// `smtp.connection_refused`, `smtp.timeout`, `smtp.dns`, `smtp.tls`, `smtp.no_starttls` and others.
    pub async fn open(mailer: &Mailer, server: &'a Server) -> Result<Session<'a>> {
        let (host, port) = mailer.address(server).await?;
        match Self::attempt(mailer, server, (&host, port), server.insecure).await {
            Err(error) if error.kind() == "smtp.tls" => {
                Err(with_certificate(mailer, server, (&host, port), error).await)
            }
            other => other,
        }
    }

    async fn attempt(
        mailer: &Mailer,
        server: &'a Server,
        (host, port): (&str, u16),
        insecure: bool,
    ) -> Result<Session<'a>> {
        let hello = hello(server);
        let mut report = Report::default();
        let heard: Arc<Mutex<Vec<u8>>> = Arc::default();
        let mut connection = if server.tls == Encryption::Implicit {
            let tls = parameters(server, insecure)?;
            let connecting = AsyncSmtpConnection::connect_tokio1(
                (host, port),
                Some(server.timeout),
                &hello,
                Some(tls),
                None,
            );
            timed(server, &mut report, Step::Tls, connecting).await?
        } else {
            let started = Instant::now();
            let stream = tokio::time::timeout(server.timeout, mailer.connect(host, port))
                .await
                .map_err(|_| failure::timeout(server, Step::Connect))?
                .map_err(|error| failure::connect(server, &error))?;
            report.steps.push((Step::Connect.name(), started.elapsed()));
            let stream = Overheard {
                stream,
                heard: Arc::clone(&heard),
            };
            let greeting = AsyncSmtpConnection::connect_with_transport(Box::new(stream), &hello);
            timed(server, &mut report, Step::Hello, greeting).await?
        };
        let said = String::from_utf8_lossy(&heard.lock()).into_owned();
        if server.tls == Encryption::StartTls {
            if !connection
                .server_info()
                .supports_feature(Extension::StartTls)
            {
                connection.abort().await;
                return Err(failure::no_starttls(server));
            }
            let tls = parameters(server, insecure)?;
            let upgrade = connection.starttls(tls, &hello);
            timed(server, &mut report, Step::StartTls, upgrade).await?;
        }
        report.encrypted = connection.is_encrypted();
        if report.encrypted {
            let chain = connection.certificate_chain().unwrap_or_default();
            report.certificate = facts(server, &chain);
        }
        report.name = connection.server_info().name().to_owned();
        report.offers = offers(&said, connection.server_info(), report.encrypted);
        Ok(Self {
            server,
            connection,
            report,
        })
    }

    /// Say who sends, if there is a user.
    ///
    /// # Errors
    /// `smtp.auth_failed`, `smtp.no_auth`, and what finding the password says.
    pub async fn log_in(&mut self, access: &Access) -> Result<()> {
        let Some((user, password)) = &self.server.login else {
            return Ok(());
        };
        let password = password.resolve(access, "SMTP password").await?;
        if self
            .connection
            .server_info()
            .get_auth_mechanism(&MECHANISMS)
            .is_none()
        {
            self.connection.abort().await;
            return Err(failure::no_auth(self.server, &self.report.offers));
        }
        let credentials = Credentials::new(user.clone(), password.expose().to_owned());
        let auth = self.connection.auth(&MECHANISMS, &credentials);
        timed(self.server, &mut self.report, Step::Auth, auth).await?;
        self.report.logged_in = true;
        Ok(())
    }

    /// Hand a letter over. Who is refused does not keep it from the others; it is an error all the same.
    ///
    /// # Errors
    /// `smtp.recipient_rejected`, `smtp.greylisted`, `smtp.try_later`, `smtp.sender_rejected`, `smtp.rejected`.
    pub async fn deliver(mut self, letter: &Letter) -> Result<Delivery> {
        let envelope = letter.envelope();
        let sender = Mail::new(envelope.from().cloned(), Vec::new());
        self.step(Step::Sender, sender).await?;
        let mut accepted = Vec::new();
        let mut refused = Vec::new();
        for recipient in envelope.to() {
            match self
                .step(Step::Recipient, Rcpt::new(recipient.clone(), Vec::new()))
                .await
            {
                Ok(_) => accepted.push(recipient.to_string()),
                Err(error) if error.details().contains_key("status") => {
                    refused.push((recipient.to_string(), error));
                }
                Err(error) => return Err(error),
            }
        }
        if accepted.is_empty() {
            let error = failure::refused(self.server, &accepted, &refused);
            self.end().await;
            return Err(error);
        }
        self.step(Step::Data, Data).await?;
        let body = letter.bytes();
        let message = self.connection.message(&body);
        let answer = timed(self.server, &mut self.report, Step::Letter, message).await?;
        let said = answer.message().collect::<Vec<_>>().join(" ");
        let server = self.server;
        let report = self.quit().await;
        if !refused.is_empty() {
            return Err(failure::refused(server, &accepted, &refused));
        }
        Ok(Delivery {
            answer: said,
            accepted,
            report,
        })
    }

    /// Part from the server. That it does not answer this any more changes nothing.
    pub async fn quit(mut self) -> Report {
        self.end().await;
        self.report
    }

    async fn end(&mut self) {
        let started = Instant::now();
        let quit = self.connection.quit();
        if let Ok(Ok(_)) = tokio::time::timeout(self.server.timeout, quit).await {
            self.report
                .steps
                .push((Step::Quit.name(), started.elapsed()));
        }
    }

    async fn step(&mut self, step: Step, command: impl std::fmt::Display) -> Result<Response> {
        let command = self.connection.command(command);
        timed(self.server, &mut self.report, step, command).await
    }
}

/// The extensions of a server: as it said them, and after TLS has begun, what lettre has seen of the new list.
fn offers(said: &str, info: &ServerInfo, encrypted: bool) -> Vec<String> {
    // The lines of the last answer but its first, which is the server's name: `250-SIZE 36700160`.
    let lines: Vec<&str> = said
        .lines()
        .filter(|line| line.starts_with("250"))
        .collect();
    let mut offers: Vec<String> = lines
        .iter()
        .skip(1)
        .filter_map(|line| line.get(4..))
        .map(|line| line.trim_end().to_owned())
        .filter(|line| !line.is_empty())
        .collect();
    if !encrypted {
        return offers;
    }
    offers.retain(|line| line != "STARTTLS" && !line.starts_with("AUTH"));
    for (feature, name) in [
        (Extension::EightBitMime, "8BITMIME"),
        (Extension::SmtpUtfEight, "SMTPUTF8"),
    ] {
        if info.supports_feature(feature) && !offers.iter().any(|line| line == name) {
            offers.push(name.to_owned());
        }
    }
    let mechanisms: Vec<&str> = [
        (Mechanism::Plain, "PLAIN"),
        (Mechanism::Login, "LOGIN"),
        (Mechanism::Xoauth2, "XOAUTH2"),
    ]
    .into_iter()
    .filter_map(|(mechanism, name)| info.supports_auth_mechanism(mechanism).then_some(name))
    .collect();
    if !mechanisms.is_empty() {
        offers.push(format!("AUTH {}", mechanisms.join(" ")));
    }
    offers
}

/// One step: bounded, timed, its error explained.
async fn timed<T>(
    server: &Server,
    report: &mut Report,
    step: Step,
    doing: impl Future<Output = Answer<T>>,
) -> Result<T> {
    let started = Instant::now();
    let done = tokio::time::timeout(server.timeout, doing)
        .await
        .map_err(|_| failure::timeout(server, step))?
        .map_err(|error| failure::of(server, step, &error))?;
    report.steps.push((step.name(), started.elapsed()));
    Ok(done)
}

fn hello(server: &Server) -> ClientId {
    match &server.hello {
        Some(name) => ClientId::Domain(name.clone()),
        None => {
            let name = rustix::system::uname()
                .nodename()
                .to_string_lossy()
                .into_owned();
            // A bare host name is no domain, but better than an address that is not ours.
            if name.is_empty() {
                ClientId::default()
            } else {
                ClientId::Domain(name)
            }
        }
    }
}

fn parameters(server: &Server, insecure: bool) -> Result<TlsParameters> {
    let mut builder =
        TlsParameters::builder(server.host.clone()).dangerous_accept_invalid_certs(insecure);
    if insecure {
        builder = builder.dangerous_accept_invalid_hostnames(true);
    }
    if let Some(pem) = &server.ca {
        builder = builder.add_root_certificate(
            Certificate::from_pem(pem).map_err(|error| failure::bad_ca(&error))?,
        );
    }
    builder
        .build()
        .map_err(|error| failure::of(server, Step::Tls, &error))
}

/// What stands in the certificate, and whether this machine trusts it.
fn facts(server: &Server, chain: &[Vec<u8>]) -> Option<Map> {
    let chain: Vec<CertificateDer<'_>> = chain
        .iter()
        .map(|der| CertificateDer::from(der.as_slice()))
        .collect();
    let [end, between @ ..] = chain.as_slice() else {
        return None;
    };
    let mut facts = certificate::describe(end).ok()?;
    let name = ServerName::try_from(server.host.as_str()).ok()?;
    let mut roots = certificate::authorities();
    if let Some(pem) = &server.ca {
        use rustls::pki_types::pem::PemObject as _;
        roots.add_parsable_certificates(CertificateDer::pem_slice_iter(pem).flatten());
    }
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let problem = certificate::problem(roots, provider, end, between, &name);
    facts.insert("trusted".into(), problem.is_none().into());
    facts.insert(
        "problem".into(),
        problem.map_or(ccrun_kernel::rhai::Dynamic::UNIT, Into::into),
    );
    Some(facts)
}

/// The certificate that was not trusted, looked at in a session in which nothing is given away.
async fn with_certificate(
    mailer: &Mailer,
    server: &Server,
    address: (&str, u16),
    error: Error,
) -> Error {
    let Ok(session) = Session::attempt(mailer, server, address, true).await else {
        return error;
    };
    match session.quit().await.certificate {
        Some(facts) => error.detail("certificate", to_json(&facts.into())),
        None => error,
    }
}
