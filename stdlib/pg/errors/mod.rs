//! From what Postgres and the network say to kinds, sentences and hints.

mod codes;

use std::io::ErrorKind;

use ccrun_kernel::Error;
use sqlx::postgres::{PgDatabaseError, PgErrorPosition};

use super::connect::Server;

/// What went wrong with a statement.
#[must_use]
pub fn of_statement(error: sqlx::Error, sql: &str, server: &Server) -> Error {
    match error {
        sqlx::Error::Database(error) => match error.try_downcast::<PgDatabaseError>() {
            Ok(error) => of_database(&error, sql),
            Err(error) => Error::new("pg.failed", error.to_string()),
        },
        other => of_connection(other, server),
    }
}

/// What went wrong on the way to the server.
#[must_use]
pub fn of_connection(error: sqlx::Error, server: &Server) -> Error {
    let place = server.place();
    match error {
        sqlx::Error::Database(error) => {
            let Some(error) = error.try_downcast_ref::<PgDatabaseError>() else {
                return Error::new("pg.failed", error.to_string());
            };
            let built = of_database(error, "");
            let message =
                format!("can't connect to {} as {}: {}", server.database, server.user, built.message());
            // A failed start of a session has no statement whose SQL could be shown.
            let mut renamed = Error::new(built.kind(), message)
                .retryable_if(built.is_retryable())
                .code(error.code());
            if let Some(hint) = built.hint_text() {
                renamed = renamed.hint(hint);
            }
            renamed
        }
        sqlx::Error::Io(error) => of_io(&error, server),
        sqlx::Error::Tls(error) => Error::new(
            "pg.tls",
            format!("no TLS connection to {place}: {error}"),
        )
        .hint("check `sslmode` and `sslrootcert`; `sslmode: \"require\"` encrypts without checking the certificate"),
        sqlx::Error::Configuration(error) => Error::new("pg.bad_option", error.to_string()),
        // What the decoder of a broken stream says; the session can't go on.
        other => Error::new("pg.protocol", format!("{place}: {other}"))
            .hint("is that a Postgres server? A proxy in between may not speak the whole protocol"),
    }
}

fn of_io(error: &std::io::Error, server: &Server) -> Error {
    let place = server.place();
    let start = if server.is_service {
        format!(
            "is the service {0} up? `docker compose ps {0}`, `docker compose logs {0}`",
            server.host
        )
    } else {
        format!(
            "is the server running, and listening there? `pg_isready -h {} -p {}`",
            server.host, server.port
        )
    };
    match error.kind() {
        ErrorKind::ConnectionRefused => Error::new(
            "pg.connection_refused",
            format!("nothing answers at {place}"),
        )
        .hint(start)
        .retryable(),
        ErrorKind::NotFound => Error::new("pg.connection_refused", format!("{place} is not there"))
            .hint(start)
            .retryable(),
        ErrorKind::PermissionDenied => Error::new(
            "pg.connection_refused",
            format!("{place}: permission denied"),
        )
        .hint("check the owner and mode of the socket's folder"),
        ErrorKind::TimedOut => Error::new("pg.connect_timeout", format!("{place} does not answer"))
            .hint(start)
            .retryable(),
        ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe
        | ErrorKind::UnexpectedEof
        | ErrorKind::NotConnected => Error::new(
            "pg.connection_lost",
            format!("the connection to {place} broke: {error}"),
        )
        .hint("the server or something in between closed it; look at the server's log")
        .retryable(),
        _ if error.to_string().contains("lookup") => Error::new(
            "pg.host_not_found",
            format!("there is no host `{}`: {error}", server.host),
        )
        .hint(start)
        .retryable(),
        _ => Error::new("pg.connection_lost", format!("{place}: {error}"))
            .hint(start)
            .retryable(),
    }
}

/// The connection could not be had in time.
#[must_use]
pub fn connect_timeout(server: &Server) -> Error {
    Error::new(
        "pg.connect_timeout",
        format!(
            "{} did not answer within {:?}",
            server.place(),
            server.connect_timeout
        ),
    )
    .hint(
        "check the address, firewalls and the server's load; `connect_timeout` is how long to wait",
    )
    .retryable()
}

