//! What comes back.

use std::time::Duration;

use ccrun_kernel::rhai::{Dynamic, Map};
use ccrun_kernel::value::{self, Size, from_json};
use ccrun_kernel::{Error, Result};
use futures::StreamExt as _;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Method, Response, StatusCode};

use super::address::Address;
use super::{exchange, failure, pause};

/// A response that was read to its end.
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// How long the server asks to wait.
    pub retry_after: Option<Duration>,
    headers: HeaderMap,
    body: Vec<u8>,
    url: String,
}

/// Read the body of a response, as far as it may go.
///
/// # Errors
/// `http.body_too_large` and what the connection says.
pub async fn read(
    response: Response,
    address: &Address,
    max: Size,
    timeout: Duration,
) -> Result<Answer> {
    let status = response.status();
    let headers = response.headers().clone();
    let mut body = Vec::new();
    let too_large = || {
        Error::new(
            "http.body_too_large",
            format!("the answer of {address} is larger than {max}"),
        )
        .hint("`http::download` puts it into a file; `max_body:` allows more")
    };
    if response
        .content_length()
        .is_some_and(|length| length > max.bytes())
    {
        return Err(too_large());
    }
    let mut stream = response.bytes_stream();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|error| failure::of(error, address, timeout))?;
        if (body.len() + chunk.len()) as u64 > max.bytes() {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer {
        status,
        retry_after: pause::asked_for(&headers),
        headers,
        body,
        url: address.to_string(),
    })
}

impl Answer {
    /// The body, as text where it is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.body).ok()
    }

    /// The beginning of the body, for people.
    #[must_use]
    pub fn excerpt(&self, longest: usize) -> String {
        excerpt(&String::from_utf8_lossy(&self.body), longest)
    }

    /// The response as scripts see it.
    #[must_use]
    pub fn into_map(self, elapsed: Duration, attempts: u32) -> Map {
        let json = self.json().map_or(Dynamic::UNIT, |json| from_json(&json));
        let headers = header_map(&self.headers);
        let body = match String::from_utf8(self.body) {
            Ok(text) => text.into(),
            Err(error) => Dynamic::from_blob(error.into_bytes()),
        };
        Map::from_iter([
            (
                "status".into(),
                Dynamic::from(i64::from(self.status.as_u16())),
            ),
            ("ok".into(), (self.status.as_u16() < 400).into()),
            ("headers".into(), headers.into()),
            ("body".into(), body),
            ("json".into(), json),
            ("url".into(), self.url.into()),
            (
                "elapsed".into(),
                Dynamic::from(value::Duration::measured(elapsed)),
            ),
            ("attempts".into(), Dynamic::from(i64::from(attempts))),
        ])
    }

    /// The value of a JSON body.
    #[must_use]
    pub fn json(&self) -> Option<serde_json::Value> {
        is_json(&self.headers)
            .then(|| serde_json::from_slice(&self.body).ok())
            .flatten()
    }

    /// The response as an error: what was asked, what was answered, what to do.
    #[must_use]
    pub fn into_error(self, method: &Method, address: &Address) -> Error {
        let status = self.status.as_u16();
        let reason = self.status.canonical_reason().unwrap_or("unknown status");
        let said = self.says();
        let mut message = format!("{method} {address} answered {status} {reason}");
        if let Some(said) = &said {
            message.push_str(&format!(": {said}"));
        }
        let json = self.json();
        let mut error = Error::new("http.status", message)
            .code(status.to_string())
            .detail("status", status)
            .detail("body", excerpt(&String::from_utf8_lossy(&self.body), 4096))
            .retryable_if(exchange::may_pass(self.status));
        if let Some(json) = json {
            error = error.detail("json", json);
        }
        match hint(status) {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }

    /// What the server says went wrong: the message of a JSON error, or the beginning of a text.
    fn says(&self) -> Option<String> {
        const LONGEST: usize = 300;
        if let Some(json) = self.json() {
            let found = [
                "/message",
                "/msg",
                "/error_description",
                "/error/message",
                "/error",
                "/detail",
                "/errors/0/message",
                "/title",
            ]
            .iter()
            .find_map(|path| json.pointer(path)?.as_str().map(str::to_owned));
            return Some(excerpt(&found.unwrap_or_else(|| json.to_string()), LONGEST));
        }
        let html = self
            .headers
            .get(CONTENT_TYPE)
            .and_then(|text| text.to_str().ok())
            .is_some_and(|text| text.contains("html"));
        let text = self.text()?.trim();
        (!html && !text.is_empty()).then(|| excerpt(text.lines().next().unwrap_or(text), LONGEST))
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(text) = headers
        .get(CONTENT_TYPE)
        .and_then(|text| text.to_str().ok())
    else {
        return false;
    };
    let essence = text.split(';').next().unwrap_or(text).trim();
    essence.eq_ignore_ascii_case("application/json") || essence.ends_with("+json")
}

/// Headers with their names in lower case; what is repeated is joined by commas (RFC 9110, 5.3), and
/// cookies, which have commas in them, by line breaks.
fn header_map(headers: &HeaderMap) -> Map {
    headers
        .keys()
        .map(|name| {
            let values: Vec<String> = headers
                .get_all(name)
                .iter()
                .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
                .collect();
            let between = if name == "set-cookie" { "\n" } else { ", " };
            (name.as_str().into(), values.join(between).into())
        })
        .collect()
}

fn excerpt(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn hint(status: u16) -> Option<&'static str> {
    Some(match status {
        401 => "the server wants to know who asks: `bearer:` or `basic:`; is the token expired?",
        403 => "the server knows who asks, and refuses: does this user or key have the right?",
        404 => "is the path right? `expect: [404]` where that is an answer",
        405 => "the server knows the path, not with this method",
        408 | 429 | 503 => "the server is busy: try again later, or give `retries:`",
        413 => "the body is too large for the server or a proxy before it",
        502 | 504 => "a proxy answered, the server behind it did not: is that one running?",
        500..=599 => "the server failed: its log says why",
        _ => return None,
    })
}
