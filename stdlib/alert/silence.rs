//! Silences: alerts that are expected, and told to nobody for a while.

use std::collections::BTreeMap;

use ccrun_kernel::permission::ANYTHING;
use ccrun_kernel::rhai::{Array, Dynamic, Map};
use ccrun_kernel::value::{Duration, Timestamp, show};
use ccrun_kernel::{Cx, Error, FromArg, Mismatch, Options, Preview, Result, primitive};

use super::channel::{Receiver, silence_request, unsilence_request};
use super::definition::Definition;
use super::state::{Memory, Silence};
use super::{route, send};

/// Which alerts: a key, or labels.
#[derive(Clone)]
pub struct Matchers(BTreeMap<String, String>);

impl FromArg for Matchers {
    fn type_name() -> String {
        "string or map".into()
    }

    fn from_arg(value: Dynamic) -> Result<Self, Mismatch> {
        if value.is_map() {
            let map = Map::from_arg(value)?;
            if map.is_empty() {
                return Err(Mismatch::Value(
                    "no label is named: that would silence everything; `#{ key: \"*\" }` says so"
                        .into(),
                ));
            }
            let pairs = map
                .iter()
                .map(|(name, value)| (name.to_string(), show(value)));
            return Ok(Self(pairs.collect()));
        }
        let mismatch = Mismatch::of::<Self>(&value);
        let key = String::from_arg(value).map_err(|_| mismatch)?;
        Ok(Self(BTreeMap::from([("key".to_owned(), key)])))
    }
}

/// Where it holds, and who says so.
#[derive(Clone, Options)]
pub struct SilenceOptions {
    /// Alertmanagers that are told as well, by the names of their channels: they then keep quiet about what
    /// Prometheus finds, too.
    on: Option<Vec<String>>,
    /// Who says so; this machine if left out.
    by: Option<String>,
}

/// Tell nobody of these alerts for a while: a key (`*` stands for anything), or labels that an alert must have,
/// `severity`, `source` and `key` among them.
///
/// It is kept in ccrun's state folder, and goes by itself. Returns a map: `id`, `matchers`, `ends`, `reason`, `by`.
///
/// # Errors
/// `alert.memory`, `alert.no_channel`, `alert.not_alertmanager`, `http.*`.
///
/// # Example
/// ```rhai
/// let silence = alert::silence("backup*", "2h", "the store is being moved");
/// alert::silence(#{ area: "db", severity: "warning" }, "30m", "vacuum");
/// alert::unsilence(silence.id);
/// ```
#[primitive(change, needs = alert(ANYTHING), preview = plan)]
pub(super) async fn silence(
    cx: &Cx,
    what: Matchers,
    duration: Duration,
    reason: String,
    options: SilenceOptions,
) -> Result<Map> {
    let all = Definition::of_target(cx.target())?;
    let managers = managers(&all, options.on.as_deref().unwrap_or_default())?;
    for manager in &managers {
        cx.permit("alert", &manager.name, None)?;
    }
    let mut silence = Silence {
        id: uuid::Uuid::new_v4().simple().to_string()[..8].to_owned(),
        matchers: what.0,
        until: until(duration)?,
        reason,
        by: options.by.unwrap_or_else(|| {
            let host = rustix::system::uname();
            format!("ccrun on {}", host.nodename().to_string_lossy())
        }),
        there: BTreeMap::new(),
    };
    let access = cx.access();
    for manager in managers {
        let receiver = Receiver::find(manager, &access).await?;
        let request = silence_request(&silence, &receiver)?;
        let (answer, _) = send::request(cx, manager, request).await?;
        let json = answer.json().unwrap_or_default();
        let Some(id) = json["silenceID"].as_str() else {
            return Err(Error::new(
                "alert.refused",
                format!(
                    "{} did not take the silence: {}",
                    manager.name,
                    answer.excerpt(300)
                ),
            )
            .hint("is its URL that of an Alertmanager?"));
        };
        silence.there.insert(manager.name.clone(), id.to_owned());
    }
    let kept = silence.clone();
    let memory = cx.client::<Memory>().await?;
    memory.change(|state| state.silences.push(kept))?;
    Ok(to_map(&silence))
}

