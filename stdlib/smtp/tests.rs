//! Scripts against a real mail server, and against one that says what no real one says on demand.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;

use ccrun_kernel::rhai::Dynamic;
use ccrun_kernel::testing::{eval, eval_dry, eval_in};
use ccrun_kernel::value::to_json;
use ccrun_kernel::{Error, Result};
use ccrun_tests::mail::{MailServer, PASSWORD, USER};
use serde_json::{Value, json};

use super::namespace;

fn run(server: &MailServer, body: &str) -> Result<Dynamic> {
    let folder = ccrun_kernel::testing::Scratch::new();
    std::fs::write(folder.0.join("ca.pem"), &server.authority).unwrap();
    let script = body
        .replace("PLAIN", &server.plain.port().to_string())
        .replace("SUBMISSION", &server.submission.port().to_string())
        .replace("IMPLICIT", &server.implicit.port().to_string())
        .replace("USER", &format!("\"{USER}\""))
        .replace("SECRET", &format!("\"{PASSWORD}\""))
        .replace("CA", "fs::read(\"ca.pem\")");
    eval_in(
        &folder.0,
        vec![namespace(), crate::fs::namespace()],
        &script,
    )
}

fn gives(server: &MailServer, body: &str) -> Value {
    match run(server, body) {
        Ok(value) => to_json(&value),
        Err(error) => panic!("{body}: {error:?}"),
    }
}

fn fails(server: &MailServer, body: &str) -> Error {
    match run(server, body) {
        Err(error) => error,
        Ok(value) => panic!("{body}: did not fail but gave {value:?}"),
    }
}

#[test]
fn a_session_is_checked_step_by_step() {
    let server = MailServer::start();
    let seen = gives(
        &server,
        r#"let seen = smtp::check(#{ host: "localhost", port: SUBMISSION, user: USER, password: SECRET, ca: CA });
           #{ steps: seen.steps.map(|s| s.name), encrypted: seen.encrypted, logged_in: seen.logged_in, name: seen.name,
              trusted: seen.certificate.trusted, names: seen.certificate.names, offers: seen.offers.filter(|o| o.starts_with("AUTH")),
              size: seen.offers.some(|o| o.starts_with("SIZE")), quick: seen.steps.all(|s| s.elapsed < "5s") }"#,
    );
    assert_eq!(
        seen,
        json!({
            "steps": ["connect", "ehlo", "starttls", "auth", "quit"],
            "encrypted": true, "logged_in": true, "name": "mail.example.org",
            "trusted": true, "names": ["localhost", "127.0.0.1"],
            "offers": ["AUTH PLAIN LOGIN"], "size": true, "quick": true,
        })
    );
    let implicit = gives(
        &server,
        r#"let seen = smtp::check(#{ host: "localhost", port: IMPLICIT, tls: "implicit", user: USER, password: SECRET, ca: CA });
           [seen.steps.map(|s| s.name), seen.logged_in]"#,
    );
    assert_eq!(implicit, json!([["tls", "auth", "quit"], true]));
    let plain = gives(
        &server,
        r#"let seen = smtp::check(#{ host: "localhost", port: PLAIN, tls: "none" });
           [seen.encrypted, seen.certificate, seen.logged_in]"#,
    );
    assert_eq!(plain, json!([false, null, false]));
}

#[test]
fn a_letter_arrives_whatever_is_in_it() {
    let server = MailServer::start();
    let sent = gives(
        &server,
        r#"let sent = smtp::send(#{
               to: ["Zoë <zoe@example.org>"], cc: ["bob@elsewhere.example"], from: "Operations <ops@example.org>", subject: "Sicherung ✓ 漢字",
               text: "Größe: 5 MiB\n.\n..\nEnde", html: "<p>Größe</p>", headers: #{ "Auto-Submitted": "auto-generated" },
               host: "localhost", port: SUBMISSION, user: USER, password: SECRET, ca: CA });
           [sent.accepted, sent.encrypted, sent.id.contains("@example.org")]"#,
    );
    assert_eq!(
        sent,
        json!([["zoe@example.org", "bob@elsewhere.example"], true, true])
    );
    let mailbox = server.mailbox_with("Auto-Submitted: auto-generated");
    for text in [
        "Subject: Sicherung =?utf-8?",
        "multipart/alternative",
        "From: Operations <ops@example.org>",
    ] {
        assert!(mailbox.contains(text), "{text}: {mailbox}");
    }
}

