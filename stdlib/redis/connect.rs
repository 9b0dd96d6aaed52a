//! Which server, and who asks: the target's section, a URL, a map.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration as StdDuration;

use ccrun_kernel::config::Target;
use ccrun_kernel::rhai::Dynamic;
use ccrun_kernel::secret::{Redactor, Secret};
use ccrun_kernel::value::{Duration, closest};
use ccrun_kernel::{Error, FromArg, MaybeSecret, Mismatch, Options, Result};
use percent_encoding::percent_decode_str;
use serde::Deserialize;

use crate::credential::Credential;

/// How to reach a server.
#[derive(Clone, Options)]
pub struct ConnectOptions {
    /// A URL `redis://user:password@host:port/database`, `rediss://` for TLS; the other keys go before it.
    url: Option<MaybeSecret>,
    /// A Compose service, found at the address of its container.
    service: Option<String>,
    /// A host name or an address.
    host: Option<String>,
    /// The port, 6379 if left out.
    port: Option<u16>,
    /// The user (Redis 6 and later); `default` if left out.
    user: Option<String>,
    /// The password.
    password: Option<MaybeSecret>,
    /// The number of the database, 0 if left out.
    database: Option<i64>,
    /// Speak TLS.
    tls: Option<bool>,
    /// How long connecting may take, and then each answer: 5 s if left out.
    timeout: Option<Duration>,
}

/// What `redis::connect` takes.
#[derive(Clone)]
pub enum Connect {
    /// Nothing: the target's server.
    Target,
    /// A URL.
    Url(MaybeSecret),
    /// The options, one by one.
    Options(Box<ConnectOptions>),
}

impl FromArg for Connect {
    fn type_name() -> String {
        "string or map".into()
    }

    fn from_arg(value: Dynamic) -> Result<Self, Mismatch> {
        if value.is_unit() {
            return Ok(Self::Target);
        }
        if value.is_map() {
            return ConnectOptions::from_arg(value).map(|options| Self::Options(Box::new(options)));
        }
        let mismatch = Mismatch::of::<Self>(&value);
        MaybeSecret::from_arg(value)
            .map(Self::Url)
            .map_err(|_| mismatch)
    }

    fn when_missing() -> Option<Self> {
        Some(Self::Target)
    }
}

/// The section `redis` of a target.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Section {
    url: Option<String>,
    service: Option<String>,
    host: Option<String>,
    port: Option<u16>,
    user: Option<String>,
    password: Option<String>,
    database: Option<i64>,
    tls: Option<bool>,
    ca: Option<PathBuf>,
    timeout: Option<String>,
}

/// A server, with all that it takes to connect.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Server {
    /// What permissions name: the Compose service if there is one, else the host.
    pub resource: String,
    /// Whether the host is only the name of a Compose service.
    pub is_service: bool,
    /// The host.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The user, if it is not the default one.
    pub user: Option<String>,
    /// The password, if it wants one.
    pub password: Option<Credential>,
    /// The number of the database.
    pub database: i64,
    /// Whether TLS is spoken.
    pub tls: bool,
    /// A file with certificates to trust instead of the system's, as PEM.
    pub ca: Option<PathBuf>,
    /// How long connecting, and then each answer, may take.
    pub timeout: StdDuration,
}

/// What is said of a server in several places; later ones fill what earlier ones leave open.
#[derive(Clone, Default)]
struct Parts {
    service: Option<String>,
    host: Option<String>,
    port: Option<u16>,
    user: Option<String>,
    password: Option<Credential>,
    database: Option<i64>,
    tls: Option<bool>,
    ca: Option<PathBuf>,
    timeout: Option<StdDuration>,
}

impl Server {
    /// The server that a script means.
    ///
    /// # Errors
    /// `redis.bad_url`, `config.section`.
    pub fn find(connect: &Connect, target: &Target, redactor: &Redactor) -> Result<Self> {
        let parts = match connect {
            Connect::Target => Parts::of_target(target, redactor)?,
            Connect::Url(url) => Parts::of_url(url.expose(), redactor)?,
            Connect::Options(options) => Parts::of_options(options, redactor)?,
        };
        parts.into_server(target)
    }

