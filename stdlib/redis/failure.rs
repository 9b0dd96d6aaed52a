//! What can go wrong, in words that say what to do.

use std::io;

use ccrun_kernel::{Error, value};
use redis::{ErrorKind, RedisError};

use super::classify::{self, Flags};
use super::connect::{self, Server};
use crate::causes::{cause, deepest};

/// A command that would change something where only reading is allowed.
pub fn changes(command: &[Vec<u8>], flags: &Flags) -> Error {
    let shown = classify::shown(command);
    Error::new(
        "redis.changes",
        format!("{shown} {}, and `query` only asks", flags.describe()),
    )
    .hint("use `command`, which is planned in a dry run and recorded")
}

/// A command that the server does not know.
pub fn unknown(name: &str) -> Error {
    let error = Error::new(
        "redis.unknown_command",
        format!("the server knows no command {name}"),
    );
    match connect::nearest(name) {
        Some(nearest) => error.hint(format!("did you mean `{nearest}`?")),
        None => error.hint("each word is an argument of its own: `[\"CONFIG\", \"GET\", \"maxmemory\"]`; is the server old, or the command renamed?"),
    }
}

/// A failed exchange, as an error.
pub fn of(error: &RedisError, server: &Server) -> Error {
    if let Some(tls) = cause::<rustls::Error>(error) {
        return Error::new("redis.tls", format!("no secure connection to {server}: {tls}"))
            .hint("does the port speak TLS? is its certificate signed by somebody this machine trusts (`ca` of the target's redis section)?");
    }
    if error.is_timeout() || timed_out(error) {
        return Error::new(
            "redis.timeout",
            format!(
                "{server} did not answer within {}",
                value::Duration::from(server.timeout)
            ),
        )
        .hint("is it busy with a slow command (`query([\"SLOWLOG\", \"GET\", \"5\"])`), paused, or behind a firewall? `timeout` waits longer")
        .retryable();
    }
    if let Some(io) = cause::<io::Error>(error) {
        return of_io(io, error, server);
    }
    if error.is_connection_dropped() {
        return broken(server, &deepest(error));
    }
    of_server(error, server)
}

fn timed_out(error: &RedisError) -> bool {
    cause::<io::Error>(error).is_some_and(|io| io.kind() == io::ErrorKind::TimedOut)
}

fn of_io(io: &io::Error, error: &RedisError, server: &Server) -> Error {
    match io.kind() {
        io::ErrorKind::ConnectionRefused => Error::new(
            "redis.connection_refused",
            format!("nothing listens on {server}"),
        )
        .hint("is it running, and on that port?")
        .retryable(),
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Error::new(
            "redis.unreachable",
            format!("there is no way to {server}: {io}"),
        )
        .hint("is the network up? `ip route get ADDRESS` shows the way it would take")
        .retryable(),
        io::ErrorKind::NotFound => {
            Error::new("redis.ca", format!("the file with certificates: {io}"))
                .hint("`ca` of the target's redis section is a PEM file, relative to ccrun.toml")
        }
        _ => {
            let text = deepest(error);
            if text.contains("lookup") || text.contains("resolve") {
                return Error::new(
                    "redis.dns",
                    format!("the name {} does not resolve: {text}", server.host),
                )
                .hint("is it spelled right, and does the DNS work here? `net::lookup` asks it")
                .retryable();
            }
            broken(server, &text)
        }
    }
}

fn broken(server: &Server, why: &str) -> Error {
    Error::new(
        "redis.connection_lost",
        format!("{server} broke the connection off: {why}"),
    )
    .hint("did it restart, or run out of memory? its log says; does the port speak TLS (`tls = true`)?")
    .retryable()
}

/// What the server itself says. Its codes: <https://redis.io/docs/latest/develop/reference/protocol-spec/#simple-errors>
fn of_server(error: &RedisError, server: &Server) -> Error {
    let code = error.code().unwrap_or_default().to_owned();
    let said = error.detail().unwrap_or_default();
    let text = format!("{code} {said}");
    let is_login = error.kind() == ErrorKind::AuthenticationFailed
        || ["WRONGPASS", "NOAUTH"].contains(&code.as_str())
        || text.contains("invalid password")
        || text.contains("without any password configured")
        || text.contains("invalid username-password");
    if is_login {
        let hint = match &server.password {
            None => {
                "it wants a password: `password = \"secret:REDIS_PASSWORD\"` of the target's redis section"
            }
            Some(_) if text.contains("without any password") => {
                "it has no password: leave out `password`"
            }
            Some(_) => {
                "is it the password that the server was started with (`requirepass`)? a container keeps the old one until it is made anew"
            }
        };
        return Error::new(
            "redis.auth_failed",
            format!("{server} does not let us in: {}", text.trim()),
        )
        .hint(hint);
    }
    let (kind, hint, retryable) = match code.as_str() {
        "NOPERM" => (
            "redis.denied",
            "give the user the right: `ACL SETUSER name +command ~keys`",
            false,
        ),
        "LOADING" => (
            "redis.loading",
            "it reads its data from the disk after a start: wait",
            true,
        ),
        "OOM" => (
            "redis.out_of_memory",
            "it is full, and may throw nothing away: raise `maxmemory`, or set `maxmemory-policy`",
            false,
        ),
        "READONLY" => (
            "redis.replica",
            "this is a replica: ask the master (`query([\"ROLE\"])` names it)",
            false,
        ),
        "MISCONF" => (
            "redis.not_persistent",
            "it can't save to the disk, and so takes no writes: is the disk full? `info().persistence` says what failed",
            false,
        ),
        "WRONGTYPE" => (
            "redis.wrong_type",
            "`query([\"TYPE\", key])` says what is there",
            false,
        ),
        "BUSY" => (
            "redis.busy",
            "a script runs for long: `command([\"SCRIPT\", \"KILL\"])` ends it",
            true,
        ),
        "MASTERDOWN" | "CLUSTERDOWN" | "TRYAGAIN" => {
            ("redis.unavailable", "is a failover going on?", true)
        }
        "MOVED" | "ASK" => (
            "redis.moved",
            "this is a cluster, and the key is on another node",
            false,
        ),
        _ => (
            "redis.failed",
            "https://redis.io/commands describes each command",
            false,
        ),
    };
    let message = match (code.as_str(), said) {
        ("" | "ERR", "") => format!("{server}: {error}"),
        ("" | "ERR", said) => format!("{server}: {said}"),
        (code, said) => format!("{server}: {code} {said}"),
    };
    Error::new(kind, message)
        .code(code)
        .hint(hint)
        .retryable_if(retryable)
}
