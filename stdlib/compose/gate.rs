//! The health gate: whether what should run does, and well.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use ccrun_kernel::event::Level;
use ccrun_kernel::rhai::Map;
use ccrun_kernel::value::Duration;
use ccrun_kernel::{Cx, Error, Options, Result, primitive};

use super::config::{self, Model, Service};
use super::containers::{self, Container};
use super::project::{Definition, Project};

/// How often the engine is asked.
const INTERVAL: std::time::Duration = std::time::Duration::from_millis(250);

/// A container that was restarted so often while we watched it will not come up.
const MOST_RESTARTS: i64 = 3;

/// What has no health check is believed when it has been running for so long.
const SETTLED: std::time::Duration = std::time::Duration::from_secs(2);

/// How a service stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// As it should be.
    Good,
    /// Not yet; why.
    Pending(String),
    /// It will not become good by waiting; why.
    Failed(String),
}

/// How long is waited, and for what.
#[derive(Clone, Options)]
pub struct GateOptions {
    /// Only these services; without it, all.
    pub(super) services: Option<Vec<String>>,
    /// How long to wait.
    #[option(default = "5m")]
    pub(super) timeout: Duration,
    /// Services whose ill health is only a warning, beside those labelled `ccrun.optional: "true"`.
    pub(super) optional: Option<Vec<String>>,
}

/// How a service stands, by its containers.
pub fn standing(
    service: &Service,
    containers: &[&Container],
    restarts_before: &HashMap<String, i64>,
) -> Standing {
    let wanted = service.replicas();
    if wanted == 0 {
        return Standing::Good;
    }
    let mut good = 0;
    let mut pending = None;
    for container in containers {
        match of_container(service, container, restarts_before) {
            Standing::Good => good += 1,
            Standing::Pending(why) => pending = Some(why),
            failed @ Standing::Failed(_) => return failed,
        }
    }
    match pending {
        _ if good >= wanted => Standing::Good,
        Some(why) => Standing::Pending(why),
        None if wanted > 1 => Standing::Pending(format!("{good} of {wanted} containers run")),
        None => Standing::Pending("not created".to_owned()),
    }
}

fn of_container(
    service: &Service,
    container: &Container,
    restarts_before: &HashMap<String, i64>,
) -> Standing {
    let restarts = container.restarts() - restarts_before.get(&container.id).unwrap_or(&0);
    let exit_code = container.exit_code().unwrap_or(0);
    let restarted = matches!(
        service.restart.as_deref(),
        Some(policy) if policy == "always" || policy == "unless-stopped" || policy.starts_with("on-failure")
    );
    match container.state().as_str() {
        "running" => match container.health().as_deref() {
            None if restarts >= MOST_RESTARTS => Standing::Failed(format!(
                "restarted {restarts} times: it ends again and again"
            )),
            _ if service.is_one_shot() => Standing::Pending("still at work".to_owned()),
            None if container.has_health_check() => Standing::Pending("starting".to_owned()),
            None if container.uptime() < SETTLED => Standing::Pending("just started".to_owned()),
            None | Some("healthy") => Standing::Good,
            Some(health) => Standing::Pending(match container.last_check() {
                Some(said) => format!("{health} ({said})"),
                None => health.to_owned(),
            }),
        },
        // What does its work once is done; so is what nothing would start again.
        "exited" if exit_code == 0 && (service.is_one_shot() || !restarted) => Standing::Good,
        "exited" if service.is_one_shot() || !restarted => {
            Standing::Failed(format!("exited with status {exit_code}"))
        }
        "restarting" | "exited" if restarts >= MOST_RESTARTS => Standing::Failed(format!(
            "restarted {restarts} times, exits with status {exit_code}"
        )),
        "dead" => Standing::Failed("dead: the engine could not remove it".to_owned()),
        state => Standing::Pending(state.to_owned()),
    }
}

/// Wait until the services are as they should be. Returns how they stand in the end, those that may be
/// ill included.
pub async fn wait(
    cx: &Cx,
    project: &Arc<Definition>,
    model: &Model,
    options: &GateOptions,
) -> Result<Vec<(String, Standing)>> {
    let started = Instant::now();
    let names = chosen(model, options.services.as_deref())?;
    let is_optional = |name: &str| {
        let given = options.optional.as_ref();
        model.services[name].is_optional()
            || given.is_some_and(|given| given.iter().any(|other| other == name))
    };
    let mut restarts_before: Option<HashMap<String, i64>> = None;
    let mut progress = cx.progress(
        format!("{} healthy", project.name),
        Some(names.len() as u64),
    );
    loop {
        let containers = containers::all(cx, project).await?;
        let before = restarts_before.get_or_insert_with(|| {
            containers
                .iter()
                .map(|container| (container.id.clone(), container.restarts()))
                .collect()
        });
        let standings: Vec<(String, Standing)> = names
            .iter()
            .map(|name| {
                let own: Vec<&Container> = containers
                    .iter()
                    .filter(|container| container.service == *name && !container.one_off)
                    .collect();
                let standing = standing(&model.services[name.as_str()], &own, before);
                (name.clone(), standing)
            })
            .collect();
        let good = standings
            .iter()
            .filter(|(_, standing)| *standing == Standing::Good)
            .count();
        progress.set(good as u64);
        let waiting: Vec<&str> = standings
            .iter()
            .filter(|(name, standing)| {
                matches!(standing, Standing::Pending(_)) && !is_optional(name)
            })
            .map(|(name, _)| name.as_str())
            .collect();
        let failed = standings
            .iter()
            .any(|(name, standing)| matches!(standing, Standing::Failed(_)) && !is_optional(name));
        let over = started.elapsed() >= options.timeout.to_std();
        if failed || (over && !waiting.is_empty()) {
            let bad: Vec<(String, Standing)> = standings
                .into_iter()
                .filter(|(name, standing)| *standing != Standing::Good && !is_optional(name))
                .collect();
            return Err(unhealthy(cx, project, &bad, &containers, failed, options).await);
        }
        if waiting.is_empty() {
            for (name, standing) in &standings {
                if let Standing::Pending(why) | Standing::Failed(why) = standing {
                    cx.log(Level::Warn, format!("{name} is {why}; it is optional"));
                }
            }
            return Ok(standings);
        }
        progress.message(format!("waiting for {}", waiting.join(", ")));
        tokio::time::sleep(INTERVAL).await;
    }
}

