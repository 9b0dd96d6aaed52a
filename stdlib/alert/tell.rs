//! Saying that an alert is there, that somebody looks after it, that it is over.

use std::collections::BTreeMap;

use ccrun_kernel::event::{CheckStatus, Level};
use ccrun_kernel::permission::ANYTHING;
use ccrun_kernel::rhai::{Array, Dynamic, Map};
use ccrun_kernel::value::{Timestamp, show};
use ccrun_kernel::{Cx, Options, Preview, Result, primitive};
use indexmap::IndexMap;

use super::definition::Definition;
use super::model::{Action, Alert, Severity};
use super::outcome::{How, Outcome};
use super::route;
use super::send;
use super::state::{Known, Memory, State, Told};

/// An alert.
#[derive(Clone, Options)]
pub struct AlertOptions {
    /// The same for the same trouble: `backup`, `disk/var`.
    key: String,
    /// How serious: `info`, `warning`, `error` or `critical`.
    #[option(default = "error")]
    severity: Severity,
    /// What it is, in a line; the key if left out.
    title: Option<String>,
    /// What is known: the number, the log line, what to do.
    #[option(default = "")]
    body: String,
    /// What tells it from others: for routing, silences and receivers.
    labels: Option<IndexMap<String, Dynamic>>,
    /// Where it comes from; the target's name if left out.
    source: Option<String>,
    /// Where to look.
    link: Option<String>,
    /// The channels, whatever they want to hear; those that want it if left out.
    to: Option<Vec<String>>,
}

/// Whom to tell, and how.
#[derive(Clone, Options)]
pub struct AfterOptions {
    /// The channels; if left out, those that were told that it is there.
    to: Option<Vec<String>>,
    /// Tell it also where nobody was told that it is there.
    #[option(default = "false")]
    always: bool,
    /// Where it comes from, if nothing is known of it.
    source: Option<String>,
    /// Its labels, if nothing is known of it.
    labels: Option<IndexMap<String, Dynamic>>,
}

/// What is to be told.
struct Telling {
    alert: Alert,
    definitions: Vec<Definition>,
    named: Option<Vec<String>>,
    always: bool,
    known: Option<Known>,
    state: State,
}

/// Say that something is wrong. What is triggered again under the same key is the same alert.
///
/// Chats, mails and phones are told again after the channel's `repeat` (4 h), or when it becomes more serious;
/// receivers that keep alerts themselves are told each time. What is silenced is told to nobody.
///
/// Returns a map: `key`, `since`, `silenced` (the silence, or `()`), `sent` (how many channels took it) and `channels`,
/// an array of `#{ channel, kind, outcome, status, body, error, attempts, elapsed, instead_of }` with the outcome
/// `sent`, `failed`, `repeated` or `nothing to say`.
///
/// A channel that fails is no exception: a warning, and a failed check if it is `required` or nobody got it.
///
/// # Errors
/// `config.section`, `alert.no_channel`, `alert.memory`.
///
/// # Example
/// ```rhai
/// alert::trigger(#{ key: "backup", severity: "critical", title: "The backup failed", body: "no space left", labels: #{ area: "db" } });
/// ```
#[primitive(change, needs = alert(ANYTHING), preview = plan_trigger)]
pub(super) async fn trigger(cx: &Cx, alert: AlertOptions) -> Result<Map> {
    Telling::trigger(cx, &alert).await?.tell(cx).await
}

async fn plan_trigger(cx: &Cx, alert: &AlertOptions) -> Result<Preview> {
    Telling::trigger(cx, alert).await?.preview(cx)
}

