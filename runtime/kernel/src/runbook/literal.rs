//! Values that are written down and not computed: what a header is made of.

use rhai::{Dynamic, Expr, Position};
use serde_json::Value;

use crate::error::{Error, Location, Result};
use crate::value::{closest, from_json, quoted, type_name};

/// A value as it stands in a header or in `ccrun.toml`, with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Literal {
    /// The value.
    pub value: LiteralValue,
    /// Where it stands, if it stands in a script.
    pub at: Option<Location>,
}

/// The value of a [`Literal`].
#[derive(Debug, Clone, PartialEq)]
pub enum LiteralValue {
    /// `()`
    Unit,
    /// `true`, `false`
    Bool(bool),
    /// `42`
    Int(i64),
    /// `1.5`
    Float(f64),
    /// `"text"`
    String(String),
    /// `[…]`
    Array(Vec<Literal>),
    /// `#{…}`, in the order of the source.
    Map(Vec<Entry>),
}

/// One key of a map with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key stands.
    pub at: Option<Location>,
    /// The value.
    pub value: Literal,
}

const NOT_LITERAL: &str = "header.not_literal";

impl Literal {
    /// Read an expression of a script. `source` names the script.
    ///
    /// # Errors
    /// `header.not_literal`, pointing at the part that would have to be computed.
    pub fn from_expr(expr: &Expr, source: &str) -> Result<Self> {
        let at = Location::of(source, start(expr));
        let value = match expr {
            Expr::Unit(_) => LiteralValue::Unit,
            Expr::BoolConstant(value, _) => LiteralValue::Bool(*value),
            Expr::IntegerConstant(value, _) => LiteralValue::Int(*value),
            Expr::FloatConstant(value, _) => LiteralValue::Float(**value),
            Expr::CharConstant(value, _) => LiteralValue::String(value.to_string()),
            Expr::StringConstant(value, _) => LiteralValue::String(value.to_string()),
            Expr::Array(items, _) => {
                let items = items.iter().map(|item| Self::from_expr(item, source));
                LiteralValue::Array(items.collect::<Result<_>>()?)
            }
            Expr::Map(map, _) => {
                let entries = map.0.iter().map(|(key, item)| {
                    Ok(Entry {
                        key: key.name.to_string(),
                        at: Location::of(source, key.pos),
                        value: Self::from_expr(item, source)?,
                    })
                });
                LiteralValue::Map(entries.collect::<Result<_>>()?)
            }
            Expr::DynamicConstant(value, _) => {
                constant(value).ok_or_else(|| computed(expr, at.clone()))?
            }
            Expr::FnCall(call, _) if call.name == "-" && call.args.len() == 1 => {
                match Self::from_expr(&call.args[0], source)?.value {
                    LiteralValue::Int(number) if number != i64::MIN => LiteralValue::Int(-number),
                    LiteralValue::Float(number) => LiteralValue::Float(-number),
                    _ => return Err(computed(expr, at)),
                }
            }
            _ => return Err(computed(expr, at)),
        };
        Ok(Self { value, at })
    }

    /// Read a value of a TOML file.
    #[must_use]
    pub fn from_toml(value: &toml::Value) -> Self {
        let value = match value {
            toml::Value::Boolean(value) => LiteralValue::Bool(*value),
            toml::Value::Integer(value) => LiteralValue::Int(*value),
            toml::Value::Float(value) => LiteralValue::Float(*value),
            toml::Value::String(value) => LiteralValue::String(value.clone()),
            toml::Value::Datetime(value) => LiteralValue::String(value.to_string()),
            toml::Value::Array(items) => {
                LiteralValue::Array(items.iter().map(Self::from_toml).collect())
            }
            toml::Value::Table(table) => LiteralValue::Map(
                table
                    .iter()
                    .map(|(key, value)| Entry {
                        key: key.clone(),
                        at: None,
                        value: Self::from_toml(value),
                    })
                    .collect(),
            ),
        };
        Self { value, at: None }
    }

