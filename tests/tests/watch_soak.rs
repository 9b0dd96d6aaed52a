//! Triggers of all kinds while the daemon is killed again and again, checked against records that it
//! has no part in: what the test sent, and what the runbooks wrote.
//!
//! Short by default. `CCRUN_SOAK=2000/600` fires 2,000 triggers in 600 seconds.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ccrun_tests::docker::{docker, image};
use ccrun_tests::typed::Story;
use ccrun_tests::watching::{Watching, free_port, request, until};
use rand::Rng as _;

/// Every run writes one line to a file of its own kind.
const RUNBOOK: &str = r#"
step("Record", || fs::append("record/KIND", `LINE` + "\n"));
"#;

fn runbook(on: &str, kind: &str, line: &str) -> String {
    let body = RUNBOOK.replace("KIND", kind).replace("LINE", line);
    format!("runbook(#{{ needs: #{{ fs: \"*\" }}, on: [ {on} ] }});{body}")
}

struct Plan {
    triggers: u32,
    within: Duration,
}

fn plan() -> Plan {
    let text = std::env::var("CCRUN_SOAK").unwrap_or_else(|_| "120/40".to_owned());
    let (triggers, seconds) = text
        .split_once('/')
        .expect("CCRUN_SOAK is TRIGGERS/SECONDS");
    Plan {
        triggers: triggers.parse().expect("a number of triggers"),
        within: Duration::from_secs(seconds.parse().expect("a number of seconds")),
    }
}

/// How often each line stands in a record.
fn record(story: &Story, kind: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for line in story.read(&format!("record/{kind}")).lines() {
        *counts.entry(line.to_owned()).or_default() += 1;
    }
    counts
}

/// A container whose `docker exec` makes events.
struct Container(String);

impl Container {
    fn start() -> Self {
        let name = format!("ccrun-soak-{}", std::process::id());
        let _ = docker(&[
            "run",
            "-d",
            "--rm",
            "--name",
            &name,
            image(),
            "sleep",
            "3600",
        ]);
        Self(name)
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        drop(
            std::process::Command::new("docker")
                .args(["rm", "-f", &self.0])
                .output(),
        );
    }
}

