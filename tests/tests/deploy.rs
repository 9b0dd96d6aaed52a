//! Deployments that go wrong: what ran before runs again, and the message says what happened.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use ccrun_tests::docker::docker;
use ccrun_tests::engine_proxy::EngineProxy;
use ccrun_tests::faults::SmallDisk;
use ccrun_tests::stack::Stack;

/// What makes PostgREST another one.
fn level(word: &str) -> String {
    format!("services:\n  postgrest:\n    environment: {{ PGRST_LOG_LEVEL: {word} }}\n")
}

/// The services with what matters of their containers: image, health, and the variable that tests change.
fn shape(stack: &Stack) -> Vec<String> {
    let seen = stack.inspect(
        "{{index .Config.Labels \"com.docker.compose.service\"}} {{.Config.Image}} {{.State.Status}} {{.State.Health.Status}} {{json .Config.Env}}",
    );
    let mut lines: Vec<String> = seen
        .lines()
        .map(|line| {
            let (head, json) = line.split_once('[').expect("an array of variables");
            let variables: Vec<String> =
                serde_json::from_str(&format!("[{json}")).expect("variables");
            let kept = variables
                .into_iter()
                .filter(|text| text.starts_with("PGRST_LOG") || text.starts_with("TEST"));
            kept.fold(head.trim().to_owned(), |all, text| format!("{all} {text}"))
        })
        .collect();
    lines.sort();
    lines
}

fn frontend(stack: &Stack) -> String {
    let caddy = format!("{}-caddy-1", stack.name);
    docker(&["exec", &caddy, "readlink", "/srv/www/current"])
}

fn serves(stack: &Stack) {
    let (status, body) = stack.ask("GET", "/", "", "");
    assert_eq!(status, 200, "{body}");
    assert_eq!(stack.ask("GET", "/api/", "", "").0, 200);
}

