//! Every channel, with texts of every sort, against the receiver's documentation.

use serde_json::json;

use super::{Bed, schema};
use crate::web::server::{Reply, Request, Server};

type Check = fn(&Request) -> Result<(), String>;

/// A receiver that refuses what its documentation does not allow, and answers as the service does.
fn receiver(check: Check, status: u16, says: &'static str) -> Server {
    Server::start(move |request, _| match check(request) {
        Ok(()) => Reply::json(status, says),
        Err(why) => Reply::text(400, &why),
    })
}

/// The kinds, what their place is, more settings, and the receiver.
fn kinds() -> Vec<(&'static str, String, Server)> {
    let at = |server: &Server, kind: &str, path: &str| format!(r#""{kind}:{}""#, server.url(path));
    let hidden = |kind: &str, more: &str| format!(r#"{{ url = "{kind}:secret:PLACE"{more} }}"#);
    let endpoint = |server: &Server| format!(r#", endpoint = "{}""#, server.url(""));
    let mut kinds = Vec::new();
    let slack = receiver(schema::slack, 200, "ok");
    kinds.push(("slack", hidden("slack", ""), slack));
    let discord = receiver(schema::discord, 204, "");
    kinds.push(("discord", hidden("discord", ""), discord));
    let teams = receiver(schema::teams, 202, "");
    kinds.push(("teams", hidden("teams", ""), teams));
    let pagerduty = receiver(
        schema::pagerduty,
        202,
        r#"{"status":"success","message":"Event processed","dedup_key":"x"}"#,
    );
    kinds.push((
        "pagerduty",
        format!(
            r#"{{ url = "pagerduty:secret:KEY"{} }}"#,
            endpoint(&pagerduty)
        ),
        pagerduty,
    ));
    let opsgenie = receiver(
        schema::opsgenie,
        202,
        r#"{"result":"Request will be processed","took":0.1,"requestId":"x"}"#,
    );
    kinds.push((
        "opsgenie",
        format!(
            r#"{{ url = "opsgenie:secret:KEY"{} }}"#,
            endpoint(&opsgenie)
        ),
        opsgenie,
    ));
    let ntfy = receiver(schema::ntfy, 200, r#"{"id":"x","event":"message"}"#);
    kinds.push(("ntfy", at(&ntfy, "ntfy", "/ops-alerts"), ntfy));
    let postal = receiver(
        schema::postal,
        200,
        r#"{"status":"success","data":{"message_id":"x"}}"#,
    );
    let url = at(&postal, "postal", "");
    kinds.push(("postal", format!(r#"{{ url = {url}, key = "secret:KEY", to = ["ops@example.org"], from = "ccrun@example.org" }}"#), postal));
    let alertmanager = receiver(schema::alertmanager, 200, "");
    kinds.push((
        "alertmanager",
        at(&alertmanager, "alertmanager", ""),
        alertmanager,
    ));
    kinds
}

fn bed(channel: &str, server: &Server) -> Bed {
    Bed::new(&format!("c = {channel}"))
        .secret("PLACE", server.url("/services/T000/B000/hunter22hunter22"))
        .secret("KEY", "0123456789abcdef0123456789abcdef")
}

#[test]
fn every_receiver_takes_what_it_gets_from_a_word_to_a_megabyte() {
    let long_labels: String = (0..40)
        .map(|n| format!("\"label-{n}\": \"{}\", ", "Wert ".repeat(60)))
        .collect();
    for (kind, channel, server) in kinds() {
        let bed = bed(&channel, &server);
        for (n, alert) in [
            r#"key: "backup", title: "The backup failed""#.to_owned(),
            r#"key: "k", severity: "info", title: "x", body: "y", link: "https://example.org/?a=1&b=2""#.to_owned(),
            r#"key: "größe/漢字 🚨", severity: "critical", title: "Größe 漢字 🚨 <!channel> <@U1> @everyone & \"'\\", body: "a\nb\t\u0007<script>", source: "db-1", labels: #{ area: "db", "app.kubernetes.io/name": "ä", empty: "" }"#.to_owned(),
            format!(
                "key: \"{}\", severity: \"warning\", title: \"{}\", body: text, labels: #{{ {long_labels} }}",
                "k".repeat(700),
                "Größe 🚨 <&> ".repeat(300)
            ),
        ]
        .into_iter()
        .enumerate()
        {
            let script = format!(
                "let text = \"\"; for n in 0..30000 {{ text += \"Zeile 漢字 🚨 <&> \\\"\\n\"; }}
                 alert::trigger(#{{ {alert} }}).channels[0]"
            );
            let outcome = bed.json(&script);
            assert_eq!(outcome["outcome"], "sent", "{kind} {n}: {outcome}");
            assert_eq!(outcome["attempts"], 1, "{kind} {n}");
        }
    }
}

#[test]
fn an_alert_is_acknowledged_and_resolved_where_there_is_a_word_for_it() {
    for (kind, channel, server) in kinds() {
        let bed = bed(&channel, &server);
        let script = r#"
            alert::trigger(#{ key: "backup", severity: "critical", title: "The backup failed", labels: #{ area: "db" } });
            let seen = alert::acknowledge("backup", "Ann looks at it");
            let over = alert::resolve("backup", "12 GiB in 4 minutes");
            [seen.channels[0].outcome, over.channels[0].outcome, alert::open().len()]
        "#;
        let acknowledged = match kind {
            "alertmanager" => "nothing to say",
            _ => "sent",
        };
        assert_eq!(bed.json(script), json!([acknowledged, "sent", 0]), "{kind}");
        let seen = server.seen();
        let bodies: Vec<String> = seen
            .iter()
            .map(|request| request.text().to_owned())
            .collect();
        let (first, last) = (&bodies[0], &bodies[bodies.len() - 1]);
        assert!(first.contains("The backup failed"), "{kind}: {first}");
        match kind {
            "pagerduty" => {
                assert!(last.contains(r#""event_action":"resolve""#), "{last}");
                let keys: Vec<_> = bodies
                    .iter()
                    .map(|body| {
                        body.split("dedup_key")
                            .nth(1)
                            .map(|rest| rest[..10].to_owned())
                    })
                    .collect();
                assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
            }
            "opsgenie" => assert_eq!(
                seen[2].target,
                "/v2/alerts/backup/close?identifierType=alias"
            ),
            "alertmanager" => {
                let of = |body: &str| {
                    serde_json::from_str::<serde_json::Value>(body).unwrap()[0].clone()
                };
                let (first, last) = (of(first), of(last));
                assert_eq!(first["labels"], last["labels"], "else it is another alert");
                assert_eq!(first["startsAt"], last["startsAt"]);
                let end = |alert: &serde_json::Value| {
                    alert["endsAt"]
                        .as_str()
                        .unwrap()
                        .parse::<jiff::Timestamp>()
                        .unwrap()
                };
                assert!(end(&last) <= jiff::Timestamp::now());
                assert!(end(&first) > jiff::Timestamp::now());
            }
            _ => assert!(
                last.contains("RESOLVED") && last.contains("12 GiB"),
                "{kind}: {last}"
            ),
        }
    }
}

#[test]
fn a_webhook_gets_the_alert_as_json_or_what_a_template_makes_of_it() {
    let server = Server::start(|_, _| Reply::text(200, "thanks"));
    let bed = Bed::new(&format!(
        r#"
plain = "webhook:{url}"
shaped = {{ url = "webhook:{url}", method = "put", headers = {{ "X-Token" = "secret:TOKEN" }}, content_type = "text/plain", template = "{{{{ headline }}}}: {{{{ body }}}} {{% if labels.area %}}({{{{ labels.area }}}}){{% endif %}}" }}
broken = {{ url = "webhook:{url}", template = "{{{{ nothing }}}}" }}
"#,
        url = server.url("/in")
    ))
    .secret("TOKEN", "hunter22-token");
    let outcomes = bed.json(
        r#"alert::trigger(#{ key: "backup", severity: "error", title: "Größe", body: "5 GiB", labels: #{ area: "db" } }).channels.map(|c| #{ name: c.channel, outcome: c.outcome, body: c.body, kind: c.error?.kind })"#,
    );
    let of = |name: &str| {
        outcomes
            .as_array()
            .unwrap()
            .iter()
            .find(|one| one["name"] == name)
            .unwrap()
            .clone()
    };
    assert_eq!(of("plain")["body"], "thanks");
    assert_eq!(of("broken")["kind"], "template.undefined", "{outcomes}");
    let seen = server.seen();
    let shaped = seen.iter().find(|request| request.method == "PUT").unwrap();
    assert_eq!(shaped.text(), "[ERROR] Größe: 5 GiB (db)");
    assert_eq!(shaped.header("x-token"), "hunter22-token");
    assert_eq!(shaped.header("content-type"), "text/plain");
    let plain = seen
        .iter()
        .find(|request| request.method == "POST")
        .unwrap();
    let json: serde_json::Value = serde_json::from_slice(&plain.body).unwrap();
    assert_eq!(json["labels"], json!({ "area": "db" }));
    assert_eq!(
        (&json["key"], &json["action"]),
        (&json!("backup"), &json!("trigger"))
    );
}

#[test]
fn what_comes_from_somebody_in_between_is_no_success() {
    let page = Server::start(|_, _| {
        Reply::new(200, &[("content-type", "text/html")], "<html>log in</html>")
    });
    let slack =
        Bed::new(r#"c = "slack:secret:PLACE""#).secret("PLACE", page.url("/hunter22hunter22"));
    let outcome = slack.json(r#"alert::trigger(#{ key: "k", title: "t" }).channels[0]"#);
    assert_eq!(outcome["error"]["kind"], "alert.refused", "{outcome}");
    let refused = Server::start(|_, _| {
        Reply::json(
            200,
            r#"{"status":"error","data":{"code":"InvalidServerAPIKey","message":"The API token was not valid"}}"#,
        )
    });
    let postal = Bed::new(&format!(
        r#"c = {{ url = "postal:{}", key = "secret:KEY", to = ["a@example.org"], from = "b@example.org" }}"#,
        refused.url("")
    ))
    .secret("KEY", "hunter22-key");
    let outcome = postal.json(r#"alert::trigger(#{ key: "k", title: "t" }).channels[0]"#);
    assert_eq!(outcome["outcome"], "failed");
    assert!(
        outcome["error"]["message"]
            .as_str()
            .unwrap()
            .contains("was not valid"),
        "{outcome}"
    );
    assert_eq!(outcome["status"], 200);
    let elsewhere =
        Server::start(|_, _| Reply::new(302, &[("location", "https://login.example.org/")], ""));
    let discord = Bed::new(r#"c = "discord:secret:PLACE""#)
        .secret("PLACE", elsewhere.url("/hunter22hunter22"));
    let outcome = discord.json(r#"alert::trigger(#{ key: "k", title: "t" }).channels[0]"#);
    assert_eq!(
        outcome["error"]["kind"], "http.redirect_elsewhere",
        "{outcome}"
    );
}

#[test]
fn a_dead_man_switch_is_told_that_all_is_well_or_not() {
    let server = Server::start(|_, _| Reply::text(200, "OK"));
    let bed = Bed::new("alive = \"heartbeat:secret:PLACE\"\nout = \"stdout:\"")
        .secret("PLACE", server.url("/ping/hunter22-uuid"));
    let script = r#"
        alert::heartbeat("alive");
        alert::heartbeat("alive", #{ failed: true, body: "no space left" });
        alert::trigger(#{ key: "k", title: "goes nowhere near it" }).channels.len()
    "#;
    assert_eq!(bed.json(script), json!(1));
    let seen = server.seen();
    let targets: Vec<_> = seen.iter().map(|request| request.target.as_str()).collect();
    assert_eq!(targets, ["/ping/hunter22-uuid", "/ping/hunter22-uuid/fail"]);
    assert_eq!(seen[1].text(), "no space left");
    assert_eq!(
        bed.run(r#"alert::heartbeat("out")"#).error().kind(),
        "alert.not_a_heartbeat"
    );
    let silent = Bed::new(r#"alive = { url = "heartbeat:secret:PLACE", retries = 0 }"#)
        .secret("PLACE", "http://127.0.0.1:1/hunter22-uuid");
    assert_eq!(
        silent.run(r#"alert::heartbeat("alive")"#).error().kind(),
        "http.connection_refused"
    );
}
