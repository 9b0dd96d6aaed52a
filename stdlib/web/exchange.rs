//! One request and its answer, with retries and redirects.

use std::time::Duration;

use ccrun_kernel::event::Level;
use ccrun_kernel::value::Size;
use ccrun_kernel::{Cx, Error, Result};
use reqwest::header::{CONTENT_TYPE, HeaderMap, LOCATION};
use reqwest::{Method, Response, StatusCode};

use super::address::{Address, authority};
use super::client::{Connection, Http, Intent};
use super::response::{self, Answer};
use super::{failure, pause};

/// As browsers and curl do it, within bounds.
const MOST_REDIRECTS: usize = 10;

/// What is asked, and how patiently.
#[derive(Clone)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Whether it changes something on the server.
    pub intent: Intent,
    /// Where it goes.
    pub address: Address,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Option<Vec<u8>>,
    /// What the connection is made of.
    pub connection: Connection,
    /// How long one attempt may take, body included.
    pub timeout: Duration,
    /// How often it is tried again.
    pub retries: u32,
    /// The pause before the first retry; doubled each time.
    pub backoff: Duration,
    /// No server may make the run wait longer, whatever its `Retry-After` says.
    pub longest_wait: Duration,
    /// Which statuses may be gone at the next attempt.
    pub may_pass: fn(StatusCode) -> bool,
    /// Which statuses are no error.
    pub expect: Expect,
    /// Whether redirects to the same host are followed.
    pub follow: bool,
    /// The most that is read of the answer.
    pub max_body: Size,
}

/// Which statuses are no error.
#[derive(Clone)]
pub enum Expect {
    /// All below 400.
    Success,
    /// These.
    These(Vec<u16>),
    /// All.
    Any,
}

impl Request {
    /// A request as it is usually made: 30 s, no retry.
    #[must_use]
    pub fn new(method: Method, intent: Intent, address: Address) -> Self {
        Self {
            method,
            intent,
            address,
            headers: HeaderMap::new(),
            body: None,
            connection: Connection::default(),
            timeout: Duration::from_secs(30),
            retries: 0,
            backoff: Duration::from_millis(500),
            longest_wait: Duration::from_secs(120),
            may_pass,
            expect: Expect::Success,
            follow: true,
            max_body: Size::from_bytes(8 << 20),
        }
    }
}

/// A request that can be sent as often as necessary.
pub struct Exchange<'a> {
    cx: &'a Cx,
    client: reqwest::Client,
    request: Request,
}

impl<'a> Exchange<'a> {
    /// Prepare a request.
    ///
    /// # Errors
    /// `read_only`, `http.certificate`, `http.address`
    pub async fn new(cx: &'a Cx, request: Request) -> Result<Self> {
        let http = cx.client::<Http>().await?;
        http.check(&request.method, request.intent)?;
        let client = http.connections(&request.connection)?;
        if request.connection.insecure {
            cx.log(
                Level::Warn,
                format!(
                    "the certificate of {} is not checked",
                    request.address.authority()
                ),
            );
        }
        Ok(Self {
            cx,
            client,
            request,
        })
    }

    /// Send it, and give the answer and how many attempts it took.
    ///
    /// # Errors
    /// `http.status` and what connecting says.
    pub async fn run(&self) -> Result<(Answer, u32)> {
        let Request {
            method,
            address,
            retries,
            ..
        } = &self.request;
        let mut retry = 0;
        loop {
            let failed = match self.attempt().await {
                Ok(answer) if self.is_expected(answer.status) => {
                    return Ok((answer, retry + 1));
                }
                Ok(answer) => Failed {
                    wait: answer.retry_after,
                    retryable: (self.request.may_pass)(answer.status),
                    error: answer.into_error(method, address),
                },
                Err(error) => Failed {
                    wait: None,
                    retryable: error.is_retryable(),
                    error,
                },
            };
            if !failed.retryable || retry >= *retries {
                return Err(match retry {
                    0 => failed.error,
                    _ => failed.error.detail("attempts", retry + 1),
                });
            }
            let wait = match failed.wait {
                Some(asked) if asked > self.request.longest_wait => {
                    return Err(failed.error.hint(format!(
                        "the server asks to be left alone for {}: run it again then",
                        ccrun_kernel::value::Duration::from(asked)
                    )));
                }
                Some(asked) => asked,
                None => pause::before(retry, self.request.backoff),
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
        match &self.request.expect {
            Expect::These(expected) => expected.contains(&status.as_u16()),
            Expect::Success => status.as_u16() < 400,
            Expect::Any => true,
        }
    }

    async fn attempt(&self) -> Result<Answer> {
        let timeout = self.request.timeout;
        let attempt = async {
            let mut address = self.request.address.clone();
            let mut method = self.request.method.clone();
            let mut body = self.request.body.as_ref();
            for _ in 0..=MOST_REDIRECTS {
                let response = self.send(&method, &address, body, timeout).await?;
                let Some(next) = self.redirect(&response, &address)? else {
                    return response::read(response, &address, self.request.max_body, timeout)
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
                format!("{} redirects in a circle", self.request.address),
            )
            .hint("`follow: false` shows the first redirect"))
        };
        match tokio::time::timeout(timeout, attempt).await {
            Ok(done) => done,
            Err(_) => Err(Error::new(
                "http.timeout",
                format!(
                    "{} did not answer within {}",
                    self.request.address,
                    ccrun_kernel::value::Duration::from(timeout)
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
        body: Option<&Vec<u8>>,
        timeout: Duration,
    ) -> Result<Response> {
        let mut headers = self.request.headers.clone();
        if body.is_none() {
            headers.remove(CONTENT_TYPE);
        }
        let mut request = self
            .client
            .request(method.clone(), address.url().clone())
            .headers(headers);
        if let Some(body) = body {
            request = request.body(body.clone());
        }
        request
            .send()
            .await
            .map_err(|error| failure::of(error, address, timeout))
    }

    /// Where a response sends us, if we are to go there.
    fn redirect(&self, response: &Response, address: &Address) -> Result<Option<Address>> {
        if !self.request.follow {
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
