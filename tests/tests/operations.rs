//! What operators do to a stack that runs: migrations, going back, Caddy, secrets, going live, taking it down.

use ccrun_tests::docker::docker;
use ccrun_tests::stack::Stack;

/// The ports that this machine has open already, as `-p open=…` wants them.
fn open_ports(stack: &Stack) -> String {
    let output = stack
        .story
        .command("ccrun -e")
        .arg("for entry in net::listening() { print(entry.port); }")
        .output()
        .expect("ccrun starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines()
        .fold("22,80,443".to_owned(), |all, port| format!("{all},{port}"))
}

/// How many alert rules the stack's own file has.
fn rules(stack: &Stack) -> usize {
    let file = "stack/prometheus/rules/command_center.yml";
    let text = std::fs::read_to_string(stack.story.path(file)).expect("the rules");
    let count = text.matches("- alert:").count();
    assert!(count > 0, "no rule in {file}");
    count
}

#[test]
fn a_life_of_a_stack() {
    let stack = Stack::new("life");
    let open = open_ports(&stack);
    let folder = "-p migrations=stack/migrations";

    // Nothing is deployed: the preflight says what is missing of the rest, and nothing is there to go back to.
    let preflight = format!("ccrun preflight -p frontend=stack/frontend -p open={open}");
    stack
        .types(&preflight)
        .exits(0)
        .says("nothing is deployed yet");
    // A port that is open to everybody, and should not be.
    let listener = std::net::TcpListener::bind("0.0.0.0:0").expect("a port");
    let port = listener.local_addr().expect("its number").port();
    stack
        .types(&preflight)
        .exits(1)
        .prints("reachable from another network")
        .prints(&format!(":{port}\""));
    drop(listener);
    stack
        .types("ccrun rollback -p list=true")
        .exits(0)
        .prints("no release is recorded");
    stack.types("ccrun down").exits(0).prints("is down already");

    stack.deploy("-p note=first").exits(0);
    stack
        .types(&preflight)
        .exits(0)
        .prints("each role takes the password")
        .prints(&format!("{} loaded", rules(&stack)));

    // Migrations: seen, tried on a copy, applied, taken back.
    let versions =
        || stack.sql("SELECT string_agg(version, ' ' ORDER BY version) FROM schema_migrations");
    let first = versions();
    stack.story.write(
        "stack/migrations/005_notes.sql",
        "CREATE TABLE public.notes (id int);\nALTER TABLE public.notes ENABLE ROW LEVEL SECURITY;\n",
    );
    stack
        .types(&format!("ccrun migrate {folder}"))
        .exits(0)
        .prints("005_notes")
        .prints("it has no down file");
    let down = "stack/migrations/005_notes.down.sql";
    stack
        .story
        .write(down, "-- ccrun: reversible\nSELECT 'forgot to drop it';\n");
    stack
        .types(&format!("ccrun migrate {folder} -p action=test"))
        .exits(1)
        .prints("the schema is another one")
        .prints("+CREATE TABLE public.notes");
    stack
        .story
        .write(down, "-- ccrun: reversible\nDROP TABLE public.notes;\n");
    stack
        .types(&format!(
            "ccrun migrate {folder} -p action=test -p data=true"
        ))
        .exits(0)
        .prints("applied, taken back, and the schema is what it was");
    assert_eq!(versions(), first, "a test leaves the database alone");
    assert_eq!(
        stack.sql("SELECT count(*) FROM pg_database WHERE datname LIKE 'scratch%'"),
        "0"
    );
    stack
        .types(&format!("ccrun migrate {folder} -p action=up"))
        .exits(0);
    assert_eq!(versions(), format!("{first} 005_notes"));
    stack
        .types(&format!("ccrun migrate {folder} -p action=down -p to=none"))
        .exits(1)
        .says("001_schema: irreversible");
    stack
        .types(&format!(
            "ccrun migrate {folder} -p action=down -p to=004_realtime"
        ))
        .exits(0);
    assert_eq!(versions(), first);

    // A second release, and back.
    stack.extra("services:\n  postgrest:\n    environment: { PGRST_LOG_LEVEL: info }\n");
    stack.story.write(
        "stack/frontend/index.html",
        "<!doctype html><html><body>second</body></html>\n",
    );
    stack.deploy("-p note=second").exits(0);
    stack
        .types("ccrun rollback -p list=true")
        .prints("first (database 004_realtime")
        .prints("second (database 005_notes");
    stack
        .types(&format!("ccrun rollback {folder}"))
        .exits(0)
        .prints("back at");
    assert_eq!(versions(), first);
    let (_, page) = stack.ask("GET", "/", "", "");
    assert!(!page.contains("second"), "{page}");
    let environment = stack.inspect("{{.Config.Env}}");
    assert!(!environment.contains("PGRST_LOG_LEVEL=info"));
    stack.deploy("-p note=third").exits(0);

    // Caddy: a wrong file is found before it is used.
    let caddyfile = stack.story.read("stack/caddy/Caddyfile");
    stack.story.write(
        "stack/caddy/Caddyfile",
        format!("{caddyfile}\nnonsense {{\n"),
    );
    stack.types("ccrun caddy -p action=validate").exits(1);
    stack.types("ccrun caddy -p action=reload").exits(1);
    stack.story.write(
        "stack/caddy/Caddyfile",
        caddyfile.replace("-Server", "-Server\n\t\tX-Tried yes"),
    );
    stack
        .types("ccrun caddy -p action=reload")
        .exits(0)
        .prints("X-Tried");
    stack
        .types("ccrun caddy -p action=reload")
        .exits(0)
        .prints("nothing to reload")
        .says(" 0 changed");

    // A new secret for the tokens: everything goes on, old sessions do not.
    let token = stack.user("alice@example.org");
    assert_eq!(stack.ask("GET", "/api/domains", &token, "").0, 200);
    stack
        .types("ccrun secrets -p file=test.env -p template=stack/.env.production.example -p rotate=GOTRUE_JWT_SECRET")
        .exits(0)
        .prints("GOTRUE_JWT_SECRET has a new value");
    assert_eq!(stack.ask("GET", "/api/domains", &token, "").0, 401);
    let token = stack.user("bob@example.org");
    assert_eq!(stack.ask("GET", "/api/domains", &token, "").0, 200);
    stack
        .types("ccrun secrets -p file=test.env -p template=stack/.env.production.example -p rotate=AUTHENTICATOR_PASSWORD")
        .exits(0);
    assert_eq!(stack.ask("GET", "/api/domains", &token, "").0, 200);
    let environment = stack.story.read("test.env");
    let anon = environment
        .lines()
        .find_map(|line| line.strip_prefix("ANON_KEY="))
        .expect("a key");
    assert_eq!(stack.ask("GET", "/api/", anon, "").0, 200);

    // Going live: what nobody has answered fails, without a terminal.
    stack
        .types(&format!(
            "ccrun golive {folder} -p frontend=stack/frontend -p open={open}"
        ))
        .exits(1)
        .prints("nobody has said so")
        .prints("on for every table of public");

    // Down, with the data kept; and the data only with a backup and its name.
    stack
        .types("ccrun down -p volumes=true")
        .exits(3)
        .says("nobody is here to answer");
    stack
        .types("ccrun down -p volumes=true -p name=another")
        .exits(1)
        .says("othing was changed");
    stack.types("ccrun down").exits(0).prints("its data stays");
    assert_eq!(stack.containers(), "");
    stack.deploy("").exits(0);
    let domains = stack.sql("SELECT count(*) FROM auth.users");
    assert_eq!(domains, "2");
    let volumes = docker(&[
        "volume",
        "ls",
        "--quiet",
        "--filter",
        &format!("name={}", stack.name),
    ]);
    assert!(volumes.contains("postgres_data"), "{volumes}");
}
