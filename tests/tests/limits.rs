//! Scripts without an end are stopped, soon and in little memory.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use ccrun_tests::typed::Story;

/// Far above the two seconds that are promised: a busy machine must not fail the test, a hang must.
const WATCHDOG: Duration = Duration::from_secs(20);

/// What it said and the most memory it had, in KiB.
fn stopped(script: &str) -> (String, u64) {
    let story = Story::new().file("a.rhai", script);
    let mut command = story.command("ccrun a.rhai");
    let mut child = command
        .stderr(Stdio::piped())
        .spawn()
        .expect("ccrun starts");
    let (begun, mut peak) = (Instant::now(), 0);
    while child.try_wait().expect("its state").is_none() {
        if begun.elapsed() > WATCHDOG {
            child.kill().expect("it can be killed");
            panic!("it runs on: {script}");
        }
        let status = fs::read_to_string(format!("/proc/{}/status", child.id()));
        peak = peak.max(high_water(&status.unwrap_or_default()));
        std::thread::yield_now();
    }
    let output = child.wait_with_output().expect("what it said");
    assert_eq!(output.status.code(), Some(1), "{script}");
    (String::from_utf8_lossy(&output.stderr).into_owned(), peak)
}

fn high_water(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or_default()
}

fn is_stopped(script: &str, kind: &str) {
    let (said, peak) = stopped(script);
    assert!(said.contains(kind), "no {kind} in\n{said}");
    assert!(said.contains("a.rhai:"), "no position in\n{said}");
    assert!(said.contains("help:"), "no advice in\n{said}");
    assert!(peak > 0, "its memory was never seen");
    assert!(peak < 256 << 10, "{peak} KiB for {script}");
}

#[test]
fn a_loop_without_end() {
    is_stopped("runbook(#{});\nloop {}", "limit.operations");
}

#[test]
fn a_recursion_without_end() {
    is_stopped(
        "runbook(#{});\nfn f(x) { f(x + 1) + 1 }\nf(1);",
        "limit.recursion",
    );
}

#[test]
fn a_string_of_ten_gigabytes() {
    is_stopped(
        "runbook(#{});\nlet s = \"x\";\nloop { s += s; }",
        "limit.size",
    );
}

#[test]
fn an_array_of_endless_length() {
    is_stopped(
        "runbook(#{});\nlet a = [1];\nloop { a += a; }",
        "limit.size",
    );
}

#[test]
fn an_array_of_endless_depth() {
    is_stopped(
        "runbook(#{});\nlet a = [];\nloop { a = [a]; }",
        "limit.size",
    );
}
