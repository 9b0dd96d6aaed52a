//! Against a real engine.
#![allow(clippy::disallowed_methods, reason = "tests look at files themselves")]

use ccrun_kernel::rhai::{Array, Dynamic, Map};
use ccrun_kernel::testing::{Scratch, TestRun, eval_in};
use ccrun_kernel::value::to_json;
use ccrun_kernel::{Error, Result};
use ccrun_tests::docker::{Containers, docker};
use serde_json::{Value, json};

use super::namespace;

fn run(bed: &Containers, script: &str) -> Result<Dynamic> {
    run_in(&Scratch::new(), bed, script)
}

/// `NAME` in a script stands for the bed's own prefix of names.
fn run_in(folder: &Scratch, bed: &Containers, script: &str) -> Result<Dynamic> {
    let script = script.replace("NAME", &bed.name);
    eval_in(&folder.0, vec![namespace()], &script)
}

fn does(bed: &Containers, script: &str) -> Dynamic {
    match run(bed, script) {
        Ok(value) => value,
        Err(error) => panic!("{script}: {error:?}"),
    }
}

fn gives(bed: &Containers, script: &str) -> Value {
    to_json(&does(bed, script))
}

fn fails(bed: &Containers, script: &str) -> Error {
    match run(bed, script) {
        Err(error) => error,
        Ok(value) => panic!("{script}: did not fail but gave {value:?}"),
    }
}

/// A program that ends at once when it is asked to.
const SLEEP: &[&str] = &["--init"];

