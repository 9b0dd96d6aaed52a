//! `ccrun completions`.

use ccrun_kernel::Result;
use clap::CommandFactory;

use crate::cli::Cli;

/// Print the completion script for a shell.
pub fn completions(shell: clap_complete::Shell) -> Result<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "ccrun", &mut script);
    crate::render::result(String::from_utf8_lossy(&script).trim_end());
    Ok(0)
}
