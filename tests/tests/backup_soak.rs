//! Backups, restores and verifications with a random fault in each, and what must hold afterwards: every backup that is
//! listed is whole, the database that runs is as it was, the message names the cause, and it works the next time.
//!
//! Short by default. `CCRUN_FAULTS=200` makes 200 runs, `CCRUN_FAULTS=200/SEED` the same 200 again.
#![allow(
    clippy::print_stdout,
    reason = "figures for whoever runs it with --nocapture"
)]

use std::fmt::Write as _;
use std::process::Child;
use std::time::{Duration, Instant};

use age::secrecy::ExposeSecret as _;
use age::x25519::Identity;
use ccrun_tests::faults::{FaultyProxy, Misbehaviour, SmallDisk, kill_programs_of};
use ccrun_tests::postgres::Postgres;
use ccrun_tests::seaweed::{SECRET_KEY, Seaweed};
use ccrun_tests::typed::{Seen, Story};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

/// How many runs, and from which seed.
fn plan() -> (u64, u64) {
    let text = std::env::var("CCRUN_FAULTS").unwrap_or_else(|_| "10".to_owned());
    let (runs, seed) = match text.split_once('/') {
        Some((runs, seed)) => (runs, Some(seed)),
        None => (text.as_str(), None),
    };
    (
        runs.parse().expect("CCRUN_FAULTS is RUNS or RUNS/SEED"),
        seed.map_or_else(
            || rand::rng().random_range(0..1_000_000),
            |seed| seed.parse().expect("CCRUN_FAULTS is RUNS or RUNS/SEED"),
        ),
    )
}

/// What is done while something goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Backup,
    Restore,
    Verify,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// SIGKILL of ccrun, at this share of the time that it takes.
    KillUs(f64),
    /// SIGKILL of `pg_dump` or `pg_restore`.
    KillTool(f64),
    /// SIGKILL of a process of the server, which then recovers as after a crash.
    KillServer(f64),
    /// The server ends all sessions.
    EndSessions(f64),
    /// The store misbehaves for some connections.
    Store(Misbehaviour, usize),
    /// The network goes, and comes back after so many milliseconds.
    Cut(f64, u64),
    /// The disk that it writes to is full.
    FullDisk,
    /// A byte of an object is another one.
    Flip,
    /// An object is gone.
    Deleted,
    /// The manifest of another backup lies in its place.
    ForeignManifest,
    /// The key is another one.
    WrongKey,
    /// Two at once, and a clean-up.
    Concurrent,
}

fn fault(random: &mut StdRng) -> (Action, Fault) {
    let moment = random.random_range(0.0..1.1);
    let action = match random.random_range(0..10) {
        0..6 => Action::Backup,
        6..9 => Action::Restore,
        _ => Action::Verify,
    };
    let bytes = random.random_range(0..6_000_000);
    let times = random.random_range(1..4);
    let store = |misbehaviour| Fault::Store(misbehaviour, times);
    let fault = match random.random_range(0..20) {
        0..3 => Fault::KillUs(moment),
        3..5 if action != Action::Verify => Fault::KillTool(moment),
        5..7 if action != Action::Verify => Fault::KillServer(moment),
        7 if action != Action::Verify => Fault::EndSessions(moment),
        8 => store(Misbehaviour::Status(500)),
        9 => store(Misbehaviour::Status(503)),
        10 | 11 => store(Misbehaviour::ResetAfter(bytes)),
        12 => store(Misbehaviour::CutAfter(bytes)),
        13 => store(Misbehaviour::Hang(Duration::from_secs(3))),
        14 => Fault::Cut(moment, random.random_range(100..2500)),
        15 if action != Action::Verify => Fault::FullDisk,
        16 => return (Action::Restore, Fault::Flip),
        17 => return (Action::Restore, Fault::Deleted),
        18 => return (Action::Verify, Fault::ForeignManifest),
        19 => return (Action::Restore, Fault::WrongKey),
        _ => Fault::Concurrent,
    };
    (action, fault)
}

