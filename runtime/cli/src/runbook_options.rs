//! `ccrun troubleshoot --since 30m --fix`: the parameters of a runbook as options of the command line.
//!
//! What stands after the runbook's name, and is no option of ccrun's own, is a parameter that its header declares. It
//! is written as `--param NAME=VALUE` before the command line is parsed, so that there is one way in for both.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use ccrun_kernel::config::Config;
use ccrun_kernel::runbook::params::{ParamKind, ParamSpec};
use ccrun_kernel::runbook::{self, Runbook};
use ccrun_kernel::value::closest;
use clap::error::ErrorKind;
use clap::{Arg, Command, CommandFactory as _};

use crate::app;
use crate::cli::Cli;

/// The command line without parameters as options; a runbook's `--help` becomes the command that shows it.
///
/// # Errors
/// An option that neither ccrun nor the runbook has, with the nearest one.
pub fn rewrite(arguments: Vec<OsString>) -> Result<Vec<OsString>, clap::Error> {
    let cli = Cli::command();
    let own = Own::of(&cli);
    let Some(place) = own.runbook_in(&cli, &arguments) else {
        return Ok(arguments);
    };
    let (head, rest) = arguments.split_at(place + 1);
    let mut words = head.to_vec();
    let mut loaded = Loaded::new(&head[place]);
    let mut rest = rest.iter();
    while let Some(word) = rest.next() {
        let text = word.to_string_lossy();
        if text == "--" {
            words.push(word.clone());
            words.extend(rest.cloned());
            break;
        }
        if matches!(text.as_ref(), "--help" | "-h") && loaded.runbook().is_some() {
            return Ok(vec![
                arguments[0].clone(),
                "runbook-help".into(),
                head[place].clone(),
            ]);
        }
        let (name, value) = match text.strip_prefix("--") {
            Some(option) => match option.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (option, None),
            },
            None => {
                words.push(word.clone());
                if own.takes_next(&text) {
                    words.extend(rest.next().cloned());
                }
                continue;
            }
        };
        if own.has(name) {
            words.push(word.clone());
            if value.is_none() && own.takes_next(&text) {
                words.extend(rest.next().cloned());
            }
            continue;
        }
        let Some(runbook) = loaded.runbook() else {
            // What is wrong with the runbook is said when it is run; its options can't be known before.
            continue;
        };
        let Some(spec) = parameter(runbook, name) else {
            return Err(own.unknown(&cli, &head[place], runbook, name));
        };
        let value = match value {
            Some(value) => value,
            None if spec.kind == ParamKind::Bool => "true".to_owned(),
            None => match rest.next() {
                Some(value) => value.to_string_lossy().into_owned(),
                None => {
                    let message = format!("`--{name}` needs a value: {}", spec.accepts());
                    return Err(cli.clone().error(ErrorKind::InvalidValue, message));
                }
            },
        };
        words.push("--param".into());
        words.push(format!("{}={value}", spec.name).into());
    }
    Ok(words)
}

/// What may come next on an unfinished command line: names of runbooks, or the parameters of the one that is there.
pub fn candidates(app: &app::App, typed: &[OsString]) -> Vec<String> {
    let cli = Cli::command();
    let mut arguments = vec![OsString::from("ccrun")];
    arguments.extend_from_slice(typed);
    match Own::of(&cli).runbook_in(&cli, &arguments) {
        None => {
            let entries = app.runbooks().into_iter();
            entries.map(|entry| entry.name).collect()
        }
        Some(place) => Loaded::new(&arguments[place])
            .runbook()
            .map(|runbook| specs(runbook).map(option).collect())
            .unwrap_or_default(),
    }
}

/// What a runbook does, and its parameters.
pub fn help(name: &str, runbook: &Runbook) -> String {
    let mut text = String::new();
    if !runbook.doc.is_empty() {
        text.push_str(runbook.doc.trim_end());
        text.push_str("\n\n");
    }
    text.push_str(&format!("Usage: ccrun {name} [OPTIONS]\n"));
    let rows: Vec<(String, String)> = specs(runbook)
        .map(|spec| {
            let value = match spec.kind {
                ParamKind::Bool => String::new(),
                kind => format!(" <{}>", kind.to_string().to_uppercase()),
            };
            let mut told = spec.help.clone().unwrap_or_default();
            let more = match (&spec.default, spec.required) {
                (Some(_), _) => Some(format!("default: {}", spec.default_text())),
                (None, true) => Some("required".to_owned()),
                (None, false) => None,
            };
            let choices = (!spec.choices.is_empty()).then(|| spec.choices.join(", "));
            let more: Vec<String> = choices.into_iter().chain(more).collect();
            if !more.is_empty() {
                told.push_str(&format!(" [{}]", more.join("; ")));
            }
            (format!("{}{value}", option(spec)), told.trim().to_owned())
        })
        .collect();
    if !rows.is_empty() {
        let width = rows.iter().map(|(left, _)| left.len()).max().unwrap_or(0);
        text.push_str("\nParameters of the runbook:\n");
        for (left, told) in &rows {
            text.push_str(&format!("  {left:width$}  {told}\n"));
        }
    }
    text.push_str("\nOptions of every run (--dry-run, --yes, --output json …): `ccrun run --help`");
    text
}

fn specs(runbook: &Runbook) -> impl Iterator<Item = &ParamSpec> {
    runbook
        .header
        .iter()
        .flat_map(|header| header.params.values())
}

/// A parameter as an option: `--keep_at_least` reads `--keep-at-least`.
fn option(spec: &ParamSpec) -> String {
    format!("--{}", spec.name.replace('_', "-"))
}

