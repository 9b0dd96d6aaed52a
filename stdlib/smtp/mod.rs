//! Mail: does the server take it, and send.
//!
//! The server is the target's, `smtp = { host = "mail.example.org", user = "ops", password =
//! "secret:SMTP_PASSWORD", from = "ops@example.org" }`, or given by options. TLS is required unless `tls` says
//! `none`. The permission names the Compose service or the host: `smtp: ["mail.example.org"]`.

mod check;
mod options;
mod send;
#[cfg(test)]
mod tests;

use ccrun_kernel::{Namespace, primitives};

/// Registers the namespace.
#[must_use]
pub fn namespace() -> Namespace {
    Namespace::new("smtp", "Mail: does the server take it, and send.")
        .target_key("smtp")
        .primitives(primitives![check::check, send::send])
}
