//! A person at a terminal: reads what appears, answers, presses Ctrl-C.
//!
//! The terminal is made by `script` of util-linux, which is part of every Debian and Ubuntu.
#![allow(
    clippy::disallowed_methods,
    reason = "a helper of tests, which starts ccrun and is no primitive"
)]

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

/// How long to wait for something to appear.
const PATIENCE: Duration = Duration::from_secs(30);

/// A program at a terminal of its own.
#[derive(Debug)]
pub struct Terminal {
    child: Child,
    keyboard: ChildStdin,
    screen: Receiver<Vec<u8>>,
    seen: String,
    /// How much of `seen` earlier expectations have used up.
    read: usize,
}

impl Terminal {
    /// Start a command, such as [`crate::typed::Story::command`] gives, at a terminal.
    ///
    /// # Panics
    /// If `script` is not installed.
    #[must_use]
    pub fn start(command: &Command) -> Self {
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let line: Vec<String> = words.map(|word| quoted(&word.to_string_lossy())).collect();
        let mut at_terminal = Command::new("script");
        at_terminal
            .args(["-qefc", &line.join(" "), "/dev/null"])
            .env_clear()
            .envs(
                command
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .env("TERM", "xterm")
            .env("SHELL", "/bin/sh");
        if let Some(folder) = command.get_current_dir() {
            at_terminal.current_dir(folder);
        }
        let mut child = at_terminal
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("`script` of util-linux is installed");
        let keyboard = child.stdin.take().expect("its input is a pipe");
        let mut output = child.stdout.take().expect("its output is a pipe");
        let (send, screen) = mpsc::channel();
        thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(length @ 1..) = output.read(&mut chunk) {
                if send.send(chunk[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            keyboard,
            screen,
            seen: String::new(),
            read: 0,
        }
    }

    /// Wait until this appears after what was expected before.
    ///
    /// # Panics
    /// If it does not.
    #[must_use]
    pub fn sees(mut self, text: &str) -> Self {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.seen[self.read..].find(text) {
                self.read += at + text.len();
                return self;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.screen.recv_timeout(left) {
                Ok(chunk) => self.show(&chunk),
                Err(_) => panic!("no {text:?} on the screen:\n{}", self.seen),
            }
        }
    }

    /// Type a line and press Enter.
    #[must_use]
    pub fn types(self, line: &str) -> Self {
        self.presses(&format!("{line}\r"))
    }

    /// Press keys.
    #[must_use]
    pub fn presses(mut self, keys: &str) -> Self {
        self.keyboard
            .write_all(keys.as_bytes())
            .and_then(|()| self.keyboard.flush())
            .unwrap_or_else(|error| panic!("{error}, the screen:\n{}", self.seen));
        self
    }

    /// Press Ctrl-C.
    #[must_use]
    pub fn presses_ctrl_c(self) -> Self {
        self.presses("\u{3}")
    }

    /// Wait for the end, and give everything that was on the screen.
    ///
    /// # Panics
    /// If it does not end, or with another status.
    pub fn exit(mut self, status: i32) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.screen.recv_timeout(left) {
                Ok(chunk) => self.show(&chunk),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("it goes on:\n{}", self.seen),
            }
        }
        let ended = self
            .child
            .wait()
            .expect("the end of a child can be awaited");
        assert_eq!(ended.code(), Some(status), "the screen:\n{}", self.seen);
        std::mem::take(&mut self.seen)
    }

    /// Colours and cursor movements are taken out, so that what is expected reads as it is seen.
    fn show(&mut self, chunk: &[u8]) {
        let text = String::from_utf8_lossy(chunk);
        let mut rest = text.chars().peekable();
        while let Some(character) = rest.next() {
            if character != '\u{1b}' {
                self.seen.push(character);
            } else if rest.next_if_eq(&'[').is_some() {
                while rest.next().is_some_and(|c| !c.is_ascii_alphabetic()) {}
            }
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Ends `script`, whose terminal hangs up what runs in it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A word as the shell must be told it.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}
