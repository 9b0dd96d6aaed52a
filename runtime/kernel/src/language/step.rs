//! `step`: the unit that is journaled, retried, resumed and taken back.

use std::sync::Arc;
use std::time::{Duration as StdDuration, Instant};

use ccrun_macros::{Options, primitive};
use rhai::{Array, Dynamic, FnPtr, Map};

use crate::caller::Caller;
use crate::cx::Cx;
use crate::error::{Error, Result, Stop};
use crate::event::{Event, Level, StepStatus};
use crate::planned::Planned;
use crate::prompt::{Question, QuestionKind};
use crate::run::{Earlier, Kept, NotKept, OnChanged, Standing, StepKey, Undo};
use crate::scope::Scope;
use crate::value::{self, Duration, KeptSecret};

/// How a step behaves.
#[derive(Options)]
pub struct StepOptions {
    /// How often to try again after a failure.
    #[option(default = "0")]
    retry: u32,
    /// How long to wait before the first retry; doubled each time, at most ten minutes.
    #[option(default = "1s")]
    backoff: Duration,
    /// How long one attempt may take.
    timeout: Option<Duration>,
    /// What takes the step back when the run fails later; receives what the step returned.
    undo: Option<FnPtr>,
    /// A question that must be answered with yes, else the step is skipped.
    confirm: Option<String>,
    /// Whether to do the step at all: a bool.
    when: Option<Dynamic>,
}

/// A named unit of work. When it completes, its result is recorded durably before anything else
/// happens; `ccrun resume` skips it and returns the recorded value.
///
/// Steps nest. A step that was interrupted half-way runs again on resume.
///
/// # Errors
/// Whatever the closure throws, after the last retry; `timeout` when an attempt took too long.
///
/// # Example
/// ```rhai
/// let answer = step("Compute", #{ retry: 2, backoff: "10ms" }, || 6 * 7);
/// assert(answer == 42, "the step returns what its closure returns");
/// ```
#[primitive(pure)]
fn step(
    cx: &Cx,
    call: &Caller<'_>,
    name: String,
    options: StepOptions,
    body: FnPtr,
) -> Result<Dynamic> {
    if name.trim().is_empty() || name.contains('/') {
        return Err(Error::new(
            "step.name",
            format!("`{name}` can't be the name of a step: it must not be empty or hold a `/`"),
        ));
    }
    let path = match cx.step() {
        Some(outer) => format!("{outer}/{name}"),
        None => name,
    };
    let inputs = crate::run::fingerprint(body.curry());
    let run = cx.run();
    let key = run.completed().key(&path, &inputs);
    let body_hash = run.completed().body_at(call.source(), call.position());
    Step {
        cx,
        call,
        options,
        body,
        key,
        body_hash,
    }
    .run()
}

struct Step<'a> {
    cx: &'a Cx,
    call: &'a Caller<'a>,
    options: StepOptions,
    body: FnPtr,
    key: StepKey,
    body_hash: String,
}

/// The longest wait between two attempts.
const MAX_BACKOFF: StdDuration = StdDuration::from_secs(600);

