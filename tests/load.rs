//! A constant load of HTTP requests, as users make it: each on a connection of its own.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// A load that goes on until it is stopped.
pub struct Load {
    stop: Arc<AtomicBool>,
    workers: Vec<JoinHandle<Outcome>>,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Requests that were answered with 200.
    pub good: u64,
    /// The others: what was asked, and what came back.
    pub failed: Vec<String>,
    /// How long the slowest took that was answered.
    pub slowest: Duration,
}

/// How long a request may take.
const PATIENCE: Duration = Duration::from_secs(15);

impl Load {
    /// Ask for these paths on this port of this machine, over and over.
    ///
    /// # Panics
    /// If no thread can be had.
    #[must_use]
    pub fn start(port: u16, paths: &[&str]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let workers = paths
            .iter()
            .map(|path| {
                let (path, stop) = ((*path).to_owned(), Arc::clone(&stop));
                std::thread::spawn(move || {
                    let mut outcome = Outcome::default();
                    while !stop.load(Ordering::Relaxed) {
                        let begun = std::time::Instant::now();
                        match ask(port, &path) {
                            Ok(answer) if answer.starts_with("HTTP/1.1 200 ") => {
                                outcome.good += 1;
                                outcome.slowest = outcome.slowest.max(begun.elapsed());
                            }
                            Ok(answer) => {
                                let line = answer.lines().next().unwrap_or("an empty answer");
                                outcome.failed.push(format!("{path}: {line}"));
                            }
                            Err(error) => outcome.failed.push(format!("{path}: {error}")),
                        }
                        // So many a second as a small machine bears beside what is tested.
                        std::thread::sleep(Duration::from_millis(10));
                    }
                    outcome
                })
            })
            .collect();
        Self { stop, workers }
    }

    /// Stop, and say what came of it.
    ///
    /// # Panics
    /// If a worker did.
    #[must_use]
    pub fn stop(self) -> Outcome {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Outcome::default();
        for worker in self.workers {
            let one = worker.join().expect("a worker ends");
            all.good += one.good;
            all.failed.extend(one.failed);
            all.slowest = all.slowest.max(one.slowest);
        }
        all
    }
}

fn ask(port: u16, path: &str) -> std::io::Result<String> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    let _length = stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
