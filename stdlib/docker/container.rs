//! Containers: finding them, and what the list says of each.

use std::collections::HashMap;
use std::sync::Arc;

use bollard::models::ContainerSummary;
use bollard::query_parameters::ListContainersOptionsBuilder;
use ccrun_kernel::rhai::{Array, Dynamic, Map};
use ccrun_kernel::{Cx, Object, Options, Result, primitive};

use super::arguments::Words;
use super::shape;
use crate::engine::{Engine, is_not_found, not_found};

/// What Compose writes on the containers it makes.
const PROJECT: &str = "com.docker.compose.project";
const SERVICE: &str = "com.docker.compose.service";

/// A container, as it was when it was looked up.
#[derive(Clone, Object)]
#[object(describe = "describe")]
pub struct Container {
    pub(super) id: Arc<str>,
    pub(super) name: Arc<str>,
    summary: Arc<ContainerSummary>,
}

fn describe(container: &Container) -> String {
    format!("Container {} ({})", container.name, container.state())
}

/// Which containers are listed.
#[derive(Clone, Options)]
pub struct ListOptions {
    /// Those that do not run as well.
    #[option(default = "false")]
    all: bool,
    /// Labels, `"name"` or `"name=value"`: all of them.
    label: Option<Words>,
    /// Parts of names: any of them.
    name: Option<Words>,
    /// `"running"`, `"exited"`, `"paused"`, `"created"`, `"restarting"`, `"dead"`: any of them.
    status: Option<Words>,
    /// The Compose service.
    service: Option<String>,
    /// The Compose project.
    project: Option<String>,
}

impl ListOptions {
    fn filters(&self) -> HashMap<&'static str, Vec<String>> {
        let words =
            |words: &Option<Words>| words.clone().map_or_else(Vec::new, |Words(words)| words);
        let mut labels = words(&self.label);
        let made_for = [(SERVICE, &self.service), (PROJECT, &self.project)];
        for (label, value) in made_for {
            labels.extend(value.as_ref().map(|value| format!("{label}={value}")));
        }
        let mut filters = HashMap::from([
            ("label", labels),
            ("name", words(&self.name)),
            ("status", words(&self.status)),
        ]);
        filters.retain(|_, values| !values.is_empty());
        filters
    }
}

/// The containers that the engine's filters find, sorted by name.
pub(crate) async fn found(
    cx: &Cx,
    all: bool,
    filters: &HashMap<&'static str, Vec<String>>,
) -> Result<Vec<Container>> {
    let engine = cx.client::<Engine>().await?;
    let options = ListContainersOptionsBuilder::new()
        .all(all)
        .filters(filters)
        .build();
    let summaries = engine
        .read()
        .list_containers(Some(options))
        .await
        .map_err(|error| engine.failed("list the containers", error))?;
    let mut containers: Vec<Container> = summaries.into_iter().filter_map(Container::new).collect();
    containers.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(containers)
}

async fn listed(cx: &Cx, options: &ListOptions) -> Result<Vec<Container>> {
    // The engine's own rule: who asks for a status means also those that do not run.
    let all = options.all || options.status.is_some();
    found(cx, all, &options.filters()).await
}

/// One container by its name or id.
pub(crate) async fn one(cx: &Cx, name: &str) -> Result<Container> {
    let engine = cx.client::<Engine>().await?;
    let id = match engine.read().inspect_container(name, None).await {
        Ok(inspected) => inspected.id.unwrap_or_default(),
        Err(error) if is_not_found(&error) => return Err(missing(cx, name).await?),
        Err(error) => return Err(engine.failed(&format!("look up the container {name}"), error)),
    };
    let filters = HashMap::from([("id", vec![id])]);
    match found(cx, true, &filters).await?.pop() {
        Some(container) => Ok(container),
        // It went between the two questions.
        None => Err(missing(cx, name).await?),
    }
}

async fn missing(cx: &Cx, name: &str) -> Result<ccrun_kernel::Error> {
    let others = found(cx, true, &HashMap::new()).await?;
    Ok(not_found(
        "container",
        name,
        others.iter().map(|container| &*container.name),
    ))
}

/// The containers that run (`all: true`: every one), sorted by name.
///
/// # Errors
/// `docker.unreachable`, `docker.denied`.
///
/// # Example
/// ```rhai,no_run
/// for container in docker::containers(#{ project: "command_center" }) {
///     print(`${container.name}: ${container.state} ${container.health}`);
/// }
/// ```
#[primitive(read, volatile, needs = docker("*"))]
pub(super) async fn containers(cx: &Cx, options: ListOptions) -> Result<Vec<Container>> {
    listed(cx, &options).await
}

