//! What is meant to run: the project as Compose understands it.

use std::sync::Arc;

use ccrun_kernel::rhai::{Dynamic, Map};
use ccrun_kernel::secret::Secret;
use ccrun_kernel::value::from_json;
use ccrun_kernel::{Cx, Error, Result, primitive};
use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::Value;

use super::cli::Call;
use super::project::{Definition, Project};
use crate::naming::is_secret;

/// The parts of the model that ccrun itself looks at. Source: the Compose specification.
#[derive(Deserialize, Clone)]
pub struct Model {
    /// The services, by name.
    #[serde(default)]
    pub services: IndexMap<String, Service>,
}

/// A service.
#[derive(Deserialize, Clone, Default)]
pub struct Service {
    /// The image's name.
    pub image: Option<String>,
    /// Its variables.
    #[serde(default, deserialize_with = "or_default")]
    pub environment: IndexMap<String, Option<String>>,
    /// Its labels.
    #[serde(default, deserialize_with = "or_default")]
    pub labels: IndexMap<String, String>,
    /// Its published ports.
    #[serde(default, deserialize_with = "or_default")]
    pub ports: Vec<Port>,
    /// When it is started again.
    pub restart: Option<String>,
    /// How many containers, where it says so directly.
    pub scale: Option<u64>,
    /// How many containers, where `deploy` says so.
    pub deploy: Option<Deploy>,
}

/// `deploy` of a service.
#[derive(Deserialize, Clone, Default)]
pub struct Deploy {
    /// How many containers.
    pub replicas: Option<u64>,
}

/// A published port.
#[derive(Deserialize, Clone)]
pub struct Port {
    /// The port inside.
    pub target: u32,
    /// The port outside; empty for any.
    pub published: Option<String>,
    /// The address outside.
    pub host_ip: Option<String>,
    /// `tcp` or `udp`.
    pub protocol: Option<String>,
}

fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

impl Service {
    /// How many containers it should have.
    pub fn replicas(&self) -> u64 {
        let deployed = self.deploy.as_ref().and_then(|deploy| deploy.replicas);
        self.scale.or(deployed).unwrap_or(1)
    }

    /// Whether it does its work once and ends.
    pub fn is_one_shot(&self) -> bool {
        self.is_labelled("ccrun.oneshot")
    }

    /// Whether the rest can do without it.
    pub fn is_optional(&self) -> bool {
        self.is_labelled("ccrun.optional")
    }

    fn is_labelled(&self, label: &str) -> bool {
        self.labels.get(label).is_some_and(|text| text == "true")
    }
}

/// The whole model as Compose prints it. The secrets in it are known to the redactor from here on.
pub async fn whole(cx: &Cx, project: &Arc<Definition>) -> Result<Value> {
    let text = Call::read(cx, project, &["config", "--format", "json"])
        .text()
        .await?;
    let mut value: Value = serde_json::from_str(&text).map_err(|error| {
        Error::new(
            "compose.failed",
            format!("`docker compose config` wrote no JSON: {error}"),
        )
        .hint("ccrun needs Docker Compose 2.20 or newer: `docker compose version`")
    })?;
    for (_, environment) in environments(&mut value) {
        for (name, text) in environment.iter() {
            if let Some(text) = text.as_str()
                && !text.is_empty()
                && is_secret(name, text)
            {
                cx.redactor().add(&Secret::new(name, text));
            }
        }
    }
    Ok(value)
}

/// The model as far as ccrun looks at it.
pub async fn model(cx: &Cx, project: &Arc<Definition>) -> Result<Model> {
    let value = whole(cx, project).await?;
    serde_json::from_value(value).map_err(|error| {
        Error::new(
            "compose.failed",
            format!("`docker compose config` says something ccrun does not understand: {error}"),
        )
    })
}

type Environment = serde_json::Map<String, Value>;

fn environments(value: &mut Value) -> impl Iterator<Item = (&String, &mut Environment)> {
    value
        .get_mut("services")
        .and_then(Value::as_object_mut)
        .into_iter()
        .flatten()
        .filter_map(|(name, service)| {
            let environment = service.get_mut("environment")?.as_object_mut()?;
            Some((name, environment))
        })
}

impl Project {
    /// The project as Compose understands it: files merged, variables filled in, short forms written out.
    ///
    /// Variables of services whose names say that they are secrets come as `Secret`s.
    ///
    /// # Errors
    /// `compose.unset_variable` for a `${NAME:?…}` that is not set, `compose.invalid`,
    /// `compose.no_env_file`, `compose.missing`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// let model = compose::project().config();
    /// for name in model.services.keys() {
    ///     print(`${name}: ${model.services[name].image}`);
    /// }
    /// ```
    #[primitive(read, needs = compose(self.0.name))]
    pub(super) async fn config(&self, cx: &Cx) -> Result<Map> {
        let mut value = whole(cx, &self.0).await?;
        let mut secrets = Vec::new();
        for (service, environment) in environments(&mut value) {
            for (name, text) in environment.iter_mut() {
                let Some(plain) = text.as_str() else { continue };
                if !plain.is_empty() && is_secret(name, plain) {
                    secrets.push((service.clone(), Secret::new(name, plain)));
                    *text = Value::Null;
                }
            }
        }
        let mut map = from_json(&value).cast::<Map>();
        for (service, secret) in secrets {
            put(&mut map, &service, secret);
        }
        Ok(map)
    }

    /// The names of the services, in the order of the files.
    ///
    /// # Errors
    /// As `config`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// print(compose::project().services());
    /// ```
    #[primitive(read, needs = compose(self.0.name))]
    pub(super) async fn services(&self, cx: &Cx) -> Result<Vec<String>> {
        Ok(model(cx, &self.0).await?.services.into_keys().collect())
    }

    /// The images that the services use, each once, sorted.
    ///
    /// # Errors
    /// As `config`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// print(compose::project().images());
    /// ```
    #[primitive(read, needs = compose(self.0.name))]
    pub(super) async fn images(&self, cx: &Cx) -> Result<Vec<String>> {
        let services = model(cx, &self.0).await?.services;
        let mut images: Vec<String> = services
            .into_values()
            .filter_map(|service| service.image)
            .collect();
        images.sort();
        images.dedup();
        Ok(images)
    }
}

/// Put a secret at `services.SERVICE.environment.NAME`.
fn put(map: &mut Map, service: &str, secret: Secret) {
    let Some(mut services) = map.get_mut("services").and_then(|v| v.as_map_mut().ok()) else {
        return;
    };
    let Some(mut service) = services.get_mut(service).and_then(|v| v.as_map_mut().ok()) else {
        return;
    };
    let environment = service.get_mut("environment");
    if let Some(mut environment) = environment.and_then(|v| v.as_map_mut().ok()) {
        environment.insert(secret.name().into(), Dynamic::from(secret));
    }
}
