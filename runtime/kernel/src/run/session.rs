//! A run with its interpreter: runs a whole runbook, or line after line of the REPL.

use std::sync::Arc;
use std::time::Instant;

use rhai::{AST, Dynamic, Engine, Scope as Variables};

use super::{Run, engine, limits};
use crate::error::{Error, Result, Stop};
use crate::event::{Event, Level, RunStatus};
use crate::scope::Scope;
use crate::script_error;
use crate::value::Duration;

/// How a run ended.
#[derive(Debug, Clone)]
pub struct Ending {
    /// The status.
    pub status: RunStatus,
    /// The error that ended it.
    pub error: Option<Error>,
    /// The value of the last expression.
    pub value: Dynamic,
}

/// A run and its interpreter.
pub struct Session {
    run: Arc<Run>,
    engine: Engine,
    variables: Variables<'static>,
    ast: AST,
    /// The runbook, for another attempt.
    program: Option<(String, String)>,
}

impl Session {
    /// A session for a run that begins now.
    #[must_use]
    pub fn new(run: Arc<Run>) -> Self {
        let engine = engine::build(&run);
        Self {
            run,
            engine,
            variables: Variables::new(),
            ast: AST::empty(),
            program: None,
        }
    }

    /// The run.
    #[must_use]
    pub fn run(&self) -> &Arc<Run> {
        &self.run
    }

