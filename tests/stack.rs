//! The reference stack for tests: a copy of its files that a test may change, under a name and on ports of its own.
//! It takes the images of `tests/testbed/up --no-stack`.

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use crate::docker::{docker, remove_labelled};
use crate::typed::{Seen, Story};

/// The stack. Taken down with its data when it is dropped.
pub struct Stack {
    /// The folder: `stack/` has the stack's files, `test.env` the env file, `extra.yml` what a test changes.
    pub story: Story,
    /// The project's name.
    pub name: String,
    /// The port that Caddy is at.
    pub web: u16,
}

/// The root of the repository.
///
/// # Panics
/// If it is gone.
#[must_use]
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .expect("the repository")
}

/// A port that nothing listens on.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its number").port()
}

impl Stack {
    /// The files, with an env file; nothing runs yet.
    ///
    /// # Panics
    /// If the images are missing.
    #[must_use]
    pub fn new(sort: &str) -> Self {
        let images = docker(&["images", "--quiet", "ccrun-testbed/postgrest:latest"]);
        assert!(
            !images.is_empty(),
            "the stack's images are missing; build them: tests/testbed/up --no-stack"
        );
        let web = free_port();
        let name = format!("ccrun-{sort}-{}", std::process::id());
        let root = root();
        let story = Story::new()
            .file(
                "ports.yml",
                format!("services:\n  caddy:\n    ports: !override [\"127.0.0.1:{web}:80\"]\n"),
            )
            .file("extra.yml", "services: {}\n")
            .file(
                "ccrun.toml",
                format!(
                    r#"default_target = "test"
runbooks = ["{root}/runbooks"]
[target.test]
compose = {{ file = ["stack/compose.yml", "testbed.yml", "ports.yml", "extra.yml"], env_file = "test.env", project = "{name}" }}
postgres = {{ service = "postgres", user = "owner", database = "command_center", password = "secret:OWNER_PASSWORD", sslmode = "disable" }}
[target.test.secrets]
env_file = "test.env"
"#,
                    root = root.display()
                ),
            );
        copy(&root.join("runbooks/stack"), &story.path("stack"));
        copy(
            &root.join("tests/testbed/compose.testbed.yml"),
            &story.path("testbed.yml"),
        );
        let stack = Self { story, name, web };
        stack
            .types(&format!(
                "ccrun secrets -p file=test.env -p template=stack/.env.production.example -p domain=localhost -p url=http://127.0.0.1:{web}"
            ))
            .exits(0);
        stack
    }

    /// Type a line.
    #[must_use]
    pub fn types(&self, line: &str) -> Seen {
        self.story.types(line)
    }

    /// The line that deploys it.
    #[must_use]
    pub fn deploy_line(&self, more: &str) -> String {
        format!("ccrun deploy -p migrations=stack/migrations -p frontend=stack/frontend {more}")
    }

    /// Deploy it.
    #[must_use]
    pub fn deploy(&self, more: &str) -> Seen {
        self.types(&self.deploy_line(more))
    }

    /// What the project changes of the stack: the text of a Compose file.
    pub fn extra(&self, text: &str) {
        self.story.write("extra.yml", text);
    }

    /// Take it down with its data, as a fire does.
    pub fn destroy(&self) {
        remove_labelled(&format!("label=com.docker.compose.project={}", self.name));
    }

    /// Each container of the project, in a format of `docker inspect`.
    #[must_use]
    pub fn inspect(&self, format: &str) -> String {
        let filter = format!("label=com.docker.compose.project={}", self.name);
        let ids = docker(&["ps", "--all", "--quiet", "--no-trunc", "--filter", &filter]);
        if ids.is_empty() {
            return ids;
        }
        let mut ids: Vec<&str> = ids.lines().collect();
        ids.sort_unstable();
        let mut arguments = vec!["inspect", "--format", format];
        arguments.extend(ids);
        docker(&arguments)
    }

    /// Name, id, start and health of each container.
    #[must_use]
    pub fn containers(&self) -> String {
        self.inspect("{{.Name}} {{.Id}} {{.State.StartedAt}} {{.State.Health.Status}}")
    }

    /// What a statement says in the database, as the superuser.
    #[must_use]
    pub fn sql(&self, statement: &str) -> String {
        let container = format!("{}-postgres-1", self.name);
        docker(&[
            "exec",
            &container,
            "psql",
            "-XqtA",
            "-U",
            "postgres",
            "-d",
            "command_center",
            "-c",
            statement,
        ])
    }

    /// Ask through Caddy: the status and the body.
    ///
    /// # Panics
    /// If nothing answers.
    #[must_use]
    pub fn ask(&self, method: &str, path: &str, token: &str, body: &str) -> (u16, String) {
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
    ///
    /// # Panics
    /// If the service refuses.
    #[must_use]
    pub fn user(&self, email: &str) -> String {
        let body = format!(r#"{{"email": "{email}", "password": "a good password"}}"#);
        let (status, body) = self.ask("POST", "/auth/v1/signup", "", &body);
        assert_eq!(status, 200, "{body}");
        let answer: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        answer["access_token"].as_str().expect("a token").to_owned()
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.destroy();
    }
}

fn copy(from: &Path, to: &Path) {
    let status = std::process::Command::new("cp")
        .arg("-r")
        .arg(from)
        .arg(to)
        .status();
    assert!(status.is_ok_and(|status| status.success()), "cp -r");
}
