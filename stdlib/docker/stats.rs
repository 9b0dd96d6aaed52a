//! What containers use of the machine.

use bollard::models::{ContainerCpuStats, ContainerStatsResponse};
use bollard::query_parameters::StatsOptionsBuilder;
use ccrun_kernel::rhai::{Dynamic, Map};
use ccrun_kernel::value::{Duration, Size};
use ccrun_kernel::{Cx, Result, primitive};
use futures::StreamExt as _;

use super::cgroup::{self, Usage};
use super::container::{Container, found};
use crate::engine::{Engine, is_not_found};

/// So many containers are asked at once. The engine waits a second between the two samples that the use of the
/// processors is computed from, so whoever has to wait for a place waits a second more.
const AT_ONCE: usize = 512;

impl Container {
    async fn sample(&self, engine: &Engine) -> Result<Option<ContainerStatsResponse>> {
        let options = StatsOptionsBuilder::new().stream(false).build();
        let mut samples = std::pin::pin!(engine.read().stats(&self.id, Some(options)));
        match samples.next().await {
            None => Ok(None),
            Some(Ok(sample)) => Ok(Some(sample)),
            // It went meanwhile.
            Some(Err(error)) if is_not_found(&error) => Ok(None),
            Some(Err(error)) => Err(engine.failed(&format!("ask what {} uses", self.name), error)),
        }
    }

    /// What it uses now: `cpu_percent` (of one processor, as `docker stats` shows it), `cpu_time`
    /// (since it started), `memory`, `memory_limit`, `memory_percent`, `net_in`, `net_out`, `block_in`, `block_out`, `pids`. One that does
    /// not run uses nothing.
    ///
    /// # Errors
    /// `docker.not_found` if it is gone.
    ///
    /// # Example
    /// ```rhai,no_run
    /// let stats = docker::container("postgres").stats();
    /// print(`${stats.cpu_percent} %, ${stats.memory} of ${stats.memory_limit}`);
    /// ```
    #[primitive(read, volatile, needs = docker(self.name))]
    pub(super) async fn stats(&self, cx: &Cx) -> Result<Map> {
        self.inspected(cx).await?;
        let used = of(cx, std::slice::from_ref(self)).await?;
        Ok(used.into_iter().next().unwrap_or_default())
    }
}

/// What all containers that run use now, as a table; see `stats` of a container for its columns.
///
/// # Errors
/// `docker.unreachable`, `docker.denied`.
///
/// # Example
/// ```rhai,no_run
/// for used in docker::stats() { print(`${used.name}: ${used.cpu_percent} %, ${used.memory}`); }
/// ```
#[primitive(read, volatile, name = "stats", needs = docker("*"))]
pub(super) async fn all(cx: &Cx) -> Result<Vec<Map>> {
    let containers = found(cx, false, &std::collections::HashMap::new()).await?;
    of(cx, &containers).await
}

async fn of(cx: &Cx, containers: &[Container]) -> Result<Vec<Map>> {
    let engine = cx.client::<Engine>().await?;
    let here = if engine.host().address.starts_with("unix://") {
        let ids: Vec<String> = containers.iter().map(|each| each.id.to_string()).collect();
        cx.blocking(move || Ok(cgroup::usage(&ids))).await?
    } else {
        std::collections::HashMap::new()
    };
    // The kernel's counters where they are, else the engine.
    let maps: Vec<Result<Option<Map>>> = futures::stream::iter(containers.to_vec())
        .map(|container| {
            let (engine, usage) = (&engine, here.get(&*container.id).copied());
            async move {
                if let Some(usage) = usage {
                    return Ok(Some(told(&container, &usage)));
                }
                let sample = container.sample(engine).await?;
                Ok(sample.map(|sample| told(&container, &used(&sample))))
            }
        })
        .buffered(AT_ONCE)
        .collect()
        .await;
    Ok(maps
        .into_iter()
        .collect::<Result<Vec<_>>>()?
        .into_iter()
        .flatten()
        .collect())
}

