//! `[watch]` in `ccrun.toml`.

use std::net::SocketAddr;

use ccrun_kernel::config::Config;
use ccrun_kernel::value::{Duration, Size};
use ccrun_kernel::{Error, Result};
use ccrun_watch::Settings;
use serde::Deserialize;

/// The section as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Section {
    /// `127.0.0.1:8467`, or `off`.
    listen: Option<String>,
    /// What `/metrics` and `/runs` ask for.
    token: Option<String>,
    /// So many runs at once.
    concurrency: Option<usize>,
    /// How long runs may go on once the daemon is asked to stop.
    grace: Option<String>,
    /// The largest body of a webhook.
    body: Option<String>,
    /// So many firings of one trigger may wait.
    queue: Option<usize>,
    /// How long firings are remembered.
    keep: Option<String>,
    /// `postgres://…`, or `secret:NAME` of that.
    ledger: Option<String>,
}

fn section(config: &Config) -> Result<Section> {
    let Some(value) = config.get("watch") else {
        return Ok(Section::default());
    };
    value
        .clone()
        .try_into()
        .map_err(|error: toml::de::Error| wrong(&error.to_string()))
}

fn wrong(why: &str) -> Error {
    Error::new(
        "config.watch",
        format!("`[watch]` in ccrun.toml: {}", why.trim_end()),
    )
    .hint("it has listen, token, concurrency, grace, body, queue, keep, ledger")
}

/// How the daemon works.
///
/// # Errors
/// `config.watch`
pub fn settings(config: &Config) -> Result<Settings> {
    let section = section(config)?;
    let mut settings = Settings::default();
    if let Some(listen) = &section.listen {
        settings.listen = match listen.as_str() {
            "off" => None,
            address => Some(address.parse::<SocketAddr>().map_err(|_| {
                wrong(&format!(
                    "`listen` is an address with a port, such as \"127.0.0.1:8467\", or \"off\", and not \"{address}\""
                ))
            })?),
        };
    }
    settings.token = section.token;
    if let Some(concurrency) = section.concurrency {
        if concurrency == 0 {
            return Err(wrong("`concurrency` is 1 at least"));
        }
        settings.concurrency = concurrency;
    }
    let duration = |key: &str, text: &str| -> Result<std::time::Duration> {
        let parsed: Result<Duration> = text.parse();
        let parsed = parsed.map_err(|error| wrong(&format!("`{key}`: {}", error.message())))?;
        Ok(parsed.to_std())
    };
    if let Some(grace) = &section.grace {
        settings.grace = duration("grace", grace)?;
    }
    if let Some(keep) = &section.keep {
        settings.keep = duration("keep", keep)?;
    }
    if let Some(body) = &section.body {
        let parsed: Result<Size> = body.parse();
        let size = parsed.map_err(|error| wrong(&format!("`body`: {}", error.message())))?;
        settings.body = usize::try_from(size.bytes()).map_err(|_| wrong("`body` is too large"))?;
    }
    if let Some(queue) = section.queue {
        settings.queue = queue.max(1);
    }
    Ok(settings)
}

/// The address of the ledger's database, if it is not beside the journal.
///
/// # Errors
/// `config.watch`
pub fn ledger(config: &Config) -> Result<Option<String>> {
    let ledger = section(config)?.ledger;
    match &ledger {
        Some(url)
            if !["postgres://", "postgresql://", "secret:"]
                .iter()
                .any(|start| url.starts_with(start)) =>
        {
            Err(wrong(
                "`ledger` is postgres://user@host/database, or secret:NAME of such an address",
            ))
        }
        _ => Ok(ledger),
    }
}
