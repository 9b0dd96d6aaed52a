//! Running one statement on one connection.

use std::sync::Arc;

use ccrun_kernel::rhai::{Dynamic, Identifier, Map};
use ccrun_kernel::{Error, Result};
use futures::stream::BoxStream;
use futures::{FutureExt as _, StreamExt as _};
use sqlx::postgres::{PgConnection, PgQueryResult, PgRow};
use sqlx::{
    AssertSqlSafe, Column as _, Connection as _, Either, Executor as _, Row as _, Statement as _,
    ValueRef as _,
};

use super::bind::{self, Cast};
use super::connect::Server;
use super::decode::Type;
use super::errors;
use super::pool::Lease;

/// What came back.
pub struct Answer {
    /// The rows, as maps; of [`Want::Value`] the first columns.
    pub rows: Vec<Dynamic>,
    /// How many rows were changed, or returned.
    pub affected: u64,
}

/// What is wanted of the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// Maps, at most so many bytes of them.
    Rows,
    /// Maps, however many: the statement has changed something, and its answer must not be lost.
    Returned,
    /// The first column of the first row, and whether there are more.
    Value,
    /// Only how many they were.
    Count,
}

/// More than fits a script's memory with comfort; `each_row` has no such limit.
const MOST_BYTES: usize = 128 * 1024 * 1024;

/// What went wrong, before it is put into words.
pub enum Failure {
    /// The driver or the server says so.
    Sql {
        /// What they say.
        error: sqlx::Error,
        /// The statement as it was sent.
        sql: Arc<str>,
        /// Its parameters that were sent as text.
        casts: Vec<Cast>,
    },
    /// We say so.
    Ours(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Ours(error)
    }
}

impl Failure {
    /// The driver's error, for deciding what to do.
    #[must_use]
    pub fn sql(&self) -> Option<&sqlx::Error> {
        match self {
            Self::Sql { error, .. } => Some(error),
            Self::Ours(_) => None,
        }
    }

    /// The error for people.
    #[must_use]
    pub fn explain(self, server: &Server) -> Error {
        match self {
            Self::Ours(error) => error,
            Self::Sql { error, sql, casts } => {
                let built = errors::of_statement(error, &sql, server);
                blame_parameter(built, &casts)
            }
        }
    }
}

/// An input function that does not like its text does not say whose it was.
fn blame_parameter(error: Error, casts: &[Cast]) -> Error {
    let bad_input = error.code_text().is_some_and(|code| code.starts_with("22"));
    let culprit = match casts {
        [only] => Some(only),
        several => several
            .iter()
            .find(|cast| error.message().contains(&format!("\"{}\"", cast.text))),
    };
    let Some(cast) = culprit.filter(|_| bad_input) else {
        return error;
    };
    let wanted = cast.type_name.to_lowercase();
    Error::new(
        "pg.bad_parameter",
        format!("${} is {wanted}: {}", cast.number, error.message()),
    )
    .code(error.code_text().unwrap_or_default())
    .hint(format!("give a {wanted} as Postgres writes it"))
    .detail("parameter", cast.number as i64)
    .detail("expected", wanted)
}

type Rows<'c> = BoxStream<'c, sqlx::Result<Either<PgQueryResult, PgRow>>>;

/// A statement that was sent: its answer comes piece by piece.
pub struct Running<'c> {
    rows: Rows<'c>,
    sql: Arc<str>,
    casts: Vec<Cast>,
    shape: Option<Shape>,
}

