//! The one error type of the kernel and of every primitive.
//!
//! An [`Error`] answers four questions: what happened (`message`), of which sort it is (`kind`, a
//! dotted name that scripts compare with), what to do now (`hint`), and whether trying again may
//! help (`retryable`). In a script it is a map: `catch (err) { if err.kind == "fs.not_found" { … } }`.

use std::fmt;

use rhai::{Dynamic, EvalAltResult, Map, Position};
use serde::{Deserialize, Serialize};

/// The result of everything that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Where in a script something happened. Lines and columns count from 1, columns in characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Location {
    /// The file, or a name such as `-e` or `repl`.
    pub source: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl Location {
    /// The location of a Rhai position in `source`, if the position says anything.
    #[must_use]
    pub fn of(source: &str, position: Position) -> Option<Self> {
        Some(Self {
            source: source.to_owned(),
            line: position.line()?,
            column: position.position().unwrap_or(1),
        })
    }

    /// The Rhai position.
    #[must_use]
    pub fn position(&self) -> Position {
        let small = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
        Position::new(small(self.line.max(1)), small(self.column))
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.source, self.line, self.column)
    }
}

/// Why a script is made to stop in a way that it cannot catch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stop {
    /// The operator pressed Ctrl-C, or the process was asked to end.
    Interrupted,
    /// The deadline of the scope with this number passed.
    Deadline(u64),
    /// The scope with this number was cancelled because a sibling failed.
    Cancelled(u64),
}

/// What went wrong, and what to do about it.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone, Default)]
struct Inner {
    kind: String,
    message: String,
    hint: Option<String>,
    retryable: bool,
    code: Option<String>,
    details: serde_json::Map<String, serde_json::Value>,
    location: Option<Location>,
    step: Option<String>,
    stop: Option<Stop>,
    uncatchable: bool,
    /// An exception of the script that only passes through native code, kept as it was thrown.
    thrown: Option<Thrown>,
}

/// A script exception in transit. Rhai's error is not `Clone`, so what matters of it is kept.
#[derive(Clone)]
struct Thrown {
    value: Dynamic,
    position: Position,
}

