//! Base backups: a whole server, byte by byte, by its own `pg_basebackup`.
//!
//! With the write-ahead log that was archived since, it is every moment after its end.

mod contents;
mod create;

pub(super) use contents::{Contents, Nothing, Sink, read};