/// The containers that run (`all: true`: every one) as a table: maps with `name`, `state`, `health`,
/// `status`, `image`, `ports`, `created`, `id`.
///
/// # Errors
/// `docker.unreachable`, `docker.denied`.
///
/// # Example
/// ```rhai,no_run
/// docker::ps(#{ all: true, status: "exited" })
/// ```
#[primitive(read, volatile, needs = docker("*"))]
pub(super) async fn ps(cx: &Cx, options: ListOptions) -> Result<Vec<Map>> {
    let containers = listed(cx, &options).await?;
    Ok(containers
        .iter()
        .map(|container| {
            Map::from_iter([
                ("name".into(), container.name().into()),
                ("state".into(), container.state().into()),
                ("health".into(), text(container.health())),
                ("status".into(), container.status().into()),
                ("image".into(), container.image().into()),
                ("ports".into(), Dynamic::from_array(container.ports())),
                ("created".into(), container.created()),
                (
                    "id".into(),
                    container.id.chars().take(12).collect::<String>().into(),
                ),
            ])
        })
        .collect())
}

/// A container by its name or id.
///
/// # Errors
/// `docker.not_found` with the nearest name, `docker.unreachable`, `docker.denied`.
///
/// # Example
/// ```rhai,no_run
/// let postgres = docker::container("postgres");
/// assert(postgres.state == "running");
/// ```
#[primitive(read, volatile, needs = docker(name))]
pub(super) async fn container(cx: &Cx, name: String) -> Result<Container> {
    one(cx, &name).await
}

fn text(text: Option<String>) -> Dynamic {
    text.map_or(Dynamic::UNIT, Dynamic::from)
}

impl Container {
    fn new(summary: ContainerSummary) -> Option<Self> {
        let names = summary.names.as_deref().unwrap_or_default();
        // Links of other containers are names as well, with a slash in them.
        let name = names
            .iter()
            .map(|name| name.trim_start_matches('/'))
            .find(|name| !name.contains('/'))?;
        Some(Self {
            id: summary.id.as_deref()?.into(),
            name: name.into(),
            summary: Arc::new(summary),
        })
    }

    fn label(&self, name: &str) -> Option<String> {
        self.summary.labels.as_ref()?.get(name).cloned()
    }

    /// The id.
    ///
    /// # Errors
    /// None.
    ///
    /// # Example
    /// ```rhai,no_run
    /// print(docker::container("postgres").id);
    /// ```
    #[primitive(pure, get)]
    pub(super) fn id(&self) -> String {
        self.id.to_string()
    }

    /// The name.
    ///
    /// # Errors
    /// None.
    ///
    /// # Example
    /// ```rhai,no_run
    /// for container in docker::containers() { print(container.name); }
    /// ```
    #[primitive(pure, get)]
    pub(crate) fn name(&self) -> String {
        self.name.to_string()
    }

    /// The image as it was asked for: `postgres:15`.
    ///
    /// # Errors
    /// None.
    ///
    /// # Example
    /// ```rhai,no_run
    /// print(docker::container("postgres").image);
    /// ```
    #[primitive(pure, get)]
    pub(super) fn image(&self) -> String {
        self.summary.image.clone().unwrap_or_default()
    }

    /// The id of the image it was made from: `sha256:…`.
    ///
    /// # Errors
    /// None.
    ///
    /// # Example
    /// ```rhai,no_run
    /// print(docker::container("postgres").image_id);
    /// ```
    #[primitive(pure, get)]
    pub(super) fn image_id(&self) -> String {
        self.summary.image_id.clone().unwrap_or_default()
    }

    /// `"running"`, `"exited"`, `"paused"`, `"created"`, `"restarting"`, `"dead"`, when it was looked up.
    ///
    /// # Errors
    /// None.
    ///
    /// # Example
    /// ```rhai,no_run
    /// assert(docker::container("postgres").state == "running");
    /// ```
    #[primitive(pure, get)]
    pub(super) fn state(&self) -> String {
        let state = self.summary.state.as_ref();
        state.map_or_else(String::new, ToString::to_string)
    }

    /// The state in words: `Up 5 minutes (healthy)`.
    ///
    /// # Errors
    /// None.
    ///
    /// # Example
    /// ```rhai,no_run
    /// print(docker::container("postgres").status);
    /// ```
    #[primitive(pure, get)]
    pub(super) fn status(&self) -> String {
        self.summary.status.clone().unwrap_or_default()
    }

