//! `db.transaction(|tx| …)`: several statements, all or nothing.

use std::sync::Arc;

use ccrun_kernel::event::Level;
use ccrun_kernel::rhai::{Array, Dynamic, FnPtr};
use ccrun_kernel::{Caller, Cx, Error, Object, Options, Preview, Result, primitive};
use futures::StreamExt as _;
use sqlx::AssertSqlSafe;
use tokio::sync::Mutex;

use super::client::PgClient;
use super::connect::Server;
use super::database::Database;
use super::errors;
use super::plan;
use super::pool::Lease;
use super::portable;
use super::session::{self, Answer, Want};
use super::sql::{Facts, without_locking};
use super::statement::{must_act, must_ask, only, parameters, with_nearest_table};

/// A transaction, for as long as its closure runs.
#[derive(Clone, Object)]
#[object(name = "Transaction", describe = "Transaction::describe")]
pub struct Transaction {
    server: Arc<Server>,
    state: Arc<Mutex<State>>,
}

/// How a transaction behaves.
#[derive(Clone, Options)]
pub struct TransactionOptions {
    /// `read committed` (the server's default), `repeatable read` or `serializable`.
    isolation: Option<String>,
    /// Whether nothing may be changed in it.
    #[option(default = "false")]
    read_only: bool,
    /// With `serializable` and `read_only`: wait for a moment in which it can't fail.
    #[option(default = "false")]
    deferrable: bool,
    /// How often to run the closure again after a serialization failure or a deadlock.
    #[option(default = "0")]
    retry: u32,
}

struct State {
    /// `None` once it has ended.
    lease: Option<Lease>,
    /// Whether the session is READ ONLY as a whole.
    read_only: bool,
    dry_run: bool,
    /// The first statement that failed: the server does nothing more after it.
    failed: Option<String>,
    /// Whether it is in a part that is READ ONLY.
    fenced: bool,
    /// Whether something may stay behind in the session.
    leaves_traces: bool,
    savepoints: u32,
}

/// What a statement in a transaction may do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Right {
    Ask,
    Act,
}

impl Database {
    /// Run a closure in a transaction: commit when it returns, roll back when it throws. The closure's
    /// value is returned.
    ///
    /// In a dry run the transaction is READ ONLY, and each `tx.execute` is planned.
    ///
    /// # Errors
    /// What the closure throws; `pg.transaction_aborted` if a statement failed and its error was caught;
    /// `pg.serialization_failure` and `pg.deadlock` when no retry is left.
    ///
    /// # Example
    /// ```rhai,no_run
    /// let db = pg::connect();
    /// db.transaction(#{ isolation: "serializable", retry: 3 }, |tx| {
    ///     let left = tx.value("select balance from accounts where id = $1", [1]);
    ///     assert(left >= 10, "not enough");
    ///     tx.execute("update accounts set balance = balance - 10 where id = $1", [1]);
    ///     tx.execute("update accounts set balance = balance + 10 where id = $1", [2]);
    /// });
    /// ```
    #[primitive(read, volatile, needs = pg(self.server.resource))]
    pub(super) fn transaction(
        &self,
        cx: &Cx,
        call: &Caller<'_>,
        options: TransactionOptions,
        body: FnPtr,
    ) -> Result<Dynamic> {
        let begin = options.begin(cx.dry_run())?;
        let mut left = options.retry;
        loop {
            let transaction = cx.block_on(self.begin(cx, &begin, &options))?;
            let handle = Dynamic::from(transaction.clone());
            let error = match call.invoke(&body, [handle]) {
                Ok(value) => match cx.block_on(transaction.finish(true)) {
                    Ok(()) => return Ok(value),
                    Err(error) => error,
                },
                Err(error) => {
                    // When the run is to stop this stops at once, and the connection is closed,
                    // which rolls back as well.
                    drop(cx.block_on(transaction.finish(false)));
                    error
                }
            };
            let again = ["pg.serialization_failure", "pg.deadlock"].contains(&error.kind());
            if !again || left == 0 {
                return Err(error);
            }
            left -= 1;
            cx.log(
                Level::Info,
                format!("the transaction is run again: {}", error.message()),
            );
        }
    }

