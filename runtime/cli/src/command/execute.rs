//! Running what was prepared: the lock, the run, what is offered when it fails, the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ccrun_kernel::event::RunStatus;
use ccrun_kernel::prompt::{Question, QuestionKind};
use ccrun_kernel::run::{Run, RunSpec, Session};
use ccrun_kernel::{Error, Result, rhai::Dynamic};

use super::lock::Held;
use crate::app::{App, Source};
use crate::cli::Output;
use crate::render::{self, terminal::Terminal};
use crate::repl::Repl;

/// A run that is ready to begin.
pub struct Prepared {
    spec: RunSpec,
    source: Source,
    terminal: Option<Arc<Terminal>>,
    /// Whether a person is asked what to do about an interruption or a failure.
    offering: Arc<AtomicBool>,
}

/// What a person chose after a failure.
enum Choice {
    RollBack,
    Leave,
    Repl,
}

impl Prepared {
    /// What [`App::prepare`] made.
    pub fn new(
        spec: RunSpec,
        source: Source,
        terminal: Option<Arc<Terminal>>,
        offering: Arc<AtomicBool>,
    ) -> Self {
        Self {
            spec,
            source,
            terminal,
            offering,
        }
    }

    /// The run, without having begun.
    pub fn into_session(self) -> (Session, Option<Arc<Terminal>>) {
        (Session::new(Run::new(self.spec)), self.terminal)
    }

    /// Run it on this thread. Returns the exit status.
    pub fn execute(self, app: &App) -> Result<u8> {
        let (status, _) = self.execute_for_plan(app)?;
        Ok(status)
    }

    /// Run it, and return the run as well: its plan.
    pub fn execute_for_plan(self, app: &App) -> Result<(u8, Arc<Run>)> {
        let Self {
            spec,
            source,
            terminal,
            offering,
        } = self;
        let journaled = spec.journal.is_some();
        let dry = spec.mode.is_dry();
        // The lock first: a run that never began leaves nothing to resume.
        let lock = match source
            .runbook
            .header
            .as_ref()
            .and_then(|h| h.lock.as_deref())
        {
            Some(name) if journaled && !dry => {
                Some(Held::acquire(app, name, &spec, source.lock_wait)?)
            }
            _ => None,
        };
        match &spec.journal {
            Some(journal) if source.goes_on => journal.go_on()?,
            Some(journal) => journal.begin(&super::record::new_run(&spec, &source))?,
            None => {}
        }
        let run = Run::new(spec);
        run.announce(source.resume.resumed);
        let mut session = Session::new(Arc::clone(&run));
        let name = run.name().to_owned();
        let mut result = if source.brief {
            session.evaluate_line(&name, &source.runbook.source)
        } else {
            session.run_program(&name, &source.runbook.source)
        };
        let interactive = run.prompter().is_some() && !source.brief && !dry;
        if !source.brief && !dry {
            result = after(
                &mut session,
                result,
                &source,
                terminal.clone(),
                &offering,
                app,
            );
        }
        let ending = session.finish(result);
        drop(lock);

        if let Some(error) = &ending.error {
            let text = render::error::render(error, Some(source.shown()));
            match &terminal {
                // It was shown before the question what to do about it.
                Some(_) if interactive => {}
                Some(_) => render::remark(&text),
                None if source.brief => render::json::document(&error.to_json()),
                None => {}
            }
            let resumable = journaled && !dry && ending.status != RunStatus::Done;
            if resumable && terminal.is_some() {
                render::remark(&format!(
                    "`ccrun resume {}` goes on from here",
                    run.id().short()
                ));
            }
        } else if source.brief && !ending.value.is_unit() {
            match app.common.output {
                Output::Text => render::result(&crate::repl::value::show(&run, &ending.value)),
                Output::Json => {
                    render::json::document(&ccrun_kernel::value::to_json(&ending.value));
                }
            }
        }
        if source.record_needs {
            render::result(&run.recorder().header());
        }
        Ok((ending.status.exit_status(), run))
    }
}

/// After a failure: take back what was done, leave it, or look around. Without a terminal a failed
/// run takes back what its steps say how to take back; an interrupted one is left as it is.
fn after(
    session: &mut Session,
    mut result: Result<Dynamic>,
    source: &Source,
    terminal: Option<Arc<Terminal>>,
    offering: &AtomicBool,
    app: &App,
) -> Result<Dynamic> {
    loop {
        let Err(error) = &result else { return result };
        let run = Arc::clone(session.run());
        let interrupted = error.stop_reason().is_some();
        let refused = ["refused", "permission_denied"].contains(&error.kind());
        let choice = match run.prompter() {
            // Somebody has just said no; there is nothing more to ask.
            Some(_) if refused && !run.has_undos() => {
                let text = render::error::render(error, Some(source.shown()));
                render::remark(&text);
                Choice::Leave
            }
            Some(_) => {
                let text = render::error::render(error, Some(source.shown()));
                render::remark(&text);
                run.cancel().reset();
                offering.store(true, Ordering::Relaxed);
                let choice = offer(&run, interrupted);
                offering.store(false, Ordering::Relaxed);
                choice
            }
            None if interrupted || error.kind() == "refused" => Choice::Leave,
            None => Choice::RollBack,
        };
        match choice {
            Choice::Leave => return result,
            Choice::RollBack => {
                if run.has_undos()
                    && let Err(failure) = session.roll_back()
                {
                    render::remark(&render::error::render(&failure, Some(source.shown())));
                }
                return result;
            }
            Choice::Repl => {
                let error = error.clone();
                let mut repl = Repl::after_failure(session, terminal.clone(), app, &error);
                match repl.run() {
                    Some(again) => result = again,
                    None => return Err(error),
                }
            }
        }
    }
}

fn offer(run: &Run, interrupted: bool) -> Choice {
    let mut choices = vec!["leave".to_owned(), "repl".to_owned()];
    if run.has_undos() {
        choices.insert(0, "roll back".to_owned());
    }
    let question = Question {
        text: if interrupted {
            "interrupted: what now?"
        } else {
            "what now?"
        }
        .to_owned(),
        kind: QuestionKind::Choice(choices),
        default: Some("leave".to_owned()),
        details: None,
    };
    match run.ask(None, &question, None).as_deref() {
        Ok("roll back") => Choice::RollBack,
        Ok("repl") => Choice::Repl,
        _ => Choice::Leave,
    }
}

/// The error for a run that can't go on because of `what`.
pub fn not_resumable(run: &str, what: &str) -> Error {
    Error::new(
        "resume.impossible",
        format!("run {run} can't be resumed: {what}"),
    )
}
