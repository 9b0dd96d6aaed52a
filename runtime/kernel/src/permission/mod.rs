//! What a run may touch.
//!
//! The `needs` of the header say what a runbook may read and change; `ccrun.toml` can only narrow
//! that. A script without a header (the REPL, a one-liner) may do what the target allows.

use std::fmt;
use std::path::Path;

use indexmap::IndexMap;

use crate::effect::Effect;
use crate::error::{Error, Location, Result};
use crate::runbook::{Literal, LiteralValue};
use crate::value::{closest, quoted};

mod pattern;
mod recorder;

use pattern::Pattern;
pub use recorder::Recorder;

/// Capabilities with the resources that they reach: the value of `needs`.
///
/// ```text
/// needs: #{
///     pg: ["postgres"],                                  // read and change
///     fs: #{ read: ["config/**"], change: ["backups/"] },
///     http: "*",                                         // every host
/// }
/// ```
///
/// A pattern is a glob: `*` stays within one part of a path, `**` crosses `/`, and a folder with a
/// `/` at its end stands for everything in it. A resource that is a path (it begins with `/`) is
/// compared as an absolute path; patterns without a `/` in front start from a base folder.
#[derive(Debug, Clone, Default)]
pub struct Needs {
    grants: IndexMap<String, Grant>,
}

#[derive(Debug, Clone, Default)]
struct Grant {
    read: Patterns,
    change: Patterns,
    location: Option<Location>,
}

#[derive(Debug, Clone)]
enum Patterns {
    All,
    List(Vec<Pattern>),
}

impl Default for Patterns {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

/// The resource that asks whether anything of a capability is allowed at all: a primitive that learns only
/// while it runs what it touches declares this, and asks for the rest by `Cx::permit`. No path, host or name can be
/// this text.
pub const ANYTHING: &str = "\0";

const INVALID: &str = "header.needs";
const FORMS: &str =
    r#"write `["a", "b*"]`, `"*"` for everything, or `#{ read: ["a"], change: ["b"] }`"#;

impl Needs {
    /// Nothing at all: not even reading.
    #[must_use]
    pub fn nothing() -> Self {
        Self::default()
    }