    pub(super) async fn begin(
        &self,
        cx: &Cx,
        begin: &str,
        options: &TransactionOptions,
    ) -> Result<Transaction> {
        let client = cx.client::<PgClient>().await?;
        let lease = client.for_transaction(&self.server, cx.dry_run()).await?;
        let mut state = State {
            lease: Some(lease),
            read_only: options.read_only || cx.dry_run(),
            dry_run: cx.dry_run(),
            failed: None,
            fenced: false,
            leaves_traces: false,
            savepoints: 0,
        };
        if let Err(error) = state.raw(begin, &self.server).await {
            let reused = state.lease.as_ref().is_some_and(|lease| lease.reused);
            if error.kind() != "pg.connection_lost" || !reused {
                return Err(error);
            }
            // The connection broke while it lay idle; nothing has been done on it yet.
            state
                .lease
                .iter()
                .for_each(|lease| lease.pool().forget_idle());
            state.lease = None;
            let lease = client.for_transaction(&self.server, cx.dry_run()).await?;
            state.lease = Some(lease);
            state.raw(begin, &self.server).await?;
        }
        Ok(Transaction {
            server: Arc::clone(&self.server),
            state: Arc::new(Mutex::new(state)),
        })
    }
}

impl TransactionOptions {
    /// As the server does it by itself.
    pub(super) fn usual() -> Self {
        Self {
            isolation: None,
            read_only: false,
            deferrable: false,
            retry: 0,
        }
    }

    /// All statements see one moment.
    pub(super) fn steady() -> Self {
        Self {
            isolation: Some("repeatable read".to_owned()),
            ..Self::usual()
        }
    }

    /// The statement that begins it.
    pub(super) fn begin(&self, dry_run: bool) -> Result<String> {
        let mut text = "BEGIN".to_owned();
        if let Some(isolation) = &self.isolation {
            let isolation = isolation.replace('_', " ").to_uppercase();
            if !["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"].contains(&isolation.as_str())
            {
                return Err(Error::new(
                    "pg.bad_option",
                    format!("`{}` is no isolation level", isolation.to_lowercase()),
                )
                .hint("it is `read committed`, `repeatable read` or `serializable`"));
            }
            text.push_str(" ISOLATION LEVEL ");
            text.push_str(&isolation);
        }
        if self.read_only || dry_run {
            text.push_str(" READ ONLY");
        } else {
            text.push_str(" READ WRITE");
        }
        if self.deferrable {
            text.push_str(" DEFERRABLE");
        }
        if dry_run {
            // Once it has a snapshot, a transaction can't become READ WRITE any more.
            text.push_str("; SELECT 1");
        }
        Ok(text)
    }
}

impl Transaction {
    fn describe(&self) -> String {
        format!("Transaction({})", self.server)
    }

    /// The rows of a query, as an array of maps. See `Database.query`.
    ///
    /// # Errors
    /// Those of `Database.query`; `pg.transaction_ended` after the closure has returned.
    ///
    /// # Example
    /// ```rhai,no_run
    /// let names = pg::connect().transaction(|tx| tx.query("select name from users for update"));
    /// ```
    #[primitive(read, needs = pg(self.server.resource))]
    async fn query(&self, cx: &Cx, sql: String, params: Option<Array>) -> Result<Array> {
        Ok(self
            .run(cx, sql, params, Want::Rows, Right::Ask)
            .await?
            .rows)
    }

    /// The only row of a query, as a map. See `Database.one`.
    ///
    /// # Errors
    /// `pg.no_rows`, `pg.many_rows`, and those of `query`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// pg::connect().transaction(|tx| tx.one("select * from users where id = $1", [7]));
    /// ```
    #[primitive(read, needs = pg(self.server.resource))]
    async fn one(&self, cx: &Cx, sql: String, params: Option<Array>) -> Result<Dynamic> {
        only(
            self.run(cx, sql, params, Want::Rows, Right::Ask)
                .await?
                .rows,
        )
    }

    /// The first column of the only row of a query. See `Database.value`.
    ///
    /// # Errors
    /// `pg.no_rows`, `pg.many_rows`, and those of `query`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// pg::connect().transaction(|tx| tx.value("select count(*) from users"));
    /// ```
    #[primitive(read, needs = pg(self.server.resource))]
    async fn value(&self, cx: &Cx, sql: String, params: Option<Array>) -> Result<Dynamic> {
        only(
            self.run(cx, sql, params, Want::Value, Right::Ask)
                .await?
                .rows,
        )
    }

