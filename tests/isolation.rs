//! A server with the reference stack's own schema in it, for the tests of row-level security.
#![allow(
    clippy::disallowed_methods,
    reason = "a helper of tests, which starts programs and is no primitive"
)]

use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use crate::postgres::{PASSWORD, Postgres};
use crate::stack::root;
use crate::typed::Story;

const ROLES: &str = "
    CREATE ROLE anon NOLOGIN NOINHERIT;
    CREATE ROLE authenticated NOLOGIN NOINHERIT;
    CREATE ROLE service_role NOLOGIN NOINHERIT BYPASSRLS;
    CREATE ROLE authenticator LOGIN NOINHERIT;
    GRANT anon, authenticated, service_role TO authenticator;
    CREATE ROLE owner LOGIN PASSWORD 'the-word-of-the-day';";

/// Tables and what is in them, policies, functions, grants, roles, databases: all that could stay of something.
const EVERYTHING: &str = "SELECT md5(string_agg(line, E'\\n' ORDER BY line)) FROM (
    SELECT format('%s %s %s %s %s', c.oid, c.relname, c.relrowsecurity, c.relforcerowsecurity, c.relacl) AS line FROM pg_class c
    UNION ALL SELECT format('%s.%s %s', n.nspname, c.relname, (xpath('/row/c/text()', query_to_xml(
        format('SELECT md5(coalesce(string_agg(t::text, ''|'' ORDER BY t::text), '''')) AS c FROM %I.%I t', n.nspname, c.relname), false, true, '')))[1])
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r' AND n.nspname IN ('public', 'auth')
    UNION ALL SELECT p::text FROM pg_policy p
    UNION ALL SELECT format('%s %s %s', f.oid, f.proname, f.proacl) FROM pg_proc f
    UNION ALL SELECT format('%s %s', t.oid, t.tgenabled) FROM pg_trigger t
    UNION ALL SELECT k.oid::text FROM pg_constraint k
    UNION ALL SELECT n.nspname FROM pg_namespace n
    UNION ALL SELECT r::text FROM pg_roles r
    UNION ALL SELECT d.datname FROM pg_database d) lines";

/// The server, and a folder to work in.
pub struct Bed {
    /// The server. The database `base` has the stack's schema.
    pub server: Postgres,
    /// The folder: its `ccrun.toml` has the targets `test` and `production`, which is protected; both are `base`.
    pub story: Story,
}

impl Default for Bed {
    fn default() -> Self {
        Self::new()
    }
}

impl Bed {
    /// A new one.
    ///
    /// # Panics
    /// If there is no Postgres.
    #[must_use]
    pub fn new() -> Self {
        let server = Postgres::start().expect("Postgres for the tests");
        drop(server.psql("postgres", ROLES));
        drop(server.psql("postgres", "CREATE DATABASE base"));
        let read = |path: &str| std::fs::read_to_string(root().join(path)).expect("a file");
        drop(server.psql("base", &read("tests/rls/prelude.inc")));
        for name in ["001_schema", "002_policies", "003_profile", "004_realtime"] {
            let sql = read(&format!("runbooks/stack/migrations/{name}.sql"));
            let role = if name == "004_realtime" {
                "postgres"
            } else {
                "owner"
            };
            drop(server.psql("base", &format!("SET ROLE {role};\n{sql}")));
        }
        let target = |name: &str, more: &str| {
            format!(
                "[target.{name}]\n{more}postgres = {{ host = \"127.0.0.1\", port = {}, user = \"owner\", password = \"secret:OWNER_PASSWORD\", database = \"base\", sslmode = \"disable\" }}\n\
                 [target.{name}.secrets]\nenv_file = \"test.env\"\n",
                server.port()
            )
        };
        let story = Story::new()
            .file(
                "ccrun.toml",
                format!(
                    "default_target = \"test\"\nrunbooks = [\"{}/runbooks\"]\n{}{}",
                    root().display(),
                    target("test", ""),
                    target("production", "protect = true\n")
                ),
            )
            .file(
                "test.env",
                format!("OWNER_PASSWORD=the-word-of-the-day\nPOSTGRES_PASSWORD=\"{PASSWORD}\"\n"),
            );
        Self { server, story }
    }

    /// A script with `db`, a superuser's connection.
    #[must_use]
    pub fn script(&self, database: &str, body: &str) -> String {
        format!(
            "let db = pg::connect(#{{ host: `{}`, port: {}, user: \"postgres\", database: \"{database}\" }}); {body}",
            self.server.socket_dir().display(),
            self.server.port()
        )
    }

    /// Run one.
    ///
    /// # Panics
    /// If ccrun does not start.
    #[must_use]
    pub fn output(&self, database: &str, body: &str) -> Output {
        self.story
            .command("ccrun --yes --quiet -e")
            .arg(self.script(database, body))
            .output()
            .expect("ccrun starts")
    }

    /// What audit and probe find.
    ///
    /// # Panics
    /// If they fail.
    #[must_use]
    pub fn findings(&self, database: &str) -> Vec<Value> {
        let body = "ui::json(db.rls_audit(#{ severity: \"warn\" }) + db.rls_probe().findings)";
        let output = self.output(database, body);
        assert!(
            output.status.success(),
            "{database}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    /// All that is in a database, as one word.
    #[must_use]
    pub fn everything(&self, database: &str) -> String {
        self.server.psql(database, EVERYTHING)
    }

    /// How many sessions of ccrun there are.
    #[must_use]
    pub fn sessions(&self, database: &str, more: &str) -> String {
        self.server.psql(
            database,
            &format!(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'ccrun' {more}"
            ),
        )
    }

    /// A session that has run a statement and keeps its transaction open, until it is killed.
    ///
    /// # Panics
    /// If psql does not start.
    #[must_use]
    pub fn holding(&self, database: &str, statement: &str) -> Child {
        let child = Command::new(self.server.bin().join("psql"))
            .args(["-XqtA", "-U", "postgres", "-d", database, "-h"])
            .arg(self.server.socket_dir())
            .args(["-p", &self.server.port().to_string()])
            .args(["-c", &format!("BEGIN; {statement}; SELECT pg_sleep(600)")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("psql starts");
        let begun = std::time::Instant::now();
        while self.server.psql(
            database,
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'",
        ) == "0"
        {
            assert!(begun.elapsed().as_secs() < 30, "psql does not get there");
        }
        child
    }
}
