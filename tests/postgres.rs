//! A real Postgres for tests, started from the installed server binaries.
//!
//! [`Postgres::shared`] is one server per test process, which costs a second once; tests keep apart by
//! [`Postgres::create_database`]. [`Postgres::start`] is a server of one's own, for tests that stop it.
//! The server ends when its handle is dropped and when the test process ends in whatever way: a
//! small watchdog process holds the other end of a pipe.
#![allow(
    clippy::disallowed_methods,
    reason = "a helper of tests, which starts a server and is no primitive"
)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};

/// How to get the server, for the message of a test that fails without it.
const INSTALL: &str = "install it with `apt-get install postgresql-15`";

/// The superuser's password over TCP; over the socket none is asked.
pub const PASSWORD: &str = "the-superuser's pass/word";

/// Ends with the server's process group when the pipe on standard input closes, which it does when
/// the test process ends, even by SIGKILL. SIGQUIT is Postgres' immediate shutdown.
const WATCHDOG: &str = r#"
folder=$1; shift
"$@" >"$folder/log" 2>&1 &
server=$!
( wait_for=$server; while kill -0 "$wait_for" 2>/dev/null; do
    if grep -q 'database system is ready' "$folder/log" 2>/dev/null; then echo ready; exit; fi; sleep 0.05
  done; echo failed ) &
cat >/dev/null
kill -QUIT "$server" 2>/dev/null
wait "$server"
rm -rf "$folder"
"#;

/// A running server.
#[derive(Debug)]
pub struct Postgres {
    watchdog: Child,
    folder: PathBuf,
    bin: PathBuf,
    port: u16,
}

/// Numbers the databases of this process.
static DATABASES: AtomicU32 = AtomicU32::new(0);

impl Postgres {
    /// The server that all tests of this process share.
    ///
    /// # Panics
    /// If there is no server to start: a test that needs Postgres fails without it.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(|| Self::start().expect("Postgres for the tests"))
    }

    /// A new server with an empty cluster.
    ///
    /// # Errors
    /// If the server is not installed, or does not start: the message has its log.
    pub fn start() -> Result<Self> {
        Self::start_with(&[])
    }

    /// A new server with further settings: `["log_statement=all"]`.
    ///
    /// # Errors
    /// As for [`Postgres::start`].
    pub fn start_with(settings: &[&str]) -> Result<Self> {
        let bin = binaries()?;
        let account = Account::for_server()?;
        let folder = tempfile::Builder::new()
            .prefix("ccrun-pg-")
            .tempdir()?
            .keep();
        let started = Self::start_in(&folder, bin, &account, settings);
        if started.is_err() {
            // The watchdog removes it only if it got as far as running.
            drop(fs::remove_dir_all(&folder));
        }
        started
    }

    fn start_in(folder: &Path, bin: PathBuf, account: &Account, settings: &[&str]) -> Result<Self> {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o711))?;
        let password = folder.join("password");
        fs::write(&password, PASSWORD)?;
        account.own(folder)?;
        account.own(&password)?;
        let data = folder.join("data");

        let made = account
            .command(&bin.join("initdb"))
            .args([
                "--no-sync",
                "--username=postgres",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
            ])
            .args(["--auth-local=trust", "--auth-host=scram-sha-256"])
            .arg(format!("--pwfile={}", password.display()))
            .arg(format!("--pgdata={}", data.display()))
            .current_dir(folder)
            .output()
            .context("running initdb")?;
        if !made.status.success() {
            bail!("initdb failed: {}", String::from_utf8_lossy(&made.stderr));
        }

        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let mut watchdog = account.command(Path::new("/bin/sh"));
        watchdog
            .args(["-c", WATCHDOG, "watchdog"])
            .arg(folder)
            .arg(bin.join("postgres"));
        watchdog
            .arg("-D")
            .arg(&data)
            .arg("-k")
            .arg(folder)
            .args(["-p", &port.to_string()]);
        let fixed = [
            "listen_addresses=127.0.0.1",
            "fsync=off",
            "synchronous_commit=off",
            "full_page_writes=off",
            "shared_buffers=32MB",
            "max_connections=200",
            "max_prepared_transactions=4",
            "wal_level=logical",
        ];
        for setting in fixed.iter().chain(settings) {
            watchdog.args(["-c", setting]);
        }
        let mut watchdog = watchdog
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting the server")?;

        let mut said = String::new();
        if let Some(output) = watchdog.stdout.take() {
            BufReader::new(output).read_line(&mut said)?;
        }
        if said.trim() != "ready" {
            let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
            drop(watchdog.stdin.take());
            watchdog.wait()?;
            bail!("Postgres did not start:\n{log}");
        }
        Ok(Self {
            watchdog,
            folder: folder.to_owned(),
            bin,
            port,
        })
    }

    /// The URL of the database `postgres` for the superuser, over TCP.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of("postgres")
    }

    /// The URL of a database for the superuser, over TCP.
    #[must_use]
    pub fn url_of(&self, database: &str) -> String {
        let password = PASSWORD
            .replace('\'', "%27")
            .replace(' ', "%20")
            .replace('/', "%2F");
        format!(
            "postgres://postgres:{password}@127.0.0.1:{}/{database}",
            self.port
        )
    }

    /// The folder of the Unix socket.
    #[must_use]
    pub fn socket_dir(&self) -> &Path {
        &self.folder
    }

    /// The port on 127.0.0.1, and of the socket.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder with the server's programs: `psql`, `pg_dump` …
    #[must_use]
    pub fn bin(&self) -> &Path {
        &self.bin
    }

    /// What the server has logged.
    ///
    /// # Panics
    /// If the log can't be read.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).expect("the server's log")
    }

    /// A new empty database with a name of its own.
    ///
    /// # Panics
    /// If the server refuses.
    #[must_use]
    pub fn create_database(&self) -> String {
        let number = DATABASES.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{}_{number}", std::process::id());
        self.psql("postgres", &format!("create database {name}"));
        name
    }

    /// Whether it lets anybody in at this moment.
    ///
    /// # Panics
    /// If `pg_isready` can't be started.
    #[must_use]
    pub fn answers(&self) -> bool {
        let mut asking = Command::new(self.bin.join("pg_isready"));
        asking.arg("--quiet").arg("-h").arg(&self.folder);
        let status = asking.args(["-p", &self.port.to_string()]).status();
        status.expect("pg_isready").success()
    }

    /// Run SQL with `psql` as the superuser; what it prints, unaligned and without headers.
    ///
    /// # Panics
    /// If a statement fails.
    pub fn psql(&self, database: &str, sql: &str) -> String {
        let output = Command::new(self.bin.join("psql"))
            .args([
                "-X",
                "-q",
                "-A",
                "-t",
                "-v",
                "ON_ERROR_STOP=1",
                "-U",
                "postgres",
            ])
            .arg("-h")
            .arg(&self.folder)
            .args(["-p", &self.port.to_string(), "-d", database, "-c", sql])
            .output()
            .expect("psql");
        assert!(
            output.status.success(),
            "psql: {}\n{sql}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.watchdog.stdin.take());
        drop(self.watchdog.wait());
    }
}

