//! Literal arguments: keys of options maps, and values of a type that is not taken.

use std::sync::Arc;

use rhai::{Expr, Position};

use super::catalog::Catalog;
use super::file::{File, aligned};
use super::finding::Report;
use super::resolve::Target;
use crate::primitive::{OptionField, Primitive};
use crate::value::{Duration, Size};

/// Something wrong with an argument.
struct Problem {
    rule: &'static str,
    position: Position,
    message: String,
    /// The name that was written, and those that there are.
    names: Option<(String, Vec<&'static str>)>,
    suggestion: String,
}

pub fn check(file: &File<'_, '_, '_>, report: &mut Report<'_>) {
    for (call, target) in file.facts.calls.iter().zip(file.targets) {
        let Target::Primitives {
            candidates,
            certain: true,
        } = target
        else {
            continue;
        };
        // It is well if one of the functions that may be meant takes the arguments.
        let mut problems: Vec<Vec<Problem>> = candidates
            .iter()
            .map(|primitive| problems(file.catalog, primitive, call.args, call.position))
            .collect();
        if problems.iter().any(Vec::is_empty) {
            continue;
        }
        for problem in problems.swap_remove(0) {
            let finding = report.add(problem.rule, problem.position, problem.message);
            match problem.names {
                Some((name, known)) => {
                    finding.nearest(&name, known.iter().copied(), || problem.suggestion);
                }
                None => {
                    finding.suggest(problem.suggestion);
                }
            }
        }
    }
}

fn problems(
    catalog: &Catalog<'_>,
    primitive: &Arc<Primitive>,
    args: &[Expr],
    call: Position,
) -> Vec<Problem> {
    let path = primitive.path();
    let mut problems = Vec::new();
    for (param, arg) in aligned(primitive, args) {
        let Some(arg) = arg else { continue };
        match (&param.fields, arg) {
            (Some(fields), Expr::Map(map, position)) => {
                options(catalog, &path, fields, &map.0, *position, &mut problems);
            }
            (Some(_), other) => {
                if let Some(found) = literal_type(other).filter(|found| *found != "()") {
                    problems.push(Problem {
                        rule: "wrong-type",
                        position: place(other, call),
                        message: format!(
                            "`{}` of {path} is a map of options, not {}",
                            param.name,
                            with_article(found)
                        ),
                        names: None,
                        suggestion: format!("it is `{}`", primitive.signature()),
                    });
                }
            }
            (None, arg) => {
                if let Err((part, why)) = fits(catalog, &param.type_name, arg) {
                    problems.push(Problem {
                        rule: "wrong-type",
                        position: place(part, call),
                        message: format!("`{}` of {path}: {why}", param.name),
                        names: None,
                        suggestion: format!("it is `{}`", primitive.signature()),
                    });
                }
            }
        }
    }
    problems
}

fn options(
    catalog: &Catalog<'_>,
    path: &str,
    fields: &[OptionField],
    entries: &[(rhai::Ident, Expr)],
    position: Position,
    problems: &mut Vec<Problem>,
) {
    for (key, value) in entries {
        let name = key.as_str();
        let Some(field) = fields.iter().find(|field| field.name == name) else {
            let known: Vec<&'static str> = fields.iter().map(|field| field.name).collect();
            problems.push(Problem {
                rule: "unknown-option",
                position: key.pos,
                message: format!("{path} has no option `{name}`"),
                suggestion: format!("it takes {}", known.join(", ")),
                names: Some((name.to_owned(), known)),
            });
            continue;
        };
        if let Err((part, why)) = fits(catalog, &field.type_name, value) {
            let doc = field.doc.lines().next().unwrap_or_default();
            problems.push(Problem {
                rule: "wrong-option",
                position: place(part, key.pos),
                message: format!("option `{name}` of {path}: {why}"),
                names: None,
                suggestion: match example(&field.type_name) {
                    Some(example) => format!("write `{name}: {example}`"),
                    None => doc.to_owned(),
                },
            });
        }
    }
    for field in fields.iter().filter(|field| field.required) {
        if !entries.iter().any(|(key, _)| key.as_str() == field.name) {
            problems.push(Problem {
                rule: "missing-option",
                position,
                message: format!(
                    "{path} needs the option `{}` ({})",
                    field.name, field.type_name
                ),
                names: None,
                suggestion: field.doc.lines().next().unwrap_or_default().to_owned(),
            });
        }
    }
}

/// The place of an expression; closures and blocks may have none.
fn place(expr: &Expr, otherwise: Position) -> Position {
    let position = expr.start_position();
    if position.is_none() {
        otherwise
    } else {
        position
    }
}

/// The type of a literal, as script authors know it.
pub fn literal_type(expr: &Expr) -> Option<&'static str> {
    match expr {
        Expr::BoolConstant(..) => Some("bool"),
        Expr::IntegerConstant(..) => Some("int"),
        Expr::FloatConstant(..) => Some("float"),
        Expr::CharConstant(..) => Some("char"),
        Expr::StringConstant(..) | Expr::InterpolatedString(..) => Some("string"),
        Expr::Array(..) => Some("array"),
        Expr::Map(..) => Some("map"),
        Expr::Unit(_) => Some("()"),
        Expr::DynamicConstant(value, _) if value.is_fnptr() => Some("closure"),
        Expr::FnCall(call, _) if call.name == "-" && call.args.len() == 1 => {
            literal_type(&call.args[0]).filter(|found| matches!(*found, "int" | "float"))
        }
        _ => None,
    }
}

