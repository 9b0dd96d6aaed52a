//! Faults, for tests of what happens then: containers that stop, hang or lose their network, a full disk, a
//! server that fails, breaks off or is slow. Each is undone when its handle is dropped, also after a panic.
#![allow(
    clippy::disallowed_methods,
    reason = "a helper of tests, which breaks things and is no primitive"
)]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::docker::docker;

/// Takes a fault back when it is dropped.
#[must_use = "the fault ends when this is dropped"]
pub struct Fault(Vec<Vec<String>>);

impl Fault {
    fn undone_by(commands: &[&[&str]]) -> Self {
        let owned = |command: &&[&str]| command.iter().map(|&word| word.to_owned()).collect();
        Self(commands.iter().map(owned).collect())
    }
}

impl Drop for Fault {
    fn drop(&mut self) {
        for command in &self.0 {
            // The container may be gone: then there is nothing to take back.
            drop(Command::new(&command[0]).args(&command[1..]).output());
        }
    }
}

/// Stop a container: whoever connects is refused.
pub fn stopped(container: &str) -> Fault {
    let _name = docker(&["stop", "--time", "1", container]);
    Fault::undone_by(&[&["docker", "start", container]])
}

/// Let a container hang: whoever connects waits.
pub fn paused(container: &str) -> Fault {
    let _name = docker(&["pause", container]);
    Fault::undone_by(&[&["docker", "unpause", container]])
}

/// Cut a container off from a network.
pub fn cut_off(container: &str, network: &str) -> Fault {
    let _nothing = docker(&["network", "disconnect", network, container]);
    Fault::undone_by(&[&["docker", "network", "connect", network, container]])
}

/// A folder on a disk of its own, so small that it is soon full. Needs root.
pub struct SmallDisk {
    folder: PathBuf,
    _unmounted: Fault,
}

impl SmallDisk {
    /// Mount one of so many KiB at this folder.
    ///
    /// # Panics
    /// If it can't be mounted: only root may.
    #[must_use]
    pub fn at(folder: &Path, kib: u32) -> Self {
        std::fs::create_dir_all(folder).expect("the folder");
        let place = folder.display().to_string();
        let size = format!("size={kib}k,mode=700");
        let output = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs", &place])
            .output()
            .expect("mount");
        assert!(
            output.status.success(),
            "run this test as root, who may mount: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Self {
            folder: folder.to_owned(),
            _unmounted: Fault::undone_by(&[&["umount", "--lazy", &place]]),
        }
    }

    /// Fill it up.
    ///
    /// # Panics
    /// If the file can't be made.
    pub fn fill(&self) {
        let mut file = std::fs::File::create(self.folder.join("filler")).expect("a file");
        let block = [0; 1024];
        while file.write_all(&block).is_ok() {}
    }

    /// Make room again.
    ///
    /// # Panics
    /// If it was not filled.
    pub fn empty(&self) {
        std::fs::remove_file(self.folder.join("filler")).expect("the filler");
    }
}

/// What a proxy does to a connection.
#[derive(Debug, Clone, Copy)]
pub enum Misbehaviour {
    /// Nothing.
    None,
    /// Answer with this HTTP status instead of asking the server.
    Status(u16),
    /// Break the connection off after so many bytes of the answer, with a reset.
    ResetAfter(usize),
    /// Wait before the answer.
    Delay(Duration),
    /// Take the request and say nothing for so long, then close.
    Hang(Duration),
    /// Close the connection after so many bytes of the answer, as if it were complete.
    CutAfter(usize),
}

/// A proxy on loopback before a real server, which misbehaves for the next connections as it is told.
pub struct FaultyProxy {
    /// Where it listens.
    pub port: u16,
    plan: Arc<Mutex<Vec<Misbehaviour>>>,
    line: Arc<Mutex<Line>>,
}

/// What goes through the proxy.
#[derive(Default)]
struct Line {
    cut: bool,
    open: Vec<TcpStream>,
}

