use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::*;
use crate::runbook::parse;

fn cron(line: &str, zone: &str) -> Cron {
    Cron::parse(line, TimeZone::get(zone).unwrap()).unwrap()
}

/// The times of a line within a span, in UTC without the seconds.
fn times(line: &str, zone: &str, from: &str, to: &str) -> Vec<String> {
    let cron = cron(line, zone);
    let (mut at, to): (Timestamp, Timestamp) = (from.parse().unwrap(), to.parse().unwrap());
    let mut found = Vec::new();
    while let Some(next) = cron.next(at).filter(|next| *next <= to) {
        assert!(next > at, "{line} stands still at {at}");
        found.push(next.strftime("%m-%d %H:%M").to_string());
        at = next;
    }
    found
}

#[test]
fn lines_mean_what_crontab_says() {
    for (line, expected) in [
        ("0 2 * * *", "2026-03-05 02:00:00"),
        ("*/10 * * * *", "2026-03-04 12:40:00"),
        ("30/15 * * * *", "2026-03-04 12:45:00"),
        ("5,7 12-14 * * *", "2026-03-04 13:05:00"),
        ("0 0 1 * *", "2026-04-01 00:00:00"),
        ("0 0 L * *", "2026-03-31 00:00:00"),
        ("0 0 29 2 *", "2028-02-29 00:00:00"),
        ("0 4 * * MON#1", "2026-04-06 04:00:00"),
        ("0 4 * * 5L", "2026-03-27 04:00:00"),
        ("0 4 * * sun", "2026-03-08 04:00:00"),
        ("0 4 * * 7", "2026-03-08 04:00:00"),
        ("0 4 * jan,jun mon-fri", "2026-06-01 04:00:00"),
        // Both restricted: either day.
        ("0 0 13 * 5", "2026-03-06 00:00:00"),
        ("*/20 * * * * *", "2026-03-04 12:34:20"),
        ("@daily", "2026-03-05 00:00:00"),
        ("@hourly", "2026-03-04 13:00:00"),
    ] {
        let after: Timestamp = "2026-03-04T12:34:00Z".parse().unwrap();
        let next = cron(line, "UTC").next(after).unwrap();
        assert_eq!(next.strftime("%F %T").to_string(), expected, "{line}");
    }
}

#[test]
fn what_is_no_line_says_why() {
    for (line, why) in [
        ("0 3 0 * *", "`0` is no day of the month: it is 1 to 31"),
        ("60 * * * *", "`60` is no minute: it is 0 to 59"),
        ("0 24 * * *", "`24` is no hour: it is 0 to 23"),
        ("* * *", "and this one has 3"),
        ("0 0 31 2 *", "never comes"),
        ("0 0 30 feb *", "never comes"),
        ("*/0 * * * *", "the step of the minute is no number above 0"),
        (
            "0 22-6 * * *",
            "goes backwards: write two parts, `22-23,0-6`",
        ),
        ("0 0 * * mon#6", "a month has a weekday 1 to 5 times"),
        ("0 0 * foo *", "`foo` is no month"),
        ("@reboot", "is no time"),
        ("", "has 0"),
    ] {
        let error = Cron::parse(line, TimeZone::UTC).unwrap_err();
        assert!(error.contains(why), "{line}: {error}");
    }
}

#[test]
fn clocks_put_forward_skip_no_fixed_time() {
    // Berlin, 2026-03-29: 02:00 becomes 03:00 at 01:00 UTC.
    let berlin = |line| {
        times(
            line,
            "Europe/Berlin",
            "2026-03-28T12:00:00Z",
            "2026-03-30T12:00:00Z",
        )
    };
    assert_eq!(berlin("30 2 * * *"), ["03-29 01:00", "03-30 00:30"]);
    assert_eq!(berlin("0 2 * * *"), ["03-29 01:00", "03-30 00:00"]);
    assert_eq!(berlin("0 3 * * *"), ["03-29 01:00", "03-30 01:00"]);
    // Both a skipped and a real time at the same moment: one run.
    assert_eq!(
        berlin("0 2,3 * * *"),
        ["03-29 01:00", "03-30 00:00", "03-30 01:00"]
    );
    // New York, 2026-03-08: 02:00 becomes 03:00 at 07:00 UTC.
    assert_eq!(
        times(
            "30 2 * * *",
            "America/New_York",
            "2026-03-08T00:00:00Z",
            "2026-03-09T12:00:00Z"
        ),
        ["03-08 07:00", "03-09 06:30"]
    );
    // Lord Howe, 2026-10-04: 02:00 becomes 02:30 at 15:30 UTC the day before.
    assert_eq!(
        times(
            "15 2 * * *",
            "Australia/Lord_Howe",
            "2026-10-03T00:00:00Z",
            "2026-10-05T00:00:00Z"
        ),
        ["10-03 15:30", "10-04 15:15"]
    );
    // Every so often follows the clock on the wall: the skipped hour has no runs.
    assert_eq!(
        times(
            "*/30 * * * *",
            "Europe/Berlin",
            "2026-03-29T00:00:00Z",
            "2026-03-29T02:00:00Z"
        ),
        ["03-29 00:30", "03-29 01:00", "03-29 01:30", "03-29 02:00"]
    );
    assert_eq!(
        times(
            "0 * * * *",
            "Europe/Berlin",
            "2026-03-28T23:30:00Z",
            "2026-03-29T02:30:00Z"
        ),
        ["03-29 00:00", "03-29 01:00", "03-29 02:00"]
    );
}

