//! Changing what a server holds.

use ccrun_kernel::rhai::Map;
use ccrun_kernel::{Cx, Error, Preview, Result, primitive};
use reqwest::Method;

use super::options::RequestOptions;
use crate::web::{Address, Intent};

async fn change(
    cx: &Cx,
    method: Method,
    address: &Address,
    options: &RequestOptions,
) -> Result<Map> {
    let retries = options.retries.unwrap_or(0);
    super::run(
        cx,
        options.request(method, Intent::Change, address, retries)?,
    )
    .await
}

fn preview(
    cx: &Cx,
    method: &Method,
    address: &Address,
    options: &RequestOptions,
) -> Result<Preview> {
    options.content()?;
    let mut summary = format!("{method} {address}");
    if let Some(body) = options.describe_body(cx) {
        const LONGEST: usize = 200;
        let end = body.char_indices().nth(LONGEST).map(|(end, _)| end);
        let shown = end.map_or_else(|| body.clone(), |end| format!("{}…", &body[..end]));
        summary.push_str(&format!(" with {shown}"));
    }
    Ok(Preview::new(summary))
}

/// POST to a URL, and return the response as a map (as `http::get`).
///
/// It is sent once: a retry could do twice what the first attempt did without our seeing the answer.
/// Where the server recognises repetitions, say `retries: 3`. What only asks belongs in `http::query`.
///
/// # Errors
/// As `http::get`. After `http.timeout` and `http.connection_lost` the server may have carried it out.
///
/// # Example
/// ```rhai,no_run
/// let made = http::post("https://example.org/api/tasks", #{
///     json: #{ title: "renew the certificate" },
///     bearer: secret("API_TOKEN"),
/// });
/// print(`${made.status}: ${made.json.id}`);
/// ```
#[primitive(change, needs = http(url.authority()), preview = post_preview)]
async fn post(cx: &Cx, url: Address, options: RequestOptions) -> Result<Map> {
    change(cx, Method::POST, &url, &options).await
}

async fn post_preview(cx: &Cx, url: &Address, options: &RequestOptions) -> Result<Preview> {
    preview(cx, &Method::POST, url, options)
}

/// PUT to a URL: what is there becomes what is sent.
///
/// # Errors
/// As `http::post`.
///
/// # Example
/// ```rhai,no_run
/// http::put("http://localhost:2019/config/apps/http", #{ json: #{ servers: #{} } });
/// ```
#[primitive(change, needs = http(url.authority()), preview = put_preview)]
async fn put(cx: &Cx, url: Address, options: RequestOptions) -> Result<Map> {
    change(cx, Method::PUT, &url, &options).await
}

async fn put_preview(cx: &Cx, url: &Address, options: &RequestOptions) -> Result<Preview> {
    preview(cx, &Method::PUT, url, options)
}

/// PATCH a URL: a part of what is there changes.
///
/// # Errors
/// As `http::post`.
///
/// # Example
/// ```rhai,no_run
/// http::patch("https://example.org/api/tasks?id=eq.7", #{ json: #{ done: true } });
/// ```
#[primitive(change, needs = http(url.authority()), preview = patch_preview)]
async fn patch(cx: &Cx, url: Address, options: RequestOptions) -> Result<Map> {
    change(cx, Method::PATCH, &url, &options).await
}

async fn patch_preview(cx: &Cx, url: &Address, options: &RequestOptions) -> Result<Preview> {
    preview(cx, &Method::PATCH, url, options)
}

/// DELETE what a URL names.
///
/// # Errors
/// As `http::post`.
///
/// # Example
/// ```rhai,no_run
/// http::delete("https://example.org/api/silences/42", #{ expect: [200, 404] });
/// ```
#[primitive(change, needs = http(url.authority()), preview = delete_preview)]
async fn delete(cx: &Cx, url: Address, options: RequestOptions) -> Result<Map> {
    change(cx, Method::DELETE, &url, &options).await
}

async fn delete_preview(cx: &Cx, url: &Address, options: &RequestOptions) -> Result<Preview> {
    preview(cx, &Method::DELETE, url, options)
}

/// Send any method, such as those of WebDAV.
///
/// # Errors
/// As `http::post`.
///
/// # Example
/// ```rhai,no_run
/// http::request("MKCOL", "https://example.org/dav/backups", #{ expect: [201, 405] });
/// ```
#[primitive(change, needs = http(url.authority()), preview = request_preview)]
async fn request(cx: &Cx, method: String, url: Address, options: RequestOptions) -> Result<Map> {
    change(cx, parse(&method)?, &url, &options).await
}

async fn request_preview(
    cx: &Cx,
    method: &str,
    url: &Address,
    options: &RequestOptions,
) -> Result<Preview> {
    preview(cx, &parse(method)?, url, options)
}

/// A method's name, which servers compare with capitals.
pub fn parse(method: &str) -> Result<Method> {
    Method::from_bytes(method.to_ascii_uppercase().as_bytes()).map_err(|_| {
        Error::new(
            "http.invalid_request",
            format!("`{method}` can't be the name of a method"),
        )
    })
}
