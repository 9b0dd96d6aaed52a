//! Opsgenie, Alert API. <https://docs.opsgenie.com/docs/alert-api>

use ccrun_kernel::Result;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::AUTHORIZATION;
use serde_json::{Map, Value, json};

use super::{Channel, Message, Receiver};
use crate::alert::model::{Action, Alert, Severity};
use crate::alert::text::{cut, identifier};

/// The server outside of the EU; that one is `https://api.eu.opsgenie.com`.
const SERVER: &str = "https://api.opsgenie.com";
const MESSAGE: usize = 130;
const ALIAS: usize = 512;
const DESCRIPTION: usize = 15_000;
const SOURCE: usize = 100;
const NOTE: usize = 25_000;
const TAGS: usize = 20;
const TAG: usize = 50;
/// All details together.
const DETAILS: usize = 8000;

/// Opsgenie.
pub struct Opsgenie;

impl Channel for Opsgenie {
    fn message(&self, alert: &Alert, to: &Receiver) -> Result<Option<Message>> {
        let alias = identifier(&alert.key, ALIAS);
        let source = cut(&alert.source, SOURCE);
        let named = |verb: &str| {
            let alias = utf8_percent_encode(&alias, NON_ALPHANUMERIC);
            format!("/v2/alerts/{alias}/{verb}?identifierType=alias")
        };
        let note = || {
            let text = match alert.body.is_empty() {
                true => &alert.title,
                false => &alert.body,
            };
            json!({ "source": source, "note": cut(text, NOTE) })
        };
        let (path, body) = match alert.action {
            Action::Acknowledge => (named("acknowledge"), note()),
            Action::Resolve => (named("close"), note()),
            Action::Trigger => ("/v2/alerts".to_owned(), created(alert, &alias, &source, to)),
        };
        let address = to.address_at(Some(SERVER), &path)?;
        let body = body.to_string().into_bytes();
        let mut request = to.request(reqwest::Method::POST, address, "application/json", body)?;
        let key = format!("GenieKey {}", to.place()?.expose());
        request
            .headers
            .insert(AUTHORIZATION, to.header("Authorization", &key)?);
        Ok(Some(Message::Http(Box::new(request))))
    }
}

fn created(alert: &Alert, alias: &str, source: &str, to: &Receiver) -> Value {
    let mut left = DETAILS;
    let mut details = Map::new();
    let mut tags: Vec<String> = Vec::new();
    for (name, value) in &alert.labels {
        let size = name.encode_utf16().count() + value.encode_utf16().count();
        if let Some(rest) = left.checked_sub(size) {
            left = rest;
            details.insert(name.clone(), value.clone().into());
        }
        if tags.len() < TAGS {
            tags.push(cut(&format!("{name}:{value}"), TAG));
        }
    }
    let mut body = json!({
        "message": cut(&alert.title, MESSAGE),
        "alias": alias,
        "description": cut(&alert.body, DESCRIPTION),
        "source": source,
        "priority": priority(alert.severity),
        "tags": tags,
        "details": details,
    });
    if !to.settings.teams.is_empty() {
        let teams = to.settings.teams.iter();
        body["responders"] = teams
            .map(|team| json!({ "type": "team", "name": team }))
            .collect();
    }
    body
}

fn priority(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "P1",
        Severity::Error => "P2",
        Severity::Warning => "P3",
        Severity::Info => "P5",
    }
}
