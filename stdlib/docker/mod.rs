//! Containers, images, networks and volumes of a Docker engine.
//!
//! Which engine: `docker` of the target, `DOCKER_HOST`, the Docker CLI's current context, or the local
//! socket. Structures keep Docker's own terms with keys in `snake_case`; sizes, times and durations are
//! values of these types, and what Docker writes as the year 1 is `()`.
//!
//! The permission names the container: `docker: ["postgres"]`; what concerns the engine as a whole, or all
//! containers, is `docker: "*"`. Variables of a container whose names say that they are secret come as
//! `Secret`.

mod arguments;
mod build;
mod cgroup;
mod container;
mod copy;
mod events;
mod exec;
mod health;
mod images;
mod inspect;
mod lifecycle;
mod lines;
mod logs;
mod networks;
mod prune;
mod pump;
mod run;
mod shape;
mod stats;
mod system;

#[cfg(test)]
mod tests;

use ccrun_kernel::{Namespace, primitives};

pub use container::Container;
pub(crate) use container::one;
pub(crate) use run::run_with;

/// Registers the namespace.
#[must_use]
pub fn namespace() -> Namespace {
    Namespace::new(
        "docker",
        "Containers, images, networks and volumes of a Docker engine.",
    )
    .target_key("docker")
    .object::<Container>()
    .primitives(primitives![
        system::info,
        system::version,
        system::ping,
        system::disk_usage,
        container::containers,
        container::ps,
        container::container,
        Container::id,
        Container::name,
        Container::image,
        Container::image_id,
        Container::state,
        Container::status,
        Container::health,
        Container::labels,
        Container::created,
        Container::ports,
        Container::service,
        Container::project,
        Container::to_map,
        Container::reload,
        Container::inspect,
        Container::env,
        Container::top,
        Container::diff,
        Container::logs,
        Container::each_log,
        Container::exec,
        Container::exec_read,
        Container::exec_to_file,
        Container::exec_from_file,
        Container::stats,
        stats::all,
        Container::start,
        Container::stop,
        Container::restart,
        Container::kill,
        Container::pause,
        Container::unpause,
        Container::rename,
        Container::remove,
        Container::wait,
        Container::wait_healthy,
        Container::copy_in,
        Container::copy_out,
        run::run,
        images::images,
        images::image,
        images::pull,
        images::tag,
        images::push,
        images::remove_image,
        images::save,
        images::load,
        build::build,
        networks::networks,
        networks::network,
        networks::create_network,
        networks::remove_network,
        networks::connect,
        networks::disconnect,
        networks::volumes,
        networks::volume,
        networks::create_volume,
        networks::remove_volume,
        events::events,
        prune::prune,
    ])
}