#[test]
fn clocks_put_back_run_a_fixed_time_once() {
    // Berlin, 2026-10-25: 03:00 becomes 02:00 at 01:00 UTC; 02:30 is 00:30 and 01:30 UTC.
    let berlin = |line| {
        times(
            line,
            "Europe/Berlin",
            "2026-10-24T12:00:00Z",
            "2026-10-26T12:00:00Z",
        )
    };
    assert_eq!(berlin("30 2 * * *"), ["10-25 00:30", "10-26 01:30"]);
    assert_eq!(
        times(
            "30 1 * * *",
            "America/New_York",
            "2026-11-01T00:00:00Z",
            "2026-11-02T12:00:00Z"
        ),
        ["11-01 05:30", "11-02 06:30"]
    );
    // Lord Howe, 2026-04-05: 02:00 becomes 01:30 at 15:00 UTC the day before.
    assert_eq!(
        times(
            "45 1 * * *",
            "Australia/Lord_Howe",
            "2026-04-04T00:00:00Z",
            "2026-04-06T00:00:00Z"
        ),
        ["04-04 14:45", "04-05 15:15"]
    );
    assert_eq!(
        times(
            "*/30 * * * *",
            "Europe/Berlin",
            "2026-10-24T23:59:00Z",
            "2026-10-25T02:00:00Z"
        ),
        [
            "10-25 00:00",
            "10-25 00:30",
            "10-25 01:00",
            "10-25 01:30",
            "10-25 02:00"
        ]
    );
}

#[test]
fn a_day_that_a_zone_leaves_out_is_left_out() {
    // Samoa had no 2011-12-30.
    assert_eq!(
        times(
            "0 2 * * *",
            "Pacific/Apia",
            "2011-12-29T00:00:00Z",
            "2012-01-01T00:00:00Z"
        ),
        ["12-29 12:00", "12-30 12:00", "12-31 12:00"]
    );
}

#[test]
fn times_that_passed_are_counted() {
    let hourly = cron("0 * * * *", "UTC");
    let at = |text: &str| -> Timestamp { text.parse().unwrap() };
    let missed = hourly
        .between(at("2026-01-01T00:00:00Z"), at("2026-01-01T05:30:00Z"))
        .unwrap();
    assert_eq!(missed.count, 5);
    assert_eq!(missed.first, at("2026-01-01T01:00:00Z"));
    assert_eq!(missed.last, at("2026-01-01T05:00:00Z"));
    assert!(
        hourly
            .between(at("2026-01-01T05:00:00Z"), at("2026-01-01T05:59:00Z"))
            .is_none()
    );
}

fn trigger(text: &str) -> Trigger {
    let source = format!("runbook(#{{ on: {text} }});");
    parse("t.rhai", source).unwrap().header.unwrap().on[0].clone()
}

