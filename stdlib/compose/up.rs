//! Making what runs what the files say.

use std::collections::HashMap;

use ccrun_kernel::rhai::{Array, Dynamic, Map};
use ccrun_kernel::value::Duration;
use ccrun_kernel::{Cx, Error, Options, Preview, Result, primitive};
use indexmap::IndexMap;

use super::cli::Call;
use super::config::{self, Model};
use super::containers::{self, Container};
use super::drift::{self, Action, Difference};
use super::gate::{self, GateOptions};
use super::project::Project;
use super::release::Releases;

/// How a project is brought up.
#[derive(Clone, Options)]
pub struct UpOptions {
    /// Only these services, and what they depend on.
    services: Option<Vec<String>>,
    /// How many containers a service gets: `#{ postgrest: 2 }`.
    scale: Option<IndexMap<String, u64>>,
    /// Build images first.
    #[option(default = "false")]
    build: bool,
    /// Pull images: `"missing"`, `"always"`, `"never"`.
    #[option(default = "missing")]
    pull: String,
    /// Make containers anew: `"changed"` ones, `"always"`, `"never"`.
    #[option(default = "changed")]
    recreate: String,
    /// Leave alone what the services depend on.
    #[option(default = "false")]
    no_deps: bool,
    /// Remove containers of services that the files no longer know.
    #[option(default = "false")]
    remove_orphans: bool,
    /// Wait until everything is healthy.
    #[option(default = "true")]
    wait: bool,
    /// How long to wait for that.
    #[option(default = "5m")]
    timeout: Duration,
    /// Services whose ill health is only a warning.
    optional: Option<Vec<String>>,
}

impl UpOptions {
    fn check(&self, model: &Model) -> Result<()> {
        gate::chosen(model, self.services.as_deref())?;
        let scaled: Vec<String> = self
            .scale
            .iter()
            .flatten()
            .map(|(name, _)| name.clone())
            .collect();
        gate::chosen(model, Some(&scaled))?;
        one_of("pull", &self.pull, &["missing", "always", "never"])?;
        one_of("recreate", &self.recreate, &["changed", "always", "never"])
    }

    fn arguments(&self) -> Vec<String> {
        let mut words: Vec<String> = ["up", "--detach", "--quiet-pull", "--pull"]
            .map(str::to_owned)
            .into();
        words.push(self.pull.clone());
        match self.recreate.as_str() {
            "always" => words.push("--force-recreate".to_owned()),
            "never" => words.push("--no-recreate".to_owned()),
            _ => {}
        }
        for (given, word) in [
            (self.build, "--build"),
            (self.no_deps, "--no-deps"),
            (self.remove_orphans, "--remove-orphans"),
        ] {
            if given {
                words.push(word.to_owned());
            }
        }
        for (name, count) in self.scale.iter().flatten() {
            words.push("--scale".to_owned());
            words.push(format!("{name}={count}"));
        }
        words.extend(self.services.iter().flatten().cloned());
        words
    }

    /// The model with the scale that is asked for.
    fn apply(&self, model: &mut Model) {
        for (name, count) in self.scale.iter().flatten() {
            if let Some(service) = model.services.get_mut(name) {
                service.scale = Some(*count);
            }
        }
    }

    /// What of the differences this call would mend.
    fn mends(&self, differences: Vec<Difference>) -> Vec<Difference> {
        differences
            .into_iter()
            .filter(|difference| match difference.action {
                Action::Orphan => self.remove_orphans,
                Action::Recreate => self.recreate != "never",
                _ => true,
            })
            .filter(|difference| {
                let only = self.services.as_ref();
                only.is_none_or(|names| names.contains(&difference.service))
            })
            .collect()
    }

    /// Whether it acts though nothing differs.
    fn insists(&self) -> bool {
        self.build || self.recreate == "always" || self.pull == "always"
    }
}

fn one_of(option: &str, given: &str, allowed: &[&str]) -> Result<()> {
    if allowed.contains(&given) {
        return Ok(());
    }
    Err(Error::new(
        "argument.value",
        format!("`{option}` is one of {}, not {given:?}", allowed.join(", ")),
    ))
}

