//! Recording what runs, and going back to it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, EndpointSettings, NetworkingConfig,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder, StopContainerOptionsBuilder,
};
use ccrun_kernel::event::Level;
use ccrun_kernel::rhai::{Array, Dynamic, Map};
use ccrun_kernel::value::{Duration, Timestamp};
use ccrun_kernel::{Cx, Error, Options, Preview, Result, primitive};

use super::containers::{self, Container};
use super::project::Project;
use super::release::{Release, Releases, files_of_mount};
use crate::engine::{Engine, is_not_found};
use crate::files::{Files, Mode, blocking};

/// What is said about a recorded release.
#[derive(Clone, Options)]
pub struct SnapshotOptions {
    /// What people call it: a version, a commit.
    note: Option<String>,
    /// Whether it was found good. `rollback()` goes back to the newest good one.
    #[option(default = "false")]
    good: bool,
}

/// How one goes back.
#[derive(Clone, Options)]
pub struct RollbackOptions {
    /// How long a container has to end by itself before it is killed.
    #[option(default = "30s")]
    grace: Duration,
    /// How long to wait until the old release is healthy again.
    #[option(default = "5m")]
    timeout: Duration,
    /// Wait until it is healthy.
    #[option(default = "true")]
    wait: bool,
}

fn name(container: &ContainerInspectResponse) -> &str {
    container
        .name
        .as_deref()
        .unwrap_or_default()
        .trim_start_matches('/')
}

fn service(container: &ContainerInspectResponse) -> String {
    let labels = container
        .config
        .as_ref()
        .and_then(|config| config.labels.as_ref());
    labels
        .and_then(|labels| labels.get("com.docker.compose.service"))
        .cloned()
        .unwrap_or_default()
}

impl Release {
    fn to_map(&self) -> Map {
        let services: Map = self
            .containers
            .iter()
            .map(|container| {
                let config = container.config.as_ref();
                let image = config
                    .and_then(|config| config.image.clone())
                    .unwrap_or_default();
                let entry = Map::from_iter([
                    ("image".into(), image.into()),
                    (
                        "image_id".into(),
                        container.image.clone().unwrap_or_default().into(),
                    ),
                ]);
                (service(container).into(), entry.into())
            })
            .collect();
        let taken = jiff::Timestamp::from_second(self.taken)
            .map_or(Dynamic::UNIT, |at| Dynamic::from(Timestamp::from(at)));
        Map::from_iter([
            ("id".into(), self.id.clone().into()),
            ("project".into(), self.project.clone().into()),
            ("taken".into(), taken),
            (
                "note".into(),
                self.note.clone().map_or(Dynamic::UNIT, Into::into),
            ),
            ("good".into(), self.good.into()),
            ("services".into(), services.into()),
        ])
    }
}

impl Project {
    /// Record what runs: every container as it is (image by its id, environment, mounts, networks,
    /// labels), and the files that are mounted into them.
    ///
    /// Kept in ccrun's state folder, readable by its owner only, because the containers' environments hold
    /// secrets; the 20 newest stay, and always the newest good one. Returns a map: `id`, `project`,
    /// `taken`, `note`, `good`, `services`.
    ///
    /// # Errors
    /// `docker.unreachable`, `io.disk_full`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// let before = compose::project().snapshot(#{ note: "before v1.4" });
    /// ```
    #[primitive(change, needs = compose(self.0.name), preview = snapshot_preview)]
    pub(super) async fn snapshot(&self, cx: &Cx, options: SnapshotOptions) -> Result<Map> {
        let release = take(cx, self, options.note, options.good).await?;
        for path in &release.left_out {
            cx.log(
                Level::Warn,
                format!(
                    "{} is too large to be kept; going back does not bring it back",
                    path.display()
                ),
            );
        }
        Ok(release.to_map())
    }

    /// The recorded releases, the newest first: maps as `snapshot` returns them.
    ///
    /// # Errors
    /// `compose.release` if one can't be read.
    ///
    /// # Example
    /// ```rhai,no_run
    /// print(compose::project().releases());
    /// ```
    #[primitive(read, volatile, needs = compose(self.0.name))]
    pub(super) async fn releases(&self, cx: &Cx) -> Result<Vec<Map>> {
        let releases = cx.client::<Releases>().await?;
        let name = self.0.name.clone();
        cx.blocking(move || Ok(releases.list(&name)?.iter().map(Release::to_map).collect()))
            .await
    }

