//! Waiting until a server answers as it should.

use std::time::Instant;

use ccrun_kernel::rhai::Map;
use ccrun_kernel::value::{Duration, Size};
use ccrun_kernel::{Cx, Error, Result, primitive};
use reqwest::Method;

use super::body;
use super::options::WaitOptions;
use crate::web::response::{self, Answer};
use crate::web::{Address, Connection, Http, failure};

/// Wait until a URL answers, and return that response.
///
/// GET every `interval` until the status is `status` (without it: below 400) and the body contains
/// `contains`. What was seen last is shown while it waits.
///
/// # Errors
/// `http.wait_timeout` with what was seen last; what waiting can't mend, at once: `http.tls`,
/// `http.invalid_request`, `http.certificate`.
///
/// # Example
/// ```rhai,no_run
/// http::wait_for("http://localhost:3001/ready", #{ timeout: "2m" });
/// http::wait_for("https://example.org/", #{ contains: "<title>Command Center" });
/// ```
#[primitive(read, volatile, needs = http(url.authority()))]
async fn wait_for(cx: &Cx, url: Address, options: WaitOptions) -> Result<Map> {
    let http = cx.client::<Http>().await?;
    let host = url.url().host_str().unwrap_or_default();
    let client = http.connections(&Connection {
        connect_timeout: options.attempt_timeout.to_std(),
        ca: options.ca.as_ref().map(|ca| ca.bytes().to_vec()),
        insecure: options.insecure,
        connect_to: options
            .connect_to
            .clone()
            .map(|address| (host.to_owned(), address)),
        ..Connection::default()
    })?;
    let headers = body::headers(
        options.headers.as_ref(),
        options.bearer.as_ref(),
        options.basic.as_ref(),
        &url,
        None,
    )?;
    let started = Instant::now();
    let mut progress = cx.progress(format!("waiting for {url}"), None);
    let mut attempts = 0;
    loop {
        attempts += 1;
        let request = client
            .request(Method::GET, url.url().clone())
            .headers(headers.clone());
        let seen = match attempt(request, &url, &options).await {
            Ok(answer) => match wanting(&answer, &options) {
                None => return Ok(answer.into_map(started.elapsed(), attempts)),
                Some(wanting) => wanting,
            },
            Err(error) if error.is_retryable() => error.message().to_owned(),
            Err(error) => return Err(error),
        };
        if started.elapsed() + options.interval.to_std() > options.timeout.to_std() {
            return Err(Error::new(
                "http.wait_timeout",
                format!(
                    "{url} was not as expected within {}; seen last: {seen}",
                    options.timeout
                ),
            )
            .hint("look at the service's log; `timeout:` waits longer")
            .detail("attempts", attempts)
            .retryable());
        }
        progress.message(format!("waiting for {url}: {seen}"));
        tokio::time::sleep(options.interval.to_std()).await;
    }
}

async fn attempt(
    request: reqwest::RequestBuilder,
    url: &Address,
    options: &WaitOptions,
) -> Result<Answer> {
    const MOST: Size = Size::from_bytes(8 << 20);
    let timeout = options.attempt_timeout.to_std();
    let exchange = async {
        let response = request
            .send()
            .await
            .map_err(|error| failure::of(error, url, timeout))?;
        response::read(response, url, MOST, timeout).await
    };
    match tokio::time::timeout(timeout, exchange).await {
        Ok(done) => done,
        Err(_) => Err(Error::new(
            "http.timeout",
            format!("no answer within {}", Duration::from(timeout)),
        )
        .retryable()),
    }
}

/// What an answer lacks, if anything.
fn wanting(answer: &Answer, options: &WaitOptions) -> Option<String> {
    let status = answer.status.as_u16();
    match options.status {
        Some(wanted) if wanted != status => return Some(format!("status {status}, not {wanted}")),
        None if status >= 400 => return Some(format!("status {status}")),
        _ => {}
    }
    let text = options.contains.as_ref()?;
    let found = answer.text().is_some_and(|body| body.contains(text));
    (!found).then(|| format!("status {status}, without {text:?} in the body"))
}
