//! Backups into a folder and out of it again.

use std::path::{Path, PathBuf};

use age::secrecy::ExposeSecret as _;
use age::x25519::Identity;
use ccrun_kernel::testing::Scratch;

use super::Bed;

/// A backup's folder below `kept` of a test's scratch folder.
fn backups(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder.join("kept/backups")) else {
        return Vec::new();
    };
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// The schema as `pg_dump` writes it, without what names the moment or the database.
fn schema(bed: &Bed, database: &str) -> String {
    let output = std::process::Command::new(bed.server.bin().join("pg_dump"))
        .args([
            "--schema-only",
            "--no-subscriptions",
            "--dbname",
            &bed.server.url_of(database),
        ])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let random = |line: &&str| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict");
    text.lines().filter(random).collect::<Vec<_>>().join("\n")
}

/// Roles are the server's: tests that make some run one after the other.
static ROLES: parking_lot::Mutex<()> = parking_lot::Mutex::new(());

/// A database with the hard things.
fn hard() -> (Bed, parking_lot::MutexGuard<'static, ()>) {
    let guard = ROLES.lock();
    let bed = Bed::new();
    bed.psql("DO $$ BEGIN IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'hard_app') THEN RAISE EXCEPTION 'left over'; END IF; END $$");
    bed.psql(include_str!("hard.sql"));
    (bed, guard)
}

/// Drop databases, then the roles of `hard.sql`.
fn drop_databases(bed: &Bed, names: &[&str]) {
    for name in names {
        bed.server.psql(
            "postgres",
            &format!("DROP DATABASE \"{name}\" WITH (FORCE)"),
        );
    }
}

fn tidy(bed: &Bed, databases: &[&str]) {
    for database in databases {
        bed.server.psql(
            "postgres",
            &format!("ALTER DATABASE \"{database}\" RESET default_transaction_read_only"),
        );
        // A database that receives can't be dropped.
        bed.server
            .psql(database, "DROP SUBSCRIPTION IF EXISTS from_elsewhere");
        bed.server.psql(
            "postgres",
            &format!("DROP DATABASE \"{database}\" WITH (FORCE)"),
        );
    }
    bed.server
        .psql("postgres", "DROP ROLE hard_app, hard_reader");
}

