//! Answers to requests.

use http_body_util::Full;
use hyper::Response;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use serde_json::{Value, json};

use crate::ledger::Fire;

/// An answer with its whole body.
pub(super) type Answer = Response<Full<Bytes>>;

fn answer(status: u16, kind: &'static str, body: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    if let Ok(status) = hyper::StatusCode::from_u16(status) {
        *answer.status_mut() = status;
    }
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

pub(super) fn text(status: u16, body: String) -> Answer {
    answer(status, "text/plain; version=0.0.4; charset=utf-8", body)
}

pub(super) fn json(status: u16, body: &Value) -> Answer {
    answer(status, "application/json", body.to_string())
}

pub(super) fn refused(status: u16, why: &str) -> Answer {
    let mut answer = json(status, &json!({ "error": why }));
    let retry = match status {
        429 => "10",
        503 => "5",
        _ => return answer,
    };
    answer
        .headers_mut()
        .insert("retry-after", HeaderValue::from_static(retry));
    answer
}

/// A firing for `/runs`: what it brought stays inside, it may be private.
pub(super) fn fire(fire: &Fire) -> Value {
    json!({
        "id": fire.id,
        "runbook": fire.runbook,
        "cause": fire.cause,
        "status": fire.status,
        "attempt": fire.attempt,
        "run": fire.run,
        "due": fire.due.to_string(),
        "fired": fire.fired.to_string(),
        "started": fire.started.map(|time| time.to_string()),
        "finished": fire.finished.map(|time| time.to_string()),
        "host": fire.process.as_ref().map(|process| &process.host),
        "error": fire.error,
    })
}
