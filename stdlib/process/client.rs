//! The client of processes: the one place where programs are started.
#![allow(
    clippy::disallowed_methods,
    reason = "this is the client that processes come from"
)]

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use ccrun_kernel::effect::Effect;
use ccrun_kernel::value::closest;
use ccrun_kernel::{Access, Client, Error, Result};
use tokio::net::unix::pipe;

use super::command::{CommandLine, program_path};
use super::environment::{Environment, is_inherited};
use super::running::Running;
use crate::files::Content;

/// The programs of this machine.
pub struct Processes {
    read_only: bool,
}

impl Client for Processes {
    async fn open(access: &Access) -> Result<Self> {
        Ok(Self {
            read_only: access.read_only(),
        })
    }
}

/// What is to be started, and how.
pub struct Launch<'a> {
    /// The program and its arguments.
    pub command: &'a CommandLine,
    /// What the primitive that starts it is declared as.
    pub effect: Effect,
    /// Where relative paths of the script start.
    pub folder: &'a Path,
    /// Where it is started, if not there.
    pub cwd: Option<&'a Path>,
    /// Its variables, beside those that every program inherits.
    pub env: &'a Environment,
    /// What it reads from standard input; nothing without it.
    pub stdin: Option<Content>,
    /// Whether standard error goes where standard output goes, in the order it is written.
    pub merge: bool,
}

impl Processes {
    /// A file with a text for a shell, which goes when the returned path is dropped.
    ///
    /// # Errors
    /// `sh.no_script_file` where there is no room for it; `read_only` where nothing may change.
    pub fn script_file(&self, text: &str) -> Result<tempfile::TempPath> {
        if self.read_only {
            return Err(Error::new(
                "read_only",
                "refused to run a script: only reading is allowed here",
            ));
        }
        let make = || {
            let mut file = tempfile::Builder::new()
                .prefix("ccrun-")
                .suffix(".sh")
                .tempfile()?;
            file.write_all(text.as_bytes())?;
            Ok(file.into_temp_path())
        };
        make().map_err(|error: io::Error| {
            let folder = std::env::temp_dir();
            Error::new(
                "sh.no_script_file",
                format!("can't write the script into {}: {error}", folder.display()),
            )
            .hint("look at the space there (`df -h`), or set `TMPDIR` to another folder")
        })
    }

    /// Start a program.
    ///
    /// # Errors
    /// `sh.not_found` with the nearest name, `sh.not_executable`, `sh.cwd_not_found`, `sh.failed`;
    /// `read_only` for a change where nothing may change.
    pub fn start(&self, launch: Launch<'_>) -> Result<Running> {
        let command = launch.command;
        if self.read_only && launch.effect == Effect::Change {
            return Err(Error::new(
                "read_only",
                format!(
                    "refused to start `{}`: only reading is allowed here",
                    command.program()
                ),
            ));
        }
        let program = find(command.program(), launch.folder)?;
        let cwd = launch.cwd.unwrap_or(launch.folder);
        if !cwd.is_dir() {
            return Err(Error::new(
                "sh.cwd_not_found",
                format!(
                    "can't start `{}` in {}: there is no such directory",
                    command.program(),
                    cwd.display()
                ),
            )
            .hint("create it first (`fs::create_dir`), or correct `cwd`"));
        }

        let mut process = tokio::process::Command::new(&program);
        process
            .arg0(command.program())
            .args(command.arguments())
            .current_dir(cwd)
            .env_clear()
            .envs(inherited())
            .stdin(if launch.stdin.is_some() {
                Stdio::piped()
            } else {
                Stdio::null()
            })
            // Its children are ended with it.
            .process_group(0)
            .kill_on_drop(true);
        for (name, value) in launch.env.variables() {
            match value {
                Some(value) => process.env(name, value),
                None => process.env_remove(name),
            };
        }
        let failed = |error: io::Error| not_started(&program, &error);
        let merged = if launch.merge {
            let (reader, writer) = io::pipe().map_err(failed)?;
            process
                .stdout(writer.try_clone().map_err(failed)?)
                .stderr(writer);
            Some(pipe::Receiver::from_owned_fd(reader.into()).map_err(failed)?)
        } else {
            process.stdout(Stdio::piped()).stderr(Stdio::piped());
            None
        };
        let started = Instant::now();
        let child = process.spawn().map_err(failed)?;
        Ok(Running::new(child, started, launch.stdin, merged))
    }
}

/// The variables that every program gets, and the terminal's width for none of them.
fn inherited() -> impl Iterator<Item = (OsString, OsString)> {
    std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_inherited))
}

fn not_started(program: &Path, error: &io::Error) -> Error {
    let program = program.display();
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            Error::new("sh.not_executable", format!("can't start {program}: the system does not permit it"))
                .hint(format!("`ls -l {program}`: is it executable, and is its file system mounted `noexec`?"))
        }
        io::ErrorKind::NotFound => {
            // It is there, so what is missing is what its first line names.
            Error::new("sh.not_found", format!("can't start {program}: its interpreter does not exist"))
                .hint(format!("`head -1 {program}` names it; a binary may lack its loader (`ldd {program}`)"))
        }
        io::ErrorKind::ArgumentListTooLong => {
            Error::new("sh.arguments_too_long", format!("can't start {program}: its arguments are too long"))
                .hint("hand them over by `stdin` or in a file")
        }
        _ if error.raw_os_error() == Some(rustix::io::Errno::NOEXEC.raw_os_error()) => {
            Error::new("sh.not_executable", format!("can't start {program}: it is no program"))
                .hint("a script begins with a line such as `#!/bin/sh`; a binary may be for another processor")
        }
        _ => Error::new("sh.failed", format!("can't start {program}: {error}"))
            .hint("look at `dmesg` and at the limits (`ulimit -a`)"),
    }
}

/// Where the program is that a script means: a path, or a name to be looked up in `PATH`. It is
/// always ccrun's own `PATH`, so that a permission for a name means the same program whatever a
/// script puts into `env`.
fn find(program: &str, folder: &Path) -> Result<PathBuf> {
    if program.contains('/') {
        let path = program_path(program, folder);
        if !path.is_file() {
            return Err(Error::new(
                "sh.not_found",
                format!("there is no program {}", path.display()),
            )
            .hint("correct the path, or give only the name to look it up in `PATH`"));
        }
        return Ok(path);
    }
    program_in_path(program).ok_or_else(|| {
        let all = programs();
        let hint = match closest(program, all.iter().map(String::as_str)) {
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None => "install it, or give its path; ccrun's own `PATH` is what counts".to_owned(),
        };
        Error::new(
            "sh.not_found",
            format!("there is no program `{program}` in PATH"),
        )
        .hint(hint)
    })
}

/// The program of this name in `PATH`.
#[must_use]
pub fn program_in_path(name: &str) -> Option<PathBuf> {
    if name.is_empty() || name.contains(['/', '\0']) {
        return None;
    }
    folders()
        .into_iter()
        .map(|folder| folder.join(name))
        .find(|path| is_program(path))
}

/// The folders of `PATH`. One that is not absolute (`.`) would mean something else in every folder.
fn folders() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    std::env::split_paths(&path)
        .filter(|folder| folder.is_absolute())
        .collect()
}

/// Whether a file can be run.
pub fn is_program(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

/// The names of all programs, for "did you mean".
fn programs() -> Vec<String> {
    folders()
        .iter()
        .filter_map(|folder| std::fs::read_dir(folder).ok())
        .flat_map(|entries| entries.flatten().take(10_000))
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}
