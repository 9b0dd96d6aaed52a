//! The server's own tools, `pg_dump` and its family: where they are, and running them.
//!
//! The ones in the service's container fit the server exactly, so they go first; else those of this machine, if they
//! are not older than the server. Passwords travel in the environment (`PGPASSWORD`), never on a command line.

use std::path::PathBuf;
use std::sync::Arc;

use ccrun_kernel::effect::Effect;
use ccrun_kernel::value::Size;
use ccrun_kernel::{Cx, Error, Result};
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc::Sender;
use tokio_util::bytes::{Bytes, BytesMut};

use crate::docker::{self, Container};
use crate::engine::Engine;
use crate::pg::client::PgClient;
use crate::pg::connect::Server;
use crate::process::{CommandLine, Environment, Launch, Processes, program_in_path};
use crate::service;

/// How much of a tool's output is passed on at once.
const PIECE: usize = 256 << 10;

/// What servers, databases and roles may have set otherwise, and what the text of a row depends on: the same rows have the
/// same hash on every server. `lc_monetary` also decides how money is read again. Nor does a role that is set to only
/// read stand in the way of a restore.
pub const FIXED: [(&str, &str); 4] = [
    ("TimeZone", "UTC"),
    ("bytea_output", "hex"),
    ("lc_monetary", "C"),
    ("default_transaction_read_only", "off"),
];

/// [`FIXED`] as `PGOPTIONS` has it.
pub fn fixed() -> String {
    let each = FIXED.map(|(name, value)| format!("-c {name}={value}"));
    each.join(" ")
}

/// Where the tools are.
pub enum Tools {
    /// In the container of the service.
    Inside(Container),
    /// On this machine, in this folder.
    Here(PathBuf),
}

/// A server and the tools for it.
pub struct Toolbox<'c> {
    cx: &'c Cx,
    server: Arc<Server>,
    tools: Tools,
    environment: Environment,
    /// Options that say where the server is.
    place: Vec<String>,
}

impl<'c> Toolbox<'c> {
    /// The tools for a server, which has this major version.
    ///
    /// # Errors
    /// `pg.no_tools` with what to install.
    pub async fn find(cx: &'c Cx, server: &Arc<Server>, major: u32) -> Result<Self> {
        if server.is_service
            && let Ok(engine) = cx.client::<Engine>().await
        {
            let found = service::container(&engine, cx.target(), "pg", &server.host).await?;
            let id = found.id.unwrap_or_default();
            let container = docker::one(cx, &id).await?;
            return Self::new(cx, server, Tools::Inside(container)).await;
        }
        match here(cx, major).await? {
            Some(folder) => Self::new(cx, server, Tools::Here(folder)).await,
            None => Err(none(major)),
        }
    }

    /// The tools of this machine, whatever containers there are: for what needs a file.
    ///
    /// # Errors
    /// `pg.no_tools` with what to install.
    pub async fn find_here(cx: &'c Cx, server: &Arc<Server>, major: u32) -> Result<Option<Self>> {
        match here(cx, major).await? {
            Some(folder) => Ok(Some(Self::new(cx, server, Tools::Here(folder)).await?)),
            None => Ok(None),
        }
    }

    async fn new(cx: &'c Cx, server: &Arc<Server>, tools: Tools) -> Result<Self> {
        let client = cx.client::<PgClient>().await?;
        let (options, password) = client.login(server).await?;
        let mut environment = Environment::default()
            .with("PGAPPNAME", &server.application_name)
            .with("PGOPTIONS", fixed());
        let mut place = vec![
            "--username".to_owned(),
            server.user.clone(),
            "--no-password".to_owned(),
        ];
        if let Tools::Here(_) = tools {
            let host = options.get_socket().map_or_else(
                || options.get_host().to_owned(),
                |folder| folder.display().to_string(),
            );
            place.extend([
                "--host".to_owned(),
                host,
                "--port".to_owned(),
                options.get_port().to_string(),
            ]);
            if let Some(mode) = &server.sslmode {
                environment = environment.with("PGSSLMODE", mode);
            }
            if let Some(file) = &server.sslrootcert {
                environment = environment.with("PGSSLROOTCERT", file);
            }
        }
        if let Some(password) = password {
            environment = environment.with("PGPASSWORD", password);
        }
        Ok(Self {
            cx,
            server: Arc::clone(server),
            tools,
            environment,
            place,
        })
    }

