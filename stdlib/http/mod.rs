//! HTTP: ask servers, change things on them, move files, wait until one answers.
//!
//! Reads (`get`, `head`, `options`, `query`, `wait_for`) also run in a dry run; everything else is a
//! change. The permission names the host, with its port where that is not the scheme's own:
//! `http: ["api.example.org", "localhost:9090"]`.
//!
//! A response is a map: `status`, `ok`, `headers` (names in lower case), `body` (a string, or a blob
//! where it is not UTF-8), `json` (the value of a JSON body, else `()`), `url`, `elapsed`, `attempts`.
//! A status of 400 and above is an error unless `check: false` or `expect: [404]` says otherwise.
//!
//! Redirects are followed on the same host only: another host is another permission. Proxies are taken
//! from `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`, certificates from the system; `[target.X.http]` in
//! `ccrun.toml` may name a `ca` file to trust as well.

mod body;
mod change;
mod options;
mod read;
mod transfer;
mod wait;

#[cfg(test)]
mod tests;

use std::time::Instant;

use ccrun_kernel::rhai::Map;
use ccrun_kernel::{Cx, Namespace, Result, primitives};

use crate::web::{Exchange, Request};

/// Registers the namespace.
#[must_use]
pub fn namespace() -> Namespace {
    Namespace::new(
        "http",
        "HTTP: ask servers, change things on them, move files.",
    )
    .target_key("http")
    .primitives(primitives![
        read::get,
        read::head,
        read::options_,
        read::query,
        change::post,
        change::put,
        change::patch,
        change::delete,
        change::request,
        transfer::download,
        transfer::upload,
        wait::wait_for,
    ])
}

/// Send a request; the response as scripts see it.
async fn run(cx: &Cx, request: Request) -> Result<Map> {
    let exchange = Exchange::new(cx, request).await?;
    let started = Instant::now();
    let (answer, attempts) = exchange.run().await?;
    Ok(answer.into_map(started.elapsed(), attempts))
}
