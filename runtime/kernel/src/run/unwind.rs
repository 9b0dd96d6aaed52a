//! The end of a run: taking completed steps back, and what was deferred.
#![allow(
    deprecated,
    reason = "Rhai marks its context store as volatile, not as going away"
)]

use std::sync::Arc;

use rhai::{Dynamic, Engine, EvalAltResult, FnPtr, NativeCallContext, NativeCallContextStore};

use super::{Run, StepKey};
use crate::error::{Error, Result};
use crate::event::{Event, Level, StepStatus};
use crate::scope::{Cancel, Scope};

/// A script closure with the surroundings that it needs to be called later.
pub struct Kept {
    closure: FnPtr,
    context: NativeCallContextStore,
}

impl Kept {
    pub(crate) fn new(closure: FnPtr, context: &NativeCallContext<'_>) -> Self {
        Self {
            closure,
            context: context.store_data(),
        }
    }

    /// Call it; a closure that takes fewer parameters is given none: `undo: || …`.
    fn call(&self, engine: &Engine, arguments: Vec<Dynamic>) -> Result<Dynamic> {
        let context = self.context.create_context(engine);
        let source = context.call_source().unwrap_or_default().to_owned();
        let name = self.closure.fn_name();
        let other_arity = |error: &EvalAltResult| matches!(error, EvalAltResult::ErrorFunctionNotFound(signature, _) if signature.starts_with(name));
        let result = match self.closure.call_raw(&context, None, arguments) {
            Err(error) if other_arity(&error) => self.closure.call_raw(&context, None, []),
            result => result,
        };
        result.map_err(|error| Error::from_script(&error, &source))
    }
}

/// How a completed step is taken back.
pub struct Undo {
    pub(crate) key: StepKey,
    pub(crate) body: String,
    pub(crate) action: Kept,
    pub(crate) result: Dynamic,
}

/// What is done at the end of a run, whatever happens.
pub struct Deferred {
    pub(crate) key: String,
    pub(crate) step: Option<String>,
    pub(crate) action: Kept,
}

impl Run {
    /// Run what was deferred, last first; each is given what the run failed with, or `()`. Errors are told, and do
    /// not keep the others from running. Returns whether all succeeded.
    pub(crate) fn run_deferred(self: &Arc<Self>, engine: &Engine, failure: &Dynamic) -> bool {
        let mut all_good = true;
        for deferred in self.take_deferred().into_iter().rev() {
            let scope = Scope::of_run(Arc::clone(self), Cancel::new());
            let scope = match &deferred.step {
                Some(step) => scope.child(Some(step), None),
                None => scope,
            };
            match scope.enter(|| deferred.action.call(engine, vec![failure.clone()])) {
                Ok(_) => {
                    if let Some(journal) = self.journal() {
                        journal.deferred_done(&deferred.key);
                    }
                }
                Err(error) => {
                    all_good = false;
                    let text = format!("a deferred action failed: {}", error.message());
                    self.log(deferred.step.as_deref(), Level::Error, text);
                }
            }
        }
        all_good
    }

    /// Take the completed steps back, last first, as their `undo`s say. Stops at the first that
    /// fails: what stands before it may need what it could not remove.
    ///
    /// # Errors
    /// `undo.failed`, naming the step and those that were not taken back.
    pub fn roll_back(self: &Arc<Self>, engine: &Engine) -> Result<()> {
        let mut undos = self.take_undos();
        while let Some(undo) = undos.pop() {
            let path = format!("{} (undo)", undo.key.path);
            let scope = Scope::of_run(Arc::clone(self), Cancel::new()).child(Some(&path), None);
            self.bus()
                .emit(Some(&path), Event::StepStarted { attempt: 1 });
            let started = std::time::Instant::now();
            let result = scope.enter(|| undo.action.call(engine, vec![undo.result.clone()]));
            self.bus().emit(
                Some(&path),
                Event::StepFinished {
                    status: if result.is_ok() {
                        StepStatus::Done
                    } else {
                        StepStatus::Failed
                    },
                    elapsed_us: u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
                    error: result.as_ref().err().map(Error::to_json),
                },
            );
            match result {
                Ok(_) => {
                    if let Some(journal) = self.journal() {
                        journal.step_undone(&undo.key, &undo.body);
                    }
                    self.completed().forget(&undo.key);
                }
                Err(error) => {
                    let left: Vec<&str> = undos.iter().rev().map(|u| u.key.path.as_str()).collect();
                    let left = if left.is_empty() {
                        String::new()
                    } else {
                        format!("; not taken back: {}", left.join(", "))
                    };
                    return Err(Error::new(
                        "undo.failed",
                        format!(
                            "taking back `{}` failed: {}{left}",
                            undo.key.path,
                            error.message()
                        ),
                    )
                    .hint("look at what is there now, mend it by hand, and start afresh")
                    .at(error.location().cloned()));
                }
            }
        }
        Ok(())
    }
}
