//! The engine itself.

use ccrun_kernel::rhai::Map;
use ccrun_kernel::value::Duration;
use ccrun_kernel::{Cx, Result, primitive};

use super::shape;
use crate::engine::Engine;

/// What the engine says of itself and of its machine: `containers_running`, `images`, `driver`,
/// `mem_total`, `ncpu`, `server_version`, `warnings` ….
///
/// # Errors
/// `docker.unreachable`, `docker.denied`.
///
/// # Example
/// ```rhai,no_run
/// let info = docker::info();
/// print(`${info.server_version}, ${info.containers_running} containers, ${info.mem_total}`);
/// ```
#[primitive(read, volatile, needs = docker("*"))]
pub(super) async fn info(cx: &Cx) -> Result<Map> {
    let engine = cx.client::<Engine>().await?;
    let info = engine.read().info().await;
    let info = info.map_err(|error| engine.failed("ask the engine about itself", error))?;
    shape::map(cx.redactor(), &info)
}

/// The versions of the engine and its parts: `version`, `api_version`, `os`, `arch`, `components` ….
///
/// # Errors
/// `docker.unreachable`, `docker.denied`.
///
/// # Example
/// ```rhai,no_run
/// print(docker::version().version);
/// ```
#[primitive(read, needs = docker("*"))]
pub(super) async fn version(cx: &Cx) -> Result<Map> {
    let engine = cx.client::<Engine>().await?;
    let version = engine.read().version().await;
    let version = version.map_err(|error| engine.failed("ask for the engine's version", error))?;
    shape::map(cx.redactor(), &version)
}

/// Whether the engine answers: how long that took.
///
/// # Errors
/// `docker.unreachable`, `docker.denied`.
///
/// # Example
/// ```rhai,no_run
/// assert(docker::ping() < "1s");
/// ```
#[primitive(read, volatile, needs = docker("*"))]
pub(super) async fn ping(cx: &Cx) -> Result<Duration> {
    let engine = cx.client::<Engine>().await?;
    let started = std::time::Instant::now();
    let answer = engine.read().ping().await;
    answer.map_err(|error| engine.failed("ping the engine", error))?;
    Ok(Duration::from(started.elapsed()))
}
