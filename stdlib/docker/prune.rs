//! Removing what nothing uses any more.

use std::collections::HashMap;

use bollard::query_parameters::{
    ListContainersOptionsBuilder, ListImagesOptionsBuilder, ListNetworksOptionsBuilder,
    ListVolumesOptionsBuilder, PruneBuildOptionsBuilder, PruneContainersOptionsBuilder,
    PruneImagesOptionsBuilder, PruneNetworksOptionsBuilder, PruneVolumesOptionsBuilder,
};
use ccrun_kernel::rhai::{Array, Dynamic, Map};
use ccrun_kernel::value::{Duration, Size};
use ccrun_kernel::{Cx, Error, Options, Preview, Result, primitive};

use super::arguments::Words;
use crate::engine::Engine;

/// What is removed.
#[derive(Clone, Options)]
pub struct PruneOptions {
    /// Containers that have ended.
    #[option(default = "true")]
    containers: bool,
    /// Images: `"dangling"` (without a name), `"unused"` (that no container uses), `"none"`.
    #[option(default = "dangling")]
    images: String,
    /// Networks that no container is in.
    #[option(default = "true")]
    networks: bool,
    /// Volumes that no container uses, with their data.
    #[option(default = "false")]
    volumes: bool,
    /// What the builder keeps to be faster.
    #[option(default = "true")]
    build_cache: bool,
    /// Only what was made longer ago. Volumes have no age, and stay with it.
    older_than: Option<Duration>,
    /// Only with these labels, `"name"` or `"name=value"`.
    label: Option<Words>,
}

type Filters = HashMap<&'static str, Vec<String>>;

impl PruneOptions {
    fn check(&self) -> Result<()> {
        if !matches!(self.images.as_str(), "dangling" | "unused" | "none") {
            return Err(Error::new(
                "docker.invalid",
                format!("`images` can't be `{}`", self.images),
            )
            .hint("there are \"dangling\", \"unused\" and \"none\""));
        }
        if self.volumes && self.older_than.is_some() {
            return Err(Error::new(
                "docker.invalid",
                "`older_than` and `volumes` don't go together: Docker knows no age of volumes",
            )
            .hint("remove volumes in a call of their own, with a label"));
        }
        Ok(())
    }

    fn labels(&self) -> Vec<String> {
        self.label
            .clone()
            .map_or_else(Vec::new, |Words(labels)| labels)
    }

    /// For the engine's own pruning.
    fn filters(&self) -> Filters {
        let mut filters = Filters::new();
        if let Some(age) = self.older_than {
            filters.insert("until", vec![format!("{}s", age.to_std().as_secs())]);
        }
        let labels = self.labels();
        if !labels.is_empty() {
            filters.insert("label", labels);
        }
        filters
    }

    /// For lists, with one condition more.
    fn listed(&self, name: &'static str, values: &[&str]) -> Filters {
        let mut filters = Filters::new();
        filters.insert(name, values.iter().map(|&value| value.to_owned()).collect());
        let labels = self.labels();
        if !labels.is_empty() {
            filters.insert("label", labels);
        }
        filters
    }

    fn is_old(&self, created: i64) -> bool {
        let age = self.older_than.map_or(0, |age| age.to_std().as_secs());
        jiff::Timestamp::now().as_second().saturating_sub(created)
            >= i64::try_from(age).unwrap_or(i64::MAX)
    }
}