impl Project {
    /// Make what runs what the files say, and wait until it is healthy.
    ///
    /// If nothing differs, nothing is touched: one-shot services are not run again. Returns a map: `created`,
    /// `recreated`, `started`, `removed` (names of services), `changed`, `elapsed`.
    ///
    /// # Errors
    /// `compose.unhealthy` if it does not come up (what runs then is left for looking at),
    /// `docker.image_missing`, `docker.port_taken`, `docker.disk_full`, `compose.unset_variable`,
    /// `compose.no_service`, `compose.failed`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// let did = compose::project().up(#{ timeout: "3m" });
    /// print(if did.changed { `recreated ${did.recreated}` } else { "nothing to do" });
    /// ```
    #[primitive(change, needs = compose(self.0.name), preview = up_preview)]
    pub(super) async fn up(&self, cx: &Cx, options: UpOptions) -> Result<Map> {
        let started = std::time::Instant::now();
        let mut model = config::model(cx, &self.0).await?;
        options.check(&model)?;
        options.apply(&mut model);
        let differences = drift::find(cx, &self.0, &model).await?;
        let mends = options.mends(differences);
        let before = ids(&containers::all(cx, &self.0).await?);
        if !mends.is_empty() || options.insists() {
            let mut call = Call::change(cx, &self.0, &[])
                .and(options.arguments())
                .and(without_done_jobs(&options, &model, &mends));
            call.timeout = Some(options.timeout.to_std());
            let done = call.watched(&format!("{} up", self.0.name)).await;
            if let Err(error) = done {
                return Err(self.explain(cx, &model, &options, error).await);
            }
        }
        if options.wait {
            let gate = GateOptions {
                services: options.services.clone(),
                timeout: options.timeout,
                optional: options.optional.clone(),
            };
            gate::wait(cx, &self.0, &model, &gate).await?;
        }
        let after = ids(&containers::all(cx, &self.0).await?);
        let did = compare(&before, &after);
        if did.is_empty() {
            cx.unchanged();
        }
        Ok(did.into_map(started.elapsed()))
    }
}

impl Project {
    /// Compose waits for dependencies itself, and says of one that does not come up only that it did
    /// not: what the gate sees says more.
    async fn explain(&self, cx: &Cx, model: &Model, options: &UpOptions, error: Error) -> Error {
        let output = error.details().get("output").and_then(|text| text.as_str());
        let waited = error.kind() == "sh.timeout"
            || output.is_some_and(|text| text.contains("dependency failed to start"));
        if !waited {
            return error;
        }
        let gate = GateOptions {
            services: None,
            timeout: Duration::from_secs(0),
            optional: options.optional.clone(),
        };
        match gate::wait(cx, &self.0, model, &gate).await {
            Err(seen) if seen.kind() == "compose.unhealthy" => seen,
            // It was still at work: at what is all that can be told.
            _ if error.kind() == "sh.timeout" => {
                let left = drift::find(cx, &self.0, model).await.unwrap_or_default();
                let left: Vec<String> = left
                    .iter()
                    .map(|difference| {
                        format!("{} ({})", difference.service, difference.action.word())
                    })
                    .collect();
                Error::new(
                    "compose.unhealthy",
                    format!(
                        "{} is not up after {}: still to do: {}",
                        self.0.name,
                        options.timeout,
                        if left.is_empty() { "nothing, it was about to be done".to_owned() } else { left.join(", ") }
                    ),
                )
                .hint("give it a longer `timeout`; a container that takes long to stop counts too (`stop_grace_period`)")
            }
            _ => error,
        }
    }
}

async fn up_preview(this: &Project, cx: &Cx, options: &UpOptions) -> Result<Preview> {
    let mut model = config::model(cx, &this.0).await?;
    options.check(&model)?;
    options.apply(&mut model);
    let mends = options.mends(drift::find(cx, &this.0, &model).await?);
    if mends.is_empty() && !options.insists() {
        return Ok(Preview::new(format!("{} runs as the files say", this.0.name)).unchanged());
    }
    let mut lines = Vec::new();
    for difference in &mends {
        lines.push(format!(
            "{} {}",
            difference.action.word(),
            difference.service
        ));
        lines.extend(
            difference
                .reasons
                .iter()
                .map(|reason| format!("    {reason}")),
        );
    }
    let mut summary = format!("bring up {}", this.0.name);
    let count = |action| mends.iter().filter(|d| d.action == action).count();
    let counts: Vec<String> = [
        Action::Create,
        Action::Recreate,
        Action::Start,
        Action::Remove,
        Action::Orphan,
    ]
    .into_iter()
    .filter(|&action| count(action) > 0)
    .map(|action| match action {
        Action::Orphan => format!("{} orphans removed", count(action)),
        action => format!("{} to {}", count(action), action.word()),
    })
    .collect();
    if !counts.is_empty() {
        summary.push_str(&format!(": {}", counts.join(", ")));
    }
    let text = cx.redactor().redact(&lines.join("\n")).into_owned();
    Ok(Preview::new(summary).diff(text).undo(undo(this, cx).await?))
}