    /// Which ones they are, for people.
    #[must_use]
    pub fn shown(&self) -> String {
        match &self.tools {
            Tools::Inside(container) => format!("in {}", container.name()),
            Tools::Here(folder) => format!("in {}", folder.display()),
        }
    }

    /// Run a tool, and pass on what it writes.
    ///
    /// # Errors
    /// `pg.tool_failed` for any status but 0, with what it said last.
    pub async fn stream(
        &self,
        program: &str,
        arguments: &[&str],
        effect: Effect,
        to: Sender<Bytes>,
    ) -> Result<()> {
        let mut words = vec![match &self.tools {
            Tools::Inside(_) => program.to_owned(),
            Tools::Here(folder) => folder.join(program).display().to_string(),
        }];
        words.extend(self.place.iter().cloned());
        words.extend(arguments.iter().map(|word| (*word).to_owned()));
        let command = CommandLine::new(words);
        match &self.tools {
            Tools::Inside(container) => {
                let streamed =
                    container.stream(self.cx, &command, self.environment.clone(), effect, to);
                streamed.await.map_err(|error| self.failed(program, &error))
            }
            Tools::Here(_) => self.local(program, &command, effect, to).await,
        }
    }

    async fn local(
        &self,
        program: &str,
        command: &CommandLine,
        effect: Effect,
        to: Sender<Bytes>,
    ) -> Result<()> {
        let processes = self.cx.client::<Processes>().await?;
        let mut running = processes.start(Launch {
            command,
            effect,
            folder: self.cx.folder(),
            cwd: None,
            env: &self.environment,
            stdin: None,
            merge: false,
        })?;
        let stdout = running.take_stdout();
        running.capture(self.cx, Size::from_bytes(64 << 10), false);
        if let Some(mut stdout) = stdout {
            let mut buffer = BytesMut::with_capacity(PIECE);
            loop {
                buffer.reserve(PIECE);
                let read = stdout.read_buf(&mut buffer).await.map_err(|error| {
                    Error::new("pg.tool_failed", format!("lost {program}: {error}"))
                })?;
                if read == 0 || buffer.len() >= PIECE {
                    let full = buffer.split().freeze();
                    // The other end says itself why it takes no more.
                    if !full.is_empty() && to.send(full).await.is_err() {
                        running.end().await;
                        return Err(abandoned(program));
                    }
                }
                if read == 0 {
                    break;
                }
            }
        }
        let finished = running.finish(None, program).await?;
        finished
            .check(program)
            .map_err(|error| self.failed(program, &error))
    }

    /// Run a tool and keep what it writes, which is little.
    ///
    /// # Errors
    /// As `stream`; `pg.protocol` if it is more than `most` bytes.
    pub async fn text(
        &self,
        program: &str,
        arguments: &[&str],
        effect: Effect,
        most: usize,
    ) -> Result<String> {
        let (to, mut from) = tokio::sync::mpsc::channel::<Bytes>(4);
        let collecting = async {
            let mut all = Vec::new();
            while let Some(piece) = from.recv().await {
                all.extend_from_slice(&piece);
                if all.len() > most {
                    return Err(Error::new(
                        "pg.protocol",
                        format!("{program} writes more than {most} bytes"),
                    ));
                }
            }
            Ok(all)
        };
        let (all, ()) = tokio::try_join!(collecting, self.stream(program, arguments, effect, to))?;
        Ok(String::from_utf8_lossy(&all).into_owned())
    }

    fn failed(&self, program: &str, error: &Error) -> Error {
        failed(program, &self.server, error)
    }

    /// The same tools with other settings of their sessions.
    #[must_use]
    pub fn with_settings(&self, settings: &str) -> Self {
        Self {
            cx: self.cx,
            server: Arc::clone(&self.server),
            tools: match &self.tools {
                Tools::Inside(container) => Tools::Inside(container.clone()),
                Tools::Here(folder) => Tools::Here(folder.clone()),
            },
            environment: self.environment.clone().with("PGOPTIONS", settings),
            place: self.place.clone(),
        }
    }
}

