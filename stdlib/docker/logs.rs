//! What a container wrote.

use std::collections::VecDeque;
use std::time::Instant;

use bollard::query_parameters::{LogsOptions as Query, LogsOptionsBuilder};
use ccrun_kernel::event::Level;
use ccrun_kernel::rhai::{Array, Dynamic, FnPtr, Map};
use ccrun_kernel::value::{Duration, Size, Timestamp};
use ccrun_kernel::{Caller, Cx, Error, Options, Result, primitive};
use futures::StreamExt as _;
use regex::bytes::Regex;

use super::arguments::Moment;
use super::container::Container;
use super::lines::{Lines, Stream, frame};
use super::pump::Frames;
use crate::engine::Engine;

/// So many frames are looked through before it is asked whether the run is to stop.
const FRAMES_AT_ONCE: usize = 1024;

/// Which lines are wanted.
#[derive(Clone, Options)]
pub struct LogsOptions {
    /// Only lines since then: a `Timestamp`, or how long ago (`"10m"`). To the second.
    since: Option<Moment>,
    /// Only lines before then.
    before: Option<Moment>,
    /// Look only at so many lines at the end.
    tail: Option<u64>,
    /// Only lines that this regular expression matches.
    grep: Option<String>,
    /// What was written to standard output.
    #[option(default = "true")]
    stdout: bool,
    /// What was written to standard error.
    #[option(default = "true")]
    stderr: bool,
    /// Maps with `time`, `stream`, `line` instead of lines.
    #[option(default = "false")]
    timestamps: bool,
    /// So many lines at most, the newest.
    #[option(default = "10000")]
    max: usize,
}

/// Which lines are wanted, and how long they are waited for.
#[derive(Clone, Options)]
pub struct EachLogOptions {
    /// Go on with what the container writes from now on, until it ends.
    #[option(default = "false")]
    follow: bool,
    /// Stop to follow after this time.
    timeout: Option<Duration>,
    /// Only lines since then: a `Timestamp`, or how long ago (`"10m"`). To the second.
    since: Option<Moment>,
    /// Only lines before then.
    before: Option<Moment>,
    /// Begin with so many lines at the end.
    tail: Option<u64>,
    /// Only lines that this regular expression matches.
    grep: Option<String>,
    /// What was written to standard output.
    #[option(default = "true")]
    stdout: bool,
    /// What was written to standard error.
    #[option(default = "true")]
    stderr: bool,
    /// Maps with `time`, `stream`, `line` instead of lines.
    #[option(default = "false")]
    timestamps: bool,
}

/// So much text is given at once at most, whatever `max` says: a script holds no more.
const MOST_TEXT: Size = Size::from_bytes(16 << 20);

impl LogsOptions {
    fn query(&self, follow: bool) -> Query {
        let tail = self
            .tail
            .map_or_else(|| "all".to_owned(), |tail| tail.to_string());
        let mut query = LogsOptionsBuilder::new()
            .follow(follow)
            .stdout(self.stdout)
            .stderr(self.stderr)
            .timestamps(self.timestamps)
            .tail(&tail);
        if let Some(since) = &self.since {
            query = query.since(since.seconds());
        }
        if let Some(before) = &self.before {
            query = query.until(before.seconds());
        }
        query.build()
    }

    fn lines(&self) -> Lines {
        match self.timestamps {
            true => Lines::stamped(),
            false => Lines::default(),
        }
    }

    fn filter(&self) -> Result<Filter> {
        let pattern = match &self.grep {
            Some(text) => Some(Regex::new(text).map_err(|error| {
                Error::new(
                    "docker.pattern",
                    format!("`grep` is no regular expression: {error}"),
                )
            })?),
            None => None,
        };
        Ok(Filter {
            pattern,
            stamped: self.timestamps,
        })
    }
}

