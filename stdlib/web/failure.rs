//! What can go wrong on the way, in words that say what to do.

use std::io;

use ccrun_kernel::{Error, value::Duration};

use super::address::Address;
use crate::causes::{cause, deepest};

/// A failed exchange, as an error. The URL in reqwest's own text is left out: it may be a secret.
pub fn of(error: reqwest::Error, address: &Address, timeout: std::time::Duration) -> Error {
    let error = error.without_url();
    let at = address.authority();
    let host = address.url().host_str().unwrap_or_default();
    if error.is_timeout() {
        let connecting = error.is_connect();
        let what = match connecting {
            true => format!("{at} accepted no connection in time"),
            false => format!(
                "{address} did not answer within {}",
                Duration::from(timeout)
            ),
        };
        let hint = match connecting {
            true => {
                "is a firewall between here and there dropping packets? `net::tcp_connect` tries the port"
            }
            false => "is the server overloaded? give it more with `timeout:`, or look at its log",
        };
        return Error::new("http.timeout", what).hint(hint).retryable();
    }
    if error.is_dns() {
        return Error::new(
            "http.dns",
            format!("the name {host} does not resolve: {}", deepest(&error)),
        )
        .hint("is it spelled right, and does the DNS work here? `net::lookup` asks it")
        .retryable();
    }
    if let Some(tls) = cause::<rustls::Error>(&error) {
        return tls_failed(&at, host, tls);
    }
    let io = cause::<io::Error>(&error);
    match io.map(io::Error::kind) {
        Some(io::ErrorKind::ConnectionRefused) => Error::new(
            "http.connection_refused",
            format!("nothing listens on {at}"),
        )
        .hint("is the service running, and on that port?")
        .retryable(),
        Some(
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof,
        ) => broken(&at, &error),
        Some(io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable) => Error::new(
            "http.unreachable",
            format!("there is no way to {at}: {}", deepest(&error)),
        )
        .hint("is the network up? `ip route get ADDRESS` shows the way it would take")
        .retryable(),
        _ if error.is_connect() => Error::new(
            "http.connect",
            format!("no connection to {at}: {}", deepest(&error)),
        )
        .retryable(),
        _ if error.is_builder() => Error::new(
            "http.invalid_request",
            format!("the request can't be made: {}", deepest(&error)),
        ),
        _ => broken(&at, &error),
    }
}

fn broken(at: &str, error: &reqwest::Error) -> Error {
    Error::new(
        "http.connection_lost",
        format!("{at} broke the connection off: {}", deepest(error)),
    )
    .hint("did the server restart or crash? look at its log; the request may have been carried out")
    .retryable()
}

fn tls_failed(at: &str, host: &str, error: &rustls::Error) -> Error {
    let hint = match error {
        rustls::Error::InvalidCertificate(rustls::CertificateError::Expired)
        | rustls::Error::InvalidCertificate(rustls::CertificateError::ExpiredContext { .. }) => {
            "the certificate has expired: renew it (`net::tls_certificate` shows it)"
        }
        rustls::Error::InvalidCertificate(
            rustls::CertificateError::UnknownIssuer | rustls::CertificateError::Other(_),
        ) => {
            "nobody this machine trusts has signed it: give its authority with `ca: fs::read(\"ca.pem\")`"
        }
        rustls::Error::InvalidCertificate(
            rustls::CertificateError::NotValidForName
            | rustls::CertificateError::NotValidForNameContext { .. },
        ) => "the certificate is for other names (`net::tls_certificate` shows them)",
        rustls::Error::InvalidMessage(_) => "does the port speak TLS at all? try `http://`",
        _ => "`net::tls_certificate` shows what the server presents",
    };
    Error::new(
        "http.tls",
        format!("no secure connection to {at} (as {host}): {error}"),
    )
    .hint(hint)
}
