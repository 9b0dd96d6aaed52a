//! Networks and volumes.

use std::collections::HashMap;

use bollard::models::{
    EndpointSettings, NetworkConnectRequest, NetworkCreateRequest, NetworkDisconnectRequest,
    VolumeCreateRequest,
};
use bollard::query_parameters::{
    InspectNetworkOptions, ListNetworksOptions, ListVolumesOptions, RemoveVolumeOptions,
};
use ccrun_kernel::rhai::Map;
use ccrun_kernel::{Cx, Options, Preview, Result, primitive};
use indexmap::IndexMap;

use super::shape;
use crate::engine::{Engine, is_not_found, not_found, status};

/// What a network is made with.
#[derive(Clone, Options)]
pub struct NetworkOptions {
    /// `"bridge"`, `"overlay"`, `"macvlan"` ….
    #[option(default = "bridge")]
    driver: String,
    /// Nothing leads out of it.
    #[option(default = "false")]
    internal: bool,
    /// Labels.
    labels: Option<IndexMap<String, String>>,
}

/// How a container is in a network.
#[derive(Clone, Options)]
pub struct ConnectOptions {
    /// More names that it has there.
    aliases: Option<Vec<String>>,
}

/// What a volume is made with.
#[derive(Clone, Options)]
pub struct VolumeOptions {
    /// The volume driver.
    #[option(default = "local")]
    driver: String,
    /// Labels.
    labels: Option<IndexMap<String, String>>,
}

fn labels(labels: Option<IndexMap<String, String>>) -> HashMap<String, String> {
    labels.unwrap_or_default().into_iter().collect()
}

/// The networks, sorted by name: maps with `name`, `id`, `driver`, `scope`, `internal`, `ipam`, `labels` ….
///
/// # Errors
/// `docker.unreachable`, `docker.denied`.
///
/// # Example
/// ```rhai,no_run
/// docker::networks().map(|network| network.name)
/// ```
#[primitive(read, volatile, needs = docker("*"))]
pub(super) async fn networks(cx: &Cx) -> Result<Vec<Map>> {
    let engine = cx.client::<Engine>().await?;
    let found = engine
        .read()
        .list_networks(None::<ListNetworksOptions>)
        .await;
    let mut found = found.map_err(|error| engine.failed("list the networks", error))?;
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
        .iter()
        .map(|network| shape::map(cx.redactor(), network))
        .collect()
}

/// A network with the containers in it, by name or id.
///
/// # Errors
/// `docker.not_found` with the nearest name.
///
/// # Example
/// ```rhai,no_run
/// print(docker::network("command_center_default").containers);
/// ```
#[primitive(read, volatile, needs = docker(name))]
pub(super) async fn network(cx: &Cx, name: String) -> Result<Map> {
    let engine = cx.client::<Engine>().await?;
    let found = engine
        .read()
        .inspect_network(&name, None::<InspectNetworkOptions>)
        .await;
    match found {
        Ok(found) => shape::map(cx.redactor(), &found),
        Err(error) if is_not_found(&error) => {
            let others = engine
                .read()
                .list_networks(None::<ListNetworksOptions>)
                .await;
            let others = others.unwrap_or_default();
            let names = others.iter().filter_map(|network| network.name.as_deref());
            Err(not_found("network", &name, names))
        }
        Err(error) => Err(engine.failed(&format!("look up the network {name}"), error)),
    }
}

async fn network_exists(engine: &Engine, name: &str) -> Result<bool> {
    match engine
        .read()
        .inspect_network(name, None::<InspectNetworkOptions>)
        .await
    {
        Ok(_) => Ok(true),
        Err(error) if is_not_found(&error) => Ok(false),
        Err(error) => Err(engine.failed(&format!("look up the network {name}"), error)),
    }
}

/// Make a network. One of that name is left as it is.
///
/// # Errors
/// `docker.failed` with the engine's reason.
///
/// # Example
/// ```rhai,no_run
/// docker::create_network("monitoring", #{ internal: true });
/// ```
#[primitive(change, needs = docker(name), preview = create_network_preview)]
pub(super) async fn create_network(cx: &Cx, name: String, options: NetworkOptions) -> Result<()> {
    let engine = cx.client::<Engine>().await?;
    let docker = engine.write("make a network")?;
    if network_exists(&engine, &name).await? {
        cx.unchanged();
        return Ok(());
    }
    let request = NetworkCreateRequest {
        name: name.clone(),
        driver: Some(options.driver),
        internal: Some(options.internal),
        labels: Some(labels(options.labels)),
        ..NetworkCreateRequest::default()
    };
    let made = docker.create_network(request).await;
    made.map_err(|error| engine.failed(&format!("make the network {name}"), error))?;
    Ok(())
}

