//! Slack, by an incoming webhook, with blocks. <https://docs.slack.dev/reference/block-kit/blocks>

use ccrun_kernel::Result;
use serde_json::{Value, json};

use super::{Channel, Message, Receiver};
use crate::alert::model::Alert;
use crate::alert::text::{cut, pieces};
use crate::web::Answer;

/// Of a header block.
const HEADER: usize = 150;
/// Of the text of a section.
const SECTION: usize = 3000;
/// So many sections hold the body.
const SECTIONS: usize = 5;
/// Of a field of a section.
const FIELD: usize = 2000;
/// Fields of a section.
const FIELDS: usize = 10;
/// Of the text that notifications show.
const FALLBACK: usize = 4000;

/// Slack.
pub struct Slack;

impl Channel for Slack {
    fn message(&self, alert: &Alert, to: &Receiver) -> Result<Option<Message>> {
        let headline = format!("{} {}", alert.sign(), alert.headline());
        let mut blocks = vec![json!({
            "type": "header",
            "text": { "type": "plain_text", "text": cut(&headline, HEADER), "emoji": true },
        })];
        for piece in pieces(&escape(&alert.body), SECTION, SECTIONS) {
            blocks.push(json!({
                "type": "section",
                "text": { "type": "mrkdwn", "text": piece },
            }));
        }
        if let Some(link) = &alert.link {
            let text = format!("<{}|Look at it>", escape(link));
            if text.encode_utf16().count() <= SECTION {
                blocks
                    .push(json!({ "type": "section", "text": { "type": "mrkdwn", "text": text } }));
            }
        }
        let fields: Vec<Value> = alert
            .facts()
            .into_iter()
            .take(FIELDS)
            .map(|(name, value)| {
                let text = format!("*{}*\n{}", escape(&name), escape(&value));
                json!({ "type": "mrkdwn", "text": cut(&text, FIELD) })
            })
            .collect();
        blocks.push(json!({ "type": "section", "fields": fields }));
        let body = json!({ "text": cut(&escape(&headline), FALLBACK), "blocks": blocks });
        to.post(to.address()?, &body).map(Some)
    }

    /// A webhook answers `ok`; anything else below 400 comes from somebody in between.
    fn judge(&self, answer: &Answer) -> std::result::Result<(), String> {
        match answer.text().map(str::trim) {
            Some("ok") => Ok(()),
            other => Err(other.unwrap_or_default().to_owned()),
        }
    }
}

/// What Slack itself reads in a text. <https://docs.slack.dev/messaging/formatting-message-text#escaping>
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
