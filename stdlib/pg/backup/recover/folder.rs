//! Recovery into a folder of this machine, with the server's programs that are here.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ccrun_kernel::effect::Effect;
use ccrun_kernel::value::Size;
use ccrun_kernel::{Cx, Error, Result};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::mpsc;

use super::super::base::{self, Sink};
use super::super::verify::same_base;
use super::options::RecoverOptions;
use super::plan::Plan;
use super::run::{Ready, size_of};
use crate::files::{Files, Mode, Work, blocking};
use crate::process::{CommandLine, Environment, Finished, Launch, Processes, program_in_path};

/// A folder that a server is made in.
pub struct Folder {
    cx: Cx,
    folder: PathBuf,
    /// It has another name until all of it is there.
    unfinished: PathBuf,
    bin: PathBuf,
    account: Option<Account>,
    port: u16,
    started: Option<Instant>,
}

/// How long a server may take until it has a process.
const BEGINS_WITHIN: Duration = Duration::from_secs(30);

/// Who the files belong to, where ccrun is root: Postgres refuses to be.
#[derive(Clone)]
struct Account {
    name: String,
    user: u32,
    group: u32,
}

impl Folder {
    /// See whether a server can be made there.
    pub async fn ready(
        cx: &Cx,
        folder: &Path,
        plan: &Plan,
        options: &RecoverOptions,
    ) -> Result<Self> {
        let files = cx.client::<Files>().await?;
        let major = plan.manifest.server.version_num / 10_000;
        let bin = programs(cx, &files, major).await?;
        let unfinished = beside(folder, "unfinished");
        for path in [folder, &unfinished] {
            if files.find(path, true)?.is_some() && !files.entries(path)?.is_empty() {
                return Err(Error::new(
                    "fs.not_empty",
                    format!("{} is there already, and not empty", path.display()),
                )
                .hint("nothing was changed. Name a new folder, or look what that one is: a recovery that was cut off, or a server?"));
            }
        }
        let parent = folder.parent().unwrap_or(folder);
        let free = rustix::fs::statvfs(parent)
            .map(|stat| stat.f_bavail * stat.f_frsize)
            .map_err(|error| crate::files::failed("look at", parent, &error.into()))?;
        if free < size_of(plan) {
            return Err(Error::new(
                "io.disk_full",
                format!(
                    "the server takes {}, and {} has {} left",
                    Size::from_bytes(size_of(plan)),
                    parent.display(),
                    Size::from_bytes(free)
                ),
            )
            .hint("nothing was changed. Make room, or name a folder on another disk"));
        }
        let account = if rustix::process::geteuid().is_root() {
            Some(Account::find(&files, &options.account)?)
        } else {
            None
        };
        let port = match options.port {
            Some(port) => port,
            None => free_port()?,
        };
        let place = Self {
            cx: cx.clone(),
            folder: folder.to_owned(),
            unfinished,
            bin,
            account,
            port,
            started: None,
        };
        place.can_be_reached(parent).await?;
        Ok(place)
    }

    /// The port that the server is at.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The account gets to where the folder will be.
    async fn can_be_reached(&self, parent: &Path) -> Result<()> {
        let Some(account) = &self.account else {
            return Ok(());
        };
        let parent = parent.display().to_string();
        let tried = self
            .run(&["/usr/bin/test", "-x", &parent], Effect::Read)
            .await?;
        if tried.code() == 0 {
            return Ok(());
        }
        Err(Error::new(
            "fs.permission_denied",
            format!("the account {} can't get to {parent}, where the server would be", account.name),
        )
        .hint("nothing was changed. Name a folder that it can get to (`namei -l` shows where it ends), or another `account`"))
    }