    /// `"healthy"`, `"unhealthy"`, `"starting"`; `()` without a health check.
    ///
    /// # Errors
    /// None.
    ///
    /// # Example
    /// ```rhai,no_run
    /// assert(docker::container("postgres").health == "healthy");
    /// ```
    #[primitive(pure, get)]
    pub(super) fn health(&self) -> Option<String> {
        // Older engines say it only in the status: `Up 5 minutes (health: starting)`.
        let status = self.summary.status.as_deref()?;
        let (_, inside) = status.strip_suffix(')')?.rsplit_once('(')?;
        let health = inside.strip_prefix("health: ").unwrap_or(inside);
        matches!(health, "healthy" | "unhealthy" | "starting").then(|| health.to_owned())
    }

    /// Its labels.
    ///
    /// # Errors
    /// None.
    ///
    /// # Example
    /// ```rhai,no_run
    /// print(docker::container("postgres").labels);
    /// ```
    #[primitive(pure, get)]
    pub(super) fn labels(&self) -> Map {
        let labels = self.summary.labels.iter().flatten();
        labels
            .map(|(name, value)| (name.into(), value.clone().into()))
            .collect()
    }

    /// When it was created.
    ///
    /// # Errors
    /// None.
    ///
    /// # Example
    /// ```rhai,no_run
    /// print(docker::container("postgres").created);
    /// ```
    #[primitive(pure, get)]
    pub(super) fn created(&self) -> Dynamic {
        self.summary
            .created
            .map_or(Dynamic::UNIT, shape::since_1970)
    }

    /// Its ports as Docker writes them: `127.0.0.1:8080->80/tcp` if published, else `80/tcp`.
    ///
    /// # Errors
    /// None.
    ///
    /// # Example
    /// ```rhai,no_run
    /// print(docker::container("postgres").ports);
    /// ```
    #[primitive(pure, get)]
    pub(super) fn ports(&self) -> Array {
        let mut ports: Vec<String> = self
            .summary
            .ports
            .iter()
            .flatten()
            .map(|port| {
                let inside = port.private_port;
                let protocol = port
                    .typ
                    .map_or_else(|| "tcp".to_owned(), |typ| typ.to_string());
                match (port.public_port, port.ip.as_deref().unwrap_or("0.0.0.0")) {
                    (Some(public), ip) if ip.contains(':') => {
                        format!("[{ip}]:{public}->{inside}/{protocol}")
                    }
                    (Some(public), ip) => format!("{ip}:{public}->{inside}/{protocol}"),
                    (None, _) => format!("{inside}/{protocol}"),
                }
            })
            .collect();
        ports.sort();
        ports.dedup();
        ports.into_iter().map(Dynamic::from).collect()
    }

    /// The Compose service it belongs to, or `()`.
    ///
    /// # Errors
    /// None.
    ///
    /// # Example
    /// ```rhai,no_run
    /// print(docker::containers().map(|container| container.service));
    /// ```
    #[primitive(pure, get)]
    pub(super) fn service(&self) -> Option<String> {
        self.label(SERVICE)
    }

    /// The Compose project it belongs to, or `()`.
    ///
    /// # Errors
    /// None.
    ///
    /// # Example
    /// ```rhai,no_run
    /// print(docker::containers().map(|container| container.project));
    /// ```
    #[primitive(pure, get)]
    pub(super) fn project(&self) -> Option<String> {
        self.label(PROJECT)
    }

    /// All properties in a map.
    ///
    /// # Errors
    /// None.
    ///
    /// # Example
    /// ```rhai,no_run
    /// print(docker::container("postgres").to_map());
    /// ```
    #[primitive(pure)]
    pub(super) fn to_map(&self) -> Map {
        Map::from_iter([
            ("id".into(), self.id().into()),
            ("name".into(), self.name().into()),
            ("image".into(), self.image().into()),
            ("image_id".into(), self.image_id().into()),
            ("state".into(), self.state().into()),
            ("status".into(), self.status().into()),
            ("health".into(), text(self.health())),
            ("labels".into(), self.labels().into()),
            ("created".into(), self.created()),
            ("ports".into(), Dynamic::from_array(self.ports())),
            ("service".into(), text(self.service())),
            ("project".into(), text(self.project())),
        ])
    }

    /// The same container as it is now.
    ///
    /// # Errors
    /// `docker.not_found` if it is gone.
    ///
    /// # Example
    /// ```rhai,no_run
    /// let web = docker::container("web");
    /// web.restart();
    /// assert(web.reload().state == "running");
    /// ```
    #[primitive(read, volatile, needs = docker(self.name))]
    pub(super) async fn reload(&self, cx: &Cx) -> Result<Self> {
        one(cx, &self.id).await
    }
}
