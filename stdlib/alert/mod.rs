//! Alerts: one model, many channels.
//!
//! An alert has a stable `key`: what is triggered under a key is the same alert until it is resolved, however
//! often it is triggered. The channels stand in the target, each under a name of its own:
//!
//! ```toml
//! [target.production.alerts]
//! ops  = "slack:secret:SLACK_WEBHOOK"
//! page = { url = "pagerduty:secret:PD_KEY", severity = "critical", required = true, fallback = "mail" }
//! mail = "mail:ops@example.org"
//! ```
//!
//! An alert goes to every channel that wants its severity (and more) and its labels. Without channels nothing is
//! sent, and that is no error. A channel that fails does not stop the runbook, whose own work may be done; if it is
//! `required`, or if nobody got the alert, the run's status says so. The permission names channels: `alert: ["ops"]`.

mod channel;
mod channels;
mod definition;
mod heartbeat;
mod model;
mod outcome;
mod route;
mod send;
mod silence;
mod state;
mod tell;
#[cfg(test)]
mod tests;
mod text;

use ccrun_kernel::{Namespace, primitives};

/// Registers the namespace.
#[must_use]
pub fn namespace() -> Namespace {
    Namespace::new("alert", "Alerts: one model, many channels.")
        .target_key("alerts")
        .primitives(primitives![
            tell::trigger,
            tell::acknowledge,
            tell::resolve,
            heartbeat::heartbeat,
            silence::silence,
            silence::unsilence,
            silence::silences,
            channels::channels,
            channels::open,
        ])
}
