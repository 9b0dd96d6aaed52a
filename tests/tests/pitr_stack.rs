//! Restoring the reference stack's server to a moment, by its runbooks.

use std::time::{Duration, Instant};

use ccrun_tests::docker::docker;
use ccrun_tests::stack::Stack;

/// Removes what a restore of this stack has left, whatever happens.
struct Leftovers(String);

impl Drop for Leftovers {
    fn drop(&mut self) {
        for (list, remove) in [
            ("ps --all", "rm --force"),
            ("volume ls", "volume rm --force"),
        ] {
            let script = format!(
                "docker {list} --quiet --filter name={} | xargs --no-run-if-empty docker {remove}",
                self.0
            );
            drop(
                std::process::Command::new("sh")
                    .args(["-c", &script])
                    .output(),
            );
        }
    }
}

/// Up with the database, sign-in and the API; the rest of the stack is none of this test's business.
fn stack() -> Stack {
    let stack = Stack::new("pitr");
    // The store is a folder: a store of the stack itself would be stopped with it.
    let config = stack.story.read("ccrun.toml");
    let config = config.replace(
        r#""stack/compose.yml", "testbed.yml", "ports.yml", "extra.yml"]"#,
        r#""stack/compose.yml", "stack/compose.wal.yml", "testbed.yml", "ports.yml", "extra.yml"]"#,
    );
    stack.story.write("with-spool.toml", &config);
    stack
}

