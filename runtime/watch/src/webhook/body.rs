//! The body of a webhook: read, compared with what a trigger asks for, taken apart for parameters.

use serde_json::{Map, Value};

use super::{Message, Refusal};

/// The body: JSON, the fields of a form, or a text.
///
/// # Errors
/// `Malformed` if it is not what its type says.
pub fn parse(message: &Message) -> Result<Value, Refusal> {
    let kind = message.header("content-type").unwrap_or_default();
    let kind = kind
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    let json = kind == "application/json" || kind.ends_with("+json");
    if json {
        return serde_json::from_slice(&message.body).map_err(|_| Refusal::Malformed);
    }
    let text = std::str::from_utf8(&message.body).map_err(|_| Refusal::Malformed)?;
    if kind == "application/x-www-form-urlencoded" {
        let fields: Map<String, Value> = text
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(name, value)| (decoded(name), Value::String(decoded(value))))
            .collect();
        // GitHub can be set to send its JSON in a field of a form.
        if let Some(payload) = fields.get("payload").and_then(Value::as_str)
            && let Ok(inner) = serde_json::from_str(payload)
        {
            return Ok(inner);
        }
        return Ok(Value::Object(fields));
    }
    // No type was given: JSON if it is.
    Ok(serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned())))
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, tail) {
            (b'+', _) => bytes.push(b' '),
            (b'%', [a, b, after @ ..]) => match hex::decode([*a, *b]) {
                Ok(byte) => {
                    bytes.extend(byte);
                    rest = after;
                }
                Err(_) => bytes.push(b'%'),
            },
            (byte, _) => bytes.push(*byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What stands at a dotted key: `repository.name`, `commits.0.id`. `$event` is the name of the event.
#[must_use]
pub fn lookup(body: &Value, message: &Message, key: &str) -> Option<Value> {
    if key == "$event" {
        let event = ["x-github-event", "x-gitea-event", "x-gitlab-event"]
            .into_iter()
            .find_map(|name| message.header(name));
        return event.map(Value::from);
    }
    key.split('.')
        .try_fold(body, |value, part| match value {
            Value::Object(map) => map.get(part),
            Value::Array(items) => items.get(part.parse::<usize>().ok()?),
            _ => None,
        })
        .cloned()
}

/// Whether the body says all of this. A text with `*` at its end asks for a beginning, an array for
/// one of its elements.
#[must_use]
pub fn matches(body: &Value, message: &Message, when: &[(String, Value)]) -> bool {
    when.iter().all(|(key, wanted)| {
        let found = lookup(body, message, key).unwrap_or(Value::Null);
        match wanted {
            Value::Array(choices) => choices.iter().any(|choice| fits(&found, choice)),
            wanted => fits(&found, wanted),
        }
    })
}

fn fits(found: &Value, wanted: &Value) -> bool {
    match (
        found,
        wanted.as_str().and_then(|text| text.strip_suffix('*')),
    ) {
        (Value::String(found), Some(start)) => found.starts_with(start),
        _ => found == wanted,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn message(kind: &str, body: &[u8]) -> Message {
        Message {
            headers: [
                ("content-type".to_owned(), kind.to_owned()),
                ("x-github-event".to_owned(), "push".to_owned()),
            ]
            .into(),
            body: body.to_vec(),
        }
    }

    #[test]
    fn bodies_are_what_their_type_says() {
        let parsed = |kind, body: &str| parse(&message(kind, body.as_bytes()));
        let json = "application/json; charset=utf-8";
        assert_eq!(parsed(json, r#"{"a":1}"#), Ok(json!({"a": 1})));
        assert_eq!(parsed(json, "{"), Err(Refusal::Malformed));
        assert_eq!(parsed(json, ""), Err(Refusal::Malformed));
        assert_eq!(parsed(json, &"[".repeat(100_000)), Err(Refusal::Malformed));
        let form = "application/x-www-form-urlencoded";
        assert_eq!(
            parsed(form, "a=1+2%21&b"),
            Ok(json!({"a": "1 2!", "b": ""}))
        );
        assert_eq!(
            parsed(form, "payload=%7B%22a%22%3A1%7D"),
            Ok(json!({"a": 1}))
        );
        assert_eq!(parsed("text/plain", "hello"), Ok(json!("hello")));
        assert_eq!(
            parse(&message("text/plain", b"\xff")),
            Err(Refusal::Malformed)
        );
    }

    #[test]
    fn a_trigger_takes_only_what_it_asks_for() {
        let message = message("application/json", b"");
        let body = json!({ "ref": "refs/heads/main", "repository": { "name": "app" }, "commits": [{ "id": "c1" }] });
        for (when, expected) in [
            (json!({}), true),
            (
                json!({ "ref": "refs/heads/main", "repository.name": "app" }),
                true,
            ),
            (json!({ "ref": "refs/heads/*" }), true),
            (json!({ "ref": "refs/heads/dev" }), false),
            (json!({ "commits.0.id": "c1" }), true),
            (json!({ "$event": ["push", "release"] }), true),
            (json!({ "$event": "release" }), false),
            (json!({ "deleted": null }), true),
            (json!({ "deleted": false }), false),
        ] {
            let pairs: Vec<(String, Value)> =
                when.as_object().unwrap().clone().into_iter().collect();
            assert_eq!(matches(&body, &message, &pairs), expected, "{when}");
        }
    }

    proptest! {
        #[test]
        fn no_body_panics(kind in "(application/(json|x-www-form-urlencoded)|text/plain|)", body in prop::collection::vec(any::<u8>(), 0..60)) {
            let message = message(&kind, &body);
            if let Ok(value) = parse(&message) {
                let _ = lookup(&value, &message, "a.0.b");
            }
        }

        #[test]
        fn no_form_panics(body in "[%+=&a-f0-9]{0,30}") {
            let _ = parse(&message("application/x-www-form-urlencoded", body.as_bytes()));
        }
    }
}
