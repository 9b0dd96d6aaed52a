//! A daemon for tests, the requests that reach it, and patience with a deadline.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::typed::Story;

/// `ccrun watch` in the folder of a story. It is killed with what it started when dropped.
pub struct Watching {
    child: Child,
    /// What it said goes here.
    pub log: std::path::PathBuf,
}

/// A port that is free now.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("its address").port()
}

/// Wait until something is so.
///
/// # Panics
/// If that takes longer than a minute.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < deadline, "not within a minute: {what}");
        // Not waiting for time to pass: leaving the processor to what is waited for.
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

impl Watching {
    /// Start it.
    ///
    /// # Panics
    /// If it can't be started.
    #[must_use]
    pub fn begin(story: &Story, line: &str) -> Self {
        let log = story.path("watch.log");
        let file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .expect("the log");
        let mut command = story.command(line);
        command.stdout(Stdio::null()).stderr(file);
        let child = command.spawn().expect("ccrun starts");
        Self { child, log }
    }

    /// Start it and wait until it watches.
    ///
    /// # Panics
    /// If it does not.
    #[must_use]
    pub fn ready(story: &Story, line: &str) -> Self {
        let before = std::fs::read_to_string(story.path("watch.log")).unwrap_or_default();
        let mut watching = Self::begin(story, line);
        until("the daemon watches", || {
            if let Ok(Some(status)) = watching.child.try_wait() {
                panic!("the daemon ended with {status}: {}", watching.said());
            }
            watching.said()[before.len()..].contains("watching: ")
        });
        watching
    }

    /// What it said, and the daemons before it in this folder.
    #[must_use]
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Kill it as a lost power supply would; the runs that it started go on.
    pub fn kill(mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// Ask it to stop, and wait until it did: its status.
    ///
    /// # Panics
    /// If it does not.
    pub fn stop(self) -> i32 {
        self.signal(rustix::process::Signal::TERM);
        self.ends()
    }

    /// Wait until it stopped: its status.
    ///
    /// # Panics
    /// If it does not.
    pub fn ends(mut self) -> i32 {
        until("the daemon stops", || {
            matches!(self.child.try_wait(), Ok(Some(_)))
        });
        let status = self.child.wait().expect("its status");
        status.code().unwrap_or(-1)
    }

    /// Send it a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        if let Ok(pid) = i32::try_from(self.child.id())
            && let Some(pid) = rustix::process::Pid::from_raw(pid)
        {
            let _ = rustix::process::kill_process(pid, signal);
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Send a request and read the whole answer: the status, and all of it. 0 if nobody answers.
#[must_use]
pub fn request(port: u16, head: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let Ok(mut stream) = TcpStream::connect(address) else {
        return (0, String::new());
    };
    drop(stream.set_read_timeout(Some(Duration::from_secs(20))));
    let headers: String = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let request = format!(
        "{head} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n{body}",
        body.len()
    );
    drop(stream.write_all(request.as_bytes()));
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
    (status.unwrap_or(0), answer)
}
