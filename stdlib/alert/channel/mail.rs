//! Mail, by the target's server or one of the channel's own.

use ccrun_kernel::{Access, Client as _, Result};
use sha2::{Digest as _, Sha256};

use super::{Channel, Message, Receiver};
use crate::alert::definition::Definition;
use crate::alert::model::Alert;
use crate::alert::text::{cut, cut_bytes};
use crate::mailer::{Draft, Letter, Mailer, Section, Server};

/// A subject that mail programs show.
const SUBJECT: usize = 200;
/// A mail is no place for more.
const BODY: usize = 1 << 20;

/// Mail.
pub struct Mail;

impl Channel for Mail {
    fn message(&self, alert: &Alert, to: &Receiver) -> Result<Option<Message>> {
        let mut recipients: Vec<String> = to.settings.to.clone();
        if let Ok(place) = to.place() {
            let listed = place.expose().split(',').map(str::trim);
            recipients.extend(listed.filter(|one| !one.is_empty()).map(str::to_owned));
        }
        let Some((server, sender)) = to.server() else {
            return Err(to.wrong(
                "it has no mail server",
                "smtp = { host = \"mail.example.org\" } of the target",
            ));
        };
        let Some(from) = to.settings.from.as_ref().or(sender.as_ref()) else {
            return Err(to.wrong("it has no sender", "from = \"alerts@example.org\""));
        };
        let letter = Letter::write(&Draft {
            from,
            to: &recipients,
            subject: &subject(alert, SUBJECT),
            text: &cut_bytes(&text(alert), BODY),
            headers: &headers(alert),
            ..Draft::default()
        })?;
        Ok(Some(Message::Mail(Box::new((letter, server.clone())))))
    }
}

/// The mail server of a channel, with the sender that goes with it.
///
/// # Errors
/// `config.section`
pub async fn server(definition: &Definition, access: &Access) -> Result<(Server, Option<String>)> {
    let target = access.target();
    let section = definition.settings.smtp.clone().unwrap_or_default();
    let section = section.or(Section::of_target(target)?);
    let from = section.from.clone();
    let ca = match &section.ca {
        Some(path) => Some(Mailer::open(access).await?.read_ca(path)?),
        None => None,
    };
    let mut server = section.server(target)?;
    server.ca = ca;
    server.timeout = definition.timeout;
    Ok((server, from))
}

/// The subject of a letter.
#[must_use]
pub fn subject(alert: &Alert, most: usize) -> String {
    cut(&alert.headline(), most)
}

/// The text of a letter.
#[must_use]
pub fn text(alert: &Alert) -> String {
    let mut text = format!("{}\n\n", alert.title);
    if !alert.body.is_empty() {
        text.push_str(&alert.body);
        text.push_str("\n\n");
    }
    if let Some(link) = &alert.link {
        text.push_str(&format!("{link}\n\n"));
    }
    for (name, value) in alert.facts() {
        text.push_str(&format!("{name}: {value}\n"));
    }
    text.push_str(&format!("since: {}\n", alert.since));
    text
}

/// Headers that keep what belongs together in one thread, and machines from answering (RFC 3834).
#[must_use]
pub fn headers(alert: &Alert) -> Vec<(String, String)> {
    let thread = hex::encode(&Sha256::digest(format!("{}\n{}", alert.source, alert.key))[..12]);
    vec![
        ("Auto-Submitted".to_owned(), "auto-generated".to_owned()),
        ("References".to_owned(), format!("<{thread}@ccrun>")),
        ("X-Ccrun-Severity".to_owned(), alert.state().to_owned()),
    ]
}
