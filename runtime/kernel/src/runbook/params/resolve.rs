//! Where the values of parameters come from.

use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use rhai::{Dynamic, Map};
use serde::Serialize;
use serde_json::Value;

use super::super::literal::Literal;
use super::{ParamKind, ParamSpec, SECRET_REFERENCE, parse_value};
use crate::error::{Error, Result};
use crate::value::closest;

/// The environment variable of parameter `keep` is `CCRUN_PARAM_KEEP`.
pub const ENVIRONMENT_PREFIX: &str = "CCRUN_PARAM_";

/// Where a value came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ParamSource {
    /// `--param k=v`
    CommandLine,
    /// `--params FILE`
    File,
    /// `CCRUN_PARAM_K`
    Environment,
    /// The header.
    Default,
    /// The operator was asked.
    Prompt,
}

/// What a person, a file and the environment say of the parameters.
#[derive(Debug, Clone, Default)]
pub struct ParamSources {
    runbook: String,
    pairs: Vec<(String, String)>,
    file: Option<(PathBuf, serde_json::Map<String, Value>)>,
    environment: Vec<(String, String)>,
}

impl ParamSources {
    /// No values yet. `runbook` is how the command line names it, for the examples in messages.
    #[must_use]
    pub fn new(runbook: impl Into<String>) -> Self {
        Self {
            runbook: runbook.into(),
            ..Self::default()
        }
    }

    /// The `k=v` of every `--param`, in order.
    ///
    /// # Errors
    /// `param.syntax` without a `=`.
    pub fn pairs<S: AsRef<str>>(mut self, pairs: impl IntoIterator<Item = S>) -> Result<Self> {
        for pair in pairs {
            let pair = pair.as_ref();
            let Some((name, value)) = pair.split_once('=') else {
                // Not the text itself: it may be a secret whose name was forgotten.
                return Err(
                    Error::new("param.syntax", "a parameter is given as NAME=VALUE")
                        .hint("for example `--param keep=7d`"),
                );
            };
            self.pairs.push((name.trim().to_owned(), value.to_owned()));
        }
        Ok(self)
    }

    /// The file of `--params`: one JSON object or one TOML table.
    ///
    /// # Errors
    /// `param.file`
    pub fn file(mut self, path: &Path) -> Result<Self> {
        let failed = |why: String| {
            Error::new(
                "param.file",
                format!("parameters can't be read from {}: {why}", path.display()),
            )
        };
        let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
        let extension = path
            .extension()
            .and_then(|e| e.to_str())
            .unwrap_or_default();
        let values = match extension.to_ascii_lowercase().as_str() {
            "toml" => from_toml(&text).map_err(failed)?,
            "json" => from_json(&text).map_err(failed)?,
            "yaml" | "yml" => {
                return Err(failed("it is YAML".into()).hint("write it as JSON or TOML"));
            }
            _ => from_json(&text)
                .or_else(|_| from_toml(&text))
                .map_err(|_| {
                    failed("it is neither JSON nor TOML".into())
                        .hint("for example: `keep = \"7d\"`")
                })?,
        };
        self.file = Some((path.to_owned(), values));
        Ok(self)
    }

    /// Values from elsewhere, in place of a file. `origin` stands in error messages.
    #[must_use]
    pub fn values(mut self, origin: &str, values: serde_json::Map<String, Value>) -> Self {
        self.file = Some((PathBuf::from(origin), values));
        self
    }

    /// The environment; variables without the prefix are ignored.
    #[must_use]
    pub fn environment(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        self.environment = variables
            .into_iter()
            .filter(|(name, _)| name.starts_with(ENVIRONMENT_PREFIX))
            .collect();
        self.environment.sort();
        self
    }
}

fn from_json(text: &str) -> std::result::Result<serde_json::Map<String, Value>, String> {
    match serde_json::from_str(text) {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err("it must be one object, `{ \"name\": value }`".into()),
        Err(error) => Err(format!("not valid JSON: {error}")),
    }
}