    /// The same in JSON, keys in the order of the source.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match &self.value {
            LiteralValue::Unit => Value::Null,
            LiteralValue::Bool(value) => (*value).into(),
            LiteralValue::Int(value) => (*value).into(),
            LiteralValue::Float(value) => (*value).into(),
            LiteralValue::String(value) => value.as_str().into(),
            LiteralValue::Array(items) => items.iter().map(Self::to_json).collect(),
            LiteralValue::Map(entries) => entries
                .iter()
                .map(|entry| (entry.key.clone(), entry.value.to_json()))
                .collect(),
        }
    }

    /// The script value.
    pub fn to_dynamic(&self) -> Dynamic {
        from_json(&self.to_json())
    }

    /// The text, if it is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            LiteralValue::String(text) => Some(text),
            _ => None,
        }
    }

    /// The entries, if it is a map.
    #[must_use]
    pub fn as_map(&self) -> Option<&[Entry]> {
        match &self.value {
            LiteralValue::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// The elements, if it is an array.
    #[must_use]
    pub fn as_array(&self) -> Option<&[Self]> {
        match &self.value {
            LiteralValue::Array(items) => Some(items),
            _ => None,
        }
    }

    /// The value as a message quotes it: short.
    #[must_use]
    pub fn shown(&self) -> String {
        match &self.value {
            LiteralValue::String(text) if text.chars().count() <= 60 => quoted(text),
            LiteralValue::String(_) => "a long string".to_owned(),
            LiteralValue::Array(_) => "an array".to_owned(),
            LiteralValue::Map(_) => "a map".to_owned(),
            LiteralValue::Unit => "()".to_owned(),
            LiteralValue::Bool(value) => value.to_string(),
            LiteralValue::Int(value) => value.to_string(),
            LiteralValue::Float(value) => format!("{value:?}"),
        }
    }

    /// An error about this value, at its place.
    pub(crate) fn error(&self, kind: &str, message: impl Into<String>) -> Error {
        Error::new(kind, message).at(self.at.clone())
    }
}

/// Refuse a key that nobody reads. `owner` is what has the key: ``the header``, ``parameter `keep` ``.
pub(crate) fn known_keys(entries: &[Entry], known: &[&str], owner: &str) -> Result<()> {
    match entries
        .iter()
        .find(|entry| !known.contains(&entry.key.as_str()))
    {
        None => Ok(()),
        Some(entry) => {
            let hint = match closest(&entry.key, known.iter().copied()) {
                Some(nearest) => format!("did you mean `{nearest}`?"),
                None => format!("it has {}", known.join(", ")),
            };
            Err(Error::new(
                "header.unknown_key",
                format!("{owner} has no key `{}`", entry.key),
            )
            .hint(hint)
            .at(entry.at.clone()))
        }
    }
}

/// Where an expression begins: a call with its namespace, a calculation with its first operand.
fn start(expr: &Expr) -> Position {
    match expr {
        Expr::FnCall(call, _) if call.is_qualified() => call.namespace.position(),
        Expr::FnCall(call, _) if call.is_operator_call() && call.args.len() == 2 => {
            start(&call.args[0])
        }
        _ => expr.start_position(),
    }
}

/// Constants that the parser keeps as values: decimals.
fn constant(value: &Dynamic) -> Option<LiteralValue> {
    let text = value.as_decimal().ok()?.to_string();
    text.parse().ok().map(LiteralValue::Float)
}

fn computed(expr: &Expr, at: Option<Location>) -> Error {
    let what = match expr {
        Expr::Variable(variable, ..) => format!("the variable `{}`", variable.1),
        Expr::InterpolatedString(..) => "a text with `${…}`".to_owned(),
        Expr::DynamicConstant(value, _) => format!("a {}", type_name(value)),
        Expr::FnCall(call, _) if matches!(call.name.as_str(), "Fn" | "curry") => {
            "a closure".to_owned()
        }
        Expr::FnCall(call, _) if call.is_operator_call() => {
            format!("a calculation with `{}`", call.name)
        }
        Expr::FnCall(call, _) if call.is_qualified() => {
            format!("a call of `{}::{}`", call.namespace, call.name)
        }
        Expr::FnCall(call, _) => format!("a call of `{}`", call.name),
        _ => "an expression".to_owned(),
    };
    Error::new(NOT_LITERAL, format!("the header holds {what}, which would have to be computed"))
        .hint("the header is read without running the runbook: write the value itself there, and compute below it")
        .at(at)
}

/// The header's call has something else than one map between its parentheses.
pub(crate) fn not_one_map(source: &str, position: Position) -> Error {
    Error::new(NOT_LITERAL, "the header takes one map: `runbook(#{ … })`")
        .hint("an empty one is `runbook(#{})`")
        .at(Location::of(source, position))
}
