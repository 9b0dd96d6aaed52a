#![allow(
    clippy::disallowed_methods,
    reason = "tests look at files and processes themselves"
)]

use std::path::Path;
use std::time::{Duration, Instant};

use ccrun_kernel::event::{Event, Record};
use ccrun_kernel::permission::{Needs, Policy};
use ccrun_kernel::rhai::Dynamic;
use ccrun_kernel::secret::Secret;
use ccrun_kernel::testing::{Scratch, TestRun, eval_in};
use ccrun_kernel::{Error, Registry, Result};

use super::namespace;

fn run(folder: &Scratch, script: &str) -> Result<Dynamic> {
    eval_in(&folder.0, vec![namespace()], script)
}

fn passes(script: &str) {
    does(&Scratch::new(), script);
}

fn does(folder: &Scratch, script: &str) {
    if let Err(error) = run(folder, script) {
        panic!("{script}: {error:?}");
    }
}

fn fails(script: &str) -> (String, String, String) {
    let error: Error = run(&Scratch::new(), script).unwrap_err();
    let hint = error.hint_text().unwrap_or_default().to_owned();
    (error.kind().to_owned(), error.message().to_owned(), hint)
}

/// A run with a secret in `params.token`.
fn with_secret(folder: &Scratch) -> TestRun {
    let mut run = TestRun::new(&folder.0, vec![namespace()]);
    let secret = Secret::new("TOKEN", "hunter2-hunter2-hunter2");
    run.spec.secrets.redactor().add(&secret);
    run.spec
        .params
        .insert("token".into(), Dynamic::from(secret));
    run
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}

fn is_alive(pid: &str) -> bool {
    // A zombie has no memory any more.
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", pid.trim())).unwrap_or_default();
    status.contains("VmSize")
}

#[test]
fn every_example_runs() {
    for primitive in Registry::new(vec![namespace()]).primitives() {
        for example in primitive
            .doc
            .examples
            .iter()
            .filter(|_| primitive.namespace == "sh")
        {
            if let Err(error) = run(&Scratch::new(), &example.code) {
                panic!("{}: {error:?}", primitive.path());
            }
        }
    }
}

#[test]
fn arguments_arrive_as_they_are() {
    passes(
        r#"
        let out = sh::run(["printf", "%s|", "a b", "$HOME", "*", "it's", "", 5, 2.5, true, "ü"]);
        assert(out.stdout == "a b|$HOME|*|it's||5|2.5|true|ü|");
        assert(out.status == 0 && out.success && out.signal == () && !out.truncated);
        "#,
    );
}