    /// Run a statement that changes something; the number of rows it changed.
    ///
    /// # Errors
    /// Those of `Database.execute`; `pg.transaction_aborted` after another statement failed.
    ///
    /// # Example
    /// ```rhai,no_run
    /// pg::connect().transaction(|tx| tx.execute("delete from carts where id = $1", [7]));
    /// ```
    #[primitive(change, needs = pg(self.server.resource), preview = plan_execute)]
    async fn execute(&self, cx: &Cx, sql: String, params: Option<Array>) -> Result<u64> {
        Ok(self
            .run(cx, sql, params, Want::Count, Right::Act)
            .await?
            .affected)
    }

    /// Run a statement that changes something; the rows of its RETURNING, as an array of maps.
    ///
    /// # Errors
    /// Those of `execute`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// pg::connect().transaction(|tx| {
    ///     let id = tx.execute_returning("insert into users (name) values ('ann') returning id")[0].id;
    ///     tx.execute("insert into members (user_id) values ($1)", [id]);
    /// });
    /// ```
    #[primitive(change, needs = pg(self.server.resource), preview = plan_execute)]
    async fn execute_returning(
        &self,
        cx: &Cx,
        sql: String,
        params: Option<Array>,
    ) -> Result<Array> {
        Ok(self
            .run(cx, sql, params, Want::Returned, Right::Act)
            .await?
            .rows)
    }

    /// Run a part of the transaction that can fail alone: when the closure throws, what it did is
    /// taken back, and its error can be caught. The closure is given the transaction.
    ///
    /// # Errors
    /// What the closure throws.
    ///
    /// # Example
    /// ```rhai,no_run
    /// pg::connect().transaction(|tx| {
    ///     try {
    ///         tx.savepoint(|tx| tx.execute("insert into tags values ('new')"));
    ///     } catch (err) {
    ///         if err.kind != "pg.unique_violation" { throw err; }
    ///     }
    /// });
    /// ```
    #[primitive(read, volatile, needs = pg(self.server.resource))]
    fn savepoint(&self, cx: &Cx, call: &Caller<'_>, body: FnPtr) -> Result<Dynamic> {
        let name = cx.block_on(async {
            let mut state = self.state.lock().await;
            state.usable()?;
            state.fence(false, &self.server).await?;
            state.savepoints += 1;
            let name = format!("ccrun_{}", state.savepoints);
            state
                .raw(&format!("SAVEPOINT {name}"), &self.server)
                .await?;
            Ok(name)
        })?;
        // Given, and not only captured: the interpreter locks a captured `tx` while a method of it runs.
        let result = call.invoke(&body, [Dynamic::from(self.clone())]);
        cx.block_on(async {
            let mut state = self.state.lock().await;
            // A READ ONLY part that was entered inside ends with the savepoint.
            state.fenced = false;
            if result.is_ok() {
                state.usable()?;
                return state.raw(&format!("RELEASE {name}"), &self.server).await;
            }
            let sql = format!("ROLLBACK TO {name}; RELEASE {name}");
            state.raw(&sql, &self.server).await?;
            state.failed = None;
            Ok(())
        })?;
        result
    }

    async fn run(
        &self,
        cx: &Cx,
        sql: String,
        params: Option<Array>,
        want: Want,
        right: Right,
    ) -> Result<Answer> {
        let facts = Facts::of(&sql);
        match right {
            Right::Ask => must_ask(&facts)?,
            Right::Act => must_act(&facts, true)?,
        }
        let parameters = parameters(params, &facts)?;
        let result = {
            let mut state = self.state.lock().await;
            state.usable()?;
            let result = state
                .run(&sql, &facts, &parameters, want, right, &self.server)
                .await;
            if let Err(error) = &result {
                state.failed = Some(
                    error
                        .message()
                        .lines()
                        .next()
                        .unwrap_or_default()
                        .to_owned(),
                );
            }
            result
        };
        match result {
            Ok(answer) => Ok(answer),
            Err(error) => {
                let client = cx.client::<PgClient>().await?;
                Err(with_nearest_table(error, &client, &self.server).await)
            }
        }
    }

    /// Run our own SQL in it, which may have to say something.
    pub(super) async fn own(&self, sql: &str) -> Result<()> {
        let mut state = self.state.lock().await;
        state.raw(sql, &self.server).await
    }

    /// Ask for one value with our own SQL.
    pub(super) async fn own_value(&self, sql: &str, parameters: &[Dynamic]) -> Result<Dynamic> {
        let mut state = self.state.lock().await;
        state.usable()?;
        let lease = state
            .lease
            .as_mut()
            .ok_or_else(|| Error::new("pg.transaction_ended", "the transaction has ended"))?;
        let answer = session::run(lease, &sql.into(), parameters, Want::Value).await;
        only(
            answer
                .map_err(|failure| failure.explain(&self.server))?
                .rows,
        )
    }

