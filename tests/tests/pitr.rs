//! Point-in-time recovery with a real server and a real object store.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use ccrun_tests::postgres::Postgres;
use ccrun_tests::seaweed::{SECRET_KEY, Seaweed};
use ccrun_tests::typed::{Seen, Story};

/// A server that archives into a spool, a store, and a folder that both ccrun and the server's account get to.
struct Bed {
    postgres: Postgres,
    spool: PathBuf,
    story: Story,
    place: tempfile::TempDir,
    seaweed: Option<Seaweed>,
}

impl Bed {
    /// With SeaweedFS as the store.
    fn new() -> Self {
        Self::with(Some(Seaweed::start()))
    }

    /// With a folder as the store.
    fn with_a_folder() -> Self {
        Self::with(None)
    }

    fn with(seaweed: Option<Seaweed>) -> Self {
        let postgres = archiving();
        let spool = postgres.socket_dir().join("spool");
        let place = tempfile::tempdir().expect("a folder");
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o711)).expect("its mode");
        let section = seaweed.as_ref().map_or_else(String::new, |seaweed| {
            seaweed.section(seaweed.address.port(), "backups")
        });
        let story = Story::new()
            .file("s3.env", format!("S3_SECRET_KEY={SECRET_KEY}\nREADER_PASSWORD=a-password-to-look-for\n"))
            .file(
                "ccrun.toml",
                format!(
                    "default_target = \"test\"\n[target.test]\npostgres = {{ url = \"{}\" }}\n{section}[target.test.secrets]\nenv_file = \"s3.env\"\n",
                    postgres.url(),
                ),
            );
        let bed = Self {
            postgres,
            spool,
            story,
            place,
            seaweed,
        };
        bed.asks("STORE.create_bucket()").exits(0);
        let _done = bed.psql("CREATE TABLE markers (name text PRIMARY KEY, at timestamptz DEFAULT clock_timestamp())");
        bed
    }

    fn psql(&self, sql: &str) -> String {
        self.postgres.psql("postgres", sql)
    }

    /// What a line of script says; `STORE` and `SPOOL` are these.
    fn asks(&self, script: &str) -> Seen {
        self.story
            .write("line.rhai", format!("print({});\n", self.filled(script)));
        self.story.types("ccrun --yes line.rhai")
    }

    fn filled(&self, script: &str) -> String {
        let store = if self.seaweed.is_some() {
            "s3::store()"
        } else {
            "s3::folder(\"kept\")"
        };
        script
            .replace("STORE", store)
            .replace("SPOOL", &format!("\"{}\"", self.spool.display()))
    }

    fn backs_up(&self) -> String {
        let seen = self.asks("pg::connect().base_backup(STORE).id");
        seen.exits(0);
        seen.text()
            .lines()
            .find(|line| line.contains("-base-"))
            .expect("its name")
            .trim()
            .to_owned()
    }

    /// Finish the segment that is written to, and wait until it is in the spool.
    fn switch(&self) -> String {
        switch(&self.postgres, &self.spool)
    }

    fn ships(&self) -> Seen {
        self.asks("pg::ship_wal(STORE, SPOOL).shipped")
    }

    fn marks(&self, name: &str) {
        let _done = self.psql(&format!("INSERT INTO markers VALUES ('{name}')"));
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    fn recovers(&self, name: &str, options: &str) -> Seen {
        let folder = self.folder(name).display().to_string();
        self.asks(&format!(
            "json::stringify(pg::recover(STORE, \"latest\", \"{folder}\", #{{ {options} }}))"
        ))
    }

    /// It is refused for this reason, and nothing was made.
    fn refuses(&self, options: &str, why: &[&str]) {
        let seen = self.recovers("never", options);
        seen.exits(1);
        for why in why {
            seen.says(why);
        }
        assert!(!self.folder("never").exists());
        assert!(!self.folder("never.unfinished").exists());
    }

    /// The markers in a server that was recovered, which is then stopped.
    fn markers(&self, name: &str) -> String {
        let recovered = Recovered(self.folder(name), self.postgres.bin().to_owned());
        let markers =
            recovered.psql("SELECT coalesce(string_agg(name, ' ' ORDER BY at), '') FROM markers");
        // It serves, and its indexes are in order.
        let _done = recovered.psql("INSERT INTO markers VALUES ('of the copy'); CREATE EXTENSION amcheck; SELECT count(bt_index_parent_check(indexrelid, true)) FROM pg_index i JOIN pg_class c ON c.oid = indexrelid JOIN pg_am a ON a.oid = relam WHERE amname = 'btree' AND c.relpersistence = 'p'");
        assert_eq!(recovered.psql("SHOW archive_mode"), "off");
        markers
    }
}

