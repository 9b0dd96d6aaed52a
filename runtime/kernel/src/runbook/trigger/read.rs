//! Reading one entry of `on`.

use indexmap::IndexMap;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::{
    After, AfterStatus, Alert, AlertStatus, Cron, DockerEvent, FileChange, Files, Overlap, Rate,
    RunPolicy, Schedule, Signature, Trigger, TriggerSource, Webhook,
};
use crate::error::{Error, Result};
use crate::runbook::literal::{Entry, Literal, known_keys};
use crate::runbook::params::ParamSpec;
use crate::value::{Duration, closest};

const INVALID: &str = "header.trigger";
const KINDS: [&str; 6] = ["files", "schedule", "webhook", "alert", "docker", "after"];
/// What every trigger may say of its runs.
const COMMON: [&str; 7] = [
    "params",
    "overlap",
    "timeout",
    "retries",
    "retry_after",
    "rate",
    "target",
];

/// The entries of a trigger's map while it is read.
struct Reader<'l> {
    kind: &'static str,
    entries: &'l [Entry],
}

impl Trigger {
    /// Read an entry of `on`.
    ///
    /// # Errors
    /// `header.trigger`, `header.unknown_key`, at the place of the mistake.
    pub(crate) fn from_literal(literal: &Literal, entries: &[Entry]) -> Result<Self> {
        let kinds: Vec<&'static str> = KINDS
            .into_iter()
            .filter(|kind| entries.iter().any(|entry| entry.key == *kind))
            .collect();
        let kind = match kinds[..] {
            [kind] => kind,
            [] => return Err(no_kind(literal, entries)),
            [first, second, ..] => {
                return Err(literal
                    .error(
                        INVALID,
                        format!(
                            "a trigger has one cause, and this one has `{first}` and `{second}`"
                        ),
                    )
                    .hint("make two triggers of it: `on: [ #{ … }, #{ … } ]`"));
            }
        };
        let own: &[&str] = match kind {
            "files" => &["debounce", "on", "gitignore", "poll", "catch_up"],
            "schedule" => &["timezone", "jitter", "catch_up"],
            "webhook" => &["secret", "signature", "when", "map", "tolerance"],
            "alert" => &["status", "labels", "secret"],
            "after" => &["status"],
            _ => &[],
        };
        let known: Vec<&str> = [kind]
            .into_iter()
            .chain(own.iter().copied())
            .chain(COMMON)
            .collect();
        known_keys(entries, &known, &format!("a `{kind}` trigger"))?;
        let reader = Reader { kind, entries };
        let value = reader.value(kind).unwrap_or(literal);
        let source = match kind {
            "files" => TriggerSource::Files(reader.files(value)?),
            "schedule" => TriggerSource::Schedule(reader.schedule(value)?),
            "webhook" => TriggerSource::Webhook(reader.webhook(value)?),
            "alert" => TriggerSource::Alert(reader.alert(value)?),
            "docker" => TriggerSource::Docker(docker(value)?),
            _ => TriggerSource::After(reader.after(value)?),
        };
        let params = match reader.value("params") {
            None => serde_json::Map::new(),
            Some(value) => match value.to_json() {
                Value::Object(map) => map,
                _ => return Err(wrong(value, "params", "a map of values for parameters")),
            },
        };
        Ok(Self {
            spec: literal.to_json(),
            location: literal.at.clone(),
            source,
            params,
            policy: reader.policy()?,
        })
    }

