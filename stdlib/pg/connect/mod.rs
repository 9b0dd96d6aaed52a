//! Where a database is and who asks: from the target, a URL, a map, or `PG*`.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::time::Duration as StdDuration;

use ccrun_kernel::config::Target;
use ccrun_kernel::rhai::{Dynamic, Map};
use ccrun_kernel::secret::{Secret, reference};
use ccrun_kernel::value::{Duration, closest};
use ccrun_kernel::{Error, FromArg, MaybeSecret, Mismatch, Options, Result};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::Deserialize;
use sqlx::ConnectOptions as _;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

/// How to reach a database.
#[derive(Clone, Options)]
pub struct ConnectOptions {
    /// A URL `postgres://user:password@host:port/database`; the other keys go before it.
    url: Option<MaybeSecret>,
    /// A host name, an address, or the folder of a Unix socket (it begins with `/`).
    host: Option<String>,
    /// The port, 5432 unless `PGPORT` says otherwise.
    port: Option<u16>,
    /// The role to connect as.
    user: Option<String>,
    /// Its password; left out, `PGPASSWORD` and `~/.pgpass` are asked.
    password: Option<MaybeSecret>,
    /// The database; left out, the one with the role's name.
    database: Option<String>,
    /// `disable`, `allow`, `prefer`, `require`, `verify-ca` or `verify-full`.
    sslmode: Option<String>,
    /// A file with the certificate authority to trust.
    sslrootcert: Option<String>,
    /// What the server's own lists show for the connections: `ccrun` if left out.
    application_name: Option<String>,
    /// How long to try, 10 s if left out.
    connect_timeout: Option<Duration>,
    /// Settings of the session: `#{ search_path: "app", statement_timeout: "30s" }`.
    settings: Option<Map>,
    /// How many connections to use at most, for reading and for writing each: 10 if left out.
    max_connections: Option<usize>,
}

/// What `pg::connect` takes.
#[derive(Clone)]
pub enum Connect {
    /// Nothing: the target's database.
    Target,
    /// The name of a database, or a URL.
    Text(String),
    /// A URL that is a secret.
    Secret(Secret),
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
        match MaybeSecret::from_arg(value) {
            Ok(MaybeSecret::Plain(text)) => Ok(Self::Text(text)),
            Ok(MaybeSecret::Secret(secret)) => Ok(Self::Secret(secret)),
            Err(_) => Err(mismatch),
        }
    }

    fn when_missing() -> Option<Self> {
        Some(Self::Target)
    }
}

/// The section `postgres` of a target.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Section {
    service: Option<String>,
    url: Option<String>,
    host: Option<String>,
    port: Option<u16>,
    user: Option<String>,
    password: Option<String>,
    database: Option<String>,
    sslmode: Option<String>,
    sslrootcert: Option<String>,
    application_name: Option<String>,
    connect_timeout: Option<String>,
    settings: BTreeMap<String, toml::Value>,
    max_connections: Option<usize>,
}

/// Where a password comes from.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Password {
    /// `PGPASSWORD` or `~/.pgpass`, if it takes one.
    Ambient,
    /// It is known.
    Known(String),
    /// The secret with this name, asked for when the first connection is made.
    Reference(String),
}

/// A database on a server, with all that it takes to connect.
#[derive(Clone, PartialEq, Eq)]
pub struct Server {
    /// What permissions name: the Compose service if there is one, else the host.
    pub resource: String,
    /// Whether the host is only the name of a Compose service.
    pub is_service: bool,
    /// The host, or the folder of a socket.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The role.
    pub user: String,
    /// The database.
    pub database: String,
    /// The password.
    pub password: Password,
    /// `verify-full` and so on; `None` for what `PGSSLMODE` says.
    pub sslmode: Option<String>,
    /// A file with the certificate authority.
    pub sslrootcert: Option<String>,
    /// The name shown by the server.
    pub application_name: String,
    /// How long to try.
    pub connect_timeout: StdDuration,
    /// Settings of every session.
    pub settings: BTreeMap<String, String>,
    /// How many connections at most, per pool.
    pub max_connections: usize,
}

