//! Asking.

use ccrun_kernel::rhai::Map;
use ccrun_kernel::{Cx, Result, primitive};
use reqwest::Method;

use super::options::RequestOptions;
use crate::web::{Address, Intent};

/// How often a read is tried again by itself.
const READ_RETRIES: u32 = 2;

async fn ask(cx: &Cx, method: Method, address: &Address, options: &RequestOptions) -> Result<Map> {
    let retries = options.retries.unwrap_or(READ_RETRIES);
    super::run(cx, options.request(method, Intent::Ask, address, retries)?).await
}

/// GET a URL, and return the response as a map (`status`, `ok`, `headers`, `body`, `json`, `url`,
/// `elapsed`, `attempts`).
///
/// Tried up to three times when the server can't be reached or is busy.
///
/// # Errors
/// `http.status` (its `code` is the status, `details.body` the answer) from 400 on,
/// `http.connection_refused`, `http.dns`, `http.timeout`, `http.tls`, `http.connection_lost`,
/// `http.unreachable`, `http.redirect_elsewhere` (`details.location`), `http.too_many_redirects`,
/// `http.body_too_large`, `http.invalid_request`.
///
/// # Example
/// ```rhai,no_run
/// let targets = http::get("http://localhost:9090/api/v1/targets", #{ query: #{ state: "active" } }).json;
/// for target in targets.data.activeTargets {
///     print(`${target.scrapeUrl}: ${target.health}`);
/// }
/// if http::get("https://example.org/health", #{ check: false }).status == 503 {
///     print("in maintenance");
/// }
/// ```
#[primitive(read, volatile, needs = http(url.authority()))]
async fn get(cx: &Cx, url: Address, options: RequestOptions) -> Result<Map> {
    ask(cx, Method::GET, &url, &options).await
}

/// Ask for the headers of a URL only. The `body` is empty.
///
/// # Errors
/// As `http::get`.
///
/// # Example
/// ```rhai,no_run
/// print(http::head("https://example.org/release.tar.zst").headers["content-length"]);
/// ```
#[primitive(read, volatile, needs = http(url.authority()))]
async fn head(cx: &Cx, url: Address, options: RequestOptions) -> Result<Map> {
    ask(cx, Method::HEAD, &url, &options).await
}

/// Ask what a server allows on a URL: its answer to OPTIONS, with the CORS headers that a browser's
/// preflight would see.
///
/// # Errors
/// As `http::get`.
///
/// # Example
/// ```rhai,no_run
/// let cors = http::options("https://example.org/api/tasks", #{
///     headers: #{ Origin: "https://app.example.org", "Access-Control-Request-Method": "POST" },
/// });
/// print(cors.headers["access-control-allow-origin"]);
/// ```
#[primitive(read, volatile, name = "options", needs = http(url.authority()))]
async fn options_(cx: &Cx, url: Address, options: RequestOptions) -> Result<Map> {
    ask(cx, Method::OPTIONS, &url, &options).await
}

/// POST a question: a request that changes nothing, though its method could. It also runs in a dry run.
///
/// That it only asks is a promise of the runbook's author: for searches, GraphQL queries, or an RPC that
/// reads.
///
/// # Errors
/// As `http::get`.
///
/// # Example
/// ```rhai,no_run
/// let answer = http::query("https://example.org/graphql", #{ json: #{ query: "{ version }" } });
/// print(answer.json.data.version);
/// ```
#[primitive(read, volatile, needs = http(url.authority()))]
async fn query(cx: &Cx, url: Address, options: RequestOptions) -> Result<Map> {
    ask(cx, Method::POST, &url, &options).await
}
