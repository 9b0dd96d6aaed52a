//! Containers: found, started, watched, removed.

use super::*;

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
