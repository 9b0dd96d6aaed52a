//! Where what runs differs from what the files say.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ccrun_kernel::rhai::{Array, Dynamic, Map};
use ccrun_kernel::{Cx, Result, primitive};

use super::cli::Call;
use super::config::{self, Model, Service};
use super::containers::{self, Container};
use super::gate::{Standing, standing};
use super::project::{Definition, Project};
use crate::engine::{Engine, is_not_found};
use crate::naming::is_secret;

/// One difference.
#[derive(Debug, Clone)]
pub struct Difference {
    /// The service.
    pub service: String,
    /// What `up` would do about it.
    pub action: Action,
    /// What differs, in a line each.
    pub reasons: Vec<String>,
}

/// What `up` would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// There is no container yet, or too few.
    Create,
    /// It was made from another configuration or image.
    Recreate,
    /// It is there and does not run.
    Start,
    /// There are too many.
    Remove,
    /// The files know no such service; it stays unless `remove_orphans` is said.
    Orphan,
}

impl Action {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Recreate => "recreate",
            Self::Start => "start",
            Self::Remove => "remove",
            Self::Orphan => "orphan",
        }
    }
}

/// What differs, in the order of the files.
pub async fn find(cx: &Cx, project: &Arc<Definition>, model: &Model) -> Result<Vec<Difference>> {
    let hashes = hashes(cx, project).await?;
    let containers = containers::all(cx, project).await?;
    let mut differences = Vec::new();
    for (name, service) in &model.services {
        let own: Vec<&Container> = containers
            .iter()
            .filter(|container| container.service == *name && !container.one_off)
            .collect();
        let mut add = |action, reasons| {
            differences.push(Difference {
                service: name.clone(),
                action,
                reasons,
            });
        };
        let wanted = service.replicas();
        let have = own.len() as u64;
        if have > wanted {
            add(
                Action::Remove,
                vec![format!("{have} containers, not {wanted}")],
            );
        }
        if own.is_empty() {
            if wanted > 0 {
                add(Action::Create, Vec::new());
            }
            continue;
        }
        let image = image(cx, service).await?;
        let changed = own
            .iter()
            .map(|container| reasons(service, container, hashes.get(name), image.as_ref()))
            .find(|reasons| !reasons.is_empty());
        if let Some(reasons) = changed {
            add(Action::Recreate, reasons);
        } else if have < wanted {
            add(
                Action::Create,
                vec![format!("{have} containers, not {wanted}")],
            );
        } else if let Some(reason) = stopped(service, &own) {
            add(Action::Start, vec![reason]);
        }
    }
    let mut orphans: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for container in containers
        .iter()
        .filter(|container| !container.one_off && !model.services.contains_key(&container.service))
    {
        orphans.entry(&container.service).or_default().push(format!(
            "{} is {}",
            container.name,
            container.state()
        ));
    }
    for (service, reasons) in orphans {
        differences.push(Difference {
            service: service.to_owned(),
            action: Action::Orphan,
            reasons,
        });
    }
    Ok(differences)
}

/// Why the containers of a service do not run, if they should.
fn stopped(service: &Service, own: &[&Container]) -> Option<String> {
    // Health is the gate's business: a container that runs is not started again.
    let ended = own
        .iter()
        .find(|container| !matches!(container.state().as_str(), "running" | "restarting"))?;
    match standing(service, own, &HashMap::new()) {
        Standing::Good => None,
        _ => Some(format!("{} is {}", ended.name, ended.state())),
    }
}

/// The hash of each service's configuration, as Compose itself computes it.
async fn hashes(cx: &Cx, project: &Arc<Definition>) -> Result<HashMap<String, String>> {
    let text = Call::read(cx, project, &["config", "--hash", "*"])
        .text()
        .await?;
    Ok(text
        .lines()
        .filter_map(|line| {
            let (name, hash) = line.trim().split_once(char::is_whitespace)?;
            Some((name.to_owned(), hash.trim().to_owned()))
        })
        .collect())
}

/// The id of the service's image as it is on this machine, if it is.
async fn image(cx: &Cx, service: &Service) -> Result<Option<(String, Vec<String>)>> {
    let Some(name) = &service.image else {
        return Ok(None);
    };
    let engine = cx.client::<Engine>().await?;
    match engine.read().inspect_image(name).await {
        Ok(image) => {
            let config = image.config.unwrap_or_default();
            Ok(image.id.map(|id| (id, config.env.unwrap_or_default())))
        }
        Err(error) if is_not_found(&error) => Ok(None),
        Err(error) => Err(engine.failed(&format!("inspect the image {name}"), error)),
    }
}

