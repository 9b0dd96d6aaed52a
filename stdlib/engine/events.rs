//! What a Docker engine tells of its containers, for whoever listens for weeks.

use std::collections::{BTreeMap, HashMap};

use bollard::query_parameters::EventsOptionsBuilder;
use ccrun_kernel::config::Target;
use ccrun_kernel::{Error, Result};
use futures::StreamExt as _;
use futures::stream::BoxStream;

use super::Engine;

/// An event of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// When, in nanoseconds since 1970.
    pub time: i64,
    /// `die`, `health_status: unhealthy`
    pub action: String,
    /// The container.
    pub id: String,
    /// Its name, image, labels and what else the engine says.
    pub attributes: BTreeMap<String, String>,
}

/// Listen to the events of containers from a time on. The engine remembers the last 256 events.
///
/// # Errors
/// `docker.*` if the engine can't be reached.
pub async fn listen(
    target: &Target,
    since: jiff::Timestamp,
) -> Result<BoxStream<'static, Result<Heard>>> {
    let engine = Engine::of_target(target).await?;
    let filters = HashMap::from([("type".to_owned(), vec!["container".to_owned()])]);
    let nanos = since.as_nanosecond();
    // Seconds with nine digits behind the point, as `docker events --since` sends it.
    let since = format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000);
    let query = EventsOptionsBuilder::new()
        .filters(&filters)
        .since(&since)
        .build();
    let docker = engine.read().clone();
    let host = engine.host().clone();
    let events = docker.events(Some(query)).map(move |message| {
        let message = message.map_err(|error| -> Error {
            super::failed(&host, "listen to the engine's events", error)
        })?;
        let actor = message.actor.unwrap_or_default();
        Ok(Heard {
            time: message.time_nano.unwrap_or_default(),
            action: message.action.unwrap_or_default(),
            id: actor.id.unwrap_or_default(),
            attributes: actor.attributes.unwrap_or_default().into_iter().collect(),
        })
    });
    Ok(events.boxed())
}