    /// Say that a recorded release was found good: the one that `rollback()` goes back to.
    ///
    /// # Errors
    /// `compose.release` if there is no such release.
    ///
    /// # Example
    /// ```rhai,no_run
    /// let stack = compose::project();
    /// let release = stack.snapshot();
    /// stack.mark_good(release.id, "v1.4");
    /// ```
    #[primitive(change, needs = compose(self.0.name))]
    pub(super) async fn mark_good(&self, cx: &Cx, id: String, note: Option<String>) -> Result<()> {
        let releases = cx.client::<Releases>().await?;
        let name = self.0.name.clone();
        cx.blocking(move || releases.mark_good(&name, &id, note))
            .await
    }

    /// Go back to a recorded release: by its id, or the newest good one.
    ///
    /// Containers that differ from it are stopped and made again as they were, from the images still on
    /// this machine, without a registry; files that were mounted into them get the content they had. What
    /// the release did not have is stopped. Volumes are not touched: data stays what it is. What ran before is recorded
    /// first. Returns a map: `release`, `recreated`, `removed`, `files`, `elapsed`.
    ///
    /// # Errors
    /// `compose.no_release`, `docker.image_missing` if an image is gone (nothing is changed then),
    /// `compose.unhealthy` if the old release does not come up either.
    ///
    /// # Example
    /// ```rhai,no_run
    /// let stack = compose::project();
    /// let back = stack.rollback(stack.releases()[0].id);
    /// print(`recreated ${back.recreated}`);
    /// ```
    #[primitive(change, needs = compose(self.0.name), preview = rollback_preview)]
    pub(super) async fn rollback(
        &self,
        cx: &Cx,
        id: Option<String>,
        options: RollbackOptions,
    ) -> Result<Map> {
        let started = Instant::now();
        let release = find(cx, self, id).await?;
        let work = difference(cx, self, &release).await?;
        if work.is_empty() {
            cx.unchanged();
        } else {
            take(
                cx,
                self,
                Some(format!("before going back to {}", release.id)),
                false,
            )
            .await?;
            work.apply(cx, self, &release, &options).await?;
        }
        if options.wait {
            healthy(cx, self, &release, options.timeout).await?;
        }
        let list = |names: &[String]| -> Dynamic {
            names
                .iter()
                .cloned()
                .map(Dynamic::from)
                .collect::<Array>()
                .into()
        };
        let files: Vec<String> = work
            .files
            .iter()
            .map(|(path, _, _)| path.display().to_string())
            .collect();
        Ok(Map::from_iter([
            ("release".into(), release.id.clone().into()),
            ("recreated".into(), list(&work.names())),
            ("removed".into(), list(&work.surplus_names())),
            ("files".into(), list(&files)),
            (
                "elapsed".into(),
                Dynamic::from(Duration::measured(started.elapsed())),
            ),
        ]))
    }
}

async fn snapshot_preview(this: &Project, cx: &Cx, _options: &SnapshotOptions) -> Result<Preview> {
    let count = containers::all(cx, &this.0).await?.len();
    Ok(Preview::new(format!(
        "record what runs of {}: {count} containers",
        this.0.name
    )))
}

async fn rollback_preview(
    this: &Project,
    cx: &Cx,
    id: &Option<String>,
    _options: &RollbackOptions,
) -> Result<Preview> {
    let release = find(cx, this, id.clone()).await?;
    let work = difference(cx, this, &release).await?;
    let summary = format!("go back to the release {} of {}", release.id, this.0.name);
    if work.is_empty() {
        return Ok(Preview::new(format!("{summary}: it is what runs")).unchanged());
    }
    let mut lines: Vec<String> = work
        .names()
        .iter()
        .map(|name| format!("recreate {name}"))
        .collect();
    lines.extend(
        work.surplus_names()
            .iter()
            .map(|name| format!("remove {name}")),
    );
    lines.extend(
        work.files
            .iter()
            .map(|(path, _, _)| format!("restore {}", path.display())),
    );
    Ok(Preview::new(summary)
        .diff(lines.join("\n"))
        .undo("the release recorded just before: `compose::project().releases()[0]`"))
}

