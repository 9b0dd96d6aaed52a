//! Requests over HTTP: what `http` and `alert` share. Timeouts, retries that honour `Retry-After`, TLS, redirects to
//! the same host only, errors that say what to do.

pub mod address;
pub mod client;
pub mod exchange;
pub mod failure;
pub mod pause;
pub mod response;
#[cfg(test)]
#[allow(clippy::disallowed_methods, missing_docs, reason = "a server of tests")]
pub mod server;

pub use address::Address;
pub use client::{Connection, Http, Intent};
pub use exchange::{Exchange, Expect, Request};
pub use response::Answer;
