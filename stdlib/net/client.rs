//! The client of the network. It only ever looks.
#![allow(
    clippy::disallowed_methods,
    reason = "this is the client that connections come from"
)]

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ccrun_kernel::{Access, Client, Error, Result};
use hickory_resolver::config::{NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::{Resolver, TokioResolver};
use procfs::net::{TcpNetEntry, TcpState};
use procfs::process::FDTarget;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::failure;

/// The network as seen from this machine.
pub struct Network;

impl Client for Network {
    async fn open(_access: &Access) -> Result<Self> {
        Ok(Self)
    }
}

impl Network {
    /// Connect to the first address of a host that accepts.
    ///
    /// # Errors
    /// `net.dns`, `net.connection_refused`, `net.timeout`, `net.unreachable`
    pub async fn connect(
        &self,
        host: &str,
        port: u16,
        timeout: Duration,
    ) -> Result<(TcpStream, SocketAddr)> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let connecting = async {
            let addresses: Vec<SocketAddr> = tokio::net::lookup_host((bare, port))
                .await
                .map_err(|error| failure::unresolved(host, &error.to_string()))?
                .collect();
            let mut last = None;
            for address in addresses {
                match TcpStream::connect(address).await {
                    Ok(stream) => return Ok((stream, address)),
                    Err(error) => last = Some(failure::connect(host, port, &error)),
                }
            }
            Err(last.unwrap_or_else(|| failure::unresolved(host, "it has no address")))
        };
        match tokio::time::timeout(timeout, connecting).await {
            Ok(done) => done,
            Err(_) => Err(failure::timeout(host, port, timeout)),
        }
    }

    /// Speak TLS on a connection.
    ///
    /// # Errors
    /// What the handshake says.
    pub async fn handshake(
        &self,
        config: Arc<rustls::ClientConfig>,
        name: rustls::pki_types::ServerName<'static>,
        stream: TcpStream,
    ) -> io::Result<TlsStream<TcpStream>> {
        TlsConnector::from(config).connect(name, stream).await
    }

    /// A resolver: the system's, or one that asks this server and nobody else.
    ///
    /// # Errors
    /// `net.dns`
    pub fn resolver(&self, server: Option<IpAddr>, timeout: Duration) -> Result<TokioResolver> {
        let failed = |error: &dyn std::fmt::Display| {
            Error::new(
                "net.dns",
                format!("the system's resolver can't be set up: {error}"),
            )
            .hint("look at /etc/resolv.conf")
        };
        let mut builder = match server {
            Some(ip) => {
                let servers = vec![NameServerConfig::udp_and_tcp(ip)];
                Resolver::builder_with_config(
                    ResolverConfig::from_parts(None, Vec::new(), servers),
                    TokioRuntimeProvider::default(),
                )
            }
            None => Resolver::builder_tokio().map_err(|error| failed(&error))?,
        };
        let options = builder.options_mut();
        options.timeout = timeout;
        options.attempts = 2;
        // Whoever names a server wants to know what that one says.
        if server.is_some() {
            options.use_hosts_file = ResolveHosts::Never;
        }
        builder.build().map_err(|error| failed(&error))
    }

    /// The addresses of this machine: interface, address, length of the prefix.
    ///
    /// # Errors
    /// `net.unavailable`
    pub fn addresses(&self) -> Result<Vec<(String, IpAddr, u8)>> {
        let networks = sysinfo::Networks::new_with_refreshed_list()
            .map_err(|error| unavailable("/sys/class/net", &error))?;
        let mut found = Vec::new();
        for (name, data) in networks.iter() {
            for network in data.ip_networks() {
                found.push((
                    name.to_string_lossy().into_owned(),
                    network.addr,
                    network.prefix,
                ));
            }
        }
        found.sort();
        Ok(found)
    }

    /// The TCP sockets that listen here.
    ///
    /// # Errors
    /// `net.unavailable`
    pub fn listening(&self) -> Result<Vec<Listener>> {
        let mut sockets =
            procfs::net::tcp().map_err(|error| unavailable("/proc/net/tcp", &error))?;
        // A machine without IPv6 has no such file.
        sockets.extend(procfs::net::tcp6().unwrap_or_default());
        sockets.retain(|socket| socket.state == TcpState::Listen);
        sockets.sort_by_key(|socket| (socket.local_address.port(), socket.local_address.ip()));
        let mut owners = owners(&sockets);
        Ok(sockets
            .into_iter()
            .map(|socket| Listener {
                address: socket.local_address,
                owner: owners.remove(&socket.inode),
            })
            .collect())
    }
}

fn unavailable(file: &str, error: &dyn std::fmt::Display) -> Error {
    Error::new("net.unavailable", format!("{file}: {error}"))
        .hint("are /proc and /sys mounted here?")
}

/// A socket that listens.
pub struct Listener {
    /// Where.
    pub address: SocketAddr,
    /// The process that holds it, number and name, as far as we may see.
    pub owner: Option<(i32, String)>,
}

/// Which process holds which socket, as far as we may see.
fn owners(sockets: &[TcpNetEntry]) -> HashMap<u64, (i32, String)> {
    let wanted: HashSet<u64> = sockets.iter().map(|socket| socket.inode).collect();
    let mut owners = HashMap::new();
    let mut processes: Vec<_> = procfs::process::all_processes()
        .into_iter()
        .flatten()
        .flatten()
        .collect();
    // The process that was first, not a child that inherited the socket.
    processes.sort_by_key(|process| process.pid);
    for process in processes {
        let Ok(descriptors) = process.fd() else {
            continue;
        };
        for descriptor in descriptors.flatten() {
            if let FDTarget::Socket(inode) = descriptor.target
                && wanted.contains(&inode)
                && !owners.contains_key(&inode)
                && let Ok(stat) = process.stat()
            {
                owners.insert(inode, (process.pid, stat.comm));
            }
        }
    }
    owners
}
