//! What watches the stack, end to end: alerts arrive, log lines are found, panels have data.

use std::time::{Duration, Instant};

use ccrun_tests::docker::docker;
use ccrun_tests::stack::{Stack, root};
use serde_json::Value;

/// What a Rhai expression gives after these statements, as JSON.
fn eval(stack: &Stack, before: &str, expression: &str) -> Value {
    let script = format!("{before} print(json::stringify({expression}));");
    let seen = stack
        .story
        .command("ccrun -e")
        .arg(&script)
        .output()
        .expect("ccrun starts");
    let text = String::from_utf8_lossy(&seen.stdout).into_owned();
    serde_json::from_str(text.trim())
        .unwrap_or_else(|_| panic!("{script}: {text}{}", String::from_utf8_lossy(&seen.stderr)))
}

/// Until something is so.
fn wait(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(90);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
    }
}

/// One number of Prometheus, by an expression.
fn metric(stack: &Stack, expression: &str) -> Option<f64> {
    let ask = format!("prometheus::value(prometheus::at(compose::project()), `{expression}`)");
    eval(stack, "import \"std/prometheus\" as prometheus;", &ask).as_f64()
}

#[test]
fn everything_that_watches_the_stack_is_proved_to_work() {
    let stack = Stack::new("watched");
    stack.extra(
        // Quicker than in production, so that a rate has its two scrapes soon.
        "services:\n  prometheus:\n    volumes: [\"./fast.yml:/etc/prometheus/prometheus.yml:ro\"]\n",
    );
    let config = std::fs::read_to_string(root().join("runbooks/stack/prometheus/prometheus.yml"))
        .expect("prometheus.yml")
        .replace("scrape_interval: 15s", "scrape_interval: 2s")
        .replace("evaluation_interval: 15s", "evaluation_interval: 2s");
    stack.story.write("stack/fast.yml", &config);
    stack.story.write(
        "ccrun.toml",
        (std::fs::read_to_string(stack.story.path("ccrun.toml")).expect("ccrun.toml")
            + "redis = { service = \"redis\", password = \"secret:REDIS_PASSWORD\" }\nsmtp = { service = \"postal-smtp\", tls = \"none\", port = 25, from = \"ccrun@example.org\" }\n[target.test.alerts]\nam = { url = \"alertmanager\", service = \"alertmanager\" }\nmail = \"mail:ops@example.org\"\npost = { url = \"postal\", service = \"postal\", port = 5000, key = \"secret:POSTAL_SECRET_KEY\", to = [\"ops@example.org\"], from = \"ccrun@example.org\", severity = \"critical\" }\n")
            .replacen("[target.test.secrets]\nenv_file = \"test.env\"\nredis", "redis", 1),
    );
    // The sections of the target stand before its tables.
    let toml = std::fs::read_to_string(stack.story.path("ccrun.toml")).expect("ccrun.toml")
        + "[target.test.secrets]\nenv_file = \"test.env\"\n";
    stack.story.write("ccrun.toml", &toml);
    stack.deploy("").exits(0);
    stack.types("ccrun backup").exits(0);

    // A refused statement of a signed-in user, and one of nobody; ccrun's own probes do not count.
    stack.types("ccrun measure").exits(0);
    let user = stack.user("ann@example.org");
    let (status, _) = stack.ask(
        "POST",
        "/api/domains",
        &user,
        r#"{"name": "not mine", "owner_id": "00000000-0000-0000-0000-000000000001"}"#,
    );
    assert_eq!(status, 403);
    assert_eq!(stack.ask("GET", "/api/domains", "", "").0, 401);
    stack.types("ccrun measure").exits(0);
    let textfile = || {
        docker(&[
            "exec",
            &format!("{}-node-exporter-1", stack.name),
            "cat",
            "/textfile/ccrun_measured.prom",
        ])
    };
    let told = textfile();
    for line in [
        "ccrun_rls_violations_total{role=\"authenticated\",table=\"domains\"} 1",
        "ccrun_rls_violations_total{role=\"anon\",table=\"domains\"} 1",
        "ccrun_rls_violations_total{role=\"anon\",table=\"tasks\"} 0",
    ] {
        assert!(told.contains(line), "no {line} in:\n{told}");
    }
    assert!(told.contains("container_memory_usage_bytes{"), "{told}");
    // What was counted is not counted again.
    stack.types("ccrun measure").exits(0);
    assert!(textfile().contains("{role=\"authenticated\",table=\"domains\"} 1"));

    let seen = stack.types("ccrun monitoring -p timeout=60s -p tell=true -p files=stack");
    let said = seen.text();
    seen.exits(0);
    for proof in [
        "A test alert arrives",
        "A line that a container writes is found",
    ] {
        assert!(said.contains(proof), "{said}");
    }

    // The alert is there, and the mail as well.
    wait("no mail", || {
        let mailbox = docker(&[
            "exec",
            &format!("{}-postal-smtp-1", stack.name),
            "cat",
            "/var/mail/root",
        ]);
        mailbox.matches("A test of ccrun monitoring").count() >= 2
    });
    assert_eq!(metric(&stack, "sum(ccrun_rls_violations_total)"), Some(2.0));
    assert_eq!(
        metric(&stack, "count(container_memory_usage_bytes)"),
        Some(18.0)
    );
    assert_eq!(
        eval(
            &stack,
            "let r = redis::connect();",
            "[r.ping() < \"1s\", r.info(\"memory\").maxmemory, smtp::check().encrypted]"
        ),
        serde_json::json!([true, 209_715_200, false])
    );

    // A service that is down: what proves it fails, and says so.
    let _name = docker(&["stop", "--time", "1", &format!("{}-loki-1", stack.name)]);
    stack
        .types("ccrun monitoring -p timeout=5s -p files=stack")
        .exits(1)
        .prints("A log line that is pushed is found");
}
