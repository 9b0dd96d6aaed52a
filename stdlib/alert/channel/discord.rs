//! Discord, by a webhook, with an embed. <https://discord.com/developers/docs/resources/message#embed-object-embed-limits>

use ccrun_kernel::Result;
use serde_json::{Value, json};

use super::{Channel, Message, Receiver};
use crate::alert::model::{Action, Alert, Severity};
use crate::alert::text::cut;

const TITLE: usize = 256;
const DESCRIPTION: usize = 4096;
const FIELDS: usize = 25;
const FIELD_NAME: usize = 256;
const FIELD_VALUE: usize = 1024;
/// All texts of the embed together.
const TOTAL: usize = 6000;

/// Discord.
pub struct Discord;

impl Channel for Discord {
    fn message(&self, alert: &Alert, to: &Receiver) -> Result<Option<Message>> {
        let title = cut(&format!("{} {}", alert.sign(), alert.headline()), TITLE);
        let description = cut(&alert.body, DESCRIPTION);
        let size = |text: &str| text.encode_utf16().count();
        let mut left = TOTAL - size(&title) - size(&description);
        let mut fields: Vec<Value> = Vec::new();
        for (name, value) in alert.facts() {
            // An empty name or value is refused.
            if name.is_empty() || value.trim().is_empty() || fields.len() == FIELDS {
                continue;
            }
            let (name, value) = (cut(&name, FIELD_NAME), cut(&value, FIELD_VALUE));
            let Some(rest) = left.checked_sub(size(&name) + size(&value)) else {
                break;
            };
            left = rest;
            fields.push(json!({ "name": name, "value": value, "inline": true }));
        }
        let mut embed = json!({
            "title": title,
            "color": color(alert),
            "timestamp": alert.now.to_string(),
            "fields": fields,
        });
        if !description.is_empty() {
            embed["description"] = description.into();
        }
        if let Some(link) = alert.link.as_ref().filter(|link| link.starts_with("http")) {
            embed["url"] = link.clone().into();
        }
        // Nobody is called by what stands in a text.
        let body = json!({ "embeds": [embed], "allowed_mentions": { "parse": [] } });
        to.post(to.address()?, &body).map(Some)
    }
}

fn color(alert: &Alert) -> u32 {
    match (alert.action, alert.severity) {
        (Action::Resolve, _) => 0x2e_a0_43,
        (Action::Acknowledge, _) => 0x80_80_80,
        (_, Severity::Info) => 0x3b_82_f6,
        (_, Severity::Warning) => 0xf5_9e_0b,
        (_, Severity::Error) => 0xdc_26_26,
        (_, Severity::Critical) => 0x7f_1d_1d,
    }
}