/// Say that somebody looks after an alert. Returns what `alert::trigger` does.
///
/// # Errors
/// As `alert::trigger`.
///
/// # Example
/// ```rhai
/// alert::acknowledge("backup", "Ann looks at it");
/// ```
#[primitive(change, needs = alert(ANYTHING), preview = plan_acknowledge)]
pub(super) async fn acknowledge(
    cx: &Cx,
    key: String,
    text: Option<String>,
    options: AfterOptions,
) -> Result<Map> {
    let telling = Telling::after(cx, Action::Acknowledge, &key, text.as_ref(), &options).await?;
    telling.tell(cx).await
}

async fn plan_acknowledge(
    cx: &Cx,
    key: &str,
    text: &Option<String>,
    options: &AfterOptions,
) -> Result<Preview> {
    Telling::after(cx, Action::Acknowledge, key, text.as_ref(), options)
        .await?
        .preview(cx)
}

/// Say that an alert is over. Where nothing was wrong nobody is told, so a runbook may say it each time it succeeds.
///
/// Those are told who were told that it is there; receivers that keep alerts themselves (Alertmanager, PagerDuty,
/// Opsgenie, webhooks) are told in any case. Returns what `alert::trigger` does.
///
/// # Errors
/// As `alert::trigger`.
///
/// # Example
/// ```rhai
/// alert::resolve("backup", "12 GiB in 4 minutes");
/// ```
#[primitive(change, needs = alert(ANYTHING), preview = plan_resolve)]
pub(super) async fn resolve(
    cx: &Cx,
    key: String,
    text: Option<String>,
    options: AfterOptions,
) -> Result<Map> {
    let telling = Telling::after(cx, Action::Resolve, &key, text.as_ref(), &options).await?;
    telling.tell(cx).await
}

async fn plan_resolve(
    cx: &Cx,
    key: &str,
    text: &Option<String>,
    options: &AfterOptions,
) -> Result<Preview> {
    Telling::after(cx, Action::Resolve, key, text.as_ref(), options)
        .await?
        .preview(cx)
}

fn labels(given: Option<&IndexMap<String, Dynamic>>, cx: &Cx) -> BTreeMap<String, String> {
    let redactor = cx.redactor();
    given
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.clone(), redactor.redact(&show(value)).into_owned()))
        .collect()
}

impl Telling {
    async fn trigger(cx: &Cx, given: &AlertOptions) -> Result<Self> {
        let (definitions, state) = read(cx).await?;
        let known = state.open.get(&given.key).cloned();
        let now = jiff::Timestamp::now();
        let redactor = cx.redactor();
        let title = given.title.as_ref().unwrap_or(&given.key);
        let alert = Alert {
            action: Action::Trigger,
            key: given.key.clone(),
            severity: given.severity,
            source: source(cx, given.source.as_ref()),
            // What leaves the machine may be read by anybody.
            title: one_line(&redactor.redact(title)),
            body: redactor.redact(&given.body).into_owned(),
            labels: labels(given.labels.as_ref(), cx),
            link: given.link.clone(),
            since: known.as_ref().map_or(now, |known| known.since),
            now,
        };
        Ok(Self {
            alert,
            definitions,
            named: given.to.clone(),
            always: true,
            known,
            state,
        })
    }

    async fn after(
        cx: &Cx,
        action: Action,
        key: &str,
        text: Option<&String>,
        options: &AfterOptions,
    ) -> Result<Self> {
        let (definitions, state) = read(cx).await?;
        let known = state.open.get(key).cloned();
        let now = jiff::Timestamp::now();
        let text = text.map(|text| cx.redactor().redact(text).into_owned());
        let alert = Alert {
            action,
            key: key.to_owned(),
            severity: known
                .as_ref()
                .map_or(Severity::Error, |known| known.severity),
            source: match &known {
                Some(known) => known.source.clone(),
                None => source(cx, options.source.as_ref()),
            },
            title: known
                .as_ref()
                .map_or_else(|| key.to_owned(), |known| known.title.clone()),
            body: text.unwrap_or_default(),
            labels: match &known {
                Some(known) => known.labels.clone(),
                None => labels(options.labels.as_ref(), cx),
            },
            link: None,
            since: known.as_ref().map_or(now, |known| known.since),
            now,
        };
        Ok(Self {
            alert,
            definitions,
            named: options.to.clone(),
            always: options.always,
            known,
            state,
        })
    }