struct Bed {
    postgres: Postgres,
    database: String,
    proxy: FaultyProxy,
    story: Story,
    /// How long a backup takes here, and a restore.
    takes: (Duration, Duration),
    /// What the database that runs is, and must stay.
    rows: String,
    _seaweed: Seaweed,
}

/// What says whether rows are the same.
const SUM: &str = "SELECT count(*) || ' ' || sum(hashtext(t::text)::bigint) FROM tasks t";

impl Bed {
    fn new() -> Self {
        let postgres = Postgres::start().expect("Postgres starts");
        let database = postgres.create_database();
        // Some 25 MB that hardly get smaller: more than one part of an upload.
        let _done = postgres.psql(
            &database,
            "CREATE TABLE tasks (id uuid DEFAULT gen_random_uuid() PRIMARY KEY, data jsonb, note text);
             INSERT INTO tasks (data, note) SELECT jsonb_build_object('n', g, 'hash', md5(g::text)), (SELECT string_agg(md5(random()::text || g || s), '') FROM generate_series(1, 25) s) FROM generate_series(1, 30000) g;
             CREATE TABLE users (id int PRIMARY KEY, name text);
             INSERT INTO users SELECT g, 'user ' || g FROM generate_series(1, 1000) g;
             -- What a restore has on a disk meanwhile: more than the small one of `Fault::FullDisk`.
             SELECT lo_from_bytea(0, convert_to(repeat(md5(random()::text), 200000), 'UTF8'));",
        );
        let rows = postgres.psql(&database, SUM);
        let seaweed = Seaweed::start();
        let proxy = FaultyProxy::before(seaweed.address);
        let story = Story::new().file("s3.env", format!("S3_SECRET_KEY={SECRET_KEY}\n"));
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(story.path("s3.env"), private).expect("its mode");
        let url = postgres.url_of(&database);
        let mut config = "default_target = \"good\"\n".to_owned();
        for (name, port) in [("good", seaweed.address.port()), ("faulty", proxy.port)] {
            let section = seaweed.section(port, "backups");
            // Nobody waits for a minute here.
            let section = section.replace(" }", ", timeout = \"2s\" }");
            write!(
                config,
                "[target.{name}]\npostgres = {{ url = \"{url}\" }}\n{section}[target.{name}.secrets]\nenv_file = \"s3.env\"\n"
            )
            .expect("a string");
        }
        story.write("ccrun.toml", config);
        let (key, other) = (Identity::generate(), Identity::generate());
        let text = |key: &Identity| key.to_string().expose_secret().to_owned();
        story.write(
            "backup.rhai",
            format!(
                "runbook(#{{ params: #{{ folder: #{{ type: \"string\", default: \"\" }} }}, needs: #{{ pg: \"*\", s3: \"*\" }} }});\nlet store = if params.folder == \"\" {{ s3::store() }} else {{ s3::folder(params.folder) }};\nprint(pg::connect().backup(store, #{{ recipients: [\"{}\"] }}).id);\n",
                key.to_public()
            ),
        );
        story.write("key", text(&key));
        story.write("other", text(&other));
        story.write(
            "restore.rhai",
            "runbook(#{ params: #{ into: #{ type: \"string\" }, key: #{ type: \"path\", default: \"key\" }, spool: #{ type: \"string\", default: \"\" } }, needs: #{ pg: \"*\", s3: \"*\", fs: \"*\" } });\nlet options = #{ into: params.into, verify: \"contents\", key: fs::read(params.key) };\nif params.spool != \"\" { options.spool = params.spool; }\nprint(`${pg::connect().restore(s3::store(), \"latest\", options).rows} rows`);\n",
        );
        story.write(
            "verify.rhai",
            "runbook(#{ params: #{ all: #{ type: \"bool\", default: false } }, needs: #{ s3: \"*\", fs: \"*\" } });\nlet found = pg::backups(s3::store());\nfor backup in found { if params.all || backup.verified == () { pg::verify(s3::store(), backup.id, #{ key: fs::read(\"key\") }); } print(`good ${backup.id}`); }\n",
        );
        story.write(
            "latest.rhai",
            "print(pg::verify(s3::store(), \"latest\", #{ key: fs::read(\"key\") }).id);\n",
        );
        story.write(
            "prune.rhai",
            "print(pg::prune(s3::store(), #{ last: 1000 }).len());\n",
        );
        let mut bed = Self {
            postgres,
            database,
            proxy,
            story,
            takes: (Duration::ZERO, Duration::ZERO),
            rows,
            _seaweed: seaweed,
        };
        bed.says("s3::store().create_bucket()").exits(0);
        let started = Instant::now();
        bed.story.types("ccrun --yes backup.rhai").exits(0);
        bed.takes.0 = started.elapsed();
        let started = Instant::now();
        bed.comes_back(0);
        bed.takes.1 = started.elapsed();
        bed
    }

