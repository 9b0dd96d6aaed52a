//! Sending an alert to channels: all at once, each with retries, and a fallback where one fails.

use std::time::{Duration, Instant};

use ccrun_kernel::value::Size;
use ccrun_kernel::{Cx, Error, Result};
use reqwest::StatusCode;

use super::channel::{Message, Outgoing, Receiver};
use super::definition::Definition;
use super::model::Alert;
use super::outcome::{How, Outcome};
use crate::mailer::Mailer;
use crate::web::{Exchange, Intent, Request, pause};

/// How often a channel is tried again.
const RETRIES: u32 = 3;

/// The pause before the first retry; doubled each time.
const BACKOFF: Duration = Duration::from_secs(1);

/// No receiver may make the run wait longer.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// What is read of an answer.
const ANSWER: Size = Size::from_bytes(256 << 10);

/// What is kept of an answer.
const KEPT: usize = 500;

/// Tell all of these channels at once; those that fail have their fallbacks told.
pub async fn all(
    cx: &Cx,
    every: &[Definition],
    channels: &[&Definition],
    alert: &Alert,
) -> Vec<Outcome> {
    let sending = channels.iter().map(|channel| one(cx, channel, alert));
    let mut outcomes = futures::future::join_all(sending).await;
    let mut failed: Vec<String> = outcomes
        .iter()
        .filter(|outcome| outcome.error().is_some())
        .map(|outcome| outcome.channel.clone())
        .collect();
    while let Some(name) = failed.pop() {
        let fallback = every
            .iter()
            .find(|channel| channel.name == name)
            .and_then(|channel| channel.settings.fallback.as_ref());
        let Some(fallback) = fallback.and_then(|name| every.iter().find(|one| one.name == *name))
        else {
            continue;
        };
        // Whoever was told, or tried, is not told again.
        if outcomes.iter().any(|done| done.channel == fallback.name) {
            continue;
        }
        let mut outcome = one(cx, fallback, alert).await;
        outcome.instead_of = Some(name);
        if outcome.error().is_some() {
            failed.push(fallback.name.clone());
        }
        outcomes.push(outcome);
    }
    outcomes
}

/// Tell one channel.
pub async fn one(cx: &Cx, channel: &Definition, alert: &Alert) -> Outcome {
    let started = Instant::now();
    let (how, attempts) = match deliver(cx, channel, alert).await {
        Ok(done) => done,
        Err(error) => {
            let attempts = error.details().get("attempts").and_then(|n| n.as_u64());
            let attempts = attempts.and_then(|n| u32::try_from(n).ok()).unwrap_or(1);
            (How::Failed(error), attempts)
        }
    };
    Outcome {
        channel: channel.name.clone(),
        kind: channel.kind.name,
        how,
        attempts,
        elapsed: started.elapsed(),
        instead_of: None,
    }
}

async fn deliver(cx: &Cx, channel: &Definition, alert: &Alert) -> Result<(How, u32)> {
    let receiver = Receiver::find(channel, &cx.access()).await?;
    match channel.kind.channel.message(alert, &receiver)? {
        None => Ok((How::NothingToSay, 0)),
        Some(Message::Text(text)) => {
            cx.output(text);
            Ok((How::Sent(None, String::new()), 1))
        }
        Some(Message::Http(outgoing)) => {
            let (answer, attempts) = request(cx, channel, *outgoing).await?;
            let status = answer.status.as_u16();
            let said = answer.excerpt(KEPT);
            channel.kind.channel.judge(&answer).map_err(|why| {
                Error::new(
                    "alert.refused",
                    format!(
                        "{} answered {status}, but did not take it: {}",
                        channel.name,
                        why.chars().take(KEPT).collect::<String>()
                    ),
                )
                .hint("is the URL that of the service itself, and the key right?")
                .detail("status", status)
                .detail("body", said.clone())
                .detail("attempts", attempts)
            })?;
            Ok((How::Sent(Some(status), said), attempts))
        }
        Some(Message::Mail(mail)) => {
            let (letter, server) = *mail;
            let mailer = cx.client::<Mailer>().await?;
            let mut attempt = 1;
            loop {
                match mailer.send(&server, &letter).await {
                    Ok(delivery) => return Ok((How::Sent(Some(250), delivery.answer), attempt)),
                    Err(error) if attempt <= retries(channel) && is_worth_a_retry(&error) => {
                        tokio::time::sleep(pause::before(attempt - 1, BACKOFF)).await;
                        attempt += 1;
                    }
                    Err(error) => return Err(error.detail("attempts", attempt)),
                }
            }
        }
    }
}

/// Send a request to a receiver.
///
/// # Errors
/// `http.*`
pub async fn request(
    cx: &Cx,
    channel: &Definition,
    outgoing: Outgoing,
) -> Result<(crate::web::Answer, u32)> {
    let request = Request {
        headers: outgoing.headers,
        body: Some(outgoing.body),
        timeout: channel.timeout,
        retries: retries(channel),
        backoff: BACKOFF,
        longest_wait: LONGEST_WAIT,
        may_pass,
        max_body: ANSWER,
        ..Request::new(outgoing.method, Intent::Change, outgoing.address)
    };
    Exchange::new(cx, request).await?.run().await
}

fn retries(channel: &Definition) -> u32 {
    channel.settings.retries.unwrap_or(RETRIES)
}

/// An alert told twice is better than one told never, so any failure of the server's is worth a retry.
fn may_pass(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 425 | 429) || status.is_server_error()
}

/// Not worth one: greylisting lasts minutes, and a letter may have been taken where the connection broke off after it.
fn is_worth_a_retry(error: &Error) -> bool {
    matches!(
        error.kind(),
        "smtp.connection_refused"
            | "smtp.timeout"
            | "smtp.try_later"
            | "smtp.dns"
            | "smtp.unreachable"
    )
}