    /// Who is told, and who was told already.
    fn channels(&self) -> Result<(Vec<&Definition>, Vec<&Definition>)> {
        let known = self.known.as_ref();
        let mut routed =
            route::route(&self.definitions, &self.alert, self.named.as_deref(), known)?;
        if known.is_none() && !self.always && self.named.is_none() {
            routed.retain(|channel| channel.kind.keeps);
        }
        if self.alert.action != Action::Trigger {
            return Ok((routed, Vec::new()));
        }
        Ok(routed
            .into_iter()
            .partition(|channel| !self.is_repetition(channel)))
    }

    fn is_repetition(&self, channel: &Definition) -> bool {
        let told = self
            .known
            .as_ref()
            .and_then(|known| known.told.get(&channel.name));
        let Some(told) = told else { return false };
        if channel.kind.keeps || self.named.is_some() || self.alert.severity > told.severity {
            return false;
        }
        let passed = self.alert.now.duration_since(told.at);
        std::time::Duration::try_from(passed).unwrap_or_default() < channel.repeat
    }

    fn silence(&self) -> Option<&super::state::Silence> {
        let trigger = self.alert.action == Action::Trigger;
        let mut silences = self.state.silences.iter();
        silences.find(|silence| trigger && silence.covers(&self.alert))
    }

    fn preview(&self, cx: &Cx) -> Result<Preview> {
        let (told, repeated) = self.channels()?;
        permit(cx, &told)?;
        let what = format!(
            "{} {} ({})",
            self.alert.action.name(),
            self.alert.key,
            self.alert.headline()
        );
        if let Some(silence) = self.silence() {
            return Ok(Preview::new(format!(
                "{what}: silenced until {} ({})",
                silence.until, silence.reason
            ))
            .unchanged());
        }
        let list = |channels: &[&Definition]| {
            let names: Vec<String> = channels.iter().map(|channel| channel.describe()).collect();
            names.join(", ")
        };
        let mut summary = match told.is_empty() {
            true => format!("{what}: nobody is told"),
            false => format!("{what} to {}", list(&told)),
        };
        if !repeated.is_empty() {
            summary.push_str(&format!("; {} know it already", list(&repeated)));
        }
        let preview = Preview::new(summary);
        Ok(match told.is_empty() {
            true => preview.unchanged(),
            false => preview,
        })
    }

    async fn tell(self, cx: &Cx) -> Result<Map> {
        let (told, repeated) = self.channels()?;
        permit(cx, &told)?;
        if let Some(silence) = self.silence() {
            cx.unchanged();
            cx.log(
                Level::Info,
                format!(
                    "the alert {} is silenced until {}: {}",
                    self.alert.key, silence.until, silence.reason
                ),
            );
            return Ok(self.to_map(Some(&silence.id), &[]));
        }
        let mut outcomes = send::all(cx, &self.definitions, &told, &self.alert).await;
        if !outcomes.iter().any(Outcome::is_sent) {
            cx.unchanged();
        }
        self.remember(cx, &outcomes).await?;
        self.report(cx, &outcomes);
        outcomes.extend(repeated.into_iter().map(|channel| Outcome {
            channel: channel.name.clone(),
            kind: channel.kind.name,
            how: How::Repeated,
            attempts: 0,
            elapsed: std::time::Duration::ZERO,
            instead_of: None,
        }));
        Ok(self.to_map(None, &outcomes))
    }

