//! Backups into a real object store, with everything in the way that can be.

use std::time::{Duration, Instant};

use ccrun_tests::faults::{FaultyProxy, Misbehaviour, SmallDisk};
use ccrun_tests::postgres::Postgres;
use ccrun_tests::seaweed::{SECRET_KEY, Seaweed};
use ccrun_tests::typed::{Seen, Story};

/// A server with a database, a store, and a folder with a target that names both.
struct Bed {
    postgres: Postgres,
    database: String,
    seaweed: Seaweed,
    proxy: FaultyProxy,
    story: Story,
}

impl Bed {
    fn new() -> Self {
        let postgres = Postgres::start().expect("Postgres starts");
        let database = postgres.create_database();
        // Rows as real ones are: they compress, and not absurdly.
        let _done = postgres.psql(
            &database,
            "CREATE TABLE tasks (id uuid DEFAULT gen_random_uuid() PRIMARY KEY, at timestamptz DEFAULT clock_timestamp(), data jsonb, note text);
             INSERT INTO tasks (data, note) SELECT jsonb_build_object('n', g, 'hash', md5(g::text)), repeat(md5(random()::text), 4) FROM generate_series(1, 100000) g;
             CREATE TABLE users (id int PRIMARY KEY, name text);
             INSERT INTO users SELECT g, 'user ' || g FROM generate_series(1, 1000) g;",
        );
        let seaweed = Seaweed::start();
        let proxy = FaultyProxy::before(seaweed.address);
        let story = Story::new().file("s3.env", format!("S3_SECRET_KEY={SECRET_KEY}\n"));
        story.write(
            "ccrun.toml",
            format!(
                "default_target = \"test\"\n[target.test]\npostgres = {{ url = \"{}\" }}\n{}[target.test.secrets]\nenv_file = \"s3.env\"\n[target.faulty]\npostgres = {{ url = \"{0}\" }}\n{}[target.faulty.secrets]\nenv_file = \"s3.env\"\n",
                postgres.url_of(&database),
                seaweed.section(seaweed.address.port(), "backups"),
                seaweed.section(proxy.port, "backups"),
            ),
        );
        story.write(
            "back.rhai",
            "print(pg::connect().backup(s3::store()).id);\n",
        );
        story.write(
            "verify.rhai",
            "for backup in pg::backups(s3::store()) { pg::verify(s3::store(), backup.id); print(`good ${backup.id}`); }\n",
        );
        story.write(
            "restore.rhai",
            "runbook(#{ params: #{ into: #{ type: \"string\" } }, needs: #{ pg: \"*\", s3: \"*\" } });\nlet made = pg::connect().restore(s3::store(), \"latest\", #{ into: params.into, verify: \"contents\" });\nprint(`${made.rows} rows`);\n",
        );
        let bed = Self {
            postgres,
            database,
            seaweed,
            proxy,
            story,
        };
        bed.asks("s3::store().create_bucket()").exits(0);
        bed
    }

    /// What a line of script says.
    fn asks(&self, script: &str) -> Seen {
        self.story.write("line.rhai", format!("print({script});\n"));
        self.story.types("ccrun --yes line.rhai")
    }

    /// How many backups are listed; each must be whole.
    fn good(&self) -> usize {
        let seen = self.story.types("ccrun --yes verify.rhai");
        seen.exits(0);
        seen.text()
            .lines()
            .filter(|line| line.starts_with("good "))
            .count()
    }

    /// The newest comes back as it was, and goes again.
    fn comes_back(&self, into: &str) {
        self.story
            .types(&format!("ccrun --yes restore.rhai -p into={into}"))
            .exits(0)
            .prints("101000 rows");
        let _done = self
            .postgres
            .psql("postgres", &format!("DROP DATABASE {into} WITH (FORCE)"));
    }

    fn is_alive(&self) {
        let rows = self
            .postgres
            .psql(&self.database, "SELECT count(*) FROM tasks");
        assert_eq!(rows.trim(), "100000");
    }
}

#[test]
fn a_store_that_fails_breaks_off_or_is_slow_costs_time_and_nothing_else() {
    let bed = Bed::new();
    let faults = [
        ("503", vec![Misbehaviour::Status(503); 2]),
        (
            "500",
            vec![
                Misbehaviour::None,
                Misbehaviour::Status(500),
                Misbehaviour::Status(500),
            ],
        ),
        (
            "a reset",
            vec![
                Misbehaviour::ResetAfter(0),
                Misbehaviour::None,
                Misbehaviour::ResetAfter(10),
            ],
        ),
        ("a delay", vec![Misbehaviour::Delay(Duration::from_secs(2))]),
        (
            "a truncated answer",
            vec![
                Misbehaviour::None,
                Misbehaviour::ResetAfter(1_000_000),
                Misbehaviour::ResetAfter(5_000_000),
            ],
        ),
    ];
    for (count, (name, plan)) in faults.iter().enumerate() {
        for one in plan {
            bed.proxy.next(1, *one);
        }
        bed.story
            .types("ccrun --yes --target faulty back.rhai")
            .exits(0);
        for one in plan {
            bed.proxy.next(1, *one);
        }
        bed.story
            .types(&format!(
                "ccrun --yes --target faulty restore.rhai -p into=after_{count}"
            ))
            .exits(0)
            .prints("101000 rows");
        assert_eq!(bed.good(), count + 1, "{name}");
    }
    bed.is_alive();
}