/// A server that hands finished segments to a spool in its own folder.
fn archiving() -> Postgres {
    let postgres = Postgres::start_with(&["archive_mode=on"]).expect("Postgres starts");
    let spool = postgres.socket_dir().join("spool");
    let _made = postgres.psql(
        "postgres",
        &format!("COPY (SELECT) TO PROGRAM 'mkdir {}'", spool.display()),
    );
    let s = spool.display();
    let command = format!(
        "f={s}/%f; p={s}/.%f.part; if test -e $f; then cmp -s %p $f; else cp %p $p && chmod 640 $p && sync $p && mv $p $f && sync {s}; fi"
    );
    let _set = postgres.psql(
        "postgres",
        &format!("ALTER SYSTEM SET archive_command = '{command}'"),
    );
    let _read = postgres.psql("postgres", "SELECT pg_reload_conf()");
    postgres
}

fn switch(postgres: &Postgres, spool: &Path) -> String {
    let name = postgres.psql(
        "postgres",
        "SELECT pg_walfile_name(pg_current_wal_insert_lsn())",
    );
    let _switched = postgres.psql("postgres", "SELECT pg_switch_wal()");
    waits_for(&format!("{name} in the spool"), || {
        spool.join(&name).exists()
    });
    name
}

/// Wait for a condition.
fn waits_for(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}: not within 30 s");
        std::thread::yield_now();
    }
}

/// A server that was recovered; stopped when it is dropped.
struct Recovered(PathBuf, PathBuf);

