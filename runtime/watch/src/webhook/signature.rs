//! Signatures of webhooks: GitHub's and its likes', Standard Webhooks, and plain tokens.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ccrun_kernel::runbook::trigger::Signature;
use hmac::{Hmac, Mac as _};
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;

use super::{Message, Refusal};

/// A message that is what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The same whenever the same message comes again.
    pub id: String,
}

/// Check a message's signature, and that it is not an old one.
///
/// # Errors
/// Why it is refused.
pub fn check(
    message: &Message,
    secret: &[u8],
    signature: Signature,
    tolerance: jiff::SignedDuration,
    now: Timestamp,
) -> Result<Checked, Refusal> {
    let github = message.header("x-hub-signature-256").is_some();
    let generic = message.header("webhook-signature").is_some();
    let kind = match signature {
        Signature::Any if github => Signature::GitHub,
        Signature::Any if generic => Signature::Generic,
        Signature::Any => Signature::Token,
        kind => kind,
    };
    match kind {
        Signature::GitHub => of_github(message, secret),
        Signature::Generic => of_standard(message, secret, tolerance, now),
        Signature::Token | Signature::Any => of_token(message, secret),
    }
}

fn mac(secret: &[u8], parts: &[&[u8]]) -> Hmac<Sha256> {
    // HMAC takes keys of every length.
    let mut mac = Hmac::<Sha256>::new_from_slice(secret)
        .unwrap_or_else(|_| Hmac::new(&sha2::digest::generic_array::GenericArray::default()));
    parts.iter().for_each(|part| mac.update(part));
    mac
}

/// <https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries>. Only the body
/// is signed, not the name of the delivery, so it is the body that tells one message from another.
fn of_github(message: &Message, secret: &[u8]) -> Result<Checked, Refusal> {
    let header = message
        .header("x-hub-signature-256")
        .ok_or(Refusal::Unsigned)?;
    let given = header
        .strip_prefix("sha256=")
        .and_then(|digits| hex::decode(digits).ok())
        .ok_or(Refusal::WrongSignature)?;
    mac(secret, &[&message.body])
        .verify_slice(&given)
        .map_err(|_| Refusal::WrongSignature)?;
    Ok(Checked {
        id: format!("body {}", digest(&message.body)),
    })
}

/// <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>
fn of_standard(
    message: &Message,
    secret: &[u8],
    tolerance: jiff::SignedDuration,
    now: Timestamp,
) -> Result<Checked, Refusal> {
    let header = |name| message.header(name).ok_or(Refusal::Unsigned);
    let (id, time) = (header("webhook-id")?, header("webhook-timestamp")?);
    let signatures = header("webhook-signature")?;
    let encoded = std::str::from_utf8(secret)
        .ok()
        .and_then(|text| text.strip_prefix("whsec_"))
        .and_then(|text| STANDARD.decode(text).ok());
    let key = encoded.as_deref().unwrap_or(secret);
    let parts: [&[u8]; 5] = [id.as_bytes(), b".", time.as_bytes(), b".", &message.body];
    let fits = signatures
        .split(' ')
        .filter_map(|one| one.strip_prefix("v1,"))
        .filter_map(|one| STANDARD.decode(one).ok())
        .any(|given| mac(key, &parts).verify_slice(&given).is_ok());
    if !fits {
        return Err(Refusal::WrongSignature);
    }
    let signed = time
        .parse()
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .ok_or(Refusal::Malformed)?;
    if now.duration_since(signed).abs() > tolerance {
        return Err(Refusal::TooOld);
    }
    Ok(Checked {
        id: format!("id {id}"),
    })
}

/// The secret itself. Nothing is signed, so nothing tells a message from its repetition but the name
/// that the sender gives it, if it gives one.
fn of_token(message: &Message, secret: &[u8]) -> Result<Checked, Refusal> {
    let bearer = message
        .header("authorization")
        .and_then(|text| text.strip_prefix("Bearer "));
    let given = bearer
        .or_else(|| message.header("x-gitlab-token"))
        .ok_or(Refusal::Unsigned)?;
    if !same(given.trim().as_bytes(), secret) {
        return Err(Refusal::WrongSignature);
    }
    let named = ["idempotency-key", "x-gitlab-event-uuid", "x-request-id"]
        .into_iter()
        .find_map(|name| message.header(name));
    Ok(Checked {
        id: match named {
            Some(name) => format!("name {name}"),
            None => format!("once {}", uuid::Uuid::now_v7()),
        },
    })
}

