//! Ports of other machines.

use std::time::Instant;

use ccrun_kernel::rhai::{Dynamic, Map};
use ccrun_kernel::value::Duration;
use ccrun_kernel::{Cx, Error, Options, Result, primitive};

use super::client::Network;

/// How a connection is tried.
#[derive(Clone, Options)]
pub struct ConnectOptions {
    /// How long to try, the lookup of the name included.
    #[option(default = "5s")]
    timeout: Duration,
}

/// How a port is waited for.
#[derive(Clone, Options)]
pub struct PortOptions {
    /// How long to wait altogether.
    #[option(default = "60s")]
    timeout: Duration,
    /// How long between two attempts.
    #[option(default = "500ms")]
    interval: Duration,
}

/// Connect to a TCP port and hang up. Returns a map: `address` (the one that accepted), `elapsed`.
///
/// # Errors
/// `net.dns`, `net.connection_refused`, `net.timeout`, `net.unreachable`.
///
/// # Example
/// ```rhai,no_run
/// let smtp = net::tcp_connect("mail.example.org", 25, #{ timeout: "3s" });
/// print(`${smtp.address} in ${smtp.elapsed}`);
/// ```
#[primitive(read, volatile, needs = net(host))]
async fn tcp_connect(cx: &Cx, host: String, port: u16, options: ConnectOptions) -> Result<Map> {
    let started = Instant::now();
    let network = cx.client::<Network>().await?;
    let (_stream, address) = network
        .connect(&host, port, options.timeout.to_std())
        .await?;
    Ok(accepted(&address, started))
}

fn accepted(address: &std::net::SocketAddr, started: Instant) -> Map {
    Map::from_iter([
        ("address".into(), address.to_string().into()),
        (
            "elapsed".into(),
            Dynamic::from(Duration::measured(started.elapsed())),
        ),
    ])
}

/// Wait until a TCP port accepts connections. Returns what `net::tcp_connect` does.
///
/// That it accepts does not mean that the service behind it works: ask that too (`http::wait_for`,
/// `pg::connect`). Behind a published port of Docker there is always somebody who accepts.
///
/// # Errors
/// `net.wait_timeout` with what was seen last.
///
/// # Example
/// ```rhai,no_run
/// net::wait_for_port("localhost", 5432, #{ timeout: "30s" });
/// ```
#[primitive(read, volatile, needs = net(host))]
async fn wait_for_port(cx: &Cx, host: String, port: u16, options: PortOptions) -> Result<Map> {
    let started = Instant::now();
    let whole = options.timeout.to_std();
    let network = cx.client::<Network>().await?;
    let mut progress = cx.progress(format!("waiting for {host}:{port}"), None);
    loop {
        let left = whole.saturating_sub(started.elapsed());
        let attempt = left.min(std::time::Duration::from_secs(5));
        let seen = match network.connect(&host, port, attempt).await {
            Ok((_stream, address)) => return Ok(accepted(&address, started)),
            Err(error) => error,
        };
        if started.elapsed() + options.interval.to_std() >= whole {
            return Err(Error::new(
                "net.wait_timeout",
                format!(
                    "{host}:{port} was not open within {}; seen last: {seen}",
                    options.timeout
                ),
            )
            .hint("look at the service's log; `timeout:` waits longer")
            .retryable());
        }
        progress.message(format!("waiting for {host}:{port}: {seen}"));
        tokio::time::sleep(options.interval.to_std()).await;
    }
}
