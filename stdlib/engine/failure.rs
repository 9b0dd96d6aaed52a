//! What an engine refuses, and engines that are not there.

use std::io;

use bollard::errors::Error as Bollard;
use ccrun_kernel::{Error, value::closest};

use super::host::Host;
use crate::causes::{cause, deepest};

/// The HTTP status that the engine answered with.
#[must_use]
pub fn status(error: &Bollard) -> Option<u16> {
    match error {
        Bollard::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

/// Whether the engine knows no such thing.
#[must_use]
pub fn is_not_found(error: &Bollard) -> bool {
    status(error) == Some(404)
}

/// An error of the engine. `what` was tried: `stop the container web`.
#[must_use]
pub fn failed(host: &Host, what: &str, error: Bollard) -> Error {
    match error {
        Bollard::DockerResponseServerError {
            status_code,
            message,
        } => refused(what, status_code, message.trim()),
        Bollard::RequestTimeoutError => Error::new(
            "docker.timeout",
            format!(
                "could not {what}: the Docker engine at {} did not answer in time",
                host.address
            ),
        )
        .hint("is the machine overloaded, or its disk stuck? `journalctl -u docker -n 50`")
        .retryable(),
        error => unreachable(host, what, &error),
    }
}

fn refused(what: &str, status: u16, message: &str) -> Error {
    let kind = match status {
        404 if message.contains("No such image") || message.contains("manifest unknown") => {
            "docker.image_missing"
        }
        404 => "docker.not_found",
        409 => "docker.conflict",
        400 => "docker.invalid",
        401 | 403 => "docker.denied",
        _ if message.contains("no space left on device") => "docker.disk_full",
        _ if message.contains("port is already allocated")
            || message.contains("address already in use") =>
        {
            "docker.port_taken"
        }
        _ => "docker.failed",
    };
    let error = Error::new(kind, format!("could not {what}: {message}"))
        .code(status.to_string())
        .detail("status", status);
    match kind {
        "docker.image_missing" => {
            error.hint("`docker::pull(name)` fetches it; is the name spelled right, tag included?")
        }
        "docker.not_found" => error.hint("`docker::ps(#{ all: true })` shows what there is"),
        "docker.disk_full" => error.hint(
            "`docker::disk_usage()` shows what takes the space, `docker::prune()` frees some",
        ),
        "docker.port_taken" => error.hint("`net::listening()` shows who has the port"),
        "docker.denied" => error.hint("log in with `docker login`, or use a user who may"),
        _ => error,
    }
}

/// A thing that does not exist, with the nearest that does.
#[must_use]
pub fn not_found<'n>(sort: &str, name: &str, known: impl Iterator<Item = &'n str>) -> Error {
    let hint = match closest(name, known) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => format!("`docker::{sort}s()` shows what there is"),
    };
    Error::new("docker.not_found", format!("there is no {sort} `{name}`")).hint(hint)
}

/// No way to the machine by ssh.
pub(super) fn unreachable_by_ssh(host: &Host, error: &openssh::Error) -> Error {
    // As ssh writes to a terminal: several lines, each with a carriage return.
    let why: Vec<String> = deepest(error)
        .lines()
        .map(|line| line.trim().to_owned())
        .collect();
    let why = why.join("; ");
    let hint = if why.contains("Permission denied") {
        "ssh must get in without asking for a password: `ssh-copy-id`, or an agent (`ssh-add -l`)"
    } else if why.contains("Host key verification failed") {
        "the machine shows another key than before: somebody set it up anew, or it is another machine. \
         `ssh-keygen -R` forgets the old key, once you know which"
    } else {
        "is the machine up? try `ssh` with the same user and machine"
    };
    Error::new(
        "docker.unreachable",
        format!(
            "no way to the machine of {} (from {}): {why}",
            host.address, host.origin
        ),
    )
    .hint(hint)
    .retryable()
}

/// The machine was reached, and its own Docker CLI found no engine.
pub(super) fn refused_over_there(host: &Host, said: &str) -> Error {
    let denied = said.contains("permission denied");
    let hint = if denied {
        "over there, add the user to the group `docker` (members of it are root in effect), or connect as root"
    } else if said.contains("not found") {
        "install the Docker CLI over there: `docker system dial-stdio` is what speaks to its engine"
    } else {
        "is Docker running over there? `systemctl status docker`"
    };
    let kind = if denied {
        "docker.denied"
    } else {
        "docker.unreachable"
    };
    Error::new(
        kind,
        format!(
            "the machine of {} (from {}) answers, and its Docker engine does not: {said}",
            host.address, host.origin
        ),
    )
    .hint(hint)
}

fn unreachable(host: &Host, what: &str, error: &Bollard) -> Error {
    let io = match error {
        Bollard::IOError { err } => Some(err.kind()),
        error => cause::<io::Error>(error).map(io::Error::kind),
    };
    let local = host.address.starts_with("unix:");
    let (kind, why, hint) = match io {
        Some(io::ErrorKind::PermissionDenied) => (
            "docker.denied",
            "this user may not use its socket".to_owned(),
            "run as root, or add the user to the group `docker` and log in again (members of it are root in effect)",
        ),
        Some(io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) if local => (
            "docker.unreachable",
            "nothing listens there".to_owned(),
            "is it running? `systemctl start docker`, then `journalctl -u docker -n 50`",
        ),
        // What rustls says of certificates: theirs to us, and ours to them.
        _ if host.tls.is_some()
            && matches!(
                cause::<rustls::Error>(error),
                Some(rustls::Error::InvalidCertificate(_) | rustls::Error::AlertReceived(_))
            ) =>
        {
            (
                "docker.unreachable",
                deepest(error),
                "one side does not trust the other's certificate: `ca` must have signed the engine's, and its `--tlscacert` the one in `cert`",
            )
        }
        _ => (
            "docker.unreachable",
            deepest(error),
            "is the machine up, and its Docker engine running? try `docker info` with the same address",
        ),
    };
    Error::new(
        kind,
        format!(
            "could not {what}: no connection to the Docker engine at {} (from {}): {why}",
            host.address, host.origin
        ),
    )
    .hint(hint)
    .retryable_if(kind == "docker.unreachable")
}
