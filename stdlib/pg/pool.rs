//! Connections, kept for the next statement.
//!
//! sqlx's own pool asks each connection whether it lives before every use and gives it back in a task
//! of its own; a statement of 40 µs feels both. This one gives back at once, checks what was idle
//! for long, knows the server process behind each connection, and cancels what it abandons there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ccrun_kernel::{Access, Error, Result};
use futures::FutureExt as _;
use parking_lot::Mutex;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, Row as _};
use tokio::runtime::Handle;
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};

use super::connect::{Password, Server};
use super::errors;
use crate::service;

/// A connection that was idle for longer is asked whether it lives before it is used.
const DOUBTFUL_AFTER: Duration = Duration::from_secs(20);

/// A connection that was idle for longer is closed: firewalls forget it silently.
const STALE_AFTER: Duration = Duration::from_secs(300);

/// The connections to one database with one right.
pub struct Pool {
    server: Arc<Server>,
    read_only: bool,
    access: Access,
    options: OnceCell<PgConnectOptions>,
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
    runtime: Handle,
}

struct Connection {
    inner: PgConnection,
    process: i32,
    used: Instant,
}

/// A connection in use. Dropped while a statement runs, it cancels the statement and closes the
/// connection; else the connection goes back.
pub struct Lease {
    pool: Arc<Pool>,
    connection: Option<Connection>,
    /// Whether it was used before, so that it may be broken without anybody's fault.
    pub reused: bool,
    /// Whether it is to be closed afterwards.
    pub discard: bool,
    busy: bool,
    _permit: OwnedSemaphorePermit,
}

impl Pool {
    /// An empty pool. Must be made inside the async runtime.
    #[must_use]
    pub fn new(server: Arc<Server>, read_only: bool, access: Access) -> Self {
        let permits = Arc::new(Semaphore::new(server.max_connections));
        Self {
            server,
            read_only,
            access,
            options: OnceCell::new(),
            idle: Mutex::default(),
            permits,
            runtime: Handle::current(),
        }
    }

    /// A connection, waiting for one if all are in use.
    ///
    /// # Errors
    /// `pg.pool_exhausted`, and what connecting says.
    pub async fn lease(self: &Arc<Self>) -> Result<Lease> {
        let permit = self.permit().await?;
        let lease = |connection, reused| Lease {
            pool: Arc::clone(self),
            connection: Some(connection),
            reused,
            discard: false,
            busy: false,
            _permit: permit,
        };
        loop {
            let idle = self.idle.lock().pop();
            let Some(mut connection) = idle else { break };
            let age = connection.used.elapsed();
            if age > STALE_AFTER || (age > DOUBTFUL_AFTER && connection.inner.ping().await.is_err())
            {
                continue;
            }
            return Ok(lease(connection, true));
        }
        Ok(lease(self.connect().await?, false))
    }

    /// Forget the idle connections: one of them was found broken, so the others may be.
    pub fn forget_idle(&self) {
        self.idle.lock().clear();
    }

