//! This machine's own addresses and ports.

use ccrun_kernel::rhai::{Dynamic, Map};
use ccrun_kernel::{Cx, Result, primitive};

use super::client::Network;

/// The addresses of this machine: maps with `interface`, `address`, `prefix`, `family` (`"IPv4"`,
/// `"IPv6"`), `loopback`.
///
/// # Errors
/// `net.unavailable` where `/sys` can't be read.
///
/// # Example
/// ```rhai
/// let loopback = net::local_addresses().filter(|entry| entry.loopback);
/// assert(loopback.len() > 0);
/// ```
#[primitive(read, volatile, needs = net("localhost"))]
async fn local_addresses(cx: &Cx) -> Result<Vec<Map>> {
    let network = cx.client::<Network>().await?;
    cx.blocking(move || {
        let entry = |interface: String, address: std::net::IpAddr, prefix: u8| {
            let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
            Map::from_iter([
                ("interface".into(), interface.into()),
                ("address".into(), address.to_string().into()),
                ("prefix".into(), Dynamic::from(i64::from(prefix))),
                ("family".into(), family.into()),
                ("loopback".into(), address.is_loopback().into()),
            ])
        };
        let found = network.addresses()?.into_iter();
        Ok(found
            .map(|(interface, address, prefix)| entry(interface, address, prefix))
            .collect())
    })
    .await
}

/// The TCP ports that something listens on here: maps with `address`, `port`, `pid`, `process`.
///
/// `pid` and `process` are `()` where the process is somebody else's and ccrun is not root. What
/// listens inside of a container is seen only if its port is published.
///
/// # Errors
/// `net.unavailable` where `/proc` can't be read.
///
/// # Example
/// ```rhai
/// for entry in net::listening() {
///     print(`${entry.address}:${entry.port} ${entry.process}`);
/// }
/// ```
#[primitive(read, volatile, needs = net("localhost"))]
async fn listening(cx: &Cx) -> Result<Vec<Map>> {
    let network = cx.client::<Network>().await?;
    cx.blocking(move || {
        let listeners = network.listening()?;
        Ok(listeners
            .into_iter()
            .map(|listener| {
                let (pid, process) = match listener.owner {
                    Some((pid, name)) => (Dynamic::from(i64::from(pid)), name.into()),
                    None => (Dynamic::UNIT, Dynamic::UNIT),
                };
                let port = i64::from(listener.address.port());
                Map::from_iter([
                    ("address".into(), listener.address.ip().to_string().into()),
                    ("port".into(), Dynamic::from(port)),
                    ("pid".into(), pid),
                    ("process".into(), process),
                ])
            })
            .collect())
    })
    .await
}
