//! Programs whose output is read while they run.

use ccrun_kernel::effect::Effect;
use ccrun_kernel::rhai::{Dynamic, FnPtr};
use ccrun_kernel::value::{Duration, Size};
use ccrun_kernel::{Caller, Cx, Error, Options, Preview, Result, primitive};
use std::time::Instant;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, BufReader};

use super::options::{RunOptions, shown};
use crate::files::{Content, FilePath};
use crate::process::{CommandLine, Environment, Launch, Output, Processes, Running};

/// How a program is run whose lines are read.
#[derive(Clone, Options)]
pub struct LinesOptions {
    /// The directory it is started in; without it, the run's working folder.
    cwd: Option<FilePath>,
    /// Variables of its environment, beside the few that it inherits; `()` takes one away.
    env: Option<Environment>,
    /// What it reads from standard input; nothing without it.
    stdin: Option<Content>,
    /// How long it may run.
    timeout: Option<Duration>,
    /// Fail (`sh.failed`) unless it exits with status 0.
    #[option(default = "true")]
    check: bool,
    /// Read the lines of standard error as well.
    #[option(default = "false")]
    merge: bool,
    /// The longest line that is accepted.
    #[option(default = "1MiB")]
    max_line: Size,
}

/// Run a program that changes something, call a closure with each line it writes, and return how many
/// there were.
///
/// The program waits while the closure works, so that the output may be of any size. A closure that
/// returns `false` ends the program. What is not UTF-8 in a line becomes `�`. Standard error is kept for
/// the error message. Permission and environment are as with `sh::run`.
///
/// # Errors
/// As `sh::run`; `sh.line_too_long`; and what the closure throws, which also ends the program.
///
/// # Example
/// ```rhai
/// let seen = [];
/// sh::lines(["printf", "one\ntwo\n"], |line| seen.push(line));
/// assert(seen == ["one", "two"]);
/// ```
#[primitive(change, needs = sh(command.resource()), preview = lines_preview)]
fn lines(
    cx: &Cx,
    call: &Caller<'_>,
    command: CommandLine,
    options: LinesOptions,
    closure: FnPtr,
) -> Result<u64> {
    follow(cx, call, &command, options, &closure, Effect::Change)
}

async fn lines_preview(
    cx: &Cx,
    command: &CommandLine,
    options: &LinesOptions,
    _closure: &FnPtr,
) -> Result<Preview> {
    options.clone().into_run().preview(cx, command)
}

/// Run a program that only reads, also in a dry run, and call a closure with each line it writes.
///
/// That it changes nothing is a promise of the runbook's author. Everything else is as with `sh::lines`.
///
/// # Errors
/// As `sh::lines`.
///
/// # Example
/// ```rhai
/// let first = ();
/// sh::read_lines(["yes"], |line| { first = line; false });
/// assert(first == "y");
/// ```
#[primitive(read, volatile, needs = sh(command.resource()))]
fn read_lines(
    cx: &Cx,
    call: &Caller<'_>,
    command: CommandLine,
    options: LinesOptions,
    closure: FnPtr,
) -> Result<u64> {
    follow(cx, call, &command, options, &closure, Effect::Read)
}

impl LinesOptions {
    fn into_run(self) -> RunOptions {
        let Self {
            cwd,
            env,
            stdin,
            timeout,
            check,
            merge,
            ..
        } = self;
        let max_output = Size::from_bytes(64 << 10);
        RunOptions {
            cwd,
            env,
            stdin,
            timeout,
            check,
            merge,
            max_output,
            trim: true,
            binary: false,
            echo: false,
        }
    }
}

fn follow(
    cx: &Cx,
    call: &Caller<'_>,
    command: &CommandLine,
    options: LinesOptions,
    closure: &FnPtr,
    effect: Effect,
) -> Result<u64> {
    command.check(cx.redactor())?;
    let most = options.max_line;
    let options = options.into_run();
    let shown = shown(command);
    let env = options.env.clone().unwrap_or_default();
    let processes = cx.block_on(cx.client::<Processes>())?;
    let mut running = cx.block_on(async {
        let mut running = processes.start(Launch {
            command,
            effect,
            folder: cx.folder(),
            cwd: options.cwd.as_deref(),
            env: &env,
            stdin: options.stdin.clone(),
            merge: options.merge,
        })?;
        let stdout = running.take_stdout();
        running.capture(cx, options.max_output, false);
        Ok(Followed {
            running,
            stdout: stdout.map(BufReader::new),
        })
    })?;
    let until = options
        .timeout
        .and_then(|timeout| Instant::now().checked_add(timeout.to_std()));
    let mut count = 0;
    while let Some(line) = cx.block_on(running.next(most, until, count + 1, &shown))? {
        count += 1;
        if call.invoke(closure, [Dynamic::from(line)])?.as_bool() == Ok(false) {
            cx.block_on(async {
                running.running.end().await;
                Ok(())
            })?;
            return Ok(count);
        }
    }
    let left = until.map(|until| until.saturating_duration_since(Instant::now()));
    let finished = cx.block_on(running.running.finish(left, &shown))?;
    if options.check {
        finished.check(&shown)?;
    }
    Ok(count)
}

/// A program whose standard output is read line by line.
struct Followed {
    running: Running,
    stdout: Option<BufReader<Output>>,
}

impl Followed {
    async fn next(
        &mut self,
        most: Size,
        until: Option<Instant>,
        number: u64,
        shown: &str,
    ) -> Result<Option<String>> {
        let Some(stdout) = &mut self.stdout else {
            return Ok(None);
        };
        // A program that writes without end is never waited for: then nobody else looks whether the
        // time is over, or the run cancelled.
        if number.is_multiple_of(256) {
            tokio::task::yield_now().await;
        }
        let next = line(stdout, most, number);
        let Some(until) = until else {
            return next.await;
        };
        if Instant::now() < until
            && let Ok(line) = tokio::time::timeout_at(until.into(), next).await
        {
            return line;
        }
        Err(Error::new(
            "sh.timeout",
            format!("`{shown}` did not end within its timeout"),
        )
        .retryable()
        .hint("it was ended; give it a longer `timeout`, or return `false` when enough was read"))
    }
}

async fn line(
    stdout: &mut (impl AsyncBufRead + Unpin),
    most: Size,
    number: u64,
) -> Result<Option<String>> {
    let mut line = Vec::new();
    let mut piece = stdout.take(most.bytes().saturating_add(2));
    let read = piece.read_until(b'\n', &mut line).await?;
    if read == 0 {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
    }
    if line.len() as u64 > most.bytes() {
        return Err(Error::new(
            "sh.line_too_long",
            format!("line {number} is longer than {most}"),
        )
        .hint("raise `max_line`, if the program writes lines at all"));
    }
    Ok(Some(String::from_utf8_lossy(&line).into_owned()))
}
