//! What happens in the engine.

use std::collections::HashMap;
use std::time::Instant;

use bollard::models::EventMessage;
use bollard::query_parameters::EventsOptionsBuilder;
use ccrun_kernel::rhai::{Dynamic, FnPtr, Map};
use ccrun_kernel::value::{Duration, Timestamp};
use ccrun_kernel::{Caller, Cx, Options, Result, primitive};
use futures::StreamExt as _;

use super::arguments::{Moment, Words};
use crate::engine::Engine;

/// Which events are told, and for how long.
#[derive(Clone, Options)]
pub struct EventsOptions {
    /// How long to listen; `0s` tells only what `since` asks for.
    timeout: Option<Duration>,
    /// Begin with what happened since then: a `Timestamp`, or how long ago (`"10m"`).
    since: Option<Moment>,
    /// `"container"`, `"image"`, `"volume"`, `"network"` …: any of them.
    kind: Option<Words>,
    /// `"start"`, `"die"`, `"oom"`, `"health_status"` …: any of them.
    event: Option<Words>,
    /// Names of containers: any of them.
    container: Option<Words>,
    /// Labels, `"name"` or `"name=value"`: all of them.
    label: Option<Words>,
}

impl EventsOptions {
    fn filters(&self) -> HashMap<&'static str, Vec<String>> {
        let words =
            |words: &Option<Words>| words.clone().map_or_else(Vec::new, |Words(words)| words);
        let mut filters = HashMap::from([
            ("type", words(&self.kind)),
            ("event", words(&self.event)),
            ("container", words(&self.container)),
            ("label", words(&self.label)),
        ]);
        filters.retain(|_, values| !values.is_empty());
        filters
    }
}

/// Call a closure with each thing that happens in the engine: maps with `time`, `kind` (`"container"`),
/// `event` (`"die"`), `id`, `name`, `attributes`. Returns how many there were.
///
/// It goes on until the closure returns `false`, for `timeout`, or as long as the step may take.
///
/// # Errors
/// `docker.unreachable` if the engine goes away, and what the closure throws.
///
/// # Example
/// ```rhai,no_run
/// docker::events(#{ event: ["die", "oom"], timeout: "1h" }, |event| {
///     print(`${event.time} ${event.name}: ${event.event} ${event.attributes.exitCode}`);
/// });
/// ```
#[primitive(read, volatile, needs = docker("*"))]
pub(super) fn events(
    cx: &Cx,
    call: &Caller<'_>,
    options: EventsOptions,
    closure: FnPtr,
) -> Result<u64> {
    let until = options
        .timeout
        .and_then(|timeout| Instant::now().checked_add(timeout.to_std()));
    let engine = cx.block_on(cx.client::<Engine>())?;
    let mut query = EventsOptionsBuilder::new().filters(&options.filters());
    if let Some(since) = &options.since {
        query = query.since(&since.seconds().to_string());
    }
    // The engine ends the stream itself: what happened before is then complete.
    if let Some(timeout) = options.timeout {
        let now = jiff::Timestamp::now().as_millisecond();
        let end =
            now.saturating_add(i64::try_from(timeout.to_std().as_millis()).unwrap_or(i64::MAX));
        query = query.until(&format!("{}.{:03}", end / 1000, end % 1000));
    }
    let mut messages = Box::pin(engine.read().events(Some(query.build())));
    let mut count = 0;
    loop {
        let next = cx.block_on(async {
            tokio::task::yield_now().await;
            let Some(until) = until else {
                return Ok(messages.next().await);
            };
            // A moment longer than the engine, whose clock may be another.
            let until = until + std::time::Duration::from_secs(1);
            Ok(tokio::time::timeout_at(until.into(), messages.next())
                .await
                .unwrap_or(None))
        })?;
        let Some(message) = next else {
            return Ok(count);
        };
        let message =
            message.map_err(|error| engine.failed("listen to the engine's events", error))?;
        count += 1;
        if call.invoke(&closure, [event(message)])?.as_bool() == Ok(false) {
            return Ok(count);
        }
    }
}

fn event(message: EventMessage) -> Dynamic {
    let text = |text: Option<String>| text.map_or(Dynamic::UNIT, Dynamic::from);
    let actor = message.actor.unwrap_or_default();
    let attributes = actor.attributes.unwrap_or_default();
    let time = message
        .time_nano
        .and_then(|nanos| jiff::Timestamp::from_nanosecond(nanos.into()).ok())
        .map_or(Dynamic::UNIT, |at| Dynamic::from(Timestamp::from(at)));
    Dynamic::from_map(Map::from_iter([
        ("time".into(), time),
        ("kind".into(), text(message.typ.map(|typ| typ.to_string()))),
        ("event".into(), text(message.action)),
        ("name".into(), text(attributes.get("name").cloned())),
        ("id".into(), text(actor.id)),
        (
            "attributes".into(),
            attributes
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect::<Map>()
                .into(),
        ),
    ]))
}