    /// Read the value of `needs`. Relative patterns start from the working directory until
    /// [`Self::based_on`] says otherwise.
    ///
    /// # Errors
    /// `header.needs` at the value that does not fit.
    pub fn from_literal(literal: &Literal) -> Result<Self> {
        let entries = literal.as_map().ok_or_else(|| {
            literal
                .error(
                    INVALID,
                    format!("`needs` is a map, and not {}", literal.shown()),
                )
                .hint(r#"write `needs: #{ pg: ["postgres"] }`"#)
        })?;
        let mut grants = IndexMap::with_capacity(entries.len());
        for entry in entries {
            let mut grant = Grant::read(&entry.key, &entry.value)?;
            grant.location.clone_from(&entry.at);
            grants.insert(entry.key.clone(), grant);
        }
        let base = std::env::current_dir().unwrap_or_else(|_| "/".into());
        Ok(Self { grants }.based_on(&base))
    }

    /// Read `needs` of a target in `ccrun.toml`, which stands in `folder`.
    ///
    /// # Errors
    /// `header.needs`
    pub fn from_toml(value: &toml::Value, folder: &Path) -> Result<Self> {
        Self::from_literal(&Literal::from_toml(value)).map(|needs| needs.based_on(folder))
    }

    /// The same, with relative patterns starting from an absolute folder.
    #[must_use]
    pub fn based_on(mut self, folder: &Path) -> Self {
        for grant in self.grants.values_mut() {
            for patterns in [&mut grant.read, &mut grant.change] {
                if let Patterns::List(list) = patterns {
                    list.iter_mut().for_each(|pattern| pattern.base_on(folder));
                }
            }
        }
        self
    }

    /// Whether `effect` on `resource` is covered. To be told from a symbolic link, a path must come
    /// resolved; `..` in it is resolved here.
    #[must_use]
    pub fn allows(&self, capability: &str, effect: Effect, resource: &str) -> bool {
        match (effect, self.grants.get(capability)) {
            (Effect::Pure, _) => true,
            (_, None) => false,
            (_, Some(grant)) => grant.of(effect).allow(resource),
        }
    }

    /// The capabilities, with the place where each is declared.
    pub fn capabilities(&self) -> impl Iterator<Item = (&str, Option<&Location>)> {
        self.grants
            .iter()
            .map(|(name, grant)| (name.as_str(), grant.location.as_ref()))
    }

    /// The patterns for one effect: `None` where everything is covered.
    #[must_use]
    pub fn patterns(&self, capability: &str, effect: Effect) -> Option<Vec<&str>> {
        match self.grants.get(capability).map(|grant| grant.of(effect)) {
            None => Some(Vec::new()),
            Some(Patterns::All) => None,
            Some(Patterns::List(list)) => Some(list.iter().map(Pattern::text).collect()),
        }
    }

    /// The grant of a capability with one resource more: what a denied call would need.
    fn with(&self, capability: &str, effect: Effect, resource: &str) -> Shown {
        let mut shown = Shown::default();
        for one in [Effect::Read, Effect::Change] {
            let mut texts = self
                .patterns(capability, one)
                .map(|list| list.into_iter().map(str::to_owned).collect::<Vec<_>>());
            if one == effect
                && let Some(texts) = &mut texts
            {
                texts.push(match resource {
                    ANYTHING => "*".to_owned(),
                    named => globset::escape(named),
                });
            }
            match one {
                Effect::Read => shown.read = texts,
                _ => shown.change = texts,
            }
        }
        shown
    }
}

impl Grant {
    fn read(capability: &str, value: &Literal) -> Result<Self> {
        let owner = format!("`needs.{capability}`");
        if let Some(entries) = value.as_map() {
            let mut grant = Self::default();
            for entry in entries {
                let owner = format!("`needs.{capability}.{}`", entry.key);
                match entry.key.as_str() {
                    "read" => grant.read = Patterns::read(&entry.value, &owner)?,
                    "change" => grant.change = Patterns::read(&entry.value, &owner)?,
                    other => {
                        let hint = match closest(other, ["read", "change"]) {
                            Some(nearest) => format!("did you mean `{nearest}`?"),
                            None => "it has read and change".to_owned(),
                        };
                        return Err(Error::new(
                            "header.unknown_key",
                            format!("`needs.{capability}` has no key `{other}`"),
                        )
                        .hint(hint)
                        .at(entry.at.clone()));
                    }
                }
            }
            return Ok(grant);
        }
        let both = Patterns::read(value, &owner)?;
        Ok(Self {
            read: both.clone(),
            change: both,
            location: None,
        })
    }

    fn of(&self, effect: Effect) -> &Patterns {
        if effect == Effect::Change {
            &self.change
        } else {
            &self.read
        }
    }
}

impl Patterns {
    fn read(value: &Literal, owner: &str) -> Result<Self> {
        let wrong = |value: &Literal| {
            value
                .error(
                    INVALID,
                    format!("{owner} names resources, and not {}", value.shown()),
                )
                .hint(FORMS)
        };
        let compile = |value: &Literal| {
            let text = value
                .as_str()
                .filter(|text| !text.is_empty())
                .ok_or_else(|| wrong(value))?;
            Pattern::new(text).map_err(|why| {
                value.error(
                    INVALID,
                    format!("{owner}: {} is not a pattern: {why}", quoted(text)),
                )
            })
        };
        match &value.value {
            LiteralValue::Bool(true) => Ok(Self::All),
            LiteralValue::Bool(false) => Ok(Self::default()),
            LiteralValue::String(text) if text == "*" => Ok(Self::All),
            LiteralValue::String(_) => Ok(Self::List(vec![compile(value)?])),
            LiteralValue::Array(items) => items
                .iter()
                .map(compile)
                .collect::<Result<_>>()
                .map(Self::List),
            _ => Err(wrong(value)),
        }
    }

