//! `ask`, `choose`, `confirm`, `note`: talking with the operator.

use ccrun_macros::{Options, primitive};
use rhai::Dynamic;

use crate::cx::Cx;
use crate::error::{Error, Result};
use crate::event::Level;
use crate::prompt::{Question, QuestionKind};
use crate::secret::Secret;
use crate::value;

/// How to ask.
#[derive(Options)]
pub struct AskOptions {
    /// The answer when the operator only presses Enter, or when nobody is there.
    default: Option<String>,
    /// The parameter that answers the question when it was given.
    param: Option<String>,
    /// Whether the answer is a secret: not shown while it is typed, returned as a `Secret`.
    #[option(default = "false")]
    secret: bool,
}

/// Ask the operator for a line of text. With no terminal it takes the parameter or the default.
/// The answer is recorded, and not asked for again on resume.
///
/// # Errors
/// `refused` when nobody is there to answer and there is no default.
///
/// # Example
/// ```rhai
/// let name = ask("Which release?", #{ default: "latest" });
/// ```
#[primitive(pure)]
fn ask(cx: &Cx, text: String, options: AskOptions) -> Result<Dynamic> {
    if options.secret {
        let question = question(&text, QuestionKind::Secret, None);
        let answer = cx.run().ask(cx.step(), &question, options.default)?;
        let secret = Secret::new(&text, &answer);
        cx.redactor().add(&secret);
        return Ok(Dynamic::from(secret));
    }
    if let Some(answer) = parameter(cx, options.param.as_deref())? {
        return Ok(answer);
    }
    let default = options.default;
    recorded(cx, cx.step(), &text, || {
        let question = question(&text, QuestionKind::Text, default.clone());
        cx.run().ask(cx.step(), &question, default.clone())
    })
    .map(Dynamic::from)
}

/// How to offer a choice.
#[derive(Options)]
pub struct ChooseOptions {
    /// The choice when the operator only presses Enter, or when nobody is there.
    default: Option<String>,
    /// The parameter that answers the question when it was given.
    param: Option<String>,
}

/// Let the operator choose one of several texts.
///
/// # Errors
/// `refused`, with the choices, when nobody is there to answer and there is no default.
///
/// # Example
/// ```rhai
/// let how = choose("How?", ["fast", "safe"], #{ default: "safe" });
/// assert(how == "safe", "nobody is here");
/// ```
#[primitive(pure)]
fn choose(cx: &Cx, text: String, choices: Vec<String>, options: ChooseOptions) -> Result<Dynamic> {
    if choices.is_empty() {
        return Err(Error::new(
            "argument.type",
            format!("there is nothing to choose for: {text}"),
        ));
    }
    let valid = |answer: &str| -> Result<()> {
        if choices.iter().any(|choice| choice == answer) {
            return Ok(());
        }
        Err(Error::new(
            "param.invalid",
            format!("`{answer}` is no answer to: {text}"),
        )
        .hint(format!("the choices are {}", choices.join(", "))))
    };
    if let Some(answer) = parameter(cx, options.param.as_deref())? {
        valid(&value::show(&answer))?;
        return Ok(answer);
    }
    if let Some(default) = &options.default {
        valid(default)?;
    }
    let answer = recorded(cx, cx.step(), &text, || {
        let kind = QuestionKind::Choice(choices.clone());
        let question = question(&text, kind, options.default.clone());
        cx.run().ask(cx.step(), &question, options.default.clone())
    })?;
    valid(&answer)?;
    Ok(answer.into())
}

/// How to ask for a yes.
#[derive(Options)]
pub struct ConfirmOptions {
    /// The answer when the operator only presses Enter, or when nobody is there.
    default: Option<bool>,
    /// The parameter that answers the question when it was given.
    param: Option<String>,
}

/// Ask the operator a yes-or-no question. `--yes` answers yes.
///
/// # Errors
/// `refused` when nobody is there to answer, without `--yes` and without a default.
///
/// # Example
/// ```rhai
/// if confirm("Go on?", #{ default: false }) { print("going on"); }
/// ```
#[primitive(pure)]
fn confirm(cx: &Cx, text: String, options: ConfirmOptions) -> Result<bool> {
    if let Some(answer) = parameter(cx, options.param.as_deref())? {
        return answer.as_bool().map_err(|found| {
            Error::new(
                "param.invalid",
                format!("the answer to `{text}` is a bool, not {found}"),
            )
        });
    }
    if cx.run().assumes_yes() {
        return Ok(true);
    }
    if cx.dry_run() && cx.run().prompter().is_none() {
        return Ok(options.default.unwrap_or(true));
    }
    confirmed(cx, cx.step().unwrap_or_default(), &text, options.default)
}

/// Tell the operator something that stays in the record of the run.
///
/// # Errors
/// None.
///
/// # Example
/// ```rhai
/// note("The window is from 2 to 3.");
/// ```
#[primitive(pure)]
fn note(cx: &Cx, text: String) {
    cx.log(Level::Info, text);
}

/// A recorded yes or no.
pub(super) fn confirmed(cx: &Cx, step: &str, text: &str, default: Option<bool>) -> Result<bool> {
    let default = default.map(|yes| if yes { "yes" } else { "no" }.to_owned());
    let step = (!step.is_empty()).then_some(step);
    let answer = recorded(cx, step, text, || {
        cx.run().ask(
            step,
            &question(text, QuestionKind::Confirm, default.clone()),
            default.clone(),
        )
    })?;
    Ok(answer == "yes")
}

fn question(text: &str, kind: QuestionKind, default: Option<String>) -> Question {
    Question {
        text: text.to_owned(),
        kind,
        default,
        details: None,
    }
}

/// The answer of an earlier attempt, or a new one, which is then recorded.
fn recorded(
    cx: &Cx,
    step: Option<&str>,
    text: &str,
    ask: impl FnOnce() -> Result<String>,
) -> Result<String> {
    let run = cx.run();
    let key = format!("{}: {text}", step.unwrap_or_default());
    if let Some(serde_json::Value::String(answer)) = run.completed().answer(&key) {
        return Ok(answer);
    }
    let answer = ask()?;
    if let Some(journal) = run.journal()
        && !run.mode().is_dry()
    {
        journal.answered(&key, &answer)?;
    }
    Ok(answer)
}

fn parameter(cx: &Cx, name: Option<&str>) -> Result<Option<Dynamic>> {
    let Some(name) = name else { return Ok(None) };
    match cx.run().params().get(name) {
        Some(value) if value.is_unit() => Ok(None),
        Some(value) => Ok(Some(value.clone())),
        None => Err(Error::new(
            "argument.type",
            format!("the runbook has no parameter `{name}`"),
        )
        .hint("declare it in the header with `required: false`")),
    }
}