/// What is said of a server in several places; later ones fill what earlier ones leave open.
#[derive(Clone, Default)]
struct Parts {
    service: Option<String>,
    host: Option<String>,
    port: Option<u16>,
    user: Option<String>,
    password: Option<Password>,
    database: Option<String>,
    sslmode: Option<String>,
    sslrootcert: Option<String>,
    application_name: Option<String>,
    connect_timeout: Option<StdDuration>,
    settings: BTreeMap<String, String>,
    max_connections: Option<usize>,
}

impl Server {
    /// The server that a script means. `environment` looks up `DATABASE_URL` and `PGHOST`.
    ///
    /// # Errors
    /// `pg.bad_url`, `pg.bad_option`, `config.section`.
    pub fn find(
        connect: &Connect,
        target: &Target,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self> {
        let parts = match connect {
            Connect::Target => of_target(target, &environment)?,
            Connect::Text(text) if is_url(text) => Parts::of_url(text)?,
            Connect::Text(database) => Parts {
                database: Some(database.clone()),
                ..of_target(target, &environment)?
            },
            Connect::Secret(url) => Parts::of_url(url.expose())?,
            Connect::Options(options) => Parts::of_options(options)?,
        };
        parts.into_server()
    }

    /// The same place, for another role.
    #[must_use]
    pub fn with_login(&self, user: String, password: String) -> Self {
        Self {
            user,
            password: Password::Known(password),
            ..self.clone()
        }
    }

    /// Where it is, for people: `localhost:5432`, `/run/postgresql (port 5432)`.
    #[must_use]
    pub fn place(&self) -> String {
        if self.host.starts_with('/') {
            format!(
                "the socket {}/.s.PGSQL.{}",
                self.host.trim_end_matches('/'),
                self.port
            )
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// What sqlx connects with.
    ///
    /// # Errors
    /// `pg.bad_option` for an unknown `sslmode`.
    pub fn options(&self, password: Option<&str>) -> Result<PgConnectOptions> {
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let host = if self.host.contains(':') && !self.host.starts_with('/') {
            format!("[{}]", self.host.trim_matches(['[', ']']))
        } else if self.host.starts_with('/') {
            encode(&self.host)
        } else {
            self.host.clone()
        };
        // By way of a URL, because that is how sqlx comes to ask `~/.pgpass` for this very server.
        let url = format!(
            "postgres://{}@{host}:{}/{}",
            encode(&self.user),
            self.port,
            encode(&self.database)
        );
        let mut options = url
            .parse::<PgConnectOptions>()
            .map_err(|_| {
                Error::new(
                    "pg.bad_option",
                    format!("`{}` is not a host name", self.host),
                )
            })?
            .application_name(&self.application_name)
            .statement_cache_capacity(512)
            .disable_statement_logging();
        if let Some(password) = password {
            options = options.password(password);
        }
        if let Some(mode) = &self.sslmode {
            options = options.ssl_mode(ssl_mode(mode)?);
        }
        if let Some(file) = &self.sslrootcert {
            options = options.ssl_root_cert(file);
        }
        Ok(options)
    }
}

/// Every statement looks its pool up, so only what differs mostly is hashed.
impl Hash for Server {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.port.hash(state);
        self.database.hash(state);
    }
}

/// Without the password.
impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} ({} as {})", self.place(), self.user)
    }
}

/// Without the password.
impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.database, self.resource)
    }
}

