//! Requests and responses.

use std::net::TcpListener;

use ccrun_kernel::rhai::Map;

use super::{dry, fails, map, run};
use crate::web::server::{Reply, Server};

#[test]
fn a_json_answer_is_a_value() {
    let server = Server::start(|_, _| Reply::json(200, r#"{"name": "tasks", "rows": [1, 2]}"#));
    let seen = map(&format!("http::get(`{}`)", server.url("/a")));
    assert_eq!(seen["status"].as_int().unwrap(), 200);
    assert!(seen["ok"].as_bool().unwrap());
    let json = seen["json"].clone().cast::<Map>();
    assert_eq!(json["rows"].to_string(), "[1, 2]");
    assert_eq!(
        seen["headers"].clone().cast::<Map>()["connection"].to_string(),
        "close"
    );
    assert_eq!(seen["attempts"].as_int().unwrap(), 1);
}

#[test]
fn an_answer_that_is_not_text_is_a_blob() {
    let server = Server::start(|_, _| Reply::new(200, &[], [0xff, 0x00, 0x80]));
    let seen = map(&format!("http::get(`{}`)", server.url("/")));
    assert_eq!(
        seen["body"].clone().into_blob().unwrap(),
        [0xff, 0x00, 0x80]
    );
    assert!(seen["json"].is_unit());
}

#[test]
fn query_json_and_authentication_arrive() {
    let server = Server::start(|_, _| Reply::text(201, ""));
    let script = format!(
        r#"http::post(`{}`, #{{
            query: #{{ a: "x y", b: [1, 2], c: () }},
            json: #{{ title: "ü", n: 1, token: secret::random("t", 12) }},
            headers: #{{ "X-Trace": "7" }},
            basic: #{{ user: "ann", password: "p:w" }},
        }})"#,
        server.url("/tasks?z=0")
    );
    map(&script.replace(r#"secret::random("t", 12)"#, "1.5"));
    let [asked] = server.seen().try_into().unwrap();
    assert_eq!(asked.method, "POST");
    assert_eq!(asked.target, "/tasks?z=0&a=x+y&b=1&b=2");
    assert_eq!(asked.header("x-trace"), "7");
    assert_eq!(asked.header("authorization"), "Basic YW5uOnA6dw==");
    assert_eq!(asked.header("content-type"), "application/json");
    assert!(asked.text().contains(r#""title":"ü""#), "{}", asked.text());
}

#[test]
fn a_form_is_sent_as_browsers_do() {
    let server = Server::start(|_, _| Reply::text(200, ""));
    map(&format!(
        r#"http::post(`{}`, #{{ form: #{{ grant_type: "password", email: "a+b@c.d" }} }})"#,
        server.url("/token")
    ));
    let [asked] = server.seen().try_into().unwrap();
    assert_eq!(
        asked.header("content-type"),
        "application/x-www-form-urlencoded"
    );
    assert!(
        asked.text().contains("email=a%2Bb%40c.d"),
        "{}",
        asked.text()
    );
}

#[test]
fn user_and_password_in_the_url_authenticate_and_never_show() {
    let server = Server::start(|_, _| Reply::text(500, "no"));
    let url = format!("http://ann:hunter2@127.0.0.1:{}/x", server.port);
    let error = fails(&format!("http::get(`{url}`, #{{ retries: 0 }})"));
    assert!(
        !format!("{error:?}{}", error.to_json()).contains("hunter2"),
        "{error:?}"
    );
    assert_eq!(
        server.seen()[0].header("authorization"),
        "Basic YW5uOmh1bnRlcjI="
    );
}

#[test]
fn a_bad_status_is_an_error_that_says_what_the_server_said() {
    let server = Server::start(|_, _| {
        Reply::json(403, r#"{"message": "permission denied for table tasks"}"#)
    });
    let url = server.url("/tasks");
    let error = fails(&format!("http::get(`{url}`)"));
    assert_eq!(error.kind(), "http.status");
    assert_eq!(error.code_text(), Some("403"));
    assert_eq!(
        error.message(),
        format!("GET {url} answered 403 Forbidden: permission denied for table tasks")
    );
    assert_eq!(server.seen().len(), 1, "a refusal is not asked again");
}

#[test]
fn a_status_can_be_an_answer() {
    let server = Server::start(|_, _| Reply::text(404, "nothing"));
    let url = server.url("/");
    assert_eq!(
        map(&format!("http::get(`{url}`, #{{ check: false }})"))["status"]
            .as_int()
            .unwrap(),
        404
    );
    map(&format!("http::get(`{url}`, #{{ expect: [200, 404] }})"));
    assert_eq!(
        fails(&format!("http::get(`{url}`, #{{ expect: [200] }})")).kind(),
        "http.status"
    );
}

#[test]
fn a_busy_server_is_asked_again_for_reads_only() {
    let server = Server::start(|_, before| match before {
        0 | 1 => Reply::new(503, &[("retry-after", "0")], ""),
        _ => Reply::text(200, "at last"),
    });
    let seen = map(&format!("http::get(`{}`)", server.url("/")));
    assert_eq!(seen["attempts"].as_int().unwrap(), 3);

    let server = Server::start(|_, _| Reply::new(503, &[("retry-after", "0")], ""));
    let error = fails(&format!("http::post(`{}`)", server.url("/")));
    assert!(error.is_retryable());
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn a_server_that_asks_for_an_hour_is_not_waited_for() {
    let server = Server::start(|_, _| Reply::new(429, &[("retry-after", "3600")], ""));
    let error = fails(&format!("http::get(`{}`)", server.url("/")));
    assert!(error.hint_text().unwrap().contains("1h"), "{error:?}");
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn nobody_there_nobody_answering_and_no_such_name_are_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = listener.local_addr().unwrap();
    let free = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let fast = r#"#{ retries: 0, timeout: "200ms" }"#;
    let refused = fails(&format!("http::get(`http://{free}/`, {fast})"));
    assert_eq!(refused.kind(), "http.connection_refused");
    assert_eq!(refused.message(), format!("nothing listens on {free}"));
    let timeout = fails(&format!("http::get(`http://{silent}/`, {fast})"));
    assert_eq!(timeout.kind(), "http.timeout");
    let dns = fails(r#"http::get("http://no-such-host.invalid/", #{ retries: 0 })"#);
    assert_eq!(dns.kind(), "http.dns");
    let server = Server::start(|_, _| Reply::nothing());
    let lost = fails(&format!("http::get(`{}`, {fast})", server.url("/")));
    assert_eq!(lost.kind(), "http.connection_lost");
    for error in [refused, timeout, dns, lost] {
        assert!(
            error.is_retryable() && error.hint_text().is_some(),
            "{error:?}"
        );
    }
}

#[test]
fn redirects_stay_on_the_host() {
    let server = Server::start(|request, _| match request.target.as_str() {
        "/old" => Reply::new(302, &[("location", "/new")], ""),
        "/new" => Reply::text(200, &request.method),
        "/away" => Reply::new(302, &[("location", "http://elsewhere.example/x")], ""),
        _ => Reply::new(301, &[("location", "/circle")], ""),
    });
    let seen = map(&format!(
        "http::post(`{}`, #{{ json: 1 }})",
        server.url("/old")
    ));
    assert_eq!(
        seen["body"].to_string(),
        "GET",
        "as every client does after a POST"
    );
    let error = fails(&format!("http::get(`{}`)", server.url("/away")));
    assert_eq!(error.kind(), "http.redirect_elsewhere");
    assert_eq!(error.details()["location"], "http://elsewhere.example/x");
    let shown = map(&format!(
        "http::get(`{}`, #{{ follow: false }})",
        server.url("/away")
    ));
    assert_eq!(shown["status"].as_int().unwrap(), 302);
    assert_eq!(
        fails(&format!("http::get(`{}`)", server.url("/circle"))).kind(),
        "http.too_many_redirects"
    );
}

#[test]
fn a_body_without_end_is_stopped() {
    let server = Server::start(|_, _| Reply::new(200, &[], vec![b'x'; 100_000]));
    let error = fails(&format!(
        "http::get(`{}`, #{{ max_body: \"64KiB\" }})",
        server.url("/")
    ));
    assert_eq!(error.kind(), "http.body_too_large");
    assert!(error.hint_text().unwrap().contains("http::download"));
}

#[test]
fn what_is_no_url_says_how_to_write_one() {
    for (url, says) in [
        ("localhost:3000/x", "neither `http:` nor `https:`"),
        ("example.org/x", "begins with no scheme"),
        ("s3://bucket", "s3::bucket"),
        ("http://", "host"),
    ] {
        let error = fails(&format!("http::get(\"{url}\")"));
        assert!(error.message().contains(says), "{url}: {error:?}");
    }
}

#[test]
fn a_dry_run_asks_and_changes_nothing() {
    let server = Server::start(|_, _| Reply::json(200, r#"{"id": 1}"#));
    let (result, _) = dry(&format!(
        r#"let id = http::get(`{0}`).json.id; http::query(`{0}`, #{{ json: id }}); http::post(`{0}`, #{{ json: id }}); http::delete(`{0}`); id"#,
        server.url("/")
    ));
    assert_eq!(result.unwrap().as_int().unwrap(), 1);
    let methods: Vec<String> = server
        .seen()
        .into_iter()
        .map(|asked| asked.method)
        .collect();
    assert_eq!(methods, ["GET", "POST"], "the query, not the change");
}

#[test]
fn waiting_ends_when_the_server_is_as_it_should_be() {
    let server = Server::start(|_, before| match before {
        0 => Reply::text(503, "starting"),
        1 => Reply::text(200, "migrating"),
        _ => Reply::text(200, "ready"),
    });
    let seen = map(&format!(
        r#"http::wait_for(`{}`, #{{ interval: "10ms", contains: "ready" }})"#,
        server.url("/")
    ));
    assert_eq!(seen["attempts"].as_int().unwrap(), 3);
    let error = fails(&format!(
        r#"http::wait_for(`{}`, #{{ interval: "10ms", timeout: "60ms", status: 204 }})"#,
        server.url("/")
    ));
    assert_eq!(error.kind(), "http.wait_timeout");
    assert!(
        error.message().ends_with("seen last: status 200, not 204"),
        "{error:?}"
    );
}

#[test]
fn a_header_with_a_line_break_is_refused_and_not_shown() {
    let error = fails(r#"http::get("http://127.0.0.1:1/", #{ bearer: "abc\nHost: evil" })"#);
    assert_eq!(error.kind(), "http.invalid_request");
    assert!(!error.message().contains("evil"));
    assert_eq!(
        fails(r#"http::post("http://127.0.0.1:1/", #{ json: 1, body: "x" })"#).kind(),
        "http.invalid_request"
    );
}

#[test]
fn connect_to_goes_there_whatever_the_name_is() {
    let server = Server::start(|request, _| Reply::text(200, request.header("host")));
    let script = format!(
        r#"http::get("http://command.example:{0}/", #{{ connect_to: "127.0.0.1" }}).body"#,
        server.port
    );
    assert_eq!(
        run(&script).unwrap().to_string(),
        format!("command.example:{}", server.port)
    );
}