    /// What removes all that was made.
    pub fn undo(&self) -> BoxFuture<'static, ()> {
        let (cx, folder, unfinished) = (
            self.cx.clone(),
            self.folder.clone(),
            self.unfinished.clone(),
        );
        let stop = self.words(&[
            &self.bin.join("pg_ctl").display().to_string(),
            "stop",
            "--mode=immediate",
            "--wait",
            "--pgdata",
            &folder.display().to_string(),
        ]);
        async move {
            let Ok(files) = cx.client::<Files>().await else {
                return;
            };
            if matches!(
                files.find(&folder.join("postmaster.pid"), true),
                Ok(Some(_))
            ) {
                drop(launch(&cx, stop, Effect::Change).await);
            }
            for path in [folder, unfinished] {
                drop(files.remove_all(&path));
            }
        }
        .boxed()
    }

    /// The files of the base backup.
    pub async fn unpack(&mut self, ready: &Ready<'_>) -> Result<()> {
        let files = self.cx.client::<Files>().await?;
        // A folder that is there and empty gives its place up.
        if files.find(&self.folder, true)?.is_some() {
            files.remove_all(&self.folder)?;
        }
        let writing = Writing {
            files,
            root: self.unfinished.clone(),
            account: self.account.clone(),
            file: None,
        };
        let folder = ready.folder();
        let part = ready.plan.manifest.part("base")?;
        let contents = ready
            .reader(&folder)
            .open(part, move |plain| {
                let mut writing = writing;
                writing.folder(Path::new(""))?;
                base::read(plain, &mut writing)
            })
            .await?;
        same_base(&ready.plan.manifest, &contents)
    }

    /// The log, and what tells the server to replay it.
    pub async fn add_wal(&mut self, ready: &Ready<'_>) -> Result<()> {
        let (to, mut from) = mpsc::channel::<(String, Vec<u8>)>(2);
        let files = self.cx.client::<Files>().await?;
        let mut writing = Writing {
            files: Arc::clone(&files),
            root: self.unfinished.clone(),
            account: self.account.clone(),
            file: None,
        };
        let root = self.unfinished.clone();
        let putting = blocking(&self.cx, move |work: &Work| {
            let failed = |error: io::Error| crate::files::failed("write into", &root, &error);
            while let Some((name, bytes)) = from.blocking_recv() {
                work.check()?;
                let whole = writing.put(&format!("pg_wal/{name}"), &bytes);
                // So that the server does not archive again what came from the archive.
                whole
                    .and_then(|()| writing.put(&format!("pg_wal/archive_status/{name}.done"), b""))
                    .map_err(failed)?;
            }
            // Some systems keep these elsewhere, where no base backup takes them from.
            let here = Arc::clone(&writing.files);
            let there = |name: &str| here.find(&root.join(name), true);
            if there("postgresql.conf")?.is_none() {
                writing.put("postgresql.conf", b"").map_err(failed)?;
            }
            if there("pg_hba.conf")?.is_none() {
                let lines = b"local all all peer\nhost all all 127.0.0.1/32 scram-sha-256\n";
                writing.put("pg_hba.conf", lines).map_err(failed)?;
            }
            writing.put("recovery.signal", b"").map_err(failed)
        });
        let ((), ()) = tokio::try_join!(ready.send_wal(to), putting)?;
        files.rename(&self.unfinished, &self.folder)
    }

    /// Let the server begin.
    pub async fn start(&mut self, mut settings: Vec<(String, String)>) -> Result<()> {
        let folder = self.folder.display().to_string();
        for (name, value) in [
            ("port", self.port.to_string()),
            ("listen_addresses", "127.0.0.1".to_owned()),
            ("unix_socket_directories", folder.clone()),
            // Its certificates are the old machine's.
            ("ssl", "off".to_owned()),
        ] {
            settings.push((name.to_owned(), value));
        }
        // pg_ctl hands them to a shell.
        let options: Vec<String> = settings
            .iter()
            .map(|(name, value)| format!("-c '{name}={}'", value.replace('\'', "'\\''")))
            .collect();
        let options = options.join(" ");
        let pg_ctl = self.bin.join("pg_ctl").display().to_string();
        let log = self.folder.join(LOG).display().to_string();
        let words = [
            &*pg_ctl,
            "start",
            "--no-wait",
            "--silent",
            "--pgdata",
            &folder,
            "--log",
            &log,
            "--options",
            &options,
        ];
        self.started = Some(Instant::now());
        let started = self.run(&words, Effect::Change).await?;
        started.check("pg_ctl start").map_err(|error| {
            Error::new("pg.recovery_failed", error.message().to_owned())
                .hint("what was made was removed again")
        })
    }

    /// What the server has said, and whether it lives.
    pub async fn log(&self) -> Result<(String, bool)> {
        let pg_ctl = self.bin.join("pg_ctl").display().to_string();
        let folder = self.folder.display().to_string();
        let status = self
            .run(&[&pg_ctl, "status", "--pgdata", &folder], Effect::Read)
            .await?;
        let files = self.cx.client::<Files>().await?;
        let path = self.folder.join(LOG);
        let text = blocking(&self.cx, move |work: &Work| {
            if files.find(&path, true)?.is_none() {
                return Ok(Vec::new());
            }
            files.read(work, &path, Size::from_bytes(256 << 20))
        })
        .await?;
        let text = String::from_utf8_lossy(&text).into_owned();
        // It has no process to be asked for in its first moments.
        let begins = self.started.is_some_and(|at| at.elapsed() < BEGINS_WITHIN);
        let ended = text.contains("FATAL:  ") || text.contains("database system is shut down");
        Ok((text, status.code() == 0 || (begins && !ended)))
    }

    async fn run(&self, words: &[&str], effect: Effect) -> Result<Finished> {
        launch(&self.cx, self.words(words), effect).await
    }

    /// As the account, if there is one.
    fn words(&self, words: &[&str]) -> Vec<String> {
        let mut all = Vec::new();
        if let Some(account) = &self.account {
            all.extend([
                "setpriv".to_owned(),
                format!("--reuid={}", account.user),
                format!("--regid={}", account.group),
                "--init-groups".to_owned(),
                "--".to_owned(),
            ]);
        }
        all.extend(words.iter().map(|word| (*word).to_owned()));
        all
    }
}

