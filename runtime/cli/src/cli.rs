//! The command line: what can be typed.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Runbooks as code: deploy, validate, back up, restore and troubleshoot a Compose stack.
#[derive(Debug, Parser)]
#[command(
    name = "ccrun",
    version,
    about,
    args_conflicts_with_subcommands = false,
    after_help = "Examples:
  ccrun runbooks/hello.rhai --name Ada         run a runbook (its parameters: ccrun FILE --help)
  ccrun --dry-run deploy                       say what it would change, change nothing
  ccrun -e 'docker::containers()'              evaluate and print
  ccrun                                        look around (REPL)
  ccrun resume 7f3a                            go on with a run where it stopped

Exit status: 0 done, 1 the runbook or a check failed, 2 bad usage or a runbook that does not check,
3 refused by permission, lock or confirmation, 130 interrupted; `plan`: 0 nothing to change, 100 changes."
)]
pub struct Cli {
    /// Evaluate a piece of script and print its value.
    #[arg(short = 'e', long = "eval", value_name = "SCRIPT")]
    pub eval: Option<String>,

    #[command(flatten)]
    pub common: Common,

    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Options that every command takes.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// The target in ccrun.toml to work on.
    #[arg(short, long, global = true, value_name = "NAME", env = "CCRUN_TARGET")]
    pub target: Option<String>,

    /// Read for real, change nothing, and say what would change.
    #[arg(short = 'n', long, global = true)]
    pub dry_run: bool,

    /// Ask before each change.
    #[arg(long, global = true, conflicts_with = "dry_run")]
    pub confirm: bool,

    /// Answer yes to every question that guards a change.
    #[arg(short, long, global = true)]
    pub yes: bool,

    /// How to print results and events.
    #[arg(long, global = true, value_enum, default_value_t = Output::Text)]
    pub output: Output,

    /// Print results, problems and the last line only.
    #[arg(short, long, global = true)]
    pub quiet: bool,

    /// Print every read and debug message too.
    #[arg(short, long, global = true, conflicts_with = "quiet")]
    pub verbose: bool,

    /// No colours (also: the environment variable NO_COLOR).
    #[arg(long, global = true)]
    pub no_color: bool,
}

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// One JSON document, or one event a line, for programs.
    Json,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a runbook (also without the word `run`).
    Run(Run),
    /// Look around interactively.
    Repl,
    /// List the runbooks that can be run by name.
    List,
    /// Show the documentation of a primitive, a type or a namespace.
    Doc {
        /// `docker`, `docker::containers`, `Container.restart`, `step` …
        name: Option<String>,
    },
    /// Write the beginning of a new runbook.
    New {
        /// The file, or its name without `.rhai`.
        name: String,
    },
    /// Find mistakes in runbooks without running them.
    Check {
        /// Files and folders; the runbook path by default.
        paths: Vec<PathBuf>,
        /// List the rules and what they mean.
        #[arg(long)]
        rules: bool,
    },
    /// List past runs.
    History(History),
    /// Show one run: its steps, changes and events.
    Show {
        /// The run, or an unambiguous beginning of its name; the last one by default.
        run: Option<String>,
        /// With every event.
        #[arg(long)]
        events: bool,
    },
    /// Go on with a run where it stopped.
    Resume(Resume),
    /// Say what a runbook would change, and save that as a plan.
    Plan {
        #[command(flatten)]
        run: Run,
        /// The file to save the plan in.
        #[arg(short = 'o', long = "out", value_name = "PLAN")]
        out: Option<PathBuf>,
    },
    /// Carry out a saved plan, unless the world has changed since.
    Apply {
        /// The saved plan.
        plan: PathBuf,
    },
    /// Show, take or release locks.
    #[command(subcommand)]
    Lock(Lock),
    /// Keep secrets in an age-encrypted file.
    #[command(subcommand)]
    Secret(Secret),
    /// Run the triggers of the runbooks, until stopped.
    Watch(Watch),
    /// The process of one firing, started by `ccrun watch`.
    #[command(hide = true)]
    Fire {
        /// The firing.
        #[arg(required_unless_present = "wait", requires = "run")]
        id: Option<String>,
        /// Its run.
        #[arg(long)]
        run: Option<String>,
        /// Wait for both on standard input.
        #[arg(long, conflicts_with = "id")]
        wait: bool,
    },
    /// Check the runbooks for `ccrun watch`, which starts it.
    #[command(hide = true)]
    Verdicts,
    /// Can I reach everything? Looks at the configuration, the journal and the target.
    Doctor,
    /// Print completions for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// What a runbook does, and its parameters: `ccrun RUNBOOK --help`.
    #[command(hide = true)]
    RunbookHelp {
        /// The runbook.
        file: PathBuf,
    },
    /// What may come next on a command line, for the completion scripts.
    #[command(hide = true)]
    Words {
        /// The words that are there.
        #[arg(last = true)]
        typed: Vec<OsString>,
    },
    /// A runbook without the word `run`.
    #[command(external_subcommand)]
    Runbook(Vec<OsString>),
}

