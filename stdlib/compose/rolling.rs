//! Replacing a stateless service without a gap: the new containers beside the old, then instead of them.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use ccrun_kernel::rhai::{Array, Dynamic, Map};
use ccrun_kernel::value::Duration;
use ccrun_kernel::{Cx, Error, Options, Preview, Result, primitive};

use super::cli::Call;
use super::config::{self, Model, Service};
use super::containers::{self, Container};
use super::drift::{self, Action};
use super::gate::{self, Standing};
use super::project::{Definition, Project};
use super::rollback::remove;
use crate::engine::Engine;

/// How a service is replaced.
#[derive(Clone, Options)]
pub struct RollingOptions {
    /// How long the new containers may take to get healthy.
    #[option(default = "5m")]
    timeout: Duration,
    /// How long old and new run side by side after that, for the proxy to notice the new ones; and how long it has
    /// afterwards to forget the old. Caddy's `dynamic` upstreams look once a second.
    #[option(default = "3s")]
    settle: Duration,
    /// How long an old container has to finish its requests before it is killed.
    #[option(default = "30s")]
    grace: Duration,
    /// Replace them though nothing differs.
    #[option(default = "false")]
    force: bool,
    /// Leave the old ones running, for a proxy that is told first to send them nothing more; then `retire` them.
    #[option(default = "false")]
    keep_old: bool,
}

/// How old containers end.
#[derive(Clone, Options)]
pub struct RetireOptions {
    /// How long one has to finish its requests before it is killed.
    #[option(default = "30s")]
    grace: Duration,
}

