//! Compose projects: what is meant to run, what runs, and making them the same.
//!
//! The project is read and changed by the Compose CLI itself (`docker compose`), so every feature of
//! Compose works; what came of it is watched through the Docker engine. Which project: `compose` of the
//! target, or the Compose file of the working folder.
//!
//! Only the project's env files fill in its `${VARIABLES}`, never the environment of whoever happens to run
//! ccrun: what is deployed does not depend on who deploys it. The permission names the project:
//! `compose: ["command_center"]`.

mod address;
mod cli;
mod config;
mod containers;
mod drift;
mod gate;
mod lifecycle;
mod logs;
mod process;
mod project;
mod reading;
mod release;
mod rollback;
mod rolling;
mod up;

#[cfg(test)]
mod tests;

use ccrun_kernel::{Namespace, primitives};

pub use project::Project;

/// Registers the namespace.
#[must_use]
pub fn namespace() -> Namespace {
    Namespace::new(
        "compose",
        "Compose projects: what is meant to run, what runs, and making them the same.",
    )
    .target_key("compose")
    .object::<Project>()
    .primitives(primitives![
        project::project,
        Project::name,
        Project::folder,
        Project::files,
        Project::env_files,
        Project::cli_version,
        Project::config,
        Project::services,
        Project::images,
        Project::ps,
        Project::address,
        Project::drift,
        Project::wait_healthy,
        Project::up,
        Project::retire,
        Project::rolling,
        Project::down,
        Project::pull,
        Project::build,
        Project::start,
        Project::stop,
        Project::restart,
        Project::snapshot,
        Project::releases,
        Project::mark_good,
        Project::rollback,
        Project::logs,
        Project::exec,
        Project::exec_read,
        Project::run,
    ])
}