impl Parts {
    fn of_url(text: &str) -> Result<Self> {
        // The text of a parse error could hold a part of the password.
        let bad = |what: &str| {
            Error::new("pg.bad_url", format!("the database URL is not valid: {what}"))
                .hint("write it as postgres://user:password@host:5432/database, special characters as %XX")
        };
        let url = url::Url::parse(text).map_err(|error| bad(&error.to_string()))?;
        let decode = |text: &str| {
            percent_decode_str(text)
                .decode_utf8()
                .map(|text| text.into_owned())
                .map_err(|_| bad("a %XX does not give UTF-8"))
        };
        let given = |text: &str| {
            if text.is_empty() {
                Ok(None)
            } else {
                decode(text).map(Some)
            }
        };
        let mut parts = Self {
            host: given(url.host_str().unwrap_or_default())?
                .map(|host| host.trim_matches(['[', ']']).to_owned()),
            port: url.port(),
            user: given(url.username())?,
            password: match url.password() {
                Some(password) => Some(Password::Known(decode(password)?)),
                None => None,
            },
            database: given(url.path().trim_start_matches('/'))?,
            ..Self::default()
        };
        for (key, value) in url.query_pairs() {
            let value = value.into_owned();
            match &*key {
                "host" | "hostaddr" => parts.host = Some(value),
                "port" => {
                    parts.port = Some(value.parse().map_err(|_| bad("`port` is not a number"))?);
                }
                "user" => parts.user = Some(value),
                "password" => parts.password = Some(Password::Known(value)),
                "dbname" => parts.database = Some(value),
                "sslmode" => parts.sslmode = Some(value),
                "sslrootcert" => parts.sslrootcert = Some(value),
                "application_name" => parts.application_name = Some(value),
                "connect_timeout" => {
                    let seconds = value
                        .parse()
                        .map_err(|_| bad("`connect_timeout` is not a number"))?;
                    parts.connect_timeout = Some(StdDuration::from_secs(seconds));
                }
                other => match other
                    .strip_prefix("options[")
                    .and_then(|o| o.strip_suffix(']'))
                {
                    Some(setting) => {
                        parts.settings.insert(setting.to_owned(), value);
                    }
                    None => return Err(unknown_url_key(other)),
                },
            }
        }
        Ok(parts)
    }

    fn of_options(options: &ConnectOptions) -> Result<Self> {
        let settings = options.settings.iter().flatten();
        let settings = settings.map(|(name, value)| (name.to_string(), value.to_string()));
        let given = Self {
            service: None,
            host: options.host.clone(),
            port: options.port,
            user: options.user.clone(),
            password: options
                .password
                .as_ref()
                .map(|p| Password::Known(p.expose().to_owned())),
            database: options.database.clone(),
            sslmode: options.sslmode.clone(),
            sslrootcert: options.sslrootcert.clone(),
            application_name: options.application_name.clone(),
            connect_timeout: options.connect_timeout.map(Duration::to_std),
            settings: settings.collect(),
            max_connections: options.max_connections,
        };
        match &options.url {
            Some(url) => Ok(given.or(Self::of_url(url.expose())?)),
            None => Ok(given),
        }
    }