fn from_toml(text: &str) -> std::result::Result<serde_json::Map<String, Value>, String> {
    let table = text
        .parse::<toml::Table>()
        .map_err(|error| format!("not valid TOML: {}", error.to_string().trim_end()))?;
    match Literal::from_toml(&toml::Value::Table(table)).to_json() {
        Value::Object(map) => Ok(map),
        _ => Ok(serde_json::Map::new()),
    }
}

/// The values of the parameters, as far as they are known.
#[derive(Debug, Clone)]
pub struct ResolvedParams<'a> {
    /// The values, in the order of the header. An optional parameter without a value is `()`.
    pub values: IndexMap<String, Dynamic>,
    /// Where each value came from.
    pub sources: IndexMap<String, ParamSource>,
    /// The parameters that must have a value and have none: to be asked for, with [`Self::answer`].
    pub missing: Vec<&'a ParamSpec>,
    /// What the operator should know.
    pub warnings: Vec<String>,
    runbook: String,
}

/// Find the value of every parameter: from the command line, else the file, else the environment,
/// else the default.
///
/// # Errors
/// `param.unknown`, `param.invalid`, `param.repeated`
pub fn resolve<'a>(
    specs: &'a IndexMap<String, ParamSpec>,
    given: &ParamSources,
) -> Result<ResolvedParams<'a>> {
    let mut resolved = ResolvedParams {
        values: IndexMap::with_capacity(specs.len()),
        sources: IndexMap::with_capacity(specs.len()),
        missing: Vec::new(),
        warnings: Vec::new(),
        runbook: given.runbook.clone(),
    };
    for (name, _) in &given.pairs {
        known(specs, name, "--param")?;
    }
    if let Some((path, values)) = &given.file {
        for name in values.keys() {
            known(specs, name, &path.display().to_string())?;
        }
    }
    // The environment may hold variables for other runbooks: a wrong one only warns.
    for (variable, _) in &given.environment {
        resolved.warnings.extend(stray_variable(specs, variable));
    }
    for spec in specs.values() {
        resolved.find(spec, given)?;
    }
    Ok(resolved)
}

impl<'a> ResolvedParams<'a> {
    /// All the values, as the script sees them.
    ///
    /// # Errors
    /// `param.missing`, naming all that are missing.
    pub fn finish(self) -> Result<Map> {
        if self.missing.is_empty() {
            return Ok(self
                .values
                .into_iter()
                .map(|(name, value)| (name.into(), value))
                .collect());
        }
        Err(self.missing_error())
    }

    /// The answer to the question for a missing parameter, read by [`parse_value`].
    pub fn answer(&mut self, spec: &ParamSpec, value: Dynamic) {
        self.set(spec, value, ParamSource::Prompt);
        self.missing.retain(|missing| missing.name != spec.name);
    }