#[test]
fn whatever_goes_wrong_what_ran_before_runs_again() {
    let stack = Stack::new("deploy");
    stack.extra(&level("warn"));
    stack.deploy("").exits(0);
    let good = shape(&stack);
    let page = frontend(&stack);
    assert_eq!(good.len(), 18, "{good:?}");
    let versions = || {
        stack.sql("SELECT string_agg(version, ' ' ORDER BY version) FROM public.schema_migrations")
    };
    let applied = versions();
    let back = |what: &str| {
        assert_eq!(shape(&stack), good, "after {what}");
        assert_eq!(versions(), applied, "after {what}");
        assert_eq!(frontend(&stack), page, "after {what}");
        serves(&stack);
    };

    // An image that is nowhere: found out before anything is touched.
    let before = stack.containers();
    stack.extra("services:\n  redis:\n    image: ccrun-testbed/nowhere:1\n");
    stack
        .deploy("")
        .exits(1)
        .says("ccrun-testbed/nowhere:1 (redis)")
        .says("nothing was changed");
    assert_eq!(stack.containers(), before);

    // A port that somebody else has.
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("its number").port();
    stack.extra(&format!(
        "services:\n  redis:\n    ports: [\"127.0.0.1:{port}:6379\"]\n    networks: [backend, egress]\n"
    ));
    stack
        .deploy("")
        .exits(1)
        .prints(&format!("taken: [\"{port}"))
        .says("nothing was changed");
    assert_eq!(stack.containers(), before);
    drop(taken);

    // A container that ends at once, after PostgREST was replaced already and a migration applied.
    stack.story.write(
        "stack/migrations/005_notes.sql",
        "CREATE TABLE public.notes (id int);\nALTER TABLE public.notes ENABLE ROW LEVEL SECURITY;\n",
    );
    stack.story.write(
        "stack/migrations/005_notes.down.sql",
        "-- ccrun: reversible\nDROP TABLE public.notes;\n",
    );
    stack.extra(&format!(
        "{}  redis:\n    command: [\"sh\", \"-c\", \"echo out of luck; exit 3\"]\n",
        level("info")
    ));
    stack
        .deploy("")
        .exits(1)
        .says("redis")
        .says("out of luck")
        .says("back at the release");
    back("a container that ends");

    // A health check that never passes.
    stack.extra(&format!(
        "{}  seaweedfs:\n    healthcheck: {{ test: [\"CMD\", \"false\"], interval: 1s, retries: 2, start_period: 0s }}\n",
        level("info")
    ));
    stack
        .deploy("-p timeout=40s")
        .exits(1)
        .says("seaweedfs")
        .says("back at the release");
    back("a health check that never passes");

    // A migration that fails at its third statement: nothing of it stays, and nothing of the one before it.
    stack.extra(&level("info"));
    stack.story.write(
        "stack/migrations/006_broken.sql",
        "CREATE TABLE public.a (id int);\nCREATE TABLE public.b (id int);\nCREATE TABLE public.c (id nonsense);\n",
    );
    stack
        .deploy("")
        .exits(1)
        .says("type \"nonsense\" does not exist")
        .says("Migrate 006_broken")
        .says("back at the release");
    back("a broken migration");
    assert_eq!(
        stack.sql("SELECT to_regclass('public.a') IS NULL AND to_regclass('public.notes') IS NULL"),
        "t"
    );
    std::fs::remove_file(stack.story.path("stack/migrations/006_broken.sql"))
        .expect("it was there");

    // It comes up, and does not work: the frontend's page has no page in it.
    stack.story.write("stack/frontend/index.html", "hello\n");
    stack
        .deploy("")
        .exits(1)
        .says("it is up and does not work")
        .says("Frontend")
        .says("back at the release");
    back("a smoke test that fails");
    stack.story.write(
        "stack/frontend/index.html",
        "<!doctype html><html><body>second</body></html>\n",
    );

    // What was in the way is mended: the same line completes.
    stack
        .deploy("-p note=v2")
        .exits(0)
        .prints("the stack is up");
    assert_eq!(versions(), format!("{applied} 005_notes"));
    assert_ne!(frontend(&stack), page);
    assert!(
        shape(&stack)
            .iter()
            .any(|line| line.contains("PGRST_LOG_LEVEL=info"))
    );
    let (_, body) = stack.ask("GET", "/", "", "");
    assert!(body.contains("second"), "{body}");
}

#[test]
fn a_full_disk_and_an_engine_that_goes_away_leave_the_old_release() {
    let stack = Stack::new("gone");
    stack.extra(&level("warn"));
    stack.deploy("").exits(0);
    let good = shape(&stack);

    // No room for the dump: nothing was touched.
    let disk = SmallDisk::at(&stack.story.path("small"), 64);
    disk.fill();
    let before = stack.containers();
    stack.extra(&level("info"));
    stack
        .deploy("-p backups=small")
        .exits(1)
        .says("disk_full")
        .says("Back up the database");
    assert_eq!(stack.containers(), before);

    // The engine goes away at some moment of the deployment, and comes back: what runs is one of the two
    // releases or a mixture that serves, and the same line completes.
    let proxy = EngineProxy::start(&stack.story.path("engine.sock"));
    for connections in [10, 25, 45, 70] {
        proxy.go_away_after(connections);
        let mut command = stack.story.command(&stack.deploy_line(""));
        let seen = command
            .env("DOCKER_HOST", proxy.address())
            .output()
            .expect("ccrun starts");
        let said = String::from_utf8_lossy(&seen.stderr).into_owned();
        assert_eq!(seen.status.code(), Some(1), "after {connections}: {said}");
        assert!(
            proxy.is_away(),
            "{connections} connections were not reached: {said}"
        );
        assert!(
            said.contains("engine.sock") || said.contains("Docker"),
            "after {connections}: {said}"
        );
        serves(&stack);
        proxy.come_back();
    }
    let mut command = stack.story.command(&stack.deploy_line(""));
    let seen = command
        .env("DOCKER_HOST", proxy.address())
        .output()
        .expect("ccrun starts");
    assert!(
        seen.status.success(),
        "{}",
        String::from_utf8_lossy(&seen.stderr)
    );
    let now = shape(&stack);
    assert_eq!(now.len(), good.len());
    assert!(
        now.iter()
            .any(|line| line.ends_with("PGRST_LOG_LEVEL=info")),
        "{now:?}"
    );
}

