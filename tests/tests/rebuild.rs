//! The life of backups on a stack: made, looked at, tried in the drill, swapped in, cleaned up; and the whole stack set up
//! again from one, on a machine that has only ccrun, Docker, and the keys.
#![allow(clippy::print_stdout, reason = "a long test says what it measures")]

use age::secrecy::ExposeSecret as _;
use age::x25519::Identity;
use ccrun_tests::docker::{docker, docker_with};
use ccrun_tests::seaweed::{SECRET_KEY, Seaweed};
use ccrun_tests::stack::{Stack, root};
use ccrun_tests::typed::Story;

/// A stack whose project has its runbooks with it, and whose backups go to a store that is elsewhere.
fn stack(seaweed: &Seaweed) -> Stack {
    let stack = Stack::new("rebuild");
    let copied = std::process::Command::new("cp")
        .arg("-r")
        .arg(root().join("runbooks"))
        .arg(stack.story.path("runbooks"))
        .status();
    assert!(copied.is_ok_and(|status| status.success()));
    let config = stack.story.read("ccrun.toml");
    let (head, tail) = config
        .split_once("[target.test.secrets]")
        .expect("as it was written");
    let own = format!("runbooks = [\"{}/runbooks\"]", root().display());
    stack.story.write(
        "ccrun.toml",
        format!(
            "{}{}[target.test.secrets]{tail}",
            head.replace(&own, "runbooks = [\"runbooks\"]"),
            seaweed.section(seaweed.address.port(), "backups")
        ),
    );
    let environment = stack.story.read("test.env");
    stack.story.write(
        "test.env",
        format!("{environment}\nS3_SECRET_KEY={SECRET_KEY}\n"),
    );
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(stack.story.path("test.env"), private).expect("its mode");
    stack
}

/// A machine with Docker, and nothing else: no client of Postgres, no runbooks, no files. Runs a script in an empty folder.
fn on_a_bare_machine(story: &Story, key: &str, script: &str) {
    let folder = story.path("").display().to_string();
    let folder = folder.trim_end_matches('/');
    let mounted = |path: &str, inside: &str| format!("{path}:{inside}:ro");
    let which = |program: &str| {
        let found = std::process::Command::new("sh")
            .args(["-c", &format!("readlink -f \"$(command -v {program})\"")])
            .output()
            .expect("sh");
        String::from_utf8_lossy(&found.stdout).trim().to_owned()
    };
    let plugin = docker(&[
        "info",
        "--format",
        "{{range .ClientInfo.Plugins}}{{if eq .Name \"compose\"}}{{.Path}}{{end}}{{end}}",
    ]);
    let test = std::env::current_exe().expect("the test");
    let ccrun = test.ancestors().nth(2).expect("its folder").join("ccrun");
    let bare = "rm -rf /usr/lib/postgresql /usr/bin/pg_* /usr/bin/psql /usr/bin/createdb; ! command -v pg_restore psql age zstd || exit 9; mkdir -p tmp; export TMPDIR=$PWD/tmp HOME=$PWD; ";
    let said = docker_with(
        &[("BACKUP_KEY", key), ("S3_SECRET_KEY", SECRET_KEY)],
        &[
            "run",
            "--rm",
            "--network",
            "host",
            "--label",
            "ccrun.test=docker",
            "--env",
            "BACKUP_KEY",
            "--env",
            "S3_SECRET_KEY",
            "--volume",
            &format!("{folder}:{folder}"),
            "--volume",
            "/var/run/docker.sock:/var/run/docker.sock",
            "--volume",
            &mounted(&ccrun.display().to_string(), "/usr/local/bin/ccrun"),
            "--volume",
            &mounted(&which("docker"), "/usr/local/bin/docker"),
            "--volume",
            &mounted(&plugin, "/usr/local/lib/docker/cli-plugins/docker-compose"),
            "--workdir",
            folder,
            "--entrypoint",
            "bash",
            "ccrun-testbed/postgrest:latest",
            "-euc",
            &format!("{{ {bare} {script}; }} 2>&1"),
        ],
    );
    println!("{said}");
}

