//! The REPL: looking around, and going on after a failure.

mod commands;
mod complete;
pub mod value;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use ccrun_kernel::rhai::Dynamic;
use ccrun_kernel::run::Session;
use ccrun_kernel::{Error, Result};
use console::style;
use rustyline::config::{CompletionType, Configurer};
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{Config, Editor};

use crate::app::App;
use crate::render::{self, terminal::Terminal, time};
use commands::{COMMANDS, Next};
use complete::Assistant;

/// A conversation.
pub struct Repl<'a> {
    session: &'a mut Session,
    terminal: Option<Arc<Terminal>>,
    app: &'a App,
    /// The failure that led here, if one did.
    failure: Option<&'a Error>,
    /// Every line that was entered, for `:save`.
    entered: Vec<String>,
    timing: bool,
}

impl<'a> Repl<'a> {
    /// A conversation about nothing in particular.
    pub fn new(session: &'a mut Session, terminal: Option<Arc<Terminal>>, app: &'a App) -> Self {
        Self {
            session,
            terminal,
            app,
            failure: None,
            entered: Vec::new(),
            timing: false,
        }
    }

    /// A conversation about a run that failed.
    pub fn after_failure(
        session: &'a mut Session,
        terminal: Option<Arc<Terminal>>,
        app: &'a App,
        failure: &'a Error,
    ) -> Self {
        Self {
            failure: Some(failure),
            ..Self::new(session, terminal, app)
        }
    }

    /// Talk until the operator leaves. Returns the result of going on with a failed run, if that
    /// was the choice.
    pub fn run(&mut self) -> Option<Result<Dynamic>> {
        let mut editor = match self.editor() {
            Ok(editor) => editor,
            Err(error) => {
                render::remark(&format!("the REPL can't start: {error}"));
                return None;
            }
        };
        self.greet();
        let history = self.history_file();
        if let Some(history) = &history {
            drop(editor.load_history(history));
        }
        loop {
            if let Some(helper) = editor.helper_mut() {
                helper.refresh(self.session);
            }
            let line = match editor.readline(&self.prompt()) {
                Ok(line) => line,
                Err(ReadlineError::Interrupted) => continue,
                Err(ReadlineError::Eof) => break None,
                Err(error) => {
                    render::remark(&format!("the terminal is gone: {error}"));
                    break None;
                }
            };
            if line.trim().is_empty() {
                continue;
            }
            // What is kept must not hold a secret, also one that was typed in full.
            let kept = self
                .session
                .run()
                .secrets()
                .redactor()
                .redact(&line)
                .into_owned();
            drop(editor.add_history_entry(&kept));
            if let Some(history) = &history {
                drop(editor.append_history(history));
            }
            match line.trim().strip_prefix(':') {
                Some(command) => match self.command(command) {
                    Next::Stay => {}
                    Next::Leave => break None,
                    Next::GoOn(result) => break Some(result),
                },
                None => {
                    if let Some(helper) = editor.helper_mut() {
                        helper.learn(&line);
                    }
                    self.evaluate(&line);
                }
            }
        }
    }

    fn editor(&self) -> rustyline::Result<Editor<Assistant, FileHistory>> {
        let config = Config::builder()
            .completion_type(CompletionType::List)
            .auto_add_history(false)
            .build();
        let mut editor = Editor::with_config(config)?;
        editor.set_max_history_size(10_000)?;
        editor.set_helper(Some(Assistant::new(Arc::clone(self.app.registry()))));
        Ok(editor)
    }

    /// A line for each of `:help`, `:quit` and what the target is.
    fn greet(&self) {
        let target = self.session.run().target();
        let protected = if target.is_protected() {
            ", protected"
        } else {
            ""
        };
        match self.failure {
            Some(_) => render::remark(
                "the run's variables are here.\n  :redo  run the failed step again, and go on\n  :skip  leave it out, and go on\n  :undo  take the completed steps back\n  :quit  leave",
            ),
            None => render::remark(&format!(
                "ccrun {} on target {}{protected}. `:help` for help, `:quit` to leave.",
                env!("CARGO_PKG_VERSION"),
                target.name(),
            )),
        }
    }

    fn prompt(&self) -> String {
        let run = self.session.run();
        let mode = if run.mode().is_dry() { " (dry)" } else { "" };
        let failed = if self.failure.is_some() {
            " (failed run)"
        } else {
            ""
        };
        format!("{}{mode}{failed}> ", run.target().name())
    }

    fn history_file(&self) -> Option<PathBuf> {
        let folder = self.app.journal_folder();
        std::fs::create_dir_all(&folder).ok()?;
        Some(folder.join("history.txt"))
    }

    /// Evaluate and print. An error never ends the conversation.
    pub(crate) fn evaluate(&mut self, text: &str) {
        let started = Instant::now();
        let result = self.session.evaluate_line("repl", text);
        let run = Arc::clone(self.session.run());
        match result {
            Ok(value) => {
                self.entered.push(text.to_owned());
                if !value.is_unit() {
                    let text = value::show(&run, &value);
                    let text = run.secrets().redactor().redact(&text).into_owned();
                    render::result(&text);
                }
            }
            Err(error) => render::remark(&render::error::render(
                &error,
                Some(render::error::Source { name: "repl", text }),
            )),
        }
        run.cancel().reset();
        if self.timing {
            let elapsed = time::elapsed(started.elapsed());
            render::remark(&style(elapsed).dim().for_stderr().to_string());
        }
    }

    pub(crate) fn help(&self) {
        for (name, arguments, what) in COMMANDS {
            let left = format!(":{name} {arguments}");
            render::result(&format!("{left:18} {what}"));
        }
        render::result(
            "\nAnything else is evaluated: `docker::containers()`, `let db = pg::connect()`.\nTab completes; a line that is not finished continues on the next.",
        );
    }
}
