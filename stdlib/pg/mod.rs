//! Postgres: queries, changes, transactions, with typed parameters and values.
//!
//! A *query* (`query`, `one`, `value`, `each_row`) only asks and cannot change anything, whatever its
//! SQL says; a *change* (`execute`, `execute_returning`, `script`) is planned in a dry run, confirmed,
//! recorded. `db.transaction(|tx| …)` holds both.

mod backup;
mod bind;
mod catalog;
mod client;
mod connect;
mod database;
mod decode;
mod errors;
mod plan;
mod pool;
mod portable;
mod rls;
mod session;
mod sql;
mod statement;
mod transaction;

#[cfg(test)]
mod tests;

use ccrun_kernel::{Namespace, primitives};

pub use database::Database;
pub use transaction::Transaction;

/// Registers the namespace.
#[must_use]
pub fn namespace() -> Namespace {
    Namespace::new(
        "pg",
        "Postgres: queries, changes and transactions, with typed values.",
    )
    .target_key("postgres")
    .object::<Database>()
    .object::<Transaction>()
    .primitives(primitives![
        database::connect,
        Database::query,
        Database::one,
        Database::value,
        Database::each_row,
        Database::execute,
        Database::execute_returning,
        Database::script,
        Database::transaction,
        Database::login,
        Database::tables,
        Database::views,
        Database::policies,
        Database::grants,
        Database::functions,
        Database::roles,
        Database::as_user,
        Database::rls_audit,
        Database::rls_probe,
        Database::backup,
        Database::base_backup,
        Database::restore,
        Database::swap,
        Database::checksums,
        backup::backups,
        backup::restore_files,
        backup::restore_objects,
        backup::verify,
        backup::prune,
        backup::decided,
        backup::ship_wal,
        backup::wal,
        backup::prune_wal,
        backup::recover,
        backup::recover_volume,
        Database::name,
        Database::host,
        Database::port,
        Database::user,
        Transaction::query,
        Transaction::one,
        Transaction::value,
        Transaction::execute,
        Transaction::execute_returning,
        Transaction::savepoint,
    ])
}