impl EachLogOptions {
    fn which(self) -> LogsOptions {
        let Self {
            since,
            before,
            tail,
            grep,
            stdout,
            stderr,
            timestamps,
            ..
        } = self;
        LogsOptions {
            since,
            before,
            tail,
            grep,
            stdout,
            stderr,
            timestamps,
            max: usize::MAX,
        }
    }
}

/// Picks lines.
struct Filter {
    pattern: Option<Regex>,
    stamped: bool,
}

impl Filter {
    fn takes(&self, line: &[u8]) -> bool {
        let Some(pattern) = &self.pattern else {
            return true;
        };
        pattern.is_match(self.split(line).1)
    }

    /// The time and the text.
    fn split<'l>(&self, line: &'l [u8]) -> (Option<&'l [u8]>, &'l [u8]) {
        match line.iter().position(|&byte| byte == b' ') {
            Some(space) if self.stamped => (Some(&line[..space]), &line[space + 1..]),
            _ => (None, line),
        }
    }

    /// As scripts get it.
    fn value(&self, stream: Stream, line: &[u8]) -> Dynamic {
        let (time, text) = self.split(line);
        let text = Dynamic::from(String::from_utf8_lossy(text).into_owned());
        if !self.stamped {
            return text;
        }
        let time = time
            .and_then(|time| std::str::from_utf8(time).ok())
            .and_then(|time| time.parse::<jiff::Timestamp>().ok())
            .map_or(Dynamic::UNIT, |at| Dynamic::from(Timestamp::from(at)));
        Dynamic::from_map(Map::from_iter([
            ("time".into(), time),
            ("stream".into(), stream.name().into()),
            ("line".into(), text),
        ]))
    }
}

/// The newest lines, within bounds.
struct Newest {
    kept: VecDeque<(Stream, Vec<u8>)>,
    bytes: u64,
    left_out: u64,
    max: usize,
}

impl Newest {
    fn push(&mut self, stream: Stream, line: &[u8]) {
        self.bytes += line.len() as u64;
        self.kept.push_back((stream, line.to_vec()));
        while self.kept.len() > self.max || self.bytes > MOST_TEXT.bytes() {
            let Some((_, oldest)) = self.kept.pop_front() else {
                break;
            };
            self.bytes -= oldest.len() as u64;
            self.left_out += 1;
        }
    }
}

impl Container {
    /// The lines that the container wrote, oldest first; with `timestamps: true`, maps with `time`,
    /// `stream` and `line`.
    ///
    /// What is not UTF-8 becomes `�`. The whole log may be of any size: at most `max` lines and 16 MiB, the
    /// newest, are kept, and a warning says how many were left out. To go through all, see `each_log`.
    ///
    /// # Errors
    /// `docker.not_found` if it is gone, `docker.pattern` for a bad `grep`, `docker.failed` if its logging
    /// driver can't be read.
    ///
    /// # Example
    /// ```rhai,no_run
    /// for line in docker::container("postgrest").logs(#{ since: "10m", grep: "(?i)error" }) {
    ///     print(line);
    /// }
    /// ```
    #[primitive(read, volatile, needs = docker(self.name))]
    pub(super) async fn logs(&self, cx: &Cx, options: LogsOptions) -> Result<Array> {
        let filter = options.filter()?;
        let engine = cx.client::<Engine>().await?;
        let mut frames = Frames::new(&engine, &self.id, options.query(false));
        let mut newest = Newest {
            kept: VecDeque::new(),
            bytes: 0,
            left_out: 0,
            max: options.max,
        };
        let mut lines = options.lines();
        while let Some(next) = frames.next().await {
            let (stream, bytes) = frame(next.map_err(|error| self.unreadable(&engine, error))?);
            lines.push(stream, &bytes, |stream, line| {
                if filter.takes(line) {
                    newest.push(stream, line);
                }
            });
        }
        lines.finish(|stream, line| {
            if filter.takes(line) {
                newest.push(stream, line);
            }
        });
        if newest.left_out > 0 {
            let message = format!(
                "{}: {} older lines are left out (see `max`)",
                self.name, newest.left_out
            );
            cx.log(Level::Warn, message);
        }
        Ok(newest
            .kept
            .iter()
            .map(|(stream, line)| filter.value(*stream, line))
            .collect())
    }

