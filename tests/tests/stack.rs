//! The reference stack, deployed as an operator does it.

use std::collections::BTreeMap;

use ccrun_tests::docker::docker;
use ccrun_tests::stack::{Stack, root};

#[test]
fn from_nothing_to_healthy_and_the_second_time_nothing_is_touched() {
    let stack = Stack::new("stack");
    stack
        .deploy("--dry-run")
        .exits(0)
        .prints("create postgrest");
    assert_eq!(
        docker(&[
            "ps",
            "-aq",
            "--filter",
            &format!("label=com.docker.compose.project={}", stack.name)
        ]),
        ""
    );

    stack
        .deploy("")
        .exits(0)
        .prints("the stack is up")
        .says("0 failed");
    let before = stack.containers();
    assert_eq!(before.lines().count(), 18, "{before}");
    assert!(
        before.lines().all(|line| line.ends_with(" healthy")),
        "{before}"
    );

    stack.deploy("").exits(0).says(" 0 changed");
    assert_eq!(
        stack.containers(),
        before,
        "the second deployment touched something"
    );

    // What is served is what the policies allow: each user's own.
    let (alice, bob) = (
        stack.user("alice@example.org"),
        stack.user("bob@example.org"),
    );
    let (status, _) = stack.ask("POST", "/api/domains", &alice, r#"{"name": "Alice Work"}"#);
    assert_eq!(status, 201);
    let seen = |token: &str| stack.ask("GET", "/api/domains?select=name", token, "");
    assert!(seen(&alice).1.contains("Alice Work"));
    assert_eq!(seen(&bob), (200, "[]\n".to_owned()));
    assert_eq!(seen("").0, 401, "nobody sees anything without a token");

    // One that was stopped is started again, and nothing else is.
    let redis = format!("{}-redis-1", stack.name);
    let _name = docker(&["stop", "--time", "1", &redis]);
    stack.deploy("").exits(0);
    let after = stack.containers();
    let changed: Vec<&str> = after
        .lines()
        .filter(|line| !before.contains(line))
        .collect();
    assert!(
        changed.len() == 1 && changed[0].starts_with(&format!("/{redis} ")),
        "{changed:?}"
    );
}

/// What a run did, or would do, of each step: the primitives that change something, and whether the plan said that it
/// could look no further.
fn changes(stack: &Stack, more: &str) -> BTreeMap<String, (Vec<String>, bool)> {
    let output = stack
        .story
        .command(&stack.deploy_line(&format!("--output json {more}")))
        .output()
        .expect("ccrun starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() || output.status.code() == Some(100),
        "{text}"
    );
    let mut found: BTreeMap<String, (Vec<String>, bool)> = BTreeMap::new();
    for line in text.lines() {
        let event: serde_json::Value = serde_json::from_str(line).expect("an event");
        let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        let changed = match text("event").as_str() {
            "planned" => event["preview"]["unchanged"] != true,
            "effect_finished" => text("effect") == "change" && text("outcome") == "done",
            "plan_note" => {
                found.entry(text("step")).or_default().1 = true;
                false
            }
            _ => false,
        };
        if changed {
            found
                .entry(text("step"))
                .or_default()
                .0
                .push(text("primitive"));
        }
    }
    found.retain(|_, (changes, _)| !changes.is_empty());
    found
}

#[test]
fn a_dry_run_changes_nothing_and_says_what_the_run_then_does() {
    let stack = Stack::new("dry");
    stack.deploy("").exits(0);
    stack.extra("services:\n  postgrest:\n    environment: { PGRST_LOG_LEVEL: info }\n  redis:\n    environment: { TRIED: \"1\" }\n");
    stack.story.write(
        "stack/frontend/index.html",
        "<!doctype html><html><body>second</body></html>\n",
    );
    stack.story.write(
        "stack/migrations/005_notes.sql",
        "CREATE TABLE public.notes (id int);\nALTER TABLE public.notes ENABLE ROW LEVEL SECURITY;\n",
    );
    // All that the engine knows, but for what health checks write meanwhile.
    let seen = || {
        let text = stack.inspect("{{json .}}");
        let containers = text.lines().map(|line| {
            let mut container: serde_json::Value = serde_json::from_str(line).expect("JSON");
            container["State"]["Health"] = serde_json::Value::Null;
            container["ExecIDs"] = serde_json::Value::Null;
            // In whatever order the engine has them.
            let mounts = container["Mounts"].as_array_mut().expect("mounts");
            mounts.sort_by_key(|mount| mount["Destination"].to_string());
            container
        });
        containers.collect::<Vec<_>>()
    };
    let tables =
        "SELECT string_agg(oid::text || relname || xmin::text, ' ' ORDER BY oid) FROM pg_class";
    let (before, database) = (seen(), stack.sql(tables));
    let planned = changes(&stack, "--dry-run");
    for (now, then) in seen().iter().zip(&before) {
        for (key, value) in now.as_object().expect("an object") {
            assert_eq!(
                value, &then[key],
                "a dry run changed {key} of {}",
                then["Name"]
            );
        }
    }
    assert_eq!(stack.sql(tables), database);
    assert!(planned.len() > 5, "{planned:?}");
    let done = changes(&stack, "");
    assert!(planned.keys().eq(done.keys()), "{planned:?}\n{done:?}");
    for (step, (did, _)) in &done {
        let (would, cut) = &planned[step];
        assert!(did.starts_with(would), "{step}: {would:?}, then {did:?}");
        assert!(*cut || did == would, "{step}: {would:?}, then {did:?}");
    }
    assert!(seen() != before);
}

#[test]
fn each_service_finds_its_own_configuration_right() {
    let stack = root().join("runbooks/stack");
    let stack = stack.display();
    let check = |image: &str, mount: &str, words: &[&str]| {
        let mount = format!("{stack}/{mount}:/checked:ro");
        let mut arguments = vec![
            "run",
            "--rm",
            "--network",
            "none",
            "--env",
            "CADDY_SITE=:80",
            "--env",
            "CADDY_EMAIL=a@example.org",
            "--volume",
            &mount,
        ];
        let image = format!("ccrun-testbed/{image}:latest");
        arguments.extend(["--entrypoint", words[0], &image]);
        arguments.extend(&words[1..]);
        docker(&arguments)
    };
    let _said = check(
        "prometheus",
        "prometheus",
        &["promtool", "check", "config", "/checked/prometheus.yml"],
    );
    let _said = check(
        "prometheus",
        "prometheus/rules",
        &[
            "promtool",
            "test",
            "rules",
            "/checked/command_center_test.yml",
            "/checked/command_center_days_test.yml",
        ],
    );
    let _said = check(
        "alertmanager",
        "alertmanager",
        &["amtool", "check-config", "/checked/alertmanager.yml"],
    );
    let _said = check(
        "caddy",
        "caddy",
        &[
            "caddy",
            "validate",
            "--adapter",
            "caddyfile",
            "--config",
            "/checked/Caddyfile",
        ],
    );
}
