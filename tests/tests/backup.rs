//! Backups into a real object store, with everything in the way that can be.

use std::time::{Duration, Instant};

use age::secrecy::ExposeSecret as _;
use age::x25519::Identity;
use ccrun_tests::faults::{FaultyProxy, Misbehaviour, SmallDisk, kill_programs_of};
use ccrun_tests::postgres::Postgres;
use ccrun_tests::seaweed::{SECRET_KEY, Seaweed};
use ccrun_tests::stack::root;
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

/// Who deletes a backup that is locked hides it, and no more.
#[test]
fn a_backup_that_is_locked_outlives_whoever_deletes_it() {
    let bed = Bed::new();
    bed.asks(r#"pg::connect().backup(s3::store(), #{ locked_for: "1h" }).id"#)
        .exits(1)
        .says("create_bucket(#{ locks: true })");
    assert_eq!(bed.good(), 0);
    bed.asks(r#"s3::store("safe").create_bucket(#{ locks: true })"#)
        .exits(0);
    for _ in 0..2 {
        bed.asks(r#"pg::connect().backup(s3::store("safe"), #{ locked_for: "1h" }).locked.mode"#)
            .exits(0)
            .prints("governance");
        bed.asks(r#"pg::verify(s3::store("safe"), "latest").verified.how"#)
            .exits(0);
    }
    bed.asks(r#"pg::prune(s3::store("safe"), #{ last: 1 }).filter(|one| one.keep && one.why.contains("locked until")).len()"#)
        .exits(0)
        .prints("2");
    bed.asks(r#"s3::store("safe").delete_prefix("backups")"#)
        .exits(0);
    let backups = |action: &str| {
        let runbook = root().join("runbooks/backups.rhai");
        let runbook = runbook.display();
        bed.story.types(&format!(
            "ccrun --yes {runbook} -p bucket=safe -p action={action}"
        ))
    };
    backups("list")
        .exits(0)
        .prints("there is no backup in safe");
    // For good it goes no more than that.
    bed.story.write(
        "purge.rhai",
        r#"
        let store = s3::store("safe");
        let kept = 0;
        for one in store.versions("backups").filter(|one| !one.deleted) {
            try { store.delete(one.key, #{ version: one.version }); } catch (error) {
                assert(error.kind == "s3.locked", `${error}`);
                kept += 1;
            }
        }
        print(`${kept} can't be deleted`);
        "#,
    );
    // Of each: the database, the globals, the manifest; not the note that it was verified.
    bed.story
        .types("ccrun --yes purge.rhai")
        .exits(0)
        .prints("6 can't be deleted");
    let seen = backups("deleted");
    seen.exits(0);
    let text = seen.text();
    let ids: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split_whitespace().find(|word| word.contains("Z-")))
        .collect();
    assert_eq!(ids.len(), 2, "{text}");
    backups(&format!("undelete -p backup={}", ids[0]))
        .exits(0)
        .prints(ids[0]);
    backups("list").exits(0).prints(ids[0]);
    backups("undelete -p backup=nothing")
        .exits(1)
        .says("ccrun backups -p action=deleted");
    bed.story.write(
        "base.rhai",
        r#"
        let store = s3::store("safe");
        let made = pg::connect().base_backup(store, #{ locked_for: "1h", lock_mode: "compliance" });
        for name in made.objects.map(|object| object.key) + ["manifest.json"] {
            let lock = store.locked(`backups/${made.id}/${name}`);
            assert(lock.mode == "compliance" && lock.ends.unix == made.locked.ends.unix, `${lock}`);
        }
        print("all of it is locked");
        "#,
    );
    bed.story
        .types("ccrun --yes base.rhai")
        .exits(0)
        .prints("all of it is locked");
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
            1 => kill_programs_of(child.id(), &["pg_dump", "pg_dumpall"]),
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
    // Rows are loaded as they come, and take no room on this machine.
    let disk = SmallDisk::at(&bed.story.path("small"), 4096);
    bed.story.write(
        "spool.rhai",
        "runbook(#{ params: #{ into: #{ type: \"string\" } }, needs: #{ pg: \"*\", s3: \"*\" } });\npg::connect().restore(s3::store(), \"latest\", #{ into: params.into, spool: \"small\", verify: \"contents\" });\n",
    );
    bed.story
        .types("ccrun --yes spool.rhai -p into=fits")
        .exits(0);
    // Large objects do. That they don't fit is known before anything is made.
    let _large = bed.postgres.psql(
        &bed.database,
        "SELECT lo_from_bytea(0, convert_to(repeat(md5(random()::text), 200000), 'UTF8'))",
    );
    bed.story.types("ccrun --yes back.rhai").exits(0);
    bed.story
        .types("ccrun --yes spool.rhai -p into=never")
        .exits(1)
        .says("what pg_restore reads takes 6.")
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

/// What other users of the machine see of a process: its command line; its environment where its file says so.
fn seen_of(process: &std::path::Path) -> String {
    use std::os::unix::fs::MetadataExt as _;
    let text = |name: &str| {
        let bytes = std::fs::read(process.join(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).replace('\0', " ")
    };
    let environment = process.join("environ");
    let others_may = std::fs::metadata(&environment).is_ok_and(|about| about.mode() & 0o077 != 0);
    let environment = if others_may {
        text("environ")
    } else {
        String::new()
    };
    format!("{} {environment}", text("cmdline"))
}

/// A password of the database, the store's key and the backup's key go their way unseen: in no process' arguments, no
/// environment that others read, no output, journal, log of the server or manifest.
#[test]
fn no_secret_is_seen_anywhere() {
    const PASSWORD: &str = "a-password-to-look-for";
    let bed = Bed::new();
    let _done = bed.postgres.psql(
        "postgres",
        &format!(
            "SET log_statement = 'none'; CREATE ROLE dumper SUPERUSER LOGIN PASSWORD '{PASSWORD}'"
        ),
    );
    let identity = Identity::generate();
    let key = identity.to_string().expose_secret().to_owned();
    bed.story.write(
        "s3.env",
        format!("S3_SECRET_KEY={SECRET_KEY}\nDUMPER={PASSWORD}\nBACKUP_KEY={key}\n"),
    );
    bed.story
        .write("a.env", "POSTGRES_PASSWORD=another-secret-in-a-file\n");
    bed.story.write(
        "as.rhai",
        format!(
            "let db = pg::connect().login(\"dumper\", secret(\"DUMPER\")); let key = secret(\"BACKUP_KEY\"); let made = db.backup(s3::store(), #{{ recipients: [\"{}\"], files: #{{ \"a.env\": \"a.env\" }} }}); pg::verify(s3::store(), made.id, #{{ key: key }}); print(db.restore(s3::store(), made.id, #{{ into: \"unseen\", key: key, verify: \"contents\", all_roles: true }}).rows);\n",
            identity.to_public()
        ),
    );
    let _done = bed
        .postgres
        .psql("postgres", "ALTER SYSTEM SET log_statement = 'all'");
    let _done = bed.postgres.psql("postgres", "SELECT pg_reload_conf()");
    let mut child = bed.story.command("ccrun --yes as.rhai");
    child
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let mut child = child.spawn().expect("ccrun starts");
    let secrets = [
        PASSWORD,
        SECRET_KEY,
        key.as_str(),
        "another-secret-in-a-file",
    ];
    let unseen = |text: &str| {
        for secret in secrets {
            assert!(!text.contains(secret), "{secret}: {text}");
        }
    };
    let mut programs = std::collections::BTreeSet::new();
    while child.try_wait().expect("its state").is_none() {
        for entry in std::fs::read_dir("/proc").expect("processes").flatten() {
            let seen = seen_of(&entry.path());
            unseen(&seen);
            for program in ["pg_dump", "pg_dumpall", "pg_restore"] {
                if seen.contains(&format!("{program} ")) {
                    programs.insert(program);
                }
            }
        }
    }
    let output = child.wait_with_output().expect("its end");
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{said}");
    assert!(said.contains("101000"), "{said}");
    unseen(&said);
    assert_eq!(programs.len(), 3, "{programs:?} were seen only");
    unseen(
        bed.story
            .types("ccrun show latest --output json")
            .text()
            .as_str(),
    );
    let database = std::fs::read_dir(bed.story.path(".ccrun")).expect("the journal");
    for file in database.flatten().filter(|file| file.path().is_file()) {
        let bytes = std::fs::read(file.path()).expect("a file");
        unseen(&String::from_utf8_lossy(&bytes));
    }
    unseen(&bed.postgres.log());
    // Not even what a password is checked with is in the server's log.
    assert!(!bed.postgres.log().contains("SCRAM-SHA-256$"));
    let manifest = bed.asks("json::stringify(pg::backups(s3::store())[0])");
    manifest.exits(0).prints("database.dump.zst.age");
    unseen(&manifest.text());
}

/// Recovery without ccrun, as the guide has it, by the plain tools.
#[test]
fn a_backup_can_be_read_by_plain_tools() {
    for program in ["age", "zstd"] {
        let there = std::process::Command::new(program)
            .arg("--version")
            .output();
        assert!(
            there.is_ok(),
            "{program} is missing: apt-get install {program}"
        );
    }
    let bed = Bed::new();
    let identity = Identity::generate();
    bed.story.write(
        "backup-key.txt",
        format!("# a key\n{}\n", identity.to_string().expose_secret()),
    );
    bed.story.write("a.env", "NAME=value\n");
    bed.story.write(
        "back.rhai",
        format!("pg::connect().backup(s3::folder(\"kept\"), #{{ recipients: [\"{}\"], files: #{{ \"env.0\": \"a.env\" }} }});\n", identity.to_public()),
    );
    bed.story.types("ccrun --yes back.rhai").exits(0);
    let set = std::fs::read_dir(bed.story.path("kept/backups"))
        .expect("backups")
        .flatten()
        .next()
        .expect("one")
        .path();
    // The commands stand in the guide like this; `app` is the database.
    let guide =
        std::fs::read_to_string(ccrun_tests::stack::root().join("docs/src/guide/backup.md"))
            .expect("the guide");
    let section = guide
        .split("## Recovery without ccrun")
        .nth(1)
        .expect("the section");
    let block = section
        .split("```console\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next())
        .expect("the commands");
    let commands: Vec<&str> = block
        .lines()
        .filter_map(|line| line.strip_prefix("$ "))
        .collect();
    assert!(commands.len() >= 3, "{block}");
    let script = commands.join("\n");
    let server = Postgres::start().expect("another server");
    let path = format!(
        "{}:{}",
        server.bin().display(),
        std::env::var("PATH").unwrap_or_default()
    );
    let _copied = std::fs::copy(bed.story.path("backup-key.txt"), set.join("backup-key.txt"));
    let ran = std::process::Command::new("bash")
        .args(["-euo", "pipefail", "-c", &script])
        .current_dir(&set)
        .env("PATH", path)
        .env("PGHOST", server.socket_dir())
        .env("PGPORT", server.port().to_string())
        .env("PGUSER", "postgres")
        .output()
        .expect("bash");
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(ran.status.success(), "{script}\n{said}");
    let sum = "SELECT count(*) || ' ' || sum(hashtext(t::text)::bigint) FROM tasks t";
    assert_eq!(
        server.psql("app", sum),
        bed.postgres.psql(&bed.database, sum)
    );
    assert_eq!(
        std::fs::read_to_string(set.join("env.0")).expect("the file"),
        "NAME=value\n"
    );
}

/// The clock of the machine is set wrong, ahead and behind: the newest backup is the one that was made last, nothing that
/// is whole goes, and nothing that is under way.
#[test]
fn a_clock_that_jumps_does_not_choose_the_wrong_backup() {
    let postgres = Postgres::start().expect("Postgres starts");
    let database = postgres.create_database();
    let _done = postgres.psql(&database, "CREATE TABLE t (n int)");
    let story = Story::new();
    story.write(
        "ccrun.toml",
        format!(
            "default_target = \"test\"\n[target.test]\npostgres = {{ url = \"{}\" }}\ns3 = {{ folder = \"kept\" }}\n",
            postgres.url_of(&database)
        ),
    );
    story.write(
        "back.rhai",
        "let made = pg::connect().backup(s3::store());\npg::verify(s3::store(), made.id);\nprint(made.id);\n",
    );
    story.write(
        "latest.rhai",
        "print(pg::verify(s3::store(), \"latest\").id); print(pg::backups(s3::store())[0].id); print(pg::prune(s3::store(), #{ last: 1000 }).len());\n",
    );
    let library = std::fs::read_dir("/usr/lib")
        .expect("/usr/lib")
        .flatten()
        .map(|entry| entry.path().join("faketime/libfaketime.so.1"))
        .find(|path| path.exists())
        .expect("the clock can be moved for one program: apt-get install faketime");
    let with_clock = |moved: &str, line: &str| {
        let output = story
            .command(line)
            .env("LD_PRELOAD", &library)
            .env("FAKETIME", moved)
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .output()
            .expect("ccrun starts");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    let back = "ccrun --yes back.rhai";
    let ahead = with_clock("+3650d", back);
    assert!(ahead.starts_with("203"), "{ahead}");
    for moved in ["+0d", "-400d", "+3600d", "-1d"] {
        let _done = postgres.psql(&database, "INSERT INTO t VALUES (1)");
        let made = with_clock(moved, back);
        // One that is under way by a clock that is right: a clean-up by one that is ahead leaves it alone.
        story.write(
            "kept/backups/20261125T000000Z-app-0000/database.dump.zst",
            "under way",
        );
        let seen = with_clock("+3d", "ccrun --yes latest.rhai");
        assert_eq!(
            seen.lines().collect::<Vec<_>>()[..2],
            [made.as_str(), made.as_str()],
            "{moved}"
        );
        assert!(
            story
                .path("kept/backups/20261125T000000Z-app-0000/database.dump.zst")
                .exists()
        );
        let seen = with_clock("+0d", "ccrun --yes latest.rhai");
        assert!(seen.starts_with(&made), "{moved}: {seen}");
    }
    let only = "let all = pg::prune(s3::store(), #{ last: 1, daily: 0, weekly: 0, monthly: 0 }); print(all.filter(|backup| backup.keep).map(|backup| backup.id));\n";
    story.write("only.rhai", only);
    let newest = with_clock("+0d", "ccrun --yes latest.rhai");
    let kept = with_clock("-3000d", "ccrun --yes only.rhai");
    assert_eq!(
        kept,
        format!("[\"{}\"]", newest.lines().next().expect("an id"))
    );
}