fn of_database(error: &PgDatabaseError, sql: &str) -> Error {
    let state = error.code();
    let known = codes::known(state);
    let kind = known.map_or("pg.failed", |code| code.kind);

    let mut message = error.message().to_owned();
    if let Some(detail) = error.detail().filter(|detail| detail.lines().count() == 1) {
        message.push_str(": ");
        message.push_str(detail);
    }
    let spot = match error.position() {
        Some(PgErrorPosition::Original(position)) => Spot::of(sql, position),
        Some(PgErrorPosition::Internal { position, query }) => Spot::of(query, position),
        None => None,
    };
    if let Some(spot) = &spot {
        message.push('\n');
        message.push_str(&spot.shown());
    }

    let hint = match (state, error.hint()) {
        // The server's own "Perhaps you meant …" knows more than a general hint.
        (_, Some(hint)) => Some(hint.to_owned()),
        ("42601", None) if error.message().contains("multiple commands") => {
            Some("use `db.script` for several statements".to_owned())
        }
        ("57014", None) if error.message().contains("statement timeout") => Some(
            "the setting statement_timeout ended it; give it more, or make the query faster"
                .to_owned(),
        ),
        _ => known.and_then(|code| code.hint).map(str::to_owned),
    };
    let mut built = Error::new(kind, message)
        .code(state)
        .retryable_if(known.is_some_and(|code| code.retryable));
    if let Some(hint) = hint {
        built = built.hint(hint);
    }
    let facts = [
        ("detail", error.detail()),
        ("where", error.r#where()),
        ("schema", error.schema()),
        ("table", error.table()),
        ("column", error.column()),
        ("data_type", error.data_type()),
        ("constraint", error.constraint()),
    ];
    for (key, fact) in facts {
        if let Some(fact) = fact {
            built = built.detail(key, fact);
        }
    }
    match spot {
        Some(spot) => built
            .detail("sql_line", spot.line)
            .detail("sql_column", spot.column),
        None => built,
    }
}

/// A place in SQL.
struct Spot {
    line: usize,
    column: usize,
    text: String,
}

impl Spot {
    /// `position` counts characters from 1.
    fn of(sql: &str, position: usize) -> Option<Self> {
        let index = position.checked_sub(1)?;
        let before: String = sql.chars().take(index).collect();
        if before.chars().count() < index || sql.is_empty() {
            return None;
        }
        let line = before.matches('\n').count() + 1;
        let column = before
            .rsplit('\n')
            .next()
            .map_or(0, |tail| tail.chars().count())
            + 1;
        let text = sql.lines().nth(line - 1).unwrap_or_default().to_owned();
        Some(Self { line, column, text })
    }

    /// The line with a caret under the place, cut to what fits a terminal.
    fn shown(&self) -> String {
        const WIDTH: usize = 100;
        let skipped = self.column.saturating_sub(WIDTH / 2 + 1);
        let skipped = if self.text.chars().count() > WIDTH {
            skipped
        } else {
            0
        };
        let part: String = self
            .text
            .chars()
            .skip(skipped)
            .take(WIDTH)
            .map(|c| if c == '\t' { ' ' } else { c })
            .collect();
        let label = format!("line {}: ", self.line);
        let indent = " ".repeat(label.chars().count() + self.column - 1 - skipped);
        format!("{label}{part}\n{indent}^")
    }
}

/// Whether nothing was done and a new connection may help.
#[must_use]
pub fn is_broken_connection(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) => true,
        sqlx::Error::Database(error) => error
            .code()
            .is_some_and(|code| code.starts_with("57P0") || code.starts_with("08")),
        _ => false,
    }
}

/// Whether a statement prepared before the tables changed is in the way of its new self.
#[must_use]
pub fn is_stale_plan(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(error)
        if error.code().as_deref() == Some("0A000") && error.message().contains("cached plan"))
}

/// Whether a column's type can't travel in binary, or is of a sort that sqlx does not know.
#[must_use]
pub fn is_unreadable_type(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => {
            error.code().as_deref() == Some("42883")
                && error.message().contains("no binary output function")
        }
        sqlx::Error::ColumnDecode { index, .. } => {
            index.contains("typtype") || index.contains("typcategory")
        }
        sqlx::Error::Protocol(text) => text.contains("unable to resolve type"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caret_stands_under_the_place() {
        let spot = Spot::of("select 1,\n  é from x", 13).unwrap();
        assert_eq!((spot.line, spot.column), (2, 3));
        assert_eq!(spot.shown(), "line 2:   é from x\n          ^");
        assert!(Spot::of("select", 40).is_none());
        assert!(Spot::of("select", 0).is_none());
        assert_eq!(Spot::of("select", 7).map(|spot| spot.column), Some(7));
    }

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let sql = format!("{} wrong", "x".repeat(300));
        let shown = Spot::of(&sql, 302).unwrap().shown();
        let (line, caret) = shown.split_once('\n').unwrap();
        let at = caret.find('^').unwrap();
        assert_eq!(&line[at..], "wrong");
        assert!(line.len() < 120);
    }
}