/// How one goes back: to a recorded release, or by taking down what did not run before.
async fn undo(this: &Project, cx: &Cx) -> Result<String> {
    let releases = cx.client::<Releases>().await?;
    let name = this.0.name.clone();
    let good = cx
        .blocking(move || {
            Ok(releases
                .list(&name)?
                .into_iter()
                .find(|release| release.good))
        })
        .await?;
    Ok(match good {
        Some(release) => format!("`rollback(\"{}\")`, the last good release", release.id),
        None => "`down()`: no release is recorded; data in volumes stays".to_owned(),
    })
}

/// Compose starts every container that has ended, one-shot services too: where there are some that are
/// done and unchanged, the others are named.
fn without_done_jobs(options: &UpOptions, model: &Model, mends: &[Difference]) -> Vec<String> {
    let is_done = |name: &str| {
        model.services[name].is_one_shot()
            && !mends.iter().any(|difference| difference.service == name)
    };
    let names: Vec<String> = model
        .services
        .keys()
        .filter(|name| !is_done(name))
        .cloned()
        .collect();
    let concerned = options.services.is_none()
        && options.recreate != "always"
        && names.len() < model.services.len();
    match concerned {
        true => names,
        false => Vec::new(),
    }
}

type Ids = HashMap<String, (String, Option<String>)>;

/// Container names with their id, and when they were started.
fn ids(containers: &[Container]) -> HashMap<String, Ids> {
    let mut services: HashMap<String, Ids> = HashMap::new();
    for container in containers.iter().filter(|container| !container.one_off) {
        let state = container.inspect.state.as_ref();
        let started = state.and_then(|state| state.started_at.clone());
        services
            .entry(container.service.clone())
            .or_default()
            .insert(container.name.clone(), (container.id.clone(), started));
    }
    services
}

/// What became of the services.
#[derive(Default)]
struct Did {
    created: Vec<String>,
    recreated: Vec<String>,
    started: Vec<String>,
    removed: Vec<String>,
}

fn compare(before: &HashMap<String, Ids>, after: &HashMap<String, Ids>) -> Did {
    let mut did = Did::default();
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort();
    names.dedup();
    let none = Ids::new();
    for name in names {
        let old = before.get(name).unwrap_or(&none);
        let new = after.get(name).unwrap_or(&none);
        let into = if old.is_empty() {
            &mut did.created
        } else if new.is_empty() {
            &mut did.removed
        } else if old
            .values()
            .any(|(id, _)| !new.values().any(|(other, _)| other == id))
        {
            &mut did.recreated
        } else if new.len() > old.len() {
            &mut did.created
        } else if old != new {
            &mut did.started
        } else {
            continue;
        };
        into.push(name.clone());
    }
    did
}

impl Did {
    fn is_empty(&self) -> bool {
        [&self.created, &self.recreated, &self.started, &self.removed]
            .iter()
            .all(|names| names.is_empty())
    }

    fn into_map(self, elapsed: std::time::Duration) -> Map {
        let changed = !self.is_empty();
        let list = |names: Vec<String>| -> Dynamic {
            names
                .into_iter()
                .map(Dynamic::from)
                .collect::<Array>()
                .into()
        };
        Map::from_iter([
            ("created".into(), list(self.created)),
            ("recreated".into(), list(self.recreated)),
            ("started".into(), list(self.started)),
            ("removed".into(), list(self.removed)),
            ("changed".into(), changed.into()),
            ("elapsed".into(), Dynamic::from(Duration::measured(elapsed))),
        ])
    }
}
