//! What containers write.

use super::*;

#[test]
fn logs_keep_their_lines_though_streams_mix_and_letters_are_split() {
    let bed = Containers::new();
    // The engine keeps a line in pieces of 16 KiB (and breaks a letter that such a cut goes through, which
    // can't be mended: here none does). What is written in two halves it puts together itself.
    let script = r#"i=0; while [ $i -lt 20000 ]; do printf ü; i=$((i+1)); done; echo; echo oops >&2; printf 'half '; echo mid >&2; echo line; printf end"#;
    let web = bed.run("web", &[], &["sh", "-c", script]);
    bed.wait_for_state(&web, "exited");
    let lines = does(
        &bed,
        r#"docker::container("NAME-web").logs(#{ stderr: false })"#,
    )
    .cast::<Array>();
    let long = "ü".repeat(20_000);
    let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
    assert!(lines[0] == long, "{} letters", lines[0].chars().count());
    assert_eq!(lines[1..], ["half line", "end"]);
    assert_eq!(
        gives(
            &bed,
            r#"docker::container("NAME-web").logs(#{ stdout: false })"#
        ),
        json!(["oops", "mid"])
    );
    assert_eq!(
        gives(
            &bed,
            r#"let l = docker::container("NAME-web").logs(#{ timestamps: true }); let o = l.filter(|x| x.stream == "stdout"); [o[0].line.len, o[1].line, type_of(l[0].time), l.filter(|x| x.stream == "stderr").map(|x| x.line)]"#
        ),
        json!([20_000, "half line", "Timestamp", ["oops", "mid"]])
    );
    assert_eq!(
        gives(
            &bed,
            r#"let c = docker::container("NAME-web"); [c.logs(#{ grep: "^o+ps$" }), c.logs(#{ tail: 1, stderr: false }), c.logs(#{ since: "1h", grep: "end" }), c.logs(#{ before: "1h" }), c.logs(#{ max: 1, stderr: false })]"#
        ),
        json!([["oops"], ["end"], ["end"], [], ["end"]])
    );
    assert_eq!(
        fails(
            &bed,
            r#"docker::container("NAME-web").logs(#{ grep: "(" })"#
        )
        .kind(),
        "docker.pattern"
    );
}

#[test]
fn a_terminal_has_lines_as_well() {
    let bed = Containers::new();
    let web = bed.run(
        "web",
        &["-t"],
        &["sh", "-c", "echo one; echo two >&2; printf three"],
    );
    bed.wait_for_state(&web, "exited");
    assert_eq!(
        gives(&bed, r#"docker::container("NAME-web").logs()"#),
        json!(["one", "two", "three"])
    );
}

#[test]
fn a_log_is_followed_until_the_closure_has_enough() {
    let bed = Containers::new();
    let _ = bed.run(
        "web",
        &["--init"],
        &[
            "sh",
            "-c",
            "i=0; while true; do echo line $i; i=$((i+1)); sleep 0.05; done",
        ],
    );
    assert_eq!(
        gives(
            &bed,
            r#"let seen = []; let n = docker::container("NAME-web").each_log(#{ follow: true, timeout: "30s" }, |line| { seen.push(line); seen.len < 5 }); [n, seen]"#
        ),
        json!([5, ["line 0", "line 1", "line 2", "line 3", "line 4"]])
    );
    let timed = gives(
        &bed,
        r#"docker::container("NAME-web").each_log(#{ follow: true, timeout: "300ms" }, |line| {})"#,
    );
    assert!(timed.as_i64().unwrap() > 0);
    assert_eq!(
        fails(
            &bed,
            r#"docker::container("NAME-web").each_log(|line| { throw "stop" })"#
        )
        .message(),
        "stop"
    );
}

/// Of this process, the most that it ever held.
fn most_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        << 10
}

/// Says that this process runs one test only.
const ALONE: &str = "CCRUN_TEST_ALONE";

#[test]
fn a_log_of_any_size_takes_little_memory() {
    // In a process of its own: tests that run beside this one take memory as well.
    if std::env::var_os(ALONE).is_none() {
        let name = "docker::tests::logs::a_log_of_any_size_takes_little_memory";
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--nocapture"])
            .env(ALONE, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stdout);
        assert!(
            child.status.success() && said.contains("1 passed"),
            "{said}"
        );
        return;
    }
    let bed = Containers::new();
    let web = bed.run("web", &[], &["sh", "-c", "yes 0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789 | head -n 1000000; echo the needle"]);
    bed.wait_for_state(&web, "exited");
    let before = most_memory();
    assert_eq!(
        gives(
            &bed,
            r#"docker::container("NAME-web").logs(#{ grep: "needle" })"#
        ),
        json!(["the needle"])
    );
    assert_eq!(
        gives(
            &bed,
            r#"docker::container("NAME-web").logs(#{ max: 3 }).len"#
        ),
        json!(3)
    );
    let grown = most_memory() - before;
    assert!(grown < 40 << 20, "{} MiB for 101 MB of log", grown >> 20);
}