    fn says(&self, script: &str) -> Seen {
        self.story.write("line.rhai", format!("print({script});\n"));
        self.story.types("ccrun --yes line.rhai")
    }

    /// How many backups are listed. Those that nobody has read yet are, or all: each must be whole.
    fn good(&self, all: bool) -> usize {
        let seen = self
            .story
            .types(&format!("ccrun --yes verify.rhai -p all={all}"));
        seen.exits(0);
        let text = seen.text();
        text.lines()
            .filter(|line| line.starts_with("good "))
            .count()
    }

    /// The newest backup is what was backed up.
    fn comes_back(&self, run: u64) {
        let into = format!("back_{run}");
        self.story
            .types(&format!("ccrun --yes restore.rhai -p into={into}"))
            .exits(0)
            .prints("31000 rows");
        assert_eq!(self.postgres.psql(&into, SUM), self.rows);
        let sql = format!("DROP DATABASE {into} WITH (FORCE)");
        let _done = self.postgres.psql("postgres", &sql);
    }

    /// The database that runs is what it was; a server that recovers is waited for.
    fn is_alive(&self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.postgres.answers() {
            assert!(Instant::now() < deadline, "the server does not come back");
            std::thread::sleep(Duration::from_millis(50));
        }
        assert_eq!(self.postgres.psql(&self.database, SUM), self.rows);
    }

    /// The databases that restores have made.
    fn made(&self, like: &str) -> Vec<String> {
        let sql = format!("SELECT datname FROM pg_database WHERE datname LIKE '{like}' ORDER BY 1");
        let found = self.postgres.psql("postgres", &sql);
        found.lines().map(str::to_owned).collect()
    }

    fn line(&self, action: Action, fault: Fault, run: u64) -> String {
        let target = match fault {
            Fault::Store(..) | Fault::Cut(..) => "--target faulty ",
            _ => "",
        };
        match action {
            Action::Backup if matches!(fault, Fault::FullDisk) => {
                format!("ccrun --yes {target}backup.rhai -p folder=small/kept")
            }
            Action::Backup => format!("ccrun --yes {target}backup.rhai"),
            Action::Restore => {
                let more = match fault {
                    Fault::FullDisk => "-p spool=small",
                    Fault::WrongKey => "-p key=other",
                    _ => "",
                };
                format!("ccrun --yes {target}restore.rhai -p into=run_{run} {more}")
            }
            Action::Verify => format!("ccrun --yes {target}latest.rhai"),
        }
    }

