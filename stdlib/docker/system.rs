//! The engine itself.

use bollard::query_parameters::{
    ListContainersOptionsBuilder, ListImagesOptionsBuilder, ListVolumesOptions,
};
use ccrun_kernel::rhai::{Dynamic, Map};
use ccrun_kernel::value::{Duration, Size};
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
    Ok(Duration::measured(started.elapsed()))
}

/// What takes space on the engine's disk: a map with `images`, `containers`, `volumes` and `build_cache`,
/// each with `count` and `size` (of volumes and cache only where the engine tells: `()` otherwise).
///
/// Images share layers: their size is what they have together, as far as the engine says it.
///
/// # Errors
/// `docker.unreachable`, `docker.denied`.
///
/// # Example
/// ```rhai,no_run
/// print(docker::disk_usage().images.size);
/// ```
#[primitive(read, volatile, needs = docker("*"))]
pub(super) async fn disk_usage(cx: &Cx) -> Result<Map> {
    let engine = cx.client::<Engine>().await?;
    let failed = |error| engine.failed("ask what takes space", error);
    let docker = engine.read();
    let told = docker.df(None).await.map_err(failed)?;
    let part = |count: Option<i64>, size: Option<i64>| {
        let size = size.and_then(|size| u64::try_from(size).ok());
        Dynamic::from_map(Map::from_iter([
            ("count".into(), count.map_or(Dynamic::UNIT, Dynamic::from)),
            (
                "size".into(),
                size.map_or(Dynamic::UNIT, |size| Dynamic::from(Size::from_bytes(size))),
            ),
        ]))
    };
    // Engines before 29 answer in another form, of which the lists tell the most.
    let images = match told.image_usage {
        Some(usage) => part(usage.total_count, usage.total_size),
        None => {
            let query = ListImagesOptionsBuilder::new().build();
            let images = docker.list_images(Some(query)).await.map_err(failed)?;
            let size = images.iter().map(|image| image.size).sum();
            part(i64::try_from(images.len()).ok(), Some(size))
        }
    };
    let containers = match told.container_usage {
        Some(usage) => part(usage.total_count, usage.total_size),
        None => {
            let query = ListContainersOptionsBuilder::new()
                .all(true)
                .size(true)
                .build();
            let containers = docker.list_containers(Some(query)).await.map_err(failed)?;
            let size = containers.iter().filter_map(|one| one.size_rw).sum();
            part(i64::try_from(containers.len()).ok(), Some(size))
        }
    };
    let volumes = match told.volume_usage {
        Some(usage) => part(usage.total_count, usage.total_size),
        None => {
            let volumes = docker.list_volumes(None::<ListVolumesOptions>).await;
            let volumes = volumes.map_err(failed)?.volumes.unwrap_or_default();
            part(i64::try_from(volumes.len()).ok(), None)
        }
    };
    let cache = told.build_cache_usage.unwrap_or_default();
    Ok(Map::from_iter([
        ("images".into(), images),
        ("containers".into(), containers),
        ("volumes".into(), volumes),
        (
            "build_cache".into(),
            part(cache.total_count, cache.total_size),
        ),
    ]))
}
