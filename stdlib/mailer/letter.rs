//! A letter: who, to whom, what.

use ccrun_kernel::{Error, Result};
use lettre::Message;
use lettre::address::Envelope;
use lettre::message::header::{ContentTransferEncoding, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};

/// A letter, ready to be sent.
pub struct Letter(Message);

/// What a letter is made of.
#[derive(Debug, Clone, Default)]
pub struct Draft<'a> {
    /// The sender: `ops@example.org`, `Operations <ops@example.org>`.
    pub from: &'a str,
    /// Who gets it.
    pub to: &'a [String],
    /// Who gets it as well.
    pub cc: &'a [String],
    /// Who gets it without the others knowing.
    pub bcc: &'a [String],
    /// Whom answers go to.
    pub reply_to: Option<&'a str>,
    /// The subject.
    pub subject: &'a str,
    /// The text.
    pub text: &'a str,
    /// The same as HTML.
    pub html: Option<&'a str>,
    /// More headers.
    pub headers: &'a [(String, String)],
}

impl Letter {
    /// Write it.
    ///
    /// # Errors
    /// `smtp.bad_address`, `smtp.bad_header`.
    pub fn write(draft: &Draft<'_>) -> Result<Self> {
        let from = mailbox(draft.from)?;
        let id = format!(
            "<{}@{}>",
            uuid::Uuid::new_v4().simple(),
            from.email.domain()
        );
        let mut builder = Message::builder()
            .from(from)
            .date_now()
            .message_id(Some(id))
            .subject(line(draft.subject));
        if draft.to.is_empty() && draft.cc.is_empty() && draft.bcc.is_empty() {
            return Err(Error::new("smtp.bad_address", "the letter goes to nobody")
                .hint("to: [\"team@example.org\"]"));
        }
        for address in draft.to {
            builder = builder.to(mailbox(address)?);
        }
        for address in draft.cc {
            builder = builder.cc(mailbox(address)?);
        }
        for address in draft.bcc {
            builder = builder.bcc(mailbox(address)?);
        }
        if let Some(address) = draft.reply_to {
            builder = builder.reply_to(mailbox(address)?);
        }
        for (name, value) in draft.headers {
            let parsed = HeaderName::new_from_ascii(name.clone()).map_err(|_| {
                Error::new(
                    "smtp.bad_header",
                    format!("`{name}` can't be the name of a header"),
                )
                .hint("letters, digits and `-`: `X-Priority`")
            })?;
            builder = builder.raw_header(HeaderValue::new(parsed, line(value)));
        }
        // As base64 or quoted-printable: any server takes that, and no line is too long.
        let message = match draft.html {
            None => builder.singlepart(SinglePart::plain(draft.text.to_owned())),
            Some(html) => builder.multipart(MultiPart::alternative_plain_html(
                draft.text.to_owned(),
                html.to_owned(),
            )),
        };
        message
            .map(Self)
            .map_err(|error| Error::new("smtp.bad_address", error.to_string()))
    }

    /// From whom, to whom.
    #[must_use]
    pub fn envelope(&self) -> &Envelope {
        self.0.envelope()
    }

    /// As it is sent.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.0.formatted()
    }

    /// What it is known by.
    #[must_use]
    pub fn id(&self) -> String {
        let raw = self.0.headers().get_raw("Message-ID").unwrap_or_default();
        raw.trim_matches(['<', '>']).to_owned()
    }

    /// How its body is encoded.
    #[must_use]
    pub fn encoding(&self) -> Option<ContentTransferEncoding> {
        self.0.headers().get()
    }
}

fn mailbox(text: &str) -> Result<Mailbox> {
    text.parse().map_err(|error| {
        Error::new(
            "smtp.bad_address",
            format!("`{text}` is no mail address: {error}"),
        )
        .hint("write `name@example.org` or `Name <name@example.org>`")
    })
}

/// A header is one line: a break in it would begin another one.
fn line(text: &str) -> String {
    text.split(['\r', '\n'])
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_is_plain_ascii_with_short_lines_whatever_is_in_it() {
        let to = ["Zoë <zoe@example.org>".to_owned()];
        let text = format!("{}{}", "Größe 漢字 🚨\n".repeat(2000), "x".repeat(5000));
        let letter = Letter::write(&Draft {
            from: "ops@example.org",
            to: &to,
            subject: "Sicherung fehlgeschlagen 🚨\r\nBcc: evil@example.org",
            text: &text,
            ..Draft::default()
        })
        .unwrap();
        let bytes = letter.bytes();
        assert!(bytes.is_ascii());
        let written = String::from_utf8(bytes).unwrap();
        assert!(
            written.lines().all(|line| line.len() <= 998),
            "RFC 5322, 2.1.1"
        );
        let (headers, _) = written.split_once("\r\n\r\n").unwrap();
        assert!(
            !headers.lines().any(|line| line.starts_with("Bcc:")),
            "{headers}"
        );
        assert!(letter.id().ends_with("@example.org"));
    }

    #[test]
    fn a_wrong_address_is_named() {
        let to = ["nobody".to_owned()];
        let draft = Draft {
            from: "ops@example.org",
            to: &to,
            ..Draft::default()
        };
        let error = Letter::write(&draft).err().unwrap();
        assert_eq!(error.kind(), "smtp.bad_address");
        assert!(error.message().contains("`nobody`"), "{error}");
    }
}
