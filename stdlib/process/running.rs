//! A program that runs: its streams, its end, and ending it.

use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ccrun_kernel::event::Level;
use ccrun_kernel::secret::StreamRedactor;
use ccrun_kernel::value::Size;
use ccrun_kernel::{Cx, Error, Result};
use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::process::Child;
use tokio::task::JoinHandle;

use super::capture::Capture;
use super::finished::Finished;
use crate::files::Content;

/// How long a program may take to end after it was asked to (SIGTERM), before it is killed.
const GRACE: Duration = Duration::from_secs(5);

/// How long a program's children may keep its output open without writing, once it has ended itself.
const IDLE: Duration = Duration::from_millis(500);

/// How much a program may write before it is read: the most that Linux gives without asking (`pipe(7)`).
const PIPE: usize = 1 << 20;

/// The stream that a program writes its results to.
pub type Output = Box<dyn AsyncRead + Send + Unpin>;

/// A program that was started. When this is dropped, the program is ended with its children.
pub struct Running {
    /// First, so that it is dropped first: the program must not be told of a broken pipe.
    group: Group,
    started: Instant,
    stdout: Option<Output>,
    stderr: Option<Output>,
    readers: Vec<Reader>,
    writer: Option<Task>,
}

struct Reader {
    captured: Arc<Mutex<Capture>>,
    task: Task,
}

/// A task that ends with whoever holds it.
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Running {
    pub(super) fn new(
        mut child: Child,
        started: Instant,
        stdin: Option<Content>,
        merged: Option<pipe::Receiver>,
    ) -> Self {
        fn boxed(stream: impl AsyncRead + Send + Unpin + 'static) -> Output {
            Box::new(stream)
        }
        if let Some(stdout) = &child.stdout {
            // Fewer turns between the program and us for what writes gigabytes. Where the system gives no more, 64 KiB do.
            let _size = rustix::pipe::fcntl_setpipe_size(stdout, PIPE);
        }
        let stdout = merged.map(boxed).or_else(|| child.stdout.take().map(boxed));
        let stderr = child.stderr.take().map(boxed);
        let writer = child.stdin.take().zip(stdin).map(|(mut pipe, content)| {
            Task(tokio::spawn(async move {
                // A program may end without reading everything; its status says whether that is bad.
                drop(pipe.write_all(content.bytes()).await);
            }))
        });
        Self {
            group: Group::new(child),
            started,
            stdout,
            stderr,
            readers: Vec::new(),
            writer,
        }
    }

    /// Standard output, to be read by the caller.
    pub fn take_stdout(&mut self) -> Option<Output> {
        self.stdout.take()
    }

    /// Keep what the program writes (and nobody else reads) up to `limit` per stream; `echo` also
    /// tells it to the operator line by line.
    pub fn capture(&mut self, cx: &Cx, limit: Size, echo: bool) {
        for stream in [self.stdout.take(), self.stderr.take()] {
            let captured = Arc::new(Mutex::new(Capture::new(limit)));
            let into = Arc::clone(&captured);
            let echo = echo.then(|| Echo {
                cx: cx.clone(),
                masked: cx.redactor().stream(),
                line: Vec::new(),
            });
            let task = Task(tokio::spawn(async move {
                if let Some(stream) = stream {
                    read(stream, &into, echo).await;
                }
            }));
            self.readers.push(Reader { captured, task });
        }
    }

    /// Wait until it ends.
    ///
    /// # Errors
    /// `sh.timeout` when that is over before; the program is ended then.
    pub async fn finish(mut self, timeout: Option<Duration>, shown: &str) -> Result<Finished> {
        // A timeout beyond what the clock can say is none.
        let until = timeout.and_then(|timeout| self.started.checked_add(timeout));
        let status = match until {
            None => self.group.wait().await,
            Some(until) => match tokio::time::timeout_at(until.into(), self.group.wait()).await {
                Ok(status) => status,
                Err(_) => {
                    self.group.end().await;
                    let elapsed = ccrun_kernel::value::Duration::measured(until - self.started);
                    let finished = self.collect(None).await;
                    let message = format!("`{shown}` did not end within {elapsed}");
                    return Err(finished.explain("sh.timeout", &message).retryable().hint(
                        "it was ended (SIGTERM, then SIGKILL); give it a longer `timeout`, or find out what it waits for",
                    ));
                }
            },
        };
        let status = status.map_err(|error| {
            Error::new("sh.failed", format!("lost sight of `{shown}`: {error}"))
        })?;
        Ok(self.collect(Some(status)).await)
    }

    /// Ask it to end, and wait until it has.
    pub async fn end(mut self) {
        self.group.end().await;
    }

    async fn collect(mut self, status: Option<ExitStatus>) -> Finished {
        let elapsed = self.started.elapsed();
        self.writer = None;
        let mut captures = Vec::new();
        for mut reader in std::mem::take(&mut self.readers) {
            reader.drain().await;
            captures.push(reader.captured);
        }
        let mut captures = captures.into_iter().map(|captured| {
            std::mem::replace(&mut *captured.lock(), Capture::new(Size::default()))
        });
        let nothing = || Capture::new(Size::default());
        Finished {
            status,
            elapsed,
            stdout: captures.next().unwrap_or_else(nothing),
            stderr: captures.next().unwrap_or_else(nothing),
        }
    }
}

