//! The way to an engine on another machine by ssh.
//!
//! As the Docker CLI does it: `docker system dial-stdio` over there is one connection to its engine. All of them go
//! through one connection of OpenSSH, which asks for keys, agents and `~/.ssh/config` as usual, and through a socket
//! here, to which the engine's client speaks as to one on this machine.
#![allow(
    clippy::disallowed_methods,
    reason = "this is part of the client that the engine's connection comes from"
)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ccrun_kernel::{Error, Result};
use openssh::{KnownHosts, Session, SessionBuilder, Stdio};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, copy};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::AbortHandle;

use super::failure::unreachable_by_ssh;
use super::host::Host;

/// How long the machine may take to answer at all.
const PATIENCE: Duration = Duration::from_secs(15);

/// After so long without a word the connection is taken for dead.
const ALIVE: Duration = Duration::from_secs(15);

/// Of what the other side says of its trouble, so much is kept.
const WORDS: u64 = 2000;

/// A socket here behind which the engine over there is. Closed when it is dropped.
pub struct Tunnel {
    socket: PathBuf,
    said: Arc<Mutex<String>>,
    accepting: AbortHandle,
    _folder: tempfile::TempDir,
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Tunnel {
    /// Connect to `ssh://user@machine:port`.
    ///
    /// # Errors
    /// `docker.unreachable`, `docker.denied`
    pub async fn open(host: &Host) -> Result<Self> {
        let session = SessionBuilder::default()
            // A machine that was never seen is remembered; one that shows another key than before is refused.
            .known_hosts_check(KnownHosts::Add)
            .connect_timeout(PATIENCE)
            .server_alive_interval(ALIVE)
            .connect(&host.address)
            .await
            .map_err(|error| unreachable_by_ssh(host, &error))?;
        let failed = |error: std::io::Error| {
            Error::new(
                "docker.unreachable",
                format!("could not make a socket for {}: {error}", host.address),
            )
        };
        let folder = tempfile::Builder::new()
            .prefix("ccrun-ssh-")
            .tempdir()
            .map_err(failed)?;
        let socket = folder.path().join("docker.sock");
        let listener = UnixListener::bind(&socket).map_err(failed)?;
        let said = Arc::new(Mutex::new(String::new()));
        let accepting = tokio::spawn(accept(listener, Arc::new(session), Arc::clone(&said)));
        Ok(Self {
            socket,
            said,
            accepting: accepting.abort_handle(),
            _folder: folder,
        })
    }

    /// The socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// What the other side said when it could not connect to its engine; empty if it said nothing.
    pub fn said(&self) -> String {
        self.said.lock().trim().to_owned()
    }
}

async fn accept(listener: UnixListener, session: Arc<Session>, said: Arc<Mutex<String>>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(pass(stream, Arc::clone(&session), Arc::clone(&said)));
    }
}

/// One connection, until both sides are done with it.
async fn pass(stream: UnixStream, session: Arc<Session>, said: Arc<Mutex<String>>) {
    let child = session
        .arc_command("docker")
        .args(["system", "dial-stdio"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .await;
    let mut child = match child {
        Ok(child) => child,
        Err(error) => {
            *said.lock() = error.to_string();
            return;
        }
    };
    let pipes = (
        child.stdin().take(),
        child.stdout().take(),
        child.stderr().take(),
    );
    let (Some(mut to), Some(mut from), Some(errors)) = pipes else {
        return;
    };
    let (mut ours, mut theirs) = stream.into_split();
    let sending = async {
        let _ = copy(&mut ours, &mut to).await;
        drop(to);
    };
    let receiving = async {
        let _ = copy(&mut from, &mut theirs).await;
        drop(theirs);
    };
    let listening = async {
        let mut words = String::new();
        if errors.take(WORDS).read_to_string(&mut words).await.is_ok() && !words.is_empty() {
            *said.lock() = words;
        }
    };
    // When the other side has ended, what we would still send is for nobody.
    tokio::select! {
        _ = async { tokio::join!(receiving, listening) } => {}
        () = async { sending.await; std::future::pending().await } => {}
    }
    let _ = child.disconnect().await;
}
