//! `defer`: what is done at the end of the run, whatever happens.

use ccrun_macros::primitive;
use rhai::{Dynamic, FnPtr, NativeCallContext};

use crate::caller::Caller;
use crate::cx::Cx;
use crate::error::Result;
use crate::event::Level;
use crate::journal::DeferredRow;
use crate::run::{Deferred, Kept, lost_deferred};
use crate::value;

/// Do something at the end of the run, whether it succeeds, fails or is interrupted. The last
/// deferred action runs first.
///
/// A closure with a parameter is told what the run failed with: a map as `catch` gets it (of kind `check.failed` where
/// nothing was thrown but checks failed), or `()`.
///
/// # Errors
/// An exception in the action is reported and makes the run fail; the other actions still run.
///
/// # Example
/// ```rhai
/// defer(|| print("the end"));
/// print("the beginning");
/// defer(|failure| if failure != () { print(`it failed: ${failure.message}`); });
/// ```
#[primitive(pure)]
fn defer(cx: &Cx, call: &Caller<'_>, action: FnPtr) -> Result<()> {
    let run = cx.run();
    if cx.dry_run() {
        run.add_deferred(Deferred {
            key: String::new(),
            step: cx.step().map(str::to_owned),
            action: Kept::new(action, call.context()),
        });
        return Ok(());
    }
    let body = run.completed().body_at(call.source(), call.position());
    let path = format!("{}#{body}", cx.step().unwrap_or_default());
    let key = run
        .completed()
        .key(&path, &crate::run::fingerprint(action.curry()));
    let key = format!(
        "{body}#{}#{}#{}",
        key.inputs,
        key.occurrence,
        cx.step().unwrap_or_default()
    );
    if let Some(journal) = run.journal() {
        journal.deferred_added(&key, cx.step(), action.curry())?;
    }
    run.add_deferred(Deferred {
        key,
        step: cx.step().map(str::to_owned),
        action: Kept::new(action, call.context()),
    });
    Ok(())
}

/// Put back a deferred action of an earlier attempt whose step is reused: the process was killed
/// before it could run, and the step that asked for it does not run again.
pub(super) fn restore(cx: &Cx, call: &Caller<'_>, row: DeferredRow) {
    match closure_of(cx, call, &row) {
        Ok(action) => cx.run().add_deferred(Deferred {
            key: row.key,
            step: row.step,
            action: Kept::new(action, call.context()),
        }),
        Err(why) => {
            let error = lost_deferred(&row.key, &why);
            cx.run()
                .log(row.step.as_deref(), Level::Warn, error.message());
        }
    }
}

#[allow(
    deprecated,
    reason = "Rhai marks native function pointers as volatile, not as going away"
)]
/// The closure that the row means: the one whose text follows the `defer(` with the recorded hash,
/// with the recorded values captured again.
fn closure_of(cx: &Cx, call: &Caller<'_>, row: &DeferredRow) -> Result<FnPtr, String> {
    let captured = row.action["captured"].as_array().ok_or_else(|| {
        format!(
            "it captured {}",
            row.action["not_kept"].as_str().unwrap_or("a handle")
        )
    })?;
    let captured: Result<Vec<Dynamic>> = captured.iter().map(value::unkeep).collect();
    let captured = captured.map_err(|error| error.message().to_owned())?;
    let body = row.key.split('#').next().unwrap_or_default();
    let place = cx
        .run()
        .completed()
        .place_of(call.source(), body)
        .ok_or_else(|| "its text changed".to_owned())?;
    let mut nearest: Option<((usize, usize), String, usize)> = None;
    for module in call.context().iter_namespaces() {
        for (_, _, name, _, function) in module.iter_script_fn_info() {
            let at = function.body.start_position();
            let at = (
                at.line().unwrap_or_default(),
                at.position().unwrap_or_default(),
            );
            let nearer = nearest.as_ref().is_none_or(|(best, ..)| at < *best);
            if name.starts_with("anon$") && at > place && nearer {
                nearest = Some((at, name.to_owned(), function.params.len()));
            }
        }
    }
    let (_, name, parameters) = nearest.ok_or_else(|| "its text is gone".to_owned())?;
    // Rhai makes no pointer to an anonymous function by its name, but calls one.
    let call = move |context: NativeCallContext<'_>, given: &mut [&mut Dynamic]| {
        let mut arguments = captured.clone();
        let given = given.iter().map(|argument| (**argument).clone());
        arguments.extend(given.take(parameters.saturating_sub(captured.len())));
        let mut arguments: Vec<&mut Dynamic> = arguments.iter_mut().collect();
        context.call_fn_raw(&name, false, false, &mut arguments)
    };
    FnPtr::from_fn("deferred", call).map_err(|error| error.to_string())
}
