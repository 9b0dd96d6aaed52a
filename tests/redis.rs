//! A Redis of one's own, for tests.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::docker::{Containers, docker};

/// A server with a password.
pub struct Redis {
    /// Where it listens.
    pub address: SocketAddr,
    /// The name of its container.
    pub container: String,
    _containers: Containers,
}

/// What it wants to hear.
pub const PASSWORD: &str = "correct-horse-of-redis";

impl Redis {
    /// Start one, and wait until it answers.
    ///
    /// # Panics
    /// If it does not within 30 seconds.
    #[must_use]
    pub fn start() -> Self {
        let containers = Containers::new();
        let container = containers.run_image(
            "redis",
            "ccrun-testbed/redis",
            &["--publish", "127.0.0.1::6379"],
            &["redis-server", "--requirepass", PASSWORD, "--save", ""],
        );
        let address = containers.port(&container, 6379);
        let deadline = Instant::now() + Duration::from_secs(30);
        while !answers(address) {
            assert!(Instant::now() < deadline, "Redis does not answer");
            std::thread::yield_now();
        }
        Self {
            address,
            container,
            _containers: containers,
        }
    }

    /// What the server's own tool gives.
    #[must_use]
    pub fn cli(&self, command: &[&str]) -> String {
        let mut arguments = vec![
            "exec",
            &self.container,
            "redis-cli",
            "--no-auth-warning",
            "-a",
            PASSWORD,
        ];
        arguments.extend(command);
        docker(&arguments)
    }
}

fn answers(address: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else {
        return false;
    };
    let mut answer = [0; 7];
    stream
        .set_read_timeout(Some(Duration::from_secs(1)))
        .is_ok()
        && stream.write_all(b"PING\r\n").is_ok()
        && stream.read_exact(&mut answer).is_ok()
        && answer == *b"-NOAUTH"
}