impl Reader {
    /// Wait for the end of the stream. A child that was left in the background may keep it open for
    /// ever: then until nothing has come for a while.
    async fn drain(&mut self) {
        loop {
            let before = self.captured.lock().total();
            let ended = tokio::time::timeout(IDLE, &mut self.task.0).await.is_ok();
            if ended || self.captured.lock().total() == before {
                return;
            }
        }
    }
}

async fn read(mut stream: Output, into: &Mutex<Capture>, mut echo: Option<Echo>) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read) = stream.read(&mut buffer).await
        && read > 0
    {
        into.lock().push(&buffer[..read]);
        if let Some(echo) = &mut echo {
            echo.push(&buffer[..read]);
        }
    }
}

/// Tells output to the operator, line by line.
struct Echo {
    cx: Cx,
    /// A secret may be split over two chunks, two lines, or two pieces of a long line.
    masked: StreamRedactor,
    line: Vec<u8>,
}

impl Echo {
    /// A line that goes on for longer is told in pieces.
    const LONGEST: usize = 4096;

    fn push(&mut self, bytes: &[u8]) {
        let shown = self.masked.push(bytes);
        self.split(&shown);
    }

    fn split(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            for piece in piece.chunks(Self::LONGEST) {
                self.line.extend_from_slice(piece);
                if piece.ends_with(b"\n") || self.line.len() >= Self::LONGEST {
                    self.tell();
                }
            }
        }
    }

    fn tell(&mut self) {
        let line = String::from_utf8_lossy(&self.line).trim_end().to_owned();
        self.line.clear();
        self.cx.log(Level::Info, line);
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let rest = self.masked.finish();
        self.split(&rest);
        if !self.line.is_empty() {
            self.tell();
        }
    }
}

/// The process group of a program.
struct Group {
    /// `None` once it is known how it ended.
    child: Option<Child>,
    id: Option<Pid>,
    runtime: tokio::runtime::Handle,
}

impl Group {
    fn new(child: Child) -> Self {
        let id = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw);
        Self {
            child: Some(child),
            id,
            runtime: tokio::runtime::Handle::current(),
        }
    }

    async fn wait(&mut self) -> std::io::Result<ExitStatus> {
        let Some(child) = &mut self.child else {
            return Err(std::io::Error::other("it was waited for already"));
        };
        let status = child.wait().await?;
        self.child = None;
        Ok(status)
    }

    async fn end(&mut self) {
        if let (Some(child), Some(id)) = (self.child.take(), self.id) {
            end(child, Kill(id)).await;
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let (Some(child), Some(id)) = (self.child.take(), self.id) {
            // Sent here and now: the task may come too late when ccrun itself ends.
            let _ = kill_process_group(id, Signal::TERM);
            self.runtime.spawn(end(child, Kill(id)));
        }
    }
}

/// Ask the whole group to end, and kill what is left of it after a grace.
async fn end(mut child: Child, kill: Kill) {
    let _ = kill_process_group(kill.0, Signal::TERM);
    let gone = async {
        drop(child.wait().await);
        // Nobody tells when a process ends that is not one's own child.
        let mut look = tokio::time::interval(Duration::from_millis(10));
        while test_kill_process_group(kill.0).is_ok() {
            look.tick().await;
        }
    };
    if tokio::time::timeout(GRACE, gone).await.is_ok() {
        // Its number may belong to somebody else by now.
        std::mem::forget(kill);
    }
}

/// Kills a process group when it is dropped, also when ccrun ends before the grace is over.
struct Kill(Pid);

impl Drop for Kill {
    fn drop(&mut self) {
        let _ = kill_process_group(self.0, Signal::KILL);
    }
}
