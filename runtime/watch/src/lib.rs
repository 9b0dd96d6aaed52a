//! Unattended runs: the triggers that runbook headers declare, for weeks, none lost and none doubled.
//!
//! ```text
//! files, schedule, docker, webhook, alert, after ──▶ ledger (one row a firing, durable) ──▶ dispatch
//!                                                        ▲                                   │
//!                                                        └── claimed, finished ◀── the run's own process
//! ```
//!
//! A firing is a row in the [`ledger`] before anything of it runs, under a key that is the same
//! wherever and however often it is noticed. It is started at most once per attempt, because its
//! process must claim the row before it does anything. So a daemon may be killed at any moment, and
//! two of them may share one ledger.

mod catalog;
mod child;
mod daemon;
pub mod files;
mod host;
mod http;
mod leader;
pub mod ledger;
mod limits;
mod metrics;
pub mod schedule;
mod shared;
pub mod systemd;
pub mod webhook;

pub use catalog::{Armed, Catalog, Occasion};
pub use daemon::{Daemon, Once, Places};
pub use host::{EngineEvent, EngineEvents, Found, Host, Settings, Setup};
pub use leader::Lead;
pub use shared::{Event, Shared};
