//! What is remembered between runs: which alerts are there, who was told of them, what is silenced.
//!
//! One file, replaced as a whole under a lock, so that two runs at once lose nothing of each other's.
#![allow(
    clippy::disallowed_methods,
    reason = "this is the client of the file on the disk"
)]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::PathBuf;

use ccrun_kernel::{Access, Client, Error, Result};
use serde::{Deserialize, Serialize};

use super::model::{Alert, Severity, fits};

/// The file, for one right.
pub struct Memory {
    folder: PathBuf,
    read_only: bool,
}

/// All that is remembered of a target.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// The alerts that are there, by key.
    pub open: BTreeMap<String, Known>,
    /// What is not told.
    pub silences: Vec<Silence>,
}

/// An alert that is there.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Known {
    /// Since when.
    pub since: jiff::Timestamp,
    /// How serious.
    pub severity: Severity,
    /// Where it comes from.
    pub source: String,
    /// What it is.
    pub title: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Whether somebody looks after it.
    #[serde(default)]
    pub acknowledged: bool,
    /// Who was told, and when last.
    #[serde(default)]
    pub told: BTreeMap<String, Told>,
}

/// What a channel was told last.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Told {
    /// When.
    pub at: jiff::Timestamp,
    /// How serious it was then.
    pub severity: Severity,
}

/// Alerts that are not told for a while.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Silence {
    /// Its name.
    pub id: String,
    /// Labels that an alert must have, `key`, `severity` and `source` among them; `*` stands for anything.
    pub matchers: BTreeMap<String, String>,
    /// Until when.
    pub until: jiff::Timestamp,
    /// Why.
    pub reason: String,
    /// Who says so.
    pub by: String,
    /// Where an Alertmanager knows it too: the channel, and its name there.
    #[serde(default)]
    pub there: BTreeMap<String, String>,
}

impl Silence {
    /// Whether it covers an alert now.
    #[must_use]
    pub fn covers(&self, alert: &Alert) -> bool {
        self.until > alert.now
            && self
                .matchers
                .iter()
                .all(|(name, pattern)| alert.label(name).is_some_and(|value| fits(pattern, value)))
    }
}

impl Client for Memory {
    async fn open(access: &Access) -> Result<Self> {
        // A name of a target is one part of a path, whatever is in it.
        let name: String = access
            .target()
            .name()
            .chars()
            .map(|c| {
                if c.is_alphanumeric() || "-_".contains(c) {
                    c
                } else {
                    '_'
                }
            })
            .collect();
        Ok(Self {
            folder: access.state().join("alerts").join(name),
            read_only: access.read_only(),
        })
    }
}

impl Memory {
    /// What is remembered.
    ///
    /// # Errors
    /// `alert.memory` if the file can't be read.
    pub fn read(&self) -> Result<State> {
        match fs::read(self.file()) {
            Ok(bytes) => {
                serde_json::from_slice(&bytes).map_err(|error| self.failed("read", &error))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(State::default()),
            Err(error) => Err(self.failed("read", &error)),
        }
    }

    /// Change what is remembered, while nobody else does.
    ///
    /// # Errors
    /// `read_only` where nothing may be changed, `alert.memory`.
    pub fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> Result<T> {
        if self.read_only {
            return Err(Error::new(
                "read_only",
                "nothing is remembered where nothing may change",
            )
            .hint("this is a dry run, or a primitive that only reads"));
        }
        let failed = |error: io::Error| self.failed("write", &error);
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)
            .map_err(failed)?;
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(self.folder.join("lock"))
            .map_err(failed)?;
        // Held for a few milliseconds by whoever has it; released when the file is closed.
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive)
            .map_err(|error| failed(error.into()))?;
        let mut state = self.read()?;
        let before = serde_json::to_vec(&state).unwrap_or_default();
        let value = change(&mut state);
        let now = jiff::Timestamp::now();
        state.silences.retain(|silence| silence.until > now);
        let text = serde_json::to_vec(&state).map_err(|error| self.failed("write", &error))?;
        if text == before {
            return Ok(value);
        }
        let temporary = self.folder.join("state.json.new");
        let mut file = File::options()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&temporary)
            .map_err(failed)?;
        file.write_all(&text).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        fs::rename(&temporary, self.file()).map_err(failed)?;
        File::open(&self.folder)
            .and_then(|folder| folder.sync_all())
            .map_err(failed)?;
        Ok(value)
    }

    fn file(&self) -> PathBuf {
        self.folder.join("state.json")
    }

    fn failed(&self, verb: &str, error: &dyn std::fmt::Display) -> Error {
        Error::new(
            "alert.memory",
            format!("can't {verb} {}: {error}", self.file().display()),
        )
        .hint("which alerts are there and what is silenced is kept there; if it is damaged, move it away")
    }
}