    fn find(&mut self, spec: &'a ParamSpec, given: &ParamSources) -> Result<()> {
        let name = &spec.name;
        let pairs: Vec<&str> = given
            .pairs
            .iter()
            .filter(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
            .collect();
        let in_file = given
            .file
            .as_ref()
            .and_then(|(path, values)| Some((path, values.get(name)?)));
        let variable = variable(name);
        let in_environment = given.environment.iter().find(|(n, _)| *n == variable);

        if !pairs.is_empty() {
            let value = self.read_pairs(spec, &pairs)?;
            self.set(spec, value, ParamSource::CommandLine);
        } else if let Some((path, value)) = in_file {
            let value = spec
                .read(value)
                .map_err(|e| found_in(e, &path.display().to_string()))?;
            self.set(spec, value, ParamSource::File);
        } else if let Some((_, text)) = in_environment {
            let value = parse_value(spec, text).map_err(|e| found_in(e, &variable))?;
            self.set(spec, value, ParamSource::Environment);
        } else if let Some(default) = &spec.default {
            self.set(spec, default.clone(), ParamSource::Default);
        } else {
            self.set(spec, Dynamic::UNIT, ParamSource::Default);
            if spec.required {
                self.missing.push(spec);
            }
        }
        Ok(())
    }

    fn read_pairs(&mut self, spec: &ParamSpec, pairs: &[&str]) -> Result<Dynamic> {
        if spec.kind == ParamKind::Secret
            && pairs.iter().any(|text| !text.starts_with(SECRET_REFERENCE))
        {
            self.warnings.push(format!(
                "the secret `{}` is visible in the process list and in the shell's history: \
                 give it as `--param {}={SECRET_REFERENCE}NAME`",
                spec.name, spec.name
            ));
        }
        match pairs {
            [text] => parse_value(spec, text),
            several if spec.kind == ParamKind::List => {
                let mut all = rhai::Array::new();
                for text in several {
                    all.extend(parse_value(spec, text)?.into_array().unwrap_or_default());
                }
                Ok(Dynamic::from_array(all))
            }
            several => Err(Error::new(
                "param.repeated",
                format!(
                    "parameter `{}` is given {} times and takes one value",
                    spec.name,
                    several.len()
                ),
            )
            .hint(format!("for example {}", spec.example()))),
        }
    }

    fn set(&mut self, spec: &ParamSpec, value: Dynamic, source: ParamSource) {
        self.values.insert(spec.name.clone(), value);
        self.sources.insert(spec.name.clone(), source);
    }

    /// `param.missing`: all that is missing, what each accepts, and an example.
    #[must_use]
    pub fn missing_error(&self) -> Error {
        let lines: String = self
            .missing
            .iter()
            .map(|spec| {
                let help = spec
                    .help
                    .as_deref()
                    .map(|h| format!(": {h}"))
                    .unwrap_or_default();
                format!("\n  {}{help} ({})", spec.name, spec.accepts())
            })
            .collect();
        let what = match self.missing.len() {
            1 => "a parameter is missing".to_owned(),
            count => format!("{count} parameters are missing"),
        };
        let examples: Vec<String> = self.missing.iter().map(|spec| spec.example()).collect();
        let names: Vec<&str> = self.missing.iter().map(|spec| spec.name.as_str()).collect();
        Error::new("param.missing", format!("{what}:{lines}"))
            .hint(format!(
                "for example: ccrun {} {}",
                self.runbook,
                examples.join(" ")
            ))
            .detail("params", names)
    }
}

/// Say where a wrong value stands, if not on the command line.
fn found_in(error: Error, place: &str) -> Error {
    let hint = error.hint_text().map(str::to_owned);
    let name = error.details().get("param").cloned().unwrap_or_default();
    let built = Error::new(error.kind(), format!("{} (from {place})", error.message()))
        .detail("param", name);
    match hint {
        Some(hint) => built.hint(hint),
        None => built,
    }
}

fn variable(name: &str) -> String {
    format!("{ENVIRONMENT_PREFIX}{}", name.to_uppercase())
}

fn known(specs: &IndexMap<String, ParamSpec>, name: &str, place: &str) -> Result<()> {
    if specs.contains_key(name) {
        return Ok(());
    }
    let all: Vec<&str> = specs.keys().map(String::as_str).collect();
    let listed = match all.as_slice() {
        [] => "the runbook takes no parameters".to_owned(),
        names => format!("the parameters are {}", names.join(", ")),
    };
    let hint = match closest(name, all) {
        Some(nearest) => format!("did you mean `{nearest}`? {listed}"),
        None => listed,
    };
    Err(Error::new(
        "param.unknown",
        format!("there is no parameter `{name}` (from {place})"),
    )
    .hint(hint))
}

fn stray_variable(specs: &IndexMap<String, ParamSpec>, found: &str) -> Option<String> {
    if specs.keys().any(|name| variable(name) == found) {
        return None;
    }
    let wanted = found.trim_start_matches(ENVIRONMENT_PREFIX);
    let nearest = closest(wanted, specs.keys().map(String::as_str))?;
    Some(format!(
        "{found} is set, but there is no such parameter: did you mean {}?",
        variable(nearest)
    ))
}
