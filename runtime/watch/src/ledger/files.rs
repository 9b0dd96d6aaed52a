//! What the files of a trigger looked like when it last fired.

use std::collections::BTreeMap;

use ccrun_kernel::Result;
use sqlx::{Any, Row as _, Transaction};

use super::Ledger;

/// How the files of a trigger changed since its last firing.
#[derive(Debug, Clone, Default)]
pub struct FileChanges {
    /// The trigger.
    pub trigger: String,
    /// New and changed files with their stamps.
    pub set: Vec<(String, String)>,
    /// Files that are gone.
    pub removed: Vec<String>,
}

impl Ledger {
    /// The files of a trigger as its last firing saw them.
    ///
    /// # Errors
    /// `watch.ledger`
    pub async fn files(&self, trigger: &str) -> Result<BTreeMap<String, String>> {
        let rows = sqlx::query("SELECT path, stamp FROM watch_files WHERE trigger_key = $1")
            .bind(trigger.to_owned())
            .fetch_all(&self.pool)
            .await
            .map_err(|error| self.failed(error))?;
        rows.iter()
            .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
            .collect::<sqlx::Result<_>>()
            .map_err(|error| self.failed(error))
    }
}

/// Rows of one statement: Postgres takes 65,535 values, SQLite 32,766.
const ROWS: usize = 500;

pub(super) async fn write(
    transaction: &mut Transaction<'static, Any>,
    changes: FileChanges,
) -> sqlx::Result<()> {
    for rows in changes.set.chunks(ROWS) {
        let values: Vec<String> = (0..rows.len())
            .map(|n| format!("($1, ${}, ${})", 2 * n + 2, 2 * n + 3))
            .collect();
        let sql = format!(
            "INSERT INTO watch_files (trigger_key, path, stamp) VALUES {} \
             ON CONFLICT (trigger_key, path) DO UPDATE SET stamp = excluded.stamp",
            values.join(", ")
        );
        let mut query = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(changes.trigger.clone())
            .persistent(rows.len() == 1);
        for (path, stamp) in rows {
            query = query.bind(path.clone()).bind(stamp.clone());
        }
        query.execute(&mut **transaction).await?;
    }
    for rows in changes.removed.chunks(ROWS) {
        let places: Vec<String> = (0..rows.len()).map(|n| format!("${}", n + 2)).collect();
        let sql = format!(
            "DELETE FROM watch_files WHERE trigger_key = $1 AND path IN ({})",
            places.join(", ")
        );
        let mut query = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(changes.trigger.clone())
            .persistent(rows.len() == 1);
        for path in rows {
            query = query.bind(path.clone());
        }
        query.execute(&mut **transaction).await?;
    }
    Ok(())
}
