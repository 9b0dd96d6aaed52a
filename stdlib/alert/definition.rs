//! The channels of a target, as `ccrun.toml` has them.

use std::collections::BTreeMap;
use std::time::Duration as StdDuration;

use ccrun_kernel::config::Target;
use ccrun_kernel::secret::reference;
use ccrun_kernel::value::{Duration, closest};
use ccrun_kernel::{Error, Result};
use serde::Deserialize;

use super::channel::{self, Kind};
use super::model::Severity;
use crate::credential::Credential;
use crate::mailer;

/// A channel.
#[derive(Clone)]
pub struct Definition {
    /// Its name: what permissions and `to` name.
    pub name: String,
    /// What it is.
    pub kind: &'static Kind,
    /// What stands behind the kind: a URL, an address, a key.
    pub place: Option<Credential>,
    /// The rest.
    pub settings: Settings,
    /// How long one attempt may take.
    pub timeout: StdDuration,
    /// When an alert that is there already is told again.
    pub repeat: StdDuration,
    /// When a receiver that keeps alerts may forget one that it hears no more of.
    pub lasts: Duration,
}

/// The table of a channel.
#[derive(Debug, Clone, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// `kind:place`: `slack:secret:SLACK_WEBHOOK`.
    pub url: String,
    /// The least serious that it wants.
    pub severity: Option<Severity>,
    /// Labels that an alert must have; `*` in a value stands for anything.
    pub labels: BTreeMap<String, String>,
    /// Whether its failure is the run's failure.
    pub required: bool,
    /// The channel that takes its place when it fails.
    pub fallback: Option<String>,
    /// Whether it is told that an alert is over.
    pub resolve: Option<bool>,
    /// How long one attempt may take: 10 s.
    pub timeout: Option<String>,
    /// How often it is tried again: 3.
    pub retries: Option<u32>,
    /// When an alert that is there already is told again: 4 h.
    pub repeat: Option<String>,
    /// When the receiver may forget an alert that it hears no more of: 7 d (Alertmanager).
    pub lasts: Option<String>,
    /// Another server of the same service: `https://events.eu.pagerduty.com`.
    pub endpoint: Option<String>,
    /// A Compose service, found at the address of its container.
    pub service: Option<String>,
    /// Its port.
    pub port: Option<u16>,
    /// A token, sent as `Authorization: Bearer …`: `secret:NAME`.
    pub token: Option<String>,
    /// A user, for basic authentication.
    pub user: Option<String>,
    /// The password of it: `secret:NAME`.
    pub password: Option<String>,
    /// A key of the service: `secret:NAME` (Postal).
    pub key: Option<String>,
    /// More headers; values may be `secret:NAME`.
    pub headers: BTreeMap<String, String>,
    /// The body of a webhook, in the language of Jinja.
    pub template: Option<String>,
    /// What that body is: `application/json`.
    pub content_type: Option<String>,
    /// The method of a webhook: `POST`.
    pub method: Option<String>,
    /// Who gets the mail.
    pub to: Vec<String>,
    /// Who sends it.
    pub from: Option<String>,
    /// The mail server, if it is not the target's.
    pub smtp: Option<mailer::Section>,
    /// Teams of Opsgenie that are told.
    pub teams: Vec<String>,
}

impl Definition {
    /// All channels of a target, by name.
    ///
    /// # Errors
    /// `config.section` with what is wrong, and where.
    pub fn of_target(target: &Target) -> Result<Vec<Self>> {
        let Some(section) = target.raw("alerts") else {
            return Ok(Vec::new());
        };
        let Some(table) = section.as_table() else {
            return Err(wrong(target, "", "is not a table of channels"));
        };
        let mut all = Vec::with_capacity(table.len());
        for (name, value) in table {
            all.push(Self::read(target, name, value)?);
        }
        for definition in &all {
            if let Some(fallback) = &definition.settings.fallback
                && !all.iter().any(|other| other.name == *fallback)
            {
                let what = format!("`fallback`: there is no channel `{fallback}`");
                return Err(wrong(target, &definition.name, &what));
            }
        }
        Ok(all)
    }

    fn read(target: &Target, name: &str, value: &toml::Value) -> Result<Self> {
        let settings = match value {
            toml::Value::String(url) => Settings {
                url: url.clone(),
                ..Settings::default()
            },
            other => other
                .clone()
                .try_into::<Settings>()
                .map_err(|error| wrong(target, name, error.to_string().trim_end()))?,
        };
        let (kind, place) = settings.url.split_once(':').unwrap_or((&settings.url, ""));
        let kind = channel::KINDS
            .iter()
            .find(|known| known.name == kind)
            .ok_or_else(|| {
                let names = channel::KINDS.iter().map(|kind| kind.name);
                let error = wrong(
                    target,
                    name,
                    &format!("there is no kind of channel `{kind}`"),
                );
                match closest(kind, names.clone()) {
                    Some(nearest) => error.hint(format!("did you mean `{nearest}:`?")),
                    None => error.hint(format!(
                        "write KIND:PLACE, with one of {}",
                        names.collect::<Vec<_>>().join(", ")
                    )),
                }
            })?;
        if kind.secret && reference(place).is_none() {
            return Err(wrong(
                target,
                name,
                &format!(
                    "whoever knows what stands behind `{}:` can use it",
                    kind.name
                ),
            )
            .hint(format!(
                "keep it as a secret, and name that: {name} = \"{}:secret:NAME\"",
                kind.name
            )));
        }
        let plain = [
            ("token", &settings.token),
            ("password", &settings.password),
            ("key", &settings.key),
        ];
        let of_mail = settings
            .smtp
            .as_ref()
            .map(|smtp| ("smtp.password", &smtp.password));
        for (key, value) in plain.into_iter().chain(of_mail) {
            if let Some(value) = value
                && reference(value).is_none()
            {
                return Err(
                    wrong(target, name, &format!("`{key}` stands there in plain text")).hint(
                        format!("keep it as a secret, and name that: {key} = \"secret:NAME\""),
                    ),
                );
            }
        }
        let duration = |key: &str, given: &Option<String>, default: &str| {
            given
                .as_deref()
                .unwrap_or(default)
                .parse::<Duration>()
                .map_err(|error| wrong(target, name, &format!("`{key}`: {error}")))
        };
        let place = Some(place)
            .filter(|place| !place.is_empty())
            .map(Credential::of_config);
        Ok(Self {
            name: name.to_owned(),
            kind,
            place,
            timeout: duration("timeout", &settings.timeout, "10s")?.to_std(),
            repeat: duration("repeat", &settings.repeat, "4h")?.to_std(),
            lasts: duration("lasts", &settings.lasts, "7d")?,
            settings,
        })
    }

    /// `ops (slack)`.
    #[must_use]
    pub fn describe(&self) -> String {
        format!("{} ({})", self.name, self.kind.name)
    }
}

fn wrong(target: &Target, channel: &str, what: &str) -> Error {
    let place = match channel {
        "" => format!("[target.{}.alerts]", target.name()),
        channel => format!("[target.{}.alerts] {channel}", target.name()),
    };
    Error::new("config.section", format!("{place}: {what}"))
        .hint("a channel is `name = \"kind:place\"` or `name = { url = \"kind:place\", severity = \"error\" }`")
}
