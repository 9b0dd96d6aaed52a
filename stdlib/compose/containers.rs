//! What runs: the project's containers, as the engine sees them.

use std::collections::HashMap;
use std::sync::Arc;

use bollard::models::{ContainerInspectResponse, HealthStatusEnum};
use bollard::query_parameters::{ListContainersOptionsBuilder, LogsOptionsBuilder};
use ccrun_kernel::rhai::{Array, Dynamic, Map};
use ccrun_kernel::value::Timestamp;
use ccrun_kernel::{Cx, Options, Result, primitive};
use futures::StreamExt as _;

use super::project::{Definition, Project};
use crate::engine::{Engine, is_not_found};

/// What Compose writes on everything it makes.
pub const PROJECT: &str = "com.docker.compose.project";
const SERVICE: &str = "com.docker.compose.service";
const NUMBER: &str = "com.docker.compose.container-number";
const ONE_OFF: &str = "com.docker.compose.oneoff";
const CONFIG_HASH: &str = "com.docker.compose.config-hash";

/// So many questions to the engine at once.
const AT_ONCE: usize = 8;

/// A container of a project.
#[derive(Clone)]
pub struct Container {
    /// Its id.
    pub id: String,
    /// Its name, without the slash that the engine puts before it.
    pub name: String,
    /// The service it belongs to.
    pub service: String,
    /// Which of the service's containers it is, from 1.
    pub number: u64,
    /// Whether `docker compose run` made it.
    pub one_off: bool,
    /// All that the engine says of it.
    pub inspect: ContainerInspectResponse,
}

impl Container {
    fn new(inspect: ContainerInspectResponse) -> Option<Self> {
        let labels = inspect.config.as_ref()?.labels.clone().unwrap_or_default();
        let label = |name: &str| labels.get(name).cloned().unwrap_or_default();
        Some(Self {
            id: inspect.id.clone()?,
            name: inspect
                .name
                .clone()
                .unwrap_or_default()
                .trim_start_matches('/')
                .to_owned(),
            service: label(SERVICE),
            number: label(NUMBER).parse().unwrap_or(1),
            one_off: label(ONE_OFF).eq_ignore_ascii_case("true"),
            inspect,
        })
    }

    /// `running`, `exited`, `restarting`, `created`, `paused`, `dead`.
    pub fn state(&self) -> String {
        let state = self.inspect.state.as_ref();
        state
            .and_then(|state| state.status)
            .map_or_else(String::new, |status| status.to_string())
    }

    /// `healthy`, `unhealthy`, `starting`; `None` without a health check.
    pub fn health(&self) -> Option<String> {
        let health = self.inspect.state.as_ref()?.health.as_ref()?.status?;
        match health {
            HealthStatusEnum::EMPTY | HealthStatusEnum::NONE => None,
            health => Some(health.to_string()),
        }
    }

    /// Whether it has a health check, also while the engine has not begun with it.
    pub fn has_health_check(&self) -> bool {
        let config = self.inspect.config.as_ref();
        let test = config
            .and_then(|config| config.healthcheck.as_ref())
            .and_then(|check| check.test.as_ref());
        test.is_some_and(|test| !matches!(test.first().map(String::as_str), None | Some("NONE")))
    }

    /// What the last health check said.
    pub fn last_check(&self) -> Option<String> {
        let log = self.inspect.state.as_ref()?.health.as_ref()?.log.as_ref()?;
        let text = log.last()?.output.as_deref()?.trim();
        (!text.is_empty()).then(|| text.lines().last().unwrap_or(text).trim().to_owned())
    }

    /// The exit status of one that has ended.
    pub fn exit_code(&self) -> Option<i64> {
        let state = self.inspect.state.as_ref()?;
        match self.state().as_str() {
            "exited" | "dead" => state.exit_code,
            _ => None,
        }
    }

    /// How long it has been running.
    pub fn uptime(&self) -> std::time::Duration {
        let state = self.inspect.state.as_ref();
        let started = state
            .and_then(|state| state.started_at.as_deref())
            .and_then(|text| text.parse::<jiff::Timestamp>().ok());
        started
            .map(|started| jiff::Timestamp::now().duration_since(started))
            .and_then(|elapsed| elapsed.try_into().ok())
            .unwrap_or_default()
    }

