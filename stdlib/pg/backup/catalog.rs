//! What a backup notes of the server.

use std::collections::BTreeMap;
use std::sync::Arc;

use ccrun_kernel::rhai::Dynamic;
use ccrun_kernel::{Cx, Error, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::manifest::{DatabaseFacts, Extension, ServerFacts};
use crate::pg::client::PgClient;
use crate::pg::connect::Server;
use crate::pg::session::{self, Want};

/// Facts about a server and the database that one is connected to.
#[derive(Debug, Clone, Deserialize)]
pub struct Facts {
    pub server: ServerFacts,
    pub database: DatabaseFacts,
    pub extensions: Vec<Extension>,
    pub roles: Vec<String>,
    pub settings: BTreeMap<String, String>,
    pub superuser: bool,
    pub lsn: String,
}

/// Ask for them.
pub async fn facts(cx: &Cx, server: &Arc<Server>) -> Result<Facts> {
    json(cx, server, include_str!("catalog.sql")).await
}

/// What a query gives that makes one JSON text.
pub async fn json<T: DeserializeOwned>(cx: &Cx, server: &Arc<Server>, sql: &str) -> Result<T> {
    let text = value(cx, server, sql, &[]).await?;
    let text = text.into_string().unwrap_or_default();
    serde_json::from_str(&text).map_err(|error| {
        Error::new(
            "pg.protocol",
            format!("the catalog reads otherwise than expected: {error}"),
        )
    })
}

/// One value by a session that only reads.
pub async fn value(
    cx: &Cx,
    server: &Arc<Server>,
    sql: &str,
    parameters: &[Dynamic],
) -> Result<Dynamic> {
    let client = cx.client::<PgClient>().await?;
    let mut lease = client.reader(server).await?;
    let answer = session::run(&mut lease, &sql.into(), parameters, Want::Value)
        .await
        .map_err(|failure| failure.explain(server))?;
    Ok(answer.rows.into_iter().next().unwrap_or_default())
}

/// Statements by a session that may write, each on its own, in order.
pub async fn execute(cx: &Cx, server: &Arc<Server>, statements: &[String]) -> Result<()> {
    let client = cx.client::<PgClient>().await?;
    let mut lease = client.writer(server).await?;
    for sql in statements {
        session::run(&mut lease, &sql.as_str().into(), &[], Want::Count)
            .await
            .map_err(|failure| failure.explain(server))?;
    }
    Ok(())
}

/// A name as SQL has it.
pub fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as SQL has it.
pub fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// The same server, another database on it.
pub fn database_of(server: &Arc<Server>, database: &str) -> Arc<Server> {
    Arc::new(Server {
        database: database.to_owned(),
        ..(**server).clone()
    })
}

/// Several statements at once, with their own transactions.
pub async fn script(cx: &Cx, server: &Arc<Server>, sql: &str) -> Result<()> {
    scripts(cx, server, &[sql]).await
}

/// The same, one after the other in one session: what the first sets holds when the server gets to see the second.
pub async fn scripts(cx: &Cx, server: &Arc<Server>, scripts: &[&str]) -> Result<()> {
    use sqlx::Executor as _;
    let client = cx.client::<PgClient>().await?;
    let mut lease = client.writer(server).await?;
    lease.begin();
    for sql in scripts {
        let done = lease
            .connection()
            .execute(sqlx::raw_sql(sqlx::AssertSqlSafe((*sql).to_owned())))
            .await;
        if let Err(error) = done {
            // It may be in the middle of a transaction.
            lease.discard = true;
            lease.end();
            return Err(crate::pg::errors::of_statement(error, sql, server));
        }
    }
    lease.end();
    Ok(())
}
