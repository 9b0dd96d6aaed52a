//! One request and its answer, with retries and redirects.

use std::time::{Duration, Instant};

use ccrun_kernel::event::Level;
use ccrun_kernel::rhai::Map;
use ccrun_kernel::{Cx, Error, Result};
use reqwest::header::{HeaderMap, LOCATION};
use reqwest::{Method, Response, StatusCode};

use super::address::{Address, authority};
use super::body::{self, Body};
use super::client::{Http, Intent};
use super::options::RequestOptions;
use super::response;
use super::{failure, pause};

/// As browsers and curl do it, within bounds.
const MOST_REDIRECTS: usize = 10;

/// No server may make a run wait longer.
const LONGEST_ASKED: Duration = Duration::from_secs(120);

/// A request that can be sent as often as necessary.
pub struct Exchange<'a> {
    cx: &'a Cx,
    client: reqwest::Client,
    method: Method,
    address: Address,
    headers: HeaderMap,
    body: Option<Body>,
    options: &'a RequestOptions,
}

impl<'a> Exchange<'a> {
    /// Prepare a request.
    ///
    /// # Errors
    /// `read_only`, `http.invalid_request`, `http.certificate`, `http.address`
    pub async fn new(
        cx: &'a Cx,
        method: Method,
        intent: Intent,
        address: &Address,
        options: &'a RequestOptions,
    ) -> Result<Self> {
        let http = cx.client::<Http>().await?;
        http.check(&method, intent)?;
        let host = address.url().host_str().unwrap_or_default();
        let client = http.connections(&options.connection(host))?;
        if options.insecure {
            cx.log(
                Level::Warn,
                format!("the certificate of {} is not checked", address.authority()),
            );
        }
        let body = options.content()?;
        let headers = body::headers(
            options.headers.as_ref(),
            options.bearer.as_ref(),
            options.basic.as_ref(),
            address,
            body.as_ref().and_then(|body| body.content_type),
        )?;
        let query = options.query.as_ref().map_or(Ok(Vec::new()), body::pairs)?;
        Ok(Self {
            cx,
            client,
            method,
            address: address.with_query(&query),
            headers,
            body,
            options,
        })
    }

    /// Send it, and give the response as scripts see it.
    ///
    /// # Errors
    /// `http.status` and what connecting says.
    pub async fn run(&self, retries: u32) -> Result<Map> {
        let started = Instant::now();
        let mut retry = 0;
        loop {
            let failed = match self.attempt().await {
                Ok(answer) if self.is_expected(answer.status) => {
                    return Ok(answer.into_map(started.elapsed(), retry + 1));
                }
                Ok(answer) => Failed {
                    wait: answer.retry_after,
                    retryable: may_pass(answer.status),
                    error: answer.into_error(&self.method, &self.address),
                },
                Err(error) => Failed {
                    wait: None,
                    retryable: error.is_retryable(),
                    error,
                },
            };
            if !failed.retryable || retry >= retries {
                return Err(match retry {
                    0 => failed.error,
                    _ => failed.error.detail("attempts", retry + 1),
                });
            }
            let wait = match failed.wait {
                Some(asked) if asked > LONGEST_ASKED => {
                    return Err(failed.error.hint(format!(
                        "the server asks to be left alone for {}: run it again then",
                        ccrun_kernel::value::Duration::from(asked)
                    )));
                }
                Some(asked) => asked,
                None => pause::before(retry, self.options.backoff.to_std()),
            };
            retry += 1;
            self.cx.log(
                Level::Debug,
                format!(
                    "{}; retry {retry} of {retries} in {}",
                    failed.error,
                    ccrun_kernel::value::Duration::from(wait)
                ),
            );
            tokio::time::sleep(wait).await;
        }
    }

    fn is_expected(&self, status: StatusCode) -> bool {
        match &self.options.expect {
            Some(expected) => expected.contains(&status.as_u16()),
            None => !self.options.check || status.as_u16() < 400,
        }
    }

