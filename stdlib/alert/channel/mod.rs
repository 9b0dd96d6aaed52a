//! The channels. Each is a file of its own that makes a message of an alert and judges the answer; a new one is
//! that file and a line in [`KINDS`].

mod alertmanager;
mod discord;
mod heartbeat;
mod mail;
mod ntfy;
mod opsgenie;
mod pagerduty;
mod postal;
mod slack;
mod stdout;
mod teams;
mod webhook;

use std::collections::BTreeMap;

use ccrun_kernel::secret::{Secret, reference};
use ccrun_kernel::{Access, Error, MaybeSecret, Result};
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use super::definition::{Definition, Settings};
use super::model::Alert;
use crate::credential::Credential;
use crate::mailer::{Letter, Server};
use crate::service;
use crate::web::{Address, Answer};

pub use alertmanager::{silence_request, unsilence_request};

/// A kind of channel.
pub struct Kind {
    /// What a URL of it begins with.
    pub name: &'static str,
    /// Whether its place is a secret: who knows a webhook can post to it.
    pub secret: bool,
    /// Whether the receiver itself keeps which alerts are there, so that it may be told again and again.
    pub keeps: bool,
    /// Whether alerts are routed to it.
    pub routed: bool,
    /// How a message is made, and an answer judged.
    pub channel: &'static dyn Channel,
}

/// All of them.
pub static KINDS: [Kind; 12] = [
    kind("alertmanager", &alertmanager::Alertmanager).keeping(),
    kind("discord", &discord::Discord).secret(),
    kind("heartbeat", &heartbeat::Heartbeat).secret().unrouted(),
    kind("mail", &mail::Mail),
    kind("ntfy", &ntfy::Ntfy),
    kind("opsgenie", &opsgenie::Opsgenie).secret().keeping(),
    kind("pagerduty", &pagerduty::PagerDuty).secret().keeping(),
    kind("postal", &postal::Postal),
    kind("slack", &slack::Slack).secret(),
    kind("stdout", &stdout::Stdout),
    kind("teams", &teams::Teams).secret(),
    kind("webhook", &webhook::Webhook).keeping(),
];

const fn kind(name: &'static str, channel: &'static dyn Channel) -> Kind {
    Kind {
        name,
        secret: false,
        keeps: false,
        routed: true,
        channel,
    }
}

impl Kind {
    const fn secret(self) -> Self {
        Self {
            secret: true,
            ..self
        }
    }

    const fn keeping(self) -> Self {
        Self {
            keeps: true,
            ..self
        }
    }

    const fn unrouted(self) -> Self {
        Self {
            routed: false,
            ..self
        }
    }
}

/// A kind's own work.
pub trait Channel: Send + Sync {
    /// What is sent; nothing where the receiver has no word for it.
    ///
    /// # Errors
    /// `config.section` if something is missing, `template.*` from a template.
    fn message(&self, alert: &Alert, to: &Receiver) -> Result<Option<Message>>;

    /// Whether an answer below 400 means that the receiver took it; if not, what it says.
    ///
    /// # Errors
    /// What the receiver says.
    fn judge(&self, answer: &Answer) -> std::result::Result<(), String> {
        let _ = answer;
        Ok(())
    }
}

/// What is sent.
pub enum Message {
    /// A request.
    Http(Box<Outgoing>),
    /// A letter.
    Mail(Box<(Letter, Server)>),
    /// A text for standard output.
    Text(String),
}

/// A request to a receiver.
pub struct Outgoing {
    /// The method.
    pub method: Method,
    /// Where it goes.
    pub address: Address,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Vec<u8>,
}

/// A receiver, with its secrets at hand.
pub struct Receiver {
    /// The name of the channel.
    pub name: String,
    /// The settings.
    pub settings: Settings,
    /// How long it may keep an alert that it hears no more of.
    pub lasts: ccrun_kernel::value::Duration,
    place: Option<Secret>,
    place_is_secret: bool,
    base: Option<String>,
    secrets: BTreeMap<&'static str, Secret>,
    headers: BTreeMap<String, MaybeSecret>,
    server: Option<(Server, Option<String>)>,
}

impl Receiver {
    /// Find out where a channel is now, and ask for its secrets.
    ///
    /// # Errors
    /// `secret.not_found`, `config.section`, what the engine says of a service.
    pub async fn find(definition: &Definition, access: &Access) -> Result<Self> {
        let settings = &definition.settings;
        let place = match &definition.place {
            Some(Credential::Reference(name)) => Some(access.secret(name).await?),
            // An address for everybody's eyes: to mask it would only make the log unreadable.
            Some(Credential::Known(place)) => Some(Secret::new("place", place.as_str())),
            None => None,
        };
        let place_is_secret = matches!(definition.place, Some(Credential::Reference(_)));
        let mut secrets = BTreeMap::new();
        for (name, value) in [
            ("token", &settings.token),
            ("password", &settings.password),
            ("key", &settings.key),
        ] {
            if let Some(value) = value {
                let credential = Credential::of_config(value);
                secrets.insert(name, credential.resolve(access, name).await?);
            }
        }
        let mut headers = BTreeMap::new();
        for (name, value) in &settings.headers {
            let value = match reference(value) {
                Some(secret) => MaybeSecret::Secret(access.secret(secret).await?),
                None => MaybeSecret::Plain(value.clone()),
            };
            headers.insert(name.clone(), value);
        }
        let base = match &settings.service {
            Some(service) if definition.kind.name != "mail" => {
                let port = settings.port.unwrap_or(9093);
                let found = service::address(access, "alert", service, port).await?;
                let (host, port) = found.unwrap_or_else(|| (service.clone(), port));
                Some(format!("http://{host}:{port}"))
            }
            _ => settings.endpoint.clone(),
        };
        let server = match definition.kind.name {
            "mail" => Some(mail::server(definition, access).await?),
            _ => None,
        };
        Ok(Self {
            name: definition.name.clone(),
            settings: settings.clone(),
            lasts: definition.lasts,
            place,
            place_is_secret,
            base,
            secrets,
            headers,
            server,
        })
    }