    /// Where it is, for people.
    #[must_use]
    pub fn place(&self) -> String {
        match self.is_service {
            true => format!("the service {}", self.host),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

impl Parts {
    fn of_target(target: &Target, redactor: &Redactor) -> Result<Self> {
        let section = match target.raw("redis") {
            None => return Ok(Self::default()),
            Some(toml::Value::String(url)) => Section {
                url: Some(url.clone()),
                ..Section::default()
            },
            Some(_) => target.section::<Section>("redis")?.unwrap_or_default(),
        };
        let timeout = match &section.timeout {
            Some(text) => Some(text.parse::<Duration>()?.to_std()),
            None => None,
        };
        let given = Self {
            service: section.service,
            host: section.host,
            port: section.port,
            user: section.user,
            password: section.password.as_deref().map(Credential::of_config),
            database: section.database,
            tls: section.tls,
            ca: section.ca.map(|path| target.folder().join(path)),
            timeout,
        };
        match &section.url {
            Some(url) => Ok(given.or(Self::of_url(url, redactor)?)),
            None => Ok(given),
        }
    }

    fn of_url(text: &str, redactor: &Redactor) -> Result<Self> {
        // The text is not repeated: there may be a password in it.
        let bad = |what: &str| {
            Error::new(
                "redis.bad_url",
                format!("this is not the URL of a server: {what}"),
            )
            .hint("write redis://host:6379, rediss://user:password@host:6380/0")
        };
        let url = url::Url::parse(text).map_err(|error| bad(&error.to_string()))?;
        let tls = match url.scheme() {
            "redis" | "valkey" => false,
            "rediss" | "valkeys" => true,
            other => {
                return Err(bad(&format!(
                    "`{other}:` is neither `redis:` nor `rediss:`"
                )));
            }
        };
        let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let database = match url.path().trim_matches('/') {
            "" => None,
            number => Some(
                number
                    .parse()
                    .map_err(|_| bad("its path is the number of a database"))?,
            ),
        };
        let password = url.password().map(decode).map(|password| {
            redactor.add(&Secret::new("Redis password", password.as_str()));
            Credential::Known(password)
        });
        Ok(Self {
            host: url.host_str().map(str::to_owned),
            port: url.port(),
            user: Some(decode(url.username())).filter(|user| !user.is_empty()),
            password,
            database,
            tls: Some(tls),
            ..Self::default()
        })
    }

    fn of_options(options: &ConnectOptions, redactor: &Redactor) -> Result<Self> {
        let given = Self {
            service: options.service.clone(),
            host: options.host.clone(),
            port: options.port,
            user: options.user.clone(),
            password: options
                .password
                .as_ref()
                .map(|password| Credential::of_script(password, "Redis password", redactor)),
            database: options.database,
            tls: options.tls,
            ca: None,
            timeout: options.timeout.map(Duration::to_std),
        };
        match &options.url {
            Some(url) => Ok(given.or(Self::of_url(url.expose(), redactor)?)),
            None => Ok(given),
        }
    }

    /// What these leave open, as `other` says.
    fn or(self, other: Self) -> Self {
        Self {
            service: self.service.or(other.service),
            host: self.host.or(other.host),
            port: self.port.or(other.port),
            user: self.user.or(other.user),
            password: self.password.or(other.password),
            database: self.database.or(other.database),
            tls: self.tls.or(other.tls),
            ca: self.ca.or(other.ca),
            timeout: self.timeout.or(other.timeout),
        }
    }

    fn into_server(self, target: &Target) -> Result<Server> {
        let is_service = self.host.is_none() && self.service.is_some();
        let Some(host) = self.host.or_else(|| self.service.clone()) else {
            return Err(Error::new(
                "config.section",
                format!("the target {} has no Redis", target.name()),
            )
            .hint("add to its section in ccrun.toml: redis = { service = \"redis\", password = \"secret:REDIS_PASSWORD\" }; or give `host`"));
        };
        Ok(Server {
            resource: self.service.unwrap_or_else(|| host.clone()),
            is_service,
            host,
            port: self.port.unwrap_or(6379),
            user: self.user,
            password: self.password,
            database: self.database.unwrap_or(0),
            tls: self.tls.unwrap_or(false),
            ca: self.ca,
            timeout: self.timeout.unwrap_or(StdDuration::from_secs(5)),
        })
    }
}

/// Without the password.
impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.place())
    }
}

/// The nearest command that there is, for "did you mean".
#[must_use]
pub fn nearest(command: &str) -> Option<&'static str> {
    const USUAL: [&str; 24] = [
        "GET", "SET", "DEL", "KEYS", "SCAN", "EXISTS", "EXPIRE", "TTL", "TYPE", "INFO", "PING",
        "CONFIG", "CLIENT", "DBSIZE", "FLUSHDB", "FLUSHALL", "MEMORY", "SLOWLOG", "LATENCY",
        "HGETALL", "LRANGE", "SMEMBERS", "INCR", "MGET",
    ];
    closest(&command.to_ascii_uppercase(), USUAL)
}