/// The folder of the newest installed server.
fn binaries() -> Result<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let version = path.file_name()?.to_str()?.parse().ok()?;
            let bin = path.join("bin");
            bin.join("postgres").exists().then_some((version, bin))
        })
        .collect();
    versions.sort();
    match versions.pop() {
        Some((_, bin)) => Ok(bin),
        None => bail!("there is no Postgres server in /usr/lib/postgresql: {INSTALL}"),
    }
}

/// Who the server runs as: Postgres refuses to run as root.
struct Account {
    ids: Option<(u32, u32)>,
}

impl Account {
    fn for_server() -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self { ids: None });
        }
        let accounts = fs::read_to_string("/etc/passwd")?;
        let ids = ["postgres", "nobody"].iter().find_map(|wanted| {
            let line = accounts
                .lines()
                .find(|line| line.split(':').next() == Some(wanted))?;
            let mut fields = line.split(':').skip(2);
            Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
        });
        match ids {
            Some(ids) => Ok(Self { ids: Some(ids) }),
            None => bail!("the tests run as root, and there is no user `postgres`: {INSTALL}"),
        }
    }

    fn own(&self, path: &Path) -> Result<()> {
        let (user, group) = self.ids.unzip();
        chown(path, user, group).with_context(|| format!("chown {}", path.display()))
    }

    /// A command that runs as this account, in a process group of its own: Ctrl-C in a test run
    /// reaches the watchdog through its pipe.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .process_group(0)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("LC_ALL", "C.UTF-8");
        if let Some((user, group)) = self.ids {
            command.gid(group).uid(user);
        }
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_serves_and_ends_with_its_handle() {
        let server = Postgres::start().unwrap();
        let database = server.create_database();
        assert_eq!(
            server.psql(&database, "select current_database()"),
            database
        );
        let (folder, port) = (server.folder.clone(), server.port());
        drop(server);
        assert!(!folder.exists(), "the folder is still there");
        assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
    }

    #[test]
    fn a_server_that_cannot_start_says_why() {
        let error = Postgres::start_with(&["no_such_setting=1"])
            .unwrap_err()
            .to_string();
        assert!(error.contains("no_such_setting"), "{error}");
    }
}