/// What does not fit, and why.
type Misfit<'e> = (&'e Expr, String);

/// Whether a literal can be a value of this type. What is no literal always can.
fn fits<'e>(catalog: &Catalog<'_>, wanted: &str, expr: &'e Expr) -> Result<(), Misfit<'e>> {
    let Some(found) = literal_type(expr) else {
        return Ok(());
    };
    // `()` is how a script says that an optional value is not given.
    if found == "()" {
        return Ok(());
    }
    let right = match wanted {
        "bool" | "int" | "string" | "map" | "array" | "closure" => found == wanted,
        "float" => matches!(found, "float" | "int"),
        "duration" | "size" => return quantity(wanted, found, expr).map_err(|why| (expr, why)),
        "string or blob" | "string or Secret" => found == "string",
        "blob" | "Secret" | "Timestamp" | "decimal" => false,
        other => match (
            other.strip_prefix("array of "),
            other.starts_with("map of "),
            expr,
        ) {
            (Some(element), _, Expr::Array(items, _)) => {
                return items
                    .iter()
                    .try_for_each(|item| fits(catalog, element, item));
            }
            (Some(_), ..) => false,
            (None, true, _) => found == "map",
            // Of other types it is known only that a handle can't be written down.
            (None, false, _) => !catalog.is_object(other),
        },
    };
    if right {
        Ok(())
    } else {
        Err((expr, not(wanted, found)))
    }
}

fn quantity(wanted: &str, found: &str, expr: &Expr) -> Result<(), String> {
    match (expr, wanted) {
        (Expr::StringConstant(text, _), "duration") => text
            .parse::<Duration>()
            .map(drop)
            .map_err(|error| error.message().to_owned()),
        (Expr::StringConstant(text, _), _) => text
            .parse::<Size>()
            .map(drop)
            .map_err(|error| error.message().to_owned()),
        (Expr::InterpolatedString(..), _) => Ok(()),
        (_, "size") if found == "int" => Ok(()),
        _ => Err(not(wanted, found)),
    }
}

fn not(wanted: &str, found: &str) -> String {
    format!("expected {wanted}, found {found}")
}

fn with_article(noun: &str) -> String {
    match noun.starts_with(['a', 'e', 'i', 'o', 'u']) {
        true => format!("an {noun}"),
        false => format!("a {noun}"),
    }
}

fn example(type_name: &str) -> Option<&'static str> {
    match type_name {
        "duration" => Some("\"5m\""),
        "size" => Some("\"64MiB\""),
        "bool" => Some("true"),
        _ => None,
    }
}
