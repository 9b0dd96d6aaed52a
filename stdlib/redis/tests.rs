//! Scripts against a real Redis.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;

use ccrun_kernel::rhai::Dynamic;
use ccrun_kernel::testing::{eval, eval_dry};
use ccrun_kernel::value::to_json;
use ccrun_kernel::{Error, Result};
use ccrun_tests::redis::{PASSWORD, Redis};
use serde_json::{Value, json};

use super::namespace;

fn script(server: &Redis, body: &str) -> String {
    let address = server.address;
    format!(
        "let r = redis::connect(#{{ host: \"{}\", port: {}, password: \"{PASSWORD}\" }});\n{body}",
        address.ip(),
        address.port()
    )
}

fn run(server: &Redis, body: &str) -> Result<Dynamic> {
    eval(vec![namespace()], &script(server, body))
}

fn gives(server: &Redis, body: &str) -> Value {
    match run(server, body) {
        Ok(value) => to_json(&value),
        Err(error) => panic!("{body}: {error:?}"),
    }
}

fn fails(script: &str) -> Error {
    match eval(vec![namespace()], script) {
        Err(error) => error,
        Ok(value) => panic!("{script}: did not fail but gave {value:?}"),
    }
}

#[test]
fn a_server_is_asked_and_changed() {
    let server = Redis::start();
    assert_eq!(gives(&server, r#"r.ping() < "1s""#), json!(true));
    assert_eq!(
        gives(
            &server,
            r#"[
                r.command(["SET", "a", 1]), r.query(["GET", "a"]), r.command(["INCRBY", "a", 41]), r.query(["GET", "nothing"]),
                r.command(["HSET", "h", "x", "1", "y", "ä"]), r.query(["HGETALL", "h"]), r.query(["EXISTS", "a", "h"]),
            ]"#
        ),
        json!(["OK", "1", 42, null, 2, { "x": "1", "y": "ä" }, 2])
    );
    assert_eq!(server.cli(&["GET", "a"]), "42");
    let bytes = gives(
        &server,
        r#"r.command(["SET", "b", blob(3, 0xff)]); r.query(["GET", "b"]).len()"#,
    );
    assert_eq!(bytes, json!(3));
}

#[test]
fn the_report_has_sections_with_numbers() {
    let server = Redis::start();
    let script = r#"
        r.command(["SET", "a", "1"]);
        let info = r.info();
        [info.server.redis_version.len() > 3, info.memory.used_memory > 1000, info.keyspace.db0.keys,
         r.info("clients").connected_clients >= 1, r.query(["CONFIG", "GET", "maxmemory"]).maxmemory]
    "#;
    assert_eq!(gives(&server, script), json!([true, true, 1, true, "0"]));
    let error = fails(&super::tests::script(&server, r#"r.info("nonsense")"#));
    assert_eq!(error.kind(), "redis.no_section");
}

#[test]
fn what_only_asks_can_t_change_anything_and_neither_can_a_dry_run() {
    let server = Redis::start();
    for command in [
        r#"["SET", "a", "1"]"#,
        r#"["CONFIG", "SET", "maxmemory", "1"]"#,
        r#"["FLUSHALL"]"#,
        r#"["EVAL", "return redis.call('SET', 'a', '1')", "0"]"#,
        r#"["SHUTDOWN"]"#,
    ] {
        let error = fails(&script(&server, &format!("r.query({command})")));
        assert_eq!(error.kind(), "redis.changes", "{command}: {error:?}");
    }
    let body = script(
        &server,
        r#"r.command(["SET", "a", "1"]); r.query(["GET", "a"]) == ()"#,
    );
    let (result, records) = eval_dry(vec![namespace()], &body);
    assert!(
        result.expect("the plan").as_bool().unwrap(),
        "nothing was set"
    );
    let planned = records.iter().find_map(|record| match &record.event {
        ccrun_kernel::event::Event::Planned(change) => Some(change.preview.summary.clone()),
        _ => None,
    });
    let planned = planned.expect("a planned change");
    assert!(planned.starts_with("SET on 127.0.0.1:"), "{planned}");
    assert!(planned.ends_with("writes"), "{planned}");
    assert_eq!(server.cli(&["DBSIZE"]), "0");
}

#[test]
fn what_means_the_connection_and_what_is_unknown_is_refused_with_a_hint() {
    let server = Redis::start();
    let error = fails(&script(&server, r#"r.command(["SELECT", "1"])"#));
    assert_eq!(error.kind(), "redis.session_command");
    let error = fails(&script(&server, r#"r.query(["GTE", "a"])"#));
    assert_eq!(error.kind(), "redis.unknown_command");
    assert_eq!(error.hint_text(), Some("did you mean `GET`?"));
    let error = fails(&script(
        &server,
        r#"r.command(["LPUSH", "l", "1"]); r.query(["GET", "l"])"#,
    ));
    assert_eq!(error.kind(), "redis.wrong_type");
    let error = fails(&script(&server, r#"r.query([])"#));
    assert_eq!(error.kind(), "redis.no_command");
}

#[test]
fn a_wrong_password_and_none_are_told_apart_and_none_is_repeated() {
    let server = Redis::start();
    let at = format!("host: \"127.0.0.1\", port: {}", server.address.port());
    let wrong = fails(&format!(
        r#"redis::connect(#{{ {at}, password: "hunter22-wrong" }}).ping()"#
    ));
    assert_eq!(wrong.kind(), "redis.auth_failed", "{wrong:?}");
    assert!(
        wrong.hint_text().unwrap().contains("requirepass"),
        "{wrong:?}"
    );
    assert!(!format!("{wrong:?}").contains("hunter22"), "{wrong:?}");
    let none = fails(&format!("redis::connect(#{{ {at} }}).ping()"));
    assert_eq!(none.kind(), "redis.auth_failed", "{none:?}");
    assert!(
        none.hint_text().unwrap().contains("password = "),
        "{none:?}"
    );
    let url = fails(&format!(
        r#"redis::connect("redis://:hunter22-wrong@127.0.0.1:{}/0").ping()"#,
        server.address.port()
    ));
    assert_eq!(url.kind(), "redis.auth_failed");
    assert!(!format!("{url:?}").contains("hunter22"), "{url:?}");
}

#[test]
fn a_server_that_is_full_says_so() {
    let server = Redis::start();
    let script = script(
        &server,
        r#"
        r.command(["CONFIG", "SET", "maxmemory", "100"]);
        r.command(["SET", "big", "x"])
        "#,
    );
    let error = fails(&script);
    assert_eq!(error.kind(), "redis.out_of_memory", "{error:?}");
    assert!(error.hint_text().unwrap().contains("maxmemory"));
}

#[test]
fn nobody_there_and_somebody_silent() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let refused = fails(&format!(
        r#"redis::connect("redis://127.0.0.1:{port}").ping()"#
    ));
    assert_eq!(refused.kind(), "redis.connection_refused", "{refused:?}");
    assert!(refused.is_retryable());
    let port = silent.local_addr().unwrap().port();
    let timeout = fails(&format!(
        r#"redis::connect(#{{ host: "127.0.0.1", port: {port}, timeout: "300ms" }}).ping()"#
    ));
    assert_eq!(timeout.kind(), "redis.timeout", "{timeout:?}");
    let dns = fails(r#"redis::connect("redis://no-such-host.invalid").ping()"#);
    assert_eq!(dns.kind(), "redis.dns", "{dns:?}");
    let tls = fails(&format!(
        r#"redis::connect("rediss://127.0.0.1:{}").ping()"#,
        http()
    ));
    assert_eq!(tls.kind(), "redis.tls", "{tls:?}");
    let none = fails("redis::connect()");
    assert_eq!(none.kind(), "config.section");
    let url = fails(r#"redis::connect("http://localhost")"#);
    assert_eq!(url.kind(), "redis.bad_url");
}

/// The port of somebody who speaks something else.
fn http() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut some = [0; 16];
            let _ = stream.read(&mut some);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    port
}

#[test]
fn a_connection_that_broke_is_made_anew() {
    let server = Redis::start();
    // `CLIENT KILL` of everybody but us ends the connection that the next command would use.
    let script = r#"
        r.ping();
        let other = redis::connect(#{ host: "127.0.0.1", port: PORT, password: PASSWORD, database: 1 });
        other.command(["CLIENT", "KILL", "SKIPME", "yes", "TYPE", "normal"]);
        r.query(["DBSIZE"])
    "#
    .replace("PORT", &server.address.port().to_string())
    .replace("PASSWORD", &format!("\"{PASSWORD}\""));
    assert_eq!(gives(&server, &script), json!(0));
}