async fn take(cx: &Cx, project: &Project, note: Option<String>, good: bool) -> Result<Release> {
    let found = containers::all(cx, &project.0).await?;
    let releases = cx.client::<Releases>().await?;
    let now = jiff::Timestamp::now();
    let release = Release {
        id: now.strftime("%Y%m%dT%H%M%S%3fZ").to_string(),
        project: project.0.name.clone(),
        taken: now.as_second(),
        note,
        good,
        containers: found
            .into_iter()
            .filter(|container| !container.one_off)
            .map(|container| container.inspect)
            .collect(),
        files: Vec::new(),
        left_out: Vec::new(),
    };
    let folder = project.0.folder.clone();
    cx.blocking(move || {
        let mut files: Vec<PathBuf> = release
            .containers
            .iter()
            .flat_map(|container| container.mounts.iter().flatten())
            .filter_map(|mount| mount.source.as_deref().map(PathBuf::from))
            // The project's own files; not the Docker socket, /proc or a data folder elsewhere.
            .filter(|source| source.starts_with(&folder))
            .flat_map(|source| files_of_mount(&source))
            .collect();
        files.sort();
        files.dedup();
        releases.put(release, &files)
    })
    .await
}

async fn find(cx: &Cx, project: &Project, id: Option<String>) -> Result<Release> {
    let releases = cx.client::<Releases>().await?;
    let name = project.0.name.clone();
    cx.blocking(move || match id {
        Some(id) => releases.get(&name, &id),
        None => releases
            .list(&name)?
            .into_iter()
            .find(|release| release.good)
            .ok_or_else(|| {
                Error::new(
                    "compose.no_release",
                    format!("no good release of {name} is recorded"),
                )
                .hint("name one: `compose::project().releases()` lists them")
            }),
    })
    .await
}

/// What must be done to go back.
struct Work {
    /// Containers to be made again, and the id of the one that has the name now.
    recreate: Vec<(ContainerInspectResponse, Option<String>)>,
    /// Containers that the release did not have: id and name.
    surplus: Vec<(String, String)>,
    /// Files whose content is another one now: path, mode, content.
    files: Vec<(PathBuf, u32, Vec<u8>)>,
}

async fn difference(cx: &Cx, project: &Project, release: &Release) -> Result<Work> {
    let now = containers::all(cx, &project.0).await?;
    let by_name: HashMap<&str, &Container> = now
        .iter()
        .map(|container| (container.name.as_str(), container))
        .collect();
    let releases = cx.client::<Releases>().await?;
    let mut files = Vec::new();
    let reader = cx.client::<Files>().await?;
    for file in &release.files {
        let old = releases.content(release, file)?;
        let (reader, path) = (Arc::clone(&reader), file.path.clone());
        let current = blocking(cx, move |work| {
            let most = ccrun_kernel::value::Size::from_bytes(16 << 20);
            Ok(reader.read(work, &path, most).ok())
        })
        .await?;
        if current.as_deref() != Some(old.as_slice()) {
            files.push((file.path.clone(), file.mode, old));
        }
    }
    let is_mounted = |container: &ContainerInspectResponse| {
        container.mounts.iter().flatten().any(|mount| {
            let source = mount.source.as_deref().unwrap_or_default();
            !source.is_empty() && files.iter().any(|(path, _, _)| path.starts_with(source))
        })
    };
    let recreate: Vec<(ContainerInspectResponse, Option<String>)> = release
        .containers
        .iter()
        .filter(|old| match by_name.get(name(old)) {
            Some(current) => !is_same(old, &current.inspect) || is_mounted(old),
            None => true,
        })
        .map(|old| {
            let holder = by_name.get(name(old)).map(|container| container.id.clone());
            (old.clone(), holder)
        })
        .collect();
    let surplus = now
        .iter()
        .filter(|container| {
            !container.one_off
                && !release
                    .containers
                    .iter()
                    .any(|old| name(old) == container.name)
        })
        .map(|container| (container.id.clone(), container.name.clone()))
        .collect();
    let engine = cx.client::<Engine>().await?;
    for (old, _) in &recreate {
        let image = old.image.as_deref().unwrap_or_default();
        match engine.read().inspect_image(image).await {
            Ok(_) => {}
            Err(error) if is_not_found(&error) => {
                let called = old.config.as_ref().and_then(|config| config.image.clone());
                return Err(Error::new(
                    "docker.image_missing",
                    format!(
                        "the image of {} ({}, {image}) is no longer on this machine; nothing was changed",
                        name(old),
                        called.unwrap_or_default()
                    ),
                )
                .hint("pull or build that version again, or go back to another release"));
            }
            Err(error) => return Err(engine.failed(&format!("inspect the image {image}"), error)),
        }
    }
    Ok(Work {
        recreate,
        surplus,
        files,
    })
}