async fn create_network_preview(cx: &Cx, name: &str, _options: &NetworkOptions) -> Result<Preview> {
    let engine = cx.client::<Engine>().await?;
    let preview = Preview::new(format!("make the network {name}"));
    Ok(match network_exists(&engine, name).await? {
        true => preview.unchanged(),
        false => preview.undo(format!("docker::remove_network(\"{name}\")")),
    })
}

/// Remove a network that no container is in. One that is gone already is no error.
///
/// # Errors
/// `docker.denied` or `docker.conflict` if containers are in it.
///
/// # Example
/// ```rhai,no_run
/// docker::remove_network("monitoring");
/// ```
#[primitive(change, needs = docker(name), preview = remove_network_preview)]
pub(super) async fn remove_network(cx: &Cx, name: String) -> Result<()> {
    let engine = cx.client::<Engine>().await?;
    let docker = engine.write("remove a network")?;
    match docker.remove_network(&name).await {
        Ok(()) => Ok(()),
        Err(error) if is_not_found(&error) => {
            cx.unchanged();
            Ok(())
        }
        Err(error) => Err(engine.failed(&format!("remove the network {name}"), error)),
    }
}

async fn remove_network_preview(cx: &Cx, name: &str) -> Result<Preview> {
    let engine = cx.client::<Engine>().await?;
    let preview = Preview::new(format!("remove the network {name}"));
    Ok(match network_exists(&engine, name).await? {
        true => preview.undo(format!("docker::create_network(\"{name}\")")),
        false => preview.unchanged(),
    })
}

/// Put a container into a network. One that is in it is left alone.
///
/// # Errors
/// `docker.not_found`.
///
/// # Example
/// ```rhai,no_run
/// docker::connect("monitoring", "postgres", #{ aliases: ["db"] });
/// ```
#[primitive(change, needs = docker(network), needs = docker(container), preview = connect_preview)]
pub(super) async fn connect(
    cx: &Cx,
    network: String,
    container: String,
    options: ConnectOptions,
) -> Result<()> {
    let engine = cx.client::<Engine>().await?;
    let docker = engine.write("connect a container")?;
    let request = NetworkConnectRequest {
        container: container.clone(),
        endpoint_config: Some(EndpointSettings {
            aliases: options.aliases,
            ..EndpointSettings::default()
        }),
    };
    match docker.connect_network(&network, request).await {
        Ok(()) => Ok(()),
        Err(error)
            if matches!(status(&error), Some(403 | 409))
                && error.to_string().contains("already exists in network") =>
        {
            cx.unchanged();
            Ok(())
        }
        Err(error) => Err(engine.failed(&format!("connect {container} to {network}"), error)),
    }
}

async fn connect_preview(
    _cx: &Cx,
    network: &str,
    container: &str,
    _options: &ConnectOptions,
) -> Result<Preview> {
    Ok(
        Preview::new(format!("connect {container} to the network {network}")).undo(format!(
            "docker::disconnect(\"{network}\", \"{container}\")"
        )),
    )
}

/// Take a container out of a network. One that is not in it is left alone.
///
/// # Errors
/// `docker.not_found` if there is no such network.
///
/// # Example
/// ```rhai,no_run
/// docker::disconnect("monitoring", "postgres");
/// ```
#[primitive(change, needs = docker(network), needs = docker(container), preview = disconnect_preview)]
pub(super) async fn disconnect(cx: &Cx, network: String, container: String) -> Result<()> {
    let engine = cx.client::<Engine>().await?;
    let docker = engine.write("disconnect a container")?;
    let request = NetworkDisconnectRequest {
        container: container.clone(),
        force: Some(false),
    };
    match docker.disconnect_network(&network, request).await {
        Ok(()) => Ok(()),
        Err(error) if error.to_string().contains("is not connected to") => {
            cx.unchanged();
            Ok(())
        }
        Err(error) => Err(engine.failed(&format!("disconnect {container} from {network}"), error)),
    }
}

async fn disconnect_preview(_cx: &Cx, network: &str, container: &str) -> Result<Preview> {
    Ok(
        Preview::new(format!("disconnect {container} from the network {network}"))
            .undo(format!("docker::connect(\"{network}\", \"{container}\")")),
    )
}