async fn plan(
    cx: &Cx,
    what: &Matchers,
    duration: &Duration,
    reason: &str,
    options: &SilenceOptions,
) -> Result<Preview> {
    let all = Definition::of_target(cx.target())?;
    let on = options.on.as_deref().unwrap_or_default();
    for manager in managers(&all, on)? {
        cx.permit("alert", &manager.name, None)?;
    }
    let matchers: Vec<String> = what
        .0
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    Ok(Preview::new(format!(
        "silence {} for {duration}: {reason}",
        matchers.join(", ")
    ))
    .undo("alert::unsilence(id)"))
}

/// End a silence before its time, also in the Alertmanagers that were told of it.
///
/// # Errors
/// `alert.no_silence`, `alert.memory`, `http.*`.
///
/// # Example
/// ```rhai
/// let silence = alert::silence("deploy", "10m", "being deployed");
/// alert::unsilence(silence.id);
/// ```
#[primitive(change, needs = alert(ANYTHING))]
pub(super) async fn unsilence(cx: &Cx, id: String) -> Result<()> {
    let memory = cx.client::<Memory>().await?;
    let state = memory.read()?;
    let now = jiff::Timestamp::now();
    let found = state
        .silences
        .iter()
        .find(|silence| silence.id == id && silence.until > now);
    let Some(silence) = found else {
        return Err(
            Error::new("alert.no_silence", format!("there is no silence `{id}`"))
                .hint("`alert::silences()` lists them; it may have run out"),
        );
    };
    let all = Definition::of_target(cx.target())?;
    let access = cx.access();
    for (channel, there) in &silence.there {
        // A channel that is gone keeps its silence until that runs out.
        let Ok(manager) = route::find(&all, channel) else {
            continue;
        };
        cx.permit("alert", &manager.name, None)?;
        let receiver = Receiver::find(manager, &access).await?;
        send::request(cx, manager, unsilence_request(there, &receiver)?).await?;
    }
    memory.change(|state| state.silences.retain(|silence| silence.id != id))
}

/// The silences that hold now.
///
/// # Errors
/// `alert.memory`.
///
/// # Example
/// ```rhai
/// for silence in alert::silences() {
///     print(`${silence.id} until ${silence.ends}: ${silence.reason}`);
/// }
/// ```
#[primitive(read, volatile, needs = alert(ANYTHING))]
pub(super) async fn silences(cx: &Cx) -> Result<Array> {
    let state = cx.client::<Memory>().await?.read()?;
    let now = jiff::Timestamp::now();
    let silences = state.silences.iter();
    Ok(silences
        .filter(|silence| silence.until > now)
        .map(|silence| to_map(silence).into())
        .collect())
}

fn managers<'d>(all: &'d [Definition], names: &[String]) -> Result<Vec<&'d Definition>> {
    let find = |name: &String| {
        let found = route::find(all, name)?;
        match found.kind.name {
            "alertmanager" => Ok(found),
            _ => Err(Error::new(
                "alert.not_alertmanager",
                format!("{} knows no silences", found.describe()),
            )
            .hint("`on` names Alertmanagers; what ccrun itself tells is silenced in any case")),
        }
    };
    names.iter().map(find).collect()
}

fn until(duration: Duration) -> Result<jiff::Timestamp> {
    Timestamp::now().plus(duration).map(|until| until.instant())
}

fn to_map(silence: &Silence) -> Map {
    let matchers: Map = silence
        .matchers
        .iter()
        .map(|(name, value)| (name.as_str().into(), value.clone().into()))
        .collect();
    Map::from_iter([
        ("id".into(), silence.id.clone().into()),
        ("matchers".into(), matchers.into()),
        ("ends".into(), Dynamic::from(Timestamp::from(silence.until))),
        ("reason".into(), silence.reason.clone().into()),
        ("by".into(), silence.by.clone().into()),
    ])
}
