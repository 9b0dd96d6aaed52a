//! What programs are started with, and what scripts get back.

use ccrun_kernel::effect::Effect;
use ccrun_kernel::rhai::{Dynamic, Map};
use ccrun_kernel::value::{Duration, Size};
use ccrun_kernel::{Cx, Error, Options, Preview, Result};

use crate::files::{Content, FilePath};
use crate::process::{Capture, CommandLine, Environment, Finished, Launch, Processes};

/// How a program is run.
#[derive(Clone, Options)]
pub struct RunOptions {
    /// The directory it is started in; without it, the run's working folder.
    pub(super) cwd: Option<FilePath>,
    /// Variables of its environment, beside the few that it inherits; `()` takes one away. Secrets are
    /// welcome here.
    pub(super) env: Option<Environment>,
    /// What it reads from standard input; nothing without it. Secrets are welcome here.
    pub(super) stdin: Option<Content>,
    /// How long it may run.
    pub(super) timeout: Option<Duration>,
    /// Fail (`sh.failed`) unless it exits with status 0.
    #[option(default = "true")]
    pub(super) check: bool,
    /// Put standard error into `stdout`, in the order it is written.
    #[option(default = "false")]
    pub(super) merge: bool,
    /// How much of each stream is kept: the first and the last half of it.
    #[option(default = "8MiB")]
    pub(super) max_output: Size,
    /// Leave out the newlines at the end of the output, as `$(…)` does in a shell.
    #[option(default = "true")]
    pub(super) trim: bool,
    /// Give `stdout` as a blob, as it is: at most a million bytes.
    #[option(default = "false")]
    pub(super) binary: bool,
    /// Tell each line to the operator while the program runs.
    #[option(default = "false")]
    pub(super) echo: bool,
}

/// More than this is not kept of a stream: a script's string holds no more.
const MOST_OUTPUT: Size = Size::from_bytes(31 << 20);

/// More than this a script's blob does not hold.
const MOST_BINARY: u64 = 1_000_000;

impl RunOptions {
    /// Run a command to its end.
    pub async fn run(&self, cx: &Cx, command: &CommandLine, effect: Effect) -> Result<Map> {
        command.check(cx.redactor())?;
        let processes = cx.client::<Processes>().await?;
        let env = self.env.clone().unwrap_or_default();
        let mut running = processes.start(Launch {
            command,
            effect,
            folder: cx.folder(),
            cwd: self.cwd.as_deref(),
            env: &env,
            stdin: self.stdin.clone(),
            merge: self.merge,
        })?;
        running.capture(cx, self.max_output.min(MOST_OUTPUT), self.echo);
        let shown = shown(command);
        let finished = running
            .finish(self.timeout.map(Duration::to_std), &shown)
            .await?;
        if self.check {
            finished.check(&shown)?;
        }
        self.output(&finished)
    }

    /// The map that scripts get.
    fn output(&self, finished: &Finished) -> Result<Map> {
        let stdout = match self.binary {
            true if finished.stdout.left_out() > 0 || finished.stdout.total() > MOST_BINARY => {
                return Err(Error::new(
                    "sh.output_too_large",
                    format!(
                        "the output has {}",
                        Size::from_bytes(finished.stdout.total())
                    ),
                )
                .hint("let the program write into a file, and read that in parts"));
            }
            true => Dynamic::from_blob(finished.stdout.bytes()),
            false => self.text(&finished.stdout).into(),
        };
        let left_out = finished.stdout.left_out() + finished.stderr.left_out();
        Ok(Map::from_iter([
            ("status".into(), Dynamic::from(finished.code())),
            ("success".into(), (finished.code() == 0).into()),
            (
                "signal".into(),
                finished.signal().map_or(Dynamic::UNIT, Dynamic::from),
            ),
            ("stdout".into(), stdout),
            ("stderr".into(), self.text(&finished.stderr).into()),
            ("elapsed".into(), Dynamic::from(finished.elapsed())),
            ("truncated".into(), (left_out > 0).into()),
        ]))
    }

    fn text(&self, capture: &Capture) -> String {
        let text = capture.text();
        match self.trim {
            true => text.trim_end_matches(['\n', '\r']).to_owned(),
            false => text,
        }
    }

    /// What a dry run says of it.
    pub fn preview(&self, cx: &Cx, command: &CommandLine) -> Result<Preview> {
        command.check(cx.redactor())?;
        let cwd = self.cwd.as_deref().unwrap_or(cx.folder());
        let mut summary = format!("run `{}` in {}", shown(command), cwd.display());
        if let Some(env) = self.env.as_ref().filter(|env| !env.names().is_empty()) {
            summary.push_str(&format!(" with {}", env.names().join(", ")));
        }
        if let Some(stdin) = &self.stdin {
            let size = Size::from_bytes(stdin.bytes().len() as u64);
            let what = if stdin.is_secret() {
                "a secret".to_owned()
            } else {
                size.to_string()
            };
            summary.push_str(&format!(", {what} on standard input"));
        }
        Ok(Preview::new(summary))
    }
}

/// A command in a message: as one would type it, within bounds.
pub fn shown(command: &CommandLine) -> String {
    const LONGEST: usize = 200;
    let text = command.to_string();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
