//! Asking a person.

use crate::error::{Error, Result};

/// A question to a person.
#[derive(Debug, Clone)]
pub struct Question {
    /// The sentence.
    pub text: String,
    /// What sort of answer is wanted.
    pub kind: QuestionKind,
    /// The answer when the person only presses Enter.
    pub default: Option<String>,
    /// Shown above the question: what the change would do, a diff.
    pub details: Option<String>,
}

/// What sort of answer is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QuestionKind {
    /// A line of text.
    Text,
    /// A line that is not shown while it is typed.
    Secret,
    /// `yes` or `no`.
    Confirm,
    /// One of these.
    Choice(Vec<String>),
    /// Exactly this word, typed out: for what must not happen by habit.
    Typed(String),
}

/// Somebody who can be asked: the terminal, or a test. A run without one is not interactive.
pub trait Prompter: Send + Sync {
    /// Ask and wait for the answer.
    ///
    /// # Errors
    /// [`no_answer`] if the person ends the input, `interrupted` on Ctrl-C.
    fn ask(&self, question: &Question) -> Result<String>;
}

/// The error for a question that nobody answered.
#[must_use]
pub fn no_answer(question: &str) -> Error {
    Error::new("refused", format!("nobody answered: {question}"))
}