    /// What stands behind the kind.
    ///
    /// # Errors
    /// `config.section`
    pub fn place(&self) -> Result<&Secret> {
        self.place.as_ref().ok_or_else(|| {
            self.wrong(
                "nothing stands behind the kind",
                "write `kind:place`, as `slack:secret:SLACK_WEBHOOK`",
            )
        })
    }

    /// The URL that the place is.
    ///
    /// # Errors
    /// `config.section`
    pub fn address(&self) -> Result<Address> {
        let place = self.place()?;
        let given = match self.place_is_secret {
            true => MaybeSecret::Secret(place.clone()),
            false => MaybeSecret::Plain(place.expose().to_owned()),
        };
        Address::read(given).map_err(|what| self.wrong(&what, "it begins with https://"))
    }

    /// A path on the server: that of `service` or `endpoint`, else that of the place, else the usual one.
    ///
    /// # Errors
    /// `config.section`
    pub fn address_at(&self, usual: Option<&str>, path: &str) -> Result<Address> {
        let place = self.place.as_ref().map(Secret::expose);
        let base = self.base.as_deref().or(usual).or(place).ok_or_else(|| {
            self.wrong(
                "it has no URL",
                "write `kind:https://host`, or name a Compose `service`",
            )
        })?;
        let text = format!("{}{path}", base.trim_end_matches('/'));
        Address::read(MaybeSecret::Plain(text))
            .map_err(|what| self.wrong(&what, "it begins with https://"))
    }

    /// A secret of the settings.
    #[must_use]
    pub fn secret(&self, name: &str) -> Option<&Secret> {
        self.secrets.get(name)
    }

    /// The mail server, and its sender.
    #[must_use]
    pub fn server(&self) -> Option<&(Server, Option<String>)> {
        self.server.as_ref()
    }

    /// A request with this JSON.
    ///
    /// # Errors
    /// `config.section` for a header that can't be one.
    pub fn post(&self, address: Address, json: &serde_json::Value) -> Result<Message> {
        let body = json.to_string().into_bytes();
        self.request(Method::POST, address, "application/json", body)
            .map(|request| Message::Http(Box::new(request)))
    }

    /// A request, with the headers of the settings and what says who asks.
    ///
    /// # Errors
    /// `config.section` for a header that can't be one.
    pub fn request(
        &self,
        method: Method,
        address: Address,
        content_type: &str,
        body: Vec<u8>,
    ) -> Result<Outgoing> {
        use base64::Engine as _;
        let mut headers = HeaderMap::new();
        let encode = |text: String| base64::engine::general_purpose::STANDARD.encode(text);
        let basic = match (&self.settings.user, self.secret("password")) {
            (Some(user), Some(password)) => Some(encode(format!("{user}:{}", password.expose()))),
            _ => address
                .credentials()
                .map(|(user, password)| encode(format!("{user}:{password}"))),
        };
        let authorization = match (self.secret("token"), basic) {
            (Some(token), _) => Some(format!("Bearer {}", token.expose())),
            (None, Some(basic)) => Some(format!("Basic {basic}")),
            (None, None) => None,
        };
        if let Some(text) = authorization {
            headers.insert(AUTHORIZATION, self.header("Authorization", &text)?);
        }
        headers.insert(CONTENT_TYPE, self.header("Content-Type", content_type)?);
        for (name, value) in &self.headers {
            let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
                self.wrong(
                    &format!("`{name}` can't be the name of a header"),
                    "letters, digits and `-`",
                )
            })?;
            headers.insert(parsed, self.header(name, value.expose())?);
        }
        Ok(Outgoing {
            method,
            address,
            headers,
            body,
        })
    }

    /// The value of a header that no library logs.
    ///
    /// # Errors
    /// `config.section`
    pub fn header(&self, name: &str, text: &str) -> Result<HeaderValue> {
        let mut value = HeaderValue::from_bytes(text.as_bytes()).map_err(|_| {
            self.wrong(
                &format!("the value of the header `{name}` has a line break in it"),
                "does the secret end with a newline?",
            )
        })?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// An error in the configuration of this channel.
    #[must_use]
    pub fn wrong(&self, what: &str, hint: &str) -> Error {
        Error::new(
            "config.section",
            format!("the channel {}: {what}", self.name),
        )
        .hint(hint)
    }
}
