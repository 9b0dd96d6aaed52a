//! Files from servers and to servers, streamed.

use std::io::Write as _;
use std::time::Instant;

use ccrun_kernel::event::Level;
use ccrun_kernel::rhai::{Dynamic, Map};
use ccrun_kernel::value::{self, Size};
use ccrun_kernel::{Cx, Error, Preview, Progress, Result, primitive};
use futures::StreamExt as _;
use reqwest::header::{
    ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, HeaderValue, IF_RANGE,
    LAST_MODIFIED, RANGE,
};
use reqwest::{Method, Response, StatusCode};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use super::body;
use super::change::parse;
use super::options::{DownloadOptions, UploadOptions};
use crate::files::{FilePath, Files, blocking, failed};
use crate::web::{Address, Connection, Http, Intent, exchange, failure, pause, response};

/// So many chunks may wait for the disk.
const CHUNKS: usize = 16;

/// What is told of a server that refuses a transfer.
const MOST_SAID: Size = Size::from_bytes(64 << 10);

/// Fetch a file, and return a map: `path`, `size`, `sha256`, `elapsed`, `resumed` (how often).
///
/// Streamed to the disk, with its hash computed on the way. When the connection breaks, it goes on from
/// there if the server can (RFC 9110, 14), and begins anew if the file has changed meanwhile. The file
/// appears at `path` when it is complete and its `sha256` is right: until then, and after an error, what was
/// there before is there. If a file with that `sha256` is there already, nothing is fetched.
///
/// # Errors
/// `http.checksum` if the hash is another, `http.status` and the rest of `http::get`'s,
/// `fs.not_found` if the directory does not exist, `fs.permission_denied`, `io.disk_full`.
///
/// # Example
/// ```rhai,no_run
/// http::download("https://example.org/weed.tar.gz", "/tmp/weed.tar.gz", #{
///     sha256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
/// });
/// ```
#[primitive(change, needs = read http(url.authority()), needs = fs(path), preview = download_preview)]
async fn download(cx: &Cx, url: Address, path: FilePath, options: DownloadOptions) -> Result<Map> {
    let started = Instant::now();
    let wanted = options.sha256.as_deref().map(hash).transpose()?;
    if let Some(wanted) = &wanted
        && let Some(size) = is_there(cx, &path, wanted).await?
    {
        cx.unchanged();
        return Ok(downloaded(&path, size, wanted, started, 0));
    }
    let http = cx.client::<Http>().await?;
    let client = http.connections(&Connection {
        idle_timeout: Some(options.idle_timeout.to_std()),
        ca: options.ca.as_ref().map(|ca| ca.bytes().to_vec()),
        as_it_is: true,
        ..Connection::default()
    })?;
    let mut headers = body::headers(
        options.headers.as_ref(),
        options.bearer.as_ref(),
        options.basic.as_ref(),
        &url,
        None,
    )?;
    // What is stored is the file, not a compressed form of it.
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));

    let (chunks, received) = mpsc::channel(CHUNKS);
    let files = cx.client::<Files>().await?;
    let writer = write(cx, files, path.clone(), &options, wanted, received);
    let fetch = Fetch {
        cx,
        client,
        headers,
        url: &url,
        options: &options,
        progress: cx.progress(format!("{url}"), None).bytes(),
        done: 0,
        validator: None,
        resumed: 0,
    };
    let (written, fetched) = tokio::join!(writer, fetch.run(chunks));
    // Of two errors the disk's is the cause: the fetch only sees that nobody takes its chunks.
    let written = written?;
    let resumed = fetched?;
    let (size, sha256) = written.ok_or_else(|| {
        Error::new(
            "http.connection_lost",
            format!("{url} ended before it was complete"),
        )
    })?;
    Ok(downloaded(&path, size, &sha256, started, resumed))
}

