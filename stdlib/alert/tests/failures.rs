//! Receivers that are busy, broken, slow, or not who they say they are.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{Bed, OUTCOMES};
use crate::web::server::{Reply, Server};

const ALERT: &str = r#"alert::trigger(#{ key: "k", title: "t" })"#;

fn discord(server: &Server, more: &str) -> Bed {
    Bed::new(&format!(r#"c = {{ url = "discord:secret:PLACE"{more} }}"#))
        .secret("PLACE", server.url("/hunter22hunter22"))
}

#[test]
fn a_busy_receiver_is_asked_again_when_it_says() {
    let server = Server::start(|_, before| match before {
        0 => Reply::new(
            429,
            &[("retry-after", "1"), ("content-type", "application/json")],
            r#"{"message":"You are being rate limited.","retry_after":1.0}"#,
        ),
        _ => Reply::json(204, ""),
    });
    let bed = discord(&server, "");
    let started = Instant::now();
    let outcome = bed.json(&format!("{ALERT}.channels[0]"));
    assert_eq!(
        (&outcome["outcome"], &outcome["attempts"]),
        (&json!("sent"), &json!(2)),
        "{outcome}"
    );
    assert!(started.elapsed() >= Duration::from_secs(1));
    assert_eq!(server.seen().len(), 2);
    // Nobody makes a run wait for an hour.
    let server = Server::start(|_, _| Reply::new(429, &[("retry-after", "3600")], ""));
    let bed = discord(&server, "");
    let outcome = bed.json(&format!("{ALERT}.channels[0]"));
    assert_eq!(outcome["status"], 429, "{outcome}");
    assert!(
        outcome["error"]["hint"].as_str().unwrap().contains("1h"),
        "{outcome}"
    );
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn a_broken_receiver_is_tried_again_and_then_said_to_be_broken() {
    let server = Server::start(|_, before| match before {
        0 => Reply::text(500, "boom"),
        _ => Reply::json(204, ""),
    });
    let outcome = discord(&server, "").json(&format!("{ALERT}.channels[0]"));
    assert_eq!(
        (&outcome["outcome"], &outcome["attempts"]),
        (&json!("sent"), &json!(2))
    );
    let server = Server::start(|_, _| Reply::text(500, "boom"));
    let ran = discord(&server, ", retries = 1").run(&format!("{ALERT}.channels[0]"));
    let outcome = ran.json();
    assert_eq!(outcome["outcome"], "failed");
    assert_eq!(
        (&outcome["status"], &outcome["body"], &outcome["attempts"]),
        (&json!(500), &json!("boom"), &json!(2)),
        "{outcome}"
    );
    // Nobody got it: the run's status says so, though the channel is not required.
    let findings = ran.findings();
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0].0, "the alert k to c");
    // What will not pass is not tried again.
    let server =
        Server::start(|_, _| Reply::json(404, r#"{"message":"Unknown Webhook","code":10015}"#));
    let outcome = discord(&server, "").json(&format!("{ALERT}.channels[0]"));
    assert_eq!(outcome["attempts"], 1);
    assert!(
        outcome["error"]["message"]
            .as_str()
            .unwrap()
            .contains("Unknown Webhook"),
        "{outcome}"
    );
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn a_silent_receiver_and_one_that_is_not_trusted() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = format!("http://{}/hunter22hunter22", silent.local_addr().unwrap());
    let bed = Bed::new(r#"c = { url = "discord:secret:PLACE", timeout = "300ms", retries = 0 }"#)
        .secret("PLACE", place);
    let outcome = bed.json(&format!("{ALERT}.channels[0]"));
    assert_eq!(outcome["error"]["kind"], "http.timeout", "{outcome}");
    // A port that speaks no TLS.
    let plain = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = format!("https://{}/hunter22hunter22", plain.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in plain.incoming().flatten() {
            let mut some = [0; 64];
            let _ = std::io::Read::read(&mut stream, &mut some);
            let _ = std::io::Write::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let bed =
        Bed::new(r#"c = { url = "discord:secret:PLACE", retries = 0 }"#).secret("PLACE", place);
    let outcome = bed.json(&format!("{ALERT}.channels[0]"));
    assert_eq!(outcome["error"]["kind"], "http.tls", "{outcome}");
    assert!(
        outcome["error"]["message"]
            .as_str()
            .unwrap()
            .contains("127.0.0.1"),
        "{outcome}"
    );
    let bed = Bed::new(r#"c = "discord:secret:NOT_THERE""#);
    let outcome = bed.json(&format!("{ALERT}.channels[0]"));
    assert_eq!(outcome["error"]["kind"], "secret.not_found", "{outcome}");
}

#[test]
fn a_fallback_takes_the_place_of_what_fails_and_a_required_channel_fails_the_run() {
    let good = Server::start(|_, _| Reply::json(204, ""));
    let bad = Server::start(|_, _| Reply::text(403, "no"));
    let bed = Bed::new(
        r#"
first = { url = "discord:secret:BAD", required = true, fallback = "second" }
second = { url = "teams:secret:BAD", severity = "critical", fallback = "third" }
third = { url = "discord:secret:GOOD", severity = "critical", fallback = "first" }
other = { url = "discord:secret:GOOD" }
"#,
    )
    .secret("BAD", bad.url("/hunter22-bad"))
    .secret("GOOD", good.url("/hunter22-good"));
    let ran = bed.run(&format!(
        "let told = {ALERT}; [told{OUTCOMES}, told.channels.map(|c| c.instead_of)]"
    ));
    assert_eq!(
        ran.json(),
        json!([
            [
                "first: failed",
                "other: sent",
                "second: failed",
                "third: sent"
            ],
            [null, null, "first", "second"]
        ])
    );
    let findings = ran.findings();
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(findings[0].0, "the alert k to first");
    assert!(findings[0].1.contains("403"), "{findings:?}");
}
