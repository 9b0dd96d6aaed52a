//! What the receivers take, written down from their documentation: fields, types, lengths. What is not listed there is
//! refused, as a typing mistake would be.

use serde_json::{Map, Value};

use crate::web::server::Request;

type Checked = Result<(), String>;

/// As many characters as most receivers count: units of UTF-16.
fn length(text: &str) -> usize {
    text.encode_utf16().count()
}

fn object<'v>(
    value: &'v Value,
    at: &str,
    required: &[&str],
    known: &[&str],
) -> Result<&'v Map<String, Value>, String> {
    let map = value
        .as_object()
        .ok_or(format!("{at} is no object: {value}"))?;
    for key in required {
        if !map.contains_key(*key) {
            return Err(format!("{at} lacks {key}"));
        }
    }
    match map
        .keys()
        .find(|key| !required.contains(&key.as_str()) && !known.contains(&key.as_str()))
    {
        Some(key) => Err(format!("{at} has the unknown field {key}")),
        None => Ok(map),
    }
}

fn text<'v>(value: &'v Value, at: &str, most: usize) -> Result<&'v str, String> {
    let text = value.as_str().ok_or(format!("{at} is no text: {value}"))?;
    match text.is_empty() || length(text) > most {
        true => Err(format!(
            "{at} has {} characters of at most {most}",
            length(text)
        )),
        false => Ok(text),
    }
}

fn list<'v>(value: &'v Value, at: &str, most: usize) -> Result<&'v [Value], String> {
    let list = value
        .as_array()
        .ok_or(format!("{at} is no list: {value}"))?;
    match list.is_empty() || list.len() > most {
        true => Err(format!("{at} has {} entries of at most {most}", list.len())),
        false => Ok(list),
    }
}

fn time(value: &Value, at: &str) -> Checked {
    let text = text(value, at, 64)?;
    text.parse::<jiff::Timestamp>()
        .map(drop)
        .map_err(|error| format!("{at}: {error}"))
}

fn json(request: &Request) -> Result<Value, String> {
    if request.method != "POST" {
        return Err(format!("the method is {}", request.method));
    }
    if request.header("content-type") != "application/json" {
        return Err(format!(
            "the content type is {}",
            request.header("content-type")
        ));
    }
    serde_json::from_slice(&request.body).map_err(|error| error.to_string())
}

fn one_of(value: &Value, at: &str, known: &[&str]) -> Checked {
    match value.as_str().is_some_and(|text| known.contains(&text)) {
        true => Ok(()),
        false => Err(format!("{at} is {value}, not one of {known:?}")),
    }
}

/// <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>,
/// <https://docs.slack.dev/reference/block-kit/blocks>
pub fn slack(request: &Request) -> Checked {
    let body = json(request)?;
    object(&body, "the message", &["text", "blocks"], &[])?;
    text(&body["text"], "text", 40_000)?;
    for block in list(&body["blocks"], "blocks", 50)? {
        match block["type"].as_str() {
            Some("header") => {
                object(block, "a header", &["type", "text"], &["block_id"])?;
                object(&block["text"], "its text", &["type", "text"], &["emoji"])?;
                one_of(&block["text"]["type"], "its type", &["plain_text"])?;
                text(&block["text"]["text"], "a header", 150)?;
            }
            Some("section") => {
                object(
                    block,
                    "a section",
                    &["type"],
                    &["text", "fields", "block_id"],
                )?;
                let given = (block.get("text"), block.get("fields"));
                if given == (None, None) {
                    return Err("a section has neither text nor fields".to_owned());
                }
                for (part, most) in given
                    .0
                    .iter()
                    .map(|part| (*part, 3000))
                    .chain(match given.1 {
                        Some(fields) => list(fields, "fields", 10)?
                            .iter()
                            .map(|part| (part, 2000))
                            .collect(),
                        None => Vec::new(),
                    })
                {
                    object(part, "a text", &["type", "text"], &[])?;
                    one_of(&part["type"], "its type", &["mrkdwn", "plain_text"])?;
                    let text = text(&part["text"], "a section's text", most)?;
                    // <!everyone> would call everybody.
                    if text.contains("<!") || text.contains("<@") {
                        return Err(format!("not escaped: {text}"));
                    }
                }
            }
            other => return Err(format!("the block {other:?} is not known here")),
        }
    }
    Ok(())
}