#[test]
fn every_hard_thing_comes_back_as_it_was() {
    let (bed, _guard) = hard();
    bed.server.psql(
        "postgres",
        &format!(
            "ALTER DATABASE {0} SET search_path TO public, secret; ALTER DATABASE {0} SET timezone TO 'Asia/Kathmandu'; ALTER DATABASE {0} SET bytea_output TO escape;
             ALTER DATABASE {0} SET default_transaction_read_only TO on; ALTER ROLE hard_app IN DATABASE {0} SET work_mem TO '5MB';
             REVOKE CONNECT ON DATABASE {0} FROM PUBLIC; GRANT CONNECT, CREATE ON DATABASE {0} TO hard_app; COMMENT ON DATABASE {0} IS 'it''s mine'",
            bed.database
        ),
    );
    let restored = format!("{}_copy", bed.database);
    let folder = Scratch::new();
    let script = format!(
        r#"
        let store = s3::folder("kept");
        let made = db.backup(store, #{{ note: "a test" }});
        let sums = db.checksums();
        let restored = db.restore(store, "latest", #{{ into: "{restored}", verify: "contents" }});
        let listed = pg::backups(store);
        #{{ id: made.id, tables: made.tables, sums: sums, listed: listed[0].id, how: listed[0].verified.how,
            objects: made.large_objects, rows: restored.rows, roles: restored.roles, note: listed[0].note }}
        "#
    );
    let made = bed
        .eval_in(&folder, &script)
        .unwrap_or_else(|error| panic!("{error:?}"));
    let made = ccrun_kernel::value::to_json(&made);
    assert_eq!(made["id"], made["listed"]);
    assert_eq!(made["how"], "restored");
    assert_eq!(made["note"], "a test");
    assert_eq!(made["tables"], made["sums"]);
    assert_eq!(made["objects"]["count"], 2);
    assert_eq!(made["objects"]["bytes"], 80_000);
    assert_eq!(made["roles"].as_array().unwrap().len(), 0);
    let rows = |schema: &str, name: &str| {
        let all = made["tables"].as_array().unwrap();
        let found = all
            .iter()
            .find(|table| table["schema"] == schema && table["name"] == name);
        found.unwrap_or_else(|| panic!("{name}"))["rows"].clone()
    };
    assert_eq!(rows("public", "every_type"), 502);
    assert_eq!(rows("public", "many"), 50_000);
    assert_eq!(rows("public", "eras"), 20_000);
    assert_eq!(rows("public", "empty"), 0);
    assert_eq!(rows("public", "no_columns"), 3);
    assert_eq!(rows("public", "parent"), 1);
    assert_eq!(rows("public", "line\nbreak"), 1);
    assert_eq!(rows("public", "nests"), 1);
    assert_eq!(rows("Ünï cödé \"schema\"", "Täble \"x\" 'y'"), 3);
    assert_eq!(schema(&bed, &bed.database), schema(&bed, &restored));
    // What a schema dump does not show.
    let about = |database: &str| {
        let sql = "SELECT (SELECT array_agg(s) FROM (SELECT setrole::regrole::text || setconfig::text AS s FROM pg_db_role_setting WHERE setdatabase = d.oid ORDER BY 1) AS all_of),
                          datacl::text, shobj_description(oid, 'pg_database'), pg_encoding_to_char(encoding), datcollate, datdba::regrole FROM pg_database d WHERE datname = current_database()";
        bed.server.psql(database, sql)
    };
    assert_eq!(about(&restored), about(&bed.database));
    let inside = "SELECT (SELECT last_value FROM lonely), (SELECT sum(hashtext(t::text)) FROM every_type t), (SELECT sum(hashtext(t::text)) FROM many t), (SELECT sum(hashtext(t::text)) FROM eras t), (SELECT n FROM kept), md5(lo_get(4711)), (SELECT relispopulated FROM pg_class WHERE relname = 'unkept')";
    assert_eq!(bed.server.psql(&restored, inside), bed.psql(inside));
    // What a subscription receives in the copy, the database that runs would lack.
    let receives = "SELECT count(*) FROM pg_subscription WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())";
    assert_eq!(bed.psql(receives).trim(), "1");
    assert_eq!(bed.server.psql(&restored, receives).trim(), "0");
    // One takes the other's place, and back.
    bed.server.psql(
        "postgres",
        &format!("ALTER DATABASE {restored} RESET default_transaction_read_only"),
    );
    let swapped = bed.json(&format!(
        r#"db.swap("{restored}", #{{ keep_as: "{restored}_old" }})"#
    ));
    assert_eq!(swapped["old"], format!("{restored}_old"));
    assert_eq!(bed.psql("SELECT count(*) FROM tasks").trim(), "2");
    tidy(&bed, &[&bed.database, &format!("{restored}_old")]);
}

