//! The value of a parameter, from a text or from a file.

use rhai::Dynamic;
use serde_json::Value;

use super::{ParamKind, ParamSpec, SECRET_REFERENCE};
use crate::error::{Error, Result};
use crate::secret::Secret;
use crate::value::{Duration, KeptSecret, Size, closest, from_json};

/// The value of a parameter from a text: of the command line, the environment, or a prompt.
///
/// A secret comes as `secret:NAME` and becomes a [`KeptSecret`]; any other text is the secret itself.
///
/// # Errors
/// `param.invalid`
pub fn parse_value(spec: &ParamSpec, text: &str) -> Result<Dynamic> {
    let trimmed = text.trim();
    let value = match spec.kind {
        ParamKind::String => {
            spec.allow(text)?;
            return Ok(text.to_owned().into());
        }
        ParamKind::Path => {
            if text.is_empty() || text.contains('\0') {
                return Err(spec.invalid(text, ""));
            }
            spec.allow(text)?;
            return Ok(text.to_owned().into());
        }
        ParamKind::Choice => {
            spec.allow(trimmed)?;
            return Ok(trimmed.to_owned().into());
        }
        ParamKind::List => return parse_list(spec, text),
        ParamKind::Secret => return parse_secret(spec, text),
        ParamKind::Int => trimmed
            .replace('_', "")
            .parse::<i64>()
            .ok()
            .map(Dynamic::from),
        ParamKind::Float => {
            let number = trimmed
                .parse::<f64>()
                .ok()
                .filter(|number| number.is_finite());
            number.map(Dynamic::from)
        }
        ParamKind::Bool => match trimmed.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Some(true.into()),
            "false" | "no" | "off" | "0" => Some(false.into()),
            _ => None,
        },
        ParamKind::Duration => trimmed.parse::<Duration>().ok().map(Dynamic::from),
        ParamKind::Size => trimmed.parse::<Size>().ok().map(Dynamic::from),
    };
    let value = value.ok_or_else(|| spec.invalid(text, ""))?;
    if matches!(spec.kind, ParamKind::Int | ParamKind::Float) {
        spec.allow(trimmed)?;
    }
    Ok(value)
}

fn parse_list(spec: &ParamSpec, text: &str) -> Result<Dynamic> {
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Ok(Dynamic::from_array(Vec::new()));
    }
    // For elements that hold a comma.
    if trimmed.starts_with('[')
        && let Ok(Value::Array(items)) = serde_json::from_str(trimmed)
    {
        return spec.read_list(&items);
    }
    spec.list(
        trimmed
            .split(',')
            .map(|item| item.trim().to_owned())
            .collect(),
    )
}

fn parse_secret(spec: &ParamSpec, text: &str) -> Result<Dynamic> {
    match text.strip_prefix(SECRET_REFERENCE) {
        Some(name) if !name.trim().is_empty() => {
            Ok(Dynamic::from(KeptSecret(name.trim().to_owned())))
        }
        None if !text.is_empty() => Ok(Dynamic::from(Secret::new(&spec.name, text))),
        _ => Err(spec.invalid(text, "")),
    }
}

impl ParamSpec {
    /// A default or a file may hold the value in its own type instead of as a text.
    pub(in crate::runbook) fn read(&self, value: &Value) -> Result<Dynamic> {
        let same_type = match (self.kind, value) {
            (_, Value::String(text)) => return parse_value(self, text),
            (ParamKind::Int, Value::Number(n)) => n.is_i64(),
            (ParamKind::Float, Value::Number(n)) => {
                return n
                    .as_f64()
                    .map(Dynamic::from)
                    .ok_or_else(|| self.invalid(&n.to_string(), ""));
            }
            (ParamKind::Bool, Value::Bool(_)) => true,
            (ParamKind::Size | ParamKind::Choice, Value::Number(n)) => {
                return parse_value(self, &n.to_string());
            }
            (ParamKind::List, Value::Array(items)) => return self.read_list(items),
            _ => false,
        };
        if !same_type {
            return Err(self.invalid(&value.to_string(), ""));
        }
        self.allow(&value.to_string())?;
        Ok(from_json(value))
    }

    fn read_list(&self, items: &[Value]) -> Result<Dynamic> {
        let texts: Option<Vec<String>> = items
            .iter()
            .map(|item| match item {
                Value::String(text) => Some(text.clone()),
                Value::Number(number) => Some(number.to_string()),
                _ => None,
            })
            .collect();
        match texts {
            Some(texts) => self.list(texts),
            None => Err(self.invalid(&Value::from(items).to_string(), "")),
        }
    }

    fn list(&self, texts: Vec<String>) -> Result<Dynamic> {
        for text in &texts {
            self.allow(text)?;
        }
        Ok(Dynamic::from_array(
            texts.into_iter().map(Dynamic::from).collect(),
        ))
    }

    /// Whether the choices and the pattern allow a text.
    fn allow(&self, text: &str) -> Result<()> {
        if !self.choices.is_empty() && !self.choices.iter().any(|choice| choice == text) {
            let nearest = closest(text, self.choices.iter().map(String::as_str));
            let why = nearest
                .map(|n| format!("did you mean `{n}`?"))
                .unwrap_or_default();
            return Err(self.invalid(text, &why));
        }
        match &self.pattern {
            Some(pattern) if !pattern.is_match(text) => Err(self.invalid(text, "")),
            _ => Ok(()),
        }
    }

    /// `param.invalid`: what came, what is accepted, an example. `why` replaces the example.
    fn invalid(&self, value: &str, why: &str) -> Error {
        let shown = match self.kind {
            ParamKind::Secret => "what was given".to_owned(),
            _ if value.is_empty() => "an empty text".to_owned(),
            _ => format!("`{value}`"),
        };
        let hint = match why {
            "" => format!("for example {}", self.example()),
            why => why.to_owned(),
        };
        Error::new(
            "param.invalid",
            format!(
                "parameter `{}` takes {}, and not {shown}",
                self.name,
                self.accepts()
            ),
        )
        .hint(hint)
        .detail("param", self.name.as_str())
    }
}
