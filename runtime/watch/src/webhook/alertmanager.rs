//! Alertmanager's webhook: one message with several alerts, told again until they are over.
//! <https://prometheus.io/docs/alerting/latest/configuration/#webhook_config>

use std::collections::BTreeMap;

use ccrun_kernel::runbook::trigger::{Alert, AlertStatus};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Refusal;

/// One alert of a message.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AlertMessage {
    /// `firing` or `resolved`
    pub status: String,
    /// Its labels, `alertname` among them.
    pub labels: BTreeMap<String, String>,
    /// What people are told.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// Since when.
    #[serde(default)]
    pub starts_at: String,
    /// Until when.
    #[serde(default)]
    pub ends_at: String,
    /// Where it comes from.
    #[serde(default, rename = "generatorURL")]
    pub generator_url: String,
    /// Tells alerts with different labels apart.
    #[serde(default)]
    pub fingerprint: String,
}

#[derive(Deserialize)]
struct Group {
    alerts: Vec<AlertMessage>,
}

/// The alerts of a message.
///
/// # Errors
/// `Malformed`
pub fn alerts(body: &[u8]) -> Result<Vec<AlertMessage>, Refusal> {
    let group: Group = serde_json::from_slice(body).map_err(|_| Refusal::Malformed)?;
    Ok(group.alerts)
}

impl AlertMessage {
    /// Whether a trigger waits for this.
    #[must_use]
    pub fn fires(&self, alert: &Alert) -> bool {
        let status = match alert.status {
            AlertStatus::Firing => "firing",
            AlertStatus::Resolved => "resolved",
        };
        self.status == status
            && self.labels.get("alertname") == Some(&alert.name)
            && alert
                .labels
                .iter()
                .all(|(name, value)| self.labels.get(name) == Some(value))
    }

    /// The same however often the alert is told, and by however many Alertmanagers.
    #[must_use]
    pub fn id(&self) -> String {
        let labels = serde_json::to_string(&self.labels).unwrap_or_default();
        let end = if self.status == "resolved" {
            &self.ends_at
        } else {
            ""
        };
        format!("{} {} {end} {labels}", self.status, self.starts_at)
    }

    /// The value of `trigger` in the runbook.
    #[must_use]
    pub fn payload(&self) -> Value {
        json!({
            "alert": self.labels.get("alertname"),
            "status": self.status,
            "labels": self.labels,
            "annotations": self.annotations,
            "starts_at": self.starts_at,
            "ends_at": self.ends_at,
            "generator_url": self.generator_url,
            "fingerprint": self.fingerprint,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Alertmanager 0.27 sends it.
    const MESSAGE: &str = r#"{"receiver":"ccrun","status":"firing","alerts":[
      {"status":"firing","labels":{"alertname":"PostgreSQLDown","instance":"db:9187","severity":"critical"},
       "annotations":{"summary":"down"},"startsAt":"2026-01-01T00:00:00.000Z","endsAt":"0001-01-01T00:00:00Z",
       "generatorURL":"http://prometheus/graph","fingerprint":"c1"},
      {"status":"resolved","labels":{"alertname":"DiskFull"},"annotations":{},"startsAt":"2026-01-01T00:00:00.000Z",
       "endsAt":"2026-01-01T01:00:00Z","generatorURL":"","fingerprint":"c2"}],
      "groupLabels":{},"commonLabels":{},"commonAnnotations":{},"externalURL":"","version":"4","groupKey":"{}","truncatedAlerts":0}"#;

    fn alert(name: &str, status: AlertStatus, labels: &[(&str, &str)]) -> Alert {
        Alert {
            name: name.to_owned(),
            status,
            labels: labels
                .iter()
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                .collect(),
            secret: None,
        }
    }

    #[test]
    fn alerts_find_their_triggers() {
        let alerts = alerts(MESSAGE.as_bytes()).unwrap();
        let fires = |trigger: &Alert| alerts.iter().filter(|alert| alert.fires(trigger)).count();
        assert_eq!(fires(&alert("PostgreSQLDown", AlertStatus::Firing, &[])), 1);
        assert_eq!(
            fires(&alert(
                "PostgreSQLDown",
                AlertStatus::Firing,
                &[("severity", "critical")]
            )),
            1
        );
        assert_eq!(
            fires(&alert(
                "PostgreSQLDown",
                AlertStatus::Firing,
                &[("severity", "warning")]
            )),
            0
        );
        assert_eq!(
            fires(&alert("PostgreSQLDown", AlertStatus::Resolved, &[])),
            0
        );
        assert_eq!(fires(&alert("DiskFull", AlertStatus::Resolved, &[])), 1);
        assert_eq!(alerts[0].payload()["labels"]["instance"], "db:9187");
    }

    #[test]
    fn an_alert_told_again_is_the_same() {
        let first = alerts(MESSAGE.as_bytes()).unwrap();
        let again = alerts(MESSAGE.replace("down", "still down").as_bytes()).unwrap();
        assert_eq!(first[0].id(), again[0].id());
        let later = alerts(MESSAGE.replace("2026-01-01T00", "2026-01-02T00").as_bytes()).unwrap();
        assert_ne!(first[0].id(), later[0].id());
        assert!(super::alerts(b"{}").is_err());
        assert!(super::alerts(b"[").is_err());
    }
}
