//! Microsoft Teams, by a workflow ("When a Teams webhook request is received") with an adaptive card.
//! <https://learn.microsoft.com/en-us/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using>

use ccrun_kernel::Result;
use serde_json::{Value, json};

use super::{Channel, Message, Receiver};
use crate::alert::model::{Action, Alert, Severity};
use crate::alert::text::cut_bytes;

/// Of the whole message, in bytes.
const TOTAL: usize = 28 << 10;
/// Of one fact, so that many labels leave room for the text.
const FACT: usize = 256;
/// So many facts are shown.
const FACTS: usize = 20;
/// Of the title.
const TITLE: usize = 1024;

/// Teams.
pub struct Teams;

impl Channel for Teams {
    fn message(&self, alert: &Alert, to: &Receiver) -> Result<Option<Message>> {
        // Characters that JSON escapes make a text longer than it is: cut until it fits.
        let room = TOTAL.saturating_sub(card(alert, "x").to_string().len());
        let mut body = cut_bytes(&alert.body, room);
        loop {
            let size = json!(body).to_string().len();
            if size <= room || body.is_empty() {
                break;
            }
            let keep = (body.len() * room / size).min(body.len() - 1);
            body = cut_bytes(&body, keep);
        }
        let message = card(alert, &body);
        to.post(to.address()?, &message).map(Some)
    }
}

fn card(alert: &Alert, body: &str) -> Value {
    let title = format!("{} {}", alert.sign(), alert.headline());
    let mut parts = vec![json!({
        "type": "TextBlock",
        "text": cut_bytes(&title, TITLE),
        "size": "Large",
        "weight": "Bolder",
        "color": color(alert),
        "wrap": true,
    })];
    if !body.is_empty() {
        parts.push(json!({ "type": "TextBlock", "text": body, "wrap": true }));
    }
    let facts: Vec<Value> = alert
        .facts()
        .into_iter()
        .take(FACTS)
        .map(|(name, value)| {
            json!({ "title": cut_bytes(&name, FACT), "value": cut_bytes(&value, FACT) })
        })
        .collect();
    parts.push(json!({ "type": "FactSet", "facts": facts }));
    let mut content = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "msteams": { "width": "Full" },
        "body": parts,
    });
    if let Some(link) = &alert.link {
        content["actions"] = json!([{ "type": "Action.OpenUrl", "title": "Look at it", "url": cut_bytes(link, 2048) }]);
    }
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": content,
        }],
    })
}

fn color(alert: &Alert) -> &'static str {
    match (alert.action, alert.severity) {
        (Action::Resolve, _) => "Good",
        (Action::Acknowledge, _) | (_, Severity::Info) => "Accent",
        (_, Severity::Warning) => "Warning",
        (_, Severity::Error | Severity::Critical) => "Attention",
    }
}