/// <https://discord.com/developers/docs/resources/webhook#execute-webhook>
pub fn discord(request: &Request) -> Checked {
    let body = json(request)?;
    object(
        &body,
        "the message",
        &["embeds"],
        &[
            "content",
            "username",
            "avatar_url",
            "tts",
            "allowed_mentions",
        ],
    )?;
    if body["allowed_mentions"]["parse"] != serde_json::json!([]) {
        return Err("everybody can be mentioned".to_owned());
    }
    let mut total = 0;
    for embed in list(&body["embeds"], "embeds", 10)? {
        object(
            embed,
            "an embed",
            &[],
            &[
                "title",
                "description",
                "url",
                "timestamp",
                "color",
                "footer",
                "fields",
                "author",
            ],
        )?;
        total += length(text(&embed["title"], "title", 256)?);
        if let Some(description) = embed.get("description") {
            total += length(text(description, "description", 4096)?);
        }
        if embed["color"]
            .as_u64()
            .is_none_or(|color| color > 0xff_ff_ff)
        {
            return Err(format!("the colour is {}", embed["color"]));
        }
        time(&embed["timestamp"], "timestamp")?;
        for field in list(&embed["fields"], "fields", 25)? {
            object(field, "a field", &["name", "value"], &["inline"])?;
            total += length(text(&field["name"], "a field's name", 256)?);
            total += length(text(&field["value"], "a field's value", 1024)?);
        }
    }
    match total > 6000 {
        true => Err(format!("{total} characters of at most 6000 in all")),
        false => Ok(()),
    }
}

/// <https://adaptivecards.io/explorer/>, 28 KB in all.
pub fn teams(request: &Request) -> Checked {
    if request.body.len() > 28 * 1024 {
        return Err(format!("{} bytes of at most 28 KiB", request.body.len()));
    }
    let body = json(request)?;
    object(&body, "the message", &["type", "attachments"], &[])?;
    one_of(&body["type"], "type", &["message"])?;
    for attachment in list(&body["attachments"], "attachments", 1)? {
        object(
            attachment,
            "an attachment",
            &["contentType", "content"],
            &["contentUrl"],
        )?;
        one_of(
            &attachment["contentType"],
            "contentType",
            &["application/vnd.microsoft.card.adaptive"],
        )?;
        let card = &attachment["content"];
        object(
            card,
            "the card",
            &["type", "version", "body"],
            &["$schema", "actions", "msteams"],
        )?;
        one_of(&card["type"], "the card's type", &["AdaptiveCard"])?;
        one_of(
            &card["version"],
            "the card's version",
            &["1.2", "1.3", "1.4"],
        )?;
        for element in list(&card["body"], "the card's body", 100)? {
            match element["type"].as_str() {
                Some("TextBlock") => {
                    object(
                        element,
                        "a text",
                        &["type", "text"],
                        &["size", "weight", "color", "wrap"],
                    )?;
                    text(&element["text"], "a text", 28 * 1024)?;
                    if let Some(color) = element.get("color") {
                        one_of(
                            color,
                            "color",
                            &[
                                "Default",
                                "Dark",
                                "Light",
                                "Accent",
                                "Good",
                                "Warning",
                                "Attention",
                            ],
                        )?;
                    }
                }
                Some("FactSet") => {
                    object(element, "facts", &["type", "facts"], &[])?;
                    for fact in list(&element["facts"], "facts", 100)? {
                        object(fact, "a fact", &["title", "value"], &[])?;
                        text(&fact["title"], "a fact's title", 1000)?;
                        text(&fact["value"], "a fact's value", 1000)?;
                    }
                }
                other => return Err(format!("the element {other:?} is not known here")),
            }
        }
    }
    Ok(())
}

/// <https://developer.pagerduty.com/docs/events-api-v2/trigger-events/>
pub fn pagerduty(request: &Request) -> Checked {
    if request.target != "/v2/enqueue" {
        return Err(format!("the path is {}", request.target));
    }
    if request.body.len() > 512 * 1024 {
        return Err(format!("{} bytes of at most 512 KB", request.body.len()));
    }
    let body = json(request)?;
    one_of(
        &body["event_action"],
        "event_action",
        &["trigger", "acknowledge", "resolve"],
    )?;
    let common = ["routing_key", "event_action", "dedup_key"];
    if body["event_action"] == "trigger" {
        object(
            &body,
            "the event",
            &[&common[..], &["payload"]].concat(),
            &["client", "client_url", "links", "images"],
        )?;
        let payload = &body["payload"];
        object(
            payload,
            "payload",
            &["summary", "source", "severity"],
            &["timestamp", "component", "group", "class", "custom_details"],
        )?;
        text(&payload["summary"], "summary", 1024)?;
        text(&payload["source"], "source", 1024)?;
        one_of(
            &payload["severity"],
            "severity",
            &["critical", "error", "warning", "info"],
        )?;
        time(&payload["timestamp"], "timestamp")?;
        if !payload["custom_details"].is_object() {
            return Err("custom_details is no object".to_owned());
        }
    } else {
        object(&body, "the event", &common, &[])?;
    }
    let key = text(&body["routing_key"], "routing_key", 32)?;
    if key.len() != 32 {
        return Err("routing_key has not 32 characters".to_owned());
    }
    text(&body["dedup_key"], "dedup_key", 255).map(drop)
}

