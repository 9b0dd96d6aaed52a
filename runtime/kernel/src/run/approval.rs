//! Asking before a change: the name of a protected target, and each change in confirm mode.

use super::{Mode, Run};
use crate::error::{Error, Result};
use crate::event::Event;
use crate::primitive::{Preview, Primitive};
use crate::prompt::{Question, QuestionKind};
use crate::scope::Scope;

/// Whether a change may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permit {
    /// Make it.
    Go,
    /// The operator said no to this one.
    Declined,
}

/// What the operator has said about changes so far.
#[derive(Default)]
pub(super) struct Approval {
    target_typed: bool,
    all: bool,
}

impl Run {
    /// Ask whatever has to be asked before a change: the target's name once where the target is
    /// protected, and the change itself in confirm mode.
    pub(crate) fn confirm_change(
        &self,
        primitive: &Primitive,
        arguments: &str,
        scope: &Scope,
        preview: impl FnOnce() -> Result<Preview>,
    ) -> Result<Permit> {
        if self.spec.assume_yes || (self.spec.mode == Mode::Run && !self.target.is_protected()) {
            return Ok(Permit::Go);
        }
        // Held while asking: closures that run in parallel ask one after the other.
        let mut approval = self.approval.lock();
        if self.target.is_protected() && !approval.target_typed {
            self.ask_target(scope, primitive)?;
            approval.target_typed = true;
        }
        if self.spec.mode != Mode::Confirm || approval.all {
            return Ok(Permit::Go);
        }
        let preview = preview()?;
        let question = Question {
            text: format!("{} {arguments}", primitive.path()),
            kind: QuestionKind::Choice(["yes", "no", "all", "quit"].map(str::to_owned).to_vec()),
            default: None,
            details: (preview != Preview::default()).then(|| {
                [Some(preview.summary), preview.diff]
                    .into_iter()
                    .flatten()
                    .filter(|text| !text.is_empty())
                    .collect::<Vec<_>>()
                    .join("\n")
            }),
        };
        match self.ask(scope.step(), &question, None)?.as_str() {
            "yes" => Ok(Permit::Go),
            "all" => {
                approval.all = true;
                Ok(Permit::Go)
            }
            "no" => Ok(Permit::Declined),
            _ => Err(
                Error::new("refused", "the operator ended the run before a change").uncatchable(),
            ),
        }
    }

    fn ask_target(&self, scope: &Scope, primitive: &Primitive) -> Result<()> {
        let name = self.target.name();
        let question = Question {
            text: format!(
                "the target `{name}` is protected, and {} changes it: type `{name}` to go on",
                primitive.path()
            ),
            kind: QuestionKind::Typed(name.to_owned()),
            default: None,
            details: None,
        };
        let unanswered = || {
            Error::new("refused", format!("the target `{name}` is protected and nobody confirmed the change"))
                .hint("run it on a terminal and type the target's name, or say `--yes`; `--dry-run` shows what it would do")
                .uncatchable()
        };
        if self.spec.prompter.is_none() {
            return Err(unanswered());
        }
        match self.ask(scope.step(), &question, None) {
            Ok(answer) if answer.trim() == name => Ok(()),
            Ok(_) => Err(unanswered()),
            Err(error) if error.kind() == "refused" => Err(unanswered()),
            Err(error) => Err(error),
        }
    }

    /// Ask a person. Without one: `fallback`, or the error that says so.
    ///
    /// # Errors
    /// `refused` when there is nobody and no fallback.
    pub fn ask(
        &self,
        step: Option<&str>,
        question: &Question,
        fallback: Option<String>,
    ) -> Result<String> {
        let secret = question.kind == QuestionKind::Secret;
        let choices = match &question.kind {
            QuestionKind::Choice(choices) => choices.clone(),
            QuestionKind::Confirm => vec!["yes".into(), "no".into()],
            _ => Vec::new(),
        };
        let answer = match (&self.spec.prompter, fallback) {
            (Some(prompter), _) => {
                let text = question.text.clone();
                self.bus.emit(step, Event::Question { text, choices });
                prompter.ask(question)?
            }
            (None, Some(fallback)) => fallback,
            (None, None) => {
                let accepted = if choices.is_empty() {
                    String::new()
                } else {
                    format!(" (answers: {})", choices.join(", "))
                };
                return Err(Error::new(
                    "refused",
                    format!("nobody is here to answer: {}{accepted}", question.text),
                )
                .hint("run it on a terminal, give the answer as a parameter, or say `--yes` where it guards a change"));
            }
        };
        self.bus.emit(
            step,
            Event::Answer {
                text: question.text.clone(),
                answer: if secret {
                    "‹not shown›".into()
                } else {
                    answer.clone()
                },
            },
        );
        Ok(answer)
    }
}
