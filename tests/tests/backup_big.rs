//! Many tables and large ones: what comes back is what went in, and ccrun's memory does not grow with it.
//!
//! Small by default. `CCRUN_BIG=10000/1024` makes 10,000 tables, and one of 1,024 MiB.
#![allow(clippy::print_stdout, reason = "a long test says what it measures")]

use std::time::{Duration, Instant};

use ccrun_tests::postgres::Postgres;
use ccrun_tests::typed::Story;

struct Bed {
    postgres: Postgres,
    database: String,
    story: Story,
}

/// How many tables, and how many MiB.
fn plan() -> (u32, u32) {
    let text = std::env::var("CCRUN_BIG").unwrap_or_else(|_| "400/48".to_owned());
    let (tables, mib) = text.split_once('/').expect("CCRUN_BIG is TABLES/MIB");
    (
        tables.parse().expect("a number of tables"),
        mib.parse().expect("a number of MiB"),
    )
}

impl Bed {
    fn new(sql: &str) -> Self {
        let postgres = Postgres::start_with(&["max_locks_per_transaction=512", "max_wal_size=4GB"])
            .expect("Postgres starts");
        let database = postgres.create_database();
        let _done = postgres.psql(&database, sql);
        let story = Story::new();
        story.write(
            "ccrun.toml",
            format!(
                "default_target = \"test\"\n[target.test]\npostgres = {{ url = \"{}\" }}\ns3 = {{ folder = \"kept\" }}\n",
                postgres.url_of(&database)
            ),
        );
        story.write(
            "backup.rhai",
            "let made = pg::connect().backup(s3::store()); print(`${made.tables.len()} tables, ${made.rows} rows`);\n",
        );
        story.write("verify.rhai", "pg::verify(s3::store(), \"latest\");\n");
        story.write(
            "restore.rhai",
            "let made = pg::connect().restore(s3::store(), \"latest\", #{ into: \"back\", verify: \"contents\", jobs: 2 }); print(`${made.tables} tables, ${made.rows} rows`);\n",
        );
        Self {
            postgres,
            database,
            story,
        }
    }

    /// How long a runbook takes, and how much memory ccrun itself has at most, in MiB.
    fn runs(&self, runbook: &str) -> (Duration, u64, String) {
        let began = Instant::now();
        let said = std::fs::File::create(self.story.path("said")).expect("a file");
        let mut command = self.story.command(&format!("ccrun --yes {runbook}.rhai"));
        command
            .stdout(said.try_clone().expect("the same"))
            .stderr(said);
        let mut child = command.spawn().expect("ccrun starts");
        let status = format!("/proc/{}/status", child.id());
        let mut peak = 0;
        let ended = loop {
            let text = std::fs::read_to_string(&status).unwrap_or_default();
            let now = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let now = now.and_then(|text| text.trim().trim_end_matches(" kB").parse::<u64>().ok());
            peak = peak.max(now.unwrap_or(0));
            if let Some(ended) = child.try_wait().expect("its state") {
                break ended;
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let said = self.story.read("said");
        assert!(ended.success(), "{runbook}: {said}");
        let took = began.elapsed();
        println!("{runbook}: {took:.1?}, at most {} MiB", peak / 1024);
        (took, peak / 1024, said)
    }

    /// The schema as `pg_dump` writes it.
    fn schema(&self, database: &str) -> String {
        let output = std::process::Command::new(self.postgres.bin().join("pg_dump"))
            .args(["--schema-only", "--dbname", &self.postgres.url_of(database)])
            .output()
            .expect("pg_dump");
        assert!(output.status.success());
        let text = String::from_utf8_lossy(&output.stdout);
        let kept = text.lines().filter(|line| !line.contains("restrict "));
        kept.collect::<Vec<_>>().join("\n")
    }

    fn drop_copy(&self) {
        let _done = self
            .postgres
            .psql("postgres", "DROP DATABASE back WITH (FORCE)");
    }
}

#[test]
fn thousands_of_tables_come_back() {
    let (tables, _) = plan();
    let bed = Bed::new("SELECT 1");
    // In batches: each transaction holds a lock for each table it makes.
    for from in (0..tables).step_by(500) {
        let to = (from + 500).min(tables);
        let sql = format!(
            "DO $$ BEGIN FOR i IN {from}..{} LOOP EXECUTE format('CREATE TABLE t%s (id int PRIMARY KEY, note text DEFAULT %L)', i, 'note ' || i); EXECUTE format('INSERT INTO t%s (id) SELECT generate_series(1, %s)', i, i %% 4); END LOOP; END $$",
            to - 1
        )
        .replace("%%", "%");
        let _done = bed.postgres.psql(&bed.database, &sql);
    }
    let (_, backup, said) = bed.runs("backup");
    assert!(said.contains(&format!("{tables} tables")), "{said}");
    let (_, _, said) = bed.runs("restore");
    assert!(said.contains(&format!("{tables} tables")), "{said}");
    assert_eq!(bed.schema("back"), bed.schema(&bed.database));
    assert!(backup < 256, "{backup} MiB for {tables} tables");
    bed.drop_copy();
}

#[test]
fn a_large_table_comes_back_in_memory_that_does_not_grow() {
    let (_, mib) = plan();
    let bed = Bed::new(
        "CREATE TABLE documents (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), data jsonb, body text)",
    );
    let fill = |rows: u32| {
        let sql = format!(
            "INSERT INTO documents (data, body) SELECT jsonb_build_object('n', g, 'tag', md5(g::text)), (SELECT string_agg(substr(md5(random()::text || g || s), 1, 9), ' ') FROM generate_series(1, 90) s) FROM generate_series(1, {rows}) g"
        );
        let _done = bed.postgres.psql(&bed.database, &sql);
    };
    // Some 1,000 bytes a row.
    fill(1024);
    let small: Vec<u64> = ["backup", "verify"].map(|name| bed.runs(name).1).into();
    fill(1024 * mib);
    let sum = "SELECT count(*) || ' ' || sum(hashtext(d::text)::bigint) || ' ' || pg_table_size('documents') / 1048576 || ' MiB' FROM documents d";
    let before = bed.postgres.psql(&bed.database, sum);
    println!("{before}");
    let large: Vec<u64> = ["backup", "verify"].map(|name| bed.runs(name).1).into();
    let (_, restore, _) = bed.runs("restore");
    let after = bed.postgres.psql("back", sum);
    assert_eq!(
        after.split_once(' ').map(|(count, _)| count),
        before.split_once(' ').map(|(count, _)| count)
    );
    assert_eq!(after.split(' ').nth(1), before.split(' ').nth(1));
    assert_eq!(bed.schema("back"), bed.schema(&bed.database));
    // Buffers fill, and then it is enough: 64 MiB, and the parts under way.
    for (small, large) in small.iter().zip(&large) {
        assert!(*large < small + 64 + 64, "{small} MiB, then {large} MiB");
    }
    assert!(restore < 64 + 64 + 32, "{restore} MiB");
    bed.drop_copy();
}
