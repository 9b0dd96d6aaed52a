//! Programs: run one and read what it says.
//!
//! A command is an array, `["rsync", "-a", source, target]`, which no shell reads: blanks, quotes and
//! `$` in an argument stay what they are. Text for a shell goes to `sh::script`.
//!
//! A program inherits only `PATH`, `HOME`, `USER`, `LOGNAME`, `SHELL`, `LANG`, `LANGUAGE`, `LC_*`, `TZ`,
//! `TERM`, `TMPDIR`, `XDG_RUNTIME_DIR`, `XDG_CONFIG_HOME`, `SSH_AUTH_SOCK`, `SSL_CERT_FILE` and
//! `SSL_CERT_DIR`: the environment of a service or a CI job is full of secrets that are none of its
//! business. What else it needs is said with `env: #{ NAME: value }`.
//!
//! It runs in a process group of its own without a terminal. When the step is cancelled or times out,
//! the whole group is asked to end (SIGTERM) and killed 5 seconds later.

mod lines;
mod options;
mod run;
mod script;
#[cfg(test)]
mod tests;

use ccrun_kernel::{Namespace, primitives};

/// Registers the namespace.
#[must_use]
pub fn namespace() -> Namespace {
    Namespace::new("sh", "Programs: run one and read what it says.").primitives(primitives![
        run::run,
        run::read,
        script::script,
        lines::lines,
        lines::read_lines,
        run::which,
        run::quote,
    ])
}