/// The server's log while it recovers, in its folder.
const LOG: &str = "recovery.log";

async fn launch(cx: &Cx, words: Vec<String>, effect: Effect) -> Result<Finished> {
    let processes = cx.client::<Processes>().await?;
    let shown = words.last().cloned().unwrap_or_default();
    let command = CommandLine::new(words);
    let mut running = processes.start(Launch {
        command: &command,
        effect,
        folder: Path::new("/"),
        cwd: None,
        env: &Environment::default(),
        stdin: None,
        merge: false,
    })?;
    running.capture(cx, Size::from_bytes(64 << 10), false);
    running.finish(None, &shown).await
}

/// Writes what is unpacked, for nobody else's eyes.
struct Writing {
    files: Arc<Files>,
    root: PathBuf,
    account: Option<Account>,
    file: Option<File>,
}

impl Writing {
    fn own(&self, path: &Path) -> io::Result<()> {
        match &self.account {
            Some(account) => self
                .files
                .chown(path, Some(account.user), Some(account.group))
                .map_err(io_error),
            None => Ok(()),
        }
    }

    fn put(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.file(Path::new(path), bytes.len() as u64)?;
        self.piece(bytes)?;
        self.file = None;
        Ok(())
    }
}

impl Sink for Writing {
    fn folder(&mut self, path: &Path) -> io::Result<()> {
        self.file = None;
        let path = self.root.join(path);
        self.files
            .create_dir(&path, Some(Mode::from_bits(0o700)))
            .map_err(io_error)?;
        self.own(&path)
    }

    fn file(&mut self, path: &Path, _size: u64) -> io::Result<()> {
        let path = self.root.join(path);
        self.file = Some(
            self.files
                .create_file(&path, Mode::from_bits(0o600))
                .map_err(io_error)?,
        );
        self.own(&path)
    }

    fn piece(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.file {
            Some(file) => file.write_all(bytes),
            None => Ok(()),
        }
    }
}

fn io_error(error: Error) -> io::Error {
    let kind = match error.kind() {
        "io.disk_full" => io::ErrorKind::StorageFull,
        "fs.permission_denied" => io::ErrorKind::PermissionDenied,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error.message().to_owned())
}

/// `/srv/db` → `/srv/db.unfinished`.
fn beside(folder: &Path, suffix: &str) -> PathBuf {
    let mut name = folder.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{suffix}"));
    folder.with_file_name(name)
}

impl Account {
    fn find(files: &Files, name: &str) -> Result<Self> {
        let missing = || {
            Error::new("pg.recovery_failed", format!("there is no account `{name}` on this machine"))
                .hint("nothing was changed. Postgres refuses to run as root: name another account: `account`")
        };
        let (mut file, _) = files.open_file(Path::new("/etc/passwd"))?;
        let mut text = String::new();
        io::Read::read_to_string(&mut file, &mut text)
            .map_err(|error| crate::files::failed("read", Path::new("/etc/passwd"), &error))?;
        text.lines()
            .find_map(|line| {
                let mut fields = line.split(':');
                (fields.next()? == name).then_some(())?;
                Some(Self {
                    name: name.to_owned(),
                    user: fields.nth(1)?.parse().ok()?,
                    group: fields.next()?.parse().ok()?,
                })
            })
            .filter(|account| account.user != 0)
            .ok_or_else(missing)
    }
}

/// A port that nothing listens on.
fn free_port() -> Result<u16> {
    std::net::TcpListener::bind(("127.0.0.1", 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|error| Error::new("pg.recovery_failed", format!("no port is free: {error}")))
}

/// The server's programs of exactly this version: another one reads no such files.
async fn programs(cx: &Cx, files: &Files, major: u32) -> Result<PathBuf> {
    let debian = PathBuf::from(format!("/usr/lib/postgresql/{major}/bin"));
    if files.find(&debian.join("postgres"), true)?.is_some() {
        return Ok(debian);
    }
    if let Some(folder) =
        program_in_path("postgres").and_then(|path| path.parent().map(PathBuf::from))
    {
        let program = folder.join("postgres").display().to_string();
        let said = launch(cx, vec![program, "--version".to_owned()], Effect::Read).await?;
        let version = said
            .stdout
            .text()
            .split_whitespace()
            .find_map(|word| word.split('.').next()?.parse::<u32>().ok());
        if version == Some(major) && files.find(&folder.join("pg_ctl"), true)?.is_some() {
            return Ok(folder);
        }
    }
    Err(Error::new(
        "pg.no_tools",
        format!("there is no PostgreSQL server of version {major} on this machine, and no other reads its files"),
    )
    .hint(format!(
        "nothing was changed. Install it (Debian: `apt-get install postgresql-{major}`), or recover into a Docker volume: `pg::recover_volume`"
    )))
}
