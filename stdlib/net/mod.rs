//! The network: ports, names, certificates, and what this machine listens on.
//!
//! Everything here reads. The permission names the host, or the name that is looked up:
//! `net: ["db.example.org", "*.example.org"]`; what asks about this machine is `net: ["localhost"]`.

mod certificate;
mod client;
mod failure;
mod lookup;
mod machine;
mod tcp;
#[cfg(test)]
mod tests;

use ccrun_kernel::{Namespace, primitives};

/// Registers the namespace.
#[must_use]
pub fn namespace() -> Namespace {
    Namespace::new("net", "The network: ports, names, certificates.").primitives(primitives![
        tcp::tcp_connect,
        tcp::wait_for_port,
        lookup::lookup,
        certificate::tls_certificate,
        machine::local_addresses,
        machine::listening,
    ])
}
