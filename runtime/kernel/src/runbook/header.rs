//! The header: `runbook(#{ … })`, the first statement of a runbook.

use super::literal::{Entry, Literal, LiteralValue, known_keys, not_one_map};
use super::params::ParamSpec;
use super::trigger::Trigger;
use crate::error::{Error, Location, Result};
use crate::permission::Needs;
use crate::value::Duration;
use indexmap::IndexMap;
use rhai::{AST, ASTNode, Expr, FnCallExpr, Position, Stmt};

/// What a runbook says of itself.
#[derive(Debug, Clone, Default)]
pub struct Header {
    /// The parameters, in the order of the source.
    pub params: IndexMap<String, ParamSpec>,
    /// What the runbook may touch. A header without `needs` may touch nothing.
    pub needs: Option<Needs>,
    /// What starts it unattended.
    pub on: Vec<Trigger>,
    /// The name of the lock that it holds while it runs.
    pub lock: Option<String>,
    /// Limits that differ from the usual ones.
    pub limits: Option<Limits>,
    /// How long the whole run may take.
    pub timeout: Option<Duration>,
    /// What it is for, where the `//!` comment does not say.
    pub description: Option<String>,
    /// For finding it.
    pub tags: Vec<String>,
    /// Where the header stands.
    pub location: Option<Location>,
}

/// Limits on what the script itself may use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// The greatest number of operations of the interpreter.
    pub operations: Option<u64>,
}

const KEYS: [&str; 8] = [
    "params",
    "needs",
    "on",
    "lock",
    "limits",
    "timeout",
    "description",
    "tags",
];
const INVALID: &str = "header.invalid";

/// Find and read the header.
pub(super) fn read(ast: &AST, source: &str) -> Result<Option<Header>> {
    let first = ast
        .statements()
        .iter()
        .find(|statement| !statement.is_noop());
    let header = first.and_then(header_call);
    let others = calls(ast);
    let Some((call, position)) = header else {
        return match others.first() {
            None => Ok(None),
            Some(position) => Err(not_first(source, *position, first)),
        };
    };
    if let Some(second) = others.iter().find(|other| **other != position) {
        return Err(Error::new(
            "header.twice",
            "a runbook has one header, and this is a second one",
        )
        .hint("put its keys into the first one")
        .at(Location::of(source, *second)));
    }
    let [argument] = &call.args[..] else {
        return Err(not_one_map(source, position));
    };
    let literal = Literal::from_expr(argument, source)?;
    let Some(entries) = literal.as_map() else {
        return Err(not_one_map(source, argument.start_position()));
    };
    let mut header = from_entries(entries)?;
    header.location = Location::of(source, position);
    Ok(Some(header))
}

fn header_call(statement: &Stmt) -> Option<(&FnCallExpr, Position)> {
    match statement {
        Stmt::FnCall(call, position) => Some((&**call, *position)),
        Stmt::Expr(expr) => match &**expr {
            Expr::FnCall(call, position) => Some((&**call, *position)),
            _ => None,
        },
        _ => None,
    }
    .filter(|(call, _)| is_header(call))
}

fn is_header(call: &FnCallExpr) -> bool {
    call.name == "runbook" && !call.is_qualified()
}

/// The places of all calls of `runbook`, also inside of functions and closures.
fn calls(ast: &AST) -> Vec<Position> {
    let mut found = Vec::new();
    ast.walk(&mut |path: &[ASTNode<'_>]| {
        match path.last() {
            Some(ASTNode::Stmt(Stmt::FnCall(call, position))) if is_header(call) => {
                found.push(*position);
            }
            Some(ASTNode::Expr(Expr::FnCall(call, position))) if is_header(call) => {
                found.push(*position);
            }
            _ => {}
        }
        true
    });
    found.sort_unstable_by_key(|position| (position.line(), position.position()));
    found.dedup();
    found
}

fn not_first(source: &str, position: Position, first: Option<&Stmt>) -> Error {
    let before = first.and_then(|statement| statement.position().line());
    let message = match before {
        Some(line) if Some(line) != position.line() => {
            format!("the header must be the first statement, and line {line} comes before it")
        }
        _ => "the header must be the first statement, and one of its own".to_owned(),
    };
    Error::new("header.not_first", message)
        .hint("move `runbook(#{ … });` to the top: only comments may stand above it")
        .at(Location::of(source, position))
}