#[test]
fn roles_that_are_missing_are_made_and_one_table_can_be_had() {
    let (bed, _guard) = hard();
    let kept = bed.database.clone();
    let copy = format!("{kept}_copy");
    let run = Scratch::new();
    let (key, other) = (Identity::generate(), Identity::generate());
    let recipient = key.to_public();
    let key = key.to_string().expose_secret().to_owned();
    let other = other.to_string().expose_secret().to_owned();
    let script = format!(r#"db.backup(s3::folder("kept"), #{{ recipients: ["{recipient}"] }});"#);
    drop(bed.eval_in(&run, &script).unwrap());
    tidy(&bed, &[&kept]);
    bed.server
        .psql("postgres", &format!("CREATE DATABASE {kept}"));
    // Without the key, and with another one.
    let restore = |more: &str| {
        format!(r#"db.restore(s3::folder("kept"), "latest", #{{ into: "{copy}" {more} }})"#)
    };
    let error = bed.eval_in(&run, &restore("")).unwrap_err();
    assert_eq!(error.kind(), "pg.backup_key");
    let error = bed
        .eval_in(&run, &restore(&format!(r#", key: "{other}""#)))
        .unwrap_err();
    assert_eq!(error.kind(), "pg.backup_key", "{error:?}");
    assert!(!bed.has(&copy));
    let restored = bed
        .eval_in(&run, &restore(&format!(r#", key: "{key}""#)))
        .unwrap();
    let restored = ccrun_kernel::value::to_json(&restored);
    assert_eq!(
        restored["roles"],
        serde_json::json!(["hard_app", "hard_reader"])
    );
    let role = "SELECT rolconnlimit, rolconfig, (SELECT string_agg(roleid::regrole::text, ',') FROM pg_auth_members WHERE member = r.oid), (SELECT rolpassword LIKE 'SCRAM%' FROM pg_authid WHERE oid = r.oid) FROM pg_roles r WHERE rolname = 'hard_app'";
    assert_eq!(
        bed.server.psql("postgres", role).trim(),
        "7|{statement_timeout=3s}|hard_reader|t"
    );
    // What lies there is plain age and zstd, and nothing of it can be read as it is.
    let set = &backups(&run.0)[0];
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(run.0.join("kept")).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o700);
    let sealed = std::fs::read(set.join("database.dump.zst.age")).unwrap();
    assert!(sealed.starts_with(b"age-encryption.org/v1\n"));
    assert!(
        memchr::memmem::find(
            &std::fs::read(set.join("globals.sql.zst.age")).unwrap(),
            b"SCRAM"
        )
        .is_none()
    );

    // A part: the whole schema, and the rows that are wanted; of a partitioned table those of all its partitions.
    let one = format!("{kept}_one");
    let script = format!(
        r#"db.restore(s3::folder("kept"), "latest", #{{ into: "{one}", key: "{key}", tables: ["parts", "public.a.b", "loud"], schemas: ["Ünï cödé \"schema\""], verify: "contents" }}).rows"#
    );
    let rows = bed.eval_in(&run, &script);
    let rows = rows.unwrap_or_else(|error| panic!("{error:?}"));
    assert_eq!(rows.as_int().unwrap(), 2 + 1 + 1 + 3);
    let there = r#"SELECT (SELECT count(*) FROM parts), (SELECT count(*) FROM "a.b"), (SELECT count(*) FROM loud), (SELECT count(*) FROM tasks), (SELECT count(*) FROM every_type)"#;
    assert_eq!(bed.server.psql(&one, there).trim(), "2|1|1|0|0");
    let wrong = script
        .replace("\"loud\"", "\"lout\"")
        .replace(&one, "never");
    let error = bed.eval_in(&run, &wrong).unwrap_err();
    assert_eq!(error.kind(), "pg.backup_part");
    assert!(
        error.to_json().to_string().contains("did you mean `loud`"),
        "{error:?}"
    );
    assert!(!bed.has("never"));
    // It is there: another time it is refused, and left alone.
    let error = bed.eval_in(&run, &script).unwrap_err();
    assert_eq!(error.kind(), "pg.duplicate_database");
    assert!(bed.has(&one));
    tidy(&bed, &[&one, &copy]);
}

#[test]
fn whatever_happens_to_what_lies_there_is_found() {
    let bed = Bed::with(
        "CREATE TABLE t AS SELECT g AS id, md5(g::text) AS x FROM generate_series(1, 20000) g",
    );
    let run = Scratch::new();
    drop(
        bed.eval_in(&run, r#"db.backup(s3::folder("kept"));"#)
            .unwrap(),
    );
    let set = backups(&run.0).remove(0);
    let verify = r#"pg::verify(s3::folder("kept"), "latest").verified.how"#;
    let copy = format!("{}_copy", bed.database);
    let restore = format!(r#"db.restore(s3::folder("kept"), "latest", #{{ into: "{copy}" }})"#);
    assert_eq!(bed.eval_in(&run, verify).unwrap().to_string(), "read");
    let dump = set.join("database.dump.zst");
    let whole = std::fs::read(&dump).unwrap();
    let manifest = std::fs::read_to_string(set.join("manifest.json")).unwrap();
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    type Damage<'d> = (&'d str, Box<dyn Fn() + 'd>);
    let damages: [Damage<'_>; 5] = [
        (
            "its SHA-256",
            Box::new(|| std::fs::write(&dump, &flipped).unwrap()),
        ),
        (
            "bytes, and had",
            Box::new(|| std::fs::write(&dump, &whole[..middle]).unwrap()),
        ),
        (
            "not in the store",
            Box::new(|| std::fs::remove_file(&dump).unwrap()),
        ),
        (
            "20000 rows, its manifest says 19999",
            Box::new(|| {
                std::fs::write(
                    set.join("manifest.json"),
                    manifest.replace("\"rows\": 20000", "\"rows\": 19999"),
                )
                .unwrap()
            }),
        ),
        (
            "it is the one of",
            Box::new(|| {
                std::fs::write(
                    set.join("manifest.json"),
                    manifest.replace("\"id\": \"2", "\"id\": \"3"),
                )
                .unwrap()
            }),
        ),
    ];
    for (says, damage) in damages {
        damage();
        for script in [verify, &restore] {
            let Err(error) = bed.eval_in(&run, script) else {
                panic!("{says}: it was not found by {script}");
            };
            let is_right =
                error.kind() == "pg.backup_damaged" || error.kind() == "pg.restore_mismatch";
            assert!(is_right, "{says}: {error:?}");
            assert!(
                error.message().contains(says) || error.kind() == "pg.restore_mismatch",
                "{says}: {error:?}"
            );
            assert!(!bed.has(&copy), "{says}");
        }
        std::fs::write(&dump, &whole).unwrap();
        std::fs::write(set.join("manifest.json"), &manifest).unwrap();
    }
    // Without its manifest it is none, and with it, it is whole.
    std::fs::remove_file(set.join("manifest.json")).unwrap();
    assert_eq!(
        bed.eval_in(&run, verify).unwrap_err().kind(),
        "pg.no_backup"
    );
    let none = bed.eval_in(&run, r#"pg::backups(s3::folder("kept")).len()"#);
    assert_eq!(none.unwrap().as_int().unwrap(), 0);
    std::fs::write(set.join("manifest.json"), &manifest).unwrap();
    drop(bed.eval_in(&run, &restore).unwrap());
    assert_eq!(
        bed.server.psql(&copy, "SELECT count(*) FROM t").trim(),
        "20000"
    );
}

#[test]
fn a_dump_that_fails_leaves_no_backup() {
    let _guard = ROLES.lock();
    let bed = Bed::with(
        "CREATE TABLE t AS SELECT g AS id, md5(g::text) AS x FROM generate_series(1, 1000) g; CREATE ROLE halfway LOGIN PASSWORD 'halfway'",
    );
    let run = Scratch::new();
    // Policies hold for this one: what it sees is not all.
    bed.psql("ALTER TABLE t OWNER TO halfway; ALTER TABLE t ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY");
    let script = r#"db.login("halfway", "halfway").backup(s3::folder("kept"))"#;
    let error = bed.eval_in(&run, script).unwrap_err();
    assert_eq!(error.kind(), "pg.tool_failed");
    assert!(error.message().contains("row-level security"), "{error:?}");
    assert!(
        error.to_json().to_string().contains("BYPASSRLS"),
        "{error:?}"
    );
    // Somebody holds the table.
    let url = bed.url();
    let mut holder = std::process::Command::new(bed.server.bin().join("psql"))
        .args([
            "--dbname",
            &url,
            "-c",
            "BEGIN; LOCK TABLE t; SELECT pg_sleep(60)",
        ])
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let held = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation = 't'::regclass AND granted";
    while bed.psql(held).trim() == "0" {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let error = bed
        .eval_in(
            &run,
            r#"db.backup(s3::folder("kept"), #{ lock_timeout: "200ms" })"#,
        )
        .unwrap_err();
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)' AND pid <> pg_backend_pid()";
    drop(bed.psql(end));
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert_eq!(error.kind(), "pg.tool_failed");
    assert!(error.message().contains("LOCK TABLE public.t"), "{error:?}");
    // None is listed, and of what was begun nothing is taken for one.
    let none = bed.eval_in(&run, r#"pg::backups(s3::folder("kept")).len()"#);
    assert_eq!(none.unwrap().as_int().unwrap(), 0);
    let gone = bed.eval_in(&run, r#"pg::prune(s3::folder("kept"), #{ last: 1 }).len()"#);
    assert_eq!(gone.unwrap().as_int().unwrap(), 0);
    bed.psql("DROP TABLE t");
    bed.psql("DROP ROLE halfway");
    // And then it works.
    drop(
        bed.eval_in(&run, r#"db.backup(s3::folder("kept"));"#)
            .unwrap(),
    );
    assert_eq!(
        backups(&run.0)
            .iter()
            .filter(|set| set.join("manifest.json").exists())
            .count(),
        1
    );
}

#[test]
fn what_cannot_be_restored_is_said_and_the_rest_can_be_had() {
    // A function that finds its table by search_path: pg_restore empties that, and the view can't be filled.
    let bed = Bed::with(
        "CREATE TABLE things AS SELECT generate_series(1, 500) AS id;
         CREATE FUNCTION how_many() RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT count(*) FROM things); END';
         CREATE MATERIALIZED VIEW counted AS SELECT how_many() AS n;
         CREATE VIEW after_it AS SELECT n FROM counted",
    );
    let run = Scratch::new();
    drop(
        bed.eval_in(&run, r#"db.backup(s3::folder("kept"));"#)
            .unwrap(),
    );
    let copy = format!("{}_copy", bed.database);
    let restore = |more: &str| {
        format!(
            r#"db.restore(s3::folder("kept"), "latest", #{{ into: "{copy}", verify: "contents" {more} }})"#
        )
    };
    let error = bed.eval_in(&run, &restore("")).unwrap_err();
    assert_eq!(error.kind(), "pg.tool_failed");
    let text = error.to_json().to_string();
    assert!(
        text.contains("search_path") && text.contains("partial: true"),
        "{text}"
    );
    let left =
        "SELECT count(*) FROM pg_database WHERE datname LIKE '%unfinished' AND datname LIKE '";
    let left = format!("{left}{}%'", bed.database);
    assert_eq!(bed.server.psql("postgres", &left).trim(), "0");
    assert!(!bed.has(&copy));
    let restored = bed.eval_in(&run, &restore(", partial: true")).unwrap();
    let restored = ccrun_kernel::value::to_json(&restored);
    assert!(
        restored["problems"][0].as_str().unwrap().contains("things"),
        "{restored}"
    );
    assert_eq!(
        bed.server.psql(&copy, "SELECT count(*) FROM things").trim(),
        "500"
    );
    // It is no proof that the backup is whole.
    let verified = bed.eval_in(&run, r#"pg::backups(s3::folder("kept"))[0].verified"#);
    assert!(verified.unwrap().is_unit());
}

/// Names and rows in another encoding are `pg_restore`'s.
#[test]
fn a_database_that_is_not_utf_8_comes_back() {
    let bed = Bed::with("CREATE TABLE t (id int)");
    let run = Scratch::new();
    let (latin, copy) = (
        format!("{}_latin", bed.database),
        format!("{}_latin_copy", bed.database),
    );
    bed.server.psql(
        "postgres",
        &format!("CREATE DATABASE {latin} TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'"),
    );
    bed.server.psql(
        &latin,
        "CREATE TABLE täble AS SELECT g AS id, 'ü' || g AS name FROM generate_series(1, 1000) g",
    );
    let script = format!(
        r#"let db = pg::connect("{}"); db.backup(s3::folder("kept"));
           db.restore(s3::folder("kept"), "latest", #{{ into: "{copy}", verify: "contents" }}).rows"#,
        bed.server.url_of(&latin)
    );
    let rows = bed.eval_in(&run, &script);
    assert_eq!(
        rows.unwrap_or_else(|error| panic!("{error:?}")).as_int(),
        Ok(1000)
    );
    let sum = "SELECT sum(hashtext(name)), pg_encoding_to_char(encoding) FROM täble, pg_database WHERE datname = current_database() GROUP BY 2";
    assert_eq!(bed.server.psql(&copy, sum), bed.server.psql(&latin, sum));
    drop_databases(&bed, &[&latin, &copy]);
}

/// Rows that the copy does not take, though the database had them: a check that was broken behind the server's back.
#[test]
fn rows_that_a_table_does_not_take_are_named_and_nothing_stays() {
    let bed = Bed::with(
        "CREATE TABLE fine AS SELECT generate_series(1, 500) AS id;
         CREATE FUNCTION allowed(n int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT n < 100000';
         CREATE TABLE strict (n int CHECK (public.allowed(n)), t text);
         INSERT INTO strict SELECT g, md5(g::text) FROM generate_series(1, 40000) g;
         CREATE OR REPLACE FUNCTION allowed(n int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT n <> 33333'",
    );
    let run = Scratch::new();
    let copy = format!("{}_copy", bed.database);
    let restore = |more: &str| {
        format!(
            r#"db.restore(s3::folder("kept"), "latest", #{{ into: "{copy}", jobs: 3 {more} }})"#
        )
    };
    let script = format!(r#"db.backup(s3::folder("kept")); {}"#, restore(""));
    let error = bed.eval_in(&run, &script).unwrap_err();
    assert_eq!(error.kind(), "pg.restore_rows");
    assert_eq!(error.code_text(), Some("23514"));
    let text = error.to_json().to_string();
    assert!(
        text.contains("public.strict") && text.contains("partial: true"),
        "{text}"
    );
    assert!(!bed.has(&copy));
    // All rows of a table, or none.
    let restored = bed.eval_in(&run, &restore(", partial: true")).unwrap();
    let restored = ccrun_kernel::value::to_json(&restored);
    assert!(
        restored["problems"][0].as_str().unwrap().contains("strict"),
        "{restored}"
    );
    let counts = "SELECT (SELECT count(*) FROM fine), (SELECT count(*) FROM strict)";
    assert_eq!(bed.server.psql(&copy, counts).trim(), "500|0");
    drop_databases(&bed, &[&copy]);
}

#[test]
fn files_come_back_under_their_names_and_for_their_owner_only() {
    let bed = Bed::with("CREATE TABLE t (id int)");
    let run = Scratch::new();
    std::fs::write(run.0.join("one"), "POSTGRES_PASSWORD=x\n").unwrap();
    std::fs::write(run.0.join("two"), vec![7; 3 << 20]).unwrap();
    let key = Identity::generate();
    let script = format!(
        r#"db.backup(s3::folder("kept"), #{{ recipients: ["{}"], files: #{{ "env": "one", "two.bin": "two" }} }});"#,
        key.to_public()
    );
    drop(bed.eval_in(&run, &script).unwrap());
    let key = key.to_string().expose_secret().to_owned();
    let error = bed.eval_in(
        &run,
        r#"pg::restore_files(s3::folder("kept"), "latest", "back")"#,
    );
    assert_eq!(error.unwrap_err().kind(), "pg.backup_key");
    let all = format!(
        r#"pg::restore_files(s3::folder("kept"), "latest", "back", #{{ key: "{key}" }}).map(|file| file.name)"#
    );
    let names = bed.eval_in(&run, &all).unwrap();
    assert_eq!(
        ccrun_kernel::value::to_json(&names),
        serde_json::json!(["env", "two.bin"])
    );
    assert_eq!(
        std::fs::read(run.0.join("back/env")).unwrap(),
        b"POSTGRES_PASSWORD=x\n"
    );
    assert_eq!(
        std::fs::read(run.0.join("back/two.bin")).unwrap(),
        vec![7; 3 << 20]
    );
    let about = std::fs::metadata(run.0.join("back/env")).unwrap();
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&about.permissions()) & 0o777,
        0o600
    );
    // What is damaged takes nothing's place.
    let set = backups(&run.0).remove(0);
    let object = set.join("env.zst.age");
    let mut bytes = std::fs::read(&object).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&object, bytes).unwrap();
    std::fs::write(run.0.join("back/env"), "mine").unwrap();
    let error = bed.eval_in(&run, &all).unwrap_err();
    assert_eq!(error.kind(), "pg.backup_damaged", "{error:?}");
    assert_eq!(std::fs::read(run.0.join("back/env")).unwrap(), b"mine");
}