    /// How often the engine has restarted it.
    pub fn restarts(&self) -> i64 {
        self.inspect.restart_count.unwrap_or(0)
    }

    /// The hash of the configuration it was made from.
    pub fn config_hash(&self) -> Option<&str> {
        let labels = self.inspect.config.as_ref()?.labels.as_ref()?;
        labels.get(CONFIG_HASH).map(String::as_str)
    }

    /// The id of the image it was made from.
    pub fn image_id(&self) -> &str {
        self.inspect.image.as_deref().unwrap_or_default()
    }

    /// Its address on one of its networks, while it runs.
    pub fn address(&self) -> Option<String> {
        let settings = self.inspect.network_settings.as_ref()?;
        let networks = settings.networks.as_ref()?;
        let mut addresses: Vec<&String> = networks
            .values()
            .filter_map(|network| network.ip_address.as_ref())
            .filter(|address| !address.is_empty())
            .collect();
        // Whichever it is, the same one every time.
        addresses.sort();
        addresses.first().map(|address| (*address).clone())
    }

    /// The names of the networks that it is on.
    pub fn networks(&self) -> Array {
        let settings = self.inspect.network_settings.as_ref();
        let networks = settings.and_then(|settings| settings.networks.as_ref());
        let mut names: Vec<&String> = networks.into_iter().flat_map(|all| all.keys()).collect();
        names.sort();
        names.into_iter().cloned().map(Dynamic::from).collect()
    }

    /// Where a port of it is published: the host's address and port.
    pub fn published(&self, port: u16) -> Option<(String, u16)> {
        let settings = self.inspect.network_settings.as_ref()?;
        let bindings = settings.ports.as_ref()?.get(&format!("{port}/tcp"))?;
        bindings.iter().flatten().find_map(|binding| {
            let address = binding.host_ip.clone().unwrap_or_default();
            Some((address, binding.host_port.as_ref()?.parse().ok()?))
        })
    }

    fn to_map(&self) -> Map {
        let text = |text: Option<String>| text.map_or(Dynamic::UNIT, Dynamic::from);
        let state = self.inspect.state.clone().unwrap_or_default();
        // What never was, the engine writes as the year 1.
        let time = |text: Option<String>| {
            let at = text.and_then(|text| text.parse::<jiff::Timestamp>().ok());
            at.filter(|at| at.as_second() > 0)
                .map_or(Dynamic::UNIT, |at| Dynamic::from(Timestamp::from(at)))
        };
        let config = self.inspect.config.as_ref();
        let image = config.and_then(|config| config.image.clone());
        let created = self
            .inspect
            .created
            .as_ref()
            .and_then(|text| text.parse::<jiff::Timestamp>().ok())
            .map_or(Dynamic::UNIT, |at| Dynamic::from(Timestamp::from(at)));
        Map::from_iter([
            ("service".into(), self.service.clone().into()),
            ("name".into(), self.name.clone().into()),
            (
                "id".into(),
                self.id.chars().take(12).collect::<String>().into(),
            ),
            ("state".into(), self.state().into()),
            ("health".into(), text(self.health())),
            (
                "exit_code".into(),
                self.exit_code().map_or(Dynamic::UNIT, Dynamic::from),
            ),
            ("restarts".into(), Dynamic::from(self.restarts())),
            (
                "oom_killed".into(),
                state.oom_killed.unwrap_or(false).into(),
            ),
            (
                "error".into(),
                text(state.error.filter(|error| !error.is_empty())),
            ),
            ("last_check".into(), text(self.last_check())),
            ("started".into(), time(state.started_at)),
            ("finished".into(), time(state.finished_at)),
            ("address".into(), text(self.address())),
            ("networks".into(), self.networks().into()),
            ("image".into(), text(image)),
            ("image_id".into(), self.image_id().to_owned().into()),
            ("created".into(), created),
            ("ports".into(), self.ports().into()),
        ])
    }