impl<'c> Running<'c> {
    /// Send a statement.
    ///
    /// # Errors
    /// What preparing it and binding its parameters says.
    pub async fn start(
        connection: &'c mut PgConnection,
        sql: Arc<str>,
        parameters: &[Dynamic],
    ) -> Result<Self, Failure> {
        if parameters.is_empty() {
            let rows = connection.fetch_many(sqlx::query(AssertSqlSafe(Arc::clone(&sql))));
            return Ok(Self {
                rows,
                sql,
                casts: Vec::new(),
                shape: None,
            });
        }
        let mut sql = sql;
        let mut casts = Vec::new();
        let mut arguments = prepare(connection, &sql, parameters, &mut casts).await?;
        if !casts.is_empty() {
            sql = bind::with_casts(&sql, &casts).into();
            let mut parameters = parameters.to_vec();
            for cast in &casts {
                parameters[cast.number - 1] = cast.text.clone().into();
            }
            arguments = prepare(connection, &sql, &parameters, &mut Vec::new()).await?;
        }
        let query = sqlx::query_with(AssertSqlSafe(Arc::clone(&sql)), arguments);
        let rows = connection.fetch_many(query);
        Ok(Self {
            rows,
            sql,
            casts,
            shape: None,
        })
    }

    /// The next piece: a row, or the number of rows that a statement changed.
    ///
    /// # Errors
    /// What the server says.
    pub async fn next(&mut self) -> Option<Result<Either<PgQueryResult, PgRow>, Failure>> {
        let piece = self.rows.next().await?;
        Some(piece.map_err(|error| self.failure(error)))
    }

    /// The next piece if it is here already.
    pub fn next_if_ready(&mut self) -> Option<Result<Either<PgQueryResult, PgRow>, Failure>> {
        let piece = self.rows.next().now_or_never()??;
        Some(piece.map_err(|error| self.failure(error)))
    }

    /// The row as a map.
    pub fn map(&mut self, row: &PgRow) -> Dynamic {
        self.shape.get_or_insert_with(|| Shape::of(row)).map(row)
    }

    fn failure(&self, error: sqlx::Error) -> Failure {
        Failure::Sql {
            error,
            sql: Arc::clone(&self.sql),
            casts: self.casts.clone(),
        }
    }
}

async fn prepare(
    connection: &mut PgConnection,
    sql: &Arc<str>,
    parameters: &[Dynamic],
    casts: &mut Vec<Cast>,
) -> Result<sqlx::postgres::PgArguments, Failure> {
    use sqlx::SqlSafeStr as _;

    let text = AssertSqlSafe(Arc::clone(sql)).into_sql_str();
    let statement = connection
        .prepare_with(text, &[])
        .await
        .map_err(|error| Failure::Sql {
            error,
            sql: Arc::clone(sql),
            casts: Vec::new(),
        })?;
    let types = match statement.parameters() {
        Some(Either::Left(types)) => types,
        _ => &[],
    };
    let bound = bind::bind(types, parameters)?;
    *casts = bound.casts;
    Ok(bound.arguments)
}

/// Run a statement and collect its answer.
///
/// # Errors
/// What went wrong; the connection can be used on unless it broke.
pub async fn run(
    lease: &mut Lease,
    sql: &Arc<str>,
    parameters: &[Dynamic],
    want: Want,
) -> Result<Answer, Failure> {
    lease.begin();
    let result = collect(lease.connection(), sql, parameters, want).await;
    settle(lease, result)
}

/// Run a statement in a transaction that is READ ONLY and rolled back. It has taken its snapshot
/// before the statement comes, after which not even `SET TRANSACTION READ WRITE` works.
///
/// # Errors
/// As for [`run`].
pub async fn run_guarded(
    lease: &mut Lease,
    sql: &Arc<str>,
    parameters: &[Dynamic],
    want: Want,
) -> Result<Answer, Failure> {
    lease.begin();
    let connection = lease.connection();
    let result = match connection.begin_with(GUARD).await {
        Ok(mut transaction) => collect(&mut transaction, sql, parameters, want).await,
        Err(error) => Err(Failure::Sql {
            error,
            sql: GUARD.into(),
            casts: Vec::new(),
        }),
    };
    // Dropping the transaction has queued its ROLLBACK.
    let result = settle(lease, result);
    lease.send();
    result
}

/// How a guarded transaction begins.
pub const GUARD: &str = "BEGIN READ ONLY; SELECT 1";

