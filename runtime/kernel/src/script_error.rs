//! From Rhai's errors to ours: the innermost cause, where it stands, and what to do about it.

use rhai::{Dynamic, EvalAltResult as E, Map, ParseError, ParseErrorType, Position};

use crate::error::{Error, Location};

/// Read a script's error. `source` is the file for positions that do not name one.
pub fn read(error: &E, source: &str) -> Error {
    let mut source = source.to_owned();
    let mut innermost = error;
    loop {
        match innermost {
            E::ErrorInFunctionCall(_, file, inner, _) => {
                if !file.is_empty() {
                    source.clone_from(file);
                }
                innermost = inner;
            }
            E::ErrorInModule(file, inner, _) => {
                if !file.is_empty() {
                    source.clone_from(file);
                }
                innermost = inner;
            }
            _ => break,
        }
    }
    let position = innermost.position();
    interpret(innermost, position).at(Location::of(&source, position))
}

/// A syntax error.
#[must_use]
pub fn syntax(error: &ParseError, source: &str) -> Error {
    let hint = match error.err_type() {
        ParseErrorType::MissingToken(token, why) => Some(format!("write `{token}` {why}")),
        ParseErrorType::UnexpectedEOF => {
            Some("something opened above is not closed: a `{`, `(`, `[` or a string".to_owned())
        }
        ParseErrorType::Reserved(word) => {
            Some(format!("`{word}` is reserved: choose another name"))
        }
        ParseErrorType::VariableUndefined(name) => Some(format!("declare it: `let {name} = …;`")),
        _ => None,
    };
    let built = Error::new("syntax", format!("syntax error: {}", error.err_type()))
        .at(Location::of(source, error.position()));
    match hint {
        Some(hint) => built.hint(hint),
        None => built,
    }
}

fn interpret(error: &E, position: Position) -> Error {
    match error {
        E::ErrorRuntime(value, _) => thrown(value, position),
        E::ErrorTerminated(token, _) => token.clone().try_cast::<Error>().unwrap_or_else(|| {
            Error::new("terminated", "the script was ended")
        }),
        E::ErrorParsing(kind, at) => syntax(&ParseError(Box::new(kind.clone()), *at), ""),
        E::ErrorFunctionNotFound(signature, _) => Error::new(
            "script.function_not_found",
            format!("there is no function `{}` for these arguments", readable(signature)),
        )
        .hint("`ccrun check` names the nearest function; `ccrun doc` lists them all"),
        E::ErrorVariableNotFound(name, _) => {
            Error::new("script.variable_not_found", format!("there is no variable `{name}`"))
                .hint("a function (`fn`) sees only its parameters, `params` and constants")
        }
        E::ErrorPropertyNotFound(name, _) => {
            Error::new("script.property_not_found", format!("there is no property `{name}`"))
                .hint("`\"name\" in map` asks whether it is there; `keys(map)` lists what is")
        }
        E::ErrorModuleNotFound(name, _) => {
            Error::new("script.module_not_found", format!("there is no module `{name}`"))
                .hint("`import \"std/…\"` for the shipped library, `import \"lib/team\"` relative to this file")
        }
        E::ErrorMismatchDataType(expected, actual, _)
        | E::ErrorMismatchOutputType(expected, actual, _) => Error::new(
            "script.type",
            format!("expected {}, found {}", readable(expected), readable(actual)),
        ),
        E::ErrorTooManyOperations(_) => {
            limit("limit.operations", "the script ran too long without an end (operations limit)")
                .hint("look for a loop that does not end; raise it by `limits: #{ operations: … }` in the header")
        }
        E::ErrorStackOverflow(_) => {
            limit("limit.recursion", "functions call each other too deeply")
                .hint("look for a function that calls itself without an end")
        }
        E::ErrorDataTooLarge(what, _) => {
            limit("limit.size", format!("{} grew too large", what.to_lowercase()))
                .hint("stream it instead (`fs::each_line`, `db.each_row`, …), or build it in parts")
        }
        E::ErrorArrayBounds(length, index, _) => Error::new(
            "script.index",
            format!("index {index} is outside of the array, which has {length} elements"),
        ),
        E::ErrorAssignmentToConstant(name, _) => {
            Error::new("script.constant", format!("`{name}` is a constant and can't be assigned"))
        }
        E::ErrorDataRace(name, _) => Error::new(
            "script.data_race",
            format!("`{name}` is used by two closures at once"),
        )
        .hint("let each closure return its part and put the parts together afterwards"),
        E::ErrorSystem(text, inner) if text.is_empty() => {
            Error::new("script.failed", inner.to_string())
        }
        other => {
            let text = other.to_string();
            let text = text.split(" (line ").next().unwrap_or(&text).to_owned();
            Error::new("script.failed", text)
        }
    }
}

/// A limit cannot be caught: a script that hit one is not to be trusted with going on.
fn limit(kind: &str, message: impl Into<String>) -> Error {
    Error::new(kind, message).uncatchable()
}

/// What `throw` or a primitive threw.
fn thrown(value: &Dynamic, position: Position) -> Error {
    if let Some(map) = value.read_lock::<Map>() {
        let text = |key: &str| {
            map.get(key)
                .and_then(|v| v.clone().into_string().ok())
                .filter(|t| !t.is_empty())
        };
        let number = |key: &str| {
            map.get(key)
                .and_then(|v| v.as_int().ok())
                .and_then(|n| usize::try_from(n).ok())
        };
        let message = text("message")
            .or_else(|| text("error"))
            .unwrap_or_else(|| crate::value::literal(value, 400));
        let mut error = Error::new(text("kind").unwrap_or_else(|| "thrown".into()), message);
        if let Some(hint) = text("hint") {
            error = error.hint(hint);
        }
        if let Some(code) = text("code") {
            error = error.code(code);
        }
        error = error
            .retryable_if(
                map.get("retryable")
                    .is_some_and(|v| v.as_bool().unwrap_or(false)),
            )
            .in_step(text("step"));
        if let Some(details) = map.get("details")
            && let serde_json::Value::Object(details) = crate::value::to_json(details)
        {
            for (key, value) in details {
                error = error.detail(&key, value);
            }
        }
        if let (Some(source), Some(line)) = (text("source"), number("line")) {
            error = error.at(Some(Location {
                source,
                line,
                column: number("column").unwrap_or(1),
            }));
        }
        return error.with_thrown(value.clone(), position);
    }
    Error::new("thrown", crate::value::show(value)).with_thrown(value.clone(), position)
}

/// Type names as script authors know them.
fn readable(signature: &str) -> String {
    signature
        .replace(
            std::any::type_name::<crate::planned::Planned>(),
            crate::planned::NAME,
        )
        .replace(
            std::any::type_name::<crate::run::NotKept>(),
            crate::run::NotKept::NAME,
        )
        .replace("&str | ImmutableString | String", "string")
        .replace("alloc::string::String", "string")
        .replace("rhai::types::immutable_string::ImmutableString", "string")
        .replace("i64", "int")
        .replace("f64", "float")
}
