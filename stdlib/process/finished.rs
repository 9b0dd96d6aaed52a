//! How a program ended.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use ccrun_kernel::Error;
use ccrun_kernel::value::Duration as Elapsed;

use super::capture::Capture;
use super::signal;

/// A program that has ended, with what it wrote.
pub struct Finished {
    /// `None` where it was ended by a timeout.
    pub status: Option<ExitStatus>,
    /// How long it ran.
    pub(super) elapsed: Duration,
    /// Standard output.
    pub stdout: Capture,
    /// Standard error.
    pub stderr: Capture,
}

impl Finished {
    /// The exit status; 128 and the number of the signal that killed it, as a shell has it.
    #[must_use]
    pub fn code(&self) -> i64 {
        match self.status {
            Some(status) => i64::from(
                status
                    .code()
                    .or_else(|| status.signal().map(|signal| 128 + signal))
                    .unwrap_or(-1),
            ),
            None => -1,
        }
    }

    /// The name of the signal that killed it.
    #[must_use]
    pub fn signal(&self) -> Option<String> {
        self.status?.signal().map(signal::name)
    }

    /// The error `sh.failed`, unless it ended well.
    ///
    /// # Errors
    /// That one.
    pub fn check(&self, shown: &str) -> Result<(), Error> {
        if self.code() == 0 {
            return Ok(());
        }
        let (how, hint) = match (self.signal(), self.code()) {
            (Some(signal), _) if signal == "SIGKILL" => (
                format!("was killed by {signal}"),
                "perhaps the memory ran out: `dmesg | grep -i 'killed process'`",
            ),
            (Some(signal), _) => (
                format!("was killed by {signal}"),
                "somebody or something ended it",
            ),
            (None, 127) => (
                "exited with status 127".to_owned(),
                "a shell says so when it finds no program of that name",
            ),
            (None, 126) => (
                "exited with status 126".to_owned(),
                "a shell says so when a file is not executable",
            ),
            (None, code) => (
                format!("exited with status {code}"),
                "its output says why; `check: false` returns the status instead of failing",
            ),
        };
        let message = format!("`{shown}` {how} after {}", self.elapsed());
        Err(self
            .explain("sh.failed", &message)
            .hint(hint)
            .code(self.code().to_string()))
    }

    /// How long it ran, to the millisecond.
    #[must_use]
    pub fn elapsed(&self) -> Elapsed {
        Elapsed::from_millis(i64::try_from(self.elapsed.as_millis()).unwrap_or(i64::MAX))
    }

    /// An error with what the program said last.
    pub(super) fn explain(&self, kind: &str, message: &str) -> Error {
        let mut said = self.stderr.last_lines(5);
        if said.is_empty() {
            said = self.stdout.last_lines(5);
        }
        let said: String = said.iter().map(|line| format!("\n    {line}")).collect();
        let tail = |capture: &Capture| capture.last_lines(50).join("\n");
        Error::new(kind, format!("{message}{said}"))
            .detail("status", self.code())
            .detail("signal", self.signal())
            .detail("stdout", tail(&self.stdout))
            .detail("stderr", tail(&self.stderr))
    }
}