    /// Do it while it goes wrong. Returns whether it said that all is well, and what it said.
    fn under(&self, action: Action, fault: Fault, run: u64) -> (bool, String) {
        let takes = if action == Action::Backup {
            self.takes.0
        } else {
            self.takes.1
        };
        let line = self.line(action, fault, run);
        let at = |share: f64| std::thread::sleep(takes.mul_f64(share));
        let started = || {
            let mut command = self.story.command(&line);
            let output = std::fs::File::create(self.story.path("said")).expect("a file");
            command
                .stdout(output.try_clone().expect("the same"))
                .stderr(output);
            command.spawn().expect("ccrun starts")
        };
        let ended = |mut child: Child| {
            let well = child.wait().expect("its end").success();
            (well, self.story.read("said"))
        };
        match fault {
            Fault::KillUs(share) => {
                let mut child = started();
                at(share);
                let _gone = child.kill();
                ended(child)
            }
            Fault::KillTool(share) => {
                let child = started();
                at(share);
                kill_programs_of(child.id(), &["pg_dump", "pg_dumpall", "pg_restore"]);
                ended(child)
            }
            Fault::KillServer(share) => {
                let child = started();
                at(share);
                let sql = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() LIMIT 1";
                let pid = self.postgres.psql("postgres", sql);
                if !pid.is_empty() {
                    let _status = std::process::Command::new("kill")
                        .args(["-9", &pid])
                        .status();
                }
                ended(child)
            }
            Fault::EndSessions(share) => {
                let child = started();
                at(share);
                let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
                let _done = self.postgres.psql("postgres", sql);
                ended(child)
            }
            Fault::Store(misbehaviour, times) => {
                self.proxy.next(times, misbehaviour);
                let end = ended(started());
                self.proxy.behave();
                end
            }
            Fault::Cut(share, milliseconds) => {
                let child = started();
                at(share);
                self.proxy.cut();
                std::thread::sleep(Duration::from_millis(milliseconds));
                self.proxy.mend();
                ended(child)
            }
            Fault::FullDisk => {
                let _disk = SmallDisk::at(&self.story.path("small"), 4096);
                ended(started())
            }
            Fault::Flip | Fault::Deleted | Fault::ForeignManifest => {
                let take = match fault {
                    Fault::Flip => "store.get_file(key, \"object\");",
                    Fault::Deleted => "store.delete(key);",
                    _ => {
                        "store.put(key, store.get(`backups/${pg::backups(store)[1].id}/manifest.json`, #{ max: \"9MiB\" }));"
                    }
                };
                let object = match fault {
                    Fault::ForeignManifest => "manifest.json",
                    _ => "database.dump.zst.age",
                };
                self.story.write(
                    "harm.rhai",
                    format!("let store = s3::store();\nlet key = `backups/${{pg::backups(store)[0].id}}/{object}`;\nstore.copy(key, \"aside\");\nstore.put(\"which\", key);\n{take}\n"),
                );
                self.story.types("ccrun --yes harm.rhai").exits(0);
                if matches!(fault, Fault::Flip) {
                    let path = self.story.path("object");
                    let mut bytes = std::fs::read(&path).expect("the object");
                    let middle = bytes.len() / 2;
                    bytes[middle] ^= 1;
                    std::fs::write(&path, bytes).expect("the object");
                    let back = "s3::store().put_file(s3::store().get(\"which\"), \"object\");\n";
                    self.story.write("back.rhai", back);
                    self.story.types("ccrun --yes back.rhai").exits(0);
                }
                let end = ended(started());
                self.story.write(
                    "heal.rhai",
                    "let store = s3::store();\nstore.copy(\"aside\", store.get(\"which\"));\n",
                );
                self.story.types("ccrun --yes heal.rhai").exits(0);
                end
            }
            Fault::WrongKey => ended(started()),
            Fault::Concurrent => {
                let mut others = [
                    self.story.starts("ccrun --yes backup.rhai"),
                    self.story.starts("ccrun --yes prune.rhai"),
                ];
                let end = ended(started());
                for other in &mut others {
                    assert!(other.wait().expect("its end").success());
                }
                end
            }
        }
    }
}

/// What a message must say, by what went wrong; one of these.
fn causes(action: Action, fault: Fault) -> &'static [&'static str] {
    match (action, fault) {
        (_, Fault::KillTool(_)) => &["SIGKILL", "was killed", "closed", "source failed"],
        (_, Fault::KillServer(_) | Fault::EndSessions(_)) => &[
            "terminat",
            "closed",
            "recovery",
            "starting up",
            "connection",
            "lost",
            "shutting down",
        ],
        (_, Fault::Store(..) | Fault::Cut(..)) => &[
            "500",
            "503",
            "connect",
            "reset",
            "closed",
            "timed out",
            "ended too soon",
            "sending request",
            "decoding",
            "connection",
            "error",
        ],
        (_, Fault::FullDisk) => &["disk is full", "what pg_restore reads takes"],
        (_, Fault::Flip) => &["its SHA-256 is another", "can't be read"],
        (_, Fault::Deleted) => &["not in the store any more"],
        (_, Fault::ForeignManifest) => &["it is the one of"],
        (_, Fault::WrongKey) => &["does not open the backup"],
        _ => &[],
    }
}

