//! `runbook`, `assert`, `sleep`.

use ccrun_macros::primitive;
use rhai::{Dynamic, Map};

use crate::cx::Cx;
use crate::error::{Error, Result};
use crate::planned::Planned;
use crate::value::Duration;

/// The header of a runbook: its parameters, permissions, triggers and lock.
///
/// It is the first statement, a literal map, and is read without running the rest.
///
/// # Errors
/// None when it runs; `ccrun check` and every run check it beforehand.
///
/// # Example
/// ```rhai
/// runbook(#{ params: #{ keep: #{ type: "duration", default: "7d" } } });
/// ```
#[primitive(pure)]
fn runbook(_header: Map) {}

/// Stop with an error unless the condition holds.
///
/// # Errors
/// `assertion_failed` with the message.
///
/// # Example
/// ```rhai
/// assert(1 + 1 == 2, "arithmetic works");
/// ```
#[primitive(pure)]
fn assert(cx: &Cx, condition: Dynamic, message: Option<String>) -> Result<()> {
    if let Some(planned) = condition.read_lock::<Planned>() {
        cx.run()
            .guess(cx.step(), planned.change, cx.location().cloned());
        return Ok(());
    }
    match condition.as_bool() {
        Ok(true) => Ok(()),
        Ok(false) => Err(Error::new(
            "assertion_failed",
            message.unwrap_or_else(|| "the assertion does not hold".to_owned()),
        )),
        Err(found) => Err(Error::new(
            "argument.type",
            format!("assert needs a condition (bool), found {found}"),
        )),
    }
}

/// Wait. Prefer waiting for a condition: `http::wait_for`, `container.wait_healthy`.
///
/// # Errors
/// None, but it ends early when the run is interrupted or the step's deadline passes.
///
/// # Example
/// ```rhai
/// sleep("10ms");
/// ```
#[primitive(pure)]
async fn sleep(duration: Duration) {
    tokio::time::sleep(duration.to_std()).await;
}

/// The target that the run works on, as a map: its `name`, and whether it is `protected`, so that changes to it are
/// confirmed by typing its name.
///
/// # Errors
/// None.
///
/// # Example
/// ```rhai
/// if target().protected { print(`careful: this is ${target().name}`); }
/// ```
#[primitive(pure)]
fn target(cx: &Cx) -> Map {
    let target = cx.target();
    Map::from_iter([
        ("name".into(), target.name().to_owned().into()),
        ("protected".into(), target.is_protected().into()),
    ])
}