/// Why a container is not what the files say.
fn reasons(
    service: &Service,
    container: &Container,
    hash: Option<&String>,
    image: Option<&(String, Vec<String>)>,
) -> Vec<String> {
    let mut reasons = Vec::new();
    let config = container.inspect.config.clone().unwrap_or_default();
    let ran = config.image.unwrap_or_default();
    match (&service.image, image) {
        (Some(wanted), _) if *wanted != ran => reasons.push(format!("image: {ran} → {wanted}")),
        (Some(wanted), Some((id, _))) if id != container.image_id() => {
            reasons.push(format!("image: {wanted} is another one now"));
        }
        _ => {}
    }
    let same = match (hash, container.config_hash()) {
        (Some(hash), Some(made_from)) => hash == made_from,
        _ => true,
    };
    if same {
        return reasons;
    }
    let inherited = image.map(|(_, env)| env.clone()).unwrap_or_default();
    environment(
        service,
        &config.env.unwrap_or_default(),
        &inherited,
        &mut reasons,
    );
    for (name, value) in &service.labels {
        let found = config.labels.as_ref().and_then(|labels| labels.get(name));
        if found != Some(value) {
            reasons.push(format!(
                "label {name}: {} → {value}",
                found.map_or("none", String::as_str)
            ));
        }
    }
    let wanted = published(service);
    let have: Vec<String> = container
        .inspect
        .host_config
        .as_ref()
        .and_then(|host| host.port_bindings.as_ref())
        .into_iter()
        .flatten()
        .flat_map(|(inside, outside)| {
            outside.iter().flatten().map(move |binding| {
                port(
                    binding.host_ip.as_deref().unwrap_or_default(),
                    binding.host_port.as_deref().unwrap_or_default(),
                    inside,
                )
            })
        })
        .collect();
    let (mut wanted_sorted, mut have_sorted) = (wanted, have);
    wanted_sorted.sort();
    have_sorted.sort();
    if wanted_sorted != have_sorted {
        let list = |ports: &[String]| match ports {
            [] => "none".to_owned(),
            ports => ports.join(", "),
        };
        reasons.push(format!(
            "ports: {} → {}",
            list(&have_sorted),
            list(&wanted_sorted)
        ));
    }
    if reasons.is_empty() {
        reasons.push(
            "another part of its configuration (volumes, command, limits, health check …)"
                .to_owned(),
        );
    }
    reasons
}

/// Variables that differ; values only where they are no secrets.
fn environment(
    service: &Service,
    have: &[String],
    inherited: &[String],
    reasons: &mut Vec<String>,
) {
    let pairs: HashMap<&str, &str> = have
        .iter()
        .filter_map(|pair| pair.split_once('='))
        .collect();
    for (name, wanted) in &service.environment {
        let wanted = wanted.as_deref().unwrap_or_default();
        let found = pairs.get(name.as_str()).copied();
        if found == Some(wanted) {
            continue;
        }
        let secret = is_secret(name, wanted) || found.is_some_and(|text| is_secret(name, text));
        reasons.push(match found {
            None => format!("{name} is new"),
            Some(_) if secret => format!("{name} has another value"),
            Some(text) => format!("{name}: {text} → {wanted}"),
        });
    }
    for pair in have.iter().filter(|pair| !inherited.contains(pair)) {
        if let Some((name, _)) = pair.split_once('=')
            && !service.environment.contains_key(name)
            && !matches!(name, "PATH" | "HOME" | "HOSTNAME")
        {
            reasons.push(format!("{name} goes"));
        }
    }
}

fn published(service: &Service) -> Vec<String> {
    service
        .ports
        .iter()
        .map(|given| {
            let protocol = given.protocol.as_deref().unwrap_or("tcp");
            port(
                given.host_ip.as_deref().unwrap_or_default(),
                given.published.as_deref().unwrap_or_default(),
                &format!("{}/{protocol}", given.target),
            )
        })
        .collect()
}

fn port(ip: &str, outside: &str, inside: &str) -> String {
    let ip = match ip {
        "" => "0.0.0.0",
        ip => ip,
    };
    format!("{ip}:{outside}->{inside}")
}

impl Project {
    /// Where what runs differs from what the files say: maps with `service`, `action` (`"create"`,
    /// `"recreate"`, `"start"`, `"remove"`, `"orphan"`: what `up` would do) and `reasons`. Nothing is an empty array.
    ///
    /// Whether a service's configuration is another one is told by Compose's own hash of it, whether its image
    /// is, by the image's id on this machine. Values of secrets are not shown.
    ///
    /// # Errors
    /// As `config` and `ps`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// for change in compose::project().drift() {
    ///     print(`${change.action} ${change.service}: ${change.reasons}`);
    /// }
    /// ```
    #[primitive(read, volatile, needs = compose(self.0.name))]
    pub(super) async fn drift(&self, cx: &Cx) -> Result<Vec<Map>> {
        let model = config::model(cx, &self.0).await?;
        let differences = find(cx, &self.0, &model).await?;
        Ok(differences
            .into_iter()
            .map(|difference| {
                let reasons: Array = difference.reasons.into_iter().map(Dynamic::from).collect();
                Map::from_iter([
                    ("service".into(), difference.service.into()),
                    ("action".into(), difference.action.word().into()),
                    ("reasons".into(), reasons.into()),
                ])
            })
            .collect())
    }
}
