//! Unattended runs: what starts them, how often, and what happens when something is in the way.

use ccrun_tests::postgres::Postgres;
use ccrun_tests::typed::Story;
use ccrun_tests::watching::{Watching, free_port, request, until};
use rustix::process::Signal;

const CONFIG: &str = "[watch]\nlisten = \"off\"\n";

/// A runbook that writes down that it ran, and why.
fn noting(on: &str, more: &str) -> String {
    format!(
        "runbook(#{{ needs: #{{ fs: \"*\", sh: \"*\" }}, on: [ {on} ] }});\n\
         step(\"Note\", || {{ fs::append(\"log\", `${{trigger.kind}} ${{trigger.id}}` + \"\\n\"); {more} }});\n"
    )
}

fn lines(story: &Story) -> usize {
    story.read("log").lines().count()
}

#[test]
fn check_and_list_say_what_a_trigger_means() {
    let story = Story::new()
        .file("ccrun.toml", CONFIG)
        .file(
            "runbooks/nightly.rhai",
            noting(
                r#"#{ schedule: "0 2 * * *", timezone: "Europe/Berlin", jitter: "5m" }"#,
                "",
            ),
        )
        .file(
            "runbooks/later.rhai",
            noting(r#"#{ after: "nightly" }, #{ files: "in/*" }"#, ""),
        );
    story.types("ccrun check").exits(0);
    story
        .types("ccrun watch --list")
        .exits(0)
        .prints("schedule 0 2 * * * Europe/Berlin")
        .prints("02:00 CE")
        .prints("+ up to 5m")
        .prints("after nightly")
        .prints("files in/*");
    assert!(
        !story.path(".ccrun/watch.db").exists(),
        "looking makes nothing"
    );
    story.write(
        "runbooks/wrong.rhai",
        noting(r#"#{ schedule: "0 3 0 * *" }"#, ""),
    );
    story
        .types("ccrun check")
        .exits(2)
        .prints("`0` is no day of the month: it is 1 to 31")
        .prints("wrong.rhai:1:");
    story
        .types("ccrun watch --list")
        .exits(2)
        .says("wrong does not check");
    story
        .types("ccrun watch install --print --user ops")
        .exits(0)
        .prints("User=ops")
        .prints("Type=notify")
        .prints("NoNewPrivileges=yes");
}

#[test]
fn files_start_a_run_that_is_told_which() {
    let story = Story::new().file("ccrun.toml", CONFIG).file(
        "runbooks/import.rhai",
        r#"runbook(#{ needs: #{ fs: "*" }, on: [ #{ files: ["in/**/*.csv"], debounce: "50ms", on: ["create", "modify"] } ] });
step("Import", || for file in trigger.files { fs::append("log", `${file.change} ${file.path}` + "\n"); });
"#,
    );
    let watching = Watching::ready(&story, "ccrun watch");
    story.write("in/deep/a.csv", "1");
    until("the file is seen", || {
        story.read("log") == "create in/deep/a.csv\n"
    });
    story.write("in/deep/a.csv", "22");
    until("the change is seen", || {
        story.read("log").ends_with("modify in/deep/a.csv\n")
    });
    assert_eq!(watching.stop(), 0);
    // Changed while nobody watched: made up for, once.
    story.write("in/b.csv", "1");
    let watching = Watching::ready(&story, "ccrun watch");
    until("it is made up for", || {
        story.read("log").ends_with("create in/b.csv\n")
    });
    assert_eq!(watching.stop(), 0);
    drop(Watching::ready(&story, "ccrun watch"));
    assert_eq!(lines(&story), 3);
    story
        .types("ccrun history")
        .prints("import.rhai")
        .prints("done");
}

#[test]
fn a_chain_of_runs_tells_failure_and_recovery() {
    let story = Story::new()
        .file("ccrun.toml", CONFIG)
        .file(
            "runbooks/backup.rhai",
            noting(
                r#"#{ files: "go", debounce: "0ms", retries: 1, retry_after: "0s" }"#,
                r#"if fs::read("go") == "bad" { throw "the disk is full"; }"#,
            ),
        )
        .file(
            "runbooks/alarm.rhai",
            r#"runbook(#{ needs: #{ fs: "*" }, on: [ #{ after: "*", status: "failed" }, #{ after: "*", status: "recovered" } ] });
step("Tell", || fs::append("alarms", `${trigger.after} ${trigger.status} ${trigger.recovered}: ${trigger.error}` + "\n"));
"#,
        );
    let watching = Watching::ready(&story, "ccrun watch");
    story.write("go", "good");
    until("the first run ends", || {
        watching.said().contains("done: 1 step")
    });
    story.write("go", "bad");
    until("the alarm", || {
        story.read("alarms").contains("backup failed false: ")
    });
    assert!(story.read("alarms").contains("the disk is full"));
    assert_eq!(lines(&story), 3, "it was tried twice");
    story.write("go", "good again");
    until("the recovery", || {
        story.read("alarms").contains("backup done true")
    });
    assert_eq!(story.read("alarms").lines().count(), 2);
    assert_eq!(watching.stop(), 0);
}

#[test]
fn a_run_that_starts_itself_is_stopped_and_named() {
    let story = Story::new().file("ccrun.toml", CONFIG).file(
        "runbooks/selfish.rhai",
        noting(
            r#"#{ files: "out", debounce: "0ms", rate: "5/1m" }"#,
            r#"fs::append("out", "more\n");"#,
        ),
    );
    let watching = Watching::ready(&story, "ccrun watch");
    story.write("out", "begin\n");
    until("it is stopped", || {
        watching
            .said()
            .contains("selfish is no longer started by its trigger (files out)")
    });
    let count = lines(&story);
    assert!((1..=6).contains(&count), "{count}");
    story
        .types("ccrun watch --list")
        .prints("stopped: ")
        .prints("ccrun watch go-on selfish");
    story.types("ccrun watch go-on selfish").exits(0);
    story.types("ccrun watch go-on selfish").exits(2);
    drop(watching);
    story.types("ccrun watch --list").hides("stopped");
}

/// How many runs there were when a trigger fired twice more while the first run was at work.
fn overlapping(policy: &str) -> (usize, String) {
    let story = Story::new().file("ccrun.toml", CONFIG).file(
        "runbooks/slow.rhai",
        noting(
            &format!(
                r#"#{{ webhook: "/go", secret: "HOOK", signature: "token", overlap: "{policy}" }}"#
            ),
            r#"while !fs::exists("free") { sleep("20ms"); } fs::append("log", "end\n");"#,
        ),
    );
    let port = free_port();
    story.write(
        "ccrun.toml",
        format!(
            "[watch]\nlisten = \"127.0.0.1:{port}\"\n[target.local.secrets]\nenv_file = \"env\"\n"
        ),
    );
    story.write("env", "HOOK=s3cret\n");
    set_private(&story, "env");
    let watching = Watching::ready(&story, "ccrun watch");
    let fire = || {
        let headers = [("authorization", "Bearer s3cret")];
        let (status, answer) = request(port, "POST /go", &headers, "");
        assert_eq!(status, 202, "{answer}");
    };
    fire();
    until("the first run begins", || lines(&story) == 1);
    fire();
    fire();
    if policy == "restart" {
        until("the last run begins", || lines(&story) >= 2);
    }
    story.write("free", "");
    until("nothing is left", || {
        let (_, runs) = request(port, "GET /runs", &[], "");
        !["queued", "starting", "running"]
            .iter()
            .any(|status| runs.contains(&format!("\"{status}\"")))
    });
    let (_, runs) = request(port, "GET /runs", &[], "");
    assert_eq!(watching.stop(), 0);
    let ended = story
        .read("log")
        .lines()
        .filter(|line| *line == "end")
        .count();
    (ended, runs)
}

fn set_private(story: &Story, name: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(story.path(name), std::fs::Permissions::from_mode(0o600))
        .expect("as it was written");
}

#[test]
fn a_run_that_overlaps_waits_is_left_out_or_takes_over() {
    let (ended, runs) = overlapping("queue");
    assert_eq!((ended, runs.matches("\"done\"").count()), (3, 3), "{runs}");
    let (ended, runs) = overlapping("skip");
    assert_eq!(
        (ended, runs.matches("\"skipped\"").count()),
        (1, 2),
        "{runs}"
    );
    let (ended, runs) = overlapping("restart");
    assert_eq!(
        (ended, runs.matches("\"replaced\"").count()),
        (1, 2),
        "{runs}"
    );
}

#[test]
fn a_runbook_that_does_not_check_keeps_its_last_good_version() {
    let good = noting(r#"#{ files: "go", debounce: "0ms" }"#, "");
    let story = Story::new()
        .file("ccrun.toml", CONFIG)
        .file("runbooks/a.rhai", &good);
    let watching = Watching::ready(&story, "ccrun watch");
    story.write("runbooks/a.rhai", good.replace("step(", "stp("));
    until("the mistake is told", || {
        watching
            .said()
            .contains("a does not check; its last good version stays in use")
    });
    story.write("go", "1");
    until("the last good version runs", || lines(&story) == 1);
    story.write("runbooks/a.rhai", good.replace("\"Note\"", "\"Note it\""));
    until("it is mended", || {
        watching.said().contains("a checks again")
    });
    story.write("go", "22");
    until("the new version runs", || lines(&story) == 2);
    until("its step is named", || {
        watching.said().contains("✓ Note it")
    });
    // A configuration with a mistake is not taken either.
    story.write("ccrun.toml", "[watch]\nlisten = \"nowhere\"\n");
    until("the configuration is refused", || {
        watching
            .said()
            .contains("the old configuration stays in use")
    });
    assert_eq!(watching.stop(), 0);
}

#[test]
fn a_killed_daemon_loses_and_doubles_nothing() {
    let story = Story::new().file("ccrun.toml", CONFIG).file(
        "runbooks/slow.rhai",
        noting(
            r#"#{ files: "go", debounce: "0ms" }"#,
            r#"while !fs::exists("free") { sleep("20ms"); } fs::append("log", "end\n");"#,
        ),
    );
    let watching = Watching::ready(&story, "ccrun watch");
    story.write("go", "1");
    until("the run begins", || lines(&story) == 1);
    watching.kill();
    // The next daemon finds the run at work, and what changed since waits for it.
    story.write("go", "22");
    let watching = Watching::ready(&story, "ccrun watch");
    story.write("free", "");
    until("both ended", || {
        story.read("log").matches("end").count() == 2
    });
    assert_eq!(lines(&story), 4);
    assert_eq!(watching.stop(), 0);
    let list = story.json("ccrun watch --list");
    assert_eq!(list[0]["last"]["status"], "done");
}

#[test]
fn two_daemons_fire_once() {
    let story = Story::new().file("ccrun.toml", CONFIG).file(
        "runbooks/often.rhai",
        noting(
            r#"#{ schedule: "* * * * * *" }, #{ files: "go", debounce: "0ms" }"#,
            "",
        ),
    );
    let first = Watching::ready(&story, "ccrun watch");
    let second = Watching::begin(&story, "ccrun watch");
    until("the second stands by", || {
        second.said().contains("standing by: process")
    });
    story.write("go", "1");
    until("it fired", || story.read("log").contains("files "));
    first.kill();
    until("the second takes over", || {
        second.said().matches("watching: ").count() == 2
    });
    let before = lines(&story);
    until("it goes on", || lines(&story) > before + 1);
    assert_eq!(second.stop(), 0);
    let log = story.read("log");
    let mut ids: Vec<&str> = log.lines().collect();
    ids.sort_unstable();
    let all = ids.len();
    ids.dedup();
    assert_eq!(ids.len(), all, "none twice");
    assert_eq!(log.matches("files ").count(), 1);
}

/// Two folders as two hosts, with one ledger in Postgres.
#[test]
fn daemons_on_two_hosts_share_a_ledger_in_postgres() {
    let postgres = Postgres::shared();
    let url = postgres.url_of(&postgres.create_database());
    let hosts: Vec<(Story, u16)> = (0..2)
        .map(|_| {
            let port = free_port();
            let config = format!(
                "[watch]\nlisten = \"127.0.0.1:{port}\"\nledger = \"secret:LEDGER\"\n\
                 [target.local.secrets]\nenv_file = \"env\"\n"
            );
            let runbook = noting(
                r#"#{ schedule: "* * * * * *" }, #{ webhook: "/go", secret: "HOOK", signature: "token" }"#,
                "",
            );
            let story = Story::new()
                .file("ccrun.toml", config)
                .file("env", format!("HOOK=s3cret\nLEDGER={url}\n"))
                .file("runbooks/often.rhai", runbook);
            set_private(&story, "env");
            (story, port)
        })
        .collect();
    let [(first, _), (second, port)] = &hosts[..] else {
        unreachable!()
    };
    let leader = Watching::ready(first, "ccrun watch");
    let standby = Watching::begin(second, "ccrun watch");
    until("the second stands by", || {
        standby.said().contains("standing by")
    });
    // What the one that stands by takes, the other one runs.
    let headers = [("authorization", "Bearer s3cret")];
    let mut status = 0;
    until("it answers", || {
        status = request(*port, "POST /go", &headers, "").0;
        status != 0
    });
    assert_eq!(status, 202);
    until("the first runs it", || {
        first.read("log").contains("webhook ")
    });
    leader.kill();
    until("the second takes over", || {
        standby.said().contains("watching: ")
    });
    until("it goes on", || lines(second) > 1);
    assert_eq!(standby.stop(), 0);
    let all = first.read("log") + &second.read("log");
    let mut ids: Vec<&str> = all.lines().collect();
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count, "none twice");
    assert!(
        !second.read("watch.log").contains(&url),
        "the address is a secret"
    );
}

#[test]
fn a_stop_lets_runs_finish_within_the_grace_time() {
    let slow = noting(
        r#"#{ files: "go", debounce: "0ms" }"#,
        r#"while !fs::exists("free") { sleep("20ms"); } fs::append("log", "end\n");"#,
    );
    let story = Story::new()
        .file("ccrun.toml", CONFIG)
        .file("runbooks/slow.rhai", &slow);
    let watching = Watching::ready(&story, "ccrun watch");
    story.write("go", "1");
    until("the run begins", || lines(&story) == 1);
    watching.signal(Signal::TERM);
    until("it is told", || {
        watching.said().contains("stopping: 1 at work")
    });
    story.write("free", "");
    assert_eq!(watching.ends(), 0);
    assert!(story.read("log").ends_with("end\n"));

    let story = Story::new()
        .file(
            "ccrun.toml",
            "[watch]\nlisten = \"off\"\ngrace = \"200ms\"\n",
        )
        .file("runbooks/slow.rhai", slow);
    let watching = Watching::ready(&story, "ccrun watch");
    story.write("go", "1");
    until("the run begins", || lines(&story) == 1);
    assert_eq!(watching.stop(), 0);
    let list = story.json("ccrun watch --list");
    assert_eq!(list[0]["last"]["status"], "interrupted");
}

#[test]
fn once_runs_what_is_due_and_ends() {
    let story = Story::new()
        .file("ccrun.toml", CONFIG)
        .file(
            "runbooks/a.rhai",
            noting(
                r#"#{ files: "in/*" }"#,
                r#"if fs::exists("bad") { throw "bad"; }"#,
            ),
        )
        .file("in/a", "1");
    story
        .types("ccrun watch --once")
        .exits(0)
        .says("0 done, 0 failed");
    story.write("in/b", "1");
    story
        .types("ccrun watch --once")
        .exits(0)
        .says("1 done, 0 failed");
    story
        .types("ccrun watch --once")
        .exits(0)
        .says("0 done, 0 failed");
    story.write("bad", "");
    story.write("in/b", "22");
    story
        .types("ccrun watch --once")
        .exits(1)
        .says("0 done, 1 failed");
    story.write(
        "runbooks/wrong.rhai",
        noting(r#"#{ shedule: "@daily" }"#, ""),
    );
    story
        .types("ccrun watch --once")
        .exits(2)
        .says("did you mean `schedule`");
}

#[test]
fn systemd_is_told_how_it_stands() {
    let story = Story::new()
        .file("ccrun.toml", CONFIG)
        .file("runbooks/a.rhai", noting(r#"#{ schedule: "@yearly" }"#, ""));
    let path = story.path("notify");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    socket
        .set_read_timeout(Some(std::time::Duration::from_secs(30)))
        .unwrap();
    let mut command = story.command("ccrun watch");
    command
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "400000")
        .stderr(std::process::Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut heard = Vec::new();
    let mut hear = || {
        let mut buffer = [0; 256];
        let length = socket.recv(&mut buffer).expect("systemd hears something");
        heard.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
        heard.clone()
    };
    while hear()
        .iter()
        .filter(|text| text.contains("WATCHDOG=1"))
        .count()
        < 3
    {}
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), Signal::TERM).unwrap();
    while !hear().iter().any(|text| text.contains("STOPPING=1")) {}
    assert!(hear().iter().any(|text| text == "READY=1"));
    assert!(child.wait().unwrap().success());
}
