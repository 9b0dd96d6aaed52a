//! The faults that tests make are real, and end.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use ccrun_tests::docker::{ComposeProject, docker};
use ccrun_tests::faults::{self, FaultyProxy, Misbehaviour, SmallDisk};
use ccrun_tests::typed::Story;

const WEB: &str = "services:\n  web:\n    image: IMAGE\n    command: sh -c \"echo hello > /tmp/index.html; exec httpd -f -p 8080 -h /tmp\"\n    init: true\n";

/// A container with a web server: its name, and where it answers.
fn web(project: &ComposeProject) -> (String, SocketAddr) {
    let file = project.path("compose.yml").display().to_string();
    let _said = docker(&["compose", "--file", &file, "up", "--detach", "--quiet-pull"]);
    let name = format!("{}-web-1", project.name);
    let ip = docker(&[
        "inspect",
        "--format",
        "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}",
        &name,
    ]);
    let address = format!("{ip}:8080").parse().expect("an address");
    let started = Instant::now();
    while get(address, Duration::from_secs(1)).is_none() {
        assert!(
            started.elapsed().as_secs() < 20,
            "the web server does not answer"
        );
    }
    (name, address)
}

/// The body that a server answers with, if it does in time.
fn get(address: SocketAddr, patience: Duration) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&address, patience).ok()?;
    stream.set_read_timeout(Some(patience)).ok()?;
    stream.write_all(b"GET /index.html HTTP/1.0\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    text.contains("200 OK")
        .then(|| text.rsplit('\n').nth(1).unwrap_or_default().to_owned())
}

#[test]
fn a_container_stops_hangs_loses_its_network_and_comes_back() {
    let project = ComposeProject::new(WEB);
    let (name, address) = web(&project);
    let patience = Duration::from_millis(500);
    let works = || {
        let started = Instant::now();
        while get(address, Duration::from_secs(2)).as_deref() != Some("hello") {
            assert!(started.elapsed().as_secs() < 20, "it does not come back");
        }
    };
    for fault in [
        faults::paused(&name),
        faults::cut_off(&name, &format!("{}_default", project.name)),
        faults::stopped(&name),
    ] {
        assert_eq!(get(address, patience), None);
        drop(fault);
    }
    works();
}

#[test]
fn a_proxy_misbehaves_as_it_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let server = listener.local_addr().expect("its number");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 1024];
            let _read = stream.read(&mut request);
            let _written = stream.write_all(
                b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 10\r\n\r\n0123456789",
            );
        }
    });
    let proxy = FaultyProxy::before(server);
    let story = Story::new();
    let ask = |more: &str| {
        let script = format!(
            "http::get(\"http://127.0.0.1:{}/\", #{{ retries: 0{more} }}).body",
            proxy.port
        );
        let seen = story
            .command("ccrun -e")
            .arg(script)
            .output()
            .expect("ccrun starts");
        format!(
            "{}{}",
            String::from_utf8_lossy(&seen.stdout),
            String::from_utf8_lossy(&seen.stderr)
        )
    };
    assert!(ask("").contains("0123456789"));
    proxy.next(1, Misbehaviour::Status(503));
    assert!(ask("").contains("503"), "a status");
    proxy.next(1, Misbehaviour::ResetAfter(62));
    let reset = ask("");
    assert!(reset.contains("http.connection_lost"), "{reset}");
    proxy.next(1, Misbehaviour::Delay(Duration::from_secs(3)));
    assert!(
        ask(", timeout: \"300ms\"").contains("http.timeout"),
        "a delay"
    );
    assert!(ask("").contains("0123456789"), "and then it behaves");
}

#[test]
fn a_full_disk_under_the_journal_is_named_and_nothing_is_lost() {
    let story = Story::new()
        .file("ccrun.toml", "")
        .file(
            "a.rhai",
            "runbook(#{ needs: #{ fs: \"*\" } });\nfor n in 0..400 { step(`Step ${n}`, || { fs::append(\"log\", \"x\"); \"a result of some length, which the journal keeps for a resume of the run\" }); }\n",
        );
    let disk = SmallDisk::at(&story.path(".ccrun"), 700);
    let seen = story.types("ccrun a.rhai");
    let text = seen.text();
    assert!(text.contains("full") || text.contains("No space"), "{text}");
    assert!(text.contains("df -h") || text.contains("space"), "{text}");
    // What the journal says is done was done; what it could not record may run once more.
    disk.fill();
    story.types("ccrun history").hides("panicked");
    disk.empty();
}