    async fn remember(&self, cx: &Cx, outcomes: &[Outcome]) -> Result<()> {
        if self.definitions.is_empty() {
            return Ok(());
        }
        let alert = &self.alert;
        let memory = cx.client::<Memory>().await?;
        memory.change(|state| match alert.action {
            Action::Trigger => {
                let known = state
                    .open
                    .entry(alert.key.clone())
                    .or_insert_with(|| Known {
                        since: alert.since,
                        severity: alert.severity,
                        source: alert.source.clone(),
                        title: alert.title.clone(),
                        labels: alert.labels.clone(),
                        acknowledged: false,
                        told: BTreeMap::new(),
                    });
                known.severity = alert.severity;
                known.source.clone_from(&alert.source);
                known.title.clone_from(&alert.title);
                known.labels.clone_from(&alert.labels);
                for outcome in outcomes.iter().filter(|outcome| outcome.is_sent()) {
                    known.told.insert(
                        outcome.channel.clone(),
                        Told {
                            at: alert.now,
                            severity: alert.severity,
                        },
                    );
                }
            }
            Action::Acknowledge => {
                if let Some(known) = state.open.get_mut(&alert.key) {
                    known.acknowledged = true;
                }
            }
            Action::Resolve => {
                let Some(known) = state.open.get_mut(&alert.key) else {
                    return;
                };
                // Who could not be told is told by the next run that finds it over.
                let failed = |name: &String| {
                    let mut outcomes = outcomes.iter();
                    outcomes.any(|outcome| outcome.channel == *name && outcome.error().is_some())
                };
                known.told.retain(|name, _| failed(name));
                if known.told.is_empty() {
                    state.open.remove(&alert.key);
                }
            }
        })
    }

    /// Say what failed: loudly where it matters.
    fn report(&self, cx: &Cx, outcomes: &[Outcome]) {
        let nobody =
            !outcomes.is_empty() && outcomes.iter().all(|outcome| outcome.error().is_some());
        for outcome in outcomes {
            let Some(error) = outcome.error() else {
                continue;
            };
            let required = self
                .definitions
                .iter()
                .any(|channel| channel.name == outcome.channel && channel.settings.required);
            let what = format!("the alert {} to {}", self.alert.key, outcome.channel);
            if required || nobody {
                let fix = error.hint_text().map(str::to_owned);
                cx.finding(what, CheckStatus::Fail, error.message(), fix);
            } else {
                cx.log(Level::Warn, format!("{what} failed: {}", error.message()));
            }
        }
    }

    fn to_map(&self, silenced: Option<&str>, outcomes: &[Outcome]) -> Map {
        let sent = outcomes.iter().filter(|outcome| outcome.is_sent()).count();
        let channels: Array = outcomes
            .iter()
            .map(|outcome| outcome.to_map().into())
            .collect();
        Map::from_iter([
            ("key".into(), self.alert.key.clone().into()),
            (
                "since".into(),
                Dynamic::from(Timestamp::from(self.alert.since)),
            ),
            (
                "silenced".into(),
                silenced.map_or(Dynamic::UNIT, |id| id.to_owned().into()),
            ),
            (
                "sent".into(),
                i64::try_from(sent).unwrap_or(i64::MAX).into(),
            ),
            ("channels".into(), channels.into()),
        ])
    }
}

/// A title is a line: in a subject or a header, a break would begin another one.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

async fn read(cx: &Cx) -> Result<(Vec<Definition>, State)> {
    let definitions = Definition::of_target(cx.target())?;
    if definitions.is_empty() {
        return Ok((definitions, State::default()));
    }
    let state = cx.client::<Memory>().await?.read()?;
    Ok((definitions, state))
}

fn source(cx: &Cx, given: Option<&String>) -> String {
    match given {
        Some(source) => source.clone(),
        None => cx.target().name().to_owned(),
    }
}

fn permit(cx: &Cx, channels: &[&Definition]) -> Result<()> {
    for channel in channels {
        cx.permit("alert", &channel.name, None)?;
        if let Some(fallback) = &channel.settings.fallback {
            cx.permit("alert", fallback, None)?;
        }
    }
    Ok(())
}
