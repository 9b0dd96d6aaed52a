//! Stopping, starting, fetching, building, taking away.

use ccrun_kernel::value::Duration;
use ccrun_kernel::{Cx, Options, Preview, Result, primitive};

use super::cli::Call;
use super::config;
use super::containers;
use super::gate;
use super::project::Project;

/// How a project is taken down.
#[derive(Clone, Options)]
pub struct DownOptions {
    /// Remove the named volumes as well: the data in them is gone then.
    #[option(default = "false")]
    volumes: bool,
    /// Remove containers of services that the files no longer know.
    #[option(default = "true")]
    remove_orphans: bool,
    /// How long a container has to end by itself before it is killed.
    #[option(default = "30s")]
    grace: Duration,
}

/// How images are built.
#[derive(Clone, Options)]
pub struct BuildOptions {
    /// Only these services.
    services: Option<Vec<String>>,
    /// Build everything anew.
    #[option(default = "false")]
    no_cache: bool,
    /// Fetch newer base images.
    #[option(default = "false")]
    pull: bool,
}

/// How containers are stopped.
#[derive(Clone, Options)]
pub struct StopOptions {
    /// How long a container has to end by itself before it is killed.
    #[option(default = "30s")]
    grace: Duration,
}

/// One name or several; none is all.
type Services = Option<Vec<String>>;

fn seconds(grace: Duration) -> String {
    grace.to_std().as_secs().max(1).to_string()
}

async fn known(this: &Project, cx: &Cx, services: &Services) -> Result<Vec<String>> {
    match services {
        None => Ok(Vec::new()),
        Some(names) => gate::chosen(&config::model(cx, &this.0).await?, Some(names)),
    }
}

/// The project's containers in these services, with what state they are in.
async fn found(this: &Project, cx: &Cx, services: &Services) -> Result<Vec<(String, String)>> {
    let containers = containers::all(cx, &this.0).await?;
    Ok(containers
        .into_iter()
        .filter(|container| {
            let only = services.as_ref();
            only.is_none_or(|names| names.contains(&container.service))
        })
        .map(|container| (container.name.clone(), container.state()))
        .collect())
}

fn listed(verb: &str, names: &[String], project: &str) -> String {
    match names {
        [] => format!("{verb} nothing of {project}"),
        names => format!("{verb} {}", names.join(", ")),
    }
}

impl Project {
    /// Stop the project's containers and remove them, and its networks. Volumes stay, unless `volumes: true`.
    ///
    /// # Errors
    /// `compose.failed`, `docker.unreachable`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// compose::project().down();
    /// ```
    #[primitive(change, needs = compose(self.0.name), preview = down_preview)]
    pub(super) async fn down(&self, cx: &Cx, options: DownOptions) -> Result<()> {
        if containers::all(cx, &self.0).await?.is_empty() && !options.volumes {
            cx.unchanged();
        }
        let mut words = vec!["--timeout".to_owned(), seconds(options.grace)];
        if options.volumes {
            words.push("--volumes".to_owned());
        }
        if options.remove_orphans {
            words.push("--remove-orphans".to_owned());
        }
        Call::change(cx, &self.0, &["down"])
            .and(words)
            .watched(&format!("{} down", self.0.name))
            .await
    }

    /// Fetch the images of the services.
    ///
    /// # Errors
    /// `docker.image_missing`, `compose.no_service`, `compose.failed`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// compose::project().pull(["postgrest"]);
    /// ```
    #[primitive(change, needs = compose(self.0.name))]
    pub(super) async fn pull(&self, cx: &Cx, services: Option<Vec<String>>) -> Result<()> {
        let names = known(self, cx, &services).await?;
        // An image that is built here can't be pulled, and is not missed.
        Call::change(cx, &self.0, &["pull", "--ignore-buildable"])
            .and(names)
            .watched(&format!("{} pull", self.0.name))
            .await
    }

    /// Build the images of the services that say how.
    ///
    /// # Errors
    /// `compose.failed` with the end of the build's output in `details.output`, `compose.no_service`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// compose::project().build(#{ services: ["frontend"] });
    /// ```
    #[primitive(change, needs = compose(self.0.name))]
    pub(super) async fn build(&self, cx: &Cx, options: BuildOptions) -> Result<()> {
        let names = known(self, cx, &options.services).await?;
        let mut words = Vec::new();
        if options.no_cache {
            words.push("--no-cache".to_owned());
        }
        if options.pull {
            words.push("--pull".to_owned());
        }
        Call::change(cx, &self.0, &["build"])
            .and(words)
            .and(names)
            .watched(&format!("{} build", self.0.name))
            .await
    }

