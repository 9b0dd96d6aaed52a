//! ntfy, as JSON. <https://docs.ntfy.sh/publish/#publish-as-json>

use ccrun_kernel::{MaybeSecret, Result};
use serde_json::json;

use super::{Channel, Message, Receiver};
use crate::alert::model::{Action, Alert, Severity};
use crate::alert::text::cut_bytes;
use crate::web::Address;

/// A longer message becomes an attachment.
const MESSAGE: usize = 4096;
const TITLE: usize = 250;

/// ntfy.
pub struct Ntfy;

impl Channel for Ntfy {
    fn message(&self, alert: &Alert, to: &Receiver) -> Result<Option<Message>> {
        let place = to.place()?.expose().trim_end_matches('/').to_owned();
        let (server, topic) = match place.rsplit_once('/') {
            Some((server, topic)) if server.contains("://") && !server.ends_with('/') => {
                (server, topic)
            }
            _ => return Err(to.wrong("it names no topic", "write ntfy:https://ntfy.sh/TOPIC")),
        };
        let address = Address::read(MaybeSecret::Plain(server.to_owned()))
            .map_err(|what| to.wrong(&what, "write ntfy:https://ntfy.sh/TOPIC"))?;
        let facts: Vec<String> = alert
            .facts()
            .iter()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        // An empty message would be shown as "triggered".
        let text = match alert.body.is_empty() {
            true => facts.join("\n"),
            false => {
                let facts = cut_bytes(&facts.join("\n"), MESSAGE / 4);
                let body = cut_bytes(&alert.body, MESSAGE - facts.len() - 2);
                format!("{body}\n\n{facts}")
            }
        };
        let mut message = json!({
            "topic": topic,
            "title": cut_bytes(&alert.headline(), TITLE),
            "message": cut_bytes(&text, MESSAGE),
            "priority": priority(alert),
            "tags": [tag(alert)],
        });
        if let Some(link) = &alert.link {
            message["click"] = link.clone().into();
        }
        to.post(address, &message).map(Some)
    }
}

fn priority(alert: &Alert) -> u8 {
    match (alert.action, alert.severity) {
        (Action::Trigger, Severity::Critical) => 5,
        (Action::Trigger, Severity::Error) => 4,
        (Action::Trigger, Severity::Warning) => 3,
        _ => 2,
    }
}

/// <https://docs.ntfy.sh/emojis/>
fn tag(alert: &Alert) -> &'static str {
    match (alert.action, alert.severity) {
        (Action::Resolve, _) => "white_check_mark",
        (Action::Acknowledge, _) => "eyes",
        (_, Severity::Critical) => "rotating_light",
        (_, Severity::Error) => "exclamation",
        (_, Severity::Warning) => "warning",
        (_, Severity::Info) => "information_source",
    }
}