/// <https://docs.opsgenie.com/docs/alert-api>
pub fn opsgenie(request: &Request) -> Checked {
    let key = request.header("authorization").strip_prefix("GenieKey ");
    if key.is_none_or(str::is_empty) {
        return Err("no GenieKey".to_owned());
    }
    let body = json(request)?;
    if request.target != "/v2/alerts" {
        let path = request
            .target
            .strip_prefix("/v2/alerts/")
            .ok_or(format!("the path is {}", request.target))?;
        let (alias, rest) = path.split_once('/').ok_or("no alias")?;
        if alias.is_empty()
            || ![
                "close?identifierType=alias",
                "acknowledge?identifierType=alias",
            ]
            .contains(&rest)
        {
            return Err(format!("the path is {}", request.target));
        }
        object(&body, "the request", &[], &["source", "note", "user"])?;
        return text(&body["note"], "note", 25_000).map(drop);
    }
    object(
        &body,
        "the alert",
        &["message"],
        &[
            "alias",
            "description",
            "responders",
            "visibleTo",
            "actions",
            "tags",
            "details",
            "entity",
            "source",
            "priority",
            "user",
            "note",
        ],
    )?;
    text(&body["message"], "message", 130)?;
    text(&body["alias"], "alias", 512)?;
    if body["description"] != "" {
        text(&body["description"], "description", 15_000)?;
    }
    text(&body["source"], "source", 100)?;
    one_of(
        &body["priority"],
        "priority",
        &["P1", "P2", "P3", "P4", "P5"],
    )?;
    let tags = body["tags"].as_array().ok_or("tags")?;
    if tags.len() > 20 {
        return Err(format!("{} tags", tags.len()));
    }
    for tag in tags {
        text(tag, "a tag", 50)?;
    }
    let details = body["details"].as_object().ok_or("details")?;
    let size: usize = details
        .iter()
        .map(|(name, value)| length(name) + value.as_str().map_or(100_000, length))
        .sum();
    match size > 8000 {
        true => Err(format!("{size} characters of details")),
        false => Ok(()),
    }
}

/// <https://docs.ntfy.sh/publish/#publish-as-json>
pub fn ntfy(request: &Request) -> Checked {
    if request.target != "/" {
        return Err(format!("JSON goes to the root, not to {}", request.target));
    }
    let body = json(request)?;
    object(
        &body,
        "the message",
        &["topic"],
        &[
            "message", "title", "tags", "priority", "actions", "click", "attach", "markdown",
            "icon", "filename", "delay", "email", "call",
        ],
    )?;
    let topic = text(&body["topic"], "topic", 64)?;
    if !topic
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
    {
        return Err(format!("the topic is {topic}"));
    }
    let message = text(&body["message"], "message", 4096)?;
    if message.len() > 4096 {
        return Err(format!("{} bytes of at most 4096", message.len()));
    }
    text(&body["title"], "title", 250)?;
    list(&body["tags"], "tags", 5)?;
    match body["priority"].as_u64() {
        Some(1..=5) => Ok(()),
        other => Err(format!("the priority is {other:?}")),
    }
}

/// <https://docs.postalserver.io/developer/api>
pub fn postal(request: &Request) -> Checked {
    if request.target != "/api/v1/send/message" || request.header("x-server-api-key").is_empty() {
        return Err(format!("{} without a key", request.target));
    }
    let body = json(request)?;
    object(
        &body,
        "the message",
        &["to", "from"],
        &[
            "cc",
            "bcc",
            "sender",
            "subject",
            "tag",
            "reply_to",
            "plain_body",
            "html_body",
            "attachments",
            "headers",
            "bounce",
        ],
    )?;
    for address in list(&body["to"], "to", 50)? {
        text(address, "an address", 320)?;
    }
    text(&body["subject"], "subject", 998)?;
    text(&body["plain_body"], "plain_body", 14 << 20)?;
    match body["headers"].is_object() {
        true => Ok(()),
        false => Err("headers are no object".to_owned()),
    }
}

/// <https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml>
pub fn alertmanager(request: &Request) -> Checked {
    if request.target != "/api/v2/alerts" {
        return Err(format!("the path is {}", request.target));
    }
    let body = json(request)?;
    for alert in list(&body, "the alerts", 1)? {
        object(
            alert,
            "an alert",
            &["labels"],
            &["annotations", "startsAt", "endsAt", "generatorURL"],
        )?;
        time(&alert["startsAt"], "startsAt")?;
        time(&alert["endsAt"], "endsAt")?;
        let labels = alert["labels"].as_object().ok_or("labels")?;
        for (name, value) in labels {
            let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            if !plain || name.starts_with(|c: char| c.is_ascii_digit()) {
                return Err(format!("the label {name}"));
            }
            text(value, name, 1_000_000)?;
        }
        if !labels.contains_key("alertname") {
            return Err("no alertname".to_owned());
        }
    }
    Ok(())
}
