//! Who is told, when, and whether at all.

use serde_json::json;

use super::{Bed, OUTCOMES};
use crate::web::server::{Reply, Server};

fn receiver() -> Server {
    Server::start(|_, _| Reply::json(204, ""))
}

fn bed(server: &Server) -> Bed {
    Bed::new(
        r#"
chat = "discord:secret:PLACE"
page = { url = "discord:secret:PLACE", severity = "critical" }
db = { url = "discord:secret:PLACE", severity = "error", labels = { area = "db*" } }
kept = { url = "webhook:secret:PLACE", severity = "warning" }
quiet = { url = "discord:secret:PLACE", severity = "critical", resolve = false }
"#,
    )
    .secret("PLACE", server.url("/hunter22hunter22"))
}

#[test]
fn an_alert_goes_to_those_that_want_its_severity_and_its_labels() {
    let server = receiver();
    let bed = bed(&server);
    let to = |alert: &str| {
        bed.json(&format!(
            "let told = alert::trigger(#{{ {alert} }}); told{OUTCOMES}"
        ))
    };
    assert_eq!(
        to(r#"key: "a", title: "t", severity: "info""#),
        json!(["chat: sent"])
    );
    assert_eq!(
        to(r#"key: "b", title: "t", severity: "warning""#),
        json!(["chat: sent", "kept: sent"])
    );
    assert_eq!(
        to(r#"key: "c", title: "t", severity: "error", labels: #{ area: "db-1" }"#),
        json!(["chat: sent", "db: sent", "kept: sent"])
    );
    assert_eq!(
        to(r#"key: "d", title: "t", severity: "critical", labels: #{ area: "web" }"#),
        json!(["chat: sent", "kept: sent", "page: sent", "quiet: sent"])
    );
    assert_eq!(
        to(r#"key: "e", title: "t", severity: "info", to: ["page"]"#),
        json!(["page: sent"])
    );
    // Who was told is told that it is over, but for those that do not want to be.
    let over = bed.json(&format!(r#"alert::resolve("d"){OUTCOMES}"#));
    assert_eq!(over, json!(["chat: sent", "kept: sent", "page: sent"]));
    let error = bed.run(r#"alert::trigger(#{ key: "k", title: "t", to: ["paeg"] })"#);
    assert_eq!(error.error().kind(), "alert.no_channel");
    assert_eq!(error.error().hint_text(), Some("did you mean `page`?"));
}

#[test]
fn chats_are_not_told_again_and_what_never_was_is_not_said_to_be_over() {
    let server = receiver();
    let bed = bed(&server);
    let tell = |severity: &str| {
        bed.json(&format!(
            "alert::trigger(#{{ key: \"a\", title: \"t\", severity: \"{severity}\" }}){OUTCOMES}"
        ))
    };
    assert_eq!(tell("warning"), json!(["chat: sent", "kept: sent"]));
    assert_eq!(
        tell("warning"),
        json!(["kept: sent", "chat: repeated"]),
        "kept keeps alerts itself"
    );
    assert_eq!(
        tell("error"),
        json!(["chat: sent", "kept: sent"]),
        "it became worse"
    );
    let open = bed.json("alert::open().map(|o| [o.key, o.severity, o.told])");
    assert_eq!(open, json!([["a", "error", ["chat", "kept"]]]));
    let over = bed.json(&format!(
        r#"let over = alert::resolve("a", "again"); [over{OUTCOMES}, alert::open().len()]"#
    ));
    assert_eq!(over, json!([["chat: sent", "kept: sent"], 0]));
    let before = server.seen().len();
    // The runbook that says so each day tells a person nothing, and a receiver with a memory of its own each time.
    assert_eq!(
        bed.json(&format!(r#"alert::resolve("a"){OUTCOMES}"#)),
        json!(["kept: sent"])
    );
    assert_eq!(server.seen().len(), before + 1);
    assert_eq!(
        bed.json(&format!(
            r#"alert::resolve("a", "x", #{{ to: ["chat"] }}){OUTCOMES}"#
        )),
        json!(["chat: sent"])
    );
}

#[test]
fn what_could_not_be_told_to_be_over_is_told_by_the_next_run() {
    let server = Server::start(
        |request, _| match request.text().contains("RESOLVED first") {
            true => Reply::text(400, "no"),
            false => Reply::json(204, ""),
        },
    );
    let bed = Bed::new(r#"chat = "discord:secret:PLACE""#)
        .secret("PLACE", server.url("/hunter22hunter22"));
    bed.json(r#"alert::trigger(#{ key: "a", title: "t" })"#);
    let failing = Server::start(|_, _| Reply::text(403, "no"));
    let toml = bed.folder.0.join("ccrun.toml");
    let moved = Bed {
        folder: ccrun_kernel::testing::Scratch(bed.folder.0.clone()),
        secrets: vec![("PLACE", failing.url("/hunter22hunter22"))],
    };
    assert!(toml.exists());
    assert_eq!(
        moved.json(&format!(r#"alert::resolve("a"){OUTCOMES}"#)),
        json!(["chat: failed"])
    );
    assert_eq!(
        bed.json(&format!(r#"alert::resolve("a"){OUTCOMES}"#)),
        json!(["chat: sent"])
    );
    assert_eq!(bed.json("alert::open()"), json!([]));
    // One folder, removed once.
    std::mem::forget(moved.folder);
}

#[test]
fn what_is_silenced_is_told_to_nobody_until_the_silence_ends() {
    let server = receiver();
    let bed = bed(&server);
    let id = bed.json(
        r#"alert::silence(#{ key: "back*", severity: "error" }, "1h", "the store moves").id"#,
    );
    let told = bed.json(r#"let told = alert::trigger(#{ key: "backup", title: "t" }); [told.silenced, told.sent, told.channels]"#);
    assert_eq!(told, json!([id, 0, []]));
    assert_eq!(server.seen().len(), 0);
    assert_eq!(
        bed.json(r#"alert::trigger(#{ key: "other", title: "t" }).sent"#),
        json!(2)
    );
    assert_eq!(
        bed.json(r#"alert::silences().map(|s| [s.reason, s.matchers])"#),
        json!([["the store moves", { "key": "back*", "severity": "error" }]])
    );
    bed.json(&format!(r#"alert::unsilence({id})"#));
    assert_eq!(
        bed.json(r#"alert::trigger(#{ key: "backup", title: "t" }).sent"#),
        json!(2)
    );
    assert_eq!(
        bed.run(&format!("alert::unsilence({id})")).error().kind(),
        "alert.no_silence"
    );
    bed.json(r#"alert::silence("backup", "1ms", "over at once")"#);
    assert_eq!(bed.json(r#"[alert::silences(), alert::trigger(#{ key: "backup", title: "t", to: ["chat"] }).sent]"#), json!([[], 1]));
    assert_eq!(
        bed.run(r#"alert::silence("a", "1h", "x", #{ on: ["chat"] })"#)
            .error()
            .kind(),
        "alert.not_alertmanager"
    );
    assert!(
        bed.run(r#"alert::silence(#{}, "1h", "x")"#).result.is_err(),
        "everything is not silenced by mistake"
    );
}

#[test]
fn without_channels_nothing_happens() {
    let bed = Bed::with("[target.local]\n");
    let script = r#"
        let told = alert::trigger(#{ key: "k", title: "t", severity: "critical" });
        alert::acknowledge("k");
        alert::resolve("k", "over");
        [told.sent, told.channels, alert::channels(), alert::open()]
    "#;
    let ran = bed.run(script);
    assert_eq!(ran.json(), json!([0, [], [], []]));
    assert!(ran.findings().is_empty());
    assert!(!bed.folder.0.join(".ccrun/alerts").exists());
}

#[test]
fn a_dry_run_sends_nothing_and_says_what_would_go_where() {
    let server = receiver();
    let bed = bed(&server);
    let ran = bed.dry(
        r#"
        alert::trigger(#{ key: "a", title: "Full", severity: "critical" });
        alert::resolve("a");
        alert::silence("a", "1h", "x");
        "#,
    );
    ran.result.as_ref().expect("the plan");
    assert_eq!(
        ran.planned(),
        [
            ("trigger a ([CRITICAL] Full) to chat (discord), kept (webhook), page (discord), quiet (discord)".to_owned(), false),
            ("resolve a ([RESOLVED] a) to kept (webhook)".to_owned(), false),
            ("silence key=a for 1h: x".to_owned(), false),
        ]
    );
    assert_eq!(server.seen().len(), 0);
    assert!(!bed.folder.0.join(".ccrun/alerts").exists());
}

#[test]
fn a_permission_names_channels() {
    let server = receiver();
    let bed = bed(&server);
    let first = r#"alert::trigger(#{ key: "a", title: "t", severity: "info" }).sent"#;
    let trigger = r#"alert::trigger(#{ key: "b", title: "t", severity: "info" }).sent"#;
    assert_eq!(
        bed.allowing(r#"#{ alert: ["chat"] }"#, first).json(),
        json!(1)
    );
    let denied = bed.allowing(r#"#{ alert: ["page"] }"#, trigger);
    assert_eq!(denied.error().kind(), "permission_denied");
    assert!(
        denied.error().message().contains("alert chat"),
        "{:?}",
        denied.error()
    );
    assert_eq!(
        bed.allowing("#{}", trigger).error().kind(),
        "permission_denied"
    );
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn a_mistake_in_the_channels_is_named_and_a_secret_in_plain_text_is_one() {
    for (channels, says, hint) in [
        (
            r#"ops = "slak:secret:X""#,
            "no kind of channel `slak`",
            "did you mean `slack:`?",
        ),
        (
            r#"ops = "slack:https://hooks.slack.com/services/T/B/hunter22""#,
            "whoever knows",
            "slack:secret:NAME",
        ),
        (
            r#"ops = { url = "ntfy:https://ntfy.sh/x", token = "tk_hunter22" }"#,
            "`token` stands there in plain text",
            "secret:NAME",
        ),
        (
            r#"ops = { url = "stdout:", severty = "error" }"#,
            "severty",
            "severity",
        ),
        (
            r#"ops = { url = "stdout:", severity = "fatal" }"#,
            "fatal",
            "severity",
        ),
        (
            r#"ops = { url = "stdout:", fallback = "nobody" }"#,
            "no channel `nobody`",
            "kind:place",
        ),
        (
            r#"ops = { url = "stdout:", repeat = "often" }"#,
            "`repeat`",
            "kind:place",
        ),
    ] {
        let ran = Bed::new(channels).run(r#"alert::trigger(#{ key: "k", title: "t" })"#);
        let error = ran.error();
        assert_eq!(error.kind(), "config.section", "{channels}: {error:?}");
        assert!(error.message().contains(says), "{channels}: {error:?}");
        assert!(!format!("{error:?}").contains("hunter22"), "{error:?}");
        assert!(
            error.hint_text().unwrap().contains(hint) || error.message().contains(hint),
            "{error:?}"
        );
    }
}

#[test]
fn a_secret_in_a_text_does_not_leave_the_machine() {
    let server = receiver();
    let bed = Bed::new(
        r#"chat = { url = "discord:secret:PLACE", headers = { "X-Key" = "secret:OTHER" } }"#,
    )
    .secret("PLACE", server.url("/hunter22hunter22"))
    .secret("OTHER", "correct-horse-battery");
    bed.json(r#"alert::trigger(#{ key: "a", title: "first" })"#);
    // The run that knows the secret now: its error text has it.
    let script = r#"
        alert::trigger(#{ key: "b", title: "first" });
        alert::trigger(#{ key: "c", title: "said correct-horse-battery", body: "and correct-horse-battery", labels: #{ why: "correct-horse-battery" } }).sent
    "#;
    assert_eq!(bed.json(script), json!(1));
    let seen = server.seen();
    assert!(
        !seen[2].text().contains("correct-horse"),
        "{}",
        seen[2].text()
    );
}

#[test]
fn many_runs_at_once_lose_nothing_of_each_others() {
    let server = receiver();
    let bed = bed(&server);
    std::thread::scope(|scope| {
        for n in 0..8 {
            let bed = &bed;
            scope.spawn(move || {
                bed.json(&format!(
                    r#"alert::trigger(#{{ key: "k{n}", title: "t", severity: "info" }})"#
                ))
            });
        }
    });
    assert_eq!(bed.json("alert::open().len()"), json!(8));
}