/// Whether a container is the one that was recorded, or one made exactly like it.
fn is_same(old: &ContainerInspectResponse, new: &ContainerInspectResponse) -> bool {
    if old.id == new.id {
        return true;
    }
    let config = |inspect: &ContainerInspectResponse| {
        let mut config = inspect.config.clone().unwrap_or_default();
        // The host name that is the id, the image's name (its id is compared), Compose's own bookkeeping.
        config.hostname = None;
        config.image = None;
        if let Some(labels) = &mut config.labels {
            labels.retain(|label, _| {
                !label.starts_with("com.docker.compose.") || label.ends_with("config-hash")
            });
        }
        config
    };
    old.image == new.image && config(old) == config(new) && old.host_config == new.host_config
}

impl Work {
    fn is_empty(&self) -> bool {
        self.recreate.is_empty() && self.surplus.is_empty() && self.files.is_empty()
    }

    fn names(&self) -> Vec<String> {
        self.recreate
            .iter()
            .map(|(old, _)| name(old).to_owned())
            .collect()
    }

    fn surplus_names(&self) -> Vec<String> {
        self.surplus.iter().map(|(_, name)| name.clone()).collect()
    }

    /// Each container is replaced on its own, so that as much as possible serves meanwhile; a container
    /// that was stopped when it was recorded is made, and not started.
    async fn apply(
        &self,
        cx: &Cx,
        project: &Project,
        release: &Release,
        options: &RollbackOptions,
    ) -> Result<()> {
        let engine = cx.client::<Engine>().await?;
        let docker = engine.write("go back to a release")?;
        for (path, mode, content) in &self.files {
            let files = cx.client::<Files>().await?;
            let (path, mode, content) = (path.clone(), Mode::from_bits(*mode), content.clone());
            blocking(cx, move |work| {
                let mut file = files.replace(work, &path, Some(mode))?;
                file.write_content(&content)?;
                file.commit()
            })
            .await?;
        }
        let total = self.recreate.len() + self.surplus.len();
        let mut progress = cx.progress(
            format!("{} back to {}", project.0.name, release.id),
            Some(total as u64),
        );
        for (old, holder) in &self.recreate {
            progress.message(format!("recreating {}", name(old)));
            if let Some(id) = holder {
                remove(&engine, docker, id, name(old), options.grace).await?;
            }
            create(&engine, docker, old).await?;
            progress.advance(1);
        }
        for (id, name) in &self.surplus {
            progress.message(format!("removing {name}"));
            remove(&engine, docker, id, name, options.grace).await?;
            progress.advance(1);
        }
        Ok(())
    }
}

/// Stop a container, and remove it. Its volumes stay.
pub(super) async fn remove(
    engine: &Engine,
    docker: &bollard::Docker,
    id: &str,
    name: &str,
    grace: Duration,
) -> Result<()> {
    let seconds = i32::try_from(grace.to_std().as_secs()).unwrap_or(i32::MAX);
    let stop = StopContainerOptionsBuilder::new().t(seconds).build();
    match docker.stop_container(id, Some(stop)).await {
        Ok(()) => {}
        Err(error) if is_not_found(&error) || crate::engine::status(&error) == Some(304) => {}
        Err(error) => return Err(engine.failed(&format!("stop {name}"), error)),
    }
    let force = RemoveContainerOptionsBuilder::new().force(true).build();
    match docker.remove_container(id, Some(force)).await {
        Ok(()) => Ok(()),
        Err(error) if is_not_found(&error) => Ok(()),
        Err(error) => Err(engine.failed(&format!("remove {name}"), error)),
    }
}

