//! Reading the declaration of a parameter, and finding what contradicts itself in it.

use regex::Regex;
use rhai::Dynamic;

use super::super::literal::{Entry, Literal, LiteralValue, known_keys};
use super::{ANCHOR_END, ANCHOR_START, KINDS, ParamKind, ParamSpec, SECRET_REFERENCE};
use crate::error::{Error, Result};
use crate::value::closest;

const KEYS: [&str; 6] = ["type", "default", "required", "pattern", "help", "choices"];
const HEADER: &str = "header.param";

impl ParamSpec {
    /// Read `NAME: #{ type: …, default: …, help: … }`. Without a type, that of the default or of the
    /// choices holds.
    pub(in crate::runbook) fn from_literal(entry: &Entry) -> Result<Self> {
        let name = entry.key.clone();
        if !rhai::is_valid_identifier(&name) {
            return Err(
                Error::new(HEADER, format!("`{name}` can't be the name of a parameter"))
                    .hint("use letters, digits and `_`, so that `params.NAME` reads it")
                    .at(entry.at.clone()),
            );
        }
        let owner = format!("parameter `{name}`");
        let keys = entry.value.as_map().ok_or_else(|| {
            entry
                .value
                .error(
                    HEADER,
                    format!("{owner} must be a map, and not {}", entry.value.shown()),
                )
                .hint(format!(
                    r#"write `{name}: #{{ type: "string", help: "…" }}`"#
                ))
        })?;
        known_keys(keys, &KEYS, &owner)?;
        let key = |wanted: &str| keys.iter().find(|k| k.key == wanted).map(|k| &k.value);

        let choices = key("choices")
            .map(|c| choices(c, &owner))
            .transpose()?
            .unwrap_or_default();
        let kind = match key("type") {
            Some(literal) => kind(literal, &owner)?,
            None if !choices.is_empty() => ParamKind::Choice,
            None => key("default").map_or(ParamKind::String, kind_of),
        };
        let mut spec = Self {
            required: true,
            default: None,
            pattern: key("pattern").map(|p| pattern(p, &owner)).transpose()?,
            help: key("help").map(|h| text(h, &owner, "help")).transpose()?,
            location: entry.at.clone(),
            name,
            kind,
            choices,
        };
        spec.check_keys(key("choices"), key("pattern"), &entry.value)?;
        if let Some(default) = key("default")
            && default.value != LiteralValue::Unit
        {
            spec.default = Some(spec.read_default(default)?);
        }
        spec.required = match key("required").map(|literal| (literal, &literal.value)) {
            None => !keys.iter().any(|k| k.key == "default"),
            Some((_, LiteralValue::Bool(required))) => *required,
            Some((literal, _)) => {
                return Err(
                    literal.error(HEADER, format!("`required` of {owner} is true or false"))
                );
            }
        };
        Ok(spec)
    }

    /// Keys that say something about each other.
    fn check_keys(
        &self,
        choices: Option<&Literal>,
        pattern: Option<&Literal>,
        whole: &Literal,
    ) -> Result<()> {
        let name = &self.name;
        match (self.kind, choices) {
            (ParamKind::Choice, None) => {
                return Err(whole
                    .error(
                        HEADER,
                        format!("parameter `{name}` is a choice without `choices`"),
                    )
                    .hint(r#"add `choices: ["one", "two"]`"#));
            }
            (
                ParamKind::Bool | ParamKind::Duration | ParamKind::Size | ParamKind::Secret,
                Some(choices),
            ) => {
                return Err(choices.error(
                    HEADER,
                    format!(
                        "parameter `{name}` of type {} can't have `choices`",
                        self.kind
                    ),
                ));
            }
            _ => {}
        }
        let textual = matches!(
            self.kind,
            ParamKind::String | ParamKind::Path | ParamKind::List | ParamKind::Choice
        );
        match pattern {
            Some(pattern) if !textual => Err(pattern.error(
                HEADER,
                format!(
                    "parameter `{name}` of type {} can't have a `pattern`",
                    self.kind
                ),
            )),
            _ => Ok(()),
        }
    }

    fn read_default(&self, literal: &Literal) -> Result<Dynamic> {
        if self.kind == ParamKind::Secret
            && !literal
                .as_str()
                .is_some_and(|text| text.starts_with(SECRET_REFERENCE))
        {
            return Err(literal
                .error(
                    HEADER,
                    format!(
                        "the default of parameter `{}` would be a secret in the file",
                        self.name
                    ),
                )
                .hint("name it instead: `default: \"secret:NAME\"`"));
        }
        self.read(&literal.to_json()).map_err(|error| {
            let message = match self.kind {
                ParamKind::Secret => error.message().to_owned(),
                _ => format!(
                    "the default of parameter `{}` must be {}, and not {}",
                    self.name,
                    self.accepts(),
                    literal.shown()
                ),
            };
            literal.error(HEADER, message)
        })
    }
}

/// The type that a default has by itself.
fn kind_of(default: &Literal) -> ParamKind {
    match &default.value {
        LiteralValue::Bool(_) => ParamKind::Bool,
        LiteralValue::Int(_) => ParamKind::Int,
        LiteralValue::Float(_) => ParamKind::Float,
        LiteralValue::Array(_) => ParamKind::List,
        _ => ParamKind::String,
    }
}

fn kind(literal: &Literal, owner: &str) -> Result<ParamKind> {
    let name = text(literal, owner, "type")?;
    if let Some((_, kind)) = KINDS.iter().find(|(known, _)| *known == name) {
        return Ok(*kind);
    }
    let names = KINDS.map(|(name, _)| name);
    let hint = match closest(&name, names) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => format!("the types are {}", names.join(", ")),
    };
    Err(literal
        .error(HEADER, format!("{owner} has the unknown type `{name}`"))
        .hint(hint))
}

fn text(literal: &Literal, owner: &str, key: &str) -> Result<String> {
    literal.as_str().map(str::to_owned).ok_or_else(|| {
        literal.error(
            HEADER,
            format!("`{key}` of {owner} is a text, and not {}", literal.shown()),
        )
    })
}

fn choices(literal: &Literal, owner: &str) -> Result<Vec<String>> {
    let wrong = || {
        literal
            .error(HEADER, format!("`choices` of {owner} is an array of texts"))
            .hint(r#"write `choices: ["one", "two"]`"#)
    };
    let items = literal
        .as_array()
        .filter(|items| !items.is_empty())
        .ok_or_else(wrong)?;
    items
        .iter()
        .map(|item| match &item.value {
            LiteralValue::String(text) => Ok(text.clone()),
            LiteralValue::Int(number) => Ok(number.to_string()),
            _ => Err(wrong()),
        })
        .collect()
}

fn pattern(literal: &Literal, owner: &str) -> Result<Regex> {
    let text = text(literal, owner, "pattern")?;
    let anchored = |inner: &str| Regex::new(&format!("{ANCHOR_START}{inner}{ANCHOR_END}"));
    // Alone first, so that the message is about what is written.
    Regex::new(&text)
        .and_then(|_| anchored(&text))
        .map_err(|error| {
            let error = error.to_string();
            let why = error
                .lines()
                .last()
                .unwrap_or_default()
                .trim_start_matches("error: ")
                .to_owned();
            literal.error(
                HEADER,
                format!("`pattern` of {owner} is not a regular expression: {why}"),
            )
        })
}
