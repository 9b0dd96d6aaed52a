//! Alertmanager, API v2. <https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml>

use std::collections::BTreeMap;

use ccrun_kernel::Result;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Channel, Message, Outgoing, Receiver};
use crate::alert::model::{Action, Alert};
use crate::alert::state::Silence;
use crate::alert::text::cut_bytes;

/// Annotations go into mails and chats, which are no place for more.
const LONGEST: usize = 16 << 10;

/// Alertmanager.
pub struct Alertmanager;

impl Channel for Alertmanager {
    fn message(&self, alert: &Alert, to: &Receiver) -> Result<Option<Message>> {
        // It knows alerts by their labels alone, so these are the same whatever is said of the alert.
        let labels = labels(alert);
        let ends = match alert.action {
            // It has no word for it; what silences there is a silence.
            Action::Acknowledge => return Ok(None),
            Action::Resolve => alert.now,
            // Without an end it would count the alert as over after `resolve_timeout`, five minutes as a rule.
            Action::Trigger => alert
                .now
                .saturating_add(jiff::SignedDuration::from_secs(
                    i64::try_from(to.lasts.to_std().as_secs()).unwrap_or(i64::MAX),
                ))
                .unwrap_or(jiff::Timestamp::MAX),
        };
        let mut annotations = json!({ "summary": cut_bytes(&alert.title, LONGEST) });
        if !alert.body.is_empty() {
            annotations["description"] = cut_bytes(&alert.body, LONGEST).into();
        }
        let mut entry = json!({
            "labels": labels,
            "annotations": annotations,
            "startsAt": alert.since.to_string(),
            "endsAt": ends.to_string(),
        });
        if let Some(link) = &alert.link {
            entry["generatorURL"] = link.clone().into();
        }
        to.post(to.address_at(None, "/api/v2/alerts")?, &json!([entry]))
            .map(Some)
    }
}

fn labels(alert: &Alert) -> BTreeMap<String, String> {
    let mut labels: BTreeMap<String, String> = alert
        .labels
        .iter()
        .map(|(name, value)| (label_name(name), value.clone()))
        .collect();
    labels.insert("alertname".to_owned(), alert.key.clone());
    labels.insert("source".to_owned(), alert.source.clone());
    labels.insert("severity".to_owned(), alert.severity.name().to_owned());
    // An empty value is no label.
    labels.retain(|_, value| !value.is_empty());
    labels
}

/// A name as Prometheus takes it: `[a-zA-Z_][a-zA-Z0-9_]*`.
fn label_name(name: &str) -> String {
    let plain: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    if plain.starts_with(|c: char| c.is_ascii_digit()) || plain.is_empty() {
        return format!("_{plain}");
    }
    plain
}

/// What tells it of a silence.
///
/// # Errors
/// `config.section`
pub fn silence_request(silence: &Silence, to: &Receiver) -> Result<Outgoing> {
    let matchers: Vec<Value> = silence
        .matchers
        .iter()
        .map(|(name, pattern)| {
            let name = match name.as_str() {
                "key" => "alertname".to_owned(),
                other => label_name(other),
            };
            let is_pattern = pattern.contains('*');
            // It takes regular expressions, anchored at both ends.
            let value = match is_pattern {
                true => pattern
                    .split('*')
                    .map(regex::escape)
                    .collect::<Vec<_>>()
                    .join(".*"),
                false => pattern.clone(),
            };
            json!({ "name": name, "value": value, "isRegex": is_pattern, "isEqual": true })
        })
        .collect();
    let body = json!({
        "matchers": matchers,
        "startsAt": jiff::Timestamp::now().to_string(),
        "endsAt": silence.until.to_string(),
        "createdBy": silence.by,
        "comment": silence.reason,
    });
    to.request(
        Method::POST,
        to.address_at(None, "/api/v2/silences")?,
        "application/json",
        body.to_string().into_bytes(),
    )
}

/// What ends a silence there.
///
/// # Errors
/// `config.section`
pub fn unsilence_request(id: &str, to: &Receiver) -> Result<Outgoing> {
    to.request(
        Method::DELETE,
        to.address_at(None, &format!("/api/v2/silence/{id}"))?,
        "application/json",
        Vec::new(),
    )
}

#[cfg(test)]
mod tests {
    use super::label_name;

    #[test]
    fn names_of_labels_are_as_prometheus_takes_them() {
        assert_eq!(
            label_name("app.kubernetes.io/name"),
            "app_kubernetes_io_name"
        );
        assert_eq!(label_name("1st"), "_1st");
        assert_eq!(label_name("größe"), "gr__e");
        assert_eq!(label_name(""), "_");
    }
}
