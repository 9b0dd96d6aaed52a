//! Questions on a terminal.

use std::io::{self, IsTerminal};
use std::sync::Arc;

use ccrun_kernel::error::Stop;
use ccrun_kernel::prompt::{Prompter, Question, QuestionKind, no_answer};
use ccrun_kernel::{Error, Result};
use dialoguer::{Input, Password};

use crate::render::terminal::Terminal;

/// Asks on the terminal, while nothing else is drawn there.
pub struct TerminalPrompter {
    terminal: Option<Arc<Terminal>>,
}

impl TerminalPrompter {
    /// A prompter, if somebody is there.
    #[must_use]
    pub fn if_interactive(terminal: Option<Arc<Terminal>>) -> Option<Arc<dyn Prompter>> {
        let somebody = io::stdin().is_terminal() && io::stderr().is_terminal();
        somebody.then(|| Arc::new(Self { terminal }) as Arc<dyn Prompter>)
    }
}

impl Prompter for TerminalPrompter {
    fn ask(&self, question: &Question) -> Result<String> {
        match &self.terminal {
            Some(terminal) => terminal.suspend(|| ask(question)),
            None => ask(question),
        }
    }
}

fn ask(question: &Question) -> Result<String> {
    if let Some(details) = &question.details {
        crate::render::remark(details);
    }
    let failed = |error: dialoguer::Error| {
        let dialoguer::Error::IO(error) = error;
        match error.kind() {
            io::ErrorKind::Interrupted => Error::stop(Stop::Interrupted),
            _ => no_answer(&question.text),
        }
    };
    if question.kind == QuestionKind::Secret {
        return Password::new()
            .with_prompt(&question.text)
            .report(false)
            .interact()
            .map_err(failed);
    }
    let choices: Vec<String> = match &question.kind {
        QuestionKind::Confirm => vec!["yes".into(), "no".into()],
        QuestionKind::Choice(choices) => choices.clone(),
        _ => Vec::new(),
    };
    let mut text = question.text.clone();
    if !choices.is_empty() {
        text.push_str(&format!(" [{}]", choices.join("/")));
    }
    let mut input = Input::<String>::new().with_prompt(text).report(false);
    if let Some(default) = &question.default {
        input = input.default(default.clone());
    }
    let typed = match &question.kind {
        QuestionKind::Text => input.allow_empty(true).interact_text(),
        _ if choices.is_empty() => input.allow_empty(true).interact_text(),
        _ => input
            .validate_with(|answer: &String| match chosen(answer, &choices) {
                Some(_) => Ok(()),
                None => Err(format!("please answer {}", choices.join(", "))),
            })
            .interact_text(),
    };
    let answer = typed.map_err(failed)?;
    Ok(chosen(&answer, &choices).map_or(answer.clone(), str::to_owned))
}

/// The choice that the answer begins, if it is only one.
fn chosen<'a>(answer: &str, choices: &'a [String]) -> Option<&'a str> {
    let answer = answer.trim();
    if let Some(exact) = choices.iter().find(|choice| *choice == answer) {
        return Some(exact);
    }
    if answer.is_empty() {
        return None;
    }
    let mut begun = choices
        .iter()
        .filter(|choice| choice.to_lowercase().starts_with(&answer.to_lowercase()));
    match (begun.next(), begun.next()) {
        (Some(only), None) => Some(only),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_is_enough_if_it_is_clear() {
        let choices = ["yes", "no", "all", "quit"].map(str::to_owned);
        assert_eq!(chosen("y", &choices), Some("yes"));
        assert_eq!(chosen(" NO ", &choices), Some("no"));
        assert_eq!(chosen("", &choices), None);
        assert_eq!(chosen("x", &choices), None);
        let alike = ["stop", "start"].map(str::to_owned);
        assert_eq!(chosen("st", &alike), None);
    }
}