/// What it takes to run a runbook.
#[derive(Debug, Clone, Args)]
pub struct Run {
    /// The runbook: a file, or a name that `ccrun list` shows.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,

    /// A parameter of the runbook.
    #[arg(short, long = "param", value_name = "NAME=VALUE")]
    pub params: Vec<String>,

    /// A JSON or TOML file with parameters.
    #[arg(long = "params", value_name = "PARAMS_FILE")]
    pub params_file: Option<PathBuf>,

    /// Print the least `needs` header that this run took.
    #[arg(long)]
    pub record_needs: bool,

    /// Wait so long for another run that holds the lock.
    #[arg(long, value_name = "DURATION")]
    pub lock_wait: Option<String>,

    /// Do not record the run (it cannot be resumed).
    #[arg(long)]
    pub no_journal: bool,
}

/// Which runs to list.
#[derive(Debug, Args)]
pub struct History {
    /// Only runs of runbooks whose path contains this.
    pub runbook: Option<String>,
    /// Only runs with this status: done, failed, interrupted, refused, running.
    #[arg(long)]
    pub status: Option<String>,
    /// Only runs that began within this time (`24h`, `7d`).
    #[arg(long, value_name = "DURATION")]
    pub since: Option<String>,
    /// At most so many.
    #[arg(long, default_value_t = 20)]
    pub limit: u32,
}

/// How to go on.
#[derive(Debug, Args)]
pub struct Resume {
    /// The run, or an unambiguous beginning of its name; the last one that stopped by default.
    pub run: Option<String>,
    /// Run this step and everything after it again, in a new run.
    #[arg(long, value_name = "STEP")]
    pub from: Option<String>,
    /// Make a new run from the old one instead of going on with it.
    #[arg(long)]
    pub fork: bool,
    /// What to do with completed steps whose text or inputs changed since.
    #[arg(long, value_enum)]
    pub changed: Option<Changed>,
    /// Wait so long for another run that holds the lock.
    #[arg(long, value_name = "DURATION")]
    pub lock_wait: Option<String>,
}

/// What to do with changed steps.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Changed {
    /// Run them again.
    Rerun,
    /// Keep their recorded results.
    Keep,
}

#[derive(Debug, Subcommand)]
pub enum Lock {
    /// List the locks and who holds them.
    Status,
    /// Take a lock by hand: no run gets it until it is released.
    Take {
        /// The lock.
        name: String,
        /// Why.
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Release a lock.
    Release {
        /// The lock.
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum Secret {
    /// Put a secret into the file; the value comes from standard input or a prompt.
    Set {
        /// The name.
        name: String,
    },
    /// Print a secret, after a confirmation.
    Get {
        /// The name.
        name: String,
    },
    /// List the names.
    List,
    /// Take a secret out of the file.
    Remove {
        /// The name.
        name: String,
    },
    /// Put a random secret into the file.
    Generate {
        /// The name.
        name: String,
        /// How many characters.
        #[arg(long, default_value_t = 32)]
        length: usize,
    },
}

/// How to run triggers.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Watch {
    /// Say what will run, when and why, and run nothing.
    #[arg(long, conflicts_with = "once")]
    pub list: bool,
    /// Run what is due now, and end.
    #[arg(long)]
    pub once: bool,
    #[command(subcommand)]
    pub command: Option<WatchCommand>,
}

#[derive(Debug, Subcommand)]
pub enum WatchCommand {
    /// Write a systemd unit that runs `ccrun watch` here.
    Install {
        /// The user it runs as; you by default.
        #[arg(long)]
        user: Option<String>,
        /// Print the unit instead of writing it.
        #[arg(long)]
        print: bool,
    },
    /// Let triggers that were stopped for firing too often go on.
    GoOn {
        /// The runbook.
        runbook: String,
    },
}

/// Parse the command line. `ccrun FILE …` means `ccrun run FILE …`, and the parameters of a runbook may be options.
pub fn parse(arguments: Vec<OsString>) -> Result<Cli, clap::Error> {
    let arguments = crate::runbook_options::rewrite(arguments)?;
    let cli = Cli::try_parse_from(&arguments)?;
    let Some(Command::Runbook(rest)) = &cli.command else {
        return Ok(cli);
    };
    let mut arguments = arguments.clone();
    arguments.insert(arguments.len() - rest.len(), "run".into());
    Cli::try_parse_from(arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Cli {
        parse(line.split(' ').map(OsString::from).collect()).expect(line)
    }

    #[test]
    fn a_file_is_run() {
        for line in [
            "ccrun a.rhai -p x=1 --dry-run",
            "ccrun --dry-run a.rhai -p x=1",
            "ccrun -n run a.rhai --param x=1",
        ] {
            let cli = parsed(line);
            assert!(cli.common.dry_run, "{line}");
            let Some(Command::Run(run)) = cli.command else {
                panic!("{line}")
            };
            assert_eq!(run.file, PathBuf::from("a.rhai"));
            assert_eq!(run.params, ["x=1"]);
        }
    }

    #[test]
    fn the_definition_is_sound() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
