//! Row-level security over HTTP: through Caddy and PostgREST of the stack, with tokens of ccrun's making.

use std::time::{Duration, Instant};

use ccrun_tests::stack::Stack;
use rand::Rng as _;

const ROWS: &str = "INSERT INTO domains (name, owner_id) SELECT 'D', u FROM unnest(ARRAY['a0000000-0000-4000-8000-000000000001', 'b0000000-0000-4000-8000-000000000002']::uuid[]) u;
    INSERT INTO tasks (domain_id, user_id, title) SELECT id, owner_id, 'T' FROM domains;
    INSERT INTO events (domain_id, user_id, kind) SELECT id, owner_id, 'made' FROM domains";

/// All rows, and all policies.
const EVERYTHING: &str = "SELECT (SELECT count(*) FROM auth.users) || (SELECT md5(string_agg(d::text, '' ORDER BY d::text)) FROM domains d)
    || (SELECT md5(string_agg(t::text, '' ORDER BY t::text)) FROM tasks t) || (SELECT md5(string_agg(e::text, '' ORDER BY e::text)) FROM events e)
    || (SELECT md5(string_agg(p::text, '' ORDER BY p::text)) FROM pg_policies p)";

/// A hole, what mends it, and the words that tell of it.
const HOLES: [(&str, &str, &str); 4] = [
    (
        "CREATE POLICY x ON tasks FOR SELECT TO authenticated USING (title <> '')",
        "DROP POLICY x ON tasks",
        "a stranger reads it: GET tasks",
    ),
    (
        "GRANT SELECT ON events TO anon; CREATE POLICY x ON events FOR SELECT TO anon USING (true)",
        "DROP POLICY x ON events; REVOKE SELECT ON events FROM anon",
        "nobody (no token) reads it: GET events",
    ),
    (
        "CREATE POLICY x ON domains TO authenticated USING (name <> '') WITH CHECK (true)",
        "DROP POLICY x ON domains",
        "a stranger changes it: PATCH domains passed the policies (23502)",
    ),
    (
        "CREATE POLICY x ON domains FOR INSERT TO authenticated WITH CHECK (true)",
        "DROP POLICY x ON domains",
        "a stranger adds rows for others: POST domains passed the policies (400 23502)",
    ),
];

#[test]
fn the_stack_holds_over_http_holes_are_told_and_nothing_stays() {
    let stack = Stack::new("rlsweb");
    stack.deploy("").exits(0);
    drop(stack.sql(ROWS));
    let before = stack.sql(EVERYTHING);
    let line = format!(
        "ccrun rls-validate --yes -p web=http://127.0.0.1:{}/api",
        stack.web
    );
    let seen = stack.types(&line);
    seen.exits(0);
    for token in [
        "a good token is heard",
        "an expired token is refused",
        "a token with another secret is refused",
        "an unsigned token (alg: none) is refused",
        "a token for another audience is refused",
        "a token of a superuser's role is refused",
    ] {
        seen.prints(token);
    }
    // Somebody who reaches its own row is the control: without it, that others don't proves nothing.
    seen.prints("only its owner reaches it");
    assert_eq!(stack.sql(EVERYTHING), before);

    for (hole, mended, told) in HOLES {
        drop(stack.sql(hole));
        stack
            .types(&format!("{line} -p mutations=false"))
            .exits(1)
            .prints(told);
        drop(stack.sql(mended));
        assert_eq!(stack.sql(EVERYTHING), before, "{told}");
    }

    // Killed on the way: it makes no users and no rows that could stay.
    for _ in 0..5 {
        let mut child = stack.story.starts(&line);
        // What is tested is the moment itself.
        std::thread::sleep(Duration::from_millis(rand::rng().random_range(200..2500)));
        let _gone = child.kill();
        let _status = child.wait();
        let begun = Instant::now();
        while stack.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'ccrun'")
            != "0"
        {
            assert!(
                begun.elapsed() < Duration::from_secs(30),
                "its session goes on"
            );
        }
        assert_eq!(stack.sql(EVERYTHING), before);
    }
}
