//! Backups: what `pg_dump` reads, compressed, encrypted, streamed into a store, and back.
//!
//! A backup is a folder in the store. Its manifest is written last, when the tool has ended well, the archive was read to
//! its end as it went by, and every object has arrived with the size that was sent. What has no manifest is no
//! backup: it is not listed, and goes with the next clean-up.

mod archive;
mod base;
mod binary;
mod catalog;
mod create;
mod files;
mod globals;
mod load;
mod manifest;
mod objects;
mod properties;
mod recover;
mod restore;
mod restorer;
mod retention;
mod seal;
mod selection;
mod sets;
mod swap;
mod tool;
mod verify;
mod wal;

pub(super) use files::*;
pub(super) use objects::*;
pub(super) use recover::*;
pub(super) use sets::*;
pub(super) use verify::*;
pub(super) use wal::*;
