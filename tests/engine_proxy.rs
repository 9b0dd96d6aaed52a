//! A socket before the Docker engine's, which can go away: an engine that is stopped, as its clients see it.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// The engine's own socket.
const ENGINE: &str = "/var/run/docker.sock";

/// The socket. Gone when it is dropped.
pub struct EngineProxy {
    path: PathBuf,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    open: Mutex<Vec<UnixStream>>,
    requests: AtomicU64,
    /// After so many connections it goes away; 0 is never.
    limit: AtomicU64,
}

impl EngineProxy {
    /// A socket at `path`.
    ///
    /// # Panics
    /// If it can't be made.
    #[must_use]
    pub fn start(path: &Path) -> Self {
        let proxy = Self {
            path: path.to_owned(),
            shared: Arc::default(),
        };
        proxy.come_back();
        proxy
    }

    /// What `DOCKER_HOST` says for it.
    #[must_use]
    pub fn address(&self) -> String {
        format!("unix://{}", self.path.display())
    }

    /// Go away after so many more connections.
    pub fn go_away_after(&self, connections: u64) {
        let now = self.shared.requests.load(Ordering::SeqCst);
        self.shared.limit.store(now + connections, Ordering::SeqCst);
    }

    /// Whether it has gone away.
    #[must_use]
    pub fn is_away(&self) -> bool {
        !self.path.exists()
    }

    /// Be there again.
    ///
    /// # Panics
    /// If the socket can't be made.
    pub fn come_back(&self) {
        self.shared.limit.store(0, Ordering::SeqCst);
        let _ = std::fs::remove_file(&self.path);
        let listener = UnixListener::bind(&self.path).expect("the socket");
        let (shared, path) = (Arc::clone(&self.shared), self.path.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let count = shared.requests.fetch_add(1, Ordering::SeqCst) + 1;
                let limit = shared.limit.load(Ordering::SeqCst);
                if limit > 0 && count > limit {
                    let _ = std::fs::remove_file(&path);
                    for open in shared.open.lock().expect("the streams").drain(..) {
                        let _ = open.shutdown(Shutdown::Both);
                    }
                    return;
                }
                let Ok(engine) = UnixStream::connect(ENGINE) else {
                    continue;
                };
                let mut open = shared.open.lock().expect("the streams");
                for (from, to) in [(&stream, &engine), (&engine, &stream)] {
                    if let (Ok(from), Ok(to), Ok(kept)) =
                        (from.try_clone(), to.try_clone(), from.try_clone())
                    {
                        open.push(kept);
                        std::thread::spawn(move || pass(from, to));
                    }
                }
            }
        });
    }
}

/// From one to the other until the one ends, which the other is told.
fn pass(mut from: UnixStream, mut to: UnixStream) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count) = from.read(&mut buffer) {
        if count == 0 || to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

impl Drop for EngineProxy {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}
