//! What starts a runbook unattended: the entries of `on` in its header.
//!
//! The kernel reads and checks them, so that `ccrun check` names a mistake before anything waits for
//! a trigger that never comes. `ccrun watch` runs them.

mod cron;
mod read;
#[cfg(test)]
mod tests;

use serde::Serialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

pub use cron::{Cron, Missed};

use crate::error::Location;
use crate::value::Duration;

/// One entry of `on`.
#[derive(Debug, Clone, PartialEq)]
pub struct Trigger {
    /// The map as it is written.
    pub spec: Value,
    /// Where it stands.
    pub location: Option<Location>,
    /// What fires it.
    pub source: TriggerSource,
    /// Values for parameters of the runbook.
    pub params: Map<String, Value>,
    /// How its runs are started.
    pub policy: RunPolicy,
}

/// What fires a trigger.
#[derive(Debug, Clone, PartialEq)]
pub enum TriggerSource {
    /// Files change.
    Files(Files),
    /// A time comes.
    Schedule(Schedule),
    /// Somebody posts to a path.
    Webhook(Webhook),
    /// Alertmanager tells of an alert.
    Alert(Alert),
    /// The Docker engine tells of an event.
    Docker(DockerEvent),
    /// Another runbook ended.
    After(After),
}

/// Files to watch.
#[derive(Debug, Clone, PartialEq)]
pub struct Files {
    /// Patterns relative to the folder of `ccrun.toml`; one that begins with `!` excludes.
    pub patterns: Vec<String>,
    /// The time without a further change after which the trigger fires.
    pub debounce: Duration,
    /// The kinds of change that count.
    pub on: Vec<FileChange>,
    /// Whether files that `.gitignore` names are left out.
    pub gitignore: bool,
    /// Look at the files every so often instead of asking the system: for network file systems.
    pub poll: Option<Duration>,
    /// Whether changes that happened while nobody watched fire once the watch begins again.
    pub catch_up: bool,
}

/// How a file changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FileChange {
    /// It is new.
    Create,
    /// Its content is another.
    Modify,
    /// It is gone.
    Delete,
}

impl FileChange {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Create, Self::Modify, Self::Delete];

    /// The word in headers and events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Modify => "modify",
            Self::Delete => "delete",
        }
    }
}

/// Times at which to run.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// The times.
    pub cron: Cron,
    /// Each start is put off by up to so much, the same for the same time everywhere.
    pub jitter: Duration,
    /// A time that passed unseen is made up for if it was no longer ago than this.
    pub catch_up: Option<Duration>,
}

/// A path of the daemon's HTTP server.
#[derive(Debug, Clone, PartialEq)]
pub struct Webhook {
    /// The path, `/deploy`.
    pub path: String,
    /// The name of the secret that signs what is posted.
    pub secret: Option<String>,
    /// How it is signed.
    pub signature: Signature,
    /// What the body must say: dotted keys with the value each must have.
    pub when: Vec<(String, Value)>,
    /// Which key of the body gives the value of which parameter.
    pub map: Vec<(String, String)>,
    /// How old a signed message may be.
    pub tolerance: Duration,
}

/// How a message proves where it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signature {
    /// `X-Hub-Signature-256` over the body (GitHub, Gitea, Forgejo and others).
    GitHub,
    /// `Webhook-Id`, `Webhook-Timestamp` and `Webhook-Signature` (Standard Webhooks).
    Generic,
    /// The secret itself in `Authorization: Bearer` or `X-Gitlab-Token`.
    Token,
    /// Whichever of these the message carries.
    Any,
}

/// An alert of Alertmanager.
#[derive(Debug, Clone, PartialEq)]
pub struct Alert {
    /// Its `alertname`.
    pub name: String,
    /// Whether the runbook runs when it fires or when it is over.
    pub status: AlertStatus,
    /// Labels that it must have.
    pub labels: Vec<(String, String)>,
    /// The name of the secret that Alertmanager sends as its bearer token.
    pub secret: Option<String>,
}

/// How an alert stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlertStatus {
    /// It fires.
    Firing,
    /// It is over.
    Resolved,
}

/// An event of the Docker engine.
#[derive(Debug, Clone, PartialEq)]
pub struct DockerEvent {
    /// Its names, as in `docker events`: `die`, `health_status: unhealthy`, `oom` …
    pub events: Vec<String>,
    /// The Compose service of the container.
    pub service: Option<String>,
    /// The name of the container.
    pub container: Option<String>,
    /// The image of the container, as it was named.
    pub image: Option<String>,
    /// Labels that it must have.
    pub labels: Vec<(String, String)>,
}

