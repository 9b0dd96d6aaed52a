//! The reference stack, deployed as an operator does it. It takes the images of `tests/testbed/up --no-stack`.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;

use ccrun_tests::docker::docker;
use ccrun_tests::typed::Story;

/// The stack under a name of its own, on ports of its own. Taken down with its data when it is dropped.
struct Stack {
    story: Story,
    name: String,
    web: u16,
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its number").port()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .expect("the repository")
}

impl Stack {
    fn new() -> Self {
        let images = docker(&["images", "--quiet", "ccrun-testbed/postgrest:latest"]);
        assert!(
            !images.is_empty(),
            "the stack's images are missing; build them: tests/testbed/up --no-stack"
        );
        let (web, database) = (free_port(), free_port());
        let name = format!("ccrun-stack-{}", std::process::id());
        let root = root();
        let root = root.display();
        let story = Story::new()
            .file(
                "ports.yml",
                format!(
                    "services:\n  caddy:\n    ports: !override [\"127.0.0.1:{web}:80\"]\n  postgres:\n    ports: [\"127.0.0.1:{database}:5432\"]\n    networks: [backend, egress]\n"
                ),
            )
            .file(
                "ccrun.toml",
                format!(
                    r#"default_target = "bare"
runbooks = ["{root}/runbooks"]
[target.bare]
[target.test]
compose = {{ file = ["{root}/runbooks/stack/compose.yml", "{root}/tests/testbed/compose.testbed.yml", "ports.yml"], env_file = "test.env", project = "{name}" }}
postgres = {{ host = "127.0.0.1", port = {database}, user = "owner", database = "command_center", password = "secret:OWNER_PASSWORD", sslmode = "disable" }}
[target.test.secrets]
env_file = "test.env"
"#
                ),
            );
        let stack = Self { story, name, web };
        stack
            .story
            .types(&format!(
                "ccrun secrets -p file=test.env -p template={root}/runbooks/stack/.env.production.example -p domain=localhost -p url=http://127.0.0.1:{web}"
            ))
            .exits(0);
        stack
    }

    fn deploy(&self, more: &str) -> ccrun_tests::typed::Seen {
        let root = root();
        let root = root.display();
        self.story.types(&format!(
            "ccrun deploy --target test -p migrations={root}/runbooks/stack/migrations -p frontend={root}/runbooks/stack/frontend {more}"
        ))
    }

    /// What the engine knows of every container.
    fn containers(&self) -> String {
        let filter = format!("label=com.docker.compose.project={}", self.name);
        let ids = docker(&["ps", "--all", "--quiet", "--no-trunc", "--filter", &filter]);
        let mut ids: Vec<&str> = ids.lines().collect();
        ids.sort_unstable();
        let mut arguments = vec![
            "inspect",
            "--format",
            "{{.Name}} {{.Id}} {{.State.StartedAt}} {{.State.Health.Status}}",
        ];
        arguments.extend(ids);
        docker(&arguments)
    }

    /// Ask through Caddy: the status and the body.
    fn ask(&self, method: &str, path: &str, token: &str, body: &str) -> (u16, String) {
        let url = format!("http://127.0.0.1:{}{path}", self.web);
        let script = format!(
            r#"let r = http::request("{method}", "{url}", #{{ check: false, headers: #{{ "Content-Type": "application/json", Prefer: "return=representation" {}}}, body: `{body}` }}); print(r.status); print(r.body);"#,
            if token.is_empty() {
                String::new()
            } else {
                format!(", Authorization: \"Bearer {token}\"")
            }
        );
        let seen = self
            .story
            .command("ccrun -e")
            .arg(script)
            .output()
            .expect("ccrun starts");
        let text = String::from_utf8_lossy(&seen.stdout).into_owned();
        let (status, body) = text.split_once('\n').unwrap_or_else(|| {
            panic!("{method} {path}: {}", String::from_utf8_lossy(&seen.stderr))
        });
        (status.parse().expect("a status"), body.to_owned())
    }

    /// Sign up, and get a token.
    fn user(&self, email: &str) -> String {
        let body = format!(r#"{{"email": "{email}", "password": "a good password"}}"#);
        let (status, body) = self.ask("POST", "/auth/v1/signup", "", &body);
        assert_eq!(status, 200, "{body}");
        let answer: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        answer["access_token"].as_str().expect("a token").to_owned()
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        let label = format!("label=com.docker.compose.project={}", self.name);
        for (list, remove) in [
            (["ps", "-aq"].as_slice(), ["rm", "-fv"].as_slice()),
            (&["network", "ls", "-q"], &["network", "rm"]),
            (&["volume", "ls", "-q"], &["volume", "rm", "-f"]),
        ] {
            let found = Command::new("docker")
                .args(list)
                .args(["--filter", &label])
                .output();
            let text = found
                .map(|found| String::from_utf8_lossy(&found.stdout).into_owned())
                .unwrap_or_default();
            if !text.trim().is_empty() {
                drop(
                    Command::new("docker")
                        .args(remove)
                        .args(text.lines())
                        .output(),
                );
            }
        }
    }
}

#[test]
fn from_nothing_to_healthy_and_the_second_time_nothing_is_touched() {
    let stack = Stack::new();
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
    assert_eq!(before.lines().count(), 17, "{before}");
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
