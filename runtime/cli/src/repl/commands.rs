//! The commands of the REPL, which begin with a colon.

use std::time::Instant;

use ccrun_kernel::Result;
use ccrun_kernel::rhai::Dynamic;
use ccrun_kernel::run::Session;

use super::Repl;
use crate::app::Source;
use crate::render::{self, time};

/// Name, arguments, what it does.
pub const COMMANDS: [(&str, &str, &str); 12] = [
    ("help", "", "show this"),
    (
        "doc",
        "[NAME]",
        "show the documentation of a primitive, type or namespace",
    ),
    (
        "load",
        "FILE",
        "run a script file in this session: its functions and variables stay",
    ),
    ("save", "FILE", "write the lines entered so far into a file"),
    (
        "target",
        "[NAME]",
        "show the target, or begin anew on another one",
    ),
    ("dry", "", "turn the dry run on or off"),
    (
        "time",
        "[on|off|SCRIPT]",
        "show how long each line, or one script, takes",
    ),
    ("vars", "", "list the variables"),
    (
        "redo",
        "",
        "after a failure: run the failed step again and go on",
    ),
    (
        "skip",
        "",
        "after a failure: leave the failed step out and go on",
    ),
    ("undo", "", "after a failure: take the completed steps back"),
    ("quit", "", "leave"),
];

/// What happens after a command.
pub enum Next {
    /// The conversation goes on.
    Stay,
    /// It ends.
    Leave,
    /// It ends, and the failed run went on with this result.
    GoOn(Result<Dynamic>),
}

impl Repl<'_> {
    /// Carry out a command, without its colon.
    pub(crate) fn command(&mut self, line: &str) -> Next {
        let (name, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let argument = argument.trim();
        match name {
            "help" | "h" | "?" => self.help(),
            "quit" | "q" | "exit" => return Next::Leave,
            "doc" => {
                let name = (!argument.is_empty()).then_some(argument);
                self.told(|repl| crate::command::doc::doc(repl.app, name).map(drop));
            }
            "load" => self.load(argument),
            "save" => self.save(argument),
            "vars" => self.vars(),
            "dry" => self.told(Self::toggle_dry),
            "target" if argument.is_empty() => {
                render::result(self.session.run().target().name());
            }
            "target" => self.told(|repl| repl.switch_target(argument)),
            "time" => self.time(argument),
            "redo" | "continue" => {
                if let Some(next) = self.go_on(false) {
                    return next;
                }
            }
            "skip" => {
                if let Some(next) = self.go_on(true) {
                    return next;
                }
            }
            "undo" => self.told(|repl| repl.session.roll_back()),
            other => {
                let names = COMMANDS.iter().map(|(name, ..)| *name);
                let hint = ccrun_kernel::value::closest(other, names)
                    .map_or_else(String::new, |nearest| {
                        format!(" Did you mean `:{nearest}`?")
                    });
                render::remark(&format!(
                    "there is no command `:{other}`.{hint} `:help` lists them."
                ));
            }
        }
        Next::Stay
    }

    /// Do something that may fail, and show its error.
    fn told(&mut self, work: impl FnOnce(&mut Self) -> Result<()>) {
        if let Err(error) = work(self) {
            render::remark(&render::error::render(&error, None));
        }
    }

    fn load(&mut self, file: &str) {
        match std::fs::read_to_string(file) {
            Ok(text) => self.evaluate(&text),
            Err(error) => render::remark(&format!("can't read `{file}`: {error}")),
        }
    }

    fn save(&mut self, file: &str) {
        if file.is_empty() {
            render::remark("where to? `:save FILE`");
            return;
        }
        let text = self
            .entered
            .iter()
            .map(|line| format!("{line}\n"))
            .collect::<String>();
        let text = self
            .session
            .run()
            .secrets()
            .redactor()
            .redact(&text)
            .into_owned();
        let written = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(file)
            .and_then(|mut out| std::io::Write::write_all(&mut out, text.as_bytes()));
        match written {
            Ok(()) => render::remark(&format!("{} lines in `{file}`", self.entered.len())),
            Err(error) => render::remark(&format!("can't write `{file}`: {error}")),
        }
    }

    fn vars(&mut self) {
        let run = std::sync::Arc::clone(self.session.run());
        let variables: Vec<(String, String)> = self
            .session
            .variables()
            .iter()
            .map(|(name, _, value)| (name.to_owned(), super::value::brief(&run, &value)))
            .collect();
        for (name, value) in variables {
            render::result(&format!(
                "{name} = {}",
                run.secrets().redactor().redact(&value)
            ));
        }
    }

    fn time(&mut self, argument: &str) {
        match argument {
            "" | "on" => self.timing = true,
            "off" => self.timing = false,
            script => {
                let started = Instant::now();
                self.evaluate(script);
                render::remark(&time::elapsed(started.elapsed()));
            }
        }
    }

    fn toggle_dry(&mut self) -> Result<()> {
        let mut common = self.app.common.clone();
        common.dry_run = !self.session.run().mode().is_dry();
        common.target = Some(self.session.run().target().name().to_owned());
        let mut session = self.begin(common)?;
        session.inherit(self.session);
        *self.session = session;
        Ok(())
    }

    fn switch_target(&mut self, name: &str) -> Result<()> {
        let mut common = self.app.common.clone();
        common.dry_run = self.session.run().mode().is_dry();
        common.target = Some(name.to_owned());
        // The variables stay behind: a database handle of the old target under a prompt that names
        // the new one would be a trap.
        *self.session = self.begin(common)?;
        render::remark(&format!("now on target {name}; variables start anew"));
        Ok(())
    }

    fn begin(&self, common: crate::cli::Common) -> Result<Session> {
        let app = self.app.with(common)?;
        let prepared = app.prepare(Source::script("repl", ""))?;
        Ok(prepared.into_session().0)
    }

    /// Go on with the failed run: the runbook is read again, completed steps are reused.
    fn go_on(&mut self, skip: bool) -> Option<Next> {
        let Some(failure) = self.failure else {
            render::remark("there is no failed run to go on with");
            return None;
        };
        if skip {
            let Some(step) = failure.step() else {
                render::remark("it did not fail in a step: there is nothing to leave out");
                return None;
            };
            self.session.skip(step);
        }
        let path = self.session.run().name().to_owned();
        let text = std::fs::read_to_string(&path).ok();
        if let Some(terminal) = &self.terminal {
            terminal.suspend(|| ());
        }
        Some(Next::GoOn(self.session.run_again(text)))
    }
}