/// Remove what nothing uses any more: containers that have ended, images without a name, networks without
/// containers, the builder's cache; volumes only with `volumes: true`. A dry run lists what would go.
///
/// Returns a map: `containers`, `images`, `networks`, `volumes` (what was removed) and `reclaimed`.
///
/// # Errors
/// `docker.invalid` for options that don't go together, `docker.conflict` if somebody else prunes.
///
/// # Example
/// ```rhai,no_run
/// print(docker::prune(#{ images: "unused", older_than: "7d" }).reclaimed);
/// ```
#[primitive(change, needs = docker("*"), preview = prune_preview)]
pub(super) async fn prune(cx: &Cx, options: PruneOptions) -> Result<Map> {
    options.check()?;
    let engine = cx.client::<Engine>().await?;
    let docker = engine.write("prune")?;
    let filters = options.filters();
    let mut reclaimed = 0;
    let mut freed =
        |bytes: Option<i64>| reclaimed += u64::try_from(bytes.unwrap_or(0)).unwrap_or(0);
    let (mut containers, mut images, mut networks, mut volumes) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    if options.containers {
        let query = PruneContainersOptionsBuilder::new()
            .filters(&filters)
            .build();
        let answer = docker.prune_containers(Some(query)).await;
        let answer = answer.map_err(|error| engine.failed("prune containers", error))?;
        containers = answer.containers_deleted.unwrap_or_default();
        freed(answer.space_reclaimed);
    }
    if options.networks {
        let query = PruneNetworksOptionsBuilder::new().filters(&filters).build();
        let answer = docker.prune_networks(Some(query)).await;
        let answer = answer.map_err(|error| engine.failed("prune networks", error))?;
        networks = answer.networks_deleted.unwrap_or_default();
    }
    if options.volumes {
        let query = PruneVolumesOptionsBuilder::new().filters(&filters).build();
        let answer = docker.prune_volumes(Some(query)).await;
        let answer = answer.map_err(|error| engine.failed("prune volumes", error))?;
        volumes = answer.volumes_deleted.unwrap_or_default();
        freed(answer.space_reclaimed);
    }
    if options.images != "none" {
        let mut filters = filters.clone();
        let only = if options.images == "unused" {
            "false"
        } else {
            "true"
        };
        filters.insert("dangling", vec![only.to_owned()]);
        let query = PruneImagesOptionsBuilder::new().filters(&filters).build();
        let answer = docker.prune_images(Some(query)).await;
        let answer = answer.map_err(|error| engine.failed("prune images", error))?;
        let deleted = answer.images_deleted.unwrap_or_default();
        images = deleted
            .into_iter()
            .filter_map(|image| image.untagged.or(image.deleted))
            .collect();
        freed(answer.space_reclaimed);
    }
    // The builder's cache has no labels: who asks for a label does not mean it.
    if options.build_cache && options.label.is_none() {
        let query = PruneBuildOptionsBuilder::new().filters(&filters).build();
        let answer = docker.prune_build(Some(query)).await;
        let answer = answer.map_err(|error| engine.failed("prune the builder's cache", error))?;
        freed(answer.space_reclaimed);
    }
    if containers.len() + images.len() + networks.len() + volumes.len() == 0 && reclaimed == 0 {
        cx.unchanged();
    }
    let list = |names: Vec<String>| {
        Dynamic::from_array(names.into_iter().map(Dynamic::from).collect::<Array>())
    };
    Ok(Map::from_iter([
        ("containers".into(), list(containers)),
        ("images".into(), list(images)),
        ("networks".into(), list(networks)),
        ("volumes".into(), list(volumes)),
        (
            "reclaimed".into(),
            Dynamic::from(Size::from_bytes(reclaimed)),
        ),
    ]))
}

async fn prune_preview(cx: &Cx, options: &PruneOptions) -> Result<Preview> {
    options.check()?;
    let engine = cx.client::<Engine>().await?;
    let docker = engine.read();
    let failed = |error| engine.failed("look for what nothing uses", error);
    let mut lines = Vec::new();
    let every = ListContainersOptionsBuilder::new().all(true).build();
    let every = docker.list_containers(Some(every)).await.map_err(failed)?;
    if options.containers {
        let filters = options.listed("status", &["exited", "created", "dead"]);
        let query = ListContainersOptionsBuilder::new()
            .all(true)
            .filters(&filters)
            .build();
        let ended = docker.list_containers(Some(query)).await.map_err(failed)?;
        for container in ended {
            if options.is_old(container.created.unwrap_or(0)) {
                let name = container.names.and_then(|names| names.into_iter().next());
                let name = name.unwrap_or_default();
                lines.push(format!("container {}", name.trim_start_matches('/')));
            }
        }
    }
    if options.networks {
        let query = ListNetworksOptionsBuilder::new()
            .filters(&options.listed("dangling", &["true"]))
            .build();
        let unused = docker.list_networks(Some(query)).await.map_err(failed)?;
        for network in unused {
            let created = network.created.as_deref();
            let created = created.and_then(|text| text.parse::<jiff::Timestamp>().ok());
            if options.is_old(created.map_or(0, jiff::Timestamp::as_second)) {
                lines.push(format!("network {}", network.name.unwrap_or_default()));
            }
        }
    }
    if options.volumes {
        let query = ListVolumesOptionsBuilder::new()
            .filters(&options.listed("dangling", &["true"]))
            .build();
        let unused = docker.list_volumes(Some(query)).await.map_err(failed)?;
        for volume in unused.volumes.unwrap_or_default() {
            lines.push(format!("volume {} WITH ITS DATA", volume.name));
        }
    }
    if options.images != "none" {
        let filters = match options.images.as_str() {
            "dangling" => options.listed("dangling", &["true"]),
            _ => options
                .filters()
                .into_iter()
                .filter(|(name, _)| *name == "label")
                .collect(),
        };
        let query = ListImagesOptionsBuilder::new().filters(&filters).build();
        let used: Vec<&str> = every
            .iter()
            .filter_map(|one| one.image_id.as_deref())
            .collect();
        for image in docker.list_images(Some(query)).await.map_err(failed)? {
            if options.is_old(image.created) && !used.contains(&image.id.as_str()) {
                let name = image
                    .repo_tags
                    .first()
                    .filter(|name| !name.starts_with("<none>"));
                let size = Size::from_bytes(u64::try_from(image.size).unwrap_or(0));
                lines.push(format!("image {} ({size})", name.unwrap_or(&image.id)));
            }
        }
    }
    let cache = options.build_cache && options.label.is_none();
    lines.sort();
    let count = lines.len();
    let listed: String = lines.iter().map(|line| format!("-{line}\n")).collect();
    let cache_too = if cache {
        " and the builder's unused cache"
    } else {
        ""
    };
    let preview = Preview::new(format!(
        "remove {count} things that nothing uses{cache_too}"
    ));
    Ok(match (count, cache) {
        (0, false) => preview.unchanged(),
        (0, true) => preview,
        _ => preview.diff(listed),
    })
}