    async fn permit(&self) -> Result<OwnedSemaphorePermit> {
        // Free most of the time, and then without arming a timer.
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Ok(permit);
        }
        let wait = Duration::from_secs(60);
        match tokio::time::timeout(wait, Arc::clone(&self.permits).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(Error::new(
                "pg.pool_exhausted",
                format!(
                    "all {} connections to {} stayed in use for {wait:?}",
                    self.server.max_connections, self.server
                ),
            )
            .hint("raise `max_connections` of pg::connect, or hold fewer transactions and each_row loops at once")
            .retryable()),
        }
    }

    async fn options(&self) -> Result<&PgConnectOptions> {
        self.options
            .get_or_try_init(|| async {
                let password = self.password().await?;
                self.server.options(password.as_deref())
            })
            .await
    }

    /// Where the server is now, and how to log in.
    ///
    /// # Errors
    /// What finding the service or the password says.
    pub async fn login(&self) -> Result<PgConnectOptions> {
        let options = self.options().await?.clone();
        if self.server.is_service {
            // Asked each time: a container that was made again has another address.
            let (service, port) = (&self.server.host, self.server.port);
            if let Some((host, port)) = service::address(&self.access, "pg", service, port).await? {
                return Ok(options.host(&host).port(port));
            }
        }
        Ok(options)
    }

    /// The password, if it is known.
    ///
    /// # Errors
    /// What finding the secret says.
    pub async fn password(&self) -> Result<Option<String>> {
        match &self.server.password {
            Password::Ambient => Ok(None),
            Password::Known(password) => Ok(Some(password.clone())),
            Password::Reference(name) => {
                let secret = self.access.secret(name).await?;
                Ok(Some(secret.expose().to_owned()))
            }
        }
    }

    async fn connect(&self) -> Result<Connection> {
        let options = self.login().await?;
        let connecting = async {
            let mut inner = PgConnection::connect_with(&options).await?;
            let row = inner
                .fetch_one(sqlx::raw_sql(AssertSqlSafe(self.greeting())))
                .await?;
            let process = row
                .try_get_raw(0)?
                .as_str()
                .ok()
                .and_then(|text| text.parse().ok())
                .unwrap_or_default();
            Ok(Connection {
                inner,
                process,
                used: Instant::now(),
            })
        };
        match tokio::time::timeout(self.server.connect_timeout, connecting).await {
            Ok(connected) => connected.map_err(|error| errors::of_connection(error, &self.server)),
            Err(_) => Err(errors::connect_timeout(&self.server)),
        }
    }

    /// The first statement of a session, in one round trip: who serves it, and its settings. They are
    /// not startup options because poolers in between refuse those.
    fn greeting(&self) -> String {
        let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
        let mut settings: Vec<(&str, &str)> = self
            .server
            .settings
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        if self.read_only {
            settings.push(("default_transaction_read_only", "on"));
        }
        // The lexer in `sql.rs` reads strings so.
        settings.push(("standard_conforming_strings", "on"));
        let mut text = String::from("select pg_backend_pid()");
        for (name, value) in settings {
            // `E''` so that a backslash means the same whatever the server's default is.
            let value = quoted(&value.replace('\\', "\\\\"));
            text.push_str(&format!(", set_config({}, E{value}, false)", quoted(name)));
        }
        // A server that notices a client's end stops working for nobody; older ones can't.
        text.push_str(
            ", case when current_setting('server_version_num')::int >= 140000 \
             then set_config('client_connection_check_interval', '2s', false) end",
        );
        text
    }

    /// Ask the server to stop what a process is doing. Nobody waits for the answer.
    fn cancel(&self, process: i32) {
        let Some(options) = self.options.get().cloned() else {
            return;
        };
        self.runtime.spawn(async move {
            let limit = Duration::from_secs(5);
            let cancelling = async {
                let mut connection = PgConnection::connect_with(&options).await?;
                let sql = format!("select pg_cancel_backend({process})");
                connection
                    .execute(sqlx::raw_sql(AssertSqlSafe(sql)))
                    .await?;
                connection.close().await
            };
            // It was an attempt: a server that notices the closed connection stops as well.
            drop::<Result<sqlx::Result<()>, _>>(tokio::time::timeout(limit, cancelling).await);
        });
    }
}

impl Lease {
    /// The connection.
    pub fn connection(&mut self) -> &mut PgConnection {
        let connection = self.connection.as_mut();
        &mut connection
            .expect("a lease has its connection until it is dropped")
            .inner
    }

    /// The pool.
    #[must_use]
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// A statement begins: from here on, dropping the lease cancels it.
    pub fn begin(&mut self) {
        self.busy = true;
    }

    /// Send what is queued, a ROLLBACK mostly, and don't wait for the answer: the next statement on
    /// this connection reads it.
    pub fn send(&mut self) {
        if !self.busy && !self.discard {
            drop(self.connection().flush().now_or_never());
        }
    }

    /// The statement has ended, well or not.
    pub fn end(&mut self) {
        self.busy = false;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else {
            return;
        };
        if self.busy {
            self.pool.cancel(connection.process);
        } else if !self.discard {
            connection.used = Instant::now();
            self.pool.idle.lock().push(connection);
        }
    }
}