    /// The interpreter, for completion.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The variables that live at the top level.
    #[must_use]
    pub fn variables(&mut self) -> &mut Variables<'static> {
        &mut self.variables
    }

    /// Run a whole runbook: `name` is its path, `source` its text.
    ///
    /// # Errors
    /// Whatever ended it.
    pub fn run_program(&mut self, name: &str, source: &str) -> Result<Dynamic> {
        self.program = Some((name.to_owned(), source.to_owned()));
        self.run.completed().set_bodies(name, source);
        let mut ast = self
            .engine
            .compile(source)
            .map_err(|error| script_error::syntax(&error, name))?;
        ast.set_source(name);
        self.ast = ast;
        let result = self.evaluate(name);
        // The functions stay, for lines that are entered after a failure.
        self.ast.clear_statements();
        if result.is_ok()
            && let Some(missed) = self.run.completed().missed_start()
        {
            return Err(
                Error::new("resume.no_step", format!("there was no step `{missed}`"))
                    .hint("`ccrun show RUN` lists the steps of the run"),
            );
        }
        result
    }

    /// Run the runbook again, reusing the steps that completed.
    ///
    /// # Errors
    /// Whatever ended it.
    pub fn run_again(&mut self, source: Option<String>) -> Result<Dynamic> {
        let Some((name, text)) = self.program.clone() else {
            return Err(Error::new(
                "repl.no_runbook",
                "there is no runbook to go on with",
            ));
        };
        self.run.completed().begin_attempt();
        self.run.counters().begin_attempt();
        self.run.announce(true);
        self.variables = Variables::new();
        self.run_program(&name, &source.unwrap_or(text))
    }

    /// Leave a step out when the run goes on: it counts as done, with `()` as its result.
    pub fn skip(&mut self, step: &str) {
        self.run.completed().skip(step);
    }

    /// Take over the variables and functions of another session.
    pub fn inherit(&mut self, other: &mut Self) {
        self.variables = std::mem::take(&mut other.variables);
        self.ast = std::mem::replace(&mut other.ast, AST::empty());
        self.program = other.program.take();
    }

    /// Evaluate a piece of script in the session: variables and functions stay.
    ///
    /// # Errors
    /// Whatever it throws.
    pub fn evaluate_line(&mut self, name: &str, text: &str) -> Result<Dynamic> {
        let mut ast = self
            .engine
            .compile_with_scope(&self.variables, text)
            .map_err(|error| script_error::syntax(&error, name))?;
        ast.set_source(name);
        self.ast = self.ast.merge(&ast);
        self.ast.set_source(name);
        let result = self.evaluate(name);
        self.ast.clear_statements();
        result
    }

    fn evaluate(&mut self, name: &str) -> Result<Dynamic> {
        let whole = Scope::of_run(Arc::clone(&self.run), self.run.cancel().clone());
        let timeout = self.run.spec().timeout;
        let scope = whole.child(None, timeout.map(|timeout| Instant::now() + timeout));
        let Self {
            engine,
            variables,
            ast,
            ..
        } = self;
        let result = scope.enter(|| engine.eval_ast_with_scope::<Dynamic>(variables, ast));
        match result {
            Ok(value) => Ok(value.flatten()),
            Err(error) => {
                let mut error = Error::from_script(&error, name);
                if error.stop_reason() == Some(Stop::Deadline(scope.id())) {
                    let timeout = timeout.map(Duration::from).unwrap_or_default();
                    error = Error::new("timeout", format!("the run took longer than {timeout}"))
                        .hint("raise `timeout` in the header; `ccrun resume` goes on where it stopped")
                        .at(error.location().cloned());
                }
                if self.run.mode().is_dry() && self.run.plan().explains(&error) {
                    self.run.bus().emit(None, Event::PlanNote {
                        text: format!(
                            "the plan ends here{}: what follows depends on a change that was not made",
                            error.location().map(|at| format!(" ({at})")).unwrap_or_default()
                        ),
                    });
                    return Ok(Dynamic::UNIT);
                }
                if error.kind() == "script.function_not_found"
                    && let Some(nearest) = self.nearest_function(&error)
                {
                    error = error.hint(format!("did you mean `{nearest}`?"));
                }
                Err(self.run.redact_error(self.run.with_failed_step(error)))
            }
        }
    }

    /// The function whose name is nearest to one that there is not: the message has it in backticks,
    /// before the types of its arguments.
    fn nearest_function(&self, error: &Error) -> Option<String> {
        let name = error.message().split('`').nth(1)?.split(" (").next()?;
        self.run
            .registry()
            .nearest(name)
            .filter(|nearest| nearest != name)
    }

    /// Take back the completed steps that say how.
    ///
    /// # Errors
    /// `undo.failed`.
    pub fn roll_back(&self) -> Result<()> {
        self.run.roll_back(&self.engine)
    }

    /// End the run: deferred actions, the recap, the journal.
    pub fn finish(&mut self, result: Result<Dynamic>) -> Ending {
        let counters = self.run.counters();
        let failure = match (&result, counters.recap().failed) {
            (Err(error), _) => error.to_map().into(),
            (Ok(_), 0) => Dynamic::UNIT,
            (Ok(_), 1) => failed_checks("a step or check failed"),
            (Ok(_), count) => failed_checks(&format!("{count} steps or checks failed")),
        };
        let deferred_good = self.run.run_deferred(&self.engine, &failure);
        let recap = counters.recap();
        let (status, error, value) = match result {
            Ok(value) if recap.failed > 0 => (RunStatus::Failed, None, value),
            Ok(value) if !deferred_good => (RunStatus::Failed, None, value),
            Ok(value) => (RunStatus::Done, None, value),
            Err(error) => (status_of(&error), Some(error), Dynamic::UNIT),
        };
        let json = error.as_ref().map(Error::to_json);
        if let Some(journal) = self.run.journal()
            && let Err(problem) = journal.finish(status, json.as_ref(), &recap)
        {
            let text = format!(
                "the end of the run could not be recorded: {}",
                problem.message()
            );
            self.run.log(None, Level::Error, text);
        }
        self.run.bus().emit(
            None,
            Event::RunFinished {
                status,
                recap,
                error: json,
            },
        );
        self.run.bus().flush();
        Ending {
            status,
            error,
            value,
        }
    }
}

fn status_of(error: &Error) -> RunStatus {
    match (error.stop_reason(), error.kind()) {
        (Some(Stop::Interrupted), _) | (_, "interrupted") => RunStatus::Interrupted,
        (_, "permission_denied" | "refused" | "lock_held" | "resume.changed") => RunStatus::Refused,
        _ => RunStatus::Failed,
    }
}

/// Run `work` on a thread of its own with a stack for deep scripts, outside of any async task.
///
/// # Errors
/// `kernel.thread` if there is no thread to be had.
pub fn on_script_thread<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T> {
    std::thread::scope(|threads| {
        let thread = std::thread::Builder::new()
            .name("runbook".to_owned())
            .stack_size(limits::STACK_SIZE)
            .spawn_scoped(threads, work)
            .map_err(|error| {
                Error::new("kernel.thread", format!("can't start a thread: {error}"))
            })?;
        thread
            .join()
            .map_err(|_| Error::new("kernel.panic", "the run broke off"))
    })
}

/// What a run failed with that threw nothing.
fn failed_checks(what: &str) -> Dynamic {
    Error::new("check.failed", what)
        .hint("`ccrun show` of the run lists them")
        .to_map()
        .into()
}
