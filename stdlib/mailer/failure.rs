//! What can go wrong on the way of a letter, in words that say what to do.

use std::error::Error as _;
use std::io;

use ccrun_kernel::{Error, value::Duration};
use lettre::transport::smtp;

use super::server::{Encryption, Server};
use crate::causes::{cause, deepest};

/// The steps of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The TCP connection.
    Connect,
    /// Connection, TLS and greeting in one, where TLS begins at once.
    Tls,
    /// The greeting, and EHLO.
    Hello,
    /// STARTTLS and the handshake.
    StartTls,
    /// AUTH.
    Auth,
    /// MAIL FROM.
    Sender,
    /// RCPT TO.
    Recipient,
    /// DATA.
    Data,
    /// The letter itself.
    Letter,
    /// QUIT.
    Quit,
}

impl Step {
    /// The name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Hello => "ehlo",
            Self::StartTls => "starttls",
            Self::Auth => "auth",
            Self::Sender => "mail",
            Self::Recipient => "rcpt",
            Self::Data => "data",
            Self::Letter => "message",
            Self::Quit => "quit",
        }
    }
}

/// A connection that did not come about.
pub fn connect(server: &Server, error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Error::new(
            "smtp.connection_refused",
            format!("nothing listens on {server}"),
        )
        .hint("is the mail server running, and on that port? 25 is for servers among themselves, 587 for programs that send, 465 for the same with TLS at once")
        .retryable(),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Error::new(
            "smtp.unreachable",
            format!("there is no way to {server}: {error}"),
        )
        .hint("is the network up? many providers block port 25 on the way out: use 587")
        .retryable(),
        io::ErrorKind::TimedOut => timeout(server, Step::Connect),
        _ if error.to_string().contains("lookup") => Error::new(
            "smtp.dns",
            format!(
                "the name {} does not resolve: {}",
                server.host,
                error
                    .to_string()
                    .trim_start_matches("failed to lookup address information: ")
            ),
        )
        .hint("is it spelled right, and does the DNS work here? `net::lookup` asks it")
        .retryable(),
        _ => Error::new("smtp.failed", format!("no connection to {server}: {error}")).retryable(),
    }
}

/// A step that took too long.
pub fn timeout(server: &Server, step: Step) -> Error {
    let hint = match (step, server.tls) {
        (Step::Connect, _) => {
            "is a firewall between here and there dropping packets? many providers block port 25 on the way out"
        }
        (Step::Hello, Encryption::StartTls | Encryption::None) if server.port == 465 => {
            "port 465 wants TLS at once: tls = \"implicit\""
        }
        (Step::Tls, _) if server.port != 465 => {
            "does the port speak TLS from the start? on 587 and 25 it is tls = \"starttls\""
        }
        _ => "is the server overloaded? `timeout` waits longer",
    };
    Error::new(
        "smtp.timeout",
        format!(
            "{server} did not answer {} within {}",
            step.name(),
            Duration::from(server.timeout)
        ),
    )
    .hint(hint)
    .retryable()
}

/// A server without STARTTLS.
pub fn no_starttls(server: &Server) -> Error {
    Error::new(
        "smtp.no_starttls",
        format!("{server} offers no STARTTLS, and nothing is sent without TLS"),
    )
    .hint("inside of one machine or one Compose network say tls = \"none\"; anywhere else somebody on the way may have taken the offer out")
}

/// A server that can't be told who sends.
pub fn no_auth(server: &Server, offers: &[String]) -> Error {
    let offered = offers.iter().find(|offer| offer.starts_with("AUTH"));
    Error::new(
        "smtp.no_auth",
        match offered {
            Some(offered) => format!("{server} takes neither PLAIN nor LOGIN: it offers {offered}"),
            None => format!("{server} takes no user and password on this connection"),
        },
    )
    .hint(match server.tls {
        Encryption::None => "many servers offer AUTH only after STARTTLS: tls = \"starttls\"",
        _ => "leave out user and password, or use the port for sending (587)",
    })
}

/// Certificates that can't be read.
pub fn bad_ca(error: &smtp::Error) -> Error {
    Error::new("smtp.ca", format!("`ca`: {}", deepest(error)))
        .hint("give the text of a PEM file, `-----BEGIN CERTIFICATE-----` …")
}

/// A failed step.
pub fn of(server: &Server, step: Step, error: &smtp::Error) -> Error {
    if let Some(code) = error.status() {
        return answered(server, step, code.into(), &said(error));
    }
    if let Some(tls) = cause::<rustls::Error>(error) {
        return tls_failed(server, tls);
    }
    if error.is_timeout() {
        return timeout(server, step);
    }
    if let Some(io) = cause::<io::Error>(error) {
        return match step {
            Step::Connect | Step::Tls if io.kind() != io::ErrorKind::UnexpectedEof => {
                connect(server, io)
            }
            _ => broken(server, step, &io.to_string()),
        };
    }
    let why = deepest(error);
    if why.contains("incomplete response") {
        return broken(server, step, "without an answer");
    }
    if error.is_response() {
        return Error::new(
            "smtp.not_smtp",
            format!("{server} does not speak SMTP: {why}"),
        )
        .hint("is another service on that port? port 465 wants TLS at once: tls = \"implicit\"");
    }
    Error::new("smtp.failed", format!("{server}: {why}"))
}

