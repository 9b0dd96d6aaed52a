//! Lists of very many objects; versions and locks.
#![allow(
    clippy::print_stdout,
    reason = "figures for whoever runs it with --nocapture"
)]

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use ccrun_tests::seaweed::{SECRET_KEY, Seaweed};
use ccrun_tests::typed::Story;

const OBJECTS: usize = 100_000;
const PAGE: usize = 1000;

/// Answers what `ListObjectsV2` asks for, a page at a time, as the API's reference has it.
fn lists(listener: &TcpListener) {
    for client in listener.incoming().flatten() {
        std::thread::spawn(move || serve(client));
    }
}

fn serve(client: TcpStream) {
    let Ok(mut answer) = client.try_clone() else {
        return;
    };
    let mut lines = BufReader::new(client).lines();
    while let Some(Ok(request)) = lines.next() {
        while lines
            .next()
            .is_some_and(|line| line.is_ok_and(|line| !line.is_empty()))
        {}
        let token = request.split("continuation-token=").nth(1);
        let from: usize = token
            .and_then(|rest| rest.split(['&', ' ']).next())
            .and_then(|text| text.parse().ok())
            .unwrap_or(0);
        let to = (from + PAGE).min(OBJECTS);
        let mut body = String::from(
            r#"<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>many</Name><MaxKeys>1000</MaxKeys>"#,
        );
        for number in from..to {
            body.push_str(&format!("<Contents><Key>objects/{number:09}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>&quot;x&quot;</ETag><Size>7</Size><StorageClass>STANDARD</StorageClass></Contents>"));
        }
        let more = to < OBJECTS;
        body.push_str(&format!("<IsTruncated>{more}</IsTruncated>"));
        if more {
            body.push_str(&format!(
                "<NextContinuationToken>{to}</NextContinuationToken>"
            ));
        }
        body.push_str("</ListBucketResult>");
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/xml\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        if answer
            .write_all(format!("{head}{body}").as_bytes())
            .is_err()
        {
            return;
        }
    }
}

/// What a script prints, and how many MiB ccrun has at most.
fn runs(story: &Story, script: &str) -> (String, u64) {
    story.write("a.rhai", script);
    let said = std::fs::File::create(story.path("said")).expect("a file");
    let mut command = story.command("ccrun a.rhai");
    command
        .stdout(said.try_clone().expect("the same"))
        .stderr(said);
    let mut child = command.spawn().expect("ccrun starts");
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().expect("its state").is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let now = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let now = now.and_then(|text| text.trim().trim_end_matches(" kB").parse::<u64>().ok());
        peak = peak.max(now.unwrap_or(0) / 1024);
        std::thread::sleep(Duration::from_millis(10));
    }
    (story.read("said"), peak)
}

#[test]
fn a_hundred_thousand_objects_are_listed_in_memory_that_does_not_grow() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its number").port();
    std::thread::spawn(move || lists(&listener));
    let story = Story::new();
    let store =
        format!("s3::connect(#{{ endpoint: \"http://127.0.0.1:{port}\", bucket: \"many\" }})");
    let (said, few) = runs(
        &story,
        &format!(
            "let n = {store}.each_object(\"objects\", |object| object.key < \"objects/000000999\"); print(`${{n}} seen`);"
        ),
    );
    assert!(said.contains("1000 seen"), "{said}");
    let (said, many) = runs(
        &story,
        &format!(
            "let bytes = 0; let n = {store}.each_object(\"objects\", |object| {{ bytes += object.size.bytes; }}); print(`${{n}} objects, ${{bytes}} bytes`);"
        ),
    );
    assert!(said.contains("100000 objects, 700000 bytes"), "{said}");
    println!("{few} MiB for 1,000 objects, {many} MiB for 100,000");
    assert!(many < few + 16, "{few} MiB, then {many} MiB");
    let (said, _) = runs(&story, &format!("print({store}.list(\"objects\").len());"));
    assert!(said.contains("100000"), "{said}");
}

