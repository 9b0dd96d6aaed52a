//! `Database`: statements, each in a transaction of its own.

use std::sync::Arc;

use ccrun_kernel::rhai::{Array, Dynamic, FnPtr};
use ccrun_kernel::secret::Secret;
use ccrun_kernel::{Caller, Cx, Error, MaybeSecret, Object, Preview, Result, primitive};
use futures::StreamExt as _;
use sqlx::{AssertSqlSafe, Connection as _, Either, Row as _};

use super::client::{self, PgClient};
use super::connect::{Connect, Password, Server};
use super::plan;
use super::portable;
use super::session::{self, Answer, Failure, GUARD, Running, Want};
use super::sql::{self, Facts};
use super::statement::{must_act, must_ask, only, parameters, with_nearest_table};
use super::{errors, pool::Lease};

/// A database. Connections are made when the first statement needs one, kept for the next, and
/// closed at the end of the run.
#[derive(Clone, Object)]
#[object(name = "Database", describe = "Database::describe")]
pub struct Database {
    pub(super) server: Arc<Server>,
}

/// The database of the target, another one on the same server, or one given by URL or options.
///
/// Without arguments: the target's `postgres` section, else `PGHOST` and the like, else `DATABASE_URL`.
/// With a name: that database on the target's server. Nothing is sent before the first statement.
///
/// A map of options has `url`, `host` (a name, an address, or the folder of a Unix socket), `port`,
/// `user`, `password` (string or secret), `database`, `sslmode`, `sslrootcert`, `application_name`
/// (`ccrun`), `connect_timeout` (`10s`), `settings` (`#{ statement_timeout: "30s" }`) and
/// `max_connections` (10). What is left out comes from `PGHOST` and the like; a password also from
/// `~/.pgpass`.
///
/// # Errors
/// `pg.bad_url`, `pg.bad_option`, `config.section`.
///
/// # Example
/// ```rhai,no_run
/// let db = pg::connect();
/// let app = pg::connect("app");
/// let other = pg::connect(#{ host: "db.internal", user: "ops", password: secret("DB_PASSWORD"), database: "app" });
/// ```
#[primitive(pure)]
pub(super) fn connect(cx: &Cx, database: Connect) -> Result<Database> {
    let server = Server::find(&database, cx.target(), client::environment)?;
    if let Password::Known(password) = &server.password {
        cx.redactor()
            .add(&Secret::new("database password", password.as_str()));
    }
    Ok(Database {
        server: Arc::new(server),
    })
}

impl Database {
    fn describe(&self) -> String {
        format!("Database({})", self.server)
    }

    /// The same database for another role: a `Database` that logs in as it.
    ///
    /// Nothing is sent before the first statement, which is when a wrong password is found out.
    ///
    /// # Errors
    /// None.
    ///
    /// # Example
    /// ```rhai,no_run
    /// let app = pg::connect().login("authenticator", secret("AUTHENTICATOR_PASSWORD"));
    /// app.value("select current_user");
    /// ```
    #[primitive(pure)]
    fn login(&self, cx: &Cx, user: String, password: MaybeSecret) -> Database {
        let password = password.expose().to_owned();
        cx.redactor()
            .add(&Secret::new("database password", password.as_str()));
        Database {
            server: Arc::new(self.server.with_login(user, password)),
        }
    }

    /// The rows of a query, as an array of maps.
    ///
    /// Parameters `$1`, `$2` … are given in an array and converted to the types the statement wants.
    /// A second column of the same name is called `name_2`. The query can't change anything.
    ///
    /// # Errors
    /// `pg.read_only` if it would change something, `pg.syntax`, `pg.undefined_table`,
    /// `pg.bad_parameter`, `pg.result_too_large`, `pg.connection_refused`, `pg.auth_failed` and others.
    ///
    /// # Example
    /// ```rhai,no_run
    /// for row in pg::connect().query("select name, total from orders where total > $1", [100]) {
    ///     print(`${row.name}: ${row.total}`);
    /// }
    /// ```
    #[primitive(read, needs = pg(self.server.resource))]
    async fn query(&self, cx: &Cx, sql: String, params: Option<Array>) -> Result<Array> {
        Ok(self.ask(cx, sql, params, Want::Rows).await?.rows)
    }

