//! The environment that a program is started with.

use ccrun_kernel::rhai::{Dynamic, Map};
use ccrun_kernel::secret::Secret;
use ccrun_kernel::{FromArg, MaybeSecret, Mismatch};

use super::command::word;

/// Variables that a script sets (or, with `()`, takes away) for one program.
#[derive(Clone, Default)]
pub struct Environment {
    variables: Vec<(String, Option<MaybeSecret>)>,
}

/// What a program inherits. Not everything: the environment of a service or a CI job is full of
/// secrets that are none of its business.
const INHERITED: [&str; 15] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LANGUAGE",
    "TZ",
    "TERM",
    "TMPDIR",
    "XDG_RUNTIME_DIR",
    "XDG_CONFIG_HOME",
    "SSH_AUTH_SOCK",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];

/// Whether a program inherits the variable of this name.
#[must_use]
pub fn is_inherited(name: &str) -> bool {
    INHERITED.contains(&name) || name.starts_with("LC_")
}

impl Environment {
    /// The variables with their values; `None` takes one away.
    pub fn variables(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.variables
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_ref().map(MaybeSecret::expose)))
    }

    /// The same with one more variable.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let value = MaybeSecret::Plain(value.into());
        self.variables.push((name.into(), Some(value)));
        self
    }

    /// The names, for a preview.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        self.variables
            .iter()
            .map(|(name, _)| name.as_str())
            .collect()
    }
}

impl FromArg for Environment {
    fn type_name() -> String {
        "map of string or Secret".into()
    }

    fn from_arg(value: Dynamic) -> Result<Self, Mismatch> {
        let mut variables = Vec::new();
        for (name, value) in Map::from_arg(value)? {
            if name.is_empty() || name.contains(['=', '\0']) {
                return Err(Mismatch::Value(format!(
                    "{name:?} can't be the name of a variable"
                )));
            }
            let value = if value.is_unit() {
                None
            } else if value.is::<Secret>() {
                Some(MaybeSecret::from_arg(value)?)
            } else {
                Some(MaybeSecret::Plain(
                    word(value).map_err(|m| m.inside(name.to_string()))?,
                ))
            };
            variables.push((name.to_string(), value));
        }
        Ok(Self { variables })
    }
}
