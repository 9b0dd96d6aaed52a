//! Watching files: which changed, since a trigger last fired, also while nobody watched.
//!
//! The system's events only say where to look. What a change is comes from comparing each file with
//! what it was like at the last firing: so a lost event, an editor that renames on save, a folder
//! that appears with files in it, and a restart are all the same case.

mod ignores;
mod set;
#[cfg(test)]
mod tests;
mod watcher;

pub use set::{Change, FileSet, Stamp};
pub use watcher::{FileEvent, FileWatcher, Watched, changes_of};