    fn allow(&self, resource: &str) -> bool {
        match self {
            Self::All => true,
            Self::List(patterns) if resource == ANYTHING => !patterns.is_empty(),
            Self::List(patterns) => patterns.iter().any(|pattern| pattern.matches(resource)),
        }
    }
}

/// All that decides about a call.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    header: Option<Needs>,
    target: Option<Needs>,
    target_name: Option<String>,
    denied: Option<Needs>,
}

impl Policy {
    /// What the header declares, and what the target allows at most. `header` is `None` for a
    /// script without a header; a header without `needs` is [`Needs::nothing`].
    #[must_use]
    pub fn new(header: Option<Needs>, target: Option<Needs>) -> Self {
        Self {
            header,
            target,
            ..Self::default()
        }
    }

    /// The folder from which the header's relative patterns start: the working directory of the run.
    #[must_use]
    pub fn based_at(mut self, folder: &Path) -> Self {
        self.header = self.header.map(|needs| needs.based_on(folder));
        self
    }

    /// The target's name, for messages.
    #[must_use]
    pub fn target_name(mut self, name: impl Into<String>) -> Self {
        self.target_name = Some(name.into());
        self
    }

    /// What is refused whatever else allows it.
    #[must_use]
    pub fn denying(mut self, denied: Needs) -> Self {
        self.denied = Some(denied);
        self
    }

    /// Whether a call may go on. [`ANYTHING`] asks whether anything of the capability is allowed: what it
    /// will be is asked when it is known.
    ///
    /// # Errors
    /// `permission_denied` with the line that would allow it.
    pub fn check(&self, capability: &str, effect: Effect, resource: &str) -> Result<()> {
        if effect == Effect::Pure {
            return Ok(());
        }
        let unknown = resource == ANYTHING;
        let shown = if unknown { "*" } else { resource };
        let refused = |why: &str, hint: String| {
            Err(Error::new(
                "permission_denied",
                format!("permission denied: {effect} {capability} {shown} ({why})"),
            )
            .hint(hint)
            .detail("capability", capability)
            .detail("effect", effect.name())
            .detail("resource", shown))
        };
        if !unknown
            && self
                .denied
                .as_ref()
                .is_some_and(|needs| needs.allows(capability, effect, resource))
        {
            return refused(
                "it is denied here, whatever the header says",
                "run it against a target that does not deny it".to_owned(),
            );
        }
        if let Some(header) = &self.header
            && !header.allows(capability, effect, resource)
        {
            let grant = header.with(capability, effect, resource);
            return refused(
                "the header does not declare it",
                format!("to allow it, write in the header: needs: #{{ {capability}: {grant} }}"),
            );
        }
        if let Some(target) = &self.target
            && !target.allows(capability, effect, resource)
        {
            let name = self.target_name.as_deref().unwrap_or("NAME");
            let grant = target.with(capability, effect, resource).toml();
            return refused(
                &self.target_name.as_deref().map_or_else(
                    || "the target does not allow it".to_owned(),
                    |name| format!("the target {name} does not allow it"),
                ),
                format!(
                    "to allow it, write in ccrun.toml under [target.{name}.needs]: {capability} = {grant}"
                ),
            );
        }
        Ok(())
    }
}

/// A grant as it is written; `None` is everything.
#[derive(Debug, Default, PartialEq, Eq)]
struct Shown {
    read: Option<Vec<String>>,
    change: Option<Vec<String>>,
}

impl Shown {
    fn written(&self, open: &str, assign: &str) -> String {
        let list = |patterns: &Option<Vec<String>>| match patterns {
            None => "\"*\"".to_owned(),
            Some(texts) => {
                let texts: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
                format!("[{}]", texts.join(", "))
            }
        };
        let empty = |patterns: &Option<Vec<String>>| patterns.as_ref().is_some_and(Vec::is_empty);
        if self.read == self.change {
            return list(&self.read);
        }
        let parts: Vec<String> = [("read", &self.read), ("change", &self.change)]
            .into_iter()
            .filter(|(_, patterns)| !empty(patterns))
            .map(|(name, patterns)| format!("{name}{assign}{}", list(patterns)))
            .collect();
        format!("{open} {} }}", parts.join(", "))
    }

    fn toml(&self) -> String {
        self.written("{", " = ")
    }
}

/// In the syntax of a header.
impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written("#{", ": "))
    }
}

#[cfg(test)]
mod tests;