#[test]
fn whatever_goes_wrong_a_listed_backup_is_whole_and_the_database_stays() {
    let (runs, seed) = plan();
    println!("{runs} runs from the seed {seed}: CCRUN_FAULTS={runs}/{seed} makes the same again");
    let bed = Bed::new();
    bed.story.types("ccrun --yes backup.rhai").exits(0);
    let mut listed = bed.good(true);
    let (mut failed, mut survived) = (0, 0);
    let began = Instant::now();
    for run in 0..runs {
        let mut random = StdRng::seed_from_u64(seed.wrapping_mul(1_000_003).wrapping_add(run));
        let (action, fault) = fault(&mut random);
        let what = format!("run {run} of the seed {seed}: {action:?} under {fault:?}");
        println!("{what}");
        let (well, said) = bed.under(action, fault, run);
        bed.is_alive();
        if well {
            survived += 1;
        } else {
            failed += 1;
        }
        assert!(!said.contains("panicked"), "{what}\n{said}");
        let must_fail = matches!(
            fault,
            Fault::Flip
                | Fault::Deleted
                | Fault::ForeignManifest
                | Fault::WrongKey
                | Fault::FullDisk
        );
        assert!(
            !(must_fail && well),
            "{what}: it said that all is well\n{said}"
        );
        let silent = matches!(fault, Fault::KillUs(_));
        if !well && !silent {
            let named = causes(action, fault);
            assert!(
                named.iter().any(|cause| said.contains(cause)),
                "{what}: none of {named:?} in\n{said}"
            );
            assert!(said.contains("error["), "{what}\n{said}");
        }
        // What said that it was done, is there; what is there, is whole. A kill may come just after the manifest.
        let now = bed.good(run % 25 == 24);
        let own =
            usize::from(well && action == Action::Backup && !matches!(fault, Fault::FullDisk));
        let others = usize::from(matches!(fault, Fault::Concurrent));
        let late = usize::from(!well && action == Action::Backup);
        assert!(
            (listed + own + others..=listed + own + others + late).contains(&now),
            "{what}: {listed} listed before, {now} now\n{said}"
        );
        listed = now;
        // A database with the name that was asked for is complete.
        let made = bed.made(&format!("run\\_{run}"));
        if !made.is_empty() {
            assert_eq!(bed.postgres.psql(&made[0], SUM), bed.rows, "{what}");
            let _done = bed
                .postgres
                .psql("postgres", &format!("DROP DATABASE run_{run} WITH (FORCE)"));
        }
        assert!(
            made.len() == 1 || !well || action != Action::Restore,
            "{what}"
        );
        // And then it works; what was left is gone.
        match action {
            Action::Backup => {
                bed.story.types("ccrun --yes backup.rhai").exits(0);
                listed += 1;
            }
            Action::Restore => {
                bed.comes_back(run);
                // A server may still have been making a database for somebody who was gone: then the next one removes it.
                if !bed.made("%unfinished").is_empty() {
                    bed.comes_back(run);
                }
                let left = bed.made("%unfinished");
                assert!(left.is_empty(), "{what}: {left:?}");
            }
            Action::Verify => {
                bed.story.types("ccrun --yes latest.rhai").exits(0);
            }
        }
    }
    assert_eq!(bed.good(true), listed);
    bed.comes_back(runs);
    println!(
        "{runs} runs in {:.0?}: {failed} failed and said why, {survived} went through; {listed} backups, all whole",
        began.elapsed()
    );
}
