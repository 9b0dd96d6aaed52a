//! PagerDuty, Events API v2. <https://developer.pagerduty.com/docs/events-api-v2/trigger-events/>

use ccrun_kernel::Result;
use serde_json::json;

use super::{Channel, Message, Receiver};
use crate::alert::model::{Action, Alert};
use crate::alert::text::{cut, cut_bytes, identifier};
use crate::web::Answer;

/// The server outside of the EU; that one is `https://events.eu.pagerduty.com`.
const SERVER: &str = "https://events.pagerduty.com";
/// Of `dedup_key`.
const KEY: usize = 255;
/// Of `summary`.
const SUMMARY: usize = 1024;
/// An event may have 512 KB; JSON may make twice as much of a text.
const BODY: usize = 200 << 10;

/// PagerDuty.
pub struct PagerDuty;

impl Channel for PagerDuty {
    fn message(&self, alert: &Alert, to: &Receiver) -> Result<Option<Message>> {
        let mut event = json!({
            "routing_key": to.place()?.expose(),
            "event_action": alert.action.name(),
            "dedup_key": identifier(&alert.key, KEY),
        });
        if alert.action == Action::Trigger {
            let mut details = json!(alert.labels);
            if !alert.body.is_empty() {
                details["body"] = cut_bytes(&alert.body, BODY).into();
            }
            event["client"] = "ccrun".into();
            event["payload"] = json!({
                "summary": cut(&alert.title, SUMMARY),
                "source": alert.source,
                "severity": alert.severity.name(),
                "timestamp": alert.now.to_string(),
                "custom_details": details,
            });
            if let Some(link) = &alert.link {
                event["links"] = json!([{ "href": link, "text": "Look at it" }]);
            }
        }
        to.post(to.address_at(Some(SERVER), "/v2/enqueue")?, &event)
            .map(Some)
    }

    fn judge(&self, answer: &Answer) -> std::result::Result<(), String> {
        let json = answer.json().unwrap_or_default();
        match json["status"].as_str() {
            Some("success") => Ok(()),
            _ => Err(answer.text().unwrap_or_default().to_owned()),
        }
    }
}