#[test]
fn a_first_deployment_that_fails_serves_nothing_and_keeps_what_there_is_to_see() {
    let stack = Stack::new("first");
    stack.extra(
        "services:\n  redis:\n    command: [\"sh\", \"-c\", \"echo out of luck; exit 3\"]\n",
    );
    stack
        .deploy("")
        .exits(1)
        .says("out of luck")
        .says("nothing ran before this deployment");
    let states = stack.inspect("{{.State.Running}}");
    assert!(states.lines().all(|state| state == "false"), "{states}");
    stack.extra("services: {}\n");
    stack.deploy("").exits(0);
    serves(&stack);
}

#[test]
fn a_changed_password_is_set_in_the_database_and_no_data_is_lost() {
    let stack = Stack::new("password");
    stack.deploy("").exits(0);
    let token = stack.user("alice@example.org");
    let made = stack.ask("POST", "/api/domains", &token, r#"{"name": "Alice Work"}"#);
    assert_eq!(made.0, 201, "{made:?}");
    let text = stack.story.read("test.env");
    let changed: String = text
        .lines()
        .map(|line| match line.split_once('=') {
            Some((name @ ("POSTGRES_PASSWORD" | "AUTHENTICATOR_PASSWORD"), value)) => {
                format!("{name}={value}f00\n")
            }
            _ => format!("{line}\n"),
        })
        .collect();
    stack.story.write("test.env", changed);
    stack
        .deploy("--dry-run")
        .prints("POSTGRES_PASSWORD changed")
        .prints("AUTHENTICATOR_PASSWORD changed");
    stack.deploy("").exits(0).prints("the stack is up");
    let (status, body) = stack.ask("GET", "/api/domains?select=name", &token, "");
    assert_eq!(status, 200);
    assert!(body.contains("Alice Work"), "{body}");
    stack.deploy("").exits(0).prints("nothing to deploy");
}

/// Killed at whatever moment, the same line completes what was begun.
#[test]
fn killed_at_any_moment_it_goes_on_when_it_is_run_again() {
    let stack = Stack::new("killed");
    stack.deploy("").exits(0);
    // Moments over the length of a deployment that replaces two services, spread evenly.
    const MOMENTS: u32 = 20;
    let started = Instant::now();
    stack.extra(&level("info"));
    stack.deploy("").exits(0);
    let whole = started.elapsed();
    for moment in 0..MOMENTS {
        let word = ["warn", "crit", "info"][moment as usize % 3];
        stack.extra(&format!(
            "{}  redis:\n    environment: {{ TEST_MOMENT: \"{moment}\" }}\n",
            level(word)
        ));
        let mut child = stack.story.starts(&stack.deploy_line(""));
        std::thread::sleep(whole * moment / MOMENTS + Duration::from_millis(20));
        child.kill().expect("SIGKILL");
        let _status = child.wait().expect("its end");
        // Whoever asks meanwhile is served by the old or by the new.
        serves(&stack);
        if moment % 5 == 4 {
            stack.deploy("").exits(0);
            let now = shape(&stack);
            assert_eq!(now.len(), 18, "moment {moment}: {now:?}");
            let new = format!("PGRST_LOG_LEVEL={word}");
            assert!(
                now.iter().any(|line| line.contains(&new)),
                "moment {moment}: {now:?}"
            );
            assert!(
                now.iter().all(|line| line.contains(" running healthy")),
                "{now:?}"
            );
        }
    }
}