/// The volumes, sorted by name: maps with `name`, `driver`, `mountpoint`, `created_at`, `labels` ….
///
/// # Errors
/// `docker.unreachable`, `docker.denied`.
///
/// # Example
/// ```rhai,no_run
/// docker::volumes().map(|volume| volume.name)
/// ```
#[primitive(read, volatile, needs = docker("*"))]
pub(super) async fn volumes(cx: &Cx) -> Result<Vec<Map>> {
    let engine = cx.client::<Engine>().await?;
    let found = engine.read().list_volumes(None::<ListVolumesOptions>).await;
    let found = found.map_err(|error| engine.failed("list the volumes", error))?;
    let mut found = found.volumes.unwrap_or_default();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
        .iter()
        .map(|volume| shape::map(cx.redactor(), volume))
        .collect()
}

/// A volume by its name.
///
/// # Errors
/// `docker.not_found` with the nearest name.
///
/// # Example
/// ```rhai,no_run
/// print(docker::volume("postgres_data").mountpoint);
/// ```
#[primitive(read, volatile, needs = docker(name))]
pub(super) async fn volume(cx: &Cx, name: String) -> Result<Map> {
    let engine = cx.client::<Engine>().await?;
    match engine.read().inspect_volume(&name).await {
        Ok(found) => shape::map(cx.redactor(), &found),
        Err(error) if is_not_found(&error) => {
            let others = engine.read().list_volumes(None::<ListVolumesOptions>).await;
            let others = others.unwrap_or_default().volumes.unwrap_or_default();
            let names = others.iter().map(|volume| volume.name.as_str());
            Err(not_found("volume", &name, names))
        }
        Err(error) => Err(engine.failed(&format!("look up the volume {name}"), error)),
    }
}

async fn volume_exists(engine: &Engine, name: &str) -> Result<bool> {
    match engine.read().inspect_volume(name).await {
        Ok(_) => Ok(true),
        Err(error) if is_not_found(&error) => Ok(false),
        Err(error) => Err(engine.failed(&format!("look up the volume {name}"), error)),
    }
}

/// Make a volume. One of that name is left as it is.
///
/// # Errors
/// `docker.failed` with the engine's reason.
///
/// # Example
/// ```rhai,no_run
/// docker::create_volume("postgres_data");
/// ```
#[primitive(change, needs = docker(name), preview = create_volume_preview)]
pub(super) async fn create_volume(cx: &Cx, name: String, options: VolumeOptions) -> Result<()> {
    let engine = cx.client::<Engine>().await?;
    let docker = engine.write("make a volume")?;
    if volume_exists(&engine, &name).await? {
        cx.unchanged();
        return Ok(());
    }
    let request = VolumeCreateRequest {
        name: Some(name.clone()),
        driver: Some(options.driver),
        labels: Some(labels(options.labels)),
        ..VolumeCreateRequest::default()
    };
    let made = docker.create_volume(request).await;
    made.map_err(|error| engine.failed(&format!("make the volume {name}"), error))?;
    Ok(())
}

async fn create_volume_preview(cx: &Cx, name: &str, _options: &VolumeOptions) -> Result<Preview> {
    let engine = cx.client::<Engine>().await?;
    let preview = Preview::new(format!("make the volume {name}"));
    Ok(match volume_exists(&engine, name).await? {
        true => preview.unchanged(),
        false => preview.undo(format!("docker::remove_volume(\"{name}\")")),
    })
}

/// Remove a volume that no container uses, WITH ALL ITS DATA. One that is gone already is no error.
///
/// # Errors
/// `docker.conflict` if a container uses it.
///
/// # Example
/// ```rhai,no_run
/// docker::remove_volume("scratch");
/// ```
#[primitive(change, needs = docker(name), preview = remove_volume_preview)]
pub(super) async fn remove_volume(cx: &Cx, name: String) -> Result<()> {
    let engine = cx.client::<Engine>().await?;
    let docker = engine.write("remove a volume")?;
    match docker
        .remove_volume(&name, None::<RemoveVolumeOptions>)
        .await
    {
        Ok(()) => Ok(()),
        Err(error) if is_not_found(&error) => {
            cx.unchanged();
            Ok(())
        }
        Err(error) => Err(engine.failed(&format!("remove the volume {name}"), error)),
    }
}

async fn remove_volume_preview(cx: &Cx, name: &str) -> Result<Preview> {
    let engine = cx.client::<Engine>().await?;
    Ok(match volume_exists(&engine, name).await? {
        true => Preview::new(format!("remove the volume {name} with ALL ITS DATA")),
        false => Preview::new(format!("the volume {name} is gone already")).unchanged(),
    })
}
