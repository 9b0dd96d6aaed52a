//! SeaweedFS, as the reference stack starts it, for tests of what is kept in a store.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::docker::{Containers, docker, docker_with};
use crate::stack::root;

/// An object store of one's own.
pub struct Seaweed {
    /// Where it speaks S3.
    pub address: SocketAddr,
    _containers: Containers,
}

/// Who may do everything there.
pub const ACCESS_KEY: &str = "test-access-key";

/// The secret that goes with it.
pub const SECRET_KEY: &str = "test-secret-key-of-nobody";

impl Seaweed {
    /// Start one, and wait until it serves.
    ///
    /// # Panics
    /// If it does not within a minute.
    #[must_use]
    pub fn start() -> Self {
        let containers = Containers::new();
        let name = format!("{}-seaweedfs", containers.name);
        let script = root().join("runbooks/stack/seaweedfs/start.sh");
        let keys = [("S3_ACCESS_KEY", ACCESS_KEY), ("S3_SECRET_KEY", SECRET_KEY)];
        let arguments = [
            "run",
            "--detach",
            "--name",
            &name,
            "--label",
            "ccrun.test=docker",
            "--label",
            &containers.label(),
            "--hostname",
            "seaweedfs",
            "--publish",
            "127.0.0.1::8333",
            "--env",
            "S3_ACCESS_KEY",
            "--env",
            "S3_SECRET_KEY",
            "--volume",
            &format!("{}:/start.sh:ro", script.display()),
            "--volume",
            "/data",
            "--entrypoint",
            "sh",
            "ccrun-testbed/seaweedfs:latest",
            "/start.sh",
        ];
        let _id = docker_with(&keys, &arguments);
        let port = docker(&["port", &name, "8333/tcp"]);
        let address: SocketAddr = port
            .lines()
            .next()
            .and_then(|line| line.parse().ok())
            .expect("its address");
        let deadline = Instant::now() + Duration::from_secs(60);
        while !is_ready(address) {
            assert!(Instant::now() < deadline, "SeaweedFS does not serve");
            std::thread::sleep(Duration::from_millis(100));
        }
        Self {
            address,
            _containers: containers,
        }
    }

    /// The section of a target that names a bucket of it, reached at a port of this machine.
    #[must_use]
    pub fn section(&self, port: u16, bucket: &str) -> String {
        format!(
            "s3 = {{ endpoint = \"http://127.0.0.1:{port}\", bucket = \"{bucket}\", access_key = \"{ACCESS_KEY}\", secret_key = \"secret:S3_SECRET_KEY\" }}\n"
        )
    }
}

fn is_ready(address: SocketAddr) -> bool {
    use std::io::{Read as _, Write as _};
    let Ok(mut stream) = std::net::TcpStream::connect(address) else {
        return false;
    };
    let _set = stream.set_read_timeout(Some(Duration::from_secs(2)));
    let asked = stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n");
    let mut answer = [0; 12];
    asked.is_ok() && stream.read_exact(&mut answer).is_ok() && answer.ends_with(b" 200")
}
