//! A sign of life.

use ccrun_kernel::rhai::Map;
use ccrun_kernel::{Cx, Error, Options, Preview, Result, primitive};

use super::definition::Definition;
use super::model::{Action, Alert, Severity};
use super::{route, send};

/// What is said with it.
#[derive(Clone, Options)]
pub struct HeartbeatOptions {
    /// It did not work: tell that at once, instead of letting the time run out.
    #[option(default = "false")]
    failed: bool,
    /// What is known.
    #[option(default = "")]
    body: String,
}

/// Give a sign of life to a dead-man switch: a service that tells somebody when the sign does not come.
///
/// It is a channel of the kind `heartbeat`: `alive = "heartbeat:secret:HEALTHCHECK_URL"`. What fails here is an
/// exception: nobody would notice it otherwise before the time has run out.
///
/// # Errors
/// `alert.no_channel`, `alert.not_a_heartbeat`, `http.*`, `secret.not_found`.
///
/// # Example
/// ```rhai,no_run
/// alert::heartbeat("alive");
/// ```
#[primitive(change, needs = alert(channel), preview = plan)]
pub(super) async fn heartbeat(cx: &Cx, channel: String, options: HeartbeatOptions) -> Result<Map> {
    let all = Definition::of_target(cx.target())?;
    let definition = find(&all, &channel)?;
    let now = jiff::Timestamp::now();
    let alert = Alert {
        action: match options.failed {
            true => Action::Trigger,
            false => Action::Resolve,
        },
        key: channel,
        severity: Severity::Error,
        source: cx.target().name().to_owned(),
        title: String::new(),
        body: cx.redactor().redact(&options.body).into_owned(),
        labels: Default::default(),
        link: None,
        since: now,
        now,
    };
    let outcome = send::one(cx, definition, &alert).await;
    match outcome.error() {
        Some(error) => Err(error.clone()),
        None => Ok(outcome.to_map()),
    }
}

async fn plan(cx: &Cx, channel: &str, options: &HeartbeatOptions) -> Result<Preview> {
    let all = Definition::of_target(cx.target())?;
    let definition = find(&all, channel)?;
    let what = if options.failed {
        "a failure"
    } else {
        "a sign of life"
    };
    Ok(Preview::new(format!("{what} to {}", definition.describe())))
}

fn find<'d>(all: &'d [Definition], name: &str) -> Result<&'d Definition> {
    let found = route::find(all, name)?;
    if found.kind.routed {
        return Err(Error::new(
            "alert.not_a_heartbeat",
            format!("{} is no dead-man switch", found.describe()),
        )
        .hint(format!(
            "add one to the target: {name} = \"heartbeat:secret:NAME\""
        )));
    }
    Ok(found)
}