    /// The only row of a query, as a map.
    ///
    /// # Errors
    /// `pg.no_rows`, `pg.many_rows`, and those of `query`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// let user = pg::connect().one("select * from users where id = $1", [7]);
    /// ```
    #[primitive(read, needs = pg(self.server.resource))]
    async fn one(&self, cx: &Cx, sql: String, params: Option<Array>) -> Result<Dynamic> {
        only(self.ask(cx, sql, params, Want::Rows).await?.rows)
    }

    /// The first column of the only row of a query; `()` for NULL.
    ///
    /// # Errors
    /// `pg.no_rows`, `pg.many_rows`, and those of `query`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// let users = pg::connect().value("select count(*) from users");
    /// ```
    #[primitive(read, needs = pg(self.server.resource))]
    async fn value(&self, cx: &Cx, sql: String, params: Option<Array>) -> Result<Dynamic> {
        only(self.ask(cx, sql, params, Want::Value).await?.rows)
    }

    /// Call a closure with each row of a query, of which only a few are in memory at a time.
    /// The number of rows is returned; a closure that returns `false` ends it.
    ///
    /// # Errors
    /// Those of `query`, and what the closure throws.
    ///
    /// # Example
    /// ```rhai,no_run
    /// pg::connect().each_row("select id from events where day < $1", ["2025-01-01"], |row| {
    ///     print(row.id);
    /// });
    /// ```
    #[primitive(read, needs = pg(self.server.resource))]
    fn each_row(
        &self,
        cx: &Cx,
        call: &Caller<'_>,
        sql: String,
        params: Option<Array>,
        body: FnPtr,
    ) -> Result<i64> {
        let facts = Facts::of(&sql);
        must_ask(&facts)?;
        let client = cx.block_on(cx.client::<PgClient>())?;
        let mut lease = cx.block_on(client.reader(&self.server))?;
        lease.begin();
        if cx.dry_run() || !facts.plain {
            cx.block_on(async { self.raw(&mut lease, GUARD).await })?;
            lease.discard = true;
        }
        let parameters = parameters(params, &facts)?;
        let mut rows = Batches {
            running: cx.block_on(async {
                let running = Running::start(lease.connection(), sql.into(), &parameters).await;
                running.map_err(|failure| failure.explain(&self.server))
            })?,
            server: &self.server,
        };
        let mut count = 0;
        loop {
            let batch = cx.block_on(rows.next())?;
            if batch.is_empty() {
                break;
            }
            for row in batch {
                count += 1;
                if let Ok(false) = call.invoke(&body, [row])?.as_bool() {
                    // The lease is dropped in the middle of the answer, which cancels the rest.
                    return Ok(count);
                }
            }
        }
        drop(rows);
        lease.end();
        Ok(count)
    }

    /// Run a statement that changes something; the number of rows it changed.
    ///
    /// # Errors
    /// `pg.unique_violation` and the other constraints, `pg.session_statement` for SET and BEGIN, and
    /// those of `query`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// let gone = pg::connect().execute("delete from sessions where seen < now() - $1::interval", ["30 days"]);
    /// ```
    #[primitive(change, needs = pg(self.server.resource), preview = plan_execute)]
    async fn execute(&self, cx: &Cx, sql: String, params: Option<Array>) -> Result<u64> {
        Ok(self.act(cx, sql, params, Want::Count).await?.affected)
    }

    /// Run a statement that changes something; the rows of its RETURNING, as an array of maps.
    ///
    /// # Errors
    /// Those of `execute`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// let made = pg::connect().execute_returning("insert into users (name) values ($1) returning id", ["ann"]);
    /// print(made[0].id);
    /// ```
    #[primitive(change, needs = pg(self.server.resource), preview = plan_execute)]
    async fn execute_returning(
        &self,
        cx: &Cx,
        sql: String,
        params: Option<Array>,
    ) -> Result<Array> {
        Ok(self.act(cx, sql, params, Want::Returned).await?.rows)
    }

