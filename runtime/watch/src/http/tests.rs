use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Instant;

use ccrun_kernel::runbook::parse;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;
use crate::catalog::Catalog;
use crate::host::{Found, Settings};
use crate::ledger::Ledger;
use crate::shared::{Event, Hook, Routes};

const RUNBOOK: &str = r#"runbook(#{ on: [
    #{ webhook: "/deploy", secret: "S", signature: "github", when: #{ "ref": "refs/heads/main" }, rate: "100000/1m" },
    #{ webhook: "/rare", secret: "S", rate: "1/1h" },
    #{ alert: "Down", secret: "S", rate: "1000/1m" },
] });"#;

struct Scene {
    _folder: tempfile::TempDir,
    shared: Arc<Shared>,
    server: Server,
    _events: UnboundedReceiver<Event>,
}

async fn scene(settings: Settings) -> Scene {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(folder.path()).await.unwrap();
    let (sender, events) = unbounded_channel();
    let settings = Settings {
        listen: Some(([127, 0, 0, 1], 0).into()),
        ..settings
    };
    let shared = Arc::new(Shared::new(ledger, settings, sender));
    let mut catalog = Catalog::default();
    catalog.update(vec![Found {
        name: "deploy".to_owned(),
        path: "deploy.rhai".into(),
        runbook: parse("deploy.rhai", RUNBOOK),
    }]);
    let mut routes = Routes::default();
    for armed in catalog.triggers() {
        let hook = Hook {
            armed: Arc::clone(armed),
            secret: Some(Arc::from(&b"secret"[..])),
        };
        match &armed.trigger.source {
            ccrun_kernel::runbook::TriggerSource::Webhook(webhook) => {
                routes
                    .hooks
                    .entry(webhook.path.clone())
                    .or_default()
                    .push(hook);
            }
            _ => routes.alerts.push(hook),
        }
    }
    *shared.routes.write() = Arc::new(routes);
    let server = serve(&shared).await.unwrap().unwrap();
    Scene {
        _folder: folder,
        shared,
        server,
        _events: events,
    }
}

