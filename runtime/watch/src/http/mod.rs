//! The daemon's HTTP server: health, metrics, runs, webhooks.
//!
//! Everything has a bound: connections, the time for a request, the size of a body, the firings that
//! wait. A message is recorded in the ledger before it is answered with 202.

mod answer;
mod hooks;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ccrun_kernel::{Error, Result};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::shared::Shared;
use crate::webhook::same;
use answer::{Answer, json as as_json, refused, text};

/// So many connections at once; the next ones wait in the system's queue.
const CONNECTIONS: usize = 256;
/// A request's head must be here by then.
const HEAD: Duration = Duration::from_secs(5);
/// A request must be answered by then, its body included.
const REQUEST: Duration = Duration::from_secs(15);
/// A connection is closed after this, however busy.
const CONNECTION: Duration = Duration::from_secs(120);
/// A daemon whose loop stood still for so long, in seconds, is not healthy.
const SILENCE: i64 = 30;

/// The server. It ends when this is dropped.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Listen where the settings say, if they do.
///
/// # Errors
/// `watch.listen`
pub async fn serve(shared: &Arc<Shared>) -> Result<Option<Server>> {
    let Some(address) = shared.settings.read().listen else {
        return Ok(None);
    };
    let failed = |error: std::io::Error| {
        Error::new("watch.listen", format!("can't listen on {address}: {error}")).hint(
            "see who does with `ss -ltnp`; `[watch] listen` in ccrun.toml says where, \"off\" turns it off",
        )
    };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let shared = Arc::clone(shared);
    let task = tokio::spawn(accept(listener, shared));
    Ok(Some(Server { address, task }))
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&connections).acquire_owned().await else {
            return;
        };
        let Ok((stream, from)) = listener.accept().await else {
            // Out of file descriptors: there will be some again.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        drop(stream.set_nodelay(true));
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let shared = Arc::clone(&shared);
                async move { Ok::<_, std::convert::Infallible>(within(request, from, &shared).await) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD)
                .max_buf_size(16 * 1024)
                .serve_connection(TokioIo::new(stream), service);
            // How a connection ends concerns whoever opened it.
            drop(tokio::time::timeout(CONNECTION, connection).await);
            drop(permit);
        });
    }
}

async fn within(request: Request<Incoming>, from: SocketAddr, shared: &Arc<Shared>) -> Answer {
    match tokio::time::timeout(REQUEST, route(request, from, shared)).await {
        Ok(answer) => answer,
        Err(_) => {
            shared.metrics.refused("slow");
            let mut answer = refused(408, "the request took too long");
            answer.headers_mut().insert(
                "connection",
                hyper::header::HeaderValue::from_static("close"),
            );
            answer
        }
    }
}

async fn route(request: Request<Incoming>, from: SocketAddr, shared: &Arc<Shared>) -> Answer {
    let path = request.uri().path().to_owned();
    let get = request.method() == Method::GET || request.method() == Method::HEAD;
    match path.as_str() {
        "/healthz" if get => health(shared),
        "/metrics" | "/runs" if get && !may_look(&request, from, shared) => {
            shared.metrics.refused("token");
            refused(401, "say `Authorization: Bearer TOKEN`")
        }
        "/metrics" if get => match shared.ledger.last().await {
            Ok(last) => text(200, shared.metrics.text(&last)),
            Err(error) => refused(503, &error.to_string()),
        },
        "/runs" if get => match shared.ledger.recent().await {
            Ok(fires) => as_json(200, &fires.iter().map(answer::fire).collect()),
            Err(error) => refused(503, &error.to_string()),
        },
        _ => {
            let trusted = may_look(&request, from, shared);
            hooks::take(request, &path, trusted, shared).await
        }
    }
}

fn health(shared: &Shared) -> Answer {
    let silence = shared.silence();
    let well = silence < SILENCE;
    let role = if shared.leads() { "leader" } else { "standby" };
    let body: Value = json!({
        "status": if well { "ok" } else { "stuck" },
        "role": role,
        "silent_seconds": silence,
    });
    as_json(if well { 200 } else { 503 }, &body)
}

/// Metrics and runs are for whoever has the token; without a token, for this host.
fn may_look(request: &Request<Incoming>, from: SocketAddr, shared: &Shared) -> bool {
    match &shared.settings.read().token {
        None => from.ip().is_loopback(),
        Some(token) => request
            .headers()
            .get("authorization")
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "))
            .is_some_and(|given| same(given.as_bytes(), token.as_bytes())),
    }
}