    /// Whether the runbook can be started by this trigger with these parameters.
    ///
    /// # Errors
    /// `header.trigger` if it gives a parameter that there is not, a value that does not fit, or
    /// leaves out one that must be given.
    pub(crate) fn fits(&self, params: &IndexMap<String, ParamSpec>) -> Result<()> {
        let problem = |message: String| Error::new(INVALID, message).at(self.location.clone());
        let mapped: Vec<&str> = match &self.source {
            TriggerSource::Webhook(webhook) => {
                webhook.map.iter().map(|(name, _)| name.as_str()).collect()
            }
            _ => Vec::new(),
        };
        let given = self
            .params
            .keys()
            .map(String::as_str)
            .chain(mapped.iter().copied());
        for name in given {
            let Some(spec) = params.get(name) else {
                let error = problem(format!(
                    "the trigger gives a value for `{name}`, which is no parameter of this runbook"
                ));
                return Err(match closest(name, params.keys().map(String::as_str)) {
                    Some(nearest) => error.hint(format!("did you mean `{nearest}`?")),
                    None => error.hint("declare it in `params`, or leave it out"),
                });
            };
            if let Some(value) = self.params.get(name) {
                drop(
                    spec.read(value)
                        .map_err(|error| problem(error.message().to_owned()))?,
                );
            }
        }
        // An alert brings its labels, whatever they are.
        if matches!(self.source, TriggerSource::Alert(_)) {
            return Ok(());
        }
        let missing = params.values().find(|spec| {
            spec.required
                && !self.params.contains_key(&spec.name)
                && !mapped.contains(&spec.name.as_str())
        });
        match missing {
            None => Ok(()),
            Some(spec) => Err(problem(format!(
                "nobody is there to give the parameter `{}` when this trigger fires",
                spec.name
            ))
            .hint(format!(
                "give it in the trigger, `params: #{{ {}: … }}`, or give the parameter a default",
                spec.name
            ))),
        }
    }
}

fn no_kind(literal: &Literal, entries: &[Entry]) -> Error {
    let error = literal.error(INVALID, "nothing says what fires this trigger");
    let near = entries
        .iter()
        .find_map(|entry| closest(&entry.key, KINDS).map(|kind| (entry, kind)));
    match near {
        Some((entry, kind)) => error
            .hint(format!("did you mean `{kind}` instead of `{}`?", entry.key))
            .at(entry.at.clone()),
        None => error.hint(format!("say one of {}", KINDS.join(", "))),
    }
}

fn wrong(value: &Literal, key: &str, wanted: &str) -> Error {
    value.error(
        INVALID,
        format!(
            "`{key}` of a trigger is {wanted}, and not {}",
            value.shown()
        ),
    )
}

fn text(value: &Literal, key: &str, wanted: &str) -> Result<String> {
    match value.as_str().map(str::trim) {
        Some(text) if !text.is_empty() => Ok(text.to_owned()),
        _ => Err(wrong(value, key, wanted)),
    }
}

/// One text, or several.
fn texts(value: &Literal, key: &str, wanted: &str) -> Result<Vec<String>> {
    match value.as_array() {
        None => Ok(vec![text(value, key, wanted)?]),
        Some([]) => Err(wrong(value, key, wanted)),
        Some(items) => items.iter().map(|item| text(item, key, wanted)).collect(),
    }
}

fn duration(value: &Literal, key: &str) -> Result<Duration> {
    let wanted = r#"a duration such as "500ms" or "1h""#;
    let text = value.as_str().ok_or_else(|| wrong(value, key, wanted))?;
    let duration: Duration = text.parse().map_err(|error: Error| {
        value.error(
            INVALID,
            format!("`{key}` of a trigger: {}", error.message()),
        )
    })?;
    if duration.is_negative() {
        return Err(wrong(value, key, wanted));
    }
    Ok(duration)
}

