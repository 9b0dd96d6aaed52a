//! `--record-needs`: the least header that a run needed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use super::Shown;
use crate::effect::Effect;

/// Collects what a run used.
#[derive(Debug)]
pub struct Recorder {
    base: PathBuf,
    used: Mutex<BTreeMap<String, Used>>,
}

#[derive(Debug, Default)]
struct Used {
    read: BTreeSet<String>,
    change: BTreeSet<String>,
}

impl Recorder {
    /// Nothing used yet. Paths inside of `base` are written relative to it, so that the header
    /// works on another machine.
    #[must_use]
    pub fn new(base: impl Into<PathBuf>) -> Self {
        Self {
            base: base.into(),
            used: Mutex::default(),
        }
    }

    /// This was used. What stands for anything was only asked about.
    pub fn record(&self, capability: &str, effect: Effect, resource: &str) {
        if resource == super::ANYTHING {
            return;
        }
        let resource = globset::escape(self.relative(resource));
        let mut used = self.used.lock();
        let entry = used.entry(capability.to_owned()).or_default();
        match effect {
            Effect::Pure => {}
            Effect::Read => drop(entry.read.insert(resource)),
            Effect::Change => drop(entry.change.insert(resource)),
        }
    }

    /// The line for the header: `needs: #{ … },`. Capabilities and resources are sorted, so that two
    /// recordings of the same run are the same.
    #[must_use]
    pub fn header(&self) -> String {
        let used = self.used.lock();
        let lines: String = used
            .iter()
            .filter(|(_, used)| !used.read.is_empty() || !used.change.is_empty())
            .map(|(capability, used)| {
                let list = |set: &BTreeSet<String>| Some(set.iter().cloned().collect());
                let shown = Shown {
                    read: list(&used.read),
                    change: list(&used.change),
                };
                format!("    {capability}: {shown},\n")
            })
            .collect();
        if lines.is_empty() {
            "needs: #{},".to_owned()
        } else {
            format!("needs: #{{\n{lines}}},")
        }
    }

    fn relative<'a>(&self, resource: &'a str) -> &'a str {
        let inside = Path::new(resource)
            .strip_prefix(&self.base)
            .ok()
            .and_then(Path::to_str);
        match inside {
            Some(path) if !path.is_empty() && resource.starts_with('/') => path,
            _ => resource,
        }
    }
}
