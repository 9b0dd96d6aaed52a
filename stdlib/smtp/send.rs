//! Send a letter.

use ccrun_kernel::rhai::{Array, Dynamic, Map};
use ccrun_kernel::value::Duration;
use ccrun_kernel::{Cx, Error, MaybeSecret, Options, Preview, Result, primitive};
use indexmap::IndexMap;

use super::check;
use super::options::ServerOptions;
use crate::files::Content;
use crate::mailer::{Draft, Encryption, Letter, Mailer};

/// A letter, and the server that takes it. Without `host` and `service` it is the target's.
#[derive(Clone, Options)]
pub struct LetterOptions {
    /// Who gets it: `["ann@example.org", "Bob <bob@example.org>"]`.
    to: Vec<String>,
    /// The sender; the target's `from` if left out.
    from: Option<String>,
    /// Who gets it as well.
    cc: Option<Vec<String>>,
    /// Who gets it without the others knowing.
    bcc: Option<Vec<String>>,
    /// Whom answers go to.
    reply_to: Option<String>,
    /// The subject.
    #[option(default = "")]
    subject: String,
    /// The text.
    #[option(default = "")]
    text: String,
    /// The same as HTML.
    html: Option<String>,
    /// More headers.
    headers: Option<IndexMap<String, String>>,
    /// A host name or an address.
    host: Option<String>,
    /// A Compose service, found at the address of its container.
    service: Option<String>,
    /// The port: 587, with TLS at once 465, without TLS 25.
    port: Option<u16>,
    /// When TLS begins: `starttls`, `implicit` (at once) or `none`.
    tls: Option<Encryption>,
    /// The user.
    user: Option<String>,
    /// The password.
    password: Option<MaybeSecret>,
    /// How ccrun introduces itself (EHLO): this machine's name if left out.
    hello: Option<String>,
    /// How long each step may take: 10 s if left out.
    timeout: Option<Duration>,
    /// Certificates to trust beside the system's, as PEM: `fs::read("ca.pem")`.
    ca: Option<Content>,
    /// Trust any certificate. Whoever sits in between can then read the letter and the password.
    #[option(default = "false")]
    insecure: bool,
}

impl LetterOptions {
    fn server(&self) -> ServerOptions {
        ServerOptions {
            host: self.host.clone(),
            service: self.service.clone(),
            port: self.port,
            tls: self.tls,
            user: self.user.clone(),
            password: self.password.clone(),
            hello: self.hello.clone(),
            timeout: self.timeout,
            ca: self.ca.clone(),
            insecure: self.insecure,
        }
    }

    fn letter(&self, sender: Option<String>) -> Result<Letter> {
        let from = self.from.clone().or(sender).ok_or_else(|| {
            Error::new("smtp.bad_address", "the letter has no sender").hint(
                "give `from`, or set it in the target: smtp = { …, from = \"ops@example.org\" }",
            )
        })?;
        let headers: Vec<(String, String)> = self
            .headers
            .clone()
            .unwrap_or_default()
            .into_iter()
            .collect();
        Letter::write(&Draft {
            from: &from,
            to: &self.to,
            cc: self.cc.as_deref().unwrap_or_default(),
            bcc: self.bcc.as_deref().unwrap_or_default(),
            reply_to: self.reply_to.as_deref(),
            subject: &self.subject,
            text: &self.text,
            html: self.html.as_deref(),
            headers: &headers,
        })
    }
}

/// Send a letter. It is handed to the server once; that a server took it does not mean that it arrived.
///
/// Returns a map: `answer` (what the server said, often with its number in the queue), `id` (the
/// `Message-ID`), `accepted` (the recipients), and what `smtp::check` returns. Who is refused does not keep the letter
/// from the others; it is an error all the same, which names both.
///
/// # Errors
/// Those of `smtp::check`; `smtp.recipient_rejected`, `smtp.sender_rejected`, `smtp.rejected`, `smtp.too_large`,
/// `smtp.auth_required`, `smtp.tls_required`; `smtp.greylisted` and `smtp.try_later`, which may pass
/// (`retryable`); `smtp.bad_address`, `smtp.bad_header`.
///
/// # Example
/// ```rhai,no_run
/// smtp::send(#{ to: ["ops@example.org"], subject: "Backup", text: "It is done.", host: "mail.example.org", from: "backup@example.org" });
/// ```
#[primitive(change, needs = smtp(letter.server().resource()), preview = preview)]
pub(super) async fn send(cx: &Cx, letter: LetterOptions) -> Result<Map> {
    let (server, sender) = letter.server().server(cx).await?;
    let written = letter.letter(sender)?;
    let delivery = cx.client::<Mailer>().await?.send(&server, &written).await?;
    let mut map = check::to_map(&delivery.report);
    let accepted: Array = delivery.accepted.into_iter().map(Dynamic::from).collect();
    map.insert("answer".into(), delivery.answer.into());
    map.insert("id".into(), written.id().into());
    map.insert("accepted".into(), accepted.into());
    Ok(map)
}

async fn preview(cx: &Cx, letter: &LetterOptions) -> Result<Preview> {
    let (server, sender) = letter.server().server(cx).await?;
    let written = letter.letter(sender)?;
    let to: Vec<String> = written
        .envelope()
        .to()
        .iter()
        .map(ToString::to_string)
        .collect();
    Ok(Preview::new(format!(
        "a letter to {} by {server}: {}",
        to.join(", "),
        letter.subject
    )))
}
