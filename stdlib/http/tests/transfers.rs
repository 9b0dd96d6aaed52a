//! Files over the network.

use std::fs;

use ccrun_kernel::rhai::Map;
use ccrun_kernel::testing::{Scratch, eval_in};
use sha2::{Digest as _, Sha256};

use super::namespaces;
use crate::web::server::{Reply, Server};

/// A body in which every place is different.
fn content() -> Vec<u8> {
    (0..200_000u32).flat_map(u32::to_be_bytes).collect()
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn run(folder: &Scratch, script: &str) -> ccrun_kernel::Result<Map> {
    eval_in(&folder.0, namespaces(), script).map(|value| value.cast())
}

/// Serves the content, and breaks off in the middle the first `breaks` times.
fn unreliable(breaks: usize, etag: fn(usize) -> String) -> Server {
    Server::start(move |request, before| {
        let all = content();
        let tag = etag(before);
        let from = request
            .header("range")
            .strip_prefix("bytes=")
            .and_then(|range| range.trim_end_matches('-').parse::<usize>().ok())
            .filter(|_| request.header("if-range") == tag);
        let start = from.unwrap_or(0);
        let mut rest = all[start..].to_vec();
        let length = rest.len().to_string();
        let range = format!("bytes {start}-{}/{}", all.len() - 1, all.len());
        if before < breaks {
            rest.truncate(rest.len() / 2);
        }
        let headers = [
            ("etag", tag.as_str()),
            ("content-length", length.as_str()),
            ("content-range", range.as_str()),
        ];
        match from {
            Some(_) => Reply::new(206, &headers, rest),
            None => Reply::new(200, &headers[..2], rest),
        }
    })
}

#[test]
fn a_download_goes_on_where_it_broke() {
    let server = unreliable(3, |_| "\"v1\"".to_owned());
    let folder = Scratch::new();
    let wanted = sha256(&content());
    let script = format!(
        r#"http::download(`{}`, "file.bin", #{{ sha256: "{wanted}", mode: "0600", backoff: "1ms" }})"#,
        server.url("/file")
    );
    let seen = run(&folder, &script).unwrap();
    assert_eq!(seen["resumed"].as_int().unwrap(), 3);
    assert_eq!(seen["sha256"].to_string(), wanted);
    assert!(fs::read(folder.0.join("file.bin")).unwrap() == content());
    // The second time there is nothing to do.
    run(&folder, &script).unwrap();
    assert_eq!(server.seen().len(), 4);
}

#[test]
fn a_file_that_changed_meanwhile_is_fetched_anew() {
    let server = unreliable(1, |before| format!("\"v{before}\""));
    let folder = Scratch::new();
    let script = format!(
        r#"http::download(`{}`, "file.bin", #{{ backoff: "1ms" }})"#,
        server.url("/")
    );
    let seen = run(&folder, &script).unwrap();
    assert_eq!(seen["resumed"].as_int().unwrap(), 0);
    assert!(fs::read(folder.0.join("file.bin")).unwrap() == content());
}

#[test]
fn a_wrong_hash_leaves_what_was_there() {
    let server = Server::start(|_, _| Reply::text(200, "<html>sign in</html>"));
    let folder = Scratch::new();
    fs::write(folder.0.join("weed"), "old").unwrap();
    let script = format!(
        r#"http::download(`{}`, "weed", #{{ sha256: "{}" }})"#,
        server.url("/"),
        sha256(b"weed")
    );
    let error = run(&folder, &script).unwrap_err();
    assert_eq!(error.kind(), "http.checksum");
    assert_eq!(fs::read_to_string(folder.0.join("weed")).unwrap(), "old");
    assert_eq!(
        fs::read_dir(&folder.0).unwrap().count(),
        1,
        "nothing half-done is left"
    );
}

#[test]
fn a_download_that_never_gets_complete_leaves_nothing() {
    let server = unreliable(usize::MAX, |_| String::new());
    let folder = Scratch::new();
    let script = format!(
        r#"http::download(`{}`, "file.bin", #{{ retries: 1, backoff: "1ms" }})"#,
        server.url("/")
    );
    let error = run(&folder, &script).unwrap_err();
    assert_eq!(error.kind(), "http.connection_lost");
    assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 0);
    let missing = Server::start(|_, _| Reply::text(404, "no such release"));
    let script = format!(r#"http::download(`{}`, "file.bin")"#, missing.url("/"));
    let error = run(&folder, &script).unwrap_err();
    assert!(
        error.message().ends_with("404 Not Found: no such release"),
        "{error:?}"
    );
}

#[test]
fn an_upload_arrives_whole() {
    let server = Server::start(|request, _| Reply::text(201, &sha256(&request.body)));
    let folder = Scratch::new();
    fs::write(folder.0.join("file.bin"), content()).unwrap();
    let script = format!(r#"http::upload(`{}`, "file.bin")"#, server.url("/put"));
    let seen = run(&folder, &script).unwrap();
    assert_eq!(seen["body"].to_string(), sha256(&content()));
    let asked = &server.seen()[0];
    assert_eq!(
        (asked.method.as_str(), asked.header("content-length")),
        ("PUT", "800000")
    );
}
