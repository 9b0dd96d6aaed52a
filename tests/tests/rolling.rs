//! A new release under load: nobody's request fails.

use ccrun_tests::docker::logs;
use ccrun_tests::load::Load;
use ccrun_tests::stack::Stack;

#[test]
fn a_new_api_and_a_new_frontend_under_load_fail_no_request() {
    let stack = Stack::new("rolling");
    stack.deploy("").exits(0);
    let caddyfile = stack.story.read("stack/caddy/Caddyfile");
    let load = Load::start(stack.web, &["/api/", "/", "/api/", "/"]);
    for release in ["info", "warn"] {
        stack.extra(&format!(
            "services:\n  postgrest:\n    environment: {{ PGRST_LOG_LEVEL: {release} }}\n"
        ));
        stack.story.write(
            "stack/frontend/index.html",
            format!("<!doctype html><html><body>{release}</body></html>\n"),
        );
        // A new configuration of Caddy as well: loaded without dropping a connection.
        stack.story.write(
            "stack/caddy/Caddyfile",
            caddyfile.replace(
                "X-Frame-Options SAMEORIGIN",
                &format!("X-Frame-Options SAMEORIGIN\n\t\tX-Release {release}"),
            ),
        );
        stack
            .deploy("")
            .exits(0)
            .prints("postgrest")
            .prints("Caddyfile");
    }
    let outcome = load.stop();
    assert!(outcome.good > 500, "{} requests", outcome.good);
    if !outcome.failed.is_empty() {
        let log = logs(&format!("{}-caddy-1", stack.name));
        let errors: Vec<&str> = log
            .lines()
            .filter(|line| line.contains("\"error\""))
            .collect();
        panic!(
            "{} of {} requests failed: {:?}\nCaddy says:\n{}",
            outcome.failed.len(),
            outcome.good,
            &outcome.failed[..outcome.failed.len().min(10)],
            errors.join("\n")
        );
    }
    let (_, page) = stack.ask("GET", "/", "", "");
    assert!(page.contains("warn"), "{page}");
}