fn broken(server: &Server, step: Step, why: &str) -> Error {
    let after = matches!(step, Step::Letter);
    Error::new(
        "smtp.connection_lost",
        format!(
            "{server} broke the connection off at {}: {why}",
            step.name()
        ),
    )
    .hint(match after {
        true => "the letter may have been taken: look at the server's log before you send it again",
        false => "did the server restart, or refuse this machine? its log says",
    })
    .retryable()
}

fn tls_failed(server: &Server, error: &rustls::Error) -> Error {
    use rustls::{CertificateError, Error as Tls};
    let hint = match error {
        Tls::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        ) => "the certificate has expired: renew it",
        Tls::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "the certificate is for other names: give the host as the certificate has it",
        Tls::InvalidCertificate(_) => {
            "nobody this machine trusts has signed it: give its authority with `ca`"
        }
        Tls::InvalidMessage(_) => {
            "does the port speak TLS from the start? on 587 and 25 it is tls = \"starttls\""
        }
        _ => "`smtp::check` shows what the server presents",
    };
    Error::new(
        "smtp.tls",
        format!("no secure connection to {server}: {error}"),
    )
    .hint(hint)
}

/// What the server said with a code.
fn said(error: &smtp::Error) -> String {
    error.source().map(ToString::to_string).unwrap_or_default()
}

/// A refusal (RFC 5321, 4.2): 4xx may pass, 5xx will not. <https://www.rfc-editor.org/rfc/rfc5321#section-4.2>
fn answered(server: &Server, step: Step, status: u16, said: &str) -> Error {
    let temporary = status < 500;
    let lower = said.to_lowercase();
    let greylisted = temporary && (lower.contains("grey") || lower.contains("gray"));
    // RFC 3463: 5.2.3 and 5.3.4 say too large, whatever the code before them.
    let too_large = said.starts_with("5.3.4") || said.starts_with("5.2.3");
    let (kind, hint) = match (step, status) {
        (Step::Auth, 535) => (
            "smtp.auth_failed",
            "are user and password right? some providers want a password made for programs",
        ),
        (Step::Auth, 534 | 538) => (
            "smtp.auth_failed",
            "the server wants a safer way to log in than a password",
        ),
        (Step::Auth, _) if !temporary => {
            ("smtp.auth_failed", "the server refuses this way to log in")
        }
        (_, 530) if lower.contains("starttls") => (
            "smtp.tls_required",
            "it takes nothing without TLS: tls = \"starttls\"",
        ),
        (_, 530 | 550 | 553 | 554) if lower.contains("auth") => (
            "smtp.auth_required",
            "it takes mail only from those it knows: give user and password",
        ),
        _ if greylisted => (
            "smtp.greylisted",
            "it takes the letter from those who come again: in some minutes",
        ),
        _ if temporary => (
            "smtp.try_later",
            "the server says that this may pass: its log says what it waits for",
        ),
        (Step::Sender, _) => (
            "smtp.sender_rejected",
            "may this user send for that address? is its domain right?",
        ),
        (Step::Recipient, _) => (
            "smtp.recipient_rejected",
            "does the address exist, and does this server send for us? it may want user and password first",
        ),
        (Step::Letter | Step::Data, _) if too_large || status == 552 => (
            "smtp.too_large",
            "the letter is larger than the server takes",
        ),
        (Step::Letter | Step::Data, _) => (
            "smtp.rejected",
            "the server does not want this letter: as spam? its log says",
        ),
        _ => (
            "smtp.refused",
            "the server does not want this machine: its log says why",
        ),
    };
    Error::new(
        kind,
        format!("{server} answered {status} to {}: {said}", step.name()),
    )
    .code(status.to_string())
    .detail("status", status)
    .detail("said", said)
    .hint(hint)
    .retryable_if(temporary)
}

/// Recipients that were not taken. Whom the letter did go to is said as well.
pub fn refused(server: &Server, accepted: &[String], refused: &[(String, Error)]) -> Error {
    let list: Vec<String> = refused
        .iter()
        .map(|(address, error)| {
            let said = error.details().get("said").and_then(|said| said.as_str());
            format!(
                "{address} ({} {})",
                error.code_text().unwrap_or_default(),
                said.unwrap_or_default()
            )
        })
        .collect();
    let first = refused.first().map(|(_, error)| error);
    let kind = first.map_or("smtp.recipient_rejected", Error::kind);
    let hint = first.and_then(Error::hint_text).unwrap_or_default();
    let sent = match accepted {
        [] => "nothing was sent".to_owned(),
        some => format!("sent to {}", some.join(", ")),
    };
    Error::new(
        kind,
        format!("{server} does not take {}; {sent}", list.join(", ")),
    )
    .code(first.and_then(Error::code_text).unwrap_or_default())
    .detail("accepted", accepted.to_vec())
    .detail(
        "rejected",
        refused
            .iter()
            .map(|(address, _)| address.clone())
            .collect::<Vec<_>>(),
    )
    .hint(hint)
    // Sending it again would send it twice to those who have it.
    .retryable_if(accepted.is_empty() && refused.iter().all(|(_, error)| error.is_retryable()))
}
