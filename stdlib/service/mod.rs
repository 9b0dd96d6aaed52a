//! Where the container of a Compose service answers.
//!
//! A service that publishes no port, as it should be in production, is reached at its container's address: this
//! machine is on every bridge network of its engine, also on those that are `internal`. Whoever asks gives the name of
//! its namespace, which begins the kinds of the errors.

use bollard::models::ContainerSummary;
use bollard::query_parameters::ListContainersOptionsBuilder;
use ccrun_kernel::config::Target;
use ccrun_kernel::{Access, Client as _, Error, Result};

use crate::engine::Engine;

/// The host and port at which a service's `port` answers.
///
/// A published port goes before the container's own address. `None` where there is no engine to ask and the name is
/// one that the network knows: ccrun may run in a container beside the service.
///
/// # Errors
/// `*.connection_refused` if no container of it runs; `*.service_ambiguous`; what the engine says, or why there is none.
pub async fn address(
    access: &Access,
    namespace: &str,
    service: &str,
    port: u16,
) -> Result<Option<(String, u16)>> {
    let engine = match Engine::open(access).await {
        Ok(engine) => engine,
        Err(error) => {
            return match tokio::net::lookup_host((service, port)).await {
                Ok(_) => Ok(None),
                // That nobody knows the name is because the engine is gone.
                Err(_) => Err(error),
            };
        }
    };
    let container = container(&engine, access.target(), namespace, service).await?;
    let engine = engine.host().address.as_str();
    at(&container, engine, namespace, service, port).map(Some)
}

/// The container of a service.
///
/// # Errors
/// `*.connection_refused` if none runs, `*.service_ambiguous`; what the engine says.
pub async fn container(
    engine: &Engine,
    target: &Target,
    namespace: &str,
    service: &str,
) -> Result<ContainerSummary> {
    let mut labels = vec![format!("com.docker.compose.service={service}")];
    if let Some(project) = project(target) {
        labels.push(format!("com.docker.compose.project={project}"));
    }
    let filters = [("label".to_owned(), labels)].into_iter().collect();
    let list = ListContainersOptionsBuilder::new()
        .filters(&filters)
        .build();
    let found = engine
        .read()
        .list_containers(Some(list))
        .await
        .map_err(|error| engine.failed("list containers", error))?;
    let found: Vec<ContainerSummary> = found
        .into_iter()
        .filter(|container| label(container, "com.docker.compose.oneoff") != "True")
        .collect();
    match found.as_slice() {
        [] => Err(Error::new(
            format!("{namespace}.connection_refused"),
            format!("no container of the service {service} is running"),
        )
        .hint("`docker compose ps --all` shows what there is; `ccrun deploy` starts it")
        .retryable()),
        [container] => Ok(container.clone()),
        several => Err(Error::new(
            format!("{namespace}.service_ambiguous"),
            format!(
                "there are {} containers of a service {service}: {}",
                several.len(),
                several.iter().map(name).collect::<Vec<_>>().join(", ")
            ),
        )
        .hint("say which project: `compose = { project = \"…\" }` of the target, or give `host` instead of `service`")),
    }
}

fn at(
    container: &ContainerSummary,
    engine: &str,
    namespace: &str,
    service: &str,
    port: u16,
) -> Result<(String, u16)> {
    let is_local = engine.starts_with("unix://");
    let published = container
        .ports
        .iter()
        .flatten()
        .filter(|there| there.private_port == port)
        .find_map(|there| Some((there.ip.clone()?, there.public_port?)));
    if let Some((ip, public)) = published {
        let anywhere = matches!(ip.as_str(), "0.0.0.0" | "::" | "");
        if is_local {
            let host = if anywhere { "127.0.0.1".to_owned() } else { ip };
            return Ok((host, public));
        }
        if let Some(host) = url::Url::parse(engine)
            .ok()
            .and_then(|url| url.host_str().map(str::to_owned))
            && anywhere
        {
            return Ok((host, public));
        }
    }
    let networks = container
        .network_settings
        .as_ref()
        .and_then(|settings| settings.networks.as_ref());
    let own = networks
        .into_iter()
        .flat_map(|networks| networks.values())
        .find_map(|network| network.ip_address.clone().filter(|ip| !ip.is_empty()));
    match own {
        Some(ip) if is_local => Ok((ip, port)),
        _ => Err(Error::new(
            format!("{namespace}.connection_refused"),
            format!(
                "{} publishes no port, and its own address can't be reached from here: the engine is at {engine}",
                name(container)
            ),
        )
        .hint(format!(
            "run ccrun on that machine, or publish the port on its loopback address and tunnel to it, and give `host` and `port` instead of `service = \"{service}\"`"
        ))),
    }
}

/// The project that the target names.
fn project(target: &Target) -> Option<String> {
    target
        .raw("compose")?
        .get("project")?
        .as_str()
        .map(str::to_owned)
}

fn label<'c>(container: &'c ContainerSummary, name: &str) -> &'c str {
    let labels = container.labels.as_ref();
    labels
        .and_then(|labels| labels.get(name))
        .map_or("", String::as_str)
}

fn name(container: &ContainerSummary) -> String {
    let first = container.names.as_ref().and_then(|names| names.first());
    first.map_or_else(String::new, |name| name.trim_start_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bollard::models::{
        ContainerSummaryNetworkSettings, EndpointSettings, PortSummary, PortSummaryTypeEnum,
    };

    fn container(published: Option<(&str, u16)>, own: &str) -> ContainerSummary {
        let endpoint = EndpointSettings {
            ip_address: Some(own.to_owned()),
            ..EndpointSettings::default()
        };
        ContainerSummary {
            names: Some(vec!["/shop-postgres-1".to_owned()]),
            ports: published.map(|(ip, public)| {
                vec![PortSummary {
                    ip: Some(ip.to_owned()),
                    private_port: 5432,
                    public_port: Some(public),
                    typ: Some(PortSummaryTypeEnum::TCP),
                }]
            }),
            network_settings: Some(ContainerSummaryNetworkSettings {
                networks: Some([("backend".to_owned(), endpoint)].into_iter().collect()),
            }),
            ..ContainerSummary::default()
        }
    }

    #[test]
    fn a_published_port_goes_before_the_containers_own_address() {
        let local = "unix:///var/run/docker.sock";
        let find =
            |container: &ContainerSummary, engine| at(container, engine, "pg", "postgres", 5432);
        let own = container(None, "172.18.0.2");
        assert_eq!(find(&own, local).unwrap(), ("172.18.0.2".to_owned(), 5432));
        let public = container(Some(("0.0.0.0", 6000)), "172.18.0.2");
        assert_eq!(
            find(&public, local).unwrap(),
            ("127.0.0.1".to_owned(), 6000)
        );
        let elsewhere = find(&public, "ssh://ops@db.example.org").unwrap();
        assert_eq!(elsewhere, ("db.example.org".to_owned(), 6000));
        let error = find(&own, "ssh://ops@db.example.org").err().unwrap();
        assert_eq!(error.kind(), "pg.connection_refused");
    }
}
