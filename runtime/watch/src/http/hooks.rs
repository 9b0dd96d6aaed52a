//! Webhooks and alerts: checked, recorded, answered.

use std::sync::Arc;

use ccrun_kernel::runbook::TriggerSource;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::answer::{Answer, json as as_json, refused};
use crate::catalog::Occasion;
use crate::ledger::{NewFire, With};
use crate::shared::{Event, Hook, Routes, Shared};
use crate::webhook::{self, Message, Refusal, alerts, lookup, matches, parse, same};

/// Headers that a runbook gets to see: none that proves anything.
const SHOWN: [&str; 6] = [
    "content-type",
    "user-agent",
    "x-github-event",
    "x-github-delivery",
    "x-gitlab-event",
    "webhook-id",
];
/// The path for Alertmanager.
const ALERTS: &str = "/alertmanager";

/// `trusted` is whether it comes from this host, or with the daemon's own token: alerts whose trigger
/// names no secret must.
pub(super) async fn take(
    request: Request<Incoming>,
    path: &str,
    trusted: bool,
    shared: &Arc<Shared>,
) -> Answer {
    let routes = Arc::clone(&shared.routes.read());
    let known = path == ALERTS && !routes.alerts.is_empty() || routes.hooks.contains_key(path);
    if !known {
        shared.metrics.refused("path");
        return refused(404, "nothing listens there");
    }
    if request.method() != Method::POST {
        shared.metrics.refused("method");
        return refused(405, "post to it");
    }
    let limit = shared.settings.read().body;
    let length = request
        .headers()
        .get("content-length")
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > limit as u64) {
        shared.metrics.refused("size");
        return refused(413, "the body is too large");
    }
    let headers = request
        .headers()
        .iter()
        .filter_map(|(name, value)| {
            Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
        })
        .collect();
    let body = match Limited::new(request.into_body(), limit).collect().await {
        Ok(body) => body.to_bytes().to_vec(),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            shared.metrics.refused("size");
            return refused(413, "the body is too large");
        }
        Err(_) => {
            shared.metrics.refused("broken");
            return refused(400, "the body broke off");
        }
    };
    let message = Message { headers, body };
    let fires = if path == ALERTS {
        of_alerts(&message, trusted, &routes)
    } else {
        of_hook(
            &message,
            path,
            routes.hooks.get(path).map_or(&[], Vec::as_slice),
        )
    };
    match fires {
        Ok(fires) => record(fires, shared).await,
        Err(refusal) => {
            shared.metrics.refused(refusal.reason());
            refused(refusal.status(), refusal.text())
        }
    }
}

/// The firings that a message to a path asks for.
fn of_hook(message: &Message, path: &str, hooks: &[Hook]) -> Result<Vec<(Hook, NewFire)>, Refusal> {
    let now = Timestamp::now();
    let mut fires = Vec::new();
    let mut refusal = Refusal::WrongSignature;
    let mut let_in = false;
    for hook in hooks {
        let TriggerSource::Webhook(webhook) = &hook.armed.trigger.source else {
            continue;
        };
        let Some(secret) = hook.secret.as_deref() else {
            continue;
        };
        let tolerance = webhook.tolerance.signed();
        let checked = match webhook::check(message, secret, webhook.signature, tolerance, now) {
            Ok(checked) => checked,
            Err(why) => {
                refusal = why;
                continue;
            }
        };
        let_in = true;
        // Only what is signed is looked into.
        let body = parse(message)?;
        if !matches(&body, message, &webhook.when) {
            continue;
        }
        let mut params = Map::new();
        for (name, key) in &webhook.map {
            if let Some(value) = lookup(&body, message, key) {
                params.insert(name.clone(), value);
            }
        }
        let shown: Map<String, Value> = SHOWN
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), message.header(name)?.into())))
            .collect();
        let occasion = Occasion {
            dedup: checked.id,
            payload: json!({ "path": path, "body": body, "headers": shown }),
            params,
            due: now,
            ..Occasion::default()
        };
        fires.push((hook.clone(), hook.armed.fire(occasion)));
    }
    if let_in { Ok(fires) } else { Err(refusal) }
}

/// The firings that Alertmanager's message asks for.
fn of_alerts(
    message: &Message,
    trusted: bool,
    routes: &Routes,
) -> Result<Vec<(Hook, NewFire)>, Refusal> {
    let given = message
        .header("authorization")
        .and_then(|text| text.strip_prefix("Bearer "))
        .unwrap_or_default();
    let open: Vec<&Hook> = routes
        .alerts
        .iter()
        .filter(|hook| match (&hook.armed.trigger.source, &hook.secret) {
            (_, Some(secret)) => same(given.as_bytes(), secret),
            // One that names a secret which is not there stays closed.
            (TriggerSource::Alert(alert), None) => trusted && alert.secret.is_none(),
            _ => false,
        })
        .collect();
    if open.is_empty() {
        return Err(match given {
            "" => Refusal::Unsigned,
            _ => Refusal::WrongSignature,
        });
    }
    let mut fires = Vec::new();
    for alert in alerts(&message.body)? {
        for hook in &open {
            let TriggerSource::Alert(wanted) = &hook.armed.trigger.source else {
                continue;
            };
            if !alert.fires(wanted) {
                continue;
            }
            // Labels become the parameters of the same name, which the run's process picks out.
            let labels = alert.labels.iter();
            let params = labels.map(|(name, value)| (name.clone(), value.as_str().into()));
            let occasion = Occasion {
                dedup: alert.id(),
                payload: alert.payload(),
                params: params.collect(),
                due: Timestamp::now(),
                ..Occasion::default()
            };
            fires.push(((*hook).clone(), hook.armed.fire(occasion)));
        }
    }
    Ok(fires)
}

async fn record(fires: Vec<(Hook, NewFire)>, shared: &Arc<Shared>) -> Answer {
    let most = i64::try_from(shared.settings.read().queue).unwrap_or(i64::MAX);
    let now = Timestamp::now();
    let mut new = Vec::with_capacity(fires.len());
    for (hook, fire) in fires {
        let armed = &hook.armed;
        match shared.ledger.is_recorded(&fire.dedup).await {
            // Told before: it costs nobody anything.
            Ok(true) => {}
            Ok(false) => {
                let full = shared.ledger.count_queued(&armed.key).await;
                if full.is_ok_and(|count| count >= most) {
                    shared.metrics.refused("full");
                    return refused(429, "too many wait already");
                }
                let rate = armed.trigger.policy.rate;
                if !shared.limits.admit(&armed.key, rate, now) {
                    shared.metrics.refused("rate");
                    return refused(429, "too often");
                }
                new.push(fire);
            }
            Err(error) => return refused(503, &error.to_string()),
        }
    }
    match shared.ledger.record(new, With::default()).await {
        Ok(fires) => {
            let ids: Vec<&str> = fires.iter().map(|fire| fire.id.as_str()).collect();
            let answer = as_json(
                if ids.is_empty() { 200 } else { 202 },
                &json!({ "fired": ids }),
            );
            if !fires.is_empty() {
                drop(shared.events.send(Event::Recorded(fires)));
            }
            answer
        }
        Err(error) => refused(503, &error.to_string()),
    }
}
