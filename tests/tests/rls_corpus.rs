//! Small schemas, each with what the audit and the probe must find in it, and nothing else: `tests/rls/*.sql`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use ccrun_tests::postgres::Postgres;
use ccrun_tests::stack::root;
use ccrun_tests::typed::Story;

/// The roles of the API; they belong to the server and not to a database.
const ROLES: &str = "
    CREATE ROLE anon NOLOGIN NOINHERIT;
    CREATE ROLE authenticated NOLOGIN NOINHERIT;
    CREATE ROLE service_role NOLOGIN NOINHERIT BYPASSRLS;
    CREATE ROLE authenticator LOGIN NOINHERIT;
    CREATE ROLE editor NOLOGIN NOINHERIT;
    GRANT anon, authenticated, service_role, editor TO authenticator;
    CREATE ROLE owner LOGIN;";

/// What single files change of the roles.
const AS_BEFORE: &str = "
    REVOKE owner FROM authenticator;
    REVOKE service_role FROM authenticated;
    REVOKE pg_execute_server_program FROM authenticated;
    ALTER ROLE authenticated NOBYPASSRLS NOCREATEROLE;
    ALTER ROLE authenticator NOSUPERUSER;";

fn files() -> Vec<PathBuf> {
    let folder = root().join("tests/rls");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("the corpus")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "sql"))
        .collect();
    files.sort();
    files
}

/// The lines of a header that begin with a word, and what they say.
fn header(text: &str, word: &str) -> Option<BTreeSet<String>> {
    let prefix = format!("-- {word}: ");
    let lines: BTreeSet<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix(&prefix))
        .map(str::to_owned)
        .collect();
    (!lines.is_empty()).then(|| lines.into_iter().filter(|line| line != "none").collect())
}

/// The rules and objects that an expression finds.
fn found(story: &Story, server: &Postgres, database: &str, expression: &str) -> BTreeSet<String> {
    let script = format!(
        "let db = pg::connect(#{{ host: `{}`, port: {}, user: \"postgres\", database: \"{database}\" }}); \
         for finding in {expression} {{ print(`${{finding.rule}} ${{finding.object}}`); }}",
        server.socket_dir().display(),
        server.port()
    );
    let output = story
        .command("ccrun --yes --quiet -e")
        .arg(&script)
        .output()
        .expect("ccrun starts");
    assert!(
        output.status.success(),
        "{database}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(str::to_owned)
        .collect()
}

#[test]
fn each_rule_has_a_schema_that_breaks_it_and_a_page() {
    let mut rules = BTreeSet::new();
    let folder = root().join("stdlib/pg/rls/audit");
    for entry in std::fs::read_dir(folder).expect("the rules") {
        let text = std::fs::read_to_string(entry.expect("an entry").path()).expect("a file");
        let ids = text
            .lines()
            .filter_map(|line| line.trim().strip_prefix("id: \"")?.strip_suffix("\","));
        rules.extend(ids.map(str::to_owned));
    }
    assert!(rules.len() >= 36, "{rules:?}");
    let broken: BTreeSet<String> = files()
        .iter()
        .map(|file| std::fs::read_to_string(file).expect("a file"))
        .flat_map(|text| header(&text, "expect").unwrap_or_default())
        .filter_map(|line| Some(line.split_once(' ')?.0.to_owned()))
        .collect();
    let page =
        std::fs::read_to_string(root().join("docs/src/guide/rls-rules.md")).expect("the page");
    let told: BTreeSet<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .map(str::to_owned)
        .collect();
    assert_eq!(broken, rules, "rules, and those that some schema breaks");
    assert_eq!(told, rules, "rules, and those that are explained");
}

#[test]
fn everything_is_found_and_nothing_else() {
    let server = Postgres::start().expect("Postgres for the tests");
    let psql = |database: &str, sql: &str| drop(server.psql(database, sql));
    psql("postgres", ROLES);
    let story = Story::new().file("ccrun.toml", "");
    let prelude =
        std::fs::read_to_string(root().join("tests/rls/prelude.inc")).expect("the prelude");
    let files = files();
    assert!(files.len() >= 120, "{} files", files.len());
    let mut wrong = Vec::new();
    for file in &files {
        let text = std::fs::read_to_string(file).expect("a file");
        let name = file
            .file_stem()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        psql("postgres", &format!("CREATE DATABASE {name}"));
        psql(&name, &prelude);
        psql(&name, &text);
        let expected = header(&text, "expect").unwrap_or_default();
        let seen = found(&story, &server, &name, "db.rls_audit()");
        if seen != expected {
            wrong.push(format!(
                "{name}: audit\n    missed {:?}\n    false  {:?}",
                &expected - &seen,
                &seen - &expected
            ));
        }
        if let Some(expected) = header(&text, "probe") {
            let seen = found(&story, &server, &name, "db.rls_probe().findings");
            if seen != expected {
                wrong.push(format!(
                    "{name}: probe\n    missed {:?}\n    false  {:?}",
                    &expected - &seen,
                    &seen - &expected
                ));
            }
        }
        psql("postgres", AS_BEFORE);
        psql("postgres", &format!("DROP DATABASE {name}"));
    }
    assert!(
        wrong.is_empty(),
        "{} of {} differ:\n{}",
        wrong.len(),
        files.len(),
        wrong.join("\n")
    );
}