#[test]
fn a_wrong_password_and_what_is_not_trusted() {
    let server = MailServer::start();
    let wrong = fails(
        &server,
        r#"smtp::check(#{ host: "localhost", port: SUBMISSION, user: USER, password: "hunter22-wrong", ca: CA })"#,
    );
    assert_eq!(wrong.kind(), "smtp.auth_failed", "{wrong:?}");
    assert_eq!(wrong.code_text(), Some("535"));
    assert!(!format!("{wrong:?}").contains("hunter22"), "{wrong:?}");
    let untrusted = fails(
        &server,
        r#"smtp::check(#{ host: "localhost", port: SUBMISSION, user: USER, password: SECRET })"#,
    );
    assert_eq!(untrusted.kind(), "smtp.tls", "{untrusted:?}");
    let certificate = &untrusted.details()["certificate"];
    assert_eq!(certificate["trusted"], json!(false));
    assert_eq!(certificate["names"], json!(["localhost", "127.0.0.1"]));
    let insecure = gives(
        &server,
        r#"smtp::check(#{ host: "localhost", port: SUBMISSION, user: USER, password: SECRET, insecure: true }).certificate.trusted"#,
    );
    assert_eq!(insecure, json!(false));
}

#[test]
fn what_the_server_does_not_take_is_said() {
    let server = MailServer::start();
    let nobody = fails(
        &server,
        r#"smtp::send(#{ to: ["a@elsewhere.example"], from: "ops@example.org", host: "localhost", port: PLAIN, tls: "none" })"#,
    );
    assert_eq!(nobody.kind(), "smtp.recipient_rejected", "{nobody:?}");
    assert!(nobody.message().contains("a@elsewhere.example"), "{nobody}");
    assert!(nobody.message().contains("nothing was sent"), "{nobody}");
    let half = fails(
        &server,
        r#"smtp::send(#{ to: ["a@elsewhere.example", "b@example.org"], subject: "half of them", from: "ops@example.org", host: "localhost", port: PLAIN, tls: "none" })"#,
    );
    assert_eq!(half.kind(), "smtp.recipient_rejected");
    assert!(half.message().contains("sent to b@example.org"), "{half}");
    assert!(!half.is_retryable(), "b would get it twice");
    let _ = server.mailbox_with("half of them");
    let large = fails(
        &server,
        r#"let text = ""; text.pad(300000, "x"); smtp::send(#{ to: ["b@example.org"], from: "ops@example.org", text: text, host: "localhost", port: PLAIN, tls: "none" })"#,
    );
    assert_eq!(large.kind(), "smtp.too_large", "{large:?}");
    let starttls = fails(
        &server,
        r#"smtp::check(#{ host: "localhost", port: PLAIN })"#,
    );
    assert_eq!(starttls.kind(), "smtp.no_starttls");
    let plain = fails(
        &server,
        r#"smtp::send(#{ to: ["b@example.org"], from: "ops@example.org", host: "localhost", port: SUBMISSION, tls: "none" })"#,
    );
    assert_eq!(plain.kind(), "smtp.tls_required", "{plain:?}");
    let implicit = fails(
        &server,
        r#"smtp::check(#{ host: "localhost", port: PLAIN, tls: "implicit", timeout: "3s" })"#,
    );
    assert_eq!(implicit.kind(), "smtp.tls", "{implicit:?}");
}