    /// Run several statements, separated by `;`, all or nothing.
    ///
    /// They are one transaction unless the script has BEGIN and COMMIT itself. They have a connection of
    /// their own, so that SET and temporary tables hold within the script and not beyond.
    ///
    /// # Errors
    /// Those of `execute`, with the line of the script; `pg.transaction_open` if a COMMIT is missing.
    ///
    /// # Example
    /// ```rhai,no_run
    /// pg::connect().script("create table a (id int); create table b (id int);");
    /// ```
    #[primitive(change, needs = pg(self.server.resource))]
    async fn script(&self, cx: &Cx, sql: String) -> Result<()> {
        let client = cx.client::<PgClient>().await?;
        let mut lease = client.writer(&self.server).await?;
        lease.discard = true;
        lease.begin();
        let result = self.run_script(&mut lease, &sql).await;
        lease.end();
        match result {
            Ok(()) => Ok(()),
            Err(error) => Err(with_nearest_table(error, &client, &self.server).await),
        }
    }

    /// The database's name.
    ///
    /// # Errors
    /// None.
    ///
    /// # Example
    /// ```rhai,no_run
    /// print(pg::connect("app").name);
    /// ```
    #[primitive(pure, get)]
    fn name(&self) -> String {
        self.server.database.clone()
    }

    /// The server's host, or the folder of its socket.
    ///
    /// # Errors
    /// None.
    ///
    /// # Example
    /// ```rhai,no_run
    /// print(pg::connect().host);
    /// ```
    #[primitive(pure, get)]
    fn host(&self) -> String {
        self.server.host.clone()
    }

    /// The server's port.
    ///
    /// # Errors
    /// None.
    ///
    /// # Example
    /// ```rhai,no_run
    /// print(pg::connect().port);
    /// ```
    #[primitive(pure, get)]
    fn port(&self) -> u16 {
        self.server.port
    }

    /// The role that it connects as.
    ///
    /// # Errors
    /// None.
    ///
    /// # Example
    /// ```rhai,no_run
    /// print(pg::connect().user);
    /// ```
    #[primitive(pure, get)]
    fn user(&self) -> String {
        self.server.user.clone()
    }

