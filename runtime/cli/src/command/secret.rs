//! `ccrun secret`: the age-encrypted file.

use std::io::{IsTerminal, Read};

use ccrun_kernel::prompt::{Question, QuestionKind};
use ccrun_kernel::{Error, Result};
use ccrun_stdlib::secret::source::{SecretsConfig, open_age_file};

use crate::app::App;
use crate::cli::{Output, Secret};
use crate::prompt::TerminalPrompter;
use crate::render;

/// Read or write the age file of the target.
pub fn secret(app: &App, command: &Secret) -> Result<u8> {
    let target = app.config.target(app.common.target.as_deref())?;
    let config = target
        .section::<SecretsConfig>("secrets")?
        .unwrap_or_default();
    let file = open_age_file(&config, target.folder())?;
    match command {
        Secret::Set { name } => {
            let value = given(name)?;
            file.set(name, &value)?;
            render::remark(&format!("`{name}` is in {}", file.path().display()));
        }
        Secret::Generate { name, length } => {
            file.generate(name, *length)?;
            render::remark(&format!(
                "`{name}` is in {}; it was not printed",
                file.path().display()
            ));
        }
        Secret::Remove { name } => {
            file.get(name)?;
            if !app.common.yes && !sure(name)? {
                return Err(Error::new("refused", "the secret was not removed")
                    .hint("`--yes` removes it without a question"));
            }
            file.remove(name)?;
            render::remark(&format!(
                "`{name}` is no longer in {}",
                file.path().display()
            ));
        }
        Secret::List => {
            let names = file.names()?;
            if app.common.output == Output::Json {
                render::json::document(&names.into());
            } else if names.is_empty() {
                render::remark(&format!("{} holds no secrets", file.path().display()));
            } else {
                render::result(&names.join("\n"));
            }
        }
        Secret::Get { name } => {
            let value = file.get(name)?;
            if !app.common.yes && !confirmed(name)? {
                return Err(Error::new("refused", "the secret was not printed"));
            }
            render::result(&value);
        }
    }
    Ok(0)
}

/// The value from standard input, or from a prompt that does not show it. Never from the command
/// line, which every user of the machine can read.
fn given(name: &str) -> Result<String> {
    let value = match TerminalPrompter::if_interactive(None) {
        Some(prompter) => {
            prompter.ask(&question(format!("value of {name}"), QuestionKind::Secret))?
        }
        None => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text)?;
            text.trim_end_matches(['\n', '\r']).to_owned()
        }
    };
    if value.is_empty() {
        return Err(
            Error::new("usage", "the value is empty: nothing was stored").hint(format!(
                "pipe it in: `printf %s \"$VALUE\" | ccrun secret set {name}`"
            )),
        );
    }
    Ok(value)
}

/// A secret goes to a pipe as it is asked for; on a terminal it stays in the scroll-back, so ask.
fn confirmed(name: &str) -> Result<bool> {
    if !std::io::stdout().is_terminal() {
        return Ok(true);
    }
    match TerminalPrompter::if_interactive(None) {
        Some(prompter) => {
            let text = format!("print `{name}` on this terminal?");
            Ok(prompter.ask(&question(text, QuestionKind::Confirm))? == "yes")
        }
        None => Ok(false),
    }
}

/// What is removed is gone: without somebody to ask it takes `--yes`.
fn sure(name: &str) -> Result<bool> {
    match TerminalPrompter::if_interactive(None) {
        Some(prompter) => {
            let text = format!("remove `{name}`? it can't be had back");
            Ok(prompter.ask(&question(text, QuestionKind::Confirm))? == "yes")
        }
        None => Ok(false),
    }
}

fn question(text: String, kind: QuestionKind) -> Question {
    Question {
        text,
        kind,
        default: None,
        details: None,
    }
}