/// A server that answers each command as it is told to: by the first word of the command.
fn says(answers: &'static [(&'static str, &'static str)]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut out = stream.try_clone().unwrap();
            let _ = out.write_all(b"220 scripted ESMTP\r\n");
            for line in BufReader::new(stream)
                .lines()
                .map_while(std::io::Result::ok)
            {
                let word = line
                    .split([' ', ':'])
                    .next()
                    .unwrap_or_default()
                    .to_uppercase();
                let answer = answers.iter().find(|(command, _)| *command == word);
                let text = match (answer, word.as_str()) {
                    (Some((_, text)), _) => *text,
                    (None, "EHLO") => "250-scripted\r\n250 8BITMIME",
                    (None, "QUIT") => "221 bye",
                    _ => "250 ok",
                };
                if text.is_empty() {
                    break;
                }
                let _ = out.write_all(format!("{text}\r\n").as_bytes());
            }
        }
    });
    port
}

#[test]
fn what_may_pass_is_told_from_what_will_not() {
    for (answers, kind, retryable) in [
        (
            &[(
                "RCPT",
                "451 4.7.1 Greylisting in action, please come back later",
            )][..],
            "smtp.greylisted",
            true,
        ),
        (
            &[("RCPT", "452 4.2.2 mailbox full")],
            "smtp.try_later",
            true,
        ),
        (
            &[("MAIL", "421 4.3.2 shutting down")],
            "smtp.try_later",
            true,
        ),
        (
            &[("MAIL", "553 5.7.1 not your address")],
            "smtp.sender_rejected",
            false,
        ),
        (
            &[("RCPT", "550 5.7.1 authentication required")],
            "smtp.auth_required",
            false,
        ),
        (
            &[("DATA", "554 5.7.1 looks like spam")],
            "smtp.rejected",
            false,
        ),
        (&[("EHLO", "554 go away")], "smtp.refused", false),
        (&[("MAIL", "")], "smtp.connection_lost", true),
        (
            &[("EHLO", "HTTP/1.1 400 Bad Request")],
            "smtp.not_smtp",
            false,
        ),
    ] {
        let port = says(answers);
        let script = format!(
            r#"smtp::send(#{{ to: ["b@example.org"], from: "ops@example.org", host: "127.0.0.1", port: {port}, tls: "none" }})"#
        );
        let error = eval(vec![namespace()], &script).expect_err(kind);
        assert_eq!(error.kind(), kind, "{answers:?}: {error:?}");
        assert_eq!(error.is_retryable(), retryable, "{answers:?}");
        assert!(error.hint_text().is_some(), "{error:?}");
    }
    let port = says(&[]);
    let no_auth = eval(
        vec![namespace()],
        &format!(
            r#"smtp::check(#{{ host: "127.0.0.1", port: {port}, tls: "none", user: "a", password: "b" }})"#
        ),
    );
    assert_eq!(no_auth.unwrap_err().kind(), "smtp.no_auth");
}

#[test]
fn nobody_there_somebody_silent_and_no_such_name() {
    let check = |host: &str, port: u16| {
        let script = format!(
            r#"smtp::check(#{{ host: "{host}", port: {port}, tls: "none", timeout: "300ms" }})"#
        );
        eval(vec![namespace()], &script).unwrap_err()
    };
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    assert_eq!(check("127.0.0.1", port).kind(), "smtp.connection_refused");
    let error = check("127.0.0.1", silent.local_addr().unwrap().port());
    assert_eq!(error.kind(), "smtp.timeout", "{error:?}");
    assert!(error.is_retryable());
    let none = eval(vec![namespace()], "smtp::check()").unwrap_err();
    assert_eq!(none.kind(), "config.section");
}

#[test]
fn a_dry_run_sends_nothing_and_says_what_it_would() {
    let port = says(&[]);
    let script = format!(
        r#"smtp::send(#{{ to: ["b@example.org"], subject: "Hello", from: "ops@example.org", host: "127.0.0.1", port: {port}, tls: "none" }});"#
    );
    let (result, records) = eval_dry(vec![namespace()], &script);
    drop(result.expect("the plan"));
    let planned = records.iter().find_map(|record| match &record.event {
        ccrun_kernel::event::Event::Planned(change) => Some(change.preview.summary.clone()),
        _ => None,
    });
    assert_eq!(
        planned,
        Some(format!(
            "a letter to b@example.org by 127.0.0.1:{port}: Hello"
        ))
    );
}