impl Step<'_> {
    fn run(self) -> Result<Dynamic> {
        if let Some(value) = self.reuse()? {
            return Ok(value);
        }
        if let Some(why) = self.skipped()? {
            self.end(
                StepStatus::Skipped,
                Instant::now(),
                Some(serde_json::json!({ "message": why })),
            );
            self.cx.run().counters().skipped();
            return Ok(Dynamic::UNIT);
        }
        if self.options.undo.is_some() {
            self.cx
                .run()
                .plan()
                .set_undo_of_step(&self.key.path, "the undo of this step");
        }
        let started = Instant::now();
        let result = self.attempts();
        match &result {
            Ok(value) => {
                self.completed(value, started)?;
                self.add_undo(value.clone());
            }
            Err(error) => self.failed(error, started),
        }
        result
    }

    /// The value of an earlier attempt, where the step completed then and is the same now.
    fn reuse(&self) -> Result<Option<Dynamic>> {
        let completed = self.cx.run().completed();
        let earlier = match completed.standing(&self.key, &self.body_hash) {
            Standing::New => return Ok(None),
            Standing::Same(earlier) => earlier,
            Standing::Changed { earlier, what } => match self.on_changed(what)? {
                OnChanged::Reuse => earlier,
                _ => return Ok(None),
            },
        };
        let value = with_secrets(self.cx, earlier.value()?)?;
        if value.is::<NotKept>() {
            let text = "what it returned could not be kept: return plain values from steps, and open connections outside of them";
            self.cx.run().log(Some(&self.key.path), Level::Warn, text);
        }
        completed.add(Earlier {
            key: self.key.clone(),
            ..earlier
        });
        self.cx.run().counters().reused();
        self.end(StepStatus::Reused, Instant::now(), None);
        self.add_undo(value.clone());
        for row in completed.take_deferred_of(&self.key.path) {
            super::defer::restore(self.cx, self.call, row);
        }
        Ok(Some(value))
    }

    /// A completed step whose text or inputs are no longer the same must not silently run twice.
    fn on_changed(&self, what: &str) -> Result<OnChanged> {
        let run = self.cx.run();
        let path = &self.key.path;
        let chosen = match run.completed().on_changed() {
            OnChanged::Ask if run.assumes_yes() => OnChanged::Rerun,
            OnChanged::Ask => {
                let question = Question {
                    text: format!(
                        "step `{path}` completed before, but its {what} changed since: run it again, or keep its result?"
                    ),
                    kind: QuestionKind::Choice(
                        ["rerun", "keep", "quit"].map(str::to_owned).to_vec(),
                    ),
                    default: None,
                    details: None,
                };
                let refused = || {
                    Error::new(
                        "resume.changed",
                        format!("step `{path}` completed before, but its {what} changed since"),
                    )
                    .hint("say `--changed rerun` to run such steps again, or `--changed keep` to keep their results")
                    .uncatchable()
                };
                if run.prompter().is_none() {
                    return Err(refused());
                }
                match run.ask(Some(path), &question, None)?.as_str() {
                    "rerun" => OnChanged::Rerun,
                    "keep" => OnChanged::Reuse,
                    _ => return Err(refused()),
                }
            }
            given => given,
        };
        Ok(chosen)
    }

    /// Why the step is not done at all, if it is not.
    fn skipped(&self) -> Result<Option<String>> {
        if self.cx.run().completed().is_skipped(&self.key.path) {
            return Ok(Some("the operator left it out".to_owned()));
        }
        if let Some(when) = &self.options.when {
            if let Some(planned) = when.read_lock::<Planned>() {
                let place = self.call.location();
                self.cx
                    .run()
                    .guess(Some(&self.key.path), planned.change, place);
            } else {
                let when = when.as_bool().map_err(|found| {
                    Error::new(
                        "argument.type",
                        format!("`when` of a step is a bool, not {found}"),
                    )
                })?;
                if !when {
                    return Ok(Some("`when` is false".to_owned()));
                }
            }
        }
        let Some(text) = &self.options.confirm else {
            return Ok(None);
        };
        if self.cx.dry_run() || self.cx.run().assumes_yes() {
            return Ok(None);
        }
        let yes = super::ask::confirmed(self.cx, &self.key.path, text, None)?;
        Ok((!yes).then(|| "the operator said no".to_owned()))
    }

    fn attempts(&self) -> Result<Dynamic> {
        let mut wait = self.options.backoff.to_std();
        let mut attempt = 1;
        loop {
            let error = match self.attempt(attempt) {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            if attempt > self.options.retry || !may_retry(&error) {
                return Err(error);
            }
            let text = format!(
                "attempt {attempt} of {} failed: {}; trying again in {}",
                self.options.retry + 1,
                error.message(),
                Duration::from(wait),
            );
            self.cx.run().log(Some(&self.key.path), Level::Warn, text);
            self.cx.block_on(async {
                tokio::time::sleep(wait).await;
                Ok(())
            })?;
            wait = (wait * 2).min(MAX_BACKOFF);
            attempt += 1;
        }
    }

    fn attempt(&self, attempt: u32) -> Result<Dynamic> {
        let run = self.cx.run();
        run.bus()
            .emit(Some(&self.key.path), Event::StepStarted { attempt });
        if let Some(journal) = run.journal() {
            journal.step_started(&self.key, &self.body_hash, attempt)?;
        }
        let timeout = self.options.timeout;
        let deadline = timeout.map(|timeout| Instant::now() + timeout.to_std());
        let scope: Arc<Scope> = self.cx.scope().child(Some(&self.key.path), deadline);
        let result = scope.enter(|| self.call.invoke(&self.body, []));
        match result {
            Err(error) if error.stop_reason() == Some(Stop::Deadline(scope.id())) => {
                let timeout = timeout.unwrap_or_default();
                Err(Error::new(
                    "timeout",
                    format!("step `{}` took longer than {timeout}", self.key.path),
                )
                .hint("raise `timeout` of the step, or see with `ccrun show` where the time went")
                .retryable()
                .at(error.location().cloned()))
            }
            Err(error) if run.mode().is_dry() && run.plan().explains(&error) => {
                let text = format!(
                    "the rest of this step can't be foreseen: it depends on a change that was not made{}",
                    error
                        .location()
                        .map(|at| format!(" ({at})"))
                        .unwrap_or_default()
                );
                run.bus()
                    .emit(Some(&self.key.path), Event::PlanNote { text });
                let last = run.plan().last_number();
                Ok(Dynamic::from(Planned {
                    change: last,
                    type_name: "any".into(),
                }))
            }
            Err(error) => Err(error.in_step(Some(self.key.path.clone()))),
            Ok(value) => Ok(value),
        }
    }

    fn completed(&self, value: &Dynamic, started: Instant) -> Result<()> {
        let run = self.cx.run();
        // A handle can't be recorded: then the step is recorded without its value, and a resume
        // that needs the value says so.
        let kept = value::keep(value).ok();
        if let Some(journal) = run.journal() {
            journal.step_done(&self.key, &self.body_hash, kept.as_ref(), started.elapsed())?;
        }
        if !run.mode().is_dry() {
            run.completed().add(Earlier {
                key: self.key.clone(),
                body: self.body_hash.clone(),
                live: Some(value.clone()),
                kept: kept.is_some(),
                result: kept,
            });
        }
        run.counters().step_done();
        self.end(StepStatus::Done, started, None);
        Ok(())
    }

    fn failed(&self, error: &Error, started: Instant) {
        let run = self.cx.run();
        run.step_failed(&self.key.path, error);
        let status = match error.stop_reason() {
            Some(_) => StepStatus::Interrupted,
            None => StepStatus::Failed,
        };
        let error = run.redact_error(error.clone());
        let json = error.to_json();
        if let Some(journal) = run.journal() {
            journal.step_failed(&self.key, &self.body_hash, status, &json, started.elapsed());
        }
        if status == StepStatus::Failed && error.kind() != "refused" {
            run.counters().failed();
        }
        self.end(status, started, Some(json));
    }

    fn end(&self, status: StepStatus, started: Instant, error: Option<serde_json::Value>) {
        let elapsed_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let event = Event::StepFinished {
            status,
            elapsed_us,
            error,
        };
        self.cx.run().bus().emit(Some(&self.key.path), event);
    }

    fn add_undo(&self, result: Dynamic) {
        let Some(undo) = &self.options.undo else {
            return;
        };
        if self.cx.dry_run() {
            return;
        }
        self.cx.run().add_undo(Undo {
            key: self.key.clone(),
            body: self.body_hash.clone(),
            action: Kept::new(undo.clone(), self.call.context()),
            result,
        });
    }
}