/// The end of another runbook.
#[derive(Debug, Clone, PartialEq)]
pub struct After {
    /// The runbook, as `ccrun list` names it; `*` is every other one.
    pub runbook: String,
    /// How it must have ended.
    pub status: AfterStatus,
}

/// How a runbook must have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterStatus {
    /// Well.
    Done,
    /// Badly.
    Failed,
    /// Well, after it had ended badly.
    Recovered,
    /// Well or badly.
    Any,
}

/// What happens when a trigger fires while its runbook runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overlap {
    /// It waits.
    #[default]
    Queue,
    /// It is left out.
    Skip,
    /// The run at work is stopped for it.
    Restart,
}

impl Overlap {
    /// The word in headers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Skip => "skip",
            Self::Restart => "restart",
        }
    }
}

/// At most so many starts within a time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// So many starts.
    pub starts: u32,
    /// Within this.
    pub within: Duration,
}

/// How the runs of a trigger are started.
#[derive(Debug, Clone, PartialEq)]
pub struct RunPolicy {
    /// What happens while the runbook runs.
    pub overlap: Overlap,
    /// How long a run may take; its header's `timeout` holds as well.
    pub timeout: Option<Duration>,
    /// How often a failed run is tried again.
    pub retries: u32,
    /// How long after the failure, twice as long each time.
    pub retry_after: Duration,
    /// More starts than this stop the trigger until a person looks.
    pub rate: Rate,
    /// The target, where it is not the daemon's own.
    pub target: Option<String>,
}

impl Default for RunPolicy {
    fn default() -> Self {
        Self {
            overlap: Overlap::default(),
            timeout: None,
            retries: 0,
            retry_after: Duration::from_secs(30),
            rate: Rate {
                starts: 60,
                within: Duration::from_secs(60),
            },
            target: None,
        }
    }
}

impl TriggerSource {
    /// The key of the header that makes it one: `files`, `schedule` …
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Files(_) => "files",
            Self::Schedule(_) => "schedule",
            Self::Webhook(_) => "webhook",
            Self::Alert(_) => "alert",
            Self::Docker(_) => "docker",
            Self::After(_) => "after",
        }
    }
}

impl Trigger {
    /// Tells this trigger of the runbook `name` from every other: the same after a restart and on
    /// another host, another one when what fires it is changed.
    #[must_use]
    pub fn key(&self, name: &str) -> String {
        let what: Vec<(&str, Option<&Value>)> = ["timezone", "on", "event", "service", "labels"]
            .into_iter()
            .chain(["container", "image", "status", "when", "gitignore"])
            .chain([self.source.kind()])
            .map(|key| (key, self.spec.get(key)))
            .filter(|(_, value)| value.is_some())
            .collect();
        let text = serde_json::to_string(&(name, what)).unwrap_or_default();
        hex::encode(&Sha256::digest(text)[..8])
    }

    /// What fires it, for people: `every day at 2`, `files migrations/*.sql`.
    #[must_use]
    pub fn describe(&self) -> String {
        match &self.source {
            TriggerSource::Files(files) => format!("files {}", files.patterns.join(", ")),
            TriggerSource::Schedule(schedule) => format!("schedule {}", schedule.cron),
            TriggerSource::Webhook(webhook) => format!("webhook {}", webhook.path),
            TriggerSource::Alert(alert) => match alert.status {
                AlertStatus::Firing => format!("alert {}", alert.name),
                AlertStatus::Resolved => format!("alert {} resolved", alert.name),
            },
            TriggerSource::Docker(docker) => {
                let whose = docker
                    .service
                    .as_deref()
                    .or(docker.container.as_deref())
                    .or(docker.image.as_deref());
                let whose = whose.map(|name| format!(" of {name}")).unwrap_or_default();
                format!("docker {}{whose}", docker.events.join(", "))
            }
            TriggerSource::After(after) => match after.status {
                AfterStatus::Done => format!("after {}", after.runbook),
                AfterStatus::Failed => format!("after {} failed", after.runbook),
                AfterStatus::Recovered => format!("after {} recovered", after.runbook),
                AfterStatus::Any => format!("after {}, however it ended", after.runbook),
            },
        }
    }
}
