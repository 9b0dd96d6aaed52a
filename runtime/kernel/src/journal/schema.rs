//! Opening the journal's file: made private, checked, brought to the current version.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _};
use tokio::time::{Instant, sleep};

use super::failure::{Failure, explain, explain_io, read_only, sqlite_code};
use crate::error::{Error, Result};

/// The version of the tables that this ccrun reads and writes.
pub const SCHEMA_VERSION: i64 = MIGRATIONS.len() as i64;

/// What leads from each version to the next.
const MIGRATIONS: &[&str] = &[include_str!("schema_1.sql")];

/// "ccrn": tells a journal from another program's database.
const APPLICATION_ID: i64 = 0x6363_726e;

/// How long to wait for another process.
const PATIENCE: Duration = Duration::from_secs(5);

/// A connection to a journal.
pub(super) struct Opened {
    pub connection: SqliteConnection,
    /// The file system cannot be written: reading works, every write fails.
    pub immutable: bool,
}

/// Open the journal at `path` for writing, making it if there is none.
pub(super) async fn open(path: &Path) -> Result<Opened> {
    make_folder(path).map_err(|error| explain_io(path, &error))?;
    match open_writable(path).await {
        Ok(connection) => Ok(Opened {
            connection,
            immutable: false,
        }),
        Err(Failure::Sql(error)) if is_unwritable(&error) => {
            let connection = open_immutable(path).await?;
            Ok(Opened {
                connection,
                immutable: true,
            })
        }
        Err(failure) => Err(failure.at(path)),
    }
}

/// One more connection to a journal that [`open`] opened.
pub(super) async fn open_again(path: &Path, immutable: bool) -> Result<SqliteConnection> {
    let opened = options(path)
        .immutable(immutable)
        .read_only(immutable)
        .connect()
        .await;
    opened.map_err(|error| explain(path, &error))
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(PATIENCE)
        .foreign_keys(true)
        .synchronous(SqliteSynchronous::Full)
        .statement_cache_capacity(256)
        .row_buffer_size(256)
        .thread_name(|_| "journal".to_owned())
        .disable_statement_logging()
}

async fn open_writable(path: &Path) -> Result<SqliteConnection, Failure> {
    let mut connection = options(path).create_if_missing(true).connect().await?;
    make_private(path).map_err(sqlx::Error::Io)?;
    // Before anything else: the file of a newer ccrun is left exactly as it is.
    let version = checked_version(&mut connection, path).await?;
    use_write_ahead_log(&mut connection).await?;
    if version < SCHEMA_VERSION {
        migrate(&mut connection, path).await?;
    }
    Ok(connection)
}

/// Read a journal on a file system that cannot be written, where SQLite cannot make the files that
/// readers and writers share. Wrong if somebody were writing it; a `-wal` file would show that.
async fn open_immutable(path: &Path) -> Result<SqliteConnection> {
    let log = path.with_extension("db-wal");
    if !path.exists() || log.metadata().is_ok_and(|log| log.len() > 0) {
        return Err(read_only(path));
    }
    let mut connection = open_again(path, true).await?;
    match checked_version(&mut connection, path).await {
        Ok(SCHEMA_VERSION) => Ok(connection),
        Ok(_) => Err(read_only(path)),
        Err(failure) => Err(failure.at(path)),
    }
}

/// Whether SQLite could not write the file or make the files beside it.
fn is_unwritable(error: &sqlx::Error) -> bool {
    const READ_ONLY: i32 = 8;
    const CANNOT_OPEN: i32 = 14;
    sqlite_code(error).is_some_and(|code| matches!(code & 0xff, READ_ONLY | CANNOT_OPEN))
}

fn make_folder(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    let Some(folder) = path.parent() else {
        return Ok(());
    };
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
}

/// Nobody else may read a new journal. By its path, while it is empty: opening and closing the file
/// beside SQLite would drop the locks that this process holds on it
/// (<https://www.sqlite.org/howtocorrupt.html>, 2.2). The `-wal` and `-shm` files get the same mode.
fn make_private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let found = path.metadata()?;
    if found.len() == 0 && found.permissions().mode() & 0o077 != 0 {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    }
    Ok(())
}

/// The version of the file; an error if it is a newer one, or not a journal.
async fn checked_version(connection: &mut SqliteConnection, path: &Path) -> Result<i64, Failure> {
    let (version, application, tables): (i64, i64, i64) = sqlx::query_as(
        "SELECT user_version, application_id, (SELECT count(*) FROM sqlite_schema)
         FROM pragma_user_version, pragma_application_id",
    )
    .fetch_one(connection)
    .await?;
    let at = path.display();
    if application != APPLICATION_ID && tables > 0 {
        return Err(Error::new(
            "journal.corrupt",
            format!("{at} is the database of another program, not a journal of ccrun"),
        )
        .hint(format!(
            "move it aside with `mv {at} {at}.other`, and a new journal is begun"
        ))
        .into());
    }
    if version > SCHEMA_VERSION {
        return Err(Error::new(
            "journal.newer",
            format!(
                "the journal {at} has version {version}, written by a newer ccrun; this one reads \
                 up to version {SCHEMA_VERSION}"
            ),
        )
        .hint("upgrade ccrun on this host; the journal was left as it is")
        .detail("version", version)
        .detail("supported", SCHEMA_VERSION)
        .into());
    }
    Ok(version)
}

/// Switching needs the file for a moment without any other connection, and SQLite does not wait for
/// that by itself. Where write-ahead logging is impossible (some network file systems) SQLite keeps
/// its rollback journal, which is as durable.
async fn use_write_ahead_log(connection: &mut SqliteConnection) -> Result<(), Failure> {
    let deadline = Instant::now() + PATIENCE;
    let mut pause = Duration::from_millis(1);
    loop {
        match connection.execute("PRAGMA journal_mode = WAL").await {
            Ok(_) => return Ok(()),
            Err(error) if sqlite_code(&error).is_some_and(|code| code & 0xff == 5) => {
                if Instant::now() + pause > deadline {
                    return Err(error.into());
                }
            }
            Err(error) => return Err(error.into()),
        }
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// Bring the file to the current version, unless another process does so first.
async fn migrate(connection: &mut SqliteConnection, path: &Path) -> Result<(), Failure> {
    connection.execute("BEGIN IMMEDIATE").await?;
    let migrated = migrate_within(connection, path).await;
    let end = if migrated.is_ok() {
        "COMMIT"
    } else {
        "ROLLBACK"
    };
    let ended = connection.execute(end).await;
    migrated?;
    ended?;
    Ok(())
}

async fn migrate_within(connection: &mut SqliteConnection, path: &Path) -> Result<(), Failure> {
    let version = checked_version(connection, path).await?;
    let done = usize::try_from(version).unwrap_or(0);
    for migration in &MIGRATIONS[done.min(MIGRATIONS.len())..] {
        sqlx::raw_sql(*migration).execute(&mut *connection).await?;
    }
    let stamp =
        format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA_VERSION}");
    sqlx::raw_sql(AssertSqlSafe(stamp))
        .execute(connection)
        .await?;
    Ok(())
}

/// Close a connection that was only for looking.
pub(super) async fn close(connection: SqliteConnection) {
    let _ = connection.close().await;
}
