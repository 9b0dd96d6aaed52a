//! What can go wrong on the way to a host.

use std::io;
use std::time::Duration;

use ccrun_kernel::{Error, value};

/// A name that does not resolve.
pub fn unresolved(host: &str, why: &str) -> Error {
    // The C library says little more than that it failed.
    let why = why
        .trim_start_matches("failed to lookup address information: ")
        .trim_end_matches('.');
    Error::new(
        "net.dns",
        format!("the name {host} does not resolve: {why}"),
    )
    .hint("is it spelled right, and does the DNS work here? `net::lookup(name)` asks it")
    .retryable()
}

/// No connection in time.
pub fn timeout(host: &str, port: u16, timeout: Duration) -> Error {
    Error::new(
        "net.timeout",
        format!(
            "{host}:{port} accepted no connection within {}",
            value::Duration::from(timeout)
        ),
    )
    .hint("is a firewall between here and there dropping packets?")
    .retryable()
}

/// A connection that did not come about.
pub fn connect(host: &str, port: u16, error: &io::Error) -> Error {
    let at = format!("{host}:{port}");
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Error::new(
            "net.connection_refused",
            format!("nothing listens on {at}"),
        )
        .hint(
            "is the service running, and on that port? `net::listening()` shows what listens here",
        )
        .retryable(),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Error::new(
            "net.unreachable",
            format!("there is no way to {at}: {error}"),
        )
        .hint("is the network up? `ip route get ADDRESS` shows the way it would take")
        .retryable(),
        io::ErrorKind::TimedOut => Error::new(
            "net.timeout",
            format!("{at} accepted no connection in time"),
        )
        .hint("is a firewall between here and there dropping packets?")
        .retryable(),
        _ => Error::new("net.failed", format!("no connection to {at}: {error}")).retryable(),
    }
}
