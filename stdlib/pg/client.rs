//! The client: what the namespace does to the world outside goes through here.
#![allow(
    clippy::disallowed_methods,
    reason = "this is the namespace's client: it may ask the environment where the database is"
)]

use std::collections::HashMap;
use std::sync::Arc;

use ccrun_kernel::{Access, Client, Error, Result};
use parking_lot::Mutex;
use sqlx::postgres::PgConnectOptions;

use super::connect::Server;
use super::pool::{Lease, Pool};

/// The pools of a run, for one right.
pub struct PgClient {
    access: Access,
    pools: Mutex<Pools>,
}

type Pools = HashMap<(Arc<Server>, Right), Arc<Pool>>;

/// What the sessions of a pool may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Right {
    Read,
    Write,
}

impl Client for PgClient {
    async fn open(access: &Access) -> Result<Self> {
        Ok(Self {
            access: access.clone(),
            pools: Mutex::default(),
        })
    }
}

impl PgClient {
    /// A session whose transactions are read-only unless they say otherwise.
    ///
    /// # Errors
    /// What connecting says.
    pub async fn reader(&self, server: &Arc<Server>) -> Result<Lease> {
        self.pool(server, Right::Read).lease().await
    }

    /// A session that may write.
    ///
    /// # Errors
    /// `read_only` if this client may not, and what connecting says.
    pub async fn writer(&self, server: &Arc<Server>) -> Result<Lease> {
        if self.access.read_only() {
            return Err(Error::new(
                "read_only",
                format!("{server}: nothing may be changed here"),
            )
            .hint("this is a dry run, or a primitive that only reads"));
        }
        self.pool(server, Right::Write).lease().await
    }

    /// A session for a transaction of the script, which may write unless `dry_run`.
    ///
    /// `db.transaction` is a primitive that reads: by itself it changes nothing, and a dry run must
    /// go through its closure. What is done *in* it by `tx.execute` is a change of its own, which the
    /// wrapper permits, confirms and records, and plans in a dry run; and `tx.query` asks in a part
    /// of the transaction that is READ ONLY (`transaction.rs`). So this is the one place where a
    /// client that was opened for reading hands out a session that may write.
    ///
    /// # Errors
    /// What connecting says.
    pub async fn for_transaction(&self, server: &Arc<Server>, dry_run: bool) -> Result<Lease> {
        let right = if dry_run { Right::Read } else { Right::Write };
        self.pool(server, right).lease().await
    }

    /// Where a server is now, and the password if it is known: for the server's own tools.
    ///
    /// # Errors
    /// What finding them says.
    pub async fn login(&self, server: &Arc<Server>) -> Result<(PgConnectOptions, Option<String>)> {
        let pool = self.pool(server, Right::Read);
        Ok((pool.login().await?, pool.password().await?))
    }

    fn pool(&self, server: &Arc<Server>, right: Right) -> Arc<Pool> {
        let mut pools = self.pools.lock();
        let pool = pools.entry((Arc::clone(server), right)).or_insert_with(|| {
            let read_only = right == Right::Read;
            Arc::new(Pool::new(
                Arc::clone(server),
                read_only,
                self.access.clone(),
            ))
        });
        Arc::clone(pool)
    }
}

/// A variable of the environment.
#[must_use]
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