/// As scripts see it.
fn told(container: &Container, usage: &Usage) -> Map {
    let size = |bytes: u64| Dynamic::from(Size::from_bytes(bytes));
    let (memory, limit) = (usage.memory as f64, usage.memory_limit as f64);
    Map::from_iter([
        ("name".into(), container.name().into()),
        (
            "cpu_percent".into(),
            ((usage.cpu_percent * 100.0).round() / 100.0).into(),
        ),
        (
            "cpu_time".into(),
            Dynamic::from(Duration::from(std::time::Duration::from_nanos(
                usage.cpu_nanos,
            ))),
        ),
        ("memory".into(), size(usage.memory)),
        ("memory_limit".into(), size(usage.memory_limit)),
        ("memory_percent".into(), percent(memory, limit).into()),
        ("net_in".into(), size(usage.net.0)),
        ("net_out".into(), size(usage.net.1)),
        ("block_in".into(), size(usage.block.0)),
        ("block_out".into(), size(usage.block.1)),
        (
            "pids".into(),
            i64::try_from(usage.pids).unwrap_or(i64::MAX).into(),
        ),
    ])
}

/// The same arithmetic as the Docker CLI's (`cli/command/container/stats_helpers.go`).
fn used(sample: &ContainerStatsResponse) -> Usage {
    let memory = sample.memory_stats.clone().unwrap_or_default();
    let details = memory.stats.unwrap_or_default();
    // What is only cached and would be given back is not counted: cgroup v1, then v2.
    let inactive = details
        .get("total_inactive_file")
        .or_else(|| details.get("inactive_file"))
        .copied()
        .unwrap_or(0);
    let taken = memory.usage.unwrap_or(0);
    let taken = if inactive < taken {
        taken - inactive
    } else {
        taken
    };
    let limit = memory.limit.unwrap_or(0);
    let networks = sample.networks.iter().flatten();
    let (net_in, net_out) = networks.fold((0, 0), |(into, out), (_, network)| {
        let more = |bytes: Option<u64>| bytes.unwrap_or(0);
        (into + more(network.rx_bytes), out + more(network.tx_bytes))
    });
    let blocks = |direction: &str| {
        let stats = sample.blkio_stats.as_ref();
        let entries = stats.and_then(|stats| stats.io_service_bytes_recursive.as_ref());
        let of_direction = entries.into_iter().flatten().filter(|entry| {
            let op = entry.op.as_deref().unwrap_or_default();
            op.eq_ignore_ascii_case(direction)
        });
        of_direction.filter_map(|entry| entry.value).sum::<u64>()
    };
    let pids = sample.pids_stats.as_ref().and_then(|pids| pids.current);
    Usage {
        cpu_percent: cpu(sample),
        cpu_nanos: sample
            .cpu_stats
            .as_ref()
            .and_then(|cpu| cpu.cpu_usage.as_ref()?.total_usage)
            .unwrap_or(0),
        memory: taken,
        memory_limit: limit,
        net: (net_in, net_out),
        block: (blocks("read"), blocks("write")),
        pids: pids.unwrap_or(0),
    }
}

fn cpu(sample: &ContainerStatsResponse) -> f64 {
    let reading = |cpu: Option<&ContainerCpuStats>| {
        let cpu = cpu.cloned().unwrap_or_default();
        let usage = cpu.cpu_usage.unwrap_or_default();
        let each = usage.percpu_usage.map_or(0, |each| each.len() as u32);
        (
            usage.total_usage.unwrap_or(0) as f64,
            cpu.system_cpu_usage.unwrap_or(0) as f64,
            f64::from(
                cpu.online_cpus
                    .filter(|&count| count > 0)
                    .unwrap_or(each.max(1)),
            ),
        )
    };
    let (used_before, system_before, _) = reading(sample.precpu_stats.as_ref());
    let (used_now, system_now, processors) = reading(sample.cpu_stats.as_ref());
    if used_now <= used_before {
        return 0.0;
    }
    percent(used_now - used_before, system_now - system_before) * processors
}

/// With two digits.
fn percent(part: f64, whole: f64) -> f64 {
    match whole > 0.0 {
        true => (part / whole * 10_000.0).round() / 100.0,
        false => 0.0,
    }
}