#[test]
fn a_wrong_key_a_missing_bucket_and_no_store_are_told_apart() {
    let bed = Bed::new();
    bed.story.write("s3.env", "S3_SECRET_KEY=not-the-one\n");
    bed.story
        .types("ccrun --yes back.rhai")
        .exits(1)
        .says("the secret key is wrong")
        .hides("not-the-one");
    bed.story
        .write("s3.env", format!("S3_SECRET_KEY={SECRET_KEY}\n"));
    bed.asks(r#"pg::verify(s3::store(), "latest")"#)
        .exits(1)
        .says("there is none at all: `ccrun backup` makes one");
    bed.asks(r#"s3::store("another").exists()"#)
        .exits(0)
        .prints("false");
    assert_eq!(bed.good(), 0);
}

/// Killed at random moments: ccrun, then `pg_dump`, then the server.
#[test]
fn killed_at_any_moment_there_is_a_whole_backup_or_none() {
    let bed = Bed::new();
    let started = Instant::now();
    bed.story.types("ccrun --yes back.rhai").exits(0);
    let whole = started.elapsed();
    let rounds: u32 = std::env::var("CCRUN_FAULTS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(12);
    let mut listed = 1;
    for round in 0..rounds {
        let moment = whole * round / rounds.max(1);
        let mut child = bed.story.starts("ccrun --yes back.rhai");
        std::thread::sleep(moment);
        match round % 3 {
            0 => child.kill().expect("SIGKILL"),
            1 => kill("pg_dump", &bed.postgres.port().to_string()),
            _ => {
                let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
                let _done = bed.postgres.psql("postgres", sql);
            }
        }
        let well = child.wait().expect("its end").success();
        let now = bed.good();
        // What said that it was done, is there; what is there, is whole. A kill may come just after the manifest.
        assert!(
            now == listed + usize::from(well) || (round % 3 == 0 && now == listed + 1),
            "round {round}: {listed} before, {now} now, {well}"
        );
        listed = now;
        bed.is_alive();
    }
    bed.comes_back("after_all");
    bed.story.types("ccrun --yes back.rhai").exits(0);
    assert_eq!(bed.good(), listed + 1);
}

/// `kill -9` of the programs of this name that are about this port.
fn kill(program: &str, about: &str) {
    let _status = std::process::Command::new("pkill")
        .args(["-9", "-f", &format!("{program} .*{about}")])
        .status();
}

#[test]
fn two_at_once_are_two_backups_and_a_full_disk_harms_nothing() {
    let bed = Bed::new();
    let mut both = [
        bed.story.starts("ccrun --yes back.rhai"),
        bed.story.starts("ccrun --yes back.rhai"),
    ];
    for one in &mut both {
        assert!(one.wait().expect("its end").success());
    }
    assert_eq!(bed.good(), 2);
    // The spool of a restore does not fit: known before anything is made.
    let disk = SmallDisk::at(&bed.story.path("small"), 4096);
    bed.story.write(
        "spool.rhai",
        "pg::connect().restore(s3::store(), \"latest\", #{ into: \"never\", spool: \"small\" });\n",
    );
    bed.story
        .types("ccrun --yes spool.rhai")
        .exits(1)
        .says("uncompressed, and")
        .says("spool");
    drop(disk);
    let there = bed.postgres.psql(
        "postgres",
        "SELECT count(*) FROM pg_database WHERE datname = 'never'",
    );
    assert_eq!(there.trim(), "0");
    // Into a folder on a full disk: an error that names it, and no backup.
    let disk = SmallDisk::at(&bed.story.path("small"), 4096);
    bed.story.write(
        "full.rhai",
        "pg::connect().backup(s3::folder(\"small/kept\"));\n",
    );
    let seen = bed.story.types("ccrun --yes full.rhai");
    seen.exits(1).says("disk is full");
    bed.asks(r#"pg::backups(s3::folder("small/kept")).len()"#)
        .exits(0)
        .prints("0");
    drop(disk);
    bed.comes_back("at_last");
    drop(bed.seaweed);
}

/// No password is in what other users see of processes.
#[test]
fn no_password_is_on_a_command_line() {
    let bed = Bed::new();
    let _done = bed.postgres.psql(
        "postgres",
        "CREATE ROLE dumper SUPERUSER LOGIN PASSWORD 'a-password-to-look-for'",
    );
    bed.story.write(
        "as.rhai",
        "print(pg::connect().login(\"dumper\", \"a-password-to-look-for\").backup(s3::store()).id);\n",
    );
    let mut child = bed.story.starts("ccrun --yes as.rhai");
    let mut seen = Vec::new();
    while child.try_wait().expect("its state").is_none() {
        for entry in std::fs::read_dir("/proc").expect("processes").flatten() {
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            assert!(
                !line.contains("a-password-to-look-for") && !line.contains(SECRET_KEY),
                "{line}"
            );
            if line.contains("pg_dump") {
                seen.push(line);
            }
        }
    }
    assert!(child.wait().expect("its end").success());
    assert!(!seen.is_empty(), "pg_dump was never seen");
    let journal = bed.story.types("ccrun runs show latest --output json");
    assert!(!journal.text().contains("a-password-to-look-for"));
    let manifest = bed.asks("json::stringify(pg::backups(s3::store())[0])");
    manifest
        .exits(0)
        .hides("a-password-to-look-for")
        .hides(SECRET_KEY);
}
