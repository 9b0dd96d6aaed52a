//! What the methods of a database and of a transaction have in common: what is refused before it
//! is sent, how one row or one value is taken from an answer, and what an error can add.

use std::sync::Arc;

use ccrun_kernel::rhai::{Array, Dynamic};
use ccrun_kernel::value::closest;
use ccrun_kernel::{Error, Result};

use super::bind::wrong_count;
use super::client::PgClient;
use super::connect::Server;
use super::session::{self, Want};
use super::sql::Facts;

/// Refuse to ask what is no question.
///
/// # Errors
/// `pg.read_only`
pub fn must_ask(facts: &Facts) -> Result<()> {
    if let Some(function) = facts.acting_function {
        return Err(Error::new(
            "pg.read_only",
            format!("{function}() acts on the server, and a query only asks"),
        )
        .hint("use `execute_returning`, which is a change: it is planned, confirmed and recorded as one"));
    }
    if facts.asks {
        return Ok(());
    }
    let verb = facts.verb.to_uppercase();
    let error = match verb.as_str() {
        "" => Error::new("pg.syntax", "there is no statement in the SQL"),
        _ => Error::new("pg.read_only", format!("{verb} is no query")),
    };
    Err(match facts.verb.as_str() {
        "insert" | "update" | "delete" | "merge" => error.hint(
            "use `execute` for the number of rows, `execute_returning` for the rows of its RETURNING",
        ),
        _ if facts.sets_session() => error.hint(SETTINGS),
        _ if facts.controls_transaction() => error.hint(TRANSACTION),
        "" => error,
        _ => error.hint("use `execute`, or `script` for several statements"),
    })
}

const SETTINGS: &str = "a session is not yours to keep: give `settings` to pg::connect, or use `set local` inside of `db.transaction`";
const TRANSACTION: &str = "use `db.transaction(|tx| …)`: it commits when the closure returns and rolls back when it throws";

/// Refuse what would change the session and not the database.
///
/// # Errors
/// `pg.session_statement`
pub fn must_act(facts: &Facts, in_transaction: bool) -> Result<()> {
    let refused = |what: &str, hint: &str| {
        Err(Error::new(
            "pg.session_statement",
            format!("{} {what}", facts.verb.to_uppercase()),
        )
        .hint(hint))
    };
    if facts.controls_transaction() {
        let hint = if in_transaction {
            "return from the closure to commit, throw to roll back; `tx.savepoint(|tx| …)` is a part that can fail alone"
        } else {
            TRANSACTION
        };
        return refused("begins or ends a transaction behind its back", hint);
    }
    if facts.sets_session() || (!in_transaction && facts.verb == "set") {
        return refused("has no effect on the statements that follow", SETTINGS);
    }
    Ok(())
}

/// The only row of an answer.
///
/// # Errors
/// `pg.no_rows`, `pg.many_rows`
pub fn only(mut rows: Vec<Dynamic>) -> Result<Dynamic> {
    match rows.len() {
        0 => Err(Error::new("pg.no_rows", "the query returned no row")
            .hint("use `query` and look whether the array is empty, if that can be")),
        1 => Ok(rows.remove(0)),
        _ => Err(
            Error::new("pg.many_rows", "the query returned more than one row")
                .hint("add a condition or `limit 1`, or use `query`"),
        ),
    }
}

/// The parameters of a call.
///
/// # Errors
/// `pg.bad_parameter` if the statement has some and none are given. Other counts are compared with
/// what the server says.
pub fn parameters(given: Option<Array>, facts: &Facts) -> Result<Vec<Dynamic>> {
    let given: Vec<Dynamic> = given
        .map(|array| array.into_iter().map(Dynamic::flatten).collect())
        .unwrap_or_default();
    match facts.parameters.iter().map(|(_, number)| *number).max() {
        Some(expected) if given.is_empty() => Err(wrong_count(expected, 0)),
        _ => Ok(given),
    }
}

/// A missing table is often a typo: name the nearest one there is. Asked on a connection of its
/// own, since the one that failed may be in an aborted transaction.
pub async fn with_nearest_table(error: Error, client: &PgClient, server: &Arc<Server>) -> Error {
    if error.kind() != "pg.undefined_table" {
        return error;
    }
    let Some(wanted) = error.message().split('"').nth(1).map(str::to_owned) else {
        return error;
    };
    let Ok(mut lease) = client.reader(server).await else {
        return error;
    };
    let sql: Arc<str> =
        "select case when pg_catalog.pg_table_is_visible(c.oid) then c.relname::text \
         else n.nspname || '.' || c.relname end \
         from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
         where c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname !~ '^pg_(toast|temp)' \
         and n.nspname <> 'information_schema' limit 20000"
            .into();
    let Ok(answer) = session::run(&mut lease, &sql, &[], Want::Rows).await else {
        return error;
    };
    let names: Vec<String> = answer
        .rows
        .into_iter()
        .filter_map(|row| {
            Some(
                row.try_cast::<rhai::Map>()?
                    .into_values()
                    .next()?
                    .to_string(),
            )
        })
        .collect();
    let bare = wanted.rsplit('.').next().unwrap_or(&wanted);
    // The same name in a schema that is not searched is nearer than any similar name.
    let elsewhere = names
        .iter()
        .find(|name| name.rsplit('.').next() == Some(bare));
    match elsewhere
        .map(String::as_str)
        .or_else(|| closest(&wanted, names.iter().map(String::as_str)))
    {
        Some(nearest) => {
            let hint = format!("did you mean `{nearest}`?");
            error.detail("nearest", nearest).hint(hint)
        }
        None => error,
    }
}
