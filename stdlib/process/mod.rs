//! Programs, for every namespace that starts some: found, started in a process group of their own,
//! captured within bounds, and ended with their children when nobody waits for them any more.

mod capture;
mod client;
mod command;
mod environment;
mod finished;
mod running;
mod signal;

pub use capture::Capture;
pub use client::{Launch, Processes, is_program, program_in_path};
pub use command::{CommandLine, quote, word};
pub use environment::Environment;
pub use finished::Finished;
pub use running::{Output, Running};
