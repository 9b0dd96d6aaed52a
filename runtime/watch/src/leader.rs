//! Which of several daemons fires: one for each ledger.
//!
//! Beside SQLite a lock on a file says so, which the system takes back when the process ends, however
//! it does. In Postgres it is an advisory lock, which the server takes back when the connection ends.
//! Neither is what keeps a firing from happening twice: that is the ledger's unique keys.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;
use std::time::Duration;

use ccrun_kernel::journal::Process;
use ccrun_kernel::{Error, Result};
use sqlx::{AnyConnection, Connection as _, Row as _};

/// The right to fire, as long as it is held.
#[derive(Debug)]
pub enum Lead {
    /// The lock on a file.
    File(File),
    /// The connection that holds the advisory lock.
    Postgres(Box<AnyConnection>),
}

/// "ccrun watch": the number of the advisory lock.
const LOCK: i64 = 0x6363_726e_7774_6368;

impl Lead {
    /// Try to take the lead in a folder. Otherwise: who has it.
    ///
    /// # Errors
    /// `watch.lead` if the file can't be opened.
    pub fn in_folder(folder: &Path) -> Result<std::result::Result<Self, String>> {
        let path = folder.join("watch.lock");
        let failed = |error: std::io::Error| {
            Error::new(
                "watch.lead",
                format!("can't lock {}: {error}", path.display()),
            )
            .hint("check who owns the folder of the journal")
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {
                let me = Process::current();
                file.set_len(0).map_err(failed)?;
                write!(file, "process {} on {}", me.pid, me.host).map_err(failed)?;
                Ok(Ok(Self::File(file)))
            }
            Err(TryLockError::WouldBlock) => {
                let mut who = String::new();
                drop(file.rewind());
                drop(file.read_to_string(&mut who));
                Ok(Err(who))
            }
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// Try to take the lead in a Postgres database.
    ///
    /// # Errors
    /// `watch.lead`
    pub async fn in_postgres(url: &str) -> Result<std::result::Result<Self, String>> {
        let failed = |error: sqlx::Error| {
            Error::new(
                "watch.lead",
                format!(
                    "can't ask Postgres who fires: {}",
                    error.to_string().replace(url, "…")
                ),
            )
            .retryable()
        };
        let mut connection = AnyConnection::connect(url).await.map_err(failed)?;
        let row = sqlx::query("SELECT CASE WHEN pg_try_advisory_lock($1) THEN 1 ELSE 0 END")
            .bind(LOCK)
            .fetch_one(&mut connection)
            .await
            .map_err(failed)?;
        let taken: i32 = row.try_get(0).map_err(failed)?;
        if taken == 1 {
            return Ok(Ok(Self::Postgres(Box::new(connection))));
        }
        drop(connection.close().await);
        Ok(Err("a daemon on another connection".to_owned()))
    }

    /// Whether the lead is still held.
    pub async fn is_held(&mut self) -> bool {
        match self {
            Self::File(_) => true,
            Self::Postgres(connection) => {
                let asked = sqlx::query("SELECT 1").execute(&mut **connection);
                tokio::time::timeout(Duration::from_secs(5), asked)
                    .await
                    .is_ok_and(|answer| answer.is_ok())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_leads_and_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let first = Lead::in_folder(folder.path()).unwrap().unwrap();
        let who = Lead::in_folder(folder.path()).unwrap().unwrap_err();
        assert!(who.contains(&std::process::id().to_string()), "{who}");
        drop(first);
        assert!(Lead::in_folder(folder.path()).unwrap().is_ok());
    }
}
