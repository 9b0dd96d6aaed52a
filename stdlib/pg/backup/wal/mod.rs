//! The write-ahead log, archived in a store.
//!
//! Postgres puts finished segments into a folder, the spool (`archive_command`); `pg::ship_wal` brings them into the
//! store, and removes them from the spool only when they are there. Each has a note beside it, written last: its hashes,
//! and which moments are in it. A segment without its note does not count.

mod archive;
mod list;
mod name;
mod prune;
mod reach;
mod scan;
mod ship;

pub(super) use archive::{Archive, Note, fetch};
pub(super) use list::{Window, bases, included, windows};
pub(super) use name::{Lsn, Segment};

pub(in crate::pg) use list::*;
pub(in crate::pg) use prune::*;
pub(in crate::pg) use ship::*;