fn downloaded(path: &FilePath, size: u64, sha256: &str, started: Instant, resumed: u32) -> Map {
    Map::from_iter([
        ("path".into(), path.to_string().into()),
        ("size".into(), Dynamic::from(Size::from_bytes(size))),
        ("sha256".into(), sha256.to_owned().into()),
        (
            "elapsed".into(),
            Dynamic::from(value::Duration::measured(started.elapsed())),
        ),
        ("resumed".into(), Dynamic::from(i64::from(resumed))),
    ])
}

async fn download_preview(
    cx: &Cx,
    url: &Address,
    path: &FilePath,
    options: &DownloadOptions,
) -> Result<Preview> {
    let wanted = options.sha256.as_deref().map(hash).transpose()?;
    if let Some(wanted) = &wanted
        && is_there(cx, path, wanted).await?.is_some()
    {
        return Ok(Preview::new(format!("{path} is there already, with this hash")).unchanged());
    }
    Ok(Preview::new(format!("fetch {url} into {path}")))
}

/// A hash as it is compared: 64 hexadecimal digits in lower case.
fn hash(text: &str) -> Result<String> {
    let text = text
        .trim()
        .trim_start_matches("sha256:")
        .to_ascii_lowercase();
    match text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        true => Ok(text),
        false => Err(
            Error::new("http.checksum", "`sha256` is not 64 hexadecimal digits")
                .hint("`sha256sum FILE` prints one"),
        ),
    }
}

/// The size of the file, if it is there and has this hash.
async fn is_there(cx: &Cx, path: &FilePath, wanted: &str) -> Result<Option<u64>> {
    let files = cx.client::<Files>().await?;
    let (path, wanted) = (path.clone(), wanted.to_owned());
    blocking(cx, move |work| {
        let Some(found) = files.find(&path, true)?.filter(std::fs::Metadata::is_file) else {
            return Ok(None);
        };
        let (file, _) = files.open_file(&path)?;
        let mut hasher = Sha256::new();
        std::io::copy(&mut work.reading(file, |_| ()), &mut hasher)
            .map_err(|error| failed("read", &path, &error))?;
        Ok((hex::encode(hasher.finalize()) == wanted).then_some(found.len()))
    })
    .await
}

/// What goes from the connection to the disk.
enum Chunk {
    Bytes(tokio_util::bytes::Bytes),
    /// The file on the server is another one now.
    Anew,
    Complete,
}

/// Write what comes; the size and the hash once it is in place, `None` if it never got complete.
async fn write(
    cx: &Cx,
    files: std::sync::Arc<Files>,
    path: FilePath,
    options: &DownloadOptions,
    wanted: Option<String>,
    mut received: mpsc::Receiver<Chunk>,
) -> Result<Option<(u64, String)>> {
    let mode = options.mode;
    blocking(cx, move |work| {
        let mut file = files.replace(work, &path, mode)?;
        let mut hasher = Sha256::new();
        while let Some(chunk) = received.blocking_recv() {
            match chunk {
                Chunk::Bytes(bytes) => {
                    hasher.update(&bytes);
                    file.write_all(&bytes)
                        .map_err(|error| failed("write", &path, &error))?;
                }
                Chunk::Anew => {
                    file = files.replace(work, &path, mode)?;
                    hasher = Sha256::new();
                }
                Chunk::Complete => {
                    let found = hex::encode(hasher.finalize());
                    if let Some(wanted) = wanted.filter(|wanted| *wanted != found) {
                        return Err(Error::new(
                            "http.checksum",
                            format!("what came has the SHA-256 {found}, not {wanted}; {path} is as it was"),
                        )
                        .hint("is it another version, or not the file at all (an error page)? never skip this check"));
                    }
                    let size = file.written();
                    file.commit()?;
                    return Ok(Some((size, found)));
                }
            }
        }
        Ok(None)
    })
    .await
}

