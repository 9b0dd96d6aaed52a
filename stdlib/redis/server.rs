//! `Redis`: ask a server, and change what it holds.

use std::time::Instant;

use ccrun_kernel::rhai::{Array, Dynamic, Map};
use ccrun_kernel::value::Duration;
use ccrun_kernel::{Cx, Error, Object, Preview, Result, primitive};
use redis::Value;

use super::client::RedisClient;
use super::connect::{Connect, Server};
use super::{classify, info, value};

/// A Redis server. The connection is made by the first command, kept for the next, and closed at the end of
/// the run.
#[derive(Clone, Object)]
#[object(name = "Redis", describe = "Redis::describe")]
pub struct Redis {
    server: Server,
}

/// The server of the target, or one given by a URL or options.
///
/// Without arguments: the target's section, `redis = { service = "redis", password = "secret:REDIS_PASSWORD" }`.
/// A service is found at its container's address, so it needs no published port. Nothing is sent yet.
///
/// A map of options has `url`, `service`, `host`, `port` (6379), `user`, `password` (string or secret),
/// `database` (0), `tls` and `timeout` (5 s, for connecting and for each answer).
///
/// # Errors
/// `redis.bad_url`, `config.section` if the target has no Redis.
///
/// # Example
/// ```rhai,no_run
/// let cache = redis::connect();
/// let other = redis::connect(#{ host: "cache.internal", password: secret("CACHE_PASSWORD") });
/// ```
#[primitive(pure)]
pub(super) fn connect(cx: &Cx, server: Connect) -> Result<Redis> {
    Ok(Redis {
        server: Server::find(&server, cx.target(), cx.redactor())?,
    })
}

impl Redis {
    fn describe(&self) -> String {
        format!("Redis({})", self.server)
    }

    /// Ask whether it answers; how long that took.
    ///
    /// # Errors
    /// `redis.connection_refused`, `redis.timeout`, `redis.auth_failed`, `redis.loading` and others.
    ///
    /// # Example
    /// ```rhai,no_run
    /// print(`answered in ${redis::connect("redis://cache.internal").ping()}`);
    /// ```
    #[primitive(read, volatile, needs = redis(self.server.resource))]
    async fn ping(&self, cx: &Cx) -> Result<Duration> {
        let client = cx.client::<RedisClient>().await?;
        let ping = [b"PING".to_vec()];
        // The first brings the connection about, and the server's word on the command.
        client.ask(&self.server, &ping).await?;
        let started = Instant::now();
        match client.ask(&self.server, &ping).await? {
            Value::SimpleString(text) if text == "PONG" => {
                Ok(Duration::measured(started.elapsed()))
            }
            other => Err(Error::new(
                "redis.not_redis",
                format!("{} answered {other:?} to PING", self.server),
            )
            .hint("is another service on that port?")),
        }
    }

    /// The server's report on itself: a map of sections (`server`, `clients`, `memory`, `persistence`, `stats`,
    /// `replication`, `keyspace` …), each a map whose numbers are numbers.
    ///
    /// `section` asks for one only, and returns that one: `info("memory").used_memory`.
    ///
    /// # Errors
    /// As `ping`; `redis.no_section`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// let memory = redis::connect("redis://cache.internal").info("memory");
    /// check("Cache", || assert(memory.maxmemory == 0 || memory.used_memory < memory.maxmemory * 9 / 10));
    /// ```
    #[primitive(read, volatile, needs = redis(self.server.resource))]
    async fn info(&self, cx: &Cx, section: Option<String>) -> Result<Map> {
        let client = cx.client::<RedisClient>().await?;
        let mut command = vec![b"INFO".to_vec()];
        command.extend(section.clone().map(String::into_bytes));
        let text = value::to_script(client.ask(&self.server, &command).await?);
        let mut sections = info::sections(&text.into_string().unwrap_or_default());
        let Some(section) = section else {
            return Ok(sections);
        };
        let found = sections.remove(section.to_ascii_lowercase().as_str());
        found.and_then(Dynamic::try_cast::<Map>).ok_or_else(|| {
            Error::new(
                "redis.no_section",
                format!("{} reports nothing about `{section}`", self.server),
            )
            .hint("`info().keys()` lists the sections; `keyspace` is empty while there are no keys")
        })
    }

    /// Send a command that only reads, and return the answer.
    ///
    /// The server's own flags say whether it does; `CONFIG GET`, `SLOWLOG GET`, `CLIENT LIST` and their like
    /// count as well. Another command is refused before it is sent.
    ///
    /// # Errors
    /// `redis.changes` if it may change something, `redis.unknown_command`, `redis.session_command`, those of
    /// `ping`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// let cache = redis::connect("redis://cache.internal");
    /// print(cache.query(["CONFIG", "GET", "maxmemory"]));
    /// print(cache.query(["GET", "session:1"]));
    /// ```
    #[primitive(read, volatile, needs = redis(self.server.resource))]
    async fn query(&self, cx: &Cx, command: Array) -> Result<Dynamic> {
        let client = cx.client::<RedisClient>().await?;
        let command = value::of_script(&command)?;
        Ok(value::to_script(client.ask(&self.server, &command).await?))
    }

    /// Send any command, and return the answer. What only reads belongs in `query`.
    ///
    /// # Errors
    /// As `query`; `redis.out_of_memory`, `redis.not_persistent`, `redis.replica`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// redis::connect("redis://cache.internal").command(["DEL", "session:1"]);
    /// ```
    #[primitive(change, needs = redis(self.server.resource), preview = plan_command)]
    async fn command(&self, cx: &Cx, command: Array) -> Result<Dynamic> {
        let client = cx.client::<RedisClient>().await?;
        let command = value::of_script(&command)?;
        Ok(value::to_script(client.act(&self.server, &command).await?))
    }
}

async fn plan_command(this: &Redis, cx: &Cx, command: &Array) -> Result<Preview> {
    let client = cx.client::<RedisClient>().await?;
    let command = value::of_script(command)?;
    let flags = client.flags(&this.server, &command).await?;
    let shown = classify::shown(&command);
    if flags.only_reads(&command) {
        return Ok(
            Preview::new(format!("{shown} on {}, which only reads", this.server)).unchanged(),
        );
    }
    Ok(Preview::new(format!(
        "{shown} on {}, which {}",
        this.server,
        flags.describe()
    )))
}
