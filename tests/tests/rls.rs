//! Row-level security of the reference stack: it holds, each seeded leak is found, and nothing stays of the search.

use std::collections::BTreeSet;
use std::time::Duration;

use ccrun_tests::postgres::Postgres;
use ccrun_tests::stack::root;
use ccrun_tests::typed::Story;
use serde_json::Value;

const ROLES: &str = "
    CREATE ROLE anon NOLOGIN NOINHERIT;
    CREATE ROLE authenticated NOLOGIN NOINHERIT;
    CREATE ROLE service_role NOLOGIN NOINHERIT BYPASSRLS;
    CREATE ROLE authenticator LOGIN NOINHERIT;
    GRANT anon, authenticated, service_role TO authenticator;
    CREATE ROLE owner LOGIN;";

struct Bed {
    server: Postgres,
    story: Story,
}

impl Bed {
    /// A server with the stack's own schema in the database `base`.
    fn new() -> Self {
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
        let story = Story::new().file("ccrun.toml", "");
        Self { server, story }
    }

    fn script(&self, database: &str, body: &str) -> String {
        format!(
            "let db = pg::connect(#{{ host: `{}`, port: {}, user: \"postgres\", database: \"{database}\" }}); {body}",
            self.server.socket_dir().display(),
            self.server.port()
        )
    }

    fn output(&self, database: &str, body: &str) -> std::process::Output {
        self.story
            .command("ccrun --yes --quiet -e")
            .arg(self.script(database, body))
            .output()
            .expect("ccrun starts")
    }

