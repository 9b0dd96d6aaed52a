//! The machine that ccrun runs on: processors, memory, disks, load.
//!
//! Everything here is read anew with each call. The permission names what is read: `sys: ["disk",
//! "memory"]`, or `sys: "*"`.

mod client;
mod disk;
mod machine;
mod processes;
#[cfg(test)]
mod tests;

use ccrun_kernel::{Namespace, primitives};

/// Registers the namespace.
#[must_use]
pub fn namespace() -> Namespace {
    Namespace::new(
        "sys",
        "The machine that ccrun runs on: processors, memory, disks, load.",
    )
    .primitives(primitives![
        machine::hostname,
        machine::user,
        machine::os,
        machine::uptime,
        machine::cpu,
        machine::load,
        machine::memory,
        disk::disks,
        disk::disk,
        processes::processes,
    ])
}
