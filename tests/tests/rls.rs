//! Row-level security of the reference stack: it holds, each seeded leak is found, and nothing stays of the search.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use ccrun_tests::isolation::Bed;
use rand::Rng as _;

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
        "leak",
        "public.tasks through public.v",
        "anon",
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
    // Rows of somebody's own, so that one too few would show as well as one too many.
    drop(bed.server.psql(
        "base",
        "INSERT INTO domains (name, owner_id) SELECT 'mine ' || n, gen_random_uuid() FROM generate_series(1, 50) n;
         INSERT INTO tasks (domain_id, user_id, title) SELECT id, owner_id, 'do it' FROM domains",
    ));
    let before = bed.everything("base");
    let begun = Instant::now();
    assert!(bed.output("base", "db.rls_probe()").status.success());
    let whole = begun.elapsed();
    assert_eq!(bed.everything("base"), before, "after a whole run");

    let mut caught = 0;
    for number in 0..20 {
        let moment = whole.mul_f64(rand::rng().random_range(0.05..0.95));
        let mut child = bed
            .story
            .command("ccrun --yes --quiet -e")
            .arg(bed.script("base", "db.rls_probe()"))
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("ccrun starts");
        // What is tested is the moment itself.
        std::thread::sleep(moment);
        caught += usize::from(bed.sessions("base", "AND xact_start IS NOT NULL") != "0");
        let _gone = child.kill();
        let _status = child.wait();
        // Only when the server has noticed is it decided what stays.
        let begun = Instant::now();
        while bed.sessions("base", "") != "0" {
            assert!(
                begun.elapsed() < Duration::from_secs(30),
                "kill {number} at {moment:?}: its session goes on"
            );
        }
        assert_eq!(
            bed.everything("base"),
            before,
            "kill {number} at {moment:?} of {whole:?}"
        );
    }
    assert!(
        caught >= 10,
        "only {caught} of 20 kills met an open transaction"
    );
}

#[test]
fn it_stands_in_nobodys_way() {
    let bed = Bed::new();
    // Somebody reads a table for a long time: a policy can't be changed before that, and whoever waits for it
    // holds up all others.
    let mut reader = bed.holding("base", "SELECT * FROM tasks");
    let begun = Instant::now();
    let output = bed.output(
        "base",
        "let r = db.rls_probe(); for one in r.untested { print(`${one.table}: ${one.why}`); } print(r.findings.len())",
    );
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        said.contains("public.tasks: not tried with row-level security switched off: "),
        "{said}"
    );
    assert!(said.ends_with("\n0\n"), "{said}");
    assert!(
        begun.elapsed() < Duration::from_secs(30),
        "{:?}",
        begun.elapsed()
    );
    let _gone = reader.kill();
    let _status = reader.wait();
}
