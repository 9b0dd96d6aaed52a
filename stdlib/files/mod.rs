//! What every namespace that touches files shares: resolved paths, the client, atomic writing, and
//! blocking work that stops when nobody waits for it any more.

mod atomic;
mod client;
mod content;
mod error;
mod mode;
mod path;
mod pattern;
mod preview;
mod work;

pub use atomic::AtomicFile;
pub use client::{Entry, Files, temporary_folder};
pub use content::Content;
pub use error::failed;
pub use mode::Mode;
pub use path::{EntryPath, FilePath, folder_of_run, resolve};
pub use pattern::{PathPattern, PatternPart};
pub use preview::preview;
pub use work::{Work, blocking};