/// Why a tool failed, and what to do.
pub fn failed(program: &str, server: &Server, error: &Error) -> Error {
    let details = error.to_json();
    let all = details["details"]["stderr"].as_str().unwrap_or_default();
    // What it says last is often what came of what it said first.
    let first = all.lines().find(|line| line.contains("error: "));
    let said = match first {
        Some(first) if !error.message().contains(first) => {
            format!("{}\n  {}", first.trim(), error.message())
        }
        _ => error.message().to_owned(),
    };
    let restoring = program == "pg_restore";
    let has = |text: &str| said.contains(text) || all.contains(text);
    let hint = if has("row-level security") || has("row security") {
        "policies hold for this role, so the dump would have gaps: back up as a superuser or a role with BYPASSRLS"
    } else if has("No space left") {
        "a disk is full: `df -h` shows which"
    } else if has("must be owner of") || (restoring && has("permission denied")) {
        "this role may not make everything that is in the backup: restore as a superuser: `db.login(\"postgres\", secret(\"POSTGRES_PASSWORD\"))`"
    } else if has("permission denied") {
        "this role may not read everything: back up as a superuser: `db.login(\"postgres\", secret(\"POSTGRES_PASSWORD\"))`"
    } else if has("password authentication failed") || has("no password supplied") {
        "the password is wrong or missing: `db.login(user, secret(\"…\"))`"
    } else if has("LOCK TABLE") {
        "somebody holds a lock on that table: `SELECT pid, query FROM pg_stat_activity WHERE pid = ANY(pg_blocking_pids(…))`; wait, or give it longer: `lock_timeout`"
    } else if has("out of shared memory") {
        "it locks every table at once: raise max_locks_per_transaction of the server (to a number of tables / 100), which needs a restart"
    } else if has("server version mismatch") {
        "the tools are older than the server: install the client package of the server's version"
    } else if has("server closed the connection") || has("terminating connection") {
        "the server ended the connection: its log says why; run it again when it is up"
    } else if restoring && has("is not available") {
        "the server lacks an extension: install its package there, or leave out what needs it: `partial: true`"
    } else if restoring && has("does not exist") {
        "often a function that finds its tables by search_path, which a restore empties: give it one, ALTER FUNCTION … SET search_path = …. Until then `partial: true` restores the rest and says what is missing"
    } else if restoring {
        "nothing that was there was touched, and what was made was removed; `partial: true` restores what can be and says what is missing"
    } else {
        "what it said last is above; nothing was kept, and it can be run again"
    };
    let what = if restoring { "into" } else { "of" };
    Error::new(
        "pg.tool_failed",
        format!("{program} {what} {server}: {said}"),
    )
    .hint(hint)
    .retryable()
}

fn abandoned(program: &str) -> Error {
    Error::new(
        "pg.tool_failed",
        format!("{program} was ended: nobody takes what it writes"),
    )
}

fn none(major: u32) -> Error {
    Error::new(
        "pg.no_tools",
        format!("there is no pg_dump of version {major} or newer on this machine"),
    )
    .hint(format!(
        "install it (Debian: `apt-get install postgresql-client-{major}`), or say in the target which Compose service the database is: postgres = {{ service = \"postgres\", … }}"
    ))
}

/// The folder with this machine's tools: the oldest that is new enough.
async fn here(cx: &Cx, major: u32) -> Result<Option<PathBuf>> {
    let files = cx.client::<crate::files::Files>().await?;
    let mut found: Vec<(u32, PathBuf)> = Vec::new();
    let debian = std::path::Path::new("/usr/lib/postgresql");
    if files.find(debian, true)?.is_some() {
        for entry in files.entries(debian)? {
            let version = entry
                .path
                .file_name()
                .and_then(|name| name.to_str()?.parse().ok());
            let folder = entry.path.join("bin");
            if let Some(version) = version
                && version >= major
                && files.find(&folder.join("pg_restore"), true)?.is_some()
            {
                found.push((version, folder));
            }
        }
    }
    found.sort();
    if let Some((_, folder)) = found.into_iter().next() {
        return Ok(Some(folder));
    }
    let Some(folder) = program_in_path("pg_dump").and_then(|path| path.parent().map(PathBuf::from))
    else {
        return Ok(None);
    };
    let processes = cx.client::<Processes>().await?;
    let command = CommandLine::new(vec!["pg_dump".into(), "--version".into()]);
    let mut running = processes.start(Launch {
        command: &command,
        effect: Effect::Read,
        folder: cx.folder(),
        cwd: None,
        env: &Environment::default(),
        stdin: None,
        merge: false,
    })?;
    running.capture(cx, Size::from_bytes(4 << 10), false);
    let finished = running.finish(None, "pg_dump --version").await?;
    let version = finished
        .stdout
        .text()
        .split_whitespace()
        .find_map(|word| word.split('.').next()?.parse::<u32>().ok());
    Ok(version.filter(|version| *version >= major).map(|_| folder))
}