fn settle(lease: &mut Lease, result: Result<Answer, Failure>) -> Result<Answer, Failure> {
    match &result {
        Ok(_) => lease.end(),
        Err(Failure::Sql { error, .. }) if errors::is_broken_connection(error) => {
            lease.discard = true;
            lease.end();
        }
        // We stopped in the middle: the lease stays busy, so that the rest is cancelled.
        Err(Failure::Ours(error)) if error.kind() == "pg.result_too_large" => {}
        // The server has said that the statement failed, or it was never sent.
        Err(Failure::Sql {
            error: sqlx::Error::Database(_) | sqlx::Error::ColumnDecode { .. },
            ..
        })
        | Err(Failure::Ours(_)) => lease.end(),
        Err(_) => {
            lease.discard = true;
            lease.end();
        }
    }
    result
}

async fn collect(
    connection: &mut PgConnection,
    sql: &Arc<str>,
    parameters: &[Dynamic],
    want: Want,
) -> Result<Answer, Failure> {
    let mut running = Running::start(connection, Arc::clone(sql), parameters).await?;
    let mut answer = Answer {
        rows: Vec::new(),
        affected: 0,
    };
    let mut bytes = 0_usize;
    while let Some(piece) = running.next().await {
        let row = match piece? {
            Either::Left(result) => {
                answer.affected += result.rows_affected();
                continue;
            }
            Either::Right(row) => row,
        };
        match want {
            Want::Count => {}
            Want::Value => {
                // One more than wanted shows that there are several.
                if answer.rows.len() < 2 {
                    answer.rows.push(first_column(&row));
                }
            }
            Want::Rows | Want::Returned => {
                bytes += size(&row);
                if want == Want::Rows && bytes > MOST_BYTES {
                    return Err(too_large(answer.rows.len()).into());
                }
                let map = running.map(&row);
                answer.rows.push(map);
            }
        }
    }
    Ok(answer)
}

fn size(row: &PgRow) -> usize {
    // What a map and its values take besides the bytes themselves.
    const PER_VALUE: usize = 48;
    (0..row.len())
        .map(|index| {
            let value = row.try_get_raw(index).ok();
            PER_VALUE
                + value
                    .and_then(|value| value.as_bytes().ok())
                    .map_or(0, <[u8]>::len)
        })
        .sum()
}

fn too_large(rows: usize) -> Error {
    Error::new(
        "pg.result_too_large",
        format!("the answer is larger than {} MiB after {rows} rows", MOST_BYTES >> 20),
    )
    .hint("go through it with `db.each_row(sql, |row| …)`, which keeps one row at a time, or add a `limit`")
}

fn first_column(row: &PgRow) -> Dynamic {
    let Some(column) = row.columns().first() else {
        return Dynamic::UNIT;
    };
    value(row, 0, &Type::of(column.type_info()))
}

fn value(row: &PgRow, index: usize, kind: &Type) -> Dynamic {
    let Ok(raw) = row.try_get_raw(index) else {
        return Dynamic::UNIT;
    };
    if raw.is_null() {
        return Dynamic::UNIT;
    }
    raw.as_bytes()
        .map_or(Dynamic::UNIT, |bytes| kind.decode(bytes))
}

/// The names and types of an answer's columns.
struct Shape {
    columns: Vec<(Identifier, Type)>,
}

impl Shape {
    /// The second column called `id` is `id_2`: nothing is lost, whatever was joined.
    fn of(row: &PgRow) -> Self {
        let mut columns: Vec<(Identifier, Type)> = Vec::with_capacity(row.len());
        for column in row.columns() {
            let mut name: Identifier = column.name().into();
            let mut number = 2;
            while columns.iter().any(|(taken, _)| *taken == name) {
                name = format!("{}_{number}", column.name()).into();
                number += 1;
            }
            columns.push((name, Type::of(column.type_info())));
        }
        Self { columns }
    }

    fn map(&self, row: &PgRow) -> Dynamic {
        let values = self.columns.iter().enumerate();
        let map: Map = values
            .map(|(index, (name, kind))| (name.clone(), value(row, index, kind)))
            .collect();
        map.into()
    }
}