impl Recovered {
    fn psql(&self, sql: &str) -> String {
        let lines = fs::read_to_string(self.0.join("postmaster.pid")).expect("it runs");
        let port = lines.lines().nth(3).expect("its port").trim().to_owned();
        let output = Command::new(self.1.join("psql"))
            .args([
                "-XqtA",
                "-v",
                "ON_ERROR_STOP=1",
                "-U",
                "postgres",
                "-d",
                "postgres",
                "-p",
                &port,
                "-c",
                sql,
                "-h",
            ])
            .arg(&self.0)
            .output()
            .expect("psql");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

impl Drop for Recovered {
    fn drop(&mut self) {
        let pid = fs::read_to_string(self.0.join("postmaster.pid")).unwrap_or_default();
        if let Some(pid) = pid.lines().next() {
            drop(Command::new("kill").args(["-QUIT", pid]).status());
        }
    }
}

#[test]
fn a_marker_before_the_moment_is_there_and_one_after_it_is_not() {
    let bed = Bed::new();
    let first = bed.psql("SELECT clock_timestamp()");
    bed.marks("backed-up");
    let backup = bed.backs_up();
    bed.marks("before");
    let time = bed.psql("SELECT clock_timestamp() FROM pg_sleep(0.01)");
    let lsn = bed.psql("SELECT pg_current_wal_insert_lsn()");
    let _point = bed.psql("SELECT pg_create_restore_point('between the two')");
    let xid = bed.psql("WITH done AS (INSERT INTO markers VALUES ('transaction') RETURNING xmin) SELECT xmin::text FROM done");
    let _pause = bed.psql("SELECT pg_sleep(0.01)");
    bed.marks("after");
    bed.switch();
    bed.ships().exits(0);

    // What is possible is listed, and what is not is refused with it, before anything is made.
    bed.asks("pg::wal(STORE)[0]")
        .exits(0)
        .prints(&backup)
        .prints("between the two");
    bed.refuses(
        &format!("time: \"{first}\""),
        &[
            "before the end of the first base backup",
            "Possible: ",
            &backup,
        ],
    );
    bed.refuses("lsn: \"0/1\"", &["before the end of the first base backup"]);
    bed.refuses(
        "time: \"2099-01-01\"",
        &["is after the end of the archived log", "Possible: "],
    );
    bed.refuses("lsn: \"FF/0\"", &["is after the end of the archived log"]);
    bed.refuses(
        "name: \"nowhere\"",
        &["no restore point `nowhere`", "between the two"],
    );
    bed.refuses("xid: 99999999", &["is after the end of the archived log"]);
    bed.refuses("timeline: 7", &["leads to the timeline 7"]);
    bed.refuses(
        "time: \"2099-01-01\", lsn: \"0/1\"",
        &["there can only be one moment"],
    );
    bed.refuses(
        "system_identifier: \"1234\"",
        &["no base backup of the cluster 1234"],
    );

    let roads = [
        ("time", format!("time: \"{time}\""), "backed-up before"),
        ("lsn", format!("lsn: \"{lsn}\""), "backed-up before"),
        (
            "name",
            "name: \"between the two\"".to_owned(),
            "backed-up before",
        ),
        ("xid", format!("xid: {xid}"), "backed-up before transaction"),
        (
            "without",
            format!("xid: {xid}, inclusive: false"),
            "backed-up before",
        ),
        ("immediate", "immediate: true".to_owned(), "backed-up"),
        ("end", String::new(), "backed-up before transaction after"),
    ];
    for (name, options, expected) in &roads {
        bed.recovers(name, options)
            .exits(0)
            .prints("\"state\":\"promoted\"")
            .prints(&backup);
        assert_eq!(bed.markers(name), *expected, "{name}");
        drop(fs::remove_dir_all(bed.folder(name)));
    }
    // One that is there is not written over.
    fs::create_dir(bed.folder("taken")).expect("a folder");
    fs::write(bed.folder("taken").join("file"), "x").expect("a file");
    bed.recovers("taken", "")
        .exits(1)
        .says("is there already, and not empty");

    // The server that was backed up knows nothing of all that.
    assert_eq!(bed.psql("SELECT count(*) FROM markers"), "4");
    // A backup of a database and one of the server are side by side, and each is verified.
    bed.asks("pg::connect().backup(STORE).kind")
        .exits(0)
        .prints("logical");
    bed.asks("pg::backups(STORE).map(|backup| pg::verify(STORE, backup.id).kind)")
        .exits(0)
        .prints("base")
        .prints("logical");
    bed.asks("pg::connect().restore(STORE, \"latest\", #{ into: \"back\" }).tables")
        .exits(0);
}

#[test]
fn a_gap_is_named_and_ends_what_can_be_reached() {
    let bed = Bed::with_a_folder();
    let _backup = bed.backs_up();
    bed.marks("one");
    bed.switch();
    bed.marks("two");
    let lost = bed.switch();
    bed.marks("three");
    let last = bed.psql("SELECT pg_current_wal_insert_lsn()");
    bed.switch();
    bed.ships().exits(0);
    let system = bed.psql("SELECT system_identifier FROM pg_control_system()");
    let file = bed
        .story
        .path(&format!("kept/wal/{system}/00000001/{lost}.zst"));
    fs::remove_file(&file).expect("the segment");
    bed.asks("pg::wal(STORE)[0].timelines[0].missing")
        .exits(0)
        .prints(&lost);
    bed.refuses(
        &format!("lsn: \"{last}\""),
        &["the log has a gap", &lost, "Possible: "],
    );
    bed.refuses("", &["the log has a gap", &lost]);
    // Before the gap all is well; a segment whose bytes were changed is noticed.
    let before = fs::read_dir(file.parent().expect("a folder")).expect("the archive");
    let mut names: Vec<PathBuf> = before
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "zst"))
        .filter(|path| path.file_name() < file.file_name())
        .collect();
    names.sort();
    let changed = names.last().expect("a segment before");
    let mut bytes = fs::read(changed).expect("its bytes");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(changed, bytes).expect("it again");
    let moment = bed.asks("pg::wal(STORE)[0].windows[0].to_lsn");
    let moment = moment
        .text()
        .trim()
        .lines()
        .next()
        .expect("a position")
        .to_owned();
    bed.refuses(
        &format!("lsn: \"{moment}\""),
        &["its SHA-256 is another than when it was written"],
    );
}

