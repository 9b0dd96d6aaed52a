//! The parameters of a run: given, or asked for on a terminal.

use ccrun_kernel::Result;
use ccrun_kernel::prompt::{Question, QuestionKind};
use ccrun_kernel::rhai::{Dynamic, Map};
use ccrun_kernel::runbook::params::{
    ParamKind, ParamSources, ParamSpec, parse_value, resolve as resolve_params,
};
use ccrun_kernel::runbook::{Header, Runbook};
use ccrun_kernel::secret::{Redactor, Secret};
use ccrun_kernel::value::KeptSecret;

use crate::app::App;
use crate::cli::Run;
use crate::prompt::TerminalPrompter;
use crate::render;

/// The value of every parameter of the runbook.
///
/// # Errors
/// What is missing, unknown or wrong.
pub fn resolve(app: &App, runbook: &Runbook, args: &Run) -> Result<Map> {
    let Some(header) = &runbook.header else {
        return Ok(Map::new());
    };
    let mut given = ParamSources::new(args.file.display().to_string())
        .pairs(&args.params)?
        .environment(std::env::vars());
    if let Some(file) = &args.params_file {
        given = given.file(file)?;
    }
    find(app, header, &given)
}

/// The value of every parameter, from what is given.
///
/// # Errors
/// What is missing, unknown or wrong.
pub fn find(app: &App, header: &Header, given: &ParamSources) -> Result<Map> {
    let mut resolved = resolve_params(&header.params, given)?;
    for warning in &resolved.warnings {
        render::remark(&format!("warning: {warning}"));
    }
    if !resolved.missing.is_empty() {
        let Some(prompter) = TerminalPrompter::if_interactive(None) else {
            return Err(resolved.missing_error());
        };
        for spec in resolved.missing.clone() {
            loop {
                let answer = prompter.ask(&question(spec))?;
                match parse_value(spec, &answer) {
                    Ok(value) => {
                        resolved.answer(spec, value);
                        break;
                    }
                    Err(error) => render::remark(&render::error::render(&error, None)),
                }
            }
        }
    }
    let mut values = Map::new();
    for (name, value) in &resolved.values {
        let value = match header.params.get(name) {
            Some(spec) if spec.kind == ParamKind::Secret => secret(app, name, value)?,
            _ => value.clone(),
        };
        values.insert(name.as_str().into(), value);
    }
    Ok(values)
}

/// A secret parameter: a reference is looked up, a literal is taken as it is.
fn secret(app: &App, name: &str, value: &Dynamic) -> Result<Dynamic> {
    if let Some(KeptSecret(reference)) = value.read_lock::<KeptSecret>().map(|kept| kept.clone()) {
        return looked_up(app, app.common.target.as_deref(), &reference);
    }
    match value.clone().into_string() {
        Ok(text) => Ok(Dynamic::from(Secret::new(name, text))),
        Err(_) => Ok(value.clone()),
    }
}

/// Look up the secrets that a journal or a plan holds as references.
///
/// # Errors
/// `secret.not_found`.
pub fn restore_secrets(app: &App, target: Option<&str>, params: &mut Map) -> Result<()> {
    for value in params.values_mut() {
        let kept = value.read_lock::<KeptSecret>().map(|kept| kept.0.clone());
        if let Some(reference) = kept {
            *value = looked_up(app, target, &reference)?;
        }
    }
    Ok(())
}

fn looked_up(app: &App, target: Option<&str>, reference: &str) -> Result<Dynamic> {
    let target = app.config.target(target)?;
    let store = app.secrets(&target, &Redactor::default())?;
    app.block_on(store.get(reference)).map(Dynamic::from)
}

fn question(spec: &ParamSpec) -> Question {
    let help = spec
        .help
        .as_deref()
        .map(|help| format!(" ({help})"))
        .unwrap_or_default();
    Question {
        text: format!("{}{help}", spec.name),
        kind: match spec.kind {
            ParamKind::Secret => QuestionKind::Secret,
            ParamKind::Choice => QuestionKind::Choice(spec.choices.clone()),
            ParamKind::Bool => QuestionKind::Choice(vec!["true".into(), "false".into()]),
            _ => QuestionKind::Text,
        },
        default: None,
        details: None,
    }
}