/// Whether two secrets are the same, in a time that says nothing about them.
#[must_use]
pub fn same(given: &[u8], secret: &[u8]) -> bool {
    !secret.is_empty() && Sha256::digest(given).ct_eq(&Sha256::digest(secret)).into()
}

fn digest(body: &[u8]) -> String {
    hex::encode(Sha256::digest(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"It's a Secret to Everybody";

    fn message(headers: &[(&str, &str)], body: &str) -> Message {
        Message {
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            body: body.as_bytes().to_vec(),
        }
    }

    fn verdict(message: &Message, secret: &[u8], kind: Signature) -> Result<Checked, Refusal> {
        let now = Timestamp::from_second(1_614_265_330).unwrap();
        check(
            message,
            secret,
            kind,
            jiff::SignedDuration::from_mins(5),
            now,
        )
    }

    #[test]
    fn githubs_own_example_fits() {
        // From GitHub's documentation.
        let good = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let signed = message(&[("x-hub-signature-256", good)], "Hello, World!");
        let checked = verdict(&signed, SECRET, Signature::GitHub).unwrap();
        assert_eq!(verdict(&signed, SECRET, Signature::Any).unwrap(), checked);
        // Sent again under another name: still the same message.
        let mut again = signed.clone();
        again
            .headers
            .insert("x-github-delivery".to_owned(), "other".to_owned());
        assert_eq!(verdict(&again, SECRET, Signature::GitHub).unwrap(), checked);

        let wrong = |message| verdict(&message, SECRET, Signature::GitHub).unwrap_err();
        assert_eq!(wrong(message(&[], "Hello, World!")), Refusal::Unsigned);
        assert_eq!(
            wrong(message(&[("x-hub-signature-256", good)], "Hello, World")),
            Refusal::WrongSignature
        );
        for header in ["", "sha256=", "sha256=zz", "sha1=00", &good[..20]] {
            assert_eq!(
                wrong(message(&[("x-hub-signature-256", header)], "Hello, World!")),
                Refusal::WrongSignature
            );
        }
        assert!(verdict(&signed, b"another", Signature::GitHub).is_err());
    }

    #[test]
    fn the_example_of_standard_webhooks_fits() {
        // From the tests of the specification's reference implementation.
        let secret = b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let body = r#"{"test": 2432232314}"#;
        let signed = |time: &str| {
            message(
                &[
                    ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
                    ("webhook-timestamp", time),
                    (
                        "webhook-signature",
                        "v1,bm9ldHU= v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
                    ),
                ],
                body,
            )
        };
        let checked = verdict(&signed("1614265330"), secret, Signature::Generic).unwrap();
        assert_eq!(checked.id, "id msg_p5jXN8AQM9LWM0D4loKWxJek");
        assert_eq!(
            verdict(&signed("1614265331"), secret, Signature::Generic),
            Err(Refusal::WrongSignature),
            "the time is signed as well"
        );
        let late = Timestamp::from_second(1_614_265_330 + 301).unwrap();
        let tolerance = jiff::SignedDuration::from_mins(5);
        assert_eq!(
            check(
                &signed("1614265330"),
                secret,
                Signature::Generic,
                tolerance,
                late
            ),
            Err(Refusal::TooOld)
        );
    }

    #[test]
    fn a_token_is_compared_as_a_whole() {
        let with = |name: &str, value: &str| message(&[(name, value)], "");
        assert!(
            verdict(
                &with("authorization", "Bearer s3cret"),
                b"s3cret",
                Signature::Any
            )
            .is_ok()
        );
        assert!(
            verdict(
                &with("x-gitlab-token", "s3cret"),
                b"s3cret",
                Signature::Token
            )
            .is_ok()
        );
        for wrong in ["Bearer s3cre", "Bearer s3cretx", "Basic s3cret"] {
            assert!(verdict(&with("authorization", wrong), b"s3cret", Signature::Token).is_err());
        }
        assert!(verdict(&with("authorization", "Bearer "), b"", Signature::Token).is_err());
        // A signed hook is not opened by its secret as a token.
        let token = with("authorization", "Bearer s3cret");
        assert_eq!(
            verdict(&token, b"s3cret", Signature::GitHub),
            Err(Refusal::Unsigned)
        );
    }
}
