//! Postal, by its HTTP API. <https://docs.postalserver.io/developer/api>

use ccrun_kernel::Result;
use serde_json::json;

use super::{Channel, Message, Receiver};
use crate::alert::model::Alert;
use crate::alert::text::{cut, cut_bytes};
use crate::web::Answer;

/// As many as it takes.
const RECIPIENTS: usize = 50;
/// A subject that mail programs show.
const SUBJECT: usize = 200;
/// A mail is no place for more.
const BODY: usize = 1 << 20;

/// Postal.
pub struct Postal;

impl Channel for Postal {
    fn message(&self, alert: &Alert, to: &Receiver) -> Result<Option<Message>> {
        let settings = &to.settings;
        let Some(key) = to.secret("key") else {
            return Err(to.wrong("it has no `key`", "key = \"secret:POSTAL_API_KEY\""));
        };
        let Some(from) = &settings.from else {
            return Err(to.wrong("it has no `from`", "from = \"alerts@example.org\""));
        };
        if settings.to.is_empty() || settings.to.len() > RECIPIENTS {
            let what = format!("`to` has {} addresses", settings.to.len());
            return Err(to.wrong(&what, "to = [\"ops@example.org\"], at most 50"));
        }
        let body = json!({
            "to": settings.to,
            "from": from,
            "subject": super::mail::subject(alert, SUBJECT),
            "plain_body": cut_bytes(&super::mail::text(alert), BODY),
            "tag": cut(&format!("alert-{}", alert.severity), 50),
            "headers": super::mail::headers(alert).into_iter().collect::<std::collections::BTreeMap<_, _>>(),
        });
        let address = to.address_at(None, "/api/v1/send/message")?;
        let mut request = to.request(
            reqwest::Method::POST,
            address,
            "application/json",
            body.to_string().into_bytes(),
        )?;
        request.headers.insert(
            "x-server-api-key",
            to.header("X-Server-API-Key", key.expose())?,
        );
        Ok(Some(Message::Http(Box::new(request))))
    }

    /// Its status is always 200; whether it took the letter stands in the body.
    fn judge(&self, answer: &Answer) -> std::result::Result<(), String> {
        let json = answer.json().unwrap_or_default();
        if json["status"] == "success" {
            return Ok(());
        }
        let data = &json["data"];
        let code = data["code"].as_str();
        let said = data["message"].as_str().or(code);
        Err(said.map_or_else(
            || answer.text().unwrap_or_default().to_owned(),
            str::to_owned,
        ))
    }
}