#[test]
fn nothing_is_lost_or_doubled_while_the_daemon_is_killed() {
    let plan = plan();
    let port = free_port();
    let container = Container::start();
    let many = r#"rate: "100000/1m""#;
    let story = Story::new()
        .file(
            "ccrun.toml",
            format!("[watch]\nlisten = \"127.0.0.1:{port}\"\ngrace = \"60s\"\n[target.local.secrets]\nenv_file = \"env\"\n"),
        )
        .file("env", "HOOK=s3cret\n")
        .file("record/.keep", "")
        .file("in/.keep", "")
        .file(
            "runbooks/file.rhai",
            r#"runbook(#{ needs: #{ fs: "*" }, on: [ #{ files: "in/*.txt", debounce: "20ms", on: "create", rate: "100000/1m" } ] });
step("Record", || for file in trigger.files { fs::append("record/file", `${file.path}` + "\n"); });
"#,
        )
        .file(
            "runbooks/clock.rhai",
            runbook(&format!(r#"#{{ schedule: "*/5 * * * * *", {many} }}"#), "clock", "${trigger.due} ${trigger.missed}"),
        )
        .file(
            "runbooks/hook.rhai",
            runbook(&format!(r#"#{{ webhook: "/hook", secret: "HOOK", {many} }}"#), "hook", "${trigger.body.n}"),
        )
        .file(
            "runbooks/alert.rhai",
            runbook(&format!(r#"#{{ alert: "Down", secret: "HOOK", {many} }}"#), "alert", "${trigger.labels.n}"),
        )
        .file(
            "runbooks/engine.rhai",
            runbook(
                &format!(r#"#{{ docker: #{{ event: "exec_die", container: "{}" }}, {many} }}"#, container.0),
                "engine",
                "${trigger.time}",
            ),
        )
        .file(
            "runbooks/then.rhai",
            runbook(&format!(r#"#{{ after: "hook", {many} }}"#), "then", "${trigger.run}"),
        );
    set_private(&story);
    let stop = AtomicBool::new(false);
    let began = Instant::now();
    let mut sent = (0, 0, 0, 0);
    let mut kills = 0;
    let mut watching = Watching::ready(&story, "ccrun watch --quiet");
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let sent = send(&story, port, &container.0, &plan, began);
            stop.store(true, Ordering::Relaxed);
            sent
        });
        let mut random = rand::rng();
        // A tenth of the time on average between two kills, at any moment of its life.
        while !stop.load(Ordering::Relaxed) {
            let pause = plan
                .within
                .mul_f64(random.random_range(0.02..0.12))
                .min(Duration::from_secs(20));
            let until = Instant::now() + pause;
            while Instant::now() < until && !stop.load(Ordering::Relaxed) {
                std::thread::park_timeout(Duration::from_millis(20));
            }
            let old = std::mem::replace(
                &mut watching,
                Watching::begin(&story, "ccrun watch --quiet"),
            );
            old.kill();
            kills += 1;
        }
        sent = sender.join().unwrap();
    });
    let (files, hooks, alerts, engine) = sent;
    let then = || record(&story, "then").len();
    until("everything ran", || {
        record(&story, "file").len() >= files
            && record(&story, "hook").len() >= hooks
            && record(&story, "alert").len() >= alerts
            && record(&story, "engine").len() >= engine
            && then() >= hooks
    });
    until("nothing is left", || {
        let (_, runs) = request(port, "GET /runs", &[], "");
        runs.contains('[')
            && !["queued", "starting"]
                .iter()
                .any(|status| runs.contains(&format!("\"{status}\"")))
    });
    let elapsed = began.elapsed();
    assert_eq!(watching.stop(), 0);

    for (kind, expected) in [
        ("file", files),
        ("hook", hooks),
        ("alert", alerts),
        ("engine", engine),
        ("then", hooks),
    ] {
        let record = record(&story, kind);
        let twice: Vec<_> = record.iter().filter(|(_, count)| **count != 1).collect();
        assert!(twice.is_empty(), "{kind}: {twice:?}");
        assert_eq!(record.len(), expected, "{kind}");
    }
    let times = check_times(&story, elapsed);
    let failed: usize = story
        .json("ccrun history --status failed --limit 5")
        .as_array()
        .map_or(0, Vec::len);
    assert_eq!(failed, 0);
    assert!(kills >= 3, "{kills} kills");
    let all = files + 2 * hooks + alerts + engine + times;
    assert!(all >= plan.triggers as usize, "{all} firings");
}

fn set_private(story: &Story) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(story.path("env"), std::fs::Permissions::from_mode(0o600))
        .expect("as it was written");
}

/// Send triggers, evenly over the time: how many of each kind.
fn send(
    story: &Story,
    port: u16,
    container: &str,
    plan: &Plan,
    began: Instant,
) -> (usize, usize, usize, usize) {
    // A webhook counts twice: its end is a trigger as well.
    let rounds = plan.triggers.div_ceil(10);
    let (mut files, mut hooks, mut alerts, mut engine) = (0, 0, 0, 0);
    for round in 0..rounds {
        for n in 0..4 {
            // The name appears at once with everything in it.
            let name = format!("in/{round}-{n}.txt");
            story.write("part", "x");
            std::fs::rename(story.path("part"), story.path(&name)).expect("as it was written");
            files += 1;
        }
        for n in 0..2 {
            let body = format!(r#"{{"n":"{round}-{n}"}}"#);
            post(port, "POST /hook", &format!("hook-{round}-{n}"), &body);
            hooks += 1;
        }
        let body = format!(
            r#"{{"alerts":[{{"status":"firing","labels":{{"alertname":"Down","n":"{round}"}},"startsAt":"2026-01-01T00:00:00Z"}}]}}"#
        );
        post(port, "POST /alertmanager", "", &body);
        alerts += 1;
        if round % 2 == 0 {
            let _ = docker(&["exec", container, "true"]);
            engine += 1;
        }
        let due = plan
            .within
            .mul_f64(f64::from(round + 1) / f64::from(rounds));
        while began.elapsed() < due {
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }
    (files, hooks, alerts, engine)
}

/// As senders do: again until it was taken.
fn post(port: u16, head: &str, id: &str, body: &str) {
    until("the message is taken", || {
        let headers = [
            ("authorization", "Bearer s3cret"),
            ("content-type", "application/json"),
            ("idempotency-key", id),
        ];
        let (status, answer) = request(port, head, &headers, body);
        assert!(matches!(status, 0 | 200 | 202 | 503), "{answer}");
        matches!(status, 200 | 202)
    });
}

/// Every fifth second ran once or was counted as missed, once.
fn check_times(story: &Story, elapsed: Duration) -> usize {
    let record = record(story, "clock");
    let mut due: Vec<jiff::Timestamp> = Vec::new();
    let mut missed = 0;
    for (line, count) in &record {
        assert_eq!(*count, 1, "{line}");
        let (time, before) = line.split_once(' ').expect("as it was written");
        due.push(time.parse().expect("as it was written"));
        missed += before.parse::<usize>().expect("as it was written");
    }
    due.sort_unstable();
    let (first, last) = (due[0], due[due.len() - 1]);
    let span =
        usize::try_from((last.as_second() - first.as_second()) / 5 + 1).expect("as it was written");
    assert_eq!(due.len() + missed, span, "{due:?}");
    assert!(
        span as u64 + 2 >= elapsed.as_secs() / 5,
        "{span} times in {elapsed:?}"
    );
    due.len()
}