#[test]
fn a_failure_says_what_the_program_said() {
    let (kind, message, hint) = fails(
        r#"sh::run(["sh", "-c", "echo out; for n in 1 2 3 4 5 6 7; do echo line $n >&2; done; exit 23"])"#,
    );
    assert_eq!(kind, "sh.failed");
    assert!(message.starts_with("`sh -c '"), "{message}");
    assert!(
        message.contains("exited with status 23 after "),
        "{message}"
    );
    assert!(
        message.ends_with("\n    line 3\n    line 4\n    line 5\n    line 6\n    line 7"),
        "{message}"
    );
    assert!(hint.contains("check: false"), "{hint}");
    let (_, message, _) = fails(r#"sh::run(["sh", "-c", "echo only out; exit 1"])"#);
    assert!(message.ends_with("\n    only out"), "{message}");
    let (_, message, hint) = fails(r#"sh::run(["sh", "-c", "kill -9 $$"])"#);
    assert!(message.contains("was killed by SIGKILL"), "{message}");
    assert!(hint.contains("dmesg"), "{hint}");
    passes(
        r#"
        try { sh::run(["sh", "-c", "echo why >&2; exit 3"]) } catch (err) {
            assert(err.details.status == 3 && err.details.stderr == "why" && err.code == "3");
        }
        let out = sh::run(["sh", "-c", "exit 3"], #{ check: false });
        assert(out.status == 3 && !out.success);
        let out = sh::run(["sh", "-c", "kill -TERM $$"], #{ check: false });
        assert(out.status == 143 && out.signal == "SIGTERM");
        "#,
    );
}

#[test]
fn what_can_not_start_says_why() {
    let (kind, message, hint) = fails(r#"sh::run(["prinft", "x"])"#);
    assert_eq!(kind, "sh.not_found");
    assert_eq!(message, "there is no program `prinft` in PATH");
    assert_eq!(hint, "did you mean `printf`?");
    for (script, kind) in [
        (r#"sh::run(["./none"])"#, "sh.not_found"),
        (r#"sh::run(["/etc"])"#, "sh.not_found"),
        (r#"sh::run(["/etc/passwd"])"#, "sh.not_executable"),
        (r#"sh::run(["true"], #{ cwd: "none" })"#, "sh.cwd_not_found"),
        (r#"sh::run([])"#, "argument.type"),
        (r#"sh::run([""])"#, "argument.type"),
        (r#"sh::run("ls -l")"#, "argument.type"),
        (r#"sh::run(["ls", ["-l"]])"#, "argument.type"),
        (r#"sh::run(["ls", "a\x00b"])"#, "argument.type"),
        (
            r#"sh::run(["ls"], #{ env: #{ "A=B": "c" } })"#,
            "argument.type",
        ),
        (
            r#"sh::run(["ls"], #{ timout: "5s" })"#,
            "argument.unknown_key",
        ),
        (
            r#"sh::script("true", #{ shell: "perl" })"#,
            "sh.unknown_shell",
        ),
    ] {
        assert_eq!(fails(script).0, kind, "{script}");
    }
    let folder = Scratch::new();
    std::fs::write(folder.0.join("bad"), "#!/no/such/interpreter\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder.0.join("bad"), mode).unwrap();
    let error = run(&folder, r#"sh::run(["./bad"])"#).unwrap_err();
    assert_eq!(error.kind(), "sh.not_found");
    assert!(error.message().contains("interpreter"), "{error:?}");
}

#[test]
fn the_environment_is_small_and_what_the_script_says() {
    // Cargo sets this one for its tests.
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    passes(
        r#"
        let env = sh::read(["env"], #{ env: #{ PORT: 5432, HOME: (), LANG: "C.UTF-8" } }).stdout;
        assert(env.contains("PATH=") && env.contains("PORT=5432") && env.contains("LANG=C.UTF-8"));
        assert(!env.contains("CARGO_MANIFEST_DIR") && !env.contains("HOME="));
        "#,
    );
    // The program is looked up where ccrun was started with, whatever the script says.
    let folder = Scratch::new();
    std::fs::write(folder.0.join("true"), "#!/bin/sh\nexit 9\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder.0.join("true"), mode).unwrap();
    let path = folder.0.display();
    does(
        &folder,
        &format!(r#"sh::run(["true"], #{{ env: #{{ PATH: "{path}" }} }})"#),
    );
}

#[test]
fn secrets_go_by_environment_and_input_and_never_show() {
    let folder = Scratch::new();
    for script in [
        r#"sh::run(["echo", params.token])"#,
        r#"sh::read(["echo", params.token])"#,
        r#"sh::lines(["echo", params.token], |l| ())"#,
        r#"sh::script("echo $1", #{ args: [params.token] })"#,
        r#"sh::run(["echo", "--token=hunter2-hunter2-hunter2"])"#,
    ] {
        let (result, records) = with_secret(&folder).eval(script);
        let error = result.unwrap_err();
        assert_eq!(error.kind(), "sh.secret_argument", "{script}");
        assert!(error.hint_text().unwrap().contains("env:"), "{error:?}");
        let shown = format!("{records:?} {}", error.to_json());
        assert!(!shown.contains("hunter2"), "{shown}");
        assert_eq!(
            with_secret(&folder)
                .dry()
                .eval(script)
                .0
                .unwrap_err()
                .kind(),
            "sh.secret_argument"
        );
    }
    let script = r#"
        let out = sh::run(["sh", "-c", "cat; echo $TOKEN; echo failed $TOKEN >&2"],
            #{ stdin: params.token, env: #{ TOKEN: params.token }, echo: true });
        assert(out.stdout.contains("hunter") && out.stderr.len() > 0);
        sh::run(["sh", "-c", "echo denied for $TOKEN >&2; exit 1"], #{ env: #{ TOKEN: params.token } });
    "#;
    let (result, records) = with_secret(&folder).eval(script);
    let error = result.unwrap_err();
    assert_eq!(error.kind(), "sh.failed");
    assert!(error.message().contains("denied for "), "{error:?}");
    let shown = format!("{records:?} {}", error.to_json());
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn input_goes_in_and_a_program_need_not_read_it() {
    passes(
        r#"
        assert(sh::read(["cat"], #{ stdin: "hello" }).stdout == "hello");
        assert(sh::read(["cat"]).stdout == "");
        let big = "x";
        big.pad(3000000, "x");
        assert(sh::read(["wc", "-c"], #{ stdin: big }).stdout == "3000000");
        assert(sh::read(["true"], #{ stdin: big }).success);
        assert(sh::read(["cat"], #{ stdin: big }).stdout == big);
        let bytes = blob(900000, 255);
        assert(sh::read(["cat"], #{ stdin: bytes, binary: true }).stdout == bytes);
        "#,
    );
}

#[test]
fn output_is_trimmed_merged_and_bounded() {
    passes(
        r#"
        assert(sh::read(["printf", "a\n\n"]).stdout == "a");
        assert(sh::read(["printf", "a\n\n"], #{ trim: false }).stdout == "a\n\n");
        let out = sh::read(["sh", "-c", "echo 1; echo 2 >&2; echo 3"], #{ merge: true });
        assert(out.stdout == "1\n2\n3" && out.stderr == "");
        let out = sh::read(["sh", "-c", "seq 1 100000"], #{ max_output: "1KiB" });
        assert(out.truncated && out.stdout.starts_with("1\n2\n") && out.stdout.ends_with("\n100000"));
        assert(out.stdout.contains("left out") && out.stdout.len() < 1200);
        assert(sh::read(["printf", "a\\377b"]).stdout == "a\ufffdb");
        "#,
    );
    let (kind, ..) =
        fails(r#"sh::read(["seq", "1", "100000"], #{ max_output: "1KiB", binary: true })"#);
    assert_eq!(kind, "sh.output_too_large");
}

#[test]
fn the_permission_is_for_the_name_or_the_path() {
    let folder = Scratch::new();
    std::os::unix::fs::symlink("/bin", folder.0.join("bin")).unwrap();
    let allowed = |program: &str, needs: &str| {
        let needs: toml::Table = format!("sh = [{needs}]").parse().unwrap();
        let needs = Needs::from_toml(&needs.into(), &folder.0).unwrap();
        let run = TestRun::new(&folder.0, vec![namespace()]).policy(Policy::new(Some(needs), None));
        let (result, _) = run.eval(&format!("sh::run([{program:?}, \"-c\", \":\"])"));
        match result {
            Ok(_) => true,
            Err(error) if error.kind() == "permission_denied" => false,
            Err(error) => panic!("{program}: {error:?}"),
        }
    };
    assert!(allowed("sh", r#""sh""#));
    assert!(allowed("/bin/sh", r#""/bin/sh""#));
    assert!(allowed("./bin/../bin/sh", r#""bin/sh""#));
    assert!(!allowed("/bin/sh", r#""sh""#));
    assert!(!allowed("sh", r#""/bin/sh""#));
    assert!(!allowed("bin/sh", r#""/bin/sh""#));
    assert!(!allowed("sh", r#""bash""#));
}

#[test]
fn endless_output_does_not_fill_the_memory() {
    let (kind, message, _) =
        fails(r#"sh::read(["yes"], #{ timeout: "300ms", max_output: "1KiB" })"#);
    assert_eq!(kind, "sh.timeout");
    assert!(
        message.starts_with("`yes` did not end within 300ms"),
        "{message}"
    );
}

#[test]
fn a_timeout_ends_the_whole_group() {
    let folder = Scratch::new();
    let script = r#"
        sh::script("sh -c 'echo $$ > child; exec sleep 300' & echo begun; wait", #{ timeout: "400ms" })
    "#;
    let begun = Instant::now();
    let error = run(&folder, script).unwrap_err();
    assert_eq!(error.kind(), "sh.timeout");
    assert!(error.is_retryable());
    assert!(error.message().contains("begun"), "{error:?}");
    assert!(begun.elapsed() < Duration::from_secs(5));
    let child = std::fs::read_to_string(folder.0.join("child")).unwrap();
    assert!(!is_alive(&child), "{child}");
}

#[test]
fn a_cancellation_ends_the_whole_group_even_if_it_does_not_listen() {
    let folder = Scratch::new();
    let run = TestRun::new(&folder.0, vec![namespace()]);
    let cancel = run.spec.cancel.clone();
    let child = folder.0.join("child");
    let watched = child.clone();
    let watcher = std::thread::spawn(move || {
        wait_until("the program starts", || {
            std::fs::read_to_string(&watched).is_ok_and(|text| text.ends_with('\n'))
        });
        cancel.cancel();
    });
    let script = r#"sh::script("trap '' TERM; sh -c 'trap \"\" TERM; echo $$ > child; while :; do sleep 300; done'")"#;
    let begun = Instant::now();
    let (result, _) = run.eval(script);
    watcher.join().unwrap();
    assert_eq!(result.unwrap_err().kind(), "interrupted");
    assert!(begun.elapsed() < Duration::from_secs(15));
    let child = std::fs::read_to_string(child).unwrap();
    wait_until("the child is killed", || !is_alive(&child));
}

#[test]
fn a_child_left_in_the_background_does_not_hold_up_the_run() {
    let folder = Scratch::new();
    let begun = Instant::now();
    does(
        &folder,
        r#"
        let out = sh::script("sleep 30 & echo $! > child; echo done");
        assert(out.stdout == "done");
    "#,
    );
    assert!(begun.elapsed() < Duration::from_secs(10));
    let child = std::fs::read_to_string(folder.0.join("child")).unwrap();
    assert!(is_alive(&child), "it may go on");
    let pid = rustix::process::Pid::from_raw(child.trim().parse().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

#[test]
fn a_script_stops_at_its_first_error_and_leaves_no_file() {
    let folder = Scratch::new();
    let (kind, message, _) = fails("sh::script(\"false\\necho not reached\")");
    assert_eq!(kind, "sh.failed");
    assert!(!message.contains("not reached"), "{message}");
    assert_eq!(
        fails(r#"sh::script("echo $NOT_SET_ANYWHERE")"#).0,
        "sh.failed"
    );
    does(
        &folder,
        r#"
        assert(sh::script("echo $0").stdout.ends_with(".sh"));
        assert(sh::script("cat; echo $2", #{ stdin: "from input ", args: ["a", "b c"] }).stdout == "from input b c");
        if sh::which("bash") != () {
            assert(!sh::script("false | true", #{ shell: "bash", check: false }).success);
        }
    "#,
    );
    let path = run(&folder, r#"sh::script("echo $0").stdout"#)
        .unwrap()
        .into_string()
        .unwrap();
    assert!(!Path::new(&path).exists(), "{path}");
}

#[test]
fn lines_come_while_the_program_runs() {
    passes(
        r#"
        let n = 0;
        assert(sh::read_lines(["seq", "1", "20000"], |line| { n += line.parse_int(); }) == 20000);
        assert(n == 200010000);
        assert(sh::read_lines(["yes"], |line| false) == 1);
        assert(sh::read_lines(["printf", "a\r\nb"], |line| assert(line == "a" || line == "b")) == 2);
        assert(sh::read_lines(["sh", "-c", "exit 3"], #{ check: false }, |line| ()) == 0);
        "#,
    );
    assert_eq!(
        fails(r#"sh::read_lines(["yes"], |line| { throw "enough" })"#).1,
        "enough"
    );
    assert_eq!(
        fails(r#"sh::read_lines(["sh", "-c", "echo a; exit 3"], |line| ())"#).0,
        "sh.failed"
    );
    assert_eq!(
        fails(r#"sh::read_lines(["sleep", "60"], #{ timeout: "200ms" }, |line| ())"#).0,
        "sh.timeout"
    );
    assert_eq!(
        fails(r#"sh::read_lines(["yes"], #{ timeout: "200ms" }, |line| ())"#).0,
        "sh.timeout"
    );
    let (kind, ..) = fails(
        r#"sh::read_lines(["head", "-c", "9999", "/dev/zero"], #{ max_line: "1KiB" }, |l| ())"#,
    );
    assert_eq!(kind, "sh.line_too_long");
}

#[test]
fn echo_tells_each_line_while_the_program_runs() {
    let folder = Scratch::new();
    let script = r#"sh::run(["printf", "one\ntwo\nthree"], #{ echo: true })"#;
    let (result, records) = TestRun::new(&folder.0, vec![namespace()]).eval(script);
    result.map(drop).unwrap();
    let logged = |record: &Record| match &record.event {
        Event::Log { message, .. } => Some(message.clone()),
        _ => None,
    };
    assert_eq!(
        records.iter().filter_map(logged).collect::<Vec<_>>(),
        ["one", "two", "three"]
    );
}

#[test]
fn a_dry_run_starts_only_what_reads() {
    let folder = Scratch::new();
    let script = r#"
        assert(sh::read(["echo", "really"]).stdout == "really");
        assert(sh::read_lines(["echo", "really"], |line| ()) == 1);
        sh::run(["touch", "made by run"], #{ cwd: "/tmp", env: #{ A: "b" } });
        sh::lines(["touch", "made by lines"], |line| ());
        sh::script("touch made_by_script");
    "#;
    let (result, records) = TestRun::new(&folder.0, vec![namespace()])
        .dry()
        .eval(script);
    result.map(drop).unwrap();
    assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 0);
    let planned: Vec<_> = records
        .iter()
        .filter_map(|record| match &record.event {
            Event::Planned(change) => Some(&change.preview),
            _ => None,
        })
        .collect();
    assert_eq!(planned.len(), 3);
    assert_eq!(
        planned[0].summary,
        "run `touch 'made by run'` in /tmp with A"
    );
    assert!(
        planned[2]
            .diff
            .as_deref()
            .unwrap()
            .contains("touch made_by_script")
    );
}