fn parameter<'r>(runbook: &'r Runbook, name: &str) -> Option<&'r ParamSpec> {
    let name = name.replace('-', "_");
    specs(runbook).find(|spec| spec.name == name)
}

/// A runbook that is read when it is first needed.
struct Loaded {
    file: OsString,
    runbook: Option<Option<Runbook>>,
}

impl Loaded {
    fn new(file: &OsStr) -> Self {
        Self {
            file: file.to_owned(),
            runbook: None,
        }
    }

    fn runbook(&mut self) -> Option<&Runbook> {
        let file = &self.file;
        self.runbook
            .get_or_insert_with(|| {
                let folder = std::env::current_dir().ok()?;
                let config = Config::find(&folder).ok()?;
                runbook::load(app::locate(&config, Path::new(file))).ok()
            })
            .as_ref()
    }
}

/// The options that ccrun has itself when it runs a runbook.
struct Own<'c> {
    arguments: Vec<&'c Arg>,
}

impl<'c> Own<'c> {
    fn of(cli: &'c Command) -> Self {
        let mut arguments: Vec<&Arg> = cli.get_arguments().collect();
        for name in ["run", "plan"] {
            arguments.extend(
                cli.find_subcommand(name)
                    .into_iter()
                    .flat_map(Command::get_arguments),
            );
        }
        Self { arguments }
    }

    fn has(&self, long: &str) -> bool {
        long == "help"
            || self
                .arguments
                .iter()
                .any(|arg| arg.get_long() == Some(long))
    }

    /// Whether the value of this option is the next word.
    fn takes_next(&self, word: &str) -> bool {
        let found = self
            .arguments
            .iter()
            .find(|arg| match word.strip_prefix("--") {
                Some(long) => arg.get_long() == Some(long),
                None => {
                    word.len() == 2
                        && word.starts_with('-')
                        && arg.get_short() == word.chars().nth(1)
                }
            });
        found.is_some_and(|arg| arg.get_action().takes_values())
    }

    /// Where on the command line the runbook stands, if one is run.
    fn runbook_in(&self, cli: &Command, arguments: &[OsString]) -> Option<usize> {
        let mut verb = false;
        let mut at = 1;
        while let Some(word) = arguments.get(at) {
            let text = word.to_string_lossy();
            if text.starts_with('-') {
                if text == "--" || text == "-e" || text.starts_with("--eval") {
                    return None;
                }
                at += if self.takes_next(&text) { 2 } else { 1 };
                continue;
            }
            if verb {
                return Some(at);
            }
            match text.as_ref() {
                "run" | "plan" => verb = true,
                "help" => return None,
                name if cli.find_subcommand(name).is_some() => return None,
                _ => return Some(at),
            }
            at += 1;
        }
        None
    }

    fn unknown(&self, cli: &Command, file: &OsStr, runbook: &Runbook, name: &str) -> clap::Error {
        let file = file.to_string_lossy();
        let own = self.arguments.iter().filter_map(|arg| arg.get_long());
        let options: Vec<String> = specs(runbook)
            .map(|spec| option(spec)[2..].to_owned())
            .chain(own.map(str::to_owned))
            .collect();
        let mut message = format!("{file} has no option `--{name}`");
        if let Some(nearest) = closest(name, options.iter().map(String::as_str)) {
            message.push_str(&format!("; did you mean `--{nearest}`?"));
        }
        message.push_str(&format!("\n\n`ccrun {file} --help` lists them"));
        cli.clone().error(ErrorKind::UnknownArgument, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(folder: &Path, line: &str) -> Result<String, String> {
        let file = folder.join("look.rhai");
        let line = line.replace("look", &file.display().to_string());
        let words = rewrite(line.split(' ').map(OsString::from).collect());
        let words = words.map_err(|error| error.to_string())?;
        let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
        Ok(words.join(" ").replace(&file.display().to_string(), "look"))
    }

    #[test]
    fn parameters_are_options_after_the_runbooks_name() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(
            folder.path().join("look.rhai"),
            r#"runbook(#{ params: #{
                since: #{ type: "duration", default: "30m" },
                fix: #{ type: "bool", default: false },
                keep_at_least: #{ type: "int", default: 3 },
                target: #{ type: "string", required: false } } });"#,
        )
        .unwrap();
        let is = |line: &str, wanted: &str| {
            assert_eq!(rewritten(folder.path(), line).unwrap(), wanted, "{line}");
        };
        is(
            "ccrun look --since 30m --fix",
            "ccrun look --param since=30m --param fix=true",
        );
        is(
            "ccrun run look --fix=false",
            "ccrun run look --param fix=false",
        );
        is(
            "ccrun -n plan look -o p --keep-at-least 2",
            "ccrun -n plan look -o p --param keep_at_least=2",
        );
        is(
            "ccrun look --target prod --yes",
            "ccrun look --target prod --yes",
        );
        is(
            "ccrun --target prod look --since=1h -p x=1",
            "ccrun --target prod look --param since=1h -p x=1",
        );
        is("ccrun history --since 1h", "ccrun history --since 1h");
        is("ccrun -e 1 --since", "ccrun -e 1 --since");
        is("ccrun look --help", "ccrun runbook-help look");
        is("ccrun run --help", "ccrun run --help");
        let wrong = |line: &str| rewritten(folder.path(), line).unwrap_err();
        assert!(wrong("ccrun look --sinse 1h").contains("did you mean `--since`?"));
        assert!(wrong("ccrun look --fixx").contains("did you mean `--fix`?"));
        assert!(wrong("ccrun look --dry-rum").contains("did you mean `--dry-run`?"));
        assert!(wrong("ccrun look --since").contains("needs a value"));
    }
}