    /// Commit or roll back. Afterwards the handle is dead, wherever a script has kept it.
    pub(super) async fn finish(&self, commit: bool) -> Result<()> {
        let mut state = self.state.lock().await;
        let result = if !commit || state.dry_run {
            state.raw("ROLLBACK", &self.server).await
        } else if let Some(why) = &state.failed {
            // COMMIT would succeed here, and do a rollback.
            let error = Error::new(
                "pg.transaction_aborted",
                format!("the transaction was rolled back, because a statement in it failed: {why}"),
            )
            .hint("let the error end the closure, or put the statement into `tx.savepoint(|tx| …)` to go on after it");
            drop(state.raw("ROLLBACK", &self.server).await);
            Err(error)
        } else {
            state.raw("COMMIT", &self.server).await
        };
        if let Some(mut lease) = state.lease.take() {
            // Until here, a lease that is dropped closes its connection, which rolls back.
            lease.discard = result.is_err() || state.leaves_traces;
        }
        result
    }
}

async fn plan_execute(
    transaction: &Transaction,
    cx: &Cx,
    sql: &str,
    params: &Option<Array>,
) -> Result<Preview> {
    plan::execute(&transaction.server, cx, sql, params, true).await
}

impl State {
    fn usable(&self) -> Result<()> {
        if self.lease.is_none() {
            return Err(
                Error::new("pg.transaction_ended", "the transaction has ended")
                    .hint("use `tx` inside of its closure only, and the database outside of it"),
            );
        }
        Ok(())
    }

    async fn run(
        &mut self,
        sql: &str,
        facts: &Facts,
        parameters: &[Dynamic],
        want: Want,
        right: Right,
        server: &Server,
    ) -> Result<Answer> {
        // A dry run can't lock rows, and needs not to: it changes none.
        let text: Arc<str> = if self.dry_run && !facts.locking.is_empty() {
            without_locking(sql, facts).into()
        } else {
            sql.into()
        };
        // Rows are locked for a change that follows, which the READ ONLY part would refuse.
        let locks = facts.plain && !facts.locking.is_empty();
        let fence = right == Right::Ask && !locks && !self.read_only;
        self.fence(fence, server).await?;
        self.leaves_traces |= facts.leaves_traces;
        let lease = self
            .lease
            .as_mut()
            .ok_or_else(|| Error::new("pg.transaction_ended", "the transaction has ended"))?;
        let result = session::run(lease, &text, parameters, want).await;
        let answer = result.map_err(|failure| {
            if failure.sql().is_some_and(errors::is_unreadable_type) {
                portable::unreadable()
            } else {
                failure.explain(server)
            }
        })?;
        // EXPLAIN ANALYZE may do what it explains: that is taken back.
        if fence && facts.verb == "explain" {
            self.fenced = false;
            self.raw("ROLLBACK TO ccrun_ask; RELEASE ccrun_ask", server)
                .await?;
        }
        Ok(answer)
    }

    /// Enter or leave the part of the transaction that is READ ONLY. What is only allowed to ask is
    /// asked there; releasing its savepoint gives the transaction its rights back. Questions in a row
    /// stay in it, so that a round trip is spent only where asking and acting take turns.
    async fn fence(&mut self, wanted: bool, server: &Server) -> Result<()> {
        if wanted == self.fenced {
            return Ok(());
        }
        self.fenced = wanted;
        let sql = if wanted {
            "SAVEPOINT ccrun_ask; SET TRANSACTION READ ONLY"
        } else {
            "RELEASE ccrun_ask"
        };
        self.raw(sql, server).await
    }

    /// Run our own SQL by the simple protocol.
    async fn raw(&mut self, sql: &str, server: &Server) -> Result<()> {
        self.usable()?;
        let Some(lease) = self.lease.as_mut() else {
            return Ok(());
        };
        lease.begin();
        lease.discard = true;
        let mut failed = None;
        {
            let mut pieces = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_many(lease.connection());
            while let Some(piece) = pieces.next().await {
                if let Err(error) = piece {
                    failed = Some(error);
                    break;
                }
            }
        }
        lease.end();
        match failed {
            None => Ok(()),
            Some(error) => Err(errors::of_statement(error, sql, server)),
        }
    }
}
