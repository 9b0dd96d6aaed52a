//! `pg_restore` and the file that it reads.

use std::io;
use std::path::Path;
use std::sync::Arc;

use ccrun_kernel::effect::Effect;
use ccrun_kernel::rhai::{Dynamic, Map};
use ccrun_kernel::value::Size;
use ccrun_kernel::{Cx, Error, Result};

use super::catalog::Facts;
use super::tool::{self, Toolbox};
use crate::docker;
use crate::engine::Engine;
use crate::pg::connect::Server;
use crate::service;

/// Where lies what `pg_restore` reads: the archive without the rows that are loaded as they come.
pub(super) struct Spool {
    folder: tempfile::TempDir,
    /// Locked for as long as we live: one whose lock is free was left by a restore that was killed.
    _lock: std::fs::File,
}

/// What the folders of spools begin with.
const PREFIX: &str = "ccrun-restore-";

impl Spool {
    /// In `folder`, else in the folder of temporary files, for this many bytes.
    ///
    /// # Errors
    /// `io.disk_full` if it does not fit.
    pub fn new(folder: Option<&Path>, needed: u64) -> Result<Self> {
        let parent = folder.map_or_else(crate::files::temporary_folder, Path::to_path_buf);
        let failed = |error: &io::Error| crate::files::failed("make a folder in", &parent, error);
        sweep(&parent);
        let free = rustix::fs::statvfs(&parent)
            .map(|stat| stat.f_bavail * stat.f_frsize)
            .map_err(|error| failed(&error.into()))?;
        if free < needed {
            return Err(Error::new(
                "io.disk_full",
                format!(
                    "what pg_restore reads takes {}, and {} has {} left",
                    Size::from_bytes(needed),
                    parent.display(),
                    Size::from_bytes(free)
                ),
            )
            .hint("make room, or name a folder on another disk: `spool`"));
        }
        let folder = tempfile::Builder::new()
            .prefix(PREFIX)
            .tempdir_in(&parent)
            .map_err(|error| failed(&error))?;
        let lock = lock(folder.path()).map_err(|error| failed(&error))?;
        Ok(Self {
            folder,
            _lock: lock,
        })
    }

    /// Make the archive's file.
    ///
    /// # Errors
    /// `io.disk_full` and the like.
    pub fn create(&self) -> Result<std::fs::File> {
        private(&self.folder.path().join(ARCHIVE)).map_err(|error| self.failed(&error))
    }

    /// Write down which entries of the archive `pg_restore` is to take at a stage.
    ///
    /// # Errors
    /// `io.disk_full` and the like.
    pub fn choose(&self, stage: Stage, entries: impl Iterator<Item = i64>) -> Result<()> {
        use std::fmt::Write as _;
        let mut text = String::new();
        for id in entries {
            let _written = writeln!(text, "{id};");
        }
        self.write(stage.list(), &text)
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        private(&self.folder.path().join(name))
            .and_then(|mut file| io::Write::write_all(&mut file, text.as_bytes()))
            .map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &io::Error) -> Error {
        crate::files::failed("write into", self.folder.path(), error)
    }
}

/// The lock of a spool.
#[allow(
    clippy::disallowed_methods,
    reason = "it lies in the folder that this call has made, or one like it has left"
)]
fn lock(folder: &Path) -> io::Result<std::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    let file = options
        .create(true)
        .append(true)
        .open(folder.join("lock"))?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)?;
    Ok(file)
}

/// Remove what restores left that were killed: a database in plain text is not to lie about.
#[allow(
    clippy::disallowed_methods,
    reason = "only folders are removed that a call like this one has made"
)]
fn sweep(parent: &Path) {
    use std::os::unix::fs::MetadataExt as _;
    let me = rustix::process::geteuid().as_raw();
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        let named = entry.file_name().to_string_lossy().starts_with(PREFIX);
        let mine = entry
            .metadata()
            .is_ok_and(|about| about.is_dir() && about.uid() == me);
        // Younger ones may not have locked theirs yet.
        let settled = entry
            .metadata()
            .and_then(|about| about.modified())
            .is_ok_and(|at| at.elapsed().is_ok_and(|age| age.as_secs() > 2));
        if named
            && mine
            && settled
            && entry.path().join("lock").exists()
            && let Ok(lock) = lock(&entry.path())
        {
            drop(std::fs::remove_dir_all(entry.path()));
            drop(lock);
        }
    }
}

/// The name of the archive's file.
const ARCHIVE: &str = "database.dump";

/// `pg_restore` works twice: before the rows are loaded, and after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// What rows need: schemas, types, functions, tables.
    Before,
    /// The rest: large objects, sequences, indexes, keys, policies, grants.
    After,
}

impl Stage {
    /// The name of the file with the entries that are taken.
    const fn list(self) -> &'static str {
        match self {
            Self::Before => "before.list",
            Self::After => "after.list",
        }
    }
}

/// How `pg_restore` is to work.
pub(super) struct Restoring<'o> {
    /// Into which database.
    pub into: &'o str,
    /// How many connections at once.
    pub jobs: u32,
    /// Go on when something can't be restored.
    pub partial: bool,
    /// Leave out subscriptions.
    pub no_subscriptions: bool,
    /// Leave out in which tablespace things were.
    pub no_tablespaces: bool,
}