    /// Start containers that are stopped, as they are.
    ///
    /// # Errors
    /// `compose.no_service`, `compose.failed`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// compose::project().start(["redis"]);
    /// ```
    #[primitive(change, needs = compose(self.0.name), preview = start_preview)]
    pub(super) async fn start(&self, cx: &Cx, services: Option<Vec<String>>) -> Result<()> {
        let names = known(self, cx, &services).await?;
        let stopped = |state: &str| state != "running";
        if !found(self, cx, &services)
            .await?
            .iter()
            .any(|(_, state)| stopped(state))
        {
            cx.unchanged();
        }
        Call::change(cx, &self.0, &["start"])
            .and(names)
            .watched(&format!("{} start", self.0.name))
            .await
    }

    /// Stop containers; they stay, and can be started again.
    ///
    /// # Errors
    /// `compose.no_service`, `compose.failed`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// compose::project().stop(["realtime"], #{ grace: "1m" });
    /// ```
    #[primitive(change, needs = compose(self.0.name), preview = stop_preview, undo = "compose::project().start()")]
    pub(super) async fn stop(
        &self,
        cx: &Cx,
        services: Option<Vec<String>>,
        options: StopOptions,
    ) -> Result<()> {
        let names = known(self, cx, &services).await?;
        if !found(self, cx, &services)
            .await?
            .iter()
            .any(|(_, state)| state == "running")
        {
            cx.unchanged();
        }
        Call::change(cx, &self.0, &["stop", "--timeout"])
            .and([seconds(options.grace)])
            .and(names)
            .watched(&format!("{} stop", self.0.name))
            .await
    }

    /// Stop and start containers, as they are: a changed configuration needs `up`.
    ///
    /// # Errors
    /// `compose.no_service`, `compose.failed`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// compose::project().restart(["postgrest"]);
    /// ```
    #[primitive(change, needs = compose(self.0.name), preview = restart_preview)]
    pub(super) async fn restart(
        &self,
        cx: &Cx,
        services: Option<Vec<String>>,
        options: StopOptions,
    ) -> Result<()> {
        let names = known(self, cx, &services).await?;
        Call::change(cx, &self.0, &["restart", "--timeout"])
            .and([seconds(options.grace)])
            .and(names)
            .watched(&format!("{} restart", self.0.name))
            .await
    }
}

async fn down_preview(this: &Project, cx: &Cx, options: &DownOptions) -> Result<Preview> {
    let names: Vec<String> = found(this, cx, &None)
        .await?
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    if names.is_empty() && !options.volumes {
        return Ok(Preview::new(format!("{} is down already", this.0.name)).unchanged());
    }
    let mut summary = listed("stop and remove", &names, &this.0.name);
    let preview = if options.volumes {
        summary.push_str(", and its volumes with ALL THEIR DATA");
        Preview::new(summary)
    } else {
        Preview::new(summary).undo("compose::project().up()")
    };
    Ok(preview)
}

async fn start_preview(this: &Project, cx: &Cx, services: &Services) -> Result<Preview> {
    in_state(this, cx, services, "start", |state| state != "running").await
}

async fn stop_preview(
    this: &Project,
    cx: &Cx,
    services: &Services,
    _options: &StopOptions,
) -> Result<Preview> {
    in_state(this, cx, services, "stop", |state| state == "running").await
}

async fn restart_preview(
    this: &Project,
    cx: &Cx,
    services: &Services,
    _options: &StopOptions,
) -> Result<Preview> {
    in_state(this, cx, services, "restart", |_| true).await
}

async fn in_state(
    this: &Project,
    cx: &Cx,
    services: &Services,
    verb: &str,
    concerned: fn(&str) -> bool,
) -> Result<Preview> {
    known(this, cx, services).await?;
    let names: Vec<String> = found(this, cx, services)
        .await?
        .into_iter()
        .filter(|(_, state)| concerned(state))
        .map(|(name, _)| name)
        .collect();
    let preview = Preview::new(listed(verb, &names, &this.0.name));
    Ok(match names.is_empty() {
        true => preview.unchanged(),
        false => preview,
    })
}