#[test]
fn the_server_goes_back_to_a_moment_and_nothing_is_lost() {
    let stack = stack();
    let _leftovers = Leftovers(format!("{}_p", stack.name));
    stack.deploy("").exits(0);
    let server = || {
        stack
            .inspect("{{.Name}} {{.State.StartedAt}}")
            .lines()
            .find(|line| line.contains("-postgres-1"))
            .map(str::to_owned)
    };

    // Archiving: without the mount it says what to do, and nothing changes.
    let before = server();
    stack
        .types("ccrun --yes wal-archive -p action=setup")
        .exits(1)
        .says("compose.wal.yml")
        .says("WAL_SPOOL=");
    stack
        .types("ccrun --yes wal-archive -p action=tick")
        .exits(0)
        .prints("archiving is not set up");
    stack
        .types("ccrun --yes base-backup -p archiving=true")
        .exits(0)
        .prints("no base backup is taken");
    stack
        .types("ccrun pitr")
        .exits(0)
        .prints("no moment can be restored");
    assert_eq!(server(), before, "the server was left alone");

    let config = stack.story.read("with-spool.toml");
    stack.story.write("ccrun.toml", config);
    let spool = stack.story.path(".ccrun/wal");
    let environment = stack.story.read("test.env");
    stack.story.write(
        "test.env",
        format!("{environment}WAL_SPOOL={}\n", spool.display()),
    );
    // Nobody is there to agree to the restart.
    stack
        .types("ccrun wal-archive -p action=setup")
        .exits(0)
        .prints("archiving is on");
    assert_ne!(server(), before);
    stack
        .types("ccrun --yes wal-archive")
        .exits(1)
        .prints("no moment can be reached");
    let again = server();
    stack.types("ccrun wal-archive -p action=setup").exits(0);
    assert_eq!(server(), again, "what is set up takes no restart");

    let made = stack.types("ccrun --yes base-backup");
    made.exits(0).prints("every moment from");
    let alice = stack.user("alice@example.org");
    assert_eq!(stack.ask("GET", "/api/domains", &alice, "").0, 200);
    let _made = stack.sql("CREATE TABLE public.marker AS SELECT 'before'::text AS name");
    let _point = stack.sql("SELECT pg_create_restore_point('before the mistake')");
    let _mistake = stack.sql("UPDATE public.marker SET name = 'after'; DELETE FROM auth.users");
    let moment = stack.sql("SELECT clock_timestamp()");
    stack
        .types("ccrun --yes wal-archive -p action=tick")
        .exits(0)
        .prints("can be restored");
    stack
        .types("ccrun backups -p action=wal")
        .exits(0)
        .prints("before the mistake");
    stack.types("ccrun backups").exits(0).prints("base");

    // A moment that can't be had is refused, and nothing is made.
    stack
        .types("ccrun --yes pitr -p action=restore -p time=2001-01-01")
        .exits(1)
        .says("before the end of the first base backup");
    let volumes = || {
        docker(&[
            "volume",
            "ls",
            "--quiet",
            "--filter",
            &format!("name={}", stack.name),
        ])
    };
    assert!(!volumes().contains("_pitr_"));

    // Beside it: the scratch instance has what was, the server what is.
    let arguments = [
        "--yes",
        "pitr",
        "-p",
        "action=restore",
        "-p",
        "name=before the mistake",
    ];
    let output = stack
        .story
        .command("ccrun")
        .args(arguments)
        .output()
        .expect("ccrun starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let scratch = docker(&[
        "ps",
        "--format",
        "{{.Names}}",
        "--filter",
        &format!("name={}_pitr_", stack.name),
    ]);
    let asks = |sql: &str| {
        docker(&[
            "exec",
            &scratch,
            "psql",
            "-XqtA",
            "-U",
            "postgres",
            "-d",
            "command_center",
            "-c",
            sql,
        ])
    };
    assert_eq!(asks("SELECT name FROM public.marker"), "before");
    assert_eq!(asks("SELECT count(*) FROM auth.users"), "1");
    assert_eq!(asks("SHOW archive_mode"), "off");
    assert_eq!(stack.sql("SELECT name FROM public.marker"), "after");
    // One table out of it, as the runbook says.
    let table = docker(&[
        "exec",
        &scratch,
        "pg_dump",
        "-U",
        "postgres",
        "-d",
        "command_center",
        "-t",
        "public.marker",
    ]);
    assert!(table.contains("before"), "{table}");
    let _gone = docker(&["rm", "--force", &scratch]);
    let _gone = docker(&["volume", "rm", &scratch]);

    // In its place: users can sign in again, and the old data is in a volume of its own.
    let output = stack
        .story
        .command("ccrun")
        .args(arguments)
        .args(["-p", "swap=true"])
        .output()
        .expect("ccrun starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(stack.sql("SELECT name FROM public.marker"), "before");
    assert_eq!(stack.ask("GET", "/api/domains", &alice, "").0, 200);
    let (status, _) = stack.ask(
        "POST",
        "/auth/v1/token?grant_type=password",
        "",
        r#"{"email": "alice@example.org", "password": "a good password"}"#,
    );
    assert_eq!(status, 200);
    let old = volumes()
        .lines()
        .find(|name| name.contains("_before_"))
        .expect("the old volume")
        .to_owned();
    let kept = docker(&[
        "run",
        "--rm",
        "--volume",
        &format!("{old}:/old:ro"),
        "--entrypoint",
        "cat",
        "ccrun-testbed/postgres",
        "/old/PG_VERSION",
    ]);
    assert_eq!(kept, "15");

    // Its new timeline is archived, and the old one can still be gone back to.
    assert_eq!(
        stack.sql("SELECT timeline_id FROM pg_control_checkpoint()"),
        "2"
    );
    let _new = stack.sql("UPDATE public.marker SET name = 'on the new timeline'");
    stack
        .types("ccrun --yes wal-archive -p action=tick")
        .exits(0);
    let listed = stack.types("ccrun pitr");
    listed.exits(0);
    let deadline = Instant::now() + Duration::from_secs(60);
    while !stack
        .types("ccrun backups -p action=wal")
        .text()
        .lines()
        .any(|line| line.split_whitespace().nth(2) == Some("2"))
    {
        assert!(
            Instant::now() < deadline,
            "the new timeline is not archived:\n{}",
            listed.text()
        );
    }
    let arguments = [
        "--yes",
        "pitr",
        "-p",
        "action=restore",
        "-p",
        "timeline=1",
        "-p",
    ];
    let output = stack
        .story
        .command("ccrun")
        .args(arguments)
        .arg(format!("time={moment}"))
        .output()
        .expect("ccrun starts");
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let scratch = docker(&[
        "ps",
        "--format",
        "{{.Names}}",
        "--filter",
        &format!("name={}_pitr_", stack.name),
    ]);
    let name = docker(&[
        "exec",
        &scratch,
        "psql",
        "-XqtA",
        "-U",
        "postgres",
        "-d",
        "command_center",
        "-c",
        "SELECT name FROM public.marker",
    ]);
    assert_eq!(name, "after");
}