fn from_entries(entries: &[Entry]) -> Result<Header> {
    known_keys(entries, &KEYS, "the header")?;
    let mut header = Header::default();
    for Entry { key, value, .. } in entries {
        match key.as_str() {
            "params" => header.params = params(value)?,
            "needs" => header.needs = Some(Needs::from_literal(value)?),
            "on" => header.on = triggers(value)?,
            "lock" => header.lock = Some(name(value, key)?),
            "limits" => header.limits = Some(limits(value)?),
            "timeout" => header.timeout = Some(timeout(value)?),
            "description" => header.description = Some(text(value, key)?),
            "tags" => header.tags = tags(value)?,
            _ => {}
        }
    }
    for trigger in &header.on {
        trigger.fits(&header.params)?;
    }
    Ok(header)
}

fn wrong(value: &Literal, key: &str, wanted: &str) -> Error {
    value.error(
        INVALID,
        format!(
            "`{key}` in the header is {wanted}, and not {}",
            value.shown()
        ),
    )
}

fn text(value: &Literal, key: &str) -> Result<String> {
    value
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| wrong(value, key, "a text"))
}

fn name(value: &Literal, key: &str) -> Result<String> {
    let text = text(value, key)?;
    if text.trim().is_empty() {
        Err(wrong(value, key, "a name"))
    } else {
        Ok(text)
    }
}

fn params(value: &Literal) -> Result<IndexMap<String, ParamSpec>> {
    let entries = value.as_map().ok_or_else(|| {
        wrong(value, "params", "a map of parameters")
            .hint(r#"write `params: #{ NAME: #{ type: "string", help: "…" } }`"#)
    })?;
    entries
        .iter()
        .map(|entry| Ok((entry.key.clone(), ParamSpec::from_literal(entry)?)))
        .collect()
}

fn triggers(value: &Literal) -> Result<Vec<Trigger>> {
    let example = r#"write `on: [ #{ schedule: "0 2 * * *", timezone: "UTC" } ]`"#;
    let items = match &value.value {
        LiteralValue::Array(items) => items.as_slice(),
        LiteralValue::Map(_) => std::slice::from_ref(value),
        _ => return Err(wrong(value, "on", "an array of triggers").hint(example)),
    };
    items
        .iter()
        .map(|item| match item.as_map() {
            Some(entries) => Trigger::from_literal(item, entries),
            None => Err(wrong(item, "on", "an array of maps").hint(example)),
        })
        .collect()
}

fn limits(value: &Literal) -> Result<Limits> {
    let entries = value.as_map().ok_or_else(|| {
        wrong(value, "limits", "a map").hint("write `limits: #{ operations: 10_000_000 }`")
    })?;
    known_keys(entries, &["operations"], "`limits` in the header")?;
    let mut limits = Limits::default();
    for Entry { key, value, .. } in entries {
        match value.value {
            LiteralValue::Int(number) if number > 0 => {
                limits.operations = u64::try_from(number).ok();
            }
            _ => return Err(wrong(value, &format!("limits.{key}"), "an int above 0")),
        }
    }
    Ok(limits)
}

fn timeout(value: &Literal) -> Result<Duration> {
    let wanted = r#"a duration such as "30m" or "2h""#;
    let text = value
        .as_str()
        .ok_or_else(|| wrong(value, "timeout", wanted))?;
    let duration: Duration = text.parse().map_err(|error: Error| {
        value.error(
            INVALID,
            format!("`timeout` in the header: {}", error.message()),
        )
    })?;
    if duration <= Duration::ZERO {
        Err(wrong(value, "timeout", wanted))
    } else {
        Ok(duration)
    }
}

fn tags(value: &Literal) -> Result<Vec<String>> {
    let items = value
        .as_array()
        .ok_or_else(|| wrong(value, "tags", "an array of texts"))?;
    items.iter().map(|item| name(item, "tags")).collect()
}
