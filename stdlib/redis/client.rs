//! The client: connections to servers, kept for the next command.
#![allow(
    clippy::disallowed_methods,
    reason = "this is the client that connections to Redis come from"
)]

use std::collections::HashMap;
use std::sync::Arc;

use ccrun_kernel::{Access, Client, Error, Result};
use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Cmd, ConnectionAddr, ErrorKind, IntoConnectionInfo as _,
    ProtocolVersion, RedisConnectionInfo, TlsCertificates, Value,
};

use super::classify::Flags;
use super::connect::Server;
use super::failure;
use crate::service;

/// The connections of a run, for one right.
pub struct RedisClient {
    access: Access,
    open: Mutex<HashMap<Server, MultiplexedConnection>>,
    flags: Mutex<HashMap<(Server, String), Arc<Flags>>>,
}

impl Client for RedisClient {
    async fn open(access: &Access) -> Result<Self> {
        // Somebody else may have installed it already: it is the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Ok(Self {
            access: access.clone(),
            open: Mutex::default(),
            flags: Mutex::default(),
        })
    }
}

impl RedisClient {
    /// Send a command that only reads; another is not sent.
    ///
    /// # Errors
    /// `redis.changes`, and what sending says.
    pub async fn ask(&self, server: &Server, command: &[Vec<u8>]) -> Result<Value> {
        let flags = self.flags(server, command).await?;
        if !flags.only_reads(command) {
            return Err(failure::changes(command, &flags));
        }
        self.send(server, command, true).await
    }

    /// Send a command that may change something.
    ///
    /// # Errors
    /// `read_only` where nothing may be changed, `redis.session_command`, and what sending says.
    pub async fn act(&self, server: &Server, command: &[Vec<u8>]) -> Result<Value> {
        if self.access.read_only() {
            return Err(Error::new(
                "read_only",
                format!("{server}: nothing may be changed here"),
            )
            .hint("this is a dry run, or a primitive that only reads"));
        }
        let flags = self.flags(server, command).await?;
        self.send(server, command, flags.only_reads(command)).await
    }

    /// What the server says of a command.
    ///
    /// # Errors
    /// `redis.unknown_command`, `redis.session_command`, and what sending says.
    pub async fn flags(&self, server: &Server, command: &[Vec<u8>]) -> Result<Arc<Flags>> {
        let Some(first) = command.first() else {
            return Err(Error::new("redis.no_command", "the command is empty")
                .hint("write `[\"GET\", \"key\"]`"));
        };
        let name = String::from_utf8_lossy(first).to_ascii_uppercase();
        if let Some(flags) = self.flags.lock().get(&(server.clone(), name.clone())) {
            flags.check_session(command)?;
            return Ok(Arc::clone(flags));
        }
        let ask = [b"COMMAND".to_vec(), b"INFO".to_vec(), name.clone().into()];
        let told = self.send(server, &ask, true).await?;
        let flags = Arc::new(Flags::read(&name, &told).ok_or_else(|| failure::unknown(&name))?);
        self.flags
            .lock()
            .insert((server.clone(), name), Arc::clone(&flags));
        flags.check_session(command)?;
        Ok(flags)
    }

    /// Send a command. A kept connection that turns out to be broken is made anew; the command is then sent
    /// again if it is `repeatable`.
    async fn send(&self, server: &Server, command: &[Vec<u8>], repeatable: bool) -> Result<Value> {
        let kept = self.open.lock().get(server).cloned();
        let was_kept = kept.is_some();
        let mut connection = match kept {
            Some(connection) => connection,
            None => self.connect(server).await?,
        };
        let request = packed(command);
        let mut answer = request.query_async::<Value>(&mut connection).await;
        if let Err(error) = &answer
            && was_kept
            && (error.is_connection_dropped() || error.is_io_error())
        {
            self.open.lock().remove(server);
            if repeatable && !error.is_timeout() {
                let mut connection = self.connect(server).await?;
                answer = request.query_async(&mut connection).await;
            }
        }
        answer.map_err(|error| failure::of(&error, server))
    }

    async fn connect(&self, server: &Server) -> Result<MultiplexedConnection> {
        let password = match &server.password {
            Some(password) => Some(password.resolve(&self.access, "Redis password").await?),
            None => None,
        };
        let (host, port) = self.address(server).await?;
        let mut last = None;
        // Redis before 6 does not know RESP3.
        for protocol in [ProtocolVersion::RESP3, ProtocolVersion::RESP2] {
            let mut login = RedisConnectionInfo::default()
                .set_db(server.database)
                .set_protocol(protocol)
                .set_lib_name("ccrun", env!("CARGO_PKG_VERSION"));
            if let Some(user) = &server.user {
                login = login.set_username(user);
            }
            if let Some(password) = &password {
                login = login.set_password(password.expose());
            }
            let connecting = async {
                let client = client(server, &host, port, login)?;
                let config = AsyncConnectionConfig::new()
                    .set_connection_timeout(Some(server.timeout))
                    .set_response_timeout(Some(server.timeout));
                client
                    .get_multiplexed_async_connection_with_config(&config)
                    .await
            };
            match connecting.await {
                Ok(connection) => {
                    self.open.lock().insert(server.clone(), connection.clone());
                    return Ok(connection);
                }
                Err(error) if error.kind() == ErrorKind::RESP3NotSupported => last = Some(error),
                Err(error) => return Err(failure::of(&error, server)),
            }
        }
        Err(match last {
            Some(error) => failure::of(&error, server),
            None => Error::new("redis.failed", format!("{server}: no connection")),
        })
    }

    /// Asked each time: a container that was made again has another address.
    async fn address(&self, server: &Server) -> Result<(String, u16)> {
        if server.is_service {
            let found = service::address(&self.access, "redis", &server.host, server.port).await?;
            if let Some(found) = found {
                return Ok(found);
            }
        }
        Ok((server.host.clone(), server.port))
    }
}

fn client(
    server: &Server,
    host: &str,
    port: u16,
    login: RedisConnectionInfo,
) -> redis::RedisResult<redis::Client> {
    if !server.tls {
        let address = ConnectionAddr::Tcp(host.to_owned(), port);
        return redis::Client::open(address.into_connection_info()?.set_redis_settings(login));
    }
    let address = ConnectionAddr::TcpTls {
        host: host.to_owned(),
        port,
        insecure: false,
        tls_params: None,
    };
    let root_cert = match &server.ca {
        Some(path) => Some(std::fs::read(path).map_err(redis::RedisError::from)?),
        None => None,
    };
    redis::Client::build_with_tls(
        address.into_connection_info()?.set_redis_settings(login),
        TlsCertificates {
            client_tls: None,
            root_cert,
        },
    )
}

fn packed(command: &[Vec<u8>]) -> Cmd {
    let mut packed = Cmd::new();
    for argument in command {
        packed.arg(argument.as_slice());
    }
    packed
}
