//! `ccrun.toml`: the targets.
//!
//! The kernel knows only what every target has (its name, whether it is protected, what it allows).
//! Everything else is a section that belongs to a namespace, which reads it by [`Target::section`].

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use crate::error::{Error, Result};
use crate::value::closest;

/// The file's name.
pub const FILE_NAME: &str = "ccrun.toml";

/// What `ccrun.toml` says, or what holds without one.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file, if there is one.
    pub path: Option<PathBuf>,
    /// Its folder, or the working directory.
    pub folder: PathBuf,
    table: Table,
}

/// A named environment.
#[derive(Debug, Clone)]
pub struct Target {
    name: String,
    folder: PathBuf,
    file: Option<PathBuf>,
    table: Table,
}

impl Config {
    /// The configuration for a working directory: the nearest `ccrun.toml` upwards from it.
    ///
    /// # Errors
    /// `config.unreadable`, `config.syntax`.
    pub fn find(from: &Path) -> Result<Self> {
        match from
            .ancestors()
            .map(|folder| folder.join(FILE_NAME))
            .find(|file| file.is_file())
        {
            Some(file) => Self::read(&file),
            None => Ok(Self {
                path: None,
                folder: from.to_owned(),
                table: Table::new(),
            }),
        }
    }

    /// Read one file.
    ///
    /// # Errors
    /// `config.unreadable`, `config.syntax`.
    pub fn read(file: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(file).map_err(|error| {
            Error::new(
                "config.unreadable",
                format!("can't read {}: {error}", file.display()),
            )
        })?;
        let table = text.parse::<Table>().map_err(|error| {
            Error::new(
                "config.syntax",
                format!(
                    "{} is not valid TOML: {}",
                    file.display(),
                    error.to_string().trim_end()
                ),
            )
        })?;
        Ok(Self {
            path: Some(file.to_owned()),
            folder: file.parent().unwrap_or(Path::new(".")).to_owned(),
            table,
        })
    }

    /// A value of the file's top level: `default_target`, `runbooks` …
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.table.get(key)
    }

    /// The names of the targets.
    #[must_use]
    pub fn target_names(&self) -> Vec<&str> {
        match self.targets() {
            Some(targets) => targets.keys().map(String::as_str).collect(),
            None => vec!["local"],
        }
    }

    /// The target with this name; without one: `default_target`, the only one there is, or `local`.
    ///
    /// # Errors
    /// `config.no_target`, `config.which_target`.
    pub fn target(&self, name: Option<&str>) -> Result<Target> {
        let Some(targets) = self.targets() else {
            return match name {
                None | Some("local") => Ok(self.make("local", Table::new())),
                Some(name) => Err(self.no_target(name)),
            };
        };
        let name = match (
            name,
            self.table.get("default_target").and_then(Value::as_str),
        ) {
            (Some(name), _) | (None, Some(name)) => name,
            (None, None) if targets.len() == 1 => {
                targets.keys().next().map_or("local", String::as_str)
            }
            (None, None) if targets.contains_key("local") => "local",
            (None, None) => {
                return Err(Error::new(
                    "config.which_target",
                    format!("which target? There are {}", self.target_names().join(", ")),
                )
                .hint("say `--target NAME`, or set `default_target = \"NAME\"` in ccrun.toml"));
            }
        };
        match targets.get(name) {
            Some(Value::Table(table)) => Ok(self.make(name, table.clone())),
            Some(_) => Err(Error::new(
                "config.syntax",
                format!("`target.{name}` must be a table: `[target.{name}]`"),
            )),
            None if name == "local" => Ok(self.make("local", Table::new())),
            None => Err(self.no_target(name)),
        }
    }

    fn targets(&self) -> Option<&Table> {
        self.table
            .get("target")
            .and_then(Value::as_table)
            .filter(|table| !table.is_empty())
    }

    fn make(&self, name: &str, table: Table) -> Target {
        Target {
            name: name.to_owned(),
            folder: self.folder.clone(),
            file: self.path.clone(),
            table,
        }
    }

    fn no_target(&self, name: &str) -> Error {
        let names = self.target_names();
        let hint = match (closest(name, names.iter().copied()), &self.path) {
            (Some(nearest), _) => format!("did you mean `{nearest}`?"),
            (None, Some(_)) => format!("there are {}", names.join(", ")),
            (None, None) => {
                format!("there is no ccrun.toml here: add one with `[target.{name}]`")
            }
        };
        Error::new("config.no_target", format!("there is no target `{name}`")).hint(hint)
    }
}

impl Target {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The folder that its relative paths start from.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether a change needs a typed confirmation.
    #[must_use]
    pub fn is_protected(&self) -> bool {
        self.table
            .get("protect")
            .and_then(Value::as_bool)
            .unwrap_or(false)
    }

    /// The section `key`, if the target has one.
    ///
    /// # Errors
    /// `config.section` naming the key that does not fit.
    pub fn section<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        let Some(value) = self.table.get(key) else {
            return Ok(None);
        };
        value.clone().try_into().map(Some).map_err(|error| {
            Error::new(
                "config.section",
                format!(
                    "{}: [target.{}] {key}: {}",
                    self.file
                        .as_deref()
                        .unwrap_or(Path::new(FILE_NAME))
                        .display(),
                    self.name,
                    error.to_string().trim_end()
                ),
            )
        })
    }

    /// The section as it stands in the file.
    #[must_use]
    pub fn raw(&self, key: &str) -> Option<&Value> {
        self.table.get(key)
    }

    /// Refuse keys that nobody reads: a typo in `protect` must not unprotect.
    ///
    /// # Errors
    /// `config.unknown_key` with the nearest key.
    pub fn check_keys(&self, known: &[&str]) -> Result<()> {
        match self.table.keys().find(|key| !known.contains(&key.as_str())) {
            None => Ok(()),
            Some(key) => {
                let hint = closest(key, known.iter().copied()).map_or_else(
                    || format!("a target has {}", known.join(", ")),
                    |nearest| format!("did you mean `{nearest}`?"),
                );
                Err(Error::new(
                    "config.unknown_key",
                    format!("[target.{}] has the unknown key `{key}`", self.name),
                )
                .hint(hint))
            }
        }
    }
}