    pub(super) async fn ask(
        &self,
        cx: &Cx,
        sql: String,
        params: Option<Array>,
        want: Want,
    ) -> Result<Answer> {
        let facts = Facts::of(&sql);
        must_ask(&facts)?;
        let guarded = cx.dry_run() || !facts.plain;
        let sql: Arc<str> = sql.into();
        let parameters = parameters(params, &facts)?;
        let client = cx.client::<PgClient>().await?;
        let mut lease = client.reader(&self.server).await?;
        // Twice at most: once more on a new connection, or with a new plan, or in another form.
        for last in [false, true] {
            let result = if guarded {
                session::run_guarded(&mut lease, &sql, &parameters, want).await
            } else {
                session::run(&mut lease, &sql, &parameters, want).await
            };
            let failure = match result {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            match failure.sql() {
                Some(error) if !last && lease.reused && errors::is_broken_connection(error) => {
                    lease.pool().forget_idle();
                    // Given back first: with a single connection the next lease would wait for it.
                    drop(lease);
                    lease = client.reader(&self.server).await?;
                }
                Some(error) if !last && errors::is_stale_plan(error) => {
                    self.forget_plans(&mut lease).await?;
                }
                Some(error) if errors::is_unreadable_type(error) => {
                    let result = portable::run(&mut lease, &sql, &parameters, want).await;
                    return result.map_err(|failure| failure.explain(&self.server));
                }
                _ => {
                    drop(lease);
                    let error = failure.explain(&self.server);
                    return Err(with_nearest_table(error, &client, &self.server).await);
                }
            }
        }
        unreachable!("the second round returns")
    }

    async fn act(&self, cx: &Cx, sql: String, params: Option<Array>, want: Want) -> Result<Answer> {
        let facts = Facts::of(&sql);
        must_act(&facts, false)?;
        let sql: Arc<str> = sql.into();
        let parameters = parameters(params, &facts)?;
        let client = cx.client::<PgClient>().await?;
        let mut lease = client.writer(&self.server).await?;
        let mut result = session::run(&mut lease, &sql, &parameters, want).await;
        // The server refuses a stale plan before it does anything.
        if let Err(failure) = &result
            && failure.sql().is_some_and(errors::is_stale_plan)
        {
            self.forget_plans(&mut lease).await?;
            result = session::run(&mut lease, &sql, &parameters, want).await;
        }
        lease.discard |= facts.leaves_traces;
        drop(lease);
        match result {
            Ok(answer) => Ok(answer),
            Err(failure) if failure.sql().is_some_and(errors::is_unreadable_type) => {
                Err(portable::unreadable())
            }
            Err(failure) => {
                let error = failure.explain(&self.server);
                Err(with_nearest_table(error, &client, &self.server).await)
            }
        }
    }

    async fn forget_plans(&self, lease: &mut Lease) -> Result<()> {
        lease
            .connection()
            .clear_cached_statements()
            .await
            .map(|_| ())
            .map_err(|error| errors::of_connection(error, &self.server))
    }

    /// Run SQL by the simple protocol: our own, or that of a script.
    async fn raw(&self, lease: &mut Lease, sql: &str) -> Result<()> {
        let mut pieces = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_many(lease.connection());
        while let Some(piece) = pieces.next().await {
            piece.map_err(|error| errors::of_statement(error, sql, &self.server))?;
        }
        Ok(())
    }

    async fn run_script(&self, lease: &mut Lease, script: &str) -> Result<()> {
        let mut done = 0;
        let mut failed = None;
        {
            let mut pieces = sqlx::raw_sql(AssertSqlSafe(script)).fetch_many(lease.connection());
            while let Some(piece) = pieces.next().await {
                match piece {
                    Ok(Either::Left(_)) => done += 1,
                    Ok(Either::Right(_)) => {}
                    Err(error) => {
                        failed = Some(error);
                        break;
                    }
                }
            }
        }
        if let Some(error) = failed {
            return Err(in_script(
                errors::of_statement(error, script, &self.server),
                script,
                done,
            ));
        }
        // In a transaction that was begun earlier, `now()` is the time of its beginning. Asked by the
        // simple protocol, where a statement of its own is one moment.
        let row = sqlx::raw_sql("select now() <> statement_timestamp()")
            .fetch_one(lease.connection())
            .await
            .map_err(|error| errors::of_connection(error, &self.server))?;
        if row
            .try_get_raw(0)
            .is_ok_and(|open| open.as_str().is_ok_and(|open| open == "t"))
        {
            return Err(Error::new(
                "pg.transaction_open",
                "the script ends inside of a transaction: nothing since its BEGIN was done",
            )
            .hint(
                "add the missing COMMIT, or leave BEGIN away: a script is one transaction anyway",
            ));
        }
        Ok(())
    }
}

async fn plan_execute(
    database: &Database,
    cx: &Cx,
    sql: &str,
    params: &Option<Array>,
) -> Result<Preview> {
    plan::execute(&database.server, cx, sql, params, false).await
}

/// Say where in the script it was: the server gives a place only to some errors, but the statements
/// that went well can be counted.
fn in_script(error: Error, script: &str, done: usize) -> Error {
    if error.details().contains_key("sql_line") {
        return error;
    }
    let Some(start) = sql::statements(script).get(done).copied() else {
        return error;
    };
    let line = script[..start].matches('\n').count() + 1;
    let text = script[start..].lines().next().unwrap_or_default();
    let mut built = Error::new(
        error.kind(),
        format!("{}\nline {line}: {text}", error.message()),
    )
    .retryable_if(error.is_retryable())
    .code(error.code_text().unwrap_or_default());
    if let Some(hint) = error.hint_text() {
        built = built.hint(hint);
    }
    for (key, value) in error.details() {
        built = built.detail(key, value.clone());
    }
    built
        .detail("sql_line", line as i64)
        .detail("statement", (done + 1) as i64)
}

/// The rows of a running query, a few at a time: one call into the runtime for what has arrived.
struct Batches<'a> {
    running: Running<'a>,
    server: &'a Server,
}

/// How many rows are handed to the script at most before the next are looked for.
const BATCH: usize = 128;

impl Batches<'_> {
    /// The next rows; none at the end.
    async fn next(&mut self) -> Result<Vec<Dynamic>> {
        let mut rows = Vec::new();
        while rows.len() < BATCH {
            let piece = if rows.is_empty() {
                self.running.next().await
            } else {
                self.running.next_if_ready()
            };
            match piece {
                None => break,
                Some(Ok(Either::Left(_))) => {}
                Some(Ok(Either::Right(row))) => {
                    let map = self.running.map(&row);
                    rows.push(map);
                }
                Some(Err(failure)) => return Err(fail(failure, self.server)),
            }
        }
        Ok(rows)
    }
}

fn fail(failure: Failure, server: &Server) -> Error {
    if failure.sql().is_some_and(errors::is_unreadable_type) {
        return portable::unreadable();
    }
    failure.explain(server)
}