    async fn attempt(&self) -> Result<response::Answer> {
        let timeout = self.options.timeout.to_std();
        let attempt = async {
            let mut address = self.address.clone();
            let mut method = self.method.clone();
            let mut body = self.body.as_ref();
            for _ in 0..=MOST_REDIRECTS {
                let response = self.send(&method, &address, body, timeout).await?;
                let Some(next) = self.redirect(&response, &address)? else {
                    return response::read(response, &address, self.options.max_body, timeout)
                        .await;
                };
                // A 303, and by long custom a 301 or 302 after POST, asks for the other page by GET
                // (RFC 9110, 15.4).
                let status = response.status();
                let changes_method = status == StatusCode::SEE_OTHER
                    || (method == Method::POST
                        && matches!(status, StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND));
                if changes_method && method != Method::HEAD {
                    method = Method::GET;
                    body = None;
                }
                address = next;
            }
            Err(Error::new(
                "http.too_many_redirects",
                format!("{} redirects in a circle", self.address),
            )
            .hint("`follow: false` shows the first redirect"))
        };
        match tokio::time::timeout(timeout, attempt).await {
            Ok(done) => done,
            Err(_) => Err(Error::new(
                "http.timeout",
                format!(
                    "{} did not answer within {}",
                    self.address, self.options.timeout
                ),
            )
            .hint("is the server overloaded? give it more with `timeout:`, or look at its log")
            .retryable()),
        }
    }

    async fn send(
        &self,
        method: &Method,
        address: &Address,
        body: Option<&Body>,
        timeout: Duration,
    ) -> Result<Response> {
        let mut headers = self.headers.clone();
        if body.is_none() {
            headers.remove(reqwest::header::CONTENT_TYPE);
        }
        let mut request = self
            .client
            .request(method.clone(), address.url().clone())
            .headers(headers);
        if let Some(body) = body {
            request = request.body(body.bytes.clone());
        }
        request
            .send()
            .await
            .map_err(|error| failure::of(error, address, timeout))
    }

    /// Where a response sends us, if we are to go there.
    fn redirect(&self, response: &Response, address: &Address) -> Result<Option<Address>> {
        if !self.options.follow {
            return Ok(None);
        }
        redirect(response, address)
    }
}

/// The address that a redirect names, if it is one.
///
/// # Errors
/// `http.redirect_elsewhere` for another host, or from `https` to `http`.
pub fn redirect(response: &Response, address: &Address) -> Result<Option<Address>> {
    let is_redirect = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    let location = response
        .headers()
        .get(LOCATION)
        .and_then(|location| location.to_str().ok());
    let (true, Some(location)) = (is_redirect, location) else {
        return Ok(None);
    };
    let Ok(next) = address.url().join(location) else {
        return Ok(None);
    };
    let same_host = next.host_str() == address.url().host_str();
    // To https on the same host is where servers send everyone; ports then differ by nature.
    let upgraded = same_host
        && address.url().scheme() == "http"
        && next.scheme() == "https"
        && address.url().port().is_none()
        && next.port().is_none();
    let same = next.scheme() == address.url().scheme() && authority(&next) == address.authority();
    if same || upgraded {
        return Ok(Some(address.moved_to(next)));
    }
    let elsewhere = authority(&next);
    Err(Error::new(
        "http.redirect_elsewhere",
        format!("{address} redirects to {}://{elsewhere}", next.scheme()),
    )
    .hint(format!(
        "if that is right, ask for `{next}` itself and allow `http: [\"{elsewhere}\"]`; `follow: false` returns the redirect"
    ))
    .detail("location", next.to_string()))
}

struct Failed {
    error: Error,
    retryable: bool,
    wait: Option<Duration>,
}

/// Statuses that may be gone at the next attempt.
pub fn may_pass(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 502 | 503 | 504)
}