#[test]
fn only_whole_segments_of_this_cluster_are_shipped() {
    let bed = Bed::new();
    bed.marks("one");
    let good = bed.switch();
    let segment = fs::read(bed.spool.join(&good)).expect("a segment");
    bed.ships().exits(0);
    assert!(!bed.spool.join(&good).exists());

    // The same again is fine, and goes; another content under the name stays, and both are named.
    fs::write(bed.spool.join(&good), &segment).expect("the segment again");
    bed.asks("pg::ship_wal(STORE, SPOOL).same")
        .exits(0)
        .prints("1");
    assert!(!bed.spool.join(&good).exists());
    let mut other = segment.clone();
    other[100] ^= 1;
    fs::write(bed.spool.join(&good), &other).expect("another");
    bed.ships()
        .exits(1)
        .says(&format!("{good} is in the store with another content"))
        .says("and stay there");
    assert_eq!(fs::read(bed.spool.join(&good)).expect("it stays"), other);
    fs::remove_file(bed.spool.join(&good)).expect("gone");

    // Empty, cut short, under another name, of another cluster: each stays and is named, and the others go.
    let name = |number: u32| format!("0000000100000000000000{number:02X}");
    fs::write(bed.spool.join(name(0xE0)), "").expect("empty");
    fs::write(bed.spool.join(name(0xE1)), &segment[..segment.len() / 2]).expect("cut");
    fs::write(bed.spool.join(name(0xE2)), &segment).expect("renamed");
    fs::write(bed.spool.join(name(0xE3)), vec![0; segment.len()]).expect("zeros");
    let stranger = archiving();
    let theirs = switch(&stranger, &stranger.socket_dir().join("spool"));
    let foreign = fs::read(stranger.socket_dir().join("spool").join(&theirs)).expect("theirs");
    bed.marks("two");
    let next = bed.switch();
    let seen = bed.ships();
    seen.exits(1)
        .says("is empty")
        .says("bytes, and segments of its cluster have")
        .says("is another segment inside")
        .says("does not begin as a segment does")
        .says("(1 others were shipped)");
    assert!(!bed.spool.join(&next).exists());
    for wrong in [0xE0, 0xE1, 0xE2, 0xE3] {
        assert!(bed.spool.join(name(wrong)).exists());
        fs::remove_file(bed.spool.join(name(wrong))).expect("gone");
    }
    // Another cluster's, under the very name that it has.
    fs::write(bed.spool.join(&theirs), &foreign).expect("theirs");
    bed.ships()
        .exits(1)
        .says("is of the cluster")
        .says("each cluster needs a spool of its own");
    assert!(bed.spool.join(&theirs).exists());
}

