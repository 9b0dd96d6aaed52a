//! ccrun: runbooks as code.

mod app;
mod cli;
mod command;
mod interrupt;
mod library;
mod prompt;
mod render;
mod repl;
mod runbook_options;
mod watch;

use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match cli::parse(std::env::args_os().collect()) {
        Ok(cli) => cli,
        Err(error) => {
            // clap prints help to standard output with status 0, mistakes to standard error with 2.
            drop(error.print());
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    render::colour::decide(cli.common.no_color);
    // Without a provider installed, TLS clients panic on first use.
    drop(rustls::crypto::ring::default_provider().install_default());
    ExitCode::from(command::dispatch(cli))
}
