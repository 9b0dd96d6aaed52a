//! Which channels there are, and which alerts.

use ccrun_kernel::permission::ANYTHING;
use ccrun_kernel::rhai::{Array, Dynamic, Map};
use ccrun_kernel::value::Timestamp;
use ccrun_kernel::{Cx, Result, primitive};

use super::definition::Definition;
use super::state::Memory;

/// The channels of the target: an array of `#{ name, kind, severity, labels, required, fallback }`. Nothing is asked of
/// them.
///
/// # Errors
/// `config.section` if one of them is not right.
///
/// # Example
/// ```rhai
/// for channel in alert::channels() {
///     print(`${channel.name} (${channel.kind}): from ${channel.severity} on`);
/// }
/// ```
#[primitive(pure)]
pub(super) fn channels(cx: &Cx) -> Result<Array> {
    let all = Definition::of_target(cx.target())?;
    Ok(all.iter().map(|channel| to_map(channel).into()).collect())
}

fn to_map(channel: &Definition) -> Map {
    let settings = &channel.settings;
    let labels: Map = settings
        .labels
        .iter()
        .map(|(name, value)| (name.as_str().into(), value.clone().into()))
        .collect();
    Map::from_iter([
        ("name".into(), channel.name.clone().into()),
        ("kind".into(), channel.kind.name.into()),
        (
            "severity".into(),
            settings
                .severity
                .map_or("info", |least| least.name())
                .into(),
        ),
        ("labels".into(), labels.into()),
        ("required".into(), settings.required.into()),
        (
            "fallback".into(),
            settings.fallback.clone().map_or(Dynamic::UNIT, Into::into),
        ),
    ])
}

/// The alerts that were triggered by this state folder and are not over: an array of `#{ key, severity, source, title,
/// labels, since, acknowledged, told }`, the oldest first.
///
/// # Errors
/// `alert.memory`.
///
/// # Example
/// ```rhai
/// for open in alert::open() {
///     print(`${open.key} since ${open.since}: ${open.title}`);
/// }
/// ```
#[primitive(read, volatile, needs = alert(ANYTHING))]
pub(super) async fn open(cx: &Cx) -> Result<Array> {
    let state = cx.client::<Memory>().await?.read()?;
    let mut open: Vec<_> = state.open.into_iter().collect();
    open.sort_by_key(|(_, known)| known.since);
    Ok(open
        .into_iter()
        .map(|(key, known)| {
            let labels: Map = known
                .labels
                .into_iter()
                .map(|(name, value)| (name.as_str().into(), value.into()))
                .collect();
            let told: Array = known.told.into_keys().map(Dynamic::from).collect();
            Dynamic::from(Map::from_iter([
                ("key".into(), key.into()),
                ("severity".into(), known.severity.name().into()),
                ("source".into(), known.source.into()),
                ("title".into(), known.title.into()),
                ("labels".into(), labels.into()),
                ("since".into(), Dynamic::from(Timestamp::from(known.since))),
                ("acknowledged".into(), known.acknowledged.into()),
                ("told".into(), told.into()),
            ]))
        })
        .collect())
}