#[test]
fn containers_are_listed_and_looked_up() {
    let bed = Containers::new();
    let web = bed.run(
        "web",
        &["--init", "--label", "tier=front"],
        &["sleep", "600"],
    );
    let old = bed.run("old", &[], &["true"]);
    bed.wait_for_state(&old, "exited");
    assert_eq!(
        gives(
            &bed,
            r#"docker::containers(#{ name: "NAME" }).map(|c| c.name)"#
        ),
        json!([web])
    );
    assert_eq!(
        gives(
            &bed,
            r#"docker::ps(#{ name: "NAME", all: true }).map(|c| c.name + " " + c.state)"#
        ),
        json!([format!("{old} exited"), format!("{web} running")])
    );
    assert_eq!(
        gives(
            &bed,
            r#"docker::ps(#{ name: "NAME", label: ["tier=front"] }).map(|c| c.name)"#
        ),
        json!([web])
    );
    assert_eq!(
        gives(
            &bed,
            r#"let c = docker::container("NAME-web"); [c.image, c.state, c.labels.tier, c.health, c.reload().id == c.id]"#
        ),
        json!(["ccrun-test/busybox:1", "running", "front", null, true])
    );
    let error = fails(&bed, r#"docker::container("NAME-wep")"#);
    assert_eq!(error.kind(), "docker.not_found");
    assert_eq!(
        error.hint_text(),
        Some(format!("did you mean `{web}`?").as_str())
    );
}

#[test]
fn what_inspect_tells_has_its_types_and_hides_secrets() {
    let bed = Containers::new();
    let args = [
        "--init",
        "-e",
        "LEVEL=a=b",
        "-e",
        "DB_PASSWORD=hunter2-hunter2",
        "--memory",
        "64m",
    ];
    let _ = bed.run("web", &args, &["sleep", "600"]);
    let env = r#"let c = docker::container("NAME-web"); let i = c.inspect();"#;
    assert_eq!(
        gives(
            &bed,
            &format!(
                "{env} [c.env().LEVEL, type_of(c.env().DB_PASSWORD), type_of(i.config.env.DB_PASSWORD), type_of(i.state.started_at), i.state.finished_at, `${{i.host_config.memory}}`, i.host_config.network_mode]"
            )
        ),
        json!([
            "a=b",
            "Secret",
            "Secret",
            "Timestamp",
            null,
            "64 MiB",
            "default"
        ])
    );
    let shown = gives(&bed, &format!("{env} i")).to_string();
    assert!(!shown.contains("hunter2"), "{shown}");
    assert_eq!(
        gives(
            &bed,
            r#"docker::container("NAME-web").top().some(|p| p.cmd.contains("sleep 600"))"#
        ),
        json!(true)
    );
    let info = gives(
        &bed,
        "let i = docker::info(); [i.server_version == docker::version().version, type_of(i.mem_total), docker::ping() < \"10s\"]",
    );
    assert_eq!(info[0], json!(true));
}

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

#[test]
fn a_program_gets_its_input_and_gives_its_output_byte_by_byte() {
    let bed = Containers::new();
    let _ = bed.run("web", SLEEP, &["sleep", "600"]);
    assert_eq!(
        gives(
            &bed,
            r#"let out = docker::container("NAME-web").exec(["sh", "-c", "echo $LEVEL; id -u; pwd; echo oops >&2; exit 3"], #{ env: #{ LEVEL: "a b" }, user: "7", workdir: "/tmp", check: false }); [out.status, out.success, out.stdout, out.stderr, out.truncated]"#
        ),
        json!([3, false, "a b\n7\n/tmp", "oops", false])
    );
    // Every byte there is, more than one frame of them.
    assert_eq!(
        gives(
            &bed,
            r#"
            let bytes = blob();
            for i in 0..200000 { bytes.push(i % 256); }
            let out = docker::container("NAME-web").exec_read(["cat"], #{ stdin: bytes, binary: true });
            [out.stdout == bytes, out.stdout.len]
        "#
        ),
        json!([true, 200_000])
    );
    assert_eq!(
        gives(
            &bed,
            r#"let out = docker::container("NAME-web").exec(["sh", "-c", "yes | head -c 3000000; exit 0"], #{ max_output: "64KiB" }); [out.truncated, out.stdout.len < 70000]"#
        ),
        json!([true, true])
    );
    // A program that does not read what it is given.
    assert_eq!(
        gives(
            &bed,
            r#"let text = "x"; text.pad(5000000, "x"); docker::container("NAME-web").exec(["true"], #{ stdin: text }).status"#
        ),
        json!(0)
    );
}

#[test]
fn output_goes_into_a_file_only_if_the_program_ends_well() {
    let bed = Containers::new();
    let _ = bed.run("web", SLEEP, &["sleep", "600"]);
    let folder = Scratch::new();
    let size = run_in(&folder, &bed, r#"docker::container("NAME-web").exec_to_file(["head", "-c", "50000000", "/dev/zero"], "zeros").size"#).unwrap();
    assert_eq!(to_json(&size), "47.7 MiB");
    assert_eq!(
        std::fs::metadata(folder.0.join("zeros")).unwrap().len(),
        50_000_000
    );
    let failed = run_in(
        &folder,
        &bed,
        r#"docker::container("NAME-web").exec_to_file(["sh", "-c", "echo half; exit 1"], "zeros")"#,
    );
    assert_eq!(failed.unwrap_err().kind(), "docker.exec_failed");
    assert_eq!(
        std::fs::metadata(folder.0.join("zeros")).unwrap().len(),
        50_000_000
    );
    assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 1);
}

#[test]
fn what_goes_wrong_inside_is_told() {
    let bed = Containers::new();
    let web = bed.run("web", SLEEP, &["sleep", "600"]);
    let error = fails(
        &bed,
        r#"docker::container("NAME-web").exec(["sh", "-c", "echo the reason >&2; exit 4"])"#,
    );
    assert_eq!(
        (
            error.kind(),
            error.message().contains("status 4") && error.message().contains("the reason")
        ),
        ("docker.exec_failed", true)
    );
    assert_eq!(
        fails(
            &bed,
            r#"docker::container("NAME-web").exec(["no-such-program"])"#
        )
        .kind(),
        "docker.exec_failed"
    );
    let error = fails(
        &bed,
        r#"docker::container("NAME-web").exec(["sleep", "60"], #{ timeout: "300ms" })"#,
    );
    assert_eq!(error.kind(), "docker.timeout");
    // The container is killed while a program runs in it.
    let killer = std::thread::spawn(move || {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while !docker(&["top", &web]).contains("sleep 77") {
            assert!(
                std::time::Instant::now() < deadline,
                "the program does not start"
            );
        }
        let _ = docker(&["kill", &web]);
    });
    let error = fails(
        &bed,
        r#"docker::container("NAME-web").exec(["sleep", "77"])"#,
    );
    killer.join().unwrap();
    assert_eq!(error.kind(), "docker.exec_failed");
    assert!(
        error.message().contains("because the container ended"),
        "{}",
        error.message()
    );
    let error = fails(&bed, r#"docker::container("NAME-web").exec(["true"])"#);
    assert_eq!(error.kind(), "docker.conflict");
}

#[test]
fn containers_are_started_stopped_and_removed_and_a_dry_run_does_none_of_it() {
    let bed = Containers::new();
    let web = bed.run("web", SLEEP, &["sleep", "600"]);
    let before = docker(&["inspect", &web]);
    let folder = Scratch::new();
    let script = r#"
        let c = docker::container("NAME-web");
        c.start(); c.stop(); c.restart(); c.kill(); c.pause(); c.rename("NAME-new"); c.exec(["touch", "/tmp/x"]);
        c.remove(#{ force: true });
    "#;
    let (result, _) = TestRun::new(&folder.0, vec![namespace()])
        .dry()
        .eval(&script.replace("NAME", &bed.name));
    assert!(result.is_ok(), "{result:?}");
    assert_eq!(docker(&["inspect", &web]), before);
    assert!(!docker(&["diff", &web]).contains("/tmp/x"));

    let state = |script: &str| {
        gives(
            &bed,
            &format!("let c = docker::container(\"NAME-web\"); {script}; c.reload().state"),
        )
    };
    assert_eq!(state(r#"c.stop(#{ grace: "5s" })"#), "exited");
    assert_eq!(state("c.stop()"), "exited");
    assert_eq!(state("c.start()"), "running");
    assert_eq!(state("c.pause(); c.pause()"), "paused");
    assert_eq!(state("c.unpause(); c.unpause()"), "running");
    assert_eq!(state("c.restart(#{ grace: \"1s\" })"), "running");
    assert_eq!(
        fails(&bed, r#"docker::container("NAME-web").remove()"#).kind(),
        "docker.conflict"
    );
    assert_eq!(state("c.kill(); c.wait()"), "exited");
    assert_eq!(
        gives(
            &bed,
            r#"let c = docker::container("NAME-web").rename("NAME-new"); c.remove(); c.remove(); docker::ps(#{ all: true, name: "NAME" })"#
        ),
        json!([])
    );
}

#[test]
fn health_is_waited_for_and_an_end_is_told_at_once() {
    let bed = Containers::new();
    let check = |command: &str| {
        [
            "--init".to_owned(),
            "--health-cmd".to_owned(),
            command.to_owned(),
            "--health-interval".to_owned(),
            "200ms".to_owned(),
            "--health-retries".to_owned(),
            "2".to_owned(),
        ]
    };
    let start = |name: &str, args: &[String], command: &[&str]| {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        bed.run(name, &args, command)
    };
    let _ = start("good", &check("true"), &["sleep", "600"]);
    let _ = does(
        &bed,
        r#"docker::container("NAME-good").wait_healthy(#{ timeout: "20s" })"#,
    );
    assert_eq!(
        gives(&bed, r#"docker::container("NAME-good").health"#),
        "healthy"
    );

    let _ = start(
        "bad",
        &check("echo no table yet; exit 1"),
        &["sh", "-c", "echo booting; sleep 600"],
    );
    let error = fails(
        &bed,
        r#"docker::container("NAME-bad").wait_healthy(#{ timeout: "2s" })"#,
    );
    assert_eq!(error.kind(), "docker.unhealthy");
    for part in ["no table yet", "after 2s", "booting"] {
        assert!(error.message().contains(part), "{}", error.message());
    }

    let _ = start(
        "gone",
        &check("true"),
        &["sh", "-c", "echo cannot bind; exit 9"],
    );
    let started = std::time::Instant::now();
    let error = fails(
        &bed,
        r#"docker::container("NAME-gone").wait_healthy(#{ timeout: "1m" })"#,
    );
    assert!(started.elapsed().as_secs() < 20);
    assert!(
        error.message().contains("status 9") && error.message().contains("cannot bind"),
        "{}",
        error.message()
    );
    assert_eq!(gives(&bed, r#"docker::container("NAME-gone").wait()"#), 9);
    assert_eq!(
        fails(
            &bed,
            r#"docker::container("NAME-good").wait(#{ timeout: "200ms" })"#
        )
        .kind(),
        "docker.timeout"
    );
}

#[test]
fn what_is_used_is_measured() {
    let bed = Containers::new();
    let _ = bed.run(
        "busy",
        &["--memory", "64m"],
        &["sh", "-c", "while true; do :; done"],
    );
    let _ = bed.run("idle", SLEEP, &["sleep", "600"]);
    let used = does(&bed, r#"docker::container("NAME-busy").stats()"#).cast::<Map>();
    assert!(used["cpu_percent"].as_float().unwrap() > 5.0, "{used:?}");
    assert_eq!(to_json(&used["memory_limit"]), "64 MiB");
    assert_eq!(used["pids"].as_int(), Ok(1));
    let all = gives(
        &bed,
        r#"docker::stats().filter(|s| s.name.starts_with("NAME")).map(|s| s.name)"#,
    );
    assert_eq!(all.as_array().unwrap().len(), 2);
}

#[test]
fn an_engine_that_is_not_there_says_what_to_do() {
    let folder = Scratch::new();
    std::fs::write(
        folder.0.join("ccrun.toml"),
        "[target.local]\ndocker = \"unix:///nowhere/docker.sock\"\n",
    )
    .unwrap();
    let error = eval_in(&folder.0, vec![namespace()], "docker::ps()").unwrap_err();
    assert_eq!(error.kind(), "docker.unreachable");
    assert!(
        error
            .hint_text()
            .unwrap()
            .contains("systemctl start docker")
    );
}

#[test]
fn a_program_runs_in_a_new_container_that_goes_with_it() {
    let bed = Containers::new();
    assert_eq!(
        gives(
            &bed,
            r#"let out = docker::run("ccrun-test/busybox:1", #{ command: ["sh", "-c", "cat; echo $A >&2; exit 5"], stdin: "in", env: #{ A: "b" }, name: "NAME-job", check: false }); [out.status, out.stdout, out.stderr]"#
        ),
        json!([5, "in", "b"])
    );
    let error = fails(
        &bed,
        r#"docker::run("ccrun-test/busybox:1", #{ command: ["sh", "-c", "echo why >&2; exit 6"], name: "NAME-job" })"#,
    );
    assert!(
        error.kind() == "docker.exec_failed" && error.message().contains("why"),
        "{error:?}"
    );
    let error = fails(
        &bed,
        r#"docker::run("ccrun-test/busybox:1", #{ command: ["sleep", "60"], name: "NAME-job", timeout: "500ms" })"#,
    );
    assert_eq!(error.kind(), "docker.timeout");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !docker(&["ps", "-aq", "--filter", &format!("name={}", bed.name)]).is_empty() {
        assert!(std::time::Instant::now() < deadline, "the container stays");
    }
    assert_eq!(
        fails(&bed, r#"docker::run("ccrun-test/no-such-image:1")"#).kind(),
        "docker.image_missing"
    );
    assert_eq!(
        gives(
            &bed,
            &format!(
                r#"let c = docker::run("ccrun-test/busybox:1", #{{ command: ["sleep", "600"], name: "NAME-on", labels: #{{ "ccrun.test.name": "{0}", "ccrun.test": "docker" }}, memory: "32MiB", ports: "127.0.0.1::80", detach: true }}); let ports = c.reload().ports; [c.state, c.inspect().host_config.memory == "32MiB", ports.len, ports[0].starts_with("127.0.0.1:")]"#,
                bed.name
            )
        ),
        json!(["running", true, 1, true])
    );
}

#[test]
fn files_and_folders_go_in_and_come_out() {
    let bed = Containers::new();
    let _ = bed.run("web", SLEEP, &["sleep", "600"]);
    let folder = Scratch::new();
    std::fs::create_dir_all(folder.0.join("conf/deep")).unwrap();
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    std::fs::write(folder.0.join("conf/deep/blob"), &bytes).unwrap();
    std::fs::write(folder.0.join("conf/a.txt"), "a").unwrap();
    std::os::unix::fs::symlink("a.txt", folder.0.join("conf/link")).unwrap();
    let out = run_in(&folder, &bed, r#"
        let c = docker::container("NAME-web");
        let size = c.copy_in("conf", "/tmp/there");
        c.copy_in("conf/a.txt", "/tmp/one.txt");
        let back = c.copy_out("/tmp/there", "back");
        c.copy_out("/tmp/one.txt", "one.txt");
        [size == back, c.exec_read(["ls", "-l", "/tmp/there/link"]).stdout.ends_with("-> a.txt"), c.exec_read(["cat", "/tmp/one.txt"]).stdout]
    "#).unwrap();
    assert_eq!(to_json(&out), json!([true, true, "a"]));
    assert!(std::fs::read(folder.0.join("back/deep/blob")).unwrap() == bytes);
    assert_eq!(
        std::fs::read_to_string(folder.0.join("one.txt")).unwrap(),
        "a"
    );
    assert_eq!(
        std::fs::read_link(folder.0.join("back/link"))
            .unwrap()
            .to_str(),
        Some("a.txt")
    );
    for (script, kind) in [
        (
            r#"docker::container("NAME-web").copy_out("/tmp/nothing", "x")"#,
            "docker.not_found",
        ),
        (
            r#"docker::container("NAME-web").copy_in("conf", "/no/such/folder/x")"#,
            "docker.not_found",
        ),
        (
            r#"docker::container("NAME-web").copy_in("missing", "/tmp/x")"#,
            "fs.not_found",
        ),
        (
            r#"docker::container("NAME-web").copy_in("conf", "tmp")"#,
            "docker.path",
        ),
    ] {
        assert_eq!(
            run_in(&folder, &bed, script).unwrap_err().kind(),
            kind,
            "{script}"
        );
    }
    assert!(!folder.0.join("x").exists());
}

#[test]
fn images_are_named_saved_loaded_and_removed() {
    let bed = Containers::new();
    let folder = Scratch::new();
    let out = run_in(&folder, &bed, r#"
        let id = docker::image("ccrun-test/busybox:1").id;
        docker::tag("ccrun-test/busybox:1", "NAME:2");
        let named = docker::images(#{ name: "NAME" });
        let size = docker::save("NAME:2", "image.tar");
        docker::remove_image("NAME:2"); docker::remove_image("NAME:2");
        let gone = docker::images(#{ name: "NAME" }).len;
        let said = docker::load("image.tar");
        let back = docker::image("NAME:2").id == id;
        docker::remove_image("NAME:2");
        [named[0].name == "NAME:2", named[0].id == id, size > "100KiB", gone, said.contains("NAME:2"), back]
    "#).unwrap();
    assert_eq!(to_json(&out), json!([true, true, true, 0, true, true]));
    let error = run_in(&folder, &bed, r#"docker::image("ccrun-test/busibox:1")"#).unwrap_err();
    assert_eq!(error.kind(), "docker.image_missing");
    assert!(
        error.hint_text().unwrap().contains("ccrun-test/busybox:1"),
        "{error:?}"
    );
}

#[test]
fn networks_and_volumes_are_made_and_removed_once() {
    let bed = Containers::new();
    let _ = bed.run("web", SLEEP, &["sleep", "600"]);
    assert_eq!(
        gives(
            &bed,
            r#"
            docker::create_network("NAME-net", #{ internal: true }); docker::create_network("NAME-net");
            docker::connect("NAME-net", "NAME-web", #{ aliases: ["db"] }); docker::connect("NAME-net", "NAME-web");
            let inside = docker::network("NAME-net").containers.values().map(|c| c.name);
            docker::disconnect("NAME-net", "NAME-web"); docker::disconnect("NAME-net", "NAME-web");
            let internal = docker::network("NAME-net").internal;
            docker::remove_network("NAME-net"); docker::remove_network("NAME-net");
            docker::create_volume("NAME-data", #{ labels: #{ Purpose: "test" } }); docker::create_volume("NAME-data");
            let purpose = docker::volume("NAME-data").labels.Purpose;
            docker::remove_volume("NAME-data"); docker::remove_volume("NAME-data");
            [inside, internal, purpose]
        "#
        ),
        json!([[format!("{}-web", bed.name)], true, "test"])
    );
    assert_eq!(
        fails(&bed, r#"docker::network("NAME-net")"#).kind(),
        "docker.not_found"
    );
    assert_eq!(
        fails(&bed, r#"docker::volume("NAME-data")"#).kind(),
        "docker.not_found"
    );
}

#[test]
fn events_tell_what_happened() {
    let bed = Containers::new();
    let web = bed.run("web", &[], &["sh", "-c", "exit 3"]);
    bed.wait_for_state(&web, "exited");
    assert_eq!(
        gives(
            &bed,
            r#"let seen = []; docker::events(#{ since: "1m", timeout: "1s", container: "NAME-web" }, |e| seen.push([e.kind, e.event, e.name])); seen.filter(|e| e[1] != "attach")"#
        ),
        json!([
            ["container", "create", web],
            ["container", "start", web],
            ["container", "die", web]
        ])
    );
}

#[test]
fn an_image_is_built_and_a_failing_step_is_named() {
    let bed = Containers::new();
    let folder = Scratch::new();
    std::fs::create_dir_all(folder.0.join("app/node_modules")).unwrap();
    std::fs::write(folder.0.join("app/node_modules/big.js"), "x").unwrap();
    std::fs::write(folder.0.join("app/main.txt"), "hello").unwrap();
    std::fs::write(folder.0.join("app/.dockerignore"), "node_modules\n").unwrap();
    std::fs::write(
        folder.0.join("app/Dockerfile"),
        "FROM ccrun-test/busybox:1\nARG LEVEL=none\nCOPY . /app\nRUN echo level $LEVEL > /app/level\n",
    )
    .unwrap();
    let out = run_in(&folder, &bed, r#"
        let id = docker::build("app", #{ tag: "NAME:built", args: #{ LEVEL: "high" }, labels: #{ "ccrun.test": "docker" } });
        let out = docker::run("NAME:built", #{ command: ["sh", "-c", "cat /app/main.txt /app/level; ls /app"] }).stdout;
        let same = docker::image("NAME:built").id == id;
        docker::remove_image("NAME:built");
        [out, same]
    "#).unwrap();
    assert_eq!(
        to_json(&out),
        json!(["hellolevel high\nDockerfile\nlevel\nmain.txt", true])
    );

    std::fs::write(
        folder.0.join("app/Dockerfile"),
        "FROM ccrun-test/busybox:1\nRUN echo compiling && exit 7\n",
    )
    .unwrap();
    let error = run_in(
        &folder,
        &bed,
        r#"docker::build("app", #{ tag: "NAME:broken" })"#,
    )
    .unwrap_err();
    assert_eq!(error.kind(), "docker.build_failed");
    for part in ["Step 2/2", "exit 7", "compiling"] {
        assert!(error.message().contains(part), "{}", error.message());
    }
    let error = run_in(
        &folder,
        &bed,
        r#"docker::build("nothing", #{ tag: "NAME:x" })"#,
    )
    .unwrap_err();
    assert_eq!(error.kind(), "fs.not_found");
}

#[test]
fn pruning_takes_what_it_said_it_would() {
    let bed = Containers::new();
    let old = bed.run("old", &[], &["true"]);
    bed.wait_for_state(&old, "exited");
    let web = bed.run("web", SLEEP, &["sleep", "600"]);
    let only = format!("#{{ label: \"{}\", images: \"none\" }}", bed.label());
    let folder = Scratch::new();
    let (result, records) = TestRun::new(&folder.0, vec![namespace()])
        .dry()
        .eval(&format!("docker::prune({only})"));
    assert!(result.is_ok(), "{result:?}");
    let told = format!("{records:?}");
    assert!(told.contains(&format!("container {old}")), "{told}");
    assert!(!told.contains(&web), "{told}");
    assert_eq!(
        gives(&bed, &format!("docker::prune({only}).containers.len")),
        1
    );
    assert_eq!(
        gives(&bed, &format!("docker::prune({only}).containers.len")),
        0
    );
    assert_eq!(
        gives(
            &bed,
            r#"docker::ps(#{ name: "NAME", all: true }).map(|c| c.name)"#
        ),
        json!([web])
    );
    let error = fails(
        &bed,
        r#"docker::prune(#{ label: "none-such", volumes: true, older_than: "1d" })"#,
    );
    assert_eq!(error.kind(), "docker.invalid");
    assert!(
        gives(&bed, "docker::disk_usage().images.count")
            .as_i64()
            .unwrap()
            > 0
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

#[test]
fn a_log_of_any_size_takes_little_memory() {
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
    // Other tests run beside this one.
    assert!(grown < 80 << 20, "{} MiB for 101 MB of log", grown >> 20);
}