fn signature(body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(b"secret").unwrap();
    mac.update(body.as_bytes());
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

fn post(path: &str, headers: &[(&str, &str)], body: &str) -> String {
    let headers: String = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n{headers}content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

impl Scene {
    /// Send this and read until the end: the status, and the rest.
    async fn send(&self, request: String) -> (u16, String) {
        let address = self.server.address;
        tokio::task::spawn_blocking(move || exchange(address, &request))
            .await
            .unwrap()
    }

    async fn signed(&self, path: &str, body: &str) -> u16 {
        let signature = signature(body);
        let request = post(path, &[("x-hub-signature-256", &signature)], body);
        self.send(request).await.0
    }

    async fn get(&self, path: &str, more: &str) -> (u16, String) {
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{more}\r\n");
        self.send(request).await
    }

    async fn fired(&self) -> usize {
        self.shared.ledger.all().await.unwrap().len()
    }
}

fn exchange(address: SocketAddr, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    // The server may answer and close before it has read everything.
    drop(stream.write_all(request.as_bytes()));
    let mut answer = Vec::new();
    drop(stream.read_to_end(&mut answer));
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
    (status.unwrap_or(0), answer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signed_message_fires_once() {
    let scene = scene(Settings::default()).await;
    let body = r#"{"ref":"refs/heads/main","n":1}"#;
    assert_eq!(scene.signed("/deploy", body).await, 202);
    assert_eq!(scene.signed("/deploy", body).await, 200, "a replay");
    assert_eq!(
        scene.signed("/deploy", r#"{"ref":"refs/heads/dev"}"#).await,
        200
    );
    assert_eq!(scene.fired().await, 1);
    let fires = scene.shared.ledger.all().await.unwrap();
    assert_eq!(fires[0].payload["body"]["n"], 1);
    assert!(
        !fires[0].payload.to_string().contains("sha256"),
        "no proof is kept"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_belong_here_is_refused() {
    let scene = scene(Settings {
        body: 1000,
        ..Settings::default()
    })
    .await;
    let body = r#"{"ref":"refs/heads/main"}"#;
    let good = signature(body);
    let signed = |value: &str| post("/deploy", &[("x-hub-signature-256", value)], body);
    let large = "x".repeat(2000);
    for (request, status) in [
        (signed(&signature("other")), 401),
        (signed("sha256="), 401),
        (post("/deploy", &[], body), 401),
        (
            post("/deploy", &[("authorization", "Bearer secret")], body),
            401,
        ),
        (post("/none", &[("x-hub-signature-256", &good)], body), 404),
        (
            "GET /deploy HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".to_owned(),
            405,
        ),
        (
            post(
                "/deploy",
                &[("x-hub-signature-256", &signature(&large))],
                &large,
            ),
            413,
        ),
        (
            format!(
                "POST /deploy HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n7d0\r\n{large}\r\n0\r\n\r\n"
            ),
            413,
        ),
        (
            post("/deploy", &[("x-hub-signature-256", &signature("{"))], "{"),
            400,
        ),
        ("nonsense\r\n\r\n".to_owned(), 400),
        (
            post("/alertmanager", &[("authorization", "Bearer wrong")], "{}"),
            401,
        ),
        (
            post("/alertmanager", &[("authorization", "Bearer secret")], "{}"),
            400,
        ),
    ] {
        let (found, answer) = scene.send(request.clone()).await;
        assert_eq!(found, status, "{request}\n{answer}");
        assert!(!answer.contains("secret"), "{answer}");
    }
    assert_eq!(scene.fired().await, 0);
    let (_, metrics) = scene.get("/metrics", "").await;
    assert!(
        metrics.contains("ccrun_watch_refused_total{reason=\"size\"} 2"),
        "{metrics}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_the_rate_or_the_queue_is_told_to_come_later() {
    let scene = scene(Settings {
        queue: 2,
        ..Settings::default()
    })
    .await;
    let statuses = async |path: &'static str| {
        let mut statuses = Vec::new();
        for n in 0..4 {
            let body = format!(r#"{{"ref":"refs/heads/main","n":{n}}}"#);
            statuses.push(scene.signed(path, &body).await);
        }
        statuses
    };
    assert_eq!(statuses("/rare").await, [202, 429, 429, 429]);
    assert_eq!(statuses("/deploy").await, [202, 202, 429, 429]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_brings_its_labels() {
    let scene = scene(Settings::default()).await;
    let body = r#"{"alerts":[{"status":"firing","labels":{"alertname":"Down","instance":"db"},"startsAt":"2026-01-01T00:00:00Z"}]}"#;
    let request = post("/alertmanager", &[("authorization", "Bearer secret")], body);
    assert_eq!(scene.send(request.clone()).await.0, 202);
    assert_eq!(scene.send(request).await.0, 200, "told again");
    let fires = scene.shared.ledger.all().await.unwrap();
    assert_eq!(
        (fires.len(), &fires[0].params["instance"]),
        (1, &json!("db"))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_and_metrics_want_the_token() {
    let open = scene(Settings::default()).await;
    assert_eq!(open.get("/runs", "").await.0, 200);
    let closed = scene(Settings {
        token: Some("t0ken".to_owned()),
        ..Settings::default()
    })
    .await;
    assert_eq!(closed.get("/healthz", "").await.0, 200);
    for path in ["/runs", "/metrics"] {
        assert_eq!(closed.get(path, "").await.0, 401);
        assert_eq!(
            closed.get(path, "authorization: Bearer t0ke\r\n").await.0,
            401
        );
        assert_eq!(
            closed.get(path, "authorization: Bearer t0ken\r\n").await.0,
            200
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_sender_is_cut_off_and_others_are_served() {
    let scene = scene(Settings::default()).await;
    let address = scene.server.address;
    let began = Instant::now();
    // A head that never ends.
    let slow = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream
            .write_all(b"POST /deploy HTTP/1.1\r\nhost: x\r\n")
            .unwrap();
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer));
    });
    // A body that never ends.
    let dripping = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream
            .write_all(b"POST /deploy HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nab")
            .unwrap();
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer));
        String::from_utf8_lossy(&answer).into_owned()
    });
    assert_eq!(scene.get("/healthz", "").await.0, 200);
    slow.await.unwrap();
    assert!(began.elapsed() < HEAD * 2);
    assert!(dripping.await.unwrap().contains(" 408 "));
    assert!(began.elapsed() < REQUEST * 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_at_once_are_recorded_once_each_and_memory_stays_flat() {
    let scene = scene(Settings {
        queue: 10_000,
        ..Settings::default()
    })
    .await;
    let address = scene.server.address;
    let before = resident();
    let senders: Vec<_> = (0..50)
        .map(|sender| {
            tokio::task::spawn_blocking(move || {
                let padding = "x".repeat(20_000);
                (0..40)
                    .map(|n| {
                        let body = format!(
                            r#"{{"ref":"refs/heads/main","n":{sender},"m":{n},"p":"{padding}"}}"#
                        );
                        let request = post(
                            "/deploy",
                            &[("x-hub-signature-256", &signature(&body))],
                            &body,
                        );
                        // Each is sent twice, as senders do that lose the answer.
                        [exchange(address, &request).0, exchange(address, &request).0]
                    })
                    .filter(|statuses| *statuses == [202, 200])
                    .count()
            })
        })
        .collect();
    let mut good = 0;
    for sender in senders {
        good += sender.await.unwrap();
    }
    assert_eq!(good, 2000);
    assert_eq!(scene.fired().await, 2000);
    let grown = resident().saturating_sub(before);
    assert!(grown < 150 << 20, "{} MiB more", grown >> 20);
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib << 10
}