/// Make a container as it was recorded.
async fn create(
    engine: &Engine,
    docker: &bollard::Docker,
    old: &ContainerInspectResponse,
) -> Result<()> {
    let called = name(old);
    let config = old.config.clone().unwrap_or_default();
    let short = old
        .id
        .as_deref()
        .unwrap_or_default()
        .get(..12)
        .unwrap_or_default();
    let networks = old
        .network_settings
        .as_ref()
        .and_then(|settings| settings.networks.clone());
    let mut endpoints: Vec<(String, EndpointSettings)> = networks
        .into_iter()
        .flatten()
        .map(|(network, settings)| {
            let aliases = settings
                .aliases
                .map(|aliases| aliases.into_iter().filter(|alias| alias != short).collect());
            let wanted = EndpointSettings {
                aliases,
                links: settings.links,
                ipam_config: settings.ipam_config,
                ..EndpointSettings::default()
            };
            (network, wanted)
        })
        .collect();
    endpoints.sort_by(|a, b| a.0.cmp(&b.0));
    // Older engines take one network when a container is made; the others follow.
    let rest = endpoints.split_off(endpoints.len().min(1));
    let as_json = serde_json::to_value(&config)
        .and_then(serde_json::from_value::<ContainerCreateBody>)
        .map_err(|error| Error::new("compose.release", format!("{called}: {error}")))?;
    // By its name, if that still means the same image; else by its id.
    let image = match &config.image {
        Some(name) => match docker.inspect_image(name).await {
            Ok(found) if found.id == old.image => config.image.clone(),
            _ => old.image.clone(),
        },
        None => old.image.clone(),
    };
    let body = ContainerCreateBody {
        image,
        hostname: config.hostname.filter(|hostname| hostname != short),
        host_config: old.host_config.clone(),
        networking_config: (!endpoints.is_empty()).then(|| NetworkingConfig {
            endpoints_config: Some(endpoints.into_iter().collect()),
        }),
        ..as_json
    };
    let options = CreateContainerOptionsBuilder::new().name(called).build();
    let made = docker
        .create_container(Some(options), body)
        .await
        .map_err(|error| engine.failed(&format!("make {called} again"), error))?;
    for (network, settings) in rest {
        let request = bollard::models::NetworkConnectRequest {
            container: made.id.clone(),
            endpoint_config: Some(settings),
        };
        docker
            .connect_network(&network, request)
            .await
            .map_err(|error| engine.failed(&format!("connect {called} to {network}"), error))?;
    }
    let ran = old
        .state
        .as_ref()
        .and_then(|state| state.running)
        .unwrap_or(false);
    if ran {
        docker
            .start_container(&made.id, None)
            .await
            .map_err(|error| engine.failed(&format!("start {called}"), error))?;
    }
    Ok(())
}

/// Wait until what ran when it was recorded runs again, and is healthy where it was.
async fn healthy(cx: &Cx, project: &Project, release: &Release, timeout: Duration) -> Result<()> {
    let started = Instant::now();
    let wanted: Vec<(&str, bool)> = release
        .containers
        .iter()
        .filter(|old| {
            old.state
                .as_ref()
                .and_then(|state| state.running)
                .unwrap_or(false)
        })
        .map(|old| {
            let health = old.state.as_ref().and_then(|state| state.health.as_ref());
            let was_healthy = health.and_then(|health| health.status)
                == Some(bollard::models::HealthStatusEnum::HEALTHY);
            (name(old), was_healthy)
        })
        .collect();
    let mut progress = cx.progress(
        format!("{} healthy", project.0.name),
        Some(wanted.len() as u64),
    );
    loop {
        let now = containers::all(cx, &project.0).await?;
        let missing: Vec<String> = wanted
            .iter()
            .filter_map(|(name, was_healthy)| {
                let Some(container) = now.iter().find(|container| container.name == **name) else {
                    return Some(format!("{name} is not there"));
                };
                let state = container.state();
                let health = container.health();
                let good = state == "running"
                    && (!was_healthy || health.as_deref().is_none_or(|health| health == "healthy"));
                (!good).then(|| format!("{name} is {}", health.unwrap_or(state)))
            })
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        if started.elapsed() >= timeout.to_std() {
            return Err(Error::new(
                "compose.unhealthy",
                format!(
                    "{} is back at {}, and not healthy after {timeout}: {}",
                    project.0.name,
                    release.id,
                    missing.join("; ")
                ),
            )
            .hint("is it the data, or a service outside? `compose::project().logs()`, and `rollback(ID)` to an older release"));
        }
        progress.set((wanted.len() - missing.len()) as u64);
        progress.message(format!("waiting: {}", missing.join(", ")));
        tokio::time::sleep(std::time::Duration::from_millis(250)).await;
    }
}