/// The value with the secrets that the journal holds as references looked up again.
fn with_secrets(cx: &Cx, value: Dynamic) -> Result<Dynamic> {
    if let Some(name) = value.read_lock::<KeptSecret>().map(|kept| kept.0.clone()) {
        let secrets = cx.run().secrets();
        return match cx.block_on(secrets.get(&name)) {
            Ok(secret) => Ok(Dynamic::from(secret)),
            // One that a script made: no source has it, and the journal must not.
            Err(error) if error.kind() == "secret.not_found" => Ok(Dynamic::from(NotKept)),
            Err(error) => Err(error),
        };
    }
    if value.is_array() {
        let items = value
            .cast::<Array>()
            .into_iter()
            .map(|item| with_secrets(cx, item));
        return items.collect::<Result<Array>>().map(Dynamic::from);
    }
    if value.is_map() {
        let entries = value.cast::<Map>().into_iter();
        let entries = entries.map(|(key, item)| Ok((key, with_secrets(cx, item)?)));
        return entries.collect::<Result<Map>>().map(Dynamic::from);
    }
    Ok(value)
}

/// Whether another attempt can help: not against a refusal, a stop or a mistake in the script.
fn may_retry(error: &Error) -> bool {
    let hopeless = [
        "permission_denied",
        "refused",
        "script.",
        "argument.",
        "syntax",
        "step.name",
    ];
    error.is_catchable() && !hopeless.iter().any(|kind| error.kind().starts_with(kind))
}
