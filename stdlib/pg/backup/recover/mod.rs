//! Recovery: a server out of a base backup and the archived log, as it was at a moment.
//!
//! What is asked for is compared with what is there before anything is made. The files go into a new folder, or a new
//! volume; the server replays the log there, and says in its own words where it stopped.

mod folder;
mod options;
mod plan;
mod replay;
mod run;
mod volume;

pub(in crate::pg) use run::*;