/// A download in progress.
struct Fetch<'a> {
    cx: &'a Cx,
    client: reqwest::Client,
    headers: HeaderMap,
    url: &'a Address,
    options: &'a DownloadOptions,
    progress: Progress,
    /// How many bytes were handed on.
    done: u64,
    /// What says that the file is still the same one.
    validator: Option<HeaderValue>,
    resumed: u32,
}

impl Fetch<'_> {
    /// Fetch until it is complete; how often it had to go on.
    async fn run(mut self, chunks: mpsc::Sender<Chunk>) -> Result<u32> {
        let mut failures = 0;
        loop {
            let before = self.done;
            match self.attempt(&chunks).await {
                Ok(()) => {
                    // Whether the writer is still there is the writer's to say.
                    let _ = chunks.send(Chunk::Complete).await;
                    return Ok(self.resumed);
                }
                Err(error) if error.is_retryable() && failures < self.options.retries => {
                    // Only failures in a row count: a long download over a bad line gets on.
                    failures = if self.done > before { 1 } else { failures + 1 };
                    let wait = pause::before(failures - 1, self.options.backoff.to_std());
                    self.cx.log(
                        Level::Warn,
                        format!(
                            "{error}; going on at {} in {}",
                            Size::from_bytes(self.done),
                            value::Duration::from(wait)
                        ),
                    );
                    tokio::time::sleep(wait).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn attempt(&mut self, chunks: &mpsc::Sender<Chunk>) -> Result<()> {
        let idle = self.options.idle_timeout.to_std();
        let response = self.ask().await?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT if starts_at(&response) == Some(self.done) => {
                self.resumed += 1;
            }
            StatusCode::OK => {
                if self.done > 0 {
                    self.done = 0;
                    let _ = chunks.send(Chunk::Anew).await;
                }
                self.validator = validator(response.headers());
            }
            status => {
                let answer = response::read(response, self.url, MOST_SAID, idle).await?;
                let error = answer.into_error(&Method::GET, self.url);
                return Err(error.retryable_if(exchange::may_pass(status)));
            }
        }
        let length = response.content_length();
        if let Some(length) = length {
            self.progress.total(self.done + length);
        }
        let mut left = length;
        let mut stream = response.bytes_stream();
        while let Some(bytes) = stream.next().await {
            let bytes = bytes.map_err(|error| failure::of(error, self.url, idle))?;
            let size = bytes.len() as u64;
            if chunks.send(Chunk::Bytes(bytes)).await.is_err() {
                return Err(Error::new("cancelled", "the file can't be written"));
            }
            self.done += size;
            left = left.map(|left| left.saturating_sub(size));
            self.progress.set(self.done);
        }
        match left {
            Some(left) if left > 0 => Err(Error::new(
                "http.connection_lost",
                format!("{} ended {} early", self.url, Size::from_bytes(left)),
            )
            .retryable()),
            _ => Ok(()),
        }
    }

    /// Ask for the file, or for the rest of it, following redirects on the same host.
    async fn ask(&self) -> Result<Response> {
        const MOST_REDIRECTS: usize = 10;
        let mut headers = self.headers.clone();
        if self.done > 0
            && let Some(validator) = &self.validator
            && let Ok(range) = HeaderValue::from_str(&format!("bytes={}-", self.done))
        {
            headers.insert(RANGE, range);
            headers.insert(IF_RANGE, validator.clone());
        }
        let mut address = self.url.clone();
        for _ in 0..=MOST_REDIRECTS {
            let response = self
                .client
                .get(address.url().clone())
                .headers(headers.clone())
                .send()
                .await
                .map_err(|error| {
                    failure::of(error, &address, self.options.idle_timeout.to_std())
                })?;
            match exchange::redirect(&response, &address)? {
                Some(next) => address = next,
                None => return Ok(response),
            }
        }
        Err(Error::new(
            "http.too_many_redirects",
            format!("{} redirects in a circle", self.url),
        ))
    }
}

/// Where a partial answer begins: `Content-Range: bytes 100-199/200`.
fn starts_at(response: &Response) -> Option<u64> {
    let text = response.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    let (start, _) = text.strip_prefix("bytes ")?.split_once('-')?;
    start.parse().ok()
}

/// What tells versions of a file apart; a weak one can't vouch for bytes (RFC 9110, 13.1.5).
fn validator(headers: &HeaderMap) -> Option<HeaderValue> {
    headers
        .get(ETAG)
        .filter(|tag| !tag.as_bytes().starts_with(b"W/"))
        .or_else(|| headers.get(LAST_MODIFIED))
        .cloned()
}

/// Send a file as the body of a request, and return the response as a map (as `http::get`).
///
/// Streamed from the disk, with its length announced.
///
/// # Errors
/// As `http::post`; `fs.not_found`, `fs.is_a_directory`, `fs.permission_denied`.
///
/// # Example
/// ```rhai,no_run
/// http::upload("https://example.org/dav/db.sql.zst", "backups/db.sql.zst", #{ bearer: secret("DAV_TOKEN") });
/// ```
#[primitive(change, needs = http(url.authority()), needs = read fs(path), preview = upload_preview)]
async fn upload(cx: &Cx, url: Address, path: FilePath, options: UploadOptions) -> Result<Map> {
    let started = Instant::now();
    let method = parse(&options.method)?;
    let http = cx.client::<Http>().await?;
    http.check(&method, Intent::Change)?;
    let client = http.connections(&Connection {
        ca: options.ca.as_ref().map(|ca| ca.bytes().to_vec()),
        ..Connection::default()
    })?;
    let headers = body::headers(
        options.headers.as_ref(),
        options.bearer.as_ref(),
        options.basic.as_ref(),
        &url,
        None,
    )?;
    let mut retry = 0;
    loop {
        let request = client
            .request(method.clone(), url.url().clone())
            .headers(headers.clone());
        let error = match send_file(cx, request, &url, &path, &options).await {
            Ok(answer) if !options.check || answer.status.as_u16() < 400 => {
                return Ok(answer.into_map(started.elapsed(), retry + 1));
            }
            Ok(answer) => answer.into_error(&method, &url),
            Err(error) => error,
        };
        if !error.is_retryable() || retry >= options.retries {
            return Err(error);
        }
        tokio::time::sleep(pause::before(retry, options.backoff.to_std())).await;
        retry += 1;
    }
}

async fn send_file(
    cx: &Cx,
    request: reqwest::RequestBuilder,
    url: &Address,
    path: &FilePath,
    options: &UploadOptions,
) -> Result<response::Answer> {
    let files = cx.client::<Files>().await?;
    let opened = path.clone();
    let (file, metadata) = blocking(cx, move |_| files.open_file(&opened)).await?;
    let mut progress = cx
        .progress(format!("{path} → {url}"), Some(metadata.len()))
        .bytes();
    let chunks =
        tokio_util::io::ReaderStream::with_capacity(tokio::fs::File::from_std(file), 256 << 10)
            .inspect(move |chunk| {
                progress.advance(chunk.as_ref().map_or(0, |chunk| chunk.len() as u64))
            });
    let timeout = options.timeout.to_std();
    let response = request
        .header(CONTENT_LENGTH, metadata.len())
        .body(reqwest::Body::wrap_stream(chunks))
        .timeout(timeout)
        .send()
        .await
        .map_err(|error| failure::of(error, url, timeout))?;
    response::read(response, url, Size::from_bytes(8 << 20), timeout).await
}

async fn upload_preview(
    cx: &Cx,
    url: &Address,
    path: &FilePath,
    options: &UploadOptions,
) -> Result<Preview> {
    let method = parse(&options.method)?;
    let files = cx.client::<Files>().await?;
    let opened = path.clone();
    let size = blocking(cx, move |_| Ok(files.open_file(&opened)?.1.len())).await?;
    Ok(Preview::new(format!(
        "{method} {path} ({}) to {url}",
        Size::from_bytes(size)
    )))
}