fn word<T: Copy>(value: &Literal, key: &str, words: &[(&'static str, T)]) -> Result<T> {
    let names: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
    let wanted = format!("one of {}", names.join(", "));
    let given = text(value, key, &wanted)?;
    match words.iter().find(|(name, _)| *name == given) {
        Some((_, meaning)) => Ok(*meaning),
        None => {
            let error = wrong(value, key, &wanted);
            Err(match closest(&given, names) {
                Some(nearest) => error.hint(format!("did you mean \"{nearest}\"?")),
                None => error,
            })
        }
    }
}

fn bool(value: &Literal, key: &str) -> Result<bool> {
    match value.to_json() {
        Value::Bool(yes) => Ok(yes),
        _ => Err(wrong(value, key, "true or false")),
    }
}

fn labels(value: &Literal, key: &str) -> Result<Vec<(String, String)>> {
    let wanted = "a map of texts";
    let entries = value.as_map().ok_or_else(|| wrong(value, key, wanted))?;
    entries
        .iter()
        .map(|entry| match entry.value.as_str() {
            Some(text) => Ok((entry.key.clone(), text.to_owned())),
            None => Err(wrong(&entry.value, key, wanted)),
        })
        .collect()
}

impl Reader<'_> {
    fn value(&self, key: &str) -> Option<&Literal> {
        let entry = self.entries.iter().find(|entry| entry.key == key);
        entry.map(|entry| &entry.value)
    }

    fn duration(&self, key: &str) -> Result<Option<Duration>> {
        self.value(key)
            .map(|value| duration(value, key))
            .transpose()
    }

    fn text(&self, key: &str) -> Result<Option<String>> {
        self.value(key)
            .map(|value| text(value, key, "a name"))
            .transpose()
    }

    fn files(&self, value: &Literal) -> Result<Files> {
        let patterns = texts(
            value,
            self.kind,
            "a pattern such as \"migrations/*.sql\", or several",
        )?;
        if patterns.iter().all(|pattern| pattern.starts_with('!')) {
            return Err(value
                .error(INVALID, "`files` of a trigger only says what to leave out")
                .hint("name what to watch in front of it: [\"**\", \"!target/**\"]"));
        }
        for pattern in &patterns {
            globset::Glob::new(pattern.trim_start_matches('!'))
                .map_err(|error| value.error(INVALID, format!("`files` of a trigger: {error}")))?;
        }
        let on = match self.value("on") {
            None => FileChange::ALL.to_vec(),
            Some(value) => {
                let words = FileChange::ALL.map(|change| (change.as_str(), change));
                match value.as_array() {
                    Some([]) => return Err(wrong(value, "on", "some of create, modify, delete")),
                    Some(items) => items
                        .iter()
                        .map(|item| word(item, "on", &words))
                        .collect::<Result<_>>()?,
                    None => vec![word(value, "on", &words)?],
                }
            }
        };
        let poll = self.duration("poll")?;
        if let (Some(poll), Some(value)) = (poll, self.value("poll"))
            && poll < Duration::from_millis(100)
        {
            return Err(wrong(value, "poll", "100 ms at least"));
        }
        Ok(Files {
            patterns,
            debounce: self
                .duration("debounce")?
                .unwrap_or(Duration::from_millis(100)),
            on,
            gitignore: self.flag("gitignore", true)?,
            poll,
            catch_up: self.flag("catch_up", true)?,
        })
    }

    fn flag(&self, key: &str, otherwise: bool) -> Result<bool> {
        self.value(key)
            .map_or(Ok(otherwise), |value| bool(value, key))
    }

    fn schedule(&self, value: &Literal) -> Result<Schedule> {
        let line = text(value, self.kind, "a cron line such as \"0 2 * * *\"")?;
        let zone = match self.value("timezone") {
            None => TimeZone::UTC,
            Some(value) => {
                let name = text(value, "timezone", "a time zone such as \"Europe/Berlin\"")?;
                TimeZone::get(&name).map_err(|_| {
                    wrong(value, "timezone", "a time zone such as \"Europe/Berlin\"")
                        .hint("the names are those of the IANA database: Area/City, or UTC")
                })?
            }
        };
        let cron = Cron::parse(&line, zone).map_err(|why| {
            value
                .error(INVALID, format!("`schedule` of a trigger: {why}"))
                .hint("for example \"0 2 * * *\": every day at 2; \"*/10 * * * *\": every ten minutes")
        })?;
        Ok(Schedule {
            cron,
            jitter: self.duration("jitter")?.unwrap_or(Duration::ZERO),
            catch_up: self.duration("catch_up")?,
        })
    }

    fn webhook(&self, value: &Literal) -> Result<Webhook> {
        let path = text(value, self.kind, "a path such as \"/deploy\"")?;
        let reserved = ["/healthz", "/metrics", "/runs", "/alertmanager"];
        let plain = |c: char| c.is_ascii_alphanumeric() || "/-_.~".contains(c);
        if !path.starts_with('/') || path.len() < 2 || !path.chars().all(plain) {
            return Err(wrong(value, self.kind, "a path such as \"/deploy\""));
        }
        if reserved.contains(&path.as_str()) {
            return Err(value
                .error(INVALID, format!("`{path}` is a path of ccrun watch itself"))
                .hint("choose another path for the webhook"));
        }
        let signature = match self.value("signature") {
            None => Signature::Any,
            Some(value) => word(
                value,
                "signature",
                &[
                    ("github", Signature::GitHub),
                    ("generic", Signature::Generic),
                    ("token", Signature::Token),
                ],
            )?,
        };
        let when = match self.value("when") {
            None => Vec::new(),
            Some(value) => match value.as_map() {
                Some(entries) => entries
                    .iter()
                    .map(|entry| (entry.key.clone(), entry.value.to_json()))
                    .collect(),
                None => {
                    return Err(wrong(value, "when", "a map").hint(
                        r#"for example `when: #{ "ref": "refs/heads/main" }`: dotted keys of the body"#,
                    ));
                }
            },
        };
        let secret = self.text("secret")?;
        if secret.is_none() {
            return Err(value
                .error(
                    INVALID,
                    format!("the webhook {path} has no `secret`: anybody could start the runbook"),
                )
                .hint("name the secret that signs it: `secret: \"DEPLOY_HOOK\"`"));
        }
        Ok(Webhook {
            path,
            secret,
            signature,
            when,
            map: self
                .value("map")
                .map_or(Ok(Vec::new()), |value| labels(value, "map"))?,
            tolerance: self
                .duration("tolerance")?
                .unwrap_or(Duration::from_secs(300)),
        })
    }

    fn alert(&self, value: &Literal) -> Result<Alert> {
        let status = [
            ("firing", AlertStatus::Firing),
            ("resolved", AlertStatus::Resolved),
        ];
        Ok(Alert {
            name: text(value, self.kind, "the name of an alert")?,
            status: self
                .value("status")
                .map_or(Ok(AlertStatus::Firing), |value| {
                    word(value, "status", &status)
                })?,
            labels: self
                .value("labels")
                .map_or(Ok(Vec::new()), |value| labels(value, "labels"))?,
            secret: self.text("secret")?,
        })
    }

    fn after(&self, value: &Literal) -> Result<After> {
        let status = [
            ("done", AfterStatus::Done),
            ("failed", AfterStatus::Failed),
            ("recovered", AfterStatus::Recovered),
            ("any", AfterStatus::Any),
        ];
        Ok(After {
            runbook: text(value, self.kind, "the name of a runbook")?,
            status: self
                .value("status")
                .map_or(Ok(AfterStatus::Done), |value| {
                    word(value, "status", &status)
                })?,
        })
    }

    fn policy(&self) -> Result<RunPolicy> {
        let mut policy = RunPolicy::default();
        if let Some(value) = self.value("overlap") {
            let words = [Overlap::Queue, Overlap::Skip, Overlap::Restart];
            policy.overlap = word(value, "overlap", &words.map(|o| (o.as_str(), o)))?;
        }
        policy.timeout = self.duration("timeout")?;
        if let Some(value) = self.value("retries") {
            policy.retries = match value.to_json().as_u64().and_then(|n| u32::try_from(n).ok()) {
                Some(number @ 0..=100) => number,
                _ => return Err(wrong(value, "retries", "a number up to 100")),
            };
        }
        if let Some(after) = self.duration("retry_after")? {
            policy.retry_after = after;
        }
        if let Some(value) = self.value("rate") {
            policy.rate = rate(value)?;
        }
        policy.target = self.text("target")?;
        Ok(policy)
    }
}

/// `"20/1m"`: so many starts within a time.
fn rate(value: &Literal) -> Result<Rate> {
    let wanted = "so many starts within a time, such as \"20/1m\"";
    let text = text(value, "rate", wanted)?;
    let parsed = text.split_once('/').and_then(|(starts, within)| {
        let starts: u32 = starts.trim().parse().ok().filter(|n| *n > 0)?;
        let within: Duration = within.trim().parse().ok()?;
        (within > Duration::ZERO).then_some(Rate { starts, within })
    });
    parsed.ok_or_else(|| wrong(value, "rate", wanted))
}

fn docker(value: &Literal) -> Result<DockerEvent> {
    let wanted = r#"a map such as #{ event: "die", service: "postgres" }"#;
    let entries = value
        .as_map()
        .ok_or_else(|| wrong(value, "docker", wanted))?;
    known_keys(
        entries,
        &["event", "service", "container", "image", "labels"],
        "`docker` of a trigger",
    )?;
    let find = |key: &str| entries.iter().find(|e| e.key == key).map(|e| &e.value);
    let name = |key: &str| {
        find(key)
            .map(|value| text(value, key, "a name"))
            .transpose()
    };
    let events = match find("event") {
        None => return Err(wrong(value, "docker", wanted).hint("`event` says which one")),
        Some(value) => texts(value, "event", "an event such as \"die\", or several")?,
    };
    Ok(DockerEvent {
        events,
        service: name("service")?,
        container: name("container")?,
        image: name("image")?,
        labels: find("labels").map_or(Ok(Vec::new()), |value| labels(value, "labels"))?,
    })
}
