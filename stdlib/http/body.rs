//! What is sent.

use ccrun_kernel::rhai::{Dynamic, Map};
use ccrun_kernel::secret::Secret;
use ccrun_kernel::value::{Size, to_json};
use ccrun_kernel::{Cx, Error, MaybeSecret, Result};
use indexmap::IndexMap;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use super::options::{Basic, RequestOptions};
use crate::document;
use crate::json::FORMAT;
use crate::web::Address;

/// The body of a request, and what it is.
#[derive(Clone)]
pub struct Body {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// What `Content-Type` says of it.
    pub content_type: Option<&'static str>,
}

impl RequestOptions {
    /// The body.
    ///
    /// # Errors
    /// `http.invalid_request` for more than one of `json`, `form` and `body`.
    pub fn content(&self) -> Result<Option<Body>> {
        let given: Vec<&str> = [
            ("json", self.json.is_some()),
            ("form", self.form.is_some()),
            ("body", self.body.is_some()),
        ]
        .into_iter()
        .filter_map(|(name, given)| given.then_some(name))
        .collect();
        if given.len() > 1 {
            return Err(Error::new(
                "http.invalid_request",
                format!("a request has one body, not {}", given.join(" and ")),
            ));
        }
        if let Some(json) = &self.json {
            document_check(json)?;
            let exposed = document::expose(json, &mut Vec::new());
            return Ok(Some(Body {
                bytes: to_json(&exposed).to_string().into_bytes(),
                content_type: Some("application/json"),
            }));
        }
        if let Some(form) = &self.form {
            let pairs = pairs(form)?;
            let text = url::form_urlencoded::Serializer::new(String::new())
                .extend_pairs(&pairs)
                .finish();
            return Ok(Some(Body {
                bytes: text.into_bytes(),
                content_type: Some("application/x-www-form-urlencoded"),
            }));
        }
        Ok(self.body.as_ref().map(|body| Body {
            bytes: body.bytes().to_vec(),
            content_type: None,
        }))
    }

    /// What a dry run says of the body.
    pub fn describe_body(&self, cx: &Cx) -> Option<String> {
        if let Some(json) = &self.json {
            return Some(cx.redactor().redact(&to_json(json).to_string()).into());
        }
        if let Some(form) = &self.form {
            return Some(format!("form {}", to_json(&Dynamic::from(form.clone()))));
        }
        let body = self.body.as_ref()?;
        Some(match body.is_secret() {
            true => "a secret".to_owned(),
            false => Size::from_bytes(body.bytes().len() as u64).to_string(),
        })
    }
}

/// JSON can hold it, secrets aside.
fn document_check(value: &Dynamic) -> Result<()> {
    document::check(FORMAT, &document::expose(value, &mut Vec::new()))
}

/// The pairs of a form or a query: arrays repeat their key, `()` leaves it out.
pub fn pairs(map: &Map) -> Result<Vec<(String, String)>> {
    let mut pairs = Vec::with_capacity(map.len());
    for (key, value) in map {
        match value.as_array_ref() {
            Ok(items) => {
                for item in items.iter() {
                    pairs.push((key.to_string(), text(key, item)?));
                }
            }
            Err(_) if value.is_unit() => {}
            Err(_) => pairs.push((key.to_string(), text(key, value)?)),
        }
    }
    Ok(pairs)
}

fn text(key: &str, value: &Dynamic) -> Result<String> {
    if let Some(secret) = value.read_lock::<Secret>() {
        return Ok(secret.expose().to_owned());
    }
    if value.is_map() || value.is_array() {
        return Err(Error::new(
            "http.invalid_request",
            format!(
                "`{key}` is a {}, which has no plain text",
                value.type_name()
            ),
        )
        .hint("turn it into one with `json::stringify`"));
    }
    Ok(match to_json(value) {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    })
}

/// The headers of a request. What authenticates is marked so that no library logs it.
pub fn headers(
    given: Option<&IndexMap<String, MaybeSecret>>,
    bearer: Option<&MaybeSecret>,
    basic: Option<&Basic>,
    address: &Address,
    content_type: Option<&'static str>,
) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    if let Some(content_type) = content_type {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    let from_url = address.credentials();
    let from_option = basic.map(|basic| (basic.user.as_str(), basic.password.expose()));
    let authorization = match (bearer, from_option.or(from_url)) {
        (Some(_), Some(_)) if basic.is_some() => {
            return Err(Error::new(
                "http.invalid_request",
                "`bearer` and `basic` both say who you are; give one",
            ));
        }
        (Some(token), _) => Some(format!("Bearer {}", token.expose())),
        (None, Some((user, password))) => Some(format!(
            "Basic {}",
            base64::Engine::encode(
                &base64::engine::general_purpose::STANDARD,
                format!("{user}:{password}")
            )
        )),
        (None, None) => None,
    };
    if let Some(text) = authorization {
        headers.insert(AUTHORIZATION, value("Authorization", &text, true)?);
    }
    for (name, text) in given.into_iter().flatten() {
        let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
            Error::new(
                "http.invalid_request",
                format!("`{name}` can't be the name of a header"),
            )
            .hint("letters, digits and `-`: `Content-Type`")
        })?;
        let secret = matches!(text, MaybeSecret::Secret(_));
        headers.insert(parsed, value(name, text.expose(), secret)?);
    }
    Ok(headers)
}

fn value(name: &str, text: &str, secret: bool) -> Result<HeaderValue> {
    // The text is not repeated: it may be a token.
    let mut value = HeaderValue::from_bytes(text.as_bytes()).map_err(|_| {
        Error::new(
            "http.invalid_request",
            format!("the value of the header `{name}` has a line break or another control character"),
        )
        .hint("a secret read from a file often ends with a newline: `secret` sources trim it, `fs::read` does not")
    })?;
    value.set_sensitive(secret);
    Ok(value)
}