#[test]
fn killed_at_any_moment_nothing_of_the_log_is_lost_and_a_backup_is_whole_or_none() {
    let bed = Bed::new();
    let _first = bed.backs_up();
    bed.story.write(
        "ship.rhai",
        format!("{};\n", bed.filled("pg::ship_wal(STORE, SPOOL)")),
    );
    bed.story.write(
        "base.rhai",
        format!("{};\n", bed.filled("pg::connect().base_backup(STORE)")),
    );
    let count = |bed: &Bed| -> usize {
        let seen = bed.asks("pg::backups(STORE, #{ kind: \"base\" }).map(|backup| pg::verify(STORE, backup.id).id).len()");
        seen.exits(0);
        seen.text()
            .lines()
            .find_map(|line| line.trim().parse().ok())
            .expect("a number")
    };
    let rounds = 6;
    for round in 0..rounds {
        bed.marks(&format!("round-{round}"));
        for _ in 0..3 {
            let _filler = bed.psql(
                "INSERT INTO markers SELECT gen_random_uuid()::text FROM generate_series(1, 1000)",
            );
            bed.switch();
        }
        let mut child = bed.story.starts("ccrun --yes ship.rhai");
        std::thread::sleep(Duration::from_millis(40 * round));
        drop(child.kill());
        let _ended = child.wait();
        let listed = count(&bed);
        let mut child = bed.story.starts("ccrun --yes base.rhai");
        std::thread::sleep(Duration::from_millis(150 * round));
        drop(child.kill());
        let _ended = child.wait();
        let now = count(&bed);
        assert!(now == listed || now == listed + 1);
    }
    // What the next run does completes it: all segments are there, and the server keeps no log for the dead.
    bed.ships().exits(0);
    assert_eq!(
        fs::read_dir(&bed.spool)
            .expect("the spool")
            .flatten()
            .filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'))
            .count(),
        0
    );
    waits_for("no slot is left", || {
        bed.psql("SELECT count(*) FROM pg_replication_slots") == "0"
    });
    bed.asks("pg::wal(STORE)[0].timelines[0].missing.len()")
        .exits(0)
        .prints("0");
    bed.recovers("after", "").exits(0);
    assert_eq!(
        bed.markers("after").matches("round-").count() as u64,
        rounds
    );
    let _last = bed.backs_up();
}

#[test]
fn what_no_backup_needs_goes_and_the_rest_still_leads_to_its_moments() {
    let bed = Bed::with_a_folder();
    let _first = bed.backs_up();
    bed.marks("one");
    bed.switch();
    bed.ships().exits(0);
    // What is older than the first backup led nowhere.
    bed.asks("pg::prune_wal(STORE)[0].deleted")
        .exits(0)
        .prints("1");
    bed.asks("pg::prune_wal(STORE)[0].deleted")
        .exits(0)
        .prints("0");
    let second = bed.backs_up();
    bed.marks("two");
    bed.switch();
    bed.ships().exits(0);
    let segments = |bed: &Bed| -> i64 {
        let seen = bed.asks("pg::wal(STORE)[0].segments");
        seen.text()
            .lines()
            .find_map(|line| line.trim().parse().ok())
            .expect("a number")
    };
    let before = segments(&bed);
    // Nothing was verified yet, so both stay; then the older one goes, and with it what only it needed.
    bed.asks("pg::prune(STORE, #{ last: 1, daily: 0, weekly: 0, monthly: 0 }).filter(|backup| !backup.keep).len()").exits(0).prints("0");
    bed.asks(&format!("pg::verify(STORE, \"{second}\").verified.how"))
        .exits(0)
        .prints("read");
    bed.asks("pg::prune(STORE, #{ last: 1, daily: 0, weekly: 0, monthly: 0 }).filter(|backup| !backup.keep).len()").exits(0).prints("1");
    let seen = bed.asks("pg::prune_wal(STORE)[0]");
    seen.exits(0).prints(&second);
    assert!(segments(&bed) < before, "{} of {before}", segments(&bed));
    bed.recovers("after", "").exits(0).prints(&second);
    assert_eq!(bed.markers("after"), "one two");
}

#[test]
fn what_cannot_be_streamed_is_refused_and_leaves_nothing() {
    let bed = Bed::with_a_folder();
    let place = bed.postgres.socket_dir().join("elsewhere");
    let _made = bed.psql(&format!(
        "COPY (SELECT) TO PROGRAM 'mkdir {}'",
        place.display()
    ));
    let _made = bed.psql(&format!(
        "CREATE TABLESPACE elsewhere LOCATION '{}'",
        place.display()
    ));
    bed.asks("pg::connect().base_backup(STORE)")
        .exits(1)
        .says("tablespaces of its own (elsewhere)")
        .says("SET TABLESPACE pg_default");
    let _gone = bed.psql("DROP TABLESPACE elsewhere");
    let _role = bed.psql("CREATE ROLE reader LOGIN PASSWORD 'a-password-to-look-for'");
    bed.asks("pg::connect().login(\"reader\", secret(\"READER_PASSWORD\")).base_backup(STORE)")
        .exits(1)
        .hides("a-password-to-look-for");
    bed.asks("pg::backups(STORE).len()").exits(0).prints("0");
    assert_eq!(bed.psql("SELECT count(*) FROM pg_replication_slots"), "0");
}

