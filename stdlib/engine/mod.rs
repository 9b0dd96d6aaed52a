//! The connection to a Docker engine, for every namespace that speaks to one.
//!
//! Which engine: `docker` of the target (`"unix:///run/docker.sock"`, `"ssh://deploy@example.org"`,
//! `"tcp://10.0.0.7:2376"`, or a table with `host`, `ca`, `cert`, `key`), else `DOCKER_HOST` with
//! `DOCKER_CERT_PATH`, else the Docker CLI's current context, else the local socket.

mod client;
mod context;
mod credentials;
mod events;
mod failure;
mod host;
mod tunnel;

pub use client::Engine;
pub use credentials::credentials;
pub use events::{Heard, listen};
pub use failure::{failed, is_not_found, not_found, status};
pub use host::Host;
