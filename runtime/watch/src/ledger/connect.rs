//! Opening the ledger: SQLite beside the journal, or Postgres.

use std::path::Path;
use std::sync::Once;
use std::time::Duration;

use ccrun_kernel::{Error, Result};
use sqlx::any::{AnyPoolOptions, install_drivers};
use sqlx::{Executor as _, postgres, sqlite};

use super::{FILE, Ledger};

const SCHEMA: &str = include_str!("schema.sql");
static DRIVERS: Once = Once::new();

fn options() -> AnyPoolOptions {
    DRIVERS.call_once(|| {
        // An error only says that somebody else installed them before.
        drop(install_drivers(&[
            sqlite::any::DRIVER,
            postgres::any::DRIVER,
        ]));
    });
    AnyPoolOptions::new()
        .acquire_timeout(Duration::from_secs(10))
        .idle_timeout(None)
        .max_lifetime(None)
}

fn cannot(place: &str, error: impl std::fmt::Display) -> Error {
    Error::new(
        "watch.ledger",
        format!("the ledger of triggers in {place} can't be opened: {error}"),
    )
    .hint("nothing is started that cannot be recorded; mend this and start `ccrun watch` again")
}

pub(super) async fn sqlite(folder: &Path) -> Result<Ledger> {
    use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
    let path = std::path::absolute(folder)
        .unwrap_or_else(|_| folder.to_owned())
        .join(FILE);
    let place = path.display().to_string();
    let failed = |error: std::io::Error| cannot(&place, error);
    if !path.exists() {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path.parent().unwrap_or(folder))
            .map_err(failed)?;
        // What triggers bring (bodies of webhooks) is for its owner alone.
        std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
    }
    let escaped = place
        .replace('%', "%25")
        .replace('?', "%3f")
        .replace('#', "%23");
    let pool = options()
        .max_connections(1)
        .after_connect(|connection, _| {
            Box::pin(async move {
                connection
                    .execute(
                        "PRAGMA busy_timeout = 10000; PRAGMA journal_mode = WAL; \
                         PRAGMA synchronous = FULL; PRAGMA cache_size = -512;",
                    )
                    .await?;
                Ok(())
            })
        })
        .connect(&format!("sqlite://{escaped}?mode=rwc"))
        .await
        .map_err(|error| cannot(&place, error))?;
    let ledger = Ledger {
        pool,
        place: place.as_str().into(),
        sqlite: true,
    };
    prepare(&ledger).await?;
    Ok(ledger)
}

pub(super) async fn postgres(url: &str) -> Result<Ledger> {
    // Never the text after `//`: it may hold a password.
    let place = "Postgres";
    let pool = options()
        .max_connections(4)
        .connect(url)
        .await
        .map_err(|error| cannot(place, without_url(&error, url)))?;
    let ledger = Ledger {
        pool,
        place: place.into(),
        sqlite: false,
    };
    prepare(&ledger).await?;
    Ok(ledger)
}

fn without_url(error: &sqlx::Error, url: &str) -> String {
    error.to_string().replace(url, "…")
}

/// Make the tables. Several may do so at once: whoever comes second finds them made.
async fn prepare(ledger: &Ledger) -> Result<()> {
    let missing = sqlx::query("SELECT 1 FROM watch_last LIMIT 1")
        .fetch_optional(&ledger.pool)
        .await
        .is_err();
    if !missing {
        return Ok(());
    }
    let mut transaction = ledger.begin().await?;
    if !ledger.sqlite {
        // CREATE … IF NOT EXISTS of two sessions at once can still collide in the catalog.
        sqlx::query("SELECT pg_advisory_xact_lock(7161263345212)")
            .execute(&mut *transaction)
            .await
            .map_err(|error| cannot(ledger.place(), error))?;
    }
    sqlx::raw_sql(SCHEMA)
        .execute(&mut *transaction)
        .await
        .map_err(|error| cannot(ledger.place(), error))?;
    ledger.commit(transaction).await
}