    fn findings(&self, database: &str) -> Vec<Value> {
        let body = "ui::json(db.rls_audit(#{ severity: \"warn\" }) + db.rls_probe().findings)";
        let output = self.output(database, body);
        assert!(
            output.status.success(),
            "{database}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).expect("JSON")
    }
}

/// What is wrong, the SQL that makes it so, and what must be found: rule and object, and for leaks who leaked.
const LEAKS: [(&str, &str, &str, &str, &str); 20] = [
    (
        "switched_off",
        "ALTER TABLE public.tasks DISABLE ROW LEVEL SECURITY",
        "leak",
        "public.tasks",
        "B",
    ),
    (
        "all_see",
        "CREATE POLICY x ON public.tasks FOR SELECT TO authenticated USING (true)",
        "leak",
        "public.tasks",
        "B",
    ),
    (
        "all_see_domains",
        "ALTER POLICY domains_of_owner ON public.domains USING (name <> '')",
        "leak",
        "public.domains",
        "B",
    ),
    (
        "world_sees",
        "GRANT SELECT ON public.events TO anon; CREATE POLICY x ON public.events FOR SELECT TO anon USING (kind <> '')",
        "leak",
        "public.events",
        "anon",
    ),
    (
        "forged_sub",
        "GRANT SELECT ON public.tasks TO anon; CREATE POLICY x ON public.tasks FOR SELECT TO anon USING (user_id = (SELECT auth.uid()))",
        "leak",
        "public.tasks",
        "anon, forged sub",
    ),
    (
        "no_sub",
        "CREATE POLICY x ON public.tasks FOR SELECT TO authenticated USING ((SELECT auth.uid()) IS NULL)",
        "leak",
        "public.tasks",
        "authenticated, no sub",
    ),
    (
        "write_for_others",
        "ALTER POLICY tasks_of_owner ON public.tasks WITH CHECK (title <> '')",
        "leak",
        "public.tasks",
        "B",
    ),
    (
        "give_away",
        "ALTER POLICY domains_of_owner ON public.domains WITH CHECK (name <> '')",
        "leak",
        "public.domains",
        "A",
    ),
    (
        "events_for_others",
        "ALTER POLICY events_of_owner_write ON public.events WITH CHECK (kind <> '')",
        "leak",
        "public.events",
        "B",
    ),
    (
        "blind_update",
        "DROP POLICY tasks_of_owner ON public.tasks; CREATE POLICY s ON public.tasks FOR SELECT TO authenticated USING (user_id = (SELECT auth.uid())); CREATE POLICY u ON public.tasks FOR UPDATE TO authenticated USING (title <> '') WITH CHECK (title <> '')",
        "leak",
        "public.tasks",
        "B",
    ),
    (
        "blind_delete",
        "CREATE POLICY x ON public.tasks FOR DELETE TO authenticated USING (title <> '')",
        "leak",
        "public.tasks",
        "B",
    ),
    (
        "view",
        "CREATE VIEW public.v AS SELECT * FROM public.tasks; GRANT SELECT ON public.v TO authenticated",
        "leak",
        "public.tasks through public.v",
        "B",
    ),
    (
        "view_on_view",
        "CREATE VIEW public.inner_v AS SELECT id, title FROM public.tasks; CREATE VIEW public.v AS SELECT * FROM public.inner_v; GRANT SELECT ON public.v TO anon",
        "view_security_definer",
        "public.v",
        "",
    ),
    (
        "materialized",
        "CREATE MATERIALIZED VIEW public.m AS SELECT * FROM public.tasks; GRANT SELECT ON public.m TO authenticated",
        "materialized_view_exposed",
        "public.m",
        "",
    ),
    (
        "definer",
        "CREATE FUNCTION public.f() RETURNS SETOF public.tasks LANGUAGE sql SECURITY DEFINER SET search_path = '' AS 'SELECT * FROM public.tasks'",
        "leak",
        "public.f",
        "B",
    ),
    (
        "definer_by_id",
        "CREATE FUNCTION public.f(who uuid) RETURNS SETOF public.tasks LANGUAGE sql SECURITY DEFINER SET search_path = '' AS 'SELECT * FROM public.tasks WHERE user_id = who'",
        "leak",
        "public.f",
        "anon",
    ),
    (
        "oracle",
        "ALTER TABLE public.domains ADD UNIQUE (name)",
        "oracle",
        "public.domains",
        "B",
    ),
    (
        "new_table",
        "CREATE TABLE public.notes (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid NOT NULL, body text); GRANT SELECT ON public.notes TO authenticated",
        "leak",
        "public.notes",
        "B",
    ),
    (
        "user_metadata",
        "CREATE POLICY x ON public.tasks FOR SELECT TO authenticated USING ((SELECT auth.jwt()) -> 'user_metadata' ->> 'admin' = 'yes')",
        "policy_user_metadata",
        "public.tasks: x",
        "",
    ),
    (
        "redundant",
        "CREATE POLICY x ON public.events FOR INSERT TO authenticated WITH CHECK (user_id = (SELECT auth.uid()) AND domain_id IN (SELECT id FROM public.domains WHERE owner_id = (SELECT auth.uid())))",
        "mutation_survived",
        "public.events: x",
        "",
    ),
];

#[test]
fn the_stack_holds_and_each_seeded_leak_is_found_by_name() {
    let bed = Bed::new();
    let clean = bed.findings("base");
    assert!(clean.is_empty(), "{clean:?}");
    let mut missed = Vec::new();
    for (name, sql, rule, object, identity) in LEAKS {
        drop(
            bed.server
                .psql("postgres", &format!("CREATE DATABASE {name} TEMPLATE base")),
        );
        drop(bed.server.psql(name, sql));
        let findings = bed.findings(name);
        let found = findings.iter().any(|finding| {
            let text = |key: &str| finding[key].as_str().unwrap_or_default();
            text("rule") == rule
                && text("object") == object
                && (identity.is_empty()
                    || (text("identity") == identity && text("evidence").contains(": ")))
        });
        if !found {
            let seen: BTreeSet<String> = findings
                .iter()
                .map(|finding| {
                    format!(
                        "{} {} {}",
                        finding["rule"], finding["object"], finding["identity"]
                    )
                })
                .collect();
            missed.push(format!(
                "{name}: {rule} {object} by {identity}; found {seen:?}"
            ));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn a_superuser_proves_nothing_and_is_told_so() {
    let bed = Bed::new();
    let refused = |role: &str| {
        let output = bed.output("base", &format!("db.as_user(\"{role}\", #{{ sub: crypto::uuid() }}, |tx| tx.value(\"SELECT count(*) FROM domains\"))"));
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let said = refused("postgres");
    assert!(
        said.contains("pg.role_bypasses_rls") && said.contains("is a superuser"),
        "{said}"
    );
    let said = refused("service_role");
    assert!(
        said.contains("has BYPASSRLS") && said.contains("proves anything"),
        "{said}"
    );
    let said = refused("nobody_there");
    assert!(said.contains("pg.role_not_allowed"), "{said}");

    // What one does as a user is gone afterwards, and each sees its own.
    let body = r#"
        let alice = #{ sub: "6f1c0c9e-7d43-4f0e-9e0e-000000000001" };
        let bob = #{ sub: "6f1c0c9e-7d43-4f0e-9e0e-000000000002" };
        db.as_user("authenticated", alice, #{ commit: true, protected: ["domains"] }, |tx| tx.execute("INSERT INTO domains (name) VALUES ('hers')"));
        db.as_user("authenticated", alice, |tx| tx.execute("INSERT INTO domains (name) VALUES ('not kept')"));
        let seen = |who| db.as_user("authenticated", who, |tx| tx.value("SELECT coalesce(string_agg(name, ' '), '') FROM domains"));
        print(seen.call(alice)); print(seen.call(bob));
        print(db.as_user("authenticated", alice, |tx| tx.value("SELECT auth.uid()::text")));
        // A stale setting per claim does not take the place of the token.
        print(db.value("SELECT count(*) FROM domains"));"#;
    let output = bed.output("base", body);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(
        said,
        "hers\n\n6f1c0c9e-7d43-4f0e-9e0e-000000000001\n1\n",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn killed_at_any_moment_nothing_of_it_stays() {
    let bed = Bed::new();
    let state = "SELECT (SELECT count(*) FROM auth.users) || ' ' || (SELECT count(*) FROM domains) || ' ' || (SELECT count(*) FROM tasks)
        || ' ' || (SELECT count(*) FROM pg_policy) || ' ' || (SELECT count(*) FROM pg_proc WHERE proname LIKE 'ccrun%')
        || ' ' || (SELECT count(*) FROM pg_class WHERE relrowsecurity)";
    let before = bed.server.psql("base", state);
    let begun = std::time::Instant::now();
    let _whole = bed.output("base", "db.rls_probe()");
    let whole = begun.elapsed();
    for moment in 0..20 {
        let mut child = bed
            .story
            .command("ccrun --yes --quiet -e")
            .arg(bed.script("base", "db.rls_probe()"))
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("ccrun starts");
        std::thread::sleep(whole * moment / 20 + Duration::from_millis(5));
        let _gone = child.kill();
        let _status = child.wait();
        assert_eq!(bed.server.psql("base", state), before, "moment {moment}");
    }
    // Nor a session that goes on.
    let begun = std::time::Instant::now();
    while bed.server.psql(
        "base",
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'ccrun'",
    ) != "0"
    {
        assert!(begun.elapsed().as_secs() < 20, "a session is left");
    }
}
