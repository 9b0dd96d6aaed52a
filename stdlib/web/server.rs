//! A server on loopback that answers as a test wants.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use parking_lot::Mutex;

/// What was asked.
#[derive(Debug, Clone, Default)]
pub struct Request {
    pub method: String,
    pub target: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    fn read(stream: &TcpStream) -> Option<Self> {
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let mut words = line.split_whitespace();
        let mut request = Self {
            method: words.next()?.to_owned(),
            target: words.next()?.to_owned(),
            ..Self::default()
        };
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                break;
            };
            request
                .headers
                .insert(name.to_ascii_lowercase(), value.to_owned());
        }
        let length = request.header("content-length").parse().unwrap_or(0);
        request.body = vec![0; length];
        reader.read_exact(&mut request.body).ok()?;
        Some(request)
    }
}

/// What is answered: bytes as they go over the wire; then the connection is closed.
pub struct Reply(Vec<u8>);

impl Reply {
    pub fn new(status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        let mut given: Vec<(&str, &str)> = headers.to_vec();
        let length = body.len().to_string();
        if !headers.iter().any(|(name, _)| *name == "content-length") {
            given.push(("content-length", &length));
        }
        let mut bytes = format!("HTTP/1.1 {status} Said\r\nconnection: close\r\n");
        for (name, value) in given {
            bytes.push_str(&format!("{name}: {value}\r\n"));
        }
        bytes.push_str("\r\n");
        let mut bytes = bytes.into_bytes();
        bytes.extend_from_slice(body);
        Self(bytes)
    }

    pub fn text(status: u16, body: &str) -> Self {
        Self::new(status, &[("content-type", "text/plain")], body)
    }

    pub fn json(status: u16, body: &str) -> Self {
        Self::new(
            status,
            &[("content-type", "application/json; charset=utf-8")],
            body,
        )
    }

    /// Hang up without a word.
    pub fn nothing() -> Self {
        Self(Vec::new())
    }
}

/// A server; what it was asked is kept.
pub struct Server {
    pub port: u16,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Answer each request by a function that is also told how many there were before.
    pub fn start(answer: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen: Arc<Mutex<Vec<Request>>> = Arc::default();
        let kept = Arc::clone(&seen);
        let answer = Arc::new(answer);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (kept, answer) = (Arc::clone(&kept), Arc::clone(&answer));
                std::thread::spawn(move || {
                    let Some(request) = Request::read(&stream) else {
                        return;
                    };
                    let before = {
                        let mut kept = kept.lock();
                        kept.push(request.clone());
                        kept.len() - 1
                    };
                    let Reply(bytes) = answer(&request, before);
                    let _ = (&stream).write_all(&bytes);
                });
            }
        });
        Self { port, seen }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub fn seen(&self) -> Vec<Request> {
        self.seen.lock().clone()
    }
}