    /// Call a closure with each line that the container wrote, and with `follow: true` with what it writes
    /// from now on. Returns how many lines there were.
    ///
    /// A closure that returns `false` ends it. A log of any size goes through; the engine waits while the
    /// closure works.
    ///
    /// # Errors
    /// As `logs`, and what the closure throws.
    ///
    /// # Example
    /// ```rhai,no_run
    /// docker::container("postgres").each_log(#{ follow: true, tail: 0, timeout: "1m" }, |line| {
    ///     print(line);
    ///     !line.contains("ready to accept connections")
    /// });
    /// ```
    #[primitive(read, volatile, needs = docker(self.name))]
    pub(super) fn each_log(
        &self,
        cx: &Cx,
        call: &Caller<'_>,
        options: EachLogOptions,
        closure: FnPtr,
    ) -> Result<u64> {
        let until = options
            .timeout
            .and_then(|timeout| Instant::now().checked_add(timeout.to_std()));
        let follow = options.follow;
        let options = options.which();
        let filter = options.filter()?;
        let engine = cx.block_on(cx.client::<Engine>())?;
        let query = options.query(follow);
        let mut frames = cx.block_on(async { Ok(Frames::new(&engine, &self.id, query)) })?;
        let mut lines = options.lines();
        let mut ready: Vec<Dynamic> = Vec::new();
        let mut count = 0;
        loop {
            // Frames go by on the runtime's side until one has something for the closure: to come back for
            // each would cost more than to look through it.
            let ended = cx.block_on(async {
                // A container that writes without end is never waited for: then nobody else looks
                // whether the run is cancelled.
                tokio::task::yield_now().await;
                for _ in 0..FRAMES_AT_ONCE {
                    let next = match until {
                        None => frames.next().await,
                        Some(until) => tokio::time::timeout_at(until.into(), frames.next())
                            .await
                            .unwrap_or(None),
                    };
                    let Some(next) = next else {
                        std::mem::take(&mut lines).finish(|stream, line| {
                            if filter.takes(line) {
                                ready.push(filter.value(stream, line));
                            }
                        });
                        return Ok(true);
                    };
                    let (stream, bytes) =
                        frame(next.map_err(|error| self.unreadable(&engine, error))?);
                    let mut found = false;
                    lines.push(stream, &bytes, |stream, line| {
                        if filter.takes(line) {
                            found = true;
                            ready.push(filter.value(stream, line));
                        }
                    });
                    if found {
                        break;
                    }
                }
                Ok(false)
            })?;
            for line in ready.drain(..) {
                count += 1;
                if call.invoke(&closure, [line])?.as_bool() == Ok(false) {
                    return Ok(count);
                }
            }
            if ended {
                return Ok(count);
            }
        }
    }

    fn unreadable(&self, engine: &Engine, error: bollard::errors::Error) -> Error {
        engine.failed(&format!("read the log of {}", self.name), error)
    }

    /// The last lines that it wrote, for an error message.
    pub(super) async fn last_lines(&self, cx: &Cx, count: u64) -> Vec<String> {
        let Ok(engine) = cx.client::<Engine>().await else {
            return Vec::new();
        };
        let query = LogsOptionsBuilder::new()
            .stdout(true)
            .stderr(true)
            .tail(&count.to_string())
            .build();
        let mut frames = Frames::new(&engine, &self.id, query);
        let (mut lines, mut told) = (Lines::default(), Vec::new());
        let mut keep = |_: Stream, line: &[u8]| {
            told.push(String::from_utf8_lossy(line).chars().take(300).collect());
        };
        while let Some(Ok(next)) = frames.next().await {
            let (stream, bytes) = frame(next);
            lines.push(stream, &bytes, &mut keep);
        }
        lines.finish(&mut keep);
        told
    }
}