impl FaultyProxy {
    /// Before this server.
    ///
    /// # Panics
    /// If there is no port left.
    #[must_use]
    pub fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("its number").port();
        let plan: Arc<Mutex<Vec<Misbehaviour>>> = Arc::default();
        let planned = Arc::clone(&plan);
        let line: Arc<Mutex<Line>> = Arc::default();
        let state = Arc::clone(&line);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                {
                    let mut line = state.lock().unwrap_or_else(PoisonError::into_inner);
                    if line.cut {
                        reset(&client);
                        continue;
                    }
                    line.open.extend(client.try_clone());
                }
                let mut plan = planned.lock().unwrap_or_else(PoisonError::into_inner);
                let next = if plan.is_empty() {
                    Misbehaviour::None
                } else {
                    plan.remove(0)
                };
                let (peer, state) = (client.peer_addr().ok(), Arc::clone(&state));
                std::thread::spawn(move || {
                    serve(client, server, next);
                    // The connection ends with the last that holds it.
                    let mut line = state.lock().unwrap_or_else(PoisonError::into_inner);
                    line.open.retain(|open| open.peer_addr().ok() != peer);
                });
            }
        });
        Self { port, plan, line }
    }

    /// Cut the network: what is under way breaks off, and nobody is let in until [`Self::mend`].
    pub fn cut(&self) {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        line.cut = true;
        for connection in line.open.drain(..) {
            reset(&connection);
        }
    }

    /// The network is back.
    pub fn mend(&self) {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        line.cut = false;
    }

    /// Behave from now on.
    pub fn behave(&self) {
        let mut plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        plan.clear();
    }

    /// Do this to the next so many connections.
    pub fn next(&self, times: usize, misbehaviour: Misbehaviour) {
        let mut plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        plan.extend(std::iter::repeat_n(misbehaviour, times));
    }
}

fn serve(mut client: TcpStream, server: SocketAddr, misbehaviour: Misbehaviour) {
    if let Misbehaviour::Status(status) = misbehaviour {
        let mut request = [0; 4096];
        let _read = client.read(&mut request);
        let answer =
            format!("HTTP/1.1 {status} Fault\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
        let _written = client.write_all(answer.as_bytes());
        return;
    }
    if let Misbehaviour::Hang(silence) = misbehaviour {
        let mut request = [0; 4096];
        let _read = client.read(&mut request);
        std::thread::sleep(silence);
        return;
    }
    let Ok(upstream) = TcpStream::connect(server) else {
        return;
    };
    let (Ok(mut from_client), Ok(mut to_server)) = (client.try_clone(), upstream.try_clone())
    else {
        return;
    };
    std::thread::spawn(move || {
        let _copied = std::io::copy(&mut from_client, &mut to_server);
        let _closed = to_server.shutdown(Shutdown::Write);
    });
    if let Misbehaviour::Delay(delay) = misbehaviour {
        std::thread::sleep(delay);
    }
    let mut limited: Box<dyn Read> = match misbehaviour {
        Misbehaviour::ResetAfter(bytes) | Misbehaviour::CutAfter(bytes) => {
            Box::new(upstream.take(bytes as u64))
        }
        _ => Box::new(upstream),
    };
    let _copied = std::io::copy(&mut limited, &mut client);
    match misbehaviour {
        Misbehaviour::ResetAfter(_) => reset(&client),
        Misbehaviour::CutAfter(_) => drop(client.shutdown(Shutdown::Both)),
        _ => {}
    }
}

/// Closed with unread input and no lingering, a connection ends with a reset.
fn reset(connection: &TcpStream) {
    let _set = rustix::net::sockopt::set_socket_linger(connection, Some(Duration::ZERO));
    // The other direction waits for the client, and holds the connection open.
    let _closed = connection.shutdown(Shutdown::Read);
}

/// SIGKILL the programs of one of these names that a process has started, or those that it has.
///
/// # Panics
/// If there is no /proc.
pub fn kill_programs_of(process: u32, names: &[&str]) {
    for (pid, parent, name) in processes() {
        if parent == process {
            if names.contains(&name.as_str()) {
                // It may be gone by now.
                drop(Command::new("kill").args(["-9", &pid.to_string()]).output());
            } else {
                kill_programs_of(pid, names);
            }
        }
    }
}

/// The number, the parent and the name of each process.
fn processes() -> Vec<(u32, u32, String)> {
    let entries = std::fs::read_dir("/proc").expect("/proc").flatten();
    let about = entries.filter_map(|entry| {
        let text = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        // `12 (a name) S 1 …`: the name may have anything in it.
        let (pid, rest) = text.split_once(" (")?;
        let (name, rest) = rest.rsplit_once(") ")?;
        let parent = rest.split(' ').nth(1)?;
        Some((pid.parse().ok()?, parent.parse().ok()?, name.to_owned()))
    });
    about.collect()
}