/// The guide's way without ccrun, word by word: `age`, `zstd`, `tar` and the server's own programs.
#[test]
fn it_is_recovered_with_plain_tools() {
    for tool in ["age", "age-keygen", "zstd", "tar"] {
        assert!(
            Command::new(tool).arg("--version").output().is_ok(),
            "there is no {tool}: apt-get install age zstd tar"
        );
    }
    let bed = Bed::with_a_folder();
    let key = bed.folder("key.txt");
    let made = Command::new("age-keygen")
        .arg("-o")
        .arg(&key)
        .output()
        .expect("age-keygen");
    assert!(made.status.success());
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("its mode");
    let text = fs::read_to_string(&key).expect("the key");
    let recipient = text
        .lines()
        .find_map(|line| line.strip_prefix("# public key: "))
        .expect("a recipient")
        .to_owned();
    bed.asks(&format!(
        "pg::connect().base_backup(STORE, #{{ recipients: [\"{recipient}\"] }}).encrypted"
    ))
    .exits(0)
    .prints("true");
    bed.marks("by hand");
    bed.switch();
    bed.asks(&format!(
        "pg::ship_wal(STORE, SPOOL, #{{ recipients: [\"{recipient}\"] }}).shipped"
    ))
    .exits(0);
    let end = bed.refusal_without_key();
    assert!(end.contains("and no key was given"), "{end}");
    let store = bed.story.path("kept");
    let copied = bed.folder("store");
    let copy = format!(
        "cp -r {} {} && chmod -R a+rX {1}",
        store.display(),
        copied.display()
    );
    assert!(
        Command::new("sh")
            .args(["-c", &copy])
            .status()
            .expect("cp")
            .success()
    );
    let script = format!(
        r#"set -e
cd {place}
mkdir -m 700 data
age --decrypt -i key.txt store/backups/*-base-*/base.tar.zst.age | zstd -d | tar -x -C data
touch data/recovery.signal
echo "restore_command = 'f=\$(find {place}/store/wal -name %f.zst.age) && test -n \"\$f\" && age --decrypt -i {place}/key.txt \$f | zstd -d > %p'" >> data/postgresql.auto.conf
echo "archive_mode = off" >> data/postgresql.auto.conf
if test "$(id -u)" = 0; then chown -R postgres data; run="setpriv --reuid=postgres --regid=postgres --init-groups"; fi
$run {bin}/pg_ctl start -D data -w -t 60 -o "-p 5499 -c max_connections=200 -c max_prepared_transactions=4 -c listen_addresses='' -c unix_socket_directories={place}/data" -l data/log
"#,
        place = bed.place.path().display(),
        bin = bed.postgres.bin().display(),
    );
    let done = Command::new("bash")
        .args(["-c", &script])
        .output()
        .expect("bash");
    let log = fs::read_to_string(bed.folder("data/log")).unwrap_or_default();
    assert!(
        done.status.success(),
        "{}\n{log}",
        String::from_utf8_lossy(&done.stderr)
    );
    let recovered = Recovered(bed.folder("data"), bed.postgres.bin().to_owned());
    waits_for("the end of recovery", || {
        recovered.psql("SELECT pg_is_in_recovery()") == "f"
    });
    assert_eq!(
        recovered.psql("SELECT string_agg(name, ' ') FROM markers"),
        "by hand"
    );
}

impl Bed {
    fn refusal_without_key(&self) -> String {
        let seen = self.recovers("never", "");
        seen.exits(1);
        seen.text()
    }
}