    /// The published ports as Docker writes them: `127.0.0.1:8080->80/tcp`.
    pub fn ports(&self) -> Array {
        let networks = self.inspect.network_settings.as_ref();
        let mut ports: Vec<String> = networks
            .and_then(|networks| networks.ports.as_ref())
            .into_iter()
            .flatten()
            .flat_map(|(inside, outside)| {
                outside.iter().flatten().map(move |binding| {
                    format!(
                        "{}:{}->{inside}",
                        binding.host_ip.as_deref().unwrap_or_default(),
                        binding.host_port.as_deref().unwrap_or_default()
                    )
                })
            })
            .collect();
        ports.sort();
        ports.into_iter().map(Dynamic::from).collect()
    }
}

/// The containers of a project, sorted by service and number.
pub async fn all(cx: &Cx, project: &Arc<Definition>) -> Result<Vec<Container>> {
    let engine = cx.client::<Engine>().await?;
    let filters = HashMap::from([("label", vec![format!("{PROJECT}={}", project.name)])]);
    let options = ListContainersOptionsBuilder::new()
        .all(true)
        .filters(&filters)
        .build();
    let found = engine
        .read()
        .list_containers(Some(options))
        .await
        .map_err(|error| engine.failed("list the project's containers", error))?;
    let inspected: Vec<_> = futures::stream::iter(found.into_iter().filter_map(|found| found.id))
        .map(|id| {
            let engine = &engine;
            async move { engine.read().inspect_container(&id, None).await }
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let mut containers = Vec::with_capacity(inspected.len());
    for inspect in inspected {
        match inspect {
            Ok(inspect) => containers.extend(Container::new(inspect)),
            // It went between the two questions.
            Err(error) if is_not_found(&error) => {}
            Err(error) => return Err(engine.failed("inspect the project's containers", error)),
        }
    }
    containers.sort_by(|a, b| (&a.service, a.number).cmp(&(&b.service, b.number)));
    Ok(containers)
}

/// The last lines that a container wrote, for an error message.
pub async fn last_lines(cx: &Cx, container: &Container, count: usize) -> Result<Vec<String>> {
    let engine = cx.client::<Engine>().await?;
    let options = LogsOptionsBuilder::new()
        .stdout(true)
        .stderr(true)
        .tail(&count.to_string())
        .build();
    let mut text = String::new();
    let mut logs = std::pin::pin!(engine.read().logs(&container.id, Some(options)));
    while let Some(Ok(piece)) = logs.next().await {
        text.push_str(&String::from_utf8_lossy(&piece.into_bytes()));
    }
    Ok(text.lines().map(str::to_owned).collect())
}

/// Which containers are listed.
#[derive(Clone, Options)]
pub struct PsOptions {
    /// Those that have ended as well.
    #[option(default = "true")]
    all: bool,
    /// Only of these services.
    services: Option<Vec<String>>,
}

impl Project {
    /// The project's containers: maps with `service`, `name`, `id`, `state`, `health` (`()` without a
    /// health check), `exit_code`, `restarts`, `oom_killed`, `error` (why the engine could not start it),
    /// `last_check` (what the health check said last), `started`, `finished`, `address` (its own, on one of
    /// its networks; `()` where this machine can't reach it), `networks`, `image`, `image_id`, `created`, `ports`.
    ///
    /// # Errors
    /// `docker.unreachable`, `docker.denied`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// for container in compose::project().ps() {
    ///     print(`${container.service}: ${container.state} ${container.health}`);
    /// }
    /// ```
    #[primitive(read, volatile, needs = compose(self.0.name))]
    pub(super) async fn ps(&self, cx: &Cx, options: PsOptions) -> Result<Vec<Map>> {
        let containers = all(cx, &self.0).await?;
        let engine = cx.client::<Engine>().await?;
        // Addresses of containers mean something only on the machine that they are on.
        let is_near = engine.host().address.starts_with("unix://");
        let shown = |container: &Container| {
            let mut map = container.to_map();
            if !is_near {
                map.insert("address".into(), Dynamic::UNIT);
            }
            map
        };
        Ok(containers
            .iter()
            .filter(|container| !container.one_off)
            .filter(|container| options.all || container.state() == "running")
            .filter(|container| {
                let wanted = options.services.as_ref();
                wanted.is_none_or(|names| names.contains(&container.service))
            })
            .map(shown)
            .collect())
    }
}