    fn of_section(section: Section) -> Result<Self> {
        let connect_timeout = match &section.connect_timeout {
            Some(text) => Some(text.parse::<Duration>()?.to_std()),
            None => None,
        };
        let text = |value: &toml::Value| match value {
            toml::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let given = Self {
            service: section.service,
            host: section.host,
            port: section.port,
            user: section.user,
            password: section.password.map(|text| match reference(&text) {
                Some(name) => Password::Reference(name.to_owned()),
                None => Password::Known(text),
            }),
            database: section.database,
            sslmode: section.sslmode,
            sslrootcert: section.sslrootcert,
            application_name: section.application_name,
            connect_timeout,
            settings: section
                .settings
                .iter()
                .map(|(name, v)| (name.clone(), text(v)))
                .collect(),
            max_connections: section.max_connections,
        };
        match &section.url {
            Some(url) => Ok(given.or(Self::of_url(url)?)),
            None => Ok(given),
        }
    }

    /// What these leave open, as `other` says.
    fn or(self, other: Self) -> Self {
        let mut settings = other.settings;
        settings.extend(self.settings);
        Self {
            service: self.service.or(other.service),
            host: self.host.or(other.host),
            port: self.port.or(other.port),
            user: self.user.or(other.user),
            password: self.password.or(other.password),
            database: self.database.or(other.database),
            sslmode: self.sslmode.or(other.sslmode),
            sslrootcert: self.sslrootcert.or(other.sslrootcert),
            application_name: self.application_name.or(other.application_name),
            connect_timeout: self.connect_timeout.or(other.connect_timeout),
            settings,
            max_connections: self.max_connections.or(other.max_connections),
        }
    }

    fn into_server(self) -> Result<Server> {
        if let Some(mode) = &self.sslmode {
            ssl_mode(mode)?;
        }
        // sqlx reads PGHOST, PGPORT, PGUSER, PGDATABASE here, and has the defaults of libpq.
        let ambient = PgConnectOptions::new_without_pgpass();
        let is_service = self.host.is_none() && self.service.is_some();
        let host = self
            .host
            .or_else(|| self.service.clone())
            .unwrap_or_else(|| ambient.get_host().to_owned());
        let user = self
            .user
            .unwrap_or_else(|| ambient.get_username().to_owned());
        let database = self
            .database
            .or_else(|| ambient.get_database().map(str::to_owned))
            .unwrap_or_else(|| user.clone());
        Ok(Server {
            resource: self.service.unwrap_or_else(|| host.clone()),
            is_service,
            host,
            port: self.port.unwrap_or_else(|| ambient.get_port()),
            user,
            database,
            password: self.password.unwrap_or(Password::Ambient),
            sslmode: self.sslmode,
            sslrootcert: self.sslrootcert,
            application_name: self.application_name.unwrap_or_else(|| "ccrun".to_owned()),
            connect_timeout: self.connect_timeout.unwrap_or(StdDuration::from_secs(10)),
            settings: self.settings,
            max_connections: self.max_connections.unwrap_or(10).max(1),
        })
    }
}

/// The target's section, else `PGHOST` and the like, else `DATABASE_URL`.
fn of_target(target: &Target, environment: &impl Fn(&str) -> Option<String>) -> Result<Parts> {
    match target.raw("postgres") {
        Some(toml::Value::String(url)) => match reference(url) {
            None => Parts::of_url(url),
            Some(_) => Err(Error::new(
                "config.section",
                format!(
                    "[target.{}] postgres: only its `password` can be a secret",
                    target.name()
                ),
            )
            .hint("write postgres = { host = \"…\", user = \"…\", password = \"secret:NAME\" }")),
        },
        Some(_) => Parts::of_section(target.section::<Section>("postgres")?.unwrap_or_default()),
        None => match environment("DATABASE_URL") {
            Some(url) if environment("PGHOST").is_none() => Parts::of_url(&url),
            _ => Ok(Parts::default()),
        },
    }
}

/// `postgres://…` in contrast to the name of a database.
fn is_url(text: &str) -> bool {
    text.contains("://")
}

fn ssl_mode(text: &str) -> Result<PgSslMode> {
    const MODES: [&str; 6] = [
        "disable",
        "allow",
        "prefer",
        "require",
        "verify-ca",
        "verify-full",
    ];
    text.parse().map_err(|_| {
        let hint = match closest(text, MODES) {
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None => format!("it is one of {}", MODES.join(", ")),
        };
        Error::new("pg.bad_option", format!("`{text}` is not an sslmode")).hint(hint)
    })
}

fn unknown_url_key(key: &str) -> Error {
    const KEYS: [&str; 10] = [
        "host",
        "hostaddr",
        "port",
        "user",
        "password",
        "dbname",
        "sslmode",
        "sslrootcert",
        "application_name",
        "connect_timeout",
    ];
    let hint = match closest(key, KEYS) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => format!("a URL takes {} and options[NAME]", KEYS.join(", ")),
    };
    Error::new(
        "pg.bad_url",
        format!("the database URL has the unknown key `{key}`"),
    )
    .hint(hint)
}

#[cfg(test)]
mod tests;