/// The services meant, in the model's order.
///
/// # Errors
/// `compose.no_service`
pub fn chosen(model: &Model, given: Option<&[String]>) -> Result<Vec<String>> {
    let Some(given) = given else {
        return Ok(model.services.keys().cloned().collect());
    };
    for name in given {
        if !model.services.contains_key(name) {
            let known = model.services.keys().map(String::as_str);
            let hint = match ccrun_kernel::value::closest(name, known.clone()) {
                Some(nearest) => format!("did you mean `{nearest}`?"),
                None => format!("there are {}", known.collect::<Vec<_>>().join(", ")),
            };
            return Err(Error::new(
                "compose.no_service",
                format!("the project has no service `{name}`"),
            )
            .hint(hint));
        }
    }
    Ok(model
        .services
        .keys()
        .filter(|name| given.contains(name))
        .cloned()
        .collect())
}

async fn unhealthy(
    cx: &Cx,
    project: &Definition,
    bad: &[(String, Standing)],
    containers: &[Container],
    failed: bool,
    options: &GateOptions,
) -> Error {
    const LINES: usize = 10;
    let mut services = Vec::new();
    let mut reasons = Vec::new();
    let mut shown = String::new();
    for (name, standing) in bad {
        let (Standing::Pending(why) | Standing::Failed(why)) = standing else {
            continue;
        };
        let container = containers
            .iter()
            .rfind(|container| container.service == *name && !container.one_off);
        let lines = match container {
            Some(container) => containers::last_lines(cx, container, LINES)
                .await
                .unwrap_or_default(),
            None => Vec::new(),
        };
        // What hangs on another service says less than the one that broke.
        if matches!(standing, Standing::Failed(_)) || (!failed && bad.len() == 1) {
            shown = lines.join("\n  ");
        }
        reasons.push(format!("{name} {why}"));
        services.push(serde_json::json!({ "service": name, "why": why, "log": lines }));
    }
    let what = match failed {
        true => format!("{} does not come up", project.name),
        false => format!("{} is not healthy after {}", project.name, options.timeout),
    };
    let mut message = format!("{what}: {}", reasons.join("; "));
    if !shown.is_empty() {
        message.push_str(&format!("\n  {shown}"));
    }
    let first = bad.first().map_or("", |(name, _)| name);
    let exists = containers
        .iter()
        .any(|container| container.service == first);
    Error::new("compose.unhealthy", message)
        .hint(match exists {
            true => format!(
                "its whole log: `docker compose -p {} logs {first}`",
                project.name
            ),
            false => "`up` creates what is not there".to_owned(),
        })
        .detail("services", services)
}

impl Project {
    /// Wait until the services run, and are healthy where they have a health check.
    ///
    /// A container that has ended with status 0 and that nothing would start again (or whose service is
    /// labelled `ccrun.oneshot: "true"`) has done its work. One that ended otherwise, or ends again and again, fails
    /// at once. Services labelled `ccrun.optional: "true"` only warn. Returns a map of service → `"healthy"` or
    /// why not.
    ///
    /// # Errors
    /// `compose.unhealthy` with each service's state, what its health check says, and the last lines of
    /// its log (`details.services`); `compose.no_service`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// compose::project().wait_healthy(#{ services: ["postgres"], timeout: "1m" });
    /// ```
    #[primitive(read, volatile, needs = compose(self.0.name))]
    pub(super) async fn wait_healthy(&self, cx: &Cx, options: GateOptions) -> Result<Map> {
        let model = config::model(cx, &self.0).await?;
        let standings = wait(cx, &self.0, &model, &options).await?;
        Ok(standings
            .into_iter()
            .map(|(name, standing)| {
                let text = match standing {
                    Standing::Good => "healthy".to_owned(),
                    Standing::Pending(why) | Standing::Failed(why) => why,
                };
                (name.into(), text.into())
            })
            .collect())
    }
}