#[test]
fn backups_live_on_a_stack_and_set_it_up_again_where_nothing_is() {
    let seaweed = Seaweed::start();
    let stack = stack(&seaweed);
    let key = Identity::generate();
    let recipient = key.to_public();
    let key = key.to_string().expose_secret().to_owned();
    stack
        .story
        .write("key.txt", format!("# made by a test\n{key}\n"));
    let with_key = |line: &str| {
        let mut command = stack.story.command(line);
        let output = command
            .env("BACKUP_KEY", &key)
            .output()
            .expect("ccrun starts");
        let text = format!(
            "{}\n{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        assert_eq!(output.status.code(), Some(0), "{line}\n{text}");
        assert!(
            !text.contains(&key) && !text.contains(SECRET_KEY),
            "{line}\n{text}"
        );
        text
    };
    stack.deploy("-p note=first").exits(0);
    let alice = stack.user("alice@example.org");
    let (status, said) = stack.ask("POST", "/api/domains", &alice, r#"{"name": "Alice Work"}"#);
    assert_eq!(status, 201, "{said}");
    let container = |service: &str| format!("{}-{service}-1", stack.name);
    let mark = |service: &str, path: &str| {
        let line = format!("echo a-mark-of-{service} > {path}");
        let _said = docker(&[
            "exec",
            "--user",
            "0",
            &container(service),
            "sh",
            "-c",
            &line,
        ]);
    };
    mark("caddy", "/data/mark");
    mark("grafana", "/var/lib/grafana/mark");

    // Objects of users: one with a type, one whose name is longer than a header of tar has room for.
    let long = format!("a/{}/ünï.txt", "long".repeat(50));
    stack.story.write(
        "objects.rhai",
        format!(
            "import \"runbooks/lib/backups\" as backups;\nlet store = backups::buckets(compose::project(), [\"uploads\"]).uploads;\nif params.put {{ store.create_bucket(); store.put(\"{long}\", \"hello\"); for n in 0..30 {{ store.put(`many/${{n}}`, `object ${{n}}`); }} }}\nprint(`${{store.list(\"\").len()}} objects, ${{store.get(\"{long}\")}}`);\n"
        ),
    );
    let script = stack.story.read("objects.rhai");
    stack.story.write(
        "objects.rhai",
        format!("runbook(#{{ params: #{{ put: #{{ type: \"bool\", default: false }} }}, needs: #{{ compose: \"*\", docker: \"*\", s3: \"*\" }} }});\n{script}"),
    );
    let objects = "31 objects, hello";
    assert!(with_key("ccrun --yes objects.rhai -p put=true").contains(objects));
    let said = with_key(&format!(
        "ccrun --yes backup -p recipients={recipient} -p buckets=uploads -p note=nightly"
    ));
    assert!(said.contains("ccrun restore -p backup="), "{said}");
    let said = with_key("ccrun backups -p action=show");
    for object in [
        "database",
        "globals",
        "env.0",
        "project.tar",
        "caddy.tar",
        "grafana.tar",
        "bucket.uploads.tar",
    ] {
        assert!(said.contains(object), "{object}: {said}");
    }
    let said = with_key("ccrun --yes drill");
    assert!(said.contains("can be restored"), "{said}");
    assert!(said.contains("was heard by the API"), "{said}");
    assert!(said.contains("0 leaks"), "{said}");
    let scratch = "SELECT count(*) FROM pg_database WHERE datname LIKE 'drill%' OR datname LIKE '%unfinished'";
    assert_eq!(stack.sql(scratch), "0");
    let left = docker(&["ps", "-aq", "--filter", "label=ccrun.drill"]);
    assert_eq!(left, "");

    // Something is lost, and the backup takes its place; what ran stays beside it.
    let _gone = stack.sql("DELETE FROM public.domains");
    let said = with_key("ccrun --yes restore -p swap=true");
    assert!(said.contains("It stays until"), "{said}");
    let alice = sign_in(&stack);
    assert!(
        stack
            .ask("GET", "/api/domains", &alice, "")
            .1
            .contains("Alice Work")
    );
    let old = "SELECT count(*) FROM pg_database WHERE datname LIKE '%\\_before\\_%'";
    assert_eq!(stack.sql(old), "1");
    with_key("ccrun --yes prune");
    assert_eq!(stack.sql(old), "1", "its time is not over");
    let name = stack.sql(&old.replace("count(*)", "datname"));
    let _over = stack.sql(&format!(
        "ALTER DATABASE \"{name}\" SET \"ccrun.keep_until\" TO '2026-01-01T00:00:00Z'"
    ));
    let said = with_key("ccrun --yes prune");
    assert!(
        said.contains("no backup made since it was replaced was verified"),
        "{said}"
    );
    with_key(&format!(
        "ccrun --yes backup -p recipients={recipient} -p buckets=uploads"
    ));
    with_key("ccrun --yes prune");
    assert_eq!(stack.sql(old), "0");

    // The machine burns. A new one has Docker, ccrun and the keys.
    let rows = stack.sql("SELECT count(*) FROM auth.users");
    let there = format!("ccrun rebuild -p backup={}", "latest");
    stack.types(&format!("{there} --yes")).exits(1);
    stack.destroy();
    let machine = Story::new();
    let store = format!(
        "s3::connect(#{{ endpoint: \"http://{}\", bucket: \"backups\", access_key: \"{}\", secret_key: env::require(\"S3_SECRET_KEY\") }})",
        seaweed.address,
        ccrun_tests::seaweed::ACCESS_KEY
    );
    let fetch = format!(
        "ccrun --yes -e 'pg::restore_files({store}, \"latest\", \"back\", #{{ key: env::require(\"BACKUP_KEY\") }}); archive::untar(\"back/project.tar\", \".\"); fs::remove_all(\"back\");'"
    );
    on_a_bare_machine(
        &machine,
        &key,
        &format!("{fetch} && ccrun --yes rebuild -p frontend=stack/frontend"),
    );
    assert_eq!(
        stack.containers().lines().count(),
        18,
        "{}",
        stack.containers()
    );
    assert_eq!(stack.sql("SELECT count(*) FROM auth.users"), rows);
    let alice = sign_in(&stack);
    assert!(
        stack
            .ask("GET", "/api/domains", &alice, "")
            .1
            .contains("Alice Work")
    );
    assert!(with_key("ccrun --yes objects.rhai").contains(objects));
    for (service, path) in [
        ("caddy", "/data/mark"),
        ("grafana", "/var/lib/grafana/mark"),
    ] {
        let found = docker(&["exec", &container(service), "cat", path]);
        assert_eq!(found, format!("a-mark-of-{service}"));
    }
}

fn sign_in(stack: &Stack) -> String {
    let body = r#"{"email": "alice@example.org", "password": "a good password"}"#;
    let (status, said) = stack.ask("POST", "/auth/v1/token?grant_type=password", "", body);
    assert_eq!(status, 200, "{said}");
    let answer: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    answer["access_token"].as_str().expect("a token").to_owned()
}