impl Restoring<'_> {
    fn arguments(&self, stage: Stage, folder: &Path) -> Vec<String> {
        let mut arguments: Vec<String> = vec![
            "--jobs".into(),
            self.jobs.to_string(),
            "--dbname".into(),
            self.into.to_owned(),
        ];
        if !self.partial {
            arguments.push("--exit-on-error".into());
        }
        if self.no_subscriptions {
            arguments.push("--no-subscriptions".into());
        }
        if self.no_tablespaces {
            arguments.push("--no-tablespaces".into());
        }
        let list = folder.join(stage.list()).display().to_string();
        arguments.extend(["--use-list".into(), list]);
        arguments.push(folder.join(ARCHIVE).display().to_string());
        arguments
    }

    /// Settings of its sessions. What is lost by a crash of the server is a database that nobody has seen yet, and the
    /// statements after it wait for the disk; indexes are made in memory where they fit.
    fn settings(&self) -> String {
        let each = 256 / self.jobs.max(1);
        format!(
            "{} -c synchronous_commit=off -c maintenance_work_mem={}MB",
            tool::fixed(),
            each.max(64)
        )
    }
}

/// A file for nobody else's eyes.
#[allow(
    clippy::disallowed_methods,
    reason = "it is this call's own, in a folder that it has made, and goes with it"
)]
fn private(path: &Path) -> io::Result<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
}

/// `pg_restore`: of this machine, else of the server's own image in a container beside it.
pub(super) enum Restorer<'c> {
    Here(Toolbox<'c>),
    Beside {
        cx: &'c Cx,
        server: Arc<Server>,
        image: String,
        container: String,
        password: Option<String>,
    },
}

impl<'c> Restorer<'c> {
    /// The one for a server.
    ///
    /// # Errors
    /// `pg.no_tools` with what to install.
    pub async fn find(cx: &'c Cx, server: &Arc<Server>, facts: &Facts) -> Result<Self> {
        let major = facts.server.version_num / 10_000;
        // The service's own image fits the server exactly, and is here; a remote engine can't see the spool.
        if server.is_service
            && let Ok(engine) = cx.client::<Engine>().await
            && engine.host().address.starts_with("unix://")
        {
            let found = service::container(&engine, cx.target(), "pg", &server.host).await?;
            let client = cx.client::<crate::pg::client::PgClient>().await?;
            let (_, password) = client.login(server).await?;
            return Ok(Self::Beside {
                cx,
                server: Arc::clone(server),
                image: found.image_id.unwrap_or_default(),
                container: found.id.unwrap_or_default(),
                password,
            });
        }
        if let Some(toolbox) = Toolbox::find_here(cx, server, major).await? {
            return Ok(Self::Here(toolbox));
        }
        Err(Error::new(
            "pg.no_tools",
            format!("there is no pg_restore of version {major} or newer on this machine"),
        )
        .hint(format!(
            "install it (Debian: `apt-get install postgresql-client-{major}`)"
        )))
    }

    /// Restore what a stage takes of what lies in the spool.
    ///
    /// # Errors
    /// `pg.tool_failed` with what it said.
    pub async fn run(&self, stage: Stage, spool: &Spool, restoring: &Restoring<'_>) -> Result<()> {
        match self {
            Self::Here(toolbox) => {
                let arguments = restoring.arguments(stage, spool.folder.path());
                let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
                toolbox
                    .with_settings(&restoring.settings())
                    .text("pg_restore", &words, Effect::Change, 16 << 20)
                    .await
                    .map(drop)
            }
            Self::Beside {
                cx,
                server,
                image,
                container,
                password,
            } => {
                let folder = spool.folder.path();
                let mut command = vec!["pg_restore".to_owned()];
                command.extend([
                    "--username".to_owned(),
                    server.user.clone(),
                    "--no-password".to_owned(),
                ]);
                command.extend(["--host".to_owned(), "127.0.0.1".to_owned()]);
                command.extend(restoring.arguments(stage, Path::new("/spool")));
                let text = |text: &str| Dynamic::from(text.to_owned());
                let list = |words: Vec<String>| -> Dynamic {
                    words
                        .into_iter()
                        .map(Dynamic::from)
                        .collect::<ccrun_kernel::rhai::Array>()
                        .into()
                };
                let user = format!(
                    "{}:{}",
                    rustix::process::getuid().as_raw(),
                    rustix::process::getgid().as_raw()
                );
                if let Some(password) = password {
                    let escaped = password.replace('\\', "\\\\").replace(':', "\\:");
                    let line = format!("*:*:*:*:{escaped}\n");
                    spool.write("pgpass", &line)?;
                }
                let program = command.remove(0);
                let options = Map::from_iter([
                    ("entrypoint".into(), list(vec![program])),
                    ("command".into(), list(command)),
                    ("network".into(), text(&format!("container:{container}"))),
                    ("user".into(), text(&user)),
                    (
                        "mounts".into(),
                        list(vec![format!("{}:/spool:ro", folder.display())]),
                    ),
                    (
                        "env".into(),
                        Dynamic::from(Map::from_iter([
                            ("PGPASSFILE".into(), text("/spool/pgpass")),
                            ("PGOPTIONS".into(), text(&restoring.settings())),
                        ])),
                    ),
                ]);
                let ran = docker::run_with(cx, image, options).await;
                ran.map_err(|error| tool::failed("pg_restore", server, &error))
            }
        }
    }
}