/// What a store keeps of what is replaced and deleted, and what it lets nobody delete.
#[test]
fn versions_and_locks_of_a_real_store() {
    let seaweed = Seaweed::start();
    let story = Story::new().file("s3.env", format!("S3_SECRET_KEY={SECRET_KEY}\n"));
    story.write(
        "ccrun.toml",
        format!(
            "default_target = \"test\"\n[target.test]\n{}[target.test.secrets]\nenv_file = \"s3.env\"\n",
            seaweed.section(seaweed.address.port(), "kept")
        ),
    );
    story.write(
        "versions.rhai",
        r#"
        fn fails(kind, what) {
            try { what.call(); } catch (error) {
                assert(error.kind == kind, `${error.kind}: ${error.message}`);
                return;
            }
            throw `no ${kind}`;
        }
        let store = s3::store();
        assert(store.create_bucket(#{ locks: true }) && !store.create_bucket());
        assert(store.keeps_versions() && !store.keep_versions());
        let key = "docs/a b&ü+%.txt";
        store.put(key, "one");
        store.put(key, "two");
        store.put("docs-other", "x");
        let all = store.versions("docs");
        assert(all.map(|one| [one.key, one.latest, one.deleted, one.size]) == [[key, true, false, "3B"], [key, false, false, "3B"]], `${all}`);
        assert(store.versions(key) == all && store.versions().len() == 3);
        assert(store.get(key) == "two" && store.get(key, #{ version: all[1].version }) == "one");
        store.bring_back(key, all[1].version);
        assert(store.get(key) == "one");
        store.delete(key);
        assert(store.head(key) == () && store.list("docs").is_empty());
        let mark = store.versions(key)[0];
        assert(mark.deleted && mark.latest, `${mark}`);
        store.delete(key, #{ version: mark.version });
        assert(store.get(key) == "one");

        assert(store.locked(key) == ());
        let ends = store.lock(key, "1h");
        let lock = store.locked(key);
        assert(lock.mode == "governance" && lock.ends.unix == ends.unix, `${lock}`);
        fails("s3.locked", || store.lock(key, "1m"));
        let latest = store.versions(key)[0].version;
        fails("s3.locked", || store.delete(key, #{ version: latest }));
        store.delete(key);
        assert(store.get(key, #{ version: latest }) == "one");
        fails("s3.not_found", || store.get(key, #{ version: "00000000000000000000000000000000" }));
        fails("s3.bad_option", || store.lock(key, "1h", #{ mode: "forever" }));

        let plain = s3::store("plain");
        plain.create_bucket();
        plain.put("x", "1");
        fails("s3.no_locks", || plain.lock("x", "1h"));
        fails("s3.no_locks", || plain.create_bucket(#{ locks: true }));
        assert(plain.locked("x") == () && !plain.keeps_versions());
        assert(plain.keep_versions() && plain.keeps_versions());
        fails("s3.denied", || s3::connect(#{ endpoint: "http://127.0.0.1:1", bucket: "x" }).versions());
        fails("s3.no_bucket", || s3::store("missing").versions());
        s3::folder("here").create_bucket();
        fails("s3.not_supported", || s3::folder("here").versions());
        fails("s3.not_supported", || s3::folder("here").create_bucket(#{ locks: true }));
        print("all of it");
        "#,
    );
    story
        .types("ccrun --yes versions.rhai")
        .exits(0)
        .prints("all of it");
    // A listing of more than a page.
    story.write(
        "many.rhai",
        r#"
        let store = s3::store();
        for n in 0..1100 { store.put(`many/${n / 2}`, "x"); }
        let all = store.versions("many");
        print(`${all.len()} versions, ${all.filter(|one| one.latest).len()} latest`);
        "#,
    );
    story
        .types("ccrun --yes many.rhai")
        .exits(0)
        .prints("1100 versions, 550 latest");
}
