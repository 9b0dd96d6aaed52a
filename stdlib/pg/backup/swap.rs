//! `db.swap`: another database takes the name of the one that is used.

use std::sync::Arc;

use ccrun_kernel::event::Level;
use ccrun_kernel::rhai::{Dynamic, Map};
use ccrun_kernel::value::Duration;
use ccrun_kernel::{Cx, Error, Options, Preview, Result, primitive};

use super::catalog::{self, ident, literal};
use crate::pg::Database;
use crate::pg::connect::Server;

/// How a database is swapped in.
#[derive(Clone, Options)]
pub struct SwapOptions {
    /// What the old one is called afterwards. Left out: its name, `_before_`, and the time.
    keep_as: Option<String>,
    /// How long transactions that are under way may take to end by themselves. Those that are left then are ended.
    #[option(default = "10s")]
    drain: Duration,
}

impl Database {
    /// Let another database of the server take this one's name; this one gets another and stays.
    ///
    /// Transactions that are under way get `drain` to end. Then both are renamed in one transaction: at no moment is there
    /// none of that name. Whoever is connected to either is disconnected, and finds the new one when it connects
    /// again. Connections that come in between are waited out.
    /// Returns a map: `name`, `old` (what the old one is called now).
    ///
    /// # Errors
    /// `pg.no_database` if one is missing; `pg.permission_denied`: it takes a superuser, or the owner of both;
    /// `pg.in_use` if somebody connects again faster than they can be renamed.
    ///
    /// # Example
    /// ```rhai,no_run
    /// let db = pg::connect().login("postgres", secret("POSTGRES_PASSWORD"));
    /// let swapped = db.swap("app_restored");
    /// print(`app is the restored one now; the old one is ${swapped.old}`);
    /// ```
    #[primitive(change, needs = pg(self.server.resource), preview = swap_preview)]
    pub(in crate::pg) async fn swap(
        &self,
        cx: &Cx,
        new: String,
        options: SwapOptions,
    ) -> Result<Map> {
        let live = self.server.database.clone();
        let old = match options.keep_as {
            Some(name) => name,
            None => {
                let now = ccrun_kernel::value::Timestamp::now().format("%Y%m%dT%H%M%S")?;
                let room = 63 - "_before_".len() - now.len();
                let mut name = live.clone();
                while name.len() > room {
                    name.pop();
                }
                format!("{name}_before_{now}")
            }
        };
        let beside = beside(&self.server, &[&live, &new]);
        for name in [&live, &new] {
            if !exists(cx, &beside, name).await? {
                return Err(Error::new(
                    "pg.no_database",
                    format!("there is no database {name} on {}", self.server.resource),
                )
                .hint("nothing was changed; `SELECT datname FROM pg_database` lists them"));
            }
        }
        if exists(cx, &beside, &old).await? {
            return Err(Error::new(
                "pg.no_database",
                format!("there is a database {old} already: the old one can't be called that"),
            )
            .hint("nothing was changed; choose another name: `keep_as`"));
        }
        drain(cx, &beside, &live, options.drain).await?;
        rename(cx, &beside, &[(&live, &old), (&new, &live)]).await?;
        Ok(Map::from_iter([
            ("name".into(), live.into()),
            ("old".into(), old.into()),
        ]))
    }
}

/// Wait until nobody is in the middle of a transaction, or the time is over.
async fn drain(cx: &Cx, beside: &Arc<Server>, live: &str, patience: Duration) -> Result<()> {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND xact_start IS NOT NULL AND backend_type = 'client backend'";
    let deadline = tokio::time::Instant::now() + patience.to_std();
    loop {
        let busy = catalog::value(cx, beside, sql, &[Dynamic::from(live.to_owned())]).await?;
        match busy.as_int() {
            Ok(0) => return Ok(()),
            Ok(count) if tokio::time::Instant::now() >= deadline => {
                cx.log(
                    Level::Warn,
                    format!(
                        "{count} transactions did not end within {patience}, and are ended now"
                    ),
                );
                return Ok(());
            }
            _ => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
        }
    }
}

/// Rename databases in one transaction; who is connected to them is disconnected.
///
/// # Errors
/// `pg.in_use` if somebody connects again faster than they can be renamed.
pub(super) async fn rename(
    cx: &Cx,
    beside: &Arc<Server>,
    names: &[(&String, &String)],
) -> Result<()> {
    const TRIES: u32 = 20;
    let all: Vec<String> = names.iter().map(|(name, _)| literal(name)).collect();
    let all = all.join(", ");
    // One statement list is one transaction. Our own connections to them, idle in the pool, end as well.
    let mut sql = format!(
        "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity WHERE datname IN ({all}) AND pid <> pg_backend_pid(); BEGIN;"
    );
    for (from, to) in names {
        sql.push_str(&format!(
            " ALTER DATABASE {} RENAME TO {};",
            ident(from),
            ident(to)
        ));
    }
    sql.push_str(" COMMIT;");
    let mut tried = 0;
    loop {
        let result = super::catalog::script(cx, beside, &sql).await;
        tried += 1;
        match result {
            Err(error) if tried < TRIES && error.kind() == "pg.in_use" => {
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
            other => return other,
        }
    }
}

async fn exists(cx: &Cx, server: &Arc<Server>, name: &str) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)";
    let found = catalog::value(cx, server, sql, &[Dynamic::from(name.to_owned())]).await?;
    Ok(found.as_bool().unwrap_or(false))
}

/// A database of the server that is none of these, to do something with these from.
pub(super) fn beside(server: &Arc<Server>, not: &[&str]) -> Arc<Server> {
    let name = if not.contains(&"postgres") {
        "template1"
    } else {
        "postgres"
    };
    catalog::database_of(server, name)
}

async fn swap_preview(
    this: &Database,
    cx: &Cx,
    new: &str,
    _options: &SwapOptions,
) -> Result<Preview> {
    let live = &this.server.database;
    let sql =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()";
    let beside = beside(&this.server, &[live, new]);
    let users = catalog::value(cx, &beside, sql, &[Dynamic::from(live.clone())]).await?;
    Ok(Preview::new(format!(
        "{new} becomes {live}, and {live} gets another name and stays; {users} connections to it end"
    ))
    .undo(format!("swap back: db.swap(\"{live}_before_…\")")))
}