impl Project {
    /// Replace the containers of a stateless service one set beside the other, so that no request fails.
    ///
    /// New containers are started beside the old ones; when they are healthy, and the proxy has had `settle`
    /// to notice them, the old ones are asked to end (SIGTERM, then `grace`) and removed. If the new ones do not
    /// get healthy they are removed, and the old ones go on as if nothing had happened. If nothing differs, nothing is
    /// done. Returns a map: `started`, `stopped`, `old` (names of containers; `old` those that were left for
    /// `retire`, with `keep_old`), `changed`, `elapsed`.
    ///
    /// A request that an old container works on while it is asked to end may fail, if the program in it drops its
    /// connections then, as PostgREST does. To lose none, `keep_old`, tell the proxy, `retire`.
    ///
    /// The service must not publish a port, have a `container_name`, or keep data of its own: two of it run at once. The
    /// proxy must know several addresses of one name and try another when one refuses (Caddy: `dynamic a`,
    /// `lb_try_duration`).
    ///
    /// # Errors
    /// `compose.not_rolling` for a service that can't run twice, `compose.unhealthy`, `compose.no_service`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// compose::project().rolling("postgrest");
    /// ```
    #[primitive(change, needs = compose(self.0.name), preview = rolling_preview)]
    pub(super) async fn rolling(
        &self,
        cx: &Cx,
        service: String,
        options: RollingOptions,
    ) -> Result<Map> {
        let started = Instant::now();
        let model = config::model(cx, &self.0).await?;
        let wanted = checked(cx, &self.0, &model, &service).await?;
        let before = of_service(cx, &self.0, &service).await?;
        if !options.force && !differs(cx, &self.0, &model, &service).await? {
            cx.unchanged();
            return Ok(done(&[], &[], &[], started));
        }
        let old: HashSet<String> = before
            .iter()
            .map(|container| container.id.clone())
            .collect();
        let count = wanted.replicas() + before.len() as u64;
        let scale = format!("{service}={count}");
        let made = Call::change(
            cx,
            &self.0,
            &[
                "up",
                "--detach",
                "--no-deps",
                "--no-recreate",
                "--quiet-pull",
            ],
        )
        .and(["--scale", &scale, &service])
        .watched(&format!("{service} beside the old"))
        .await;
        let up = match made {
            Ok(()) => {
                self.wait_for_new(cx, wanted, &service, &old, &options)
                    .await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = up {
            // The old ones never stopped serving.
            self.take_away(
                cx,
                &service,
                |container| !old.contains(&container.id),
                options.grace,
            )
            .await?;
            return Err(error);
        }
        let mut progress = cx.progress(format!("{service}: old and new side by side"), None);
        tokio::time::sleep(options.settle.to_std()).await;
        let fresh = self.names(cx, &service, |id| !old.contains(id)).await?;
        if options.keep_old {
            let kept = self.names(cx, &service, |id| old.contains(id)).await?;
            return Ok(done(&fresh, &[], &kept, started));
        }
        progress.message(format!("{service}: the old ones finish"));
        let stopped = self
            .take_away(
                cx,
                &service,
                |container| old.contains(&container.id),
                options.grace,
            )
            .await?;
        // A proxy that still tries an address of the old finds nobody there, and must be left in peace until it
        // has gone on to the new: a reload at this moment would fail what it is about to try again.
        progress.message(format!("{service}: the proxy forgets the old ones"));
        tokio::time::sleep(options.settle.to_std()).await;
        Ok(done(&fresh, &stopped, &[], started))
    }

    /// End old containers of a service that `rolling` left beside the new ones (`keep_old`), and remove them.
    ///
    /// At least one other container of the service must run. Names that are gone already are passed over.
    /// Returns the names of those that were removed.
    ///
    /// # Errors
    /// `compose.not_rolling` if nothing of the service would be left, `compose.no_service`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// let stack = compose::project();
    /// let did = stack.rolling("postgrest", #{ keep_old: true });
    /// // … tell the proxy to ask did.started only …
    /// stack.retire("postgrest", did.old);
    /// ```
    #[primitive(change, needs = compose(self.0.name))]
    pub(super) async fn retire(
        &self,
        cx: &Cx,
        service: String,
        old: Vec<String>,
        options: RetireOptions,
    ) -> Result<Vec<String>> {
        let model = config::model(cx, &self.0).await?;
        gate::chosen(&model, Some(std::slice::from_ref(&service)))?;
        let all = of_service(cx, &self.0, &service).await?;
        if !all.iter().any(|container| !old.contains(&container.name)) {
            return Err(Error::new(
                "compose.not_rolling",
                format!("nothing of {service} would be left"),
            )
            .hint("start new containers first: `rolling` with `keep_old: true`; to stop the service, `stop`"));
        }
        self.take_away(
            cx,
            &service,
            |container| old.contains(&container.name),
            options.grace,
        )
        .await
    }

    async fn names(
        &self,
        cx: &Cx,
        service: &str,
        concerned: impl Fn(&String) -> bool,
    ) -> Result<Vec<String>> {
        let all = of_service(cx, &self.0, service).await?;
        Ok(all
            .into_iter()
            .filter(|container| concerned(&container.id))
            .map(|container| container.name)
            .collect())
    }

    async fn wait_for_new(
        &self,
        cx: &Cx,
        service: &Service,
        name: &str,
        old: &HashSet<String>,
        options: &RollingOptions,
    ) -> Result<()> {
        let started = Instant::now();
        let mut progress = cx.progress(format!("{name}: the new ones get healthy"), None);
        loop {
            let all = of_service(cx, &self.0, name).await?;
            let new: Vec<&Container> = all
                .iter()
                .filter(|container| !old.contains(&container.id))
                .collect();
            let standing = gate::standing(service, &new, &std::collections::HashMap::new());
            let over = started.elapsed() >= options.timeout.to_std();
            let why = match standing {
                Standing::Good => return Ok(()),
                Standing::Pending(why) if !over => {
                    progress.message(format!("{name}: the new ones get healthy ({why})"));
                    tokio::time::sleep(std::time::Duration::from_millis(250)).await;
                    continue;
                }
                Standing::Pending(why) => format!("{why} after {}", options.timeout),
                Standing::Failed(why) => why,
            };
            let lines = match new.last() {
                Some(container) => containers::last_lines(cx, container, 10)
                    .await
                    .unwrap_or_default(),
                None => Vec::new(),
            };
            let mut message =
                format!("the new {name} does not come up: {why}; the old one still serves");
            for line in &lines {
                message.push_str(&format!("\n  {line}"));
            }
            return Err(Error::new("compose.unhealthy", message)
                .hint("mend what the log says, then run it again")
                .detail("log", lines));
        }
    }

    async fn take_away(
        &self,
        cx: &Cx,
        service: &str,
        concerned: impl Fn(&Container) -> bool,
        grace: Duration,
    ) -> Result<Vec<String>> {
        let engine = cx.client::<Engine>().await?;
        let docker = engine.write("replace a service")?;
        let mut names = Vec::new();
        for container in of_service(cx, &self.0, service).await? {
            if concerned(&container) {
                remove(&engine, docker, &container.id, &container.name, grace).await?;
                names.push(container.name);
            }
        }
        Ok(names)
    }
}

async fn rolling_preview(
    this: &Project,
    cx: &Cx,
    service: &str,
    options: &RollingOptions,
) -> Result<Preview> {
    let model = config::model(cx, &this.0).await?;
    checked(cx, &this.0, &model, service).await?;
    let differences = drift::find(cx, &this.0, &model).await?;
    let own = differences
        .iter()
        .find(|difference| difference.service == service && difference.action != Action::Orphan);
    match own {
        None if !options.force => {
            Ok(Preview::new(format!("{service} runs as the files say")).unchanged())
        }
        own => {
            let reasons = own.map_or(String::new(), |difference| difference.reasons.join("\n"));
            let text = cx.redactor().redact(&reasons).into_owned();
            Ok(Preview::new(format!(
                "start a new {service} beside the old, then stop the old"
            ))
            .diff(text))
        }
    }
}

async fn differs(cx: &Cx, project: &Arc<Definition>, model: &Model, service: &str) -> Result<bool> {
    let differences = drift::find(cx, project, model).await?;
    Ok(differences
        .iter()
        .any(|difference| difference.service == service && difference.action != Action::Orphan))
}

async fn of_service(cx: &Cx, project: &Arc<Definition>, service: &str) -> Result<Vec<Container>> {
    let all = containers::all(cx, project).await?;
    Ok(all
        .into_iter()
        .filter(|container| container.service == service && !container.one_off)
        .collect())
}

/// A service of which two can run at once.
async fn checked<'m>(
    cx: &Cx,
    project: &Arc<Definition>,
    model: &'m Model,
    name: &str,
) -> Result<&'m Service> {
    gate::chosen(model, Some(&[name.to_owned()]))?;
    let service = &model.services[name];
    let whole = config::whole(cx, project).await?;
    let named = whole
        .pointer(&format!("/services/{name}/container_name"))
        .is_some();
    let why = if service.ports.iter().any(|port| {
        port.published
            .as_deref()
            .is_some_and(|port| !port.is_empty())
    }) {
        "it publishes a port, which only one container can have"
    } else if named {
        "it has a `container_name`, which only one container can have"
    } else if service.replicas() == 0 {
        "it is scaled to none"
    } else {
        return Ok(service);
    };
    Err(Error::new(
        "compose.not_rolling",
        format!("{name} can't run twice at once: {why}"),
    )
    .hint("put a proxy before it and drop that, or use `up`, with a moment's gap"))
}

fn done(new: &[String], stopped: &[String], kept: &[String], started: Instant) -> Map {
    let list = |names: &[String]| -> Dynamic {
        names
            .iter()
            .cloned()
            .map(Dynamic::from)
            .collect::<Array>()
            .into()
    };
    Map::from_iter([
        ("started".into(), list(new)),
        ("stopped".into(), list(stopped)),
        ("old".into(), list(kept)),
        ("changed".into(), (!new.is_empty()).into()),
        (
            "elapsed".into(),
            Dynamic::from(Duration::measured(started.elapsed())),
        ),
    ])
}