#[test]
fn every_kind_is_read() {
    let TriggerSource::Files(files) = trigger(
        r#"#{ files: ["migrations/*.sql", "!*.tmp"], debounce: "500ms", on: ["create", "delete"] }"#,
    )
    .source
    else {
        panic!()
    };
    assert_eq!(files.debounce, Duration::from_millis(500));
    assert_eq!(files.on, [FileChange::Create, FileChange::Delete]);
    assert!(files.gitignore && files.catch_up && files.poll.is_none());

    let nightly = trigger(
        r#"#{ schedule: "0 2 * * *", timezone: "Europe/Berlin", jitter: "5m", catch_up: "1h", retries: 2, overlap: "skip", rate: "3/1h" }"#,
    );
    assert_eq!(nightly.policy.overlap, Overlap::Skip);
    assert_eq!((nightly.policy.retries, nightly.policy.rate.starts), (2, 3));
    assert_eq!(nightly.describe(), "schedule 0 2 * * * Europe/Berlin");

    let TriggerSource::Webhook(hook) = trigger(
        r#"#{ webhook: "/deploy", secret: "DEPLOY_HOOK", when: #{ "ref": "refs/heads/main" } }"#,
    )
    .source
    else {
        panic!()
    };
    assert_eq!((hook.path.as_str(), hook.when.len()), ("/deploy", 1));
    assert_eq!(
        trigger(r#"#{ alert: "PostgreSQLDown" }"#).describe(),
        "alert PostgreSQLDown"
    );
    assert_eq!(
        trigger(r#"#{ docker: #{ event: "die", service: "postgres" } }"#).describe(),
        "docker die of postgres"
    );
    assert_eq!(
        trigger(r#"#{ after: "backup", status: "any" }"#)
            .source
            .kind(),
        "after"
    );
}

#[test]
fn what_is_wrong_with_a_trigger_is_named_at_its_place() {
    for (text, message, hint) in [
        (
            "#{ shedule: \"0 2 * * *\" }",
            "nothing says what fires",
            "did you mean `schedule`",
        ),
        (
            "#{ schedule: \"0 3 0 * *\" }",
            "`0` is no day of the month",
            "every day at 2",
        ),
        (
            "#{ schedule: \"@daily\", timezone: \"Europe/Berlinn\" }",
            "a time zone such as",
            "IANA",
        ),
        (
            "#{ schedule: \"@daily\", jiter: \"5m\" }",
            "has no key `jiter`",
            "did you mean `jitter`?",
        ),
        (
            "#{ schedule: \"@daily\", jitter: \"soon\" }",
            "`soon` is not a duration",
            "",
        ),
        (
            "#{ schedule: \"@daily\", overlap: \"skp\" }",
            "one of queue, skip, restart",
            "\"skip\"",
        ),
        (
            "#{ schedule: \"@daily\", files: \"a\" }",
            "has `files` and `schedule`",
            "two triggers",
        ),
        ("#{ files: \"[a\" }", "`files` of a trigger", ""),
        ("#{ files: [] }", "a pattern such as", ""),
        (
            "#{ files: \"!a\" }",
            "only says what to leave out",
            "[\"**\"",
        ),
        (
            "#{ files: \"a\", on: [\"modfy\"] }",
            "one of create, modify, delete",
            "\"modify\"",
        ),
        (
            "#{ webhook: \"deploy\", secret: \"S\" }",
            "a path such as",
            "",
        ),
        (
            "#{ webhook: \"/metrics\", secret: \"S\" }",
            "is a path of ccrun watch itself",
            "",
        ),
        (
            "#{ webhook: \"/deploy\" }",
            "anybody could start",
            "DEPLOY_HOOK",
        ),
        (
            "#{ docker: #{ service: \"a\" } }",
            "a map such as",
            "`event`",
        ),
        (
            "#{ after: \"a\", rate: \"often\" }",
            "such as \"20/1m\"",
            "",
        ),
        (
            "#{ after: \"a\", params: #{ nmae: 1 } }",
            "which is no parameter",
            "`name`?",
        ),
        (
            "#{ after: \"a\", params: #{ name: \"x\", count: \"x\" } }",
            "count",
            "",
        ),
        (
            "#{ after: \"a\" }",
            "nobody is there to give the parameter `name`",
            "a default",
        ),
    ] {
        let source = format!(
            "runbook(#{{ params: #{{ name: #{{ type: \"string\", required: true }}, count: #{{ type: \"int\" }} }},\non: [ {text} ] }});"
        );
        let error = parse("t.rhai", source).unwrap_err();
        assert!(
            error.message().contains(message),
            "{text}: {}",
            error.message()
        );
        assert!(
            error.hint_text().unwrap_or_default().contains(hint),
            "{text}: {:?}",
            error.hint_text()
        );
        assert_eq!(error.location().map(|at| at.line), Some(2), "{text}");
    }
}

#[test]
fn a_key_stays_until_what_fires_changes() {
    let key = |text: &str| trigger(text).key("backup");
    let base = key(r#"#{ schedule: "0 2 * * *" }"#);
    assert_eq!(
        base,
        key(r#"#{ schedule: "0 2 * * *", retries: 3, catch_up: "1h" }"#)
    );
    assert_ne!(base, key(r#"#{ schedule: "0 3 * * *" }"#));
    assert_ne!(
        base,
        key(r#"#{ schedule: "0 2 * * *", timezone: "Europe/Berlin" }"#)
    );
    assert_ne!(base, trigger(r#"#{ schedule: "0 2 * * *" }"#).key("other"));
}