impl Error {
    /// An error of `kind` (`namespace.what`, for example `fs.not_found`) with a sentence for people.
    #[must_use]
    pub fn new(kind: impl Into<String>, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind: kind.into(),
            message: message.into(),
            ..Inner::default()
        }))
    }

    /// The error that ends a script from outside.
    #[must_use]
    pub fn stop(stop: Stop) -> Self {
        let mut error = match stop {
            Stop::Interrupted => Self::new("interrupted", "interrupted"),
            Stop::Deadline(_) => Self::new("timeout", "the deadline passed"),
            Stop::Cancelled(_) => Self::new(
                "cancelled",
                "cancelled because another part of the run failed",
            ),
        };
        error.0.stop = Some(stop);
        error
    }

    /// Say what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Say that the same call may succeed later.
    #[must_use]
    pub fn retryable(mut self) -> Self {
        self.0.retryable = true;
        self
    }

    /// Whether the same call may succeed later, where that is computed.
    #[must_use]
    pub fn retryable_if(mut self, retryable: bool) -> Self {
        self.0.retryable = retryable;
        self
    }

    /// The other system's own code: an SQLSTATE, an HTTP status, an `errno` name.
    #[must_use]
    pub fn code(mut self, code: impl Into<String>) -> Self {
        self.0.code = Some(code.into());
        self
    }

    /// One more fact for scripts and for `--output json`.
    #[must_use]
    pub fn detail(mut self, key: &str, value: impl Into<serde_json::Value>) -> Self {
        self.0.details.insert(key.to_owned(), value.into());
        self
    }

    /// Set the location unless a more precise one is known already.
    #[must_use]
    pub fn at(mut self, location: Option<Location>) -> Self {
        if self.0.location.is_none() {
            self.0.location = location;
        }
        self
    }

    /// Set the path of the step in which it happened unless it is known already.
    #[must_use]
    pub fn in_step(mut self, step: Option<String>) -> Self {
        if self.0.step.is_none() {
            self.0.step = step;
        }
        self
    }

    /// Replace the text of the message, hint and details (the redactor does).
    #[must_use]
    pub fn map_text(mut self, text: &dyn Fn(&str) -> String) -> Self {
        self.0.message = text(&self.0.message);
        self.0.hint = self.0.hint.as_deref().map(text);
        for value in self.0.details.values_mut() {
            map_json_text(value, text);
        }
        self
    }

    /// The dotted name.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.0.kind
    }

    /// The sentence for people.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What to do next, if anything is known.
    #[must_use]
    pub fn hint_text(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.0.retryable
    }

    /// Where in the script it happened.
    #[must_use]
    pub fn location(&self) -> Option<&Location> {
        self.0.location.as_ref()
    }

    /// The path of the step in which it happened.
    #[must_use]
    pub fn step(&self) -> Option<&str> {
        self.0.step.as_deref()
    }

    /// The further facts.
    #[must_use]
    pub fn details(&self) -> &serde_json::Map<String, serde_json::Value> {
        &self.0.details
    }

    /// The other system's own code.
    #[must_use]
    pub fn code_text(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    /// Why the script had to stop, if it did not fail by itself.
    #[must_use]
    pub fn stop_reason(&self) -> Option<Stop> {
        self.0.stop
    }

    /// The error as JSON, as it stands in events and in the journal.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "kind": self.0.kind, "message": self.0.message, "hint": self.0.hint,
            "retryable": self.0.retryable, "code": self.0.code, "details": self.0.details,
            "location": self.0.location, "step": self.0.step,
        })
    }

    /// The map that `catch (err)` receives.
    #[must_use]
    pub fn to_map(&self) -> Map {
        let text = |s: &Option<String>| s.clone().map_or(Dynamic::UNIT, Dynamic::from);
        let mut map = Map::new();
        map.insert("kind".into(), self.0.kind.clone().into());
        map.insert("message".into(), self.0.message.clone().into());
        map.insert("hint".into(), text(&self.0.hint));
        map.insert("retryable".into(), self.0.retryable.into());
        map.insert("code".into(), text(&self.0.code));
        map.insert(
            "details".into(),
            crate::value::from_json(&serde_json::Value::Object(self.0.details.clone())),
        );
        if let Some(at) = &self.0.location {
            map.insert("source".into(), at.source.clone().into());
            map.insert("line".into(), Dynamic::from(at.line as i64));
            map.insert("column".into(), Dynamic::from(at.column as i64));
        }
        if let Some(step) = &self.0.step {
            map.insert("step".into(), step.clone().into());
        }
        map
    }

    /// The Rhai error: a map that a script can catch, or a termination that it cannot.
    #[must_use]
    pub fn into_script(self, position: Position) -> Box<EvalAltResult> {
        if self.0.stop.is_some() || self.0.uncatchable {
            return Box::new(EvalAltResult::ErrorTerminated(
                Dynamic::from(self),
                position,
            ));
        }
        if let Some(thrown) = self.0.thrown {
            return Box::new(EvalAltResult::ErrorRuntime(thrown.value, thrown.position));
        }
        Box::new(EvalAltResult::ErrorRuntime(self.to_map().into(), position))
    }

    /// Read back what a script threw, or what the interpreter found wrong, wherever it was nested.
    #[must_use]
    pub fn from_script(error: &EvalAltResult, source: &str) -> Self {
        crate::script_error::read(error, source)
    }

    /// Whether a script could catch it.
    #[must_use]
    pub fn is_catchable(&self) -> bool {
        self.0.stop.is_none() && !self.0.uncatchable
    }

    /// Make sure that no script can catch it.
    pub(crate) fn uncatchable(mut self) -> Self {
        self.0.uncatchable = true;
        self
    }

    /// An exception thrown by the script itself, to be passed on unchanged.
    pub(crate) fn with_thrown(mut self, value: Dynamic, position: Position) -> Self {
        self.0.thrown = Some(Thrown { value, position });
        self
    }
}

fn map_json_text(value: &mut serde_json::Value, text: &dyn Fn(&str) -> String) {
    match value {
        serde_json::Value::String(s) => *s = text(s),
        serde_json::Value::Array(items) => items.iter_mut().for_each(|v| map_json_text(v, text)),
        serde_json::Value::Object(map) => map.values_mut().for_each(|v| map_json_text(v, text)),
        _ => {}
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.kind, self.0.message)
    }
}

impl std::error::Error for Error {}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        use std::io::ErrorKind as K;
        let (kind, hint) = match error.kind() {
            K::NotFound => ("io.not_found", None),
            K::PermissionDenied => (
                "io.permission_denied",
                Some("check the owner and mode of the file, and who ccrun runs as"),
            ),
            K::StorageFull | K::QuotaExceeded => (
                "io.disk_full",
                Some("free space on that file system (`df -h`), then run it again"),
            ),
            K::ReadOnlyFilesystem => (
                "io.read_only",
                Some("the file system is mounted read-only: `mount | grep ' ro'`"),
            ),
            K::AlreadyExists => ("io.already_exists", None),
            K::TimedOut => ("io.timeout", None),
            _ => ("io.failed", None),
        };
        let built = Self::new(kind, error.to_string());
        match hint {
            Some(hint) => built.hint(hint),
            None => built,
        }
    }
}
