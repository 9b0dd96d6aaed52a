//! What a dry run finds out: the changes it would make, and the reads that this rests on.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use parking_lot::Mutex;
use rhai::Dynamic;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{Error, Location, Result};
use crate::event::PlannedChange;
use crate::primitive::Primitive;

/// The plan of a dry run.
#[derive(Default)]
pub struct Plan {
    changes: Mutex<Vec<PlannedChange>>,
    reads: Mutex<Vec<ReadRecord>>,
    guesses: Mutex<HashSet<Option<Location>>>,
    /// The changes on whose success everything from here on depends.
    assumed: Mutex<Vec<u32>>,
    undos_of_steps: Mutex<HashMap<String, String>>,
    planned_values: AtomicBool,
    declined: AtomicU32,
}

/// One read that a plan rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadRecord {
    /// The primitive.
    pub primitive: String,
    /// Its arguments.
    pub args: String,
    /// A digest of what it answered.
    pub digest: String,
}

impl Plan {
    /// The changes so far.
    #[must_use]
    pub fn changes(&self) -> Vec<PlannedChange> {
        self.changes.lock().clone()
    }

    /// The reads so far.
    #[must_use]
    pub fn reads(&self) -> Vec<ReadRecord> {
        self.reads.lock().clone()
    }

    pub(crate) fn has_planned_values(&self) -> bool {
        self.planned_values.load(Ordering::Relaxed)
    }

    pub(crate) fn has_planned(&self) {
        self.planned_values.store(true, Ordering::Relaxed);
    }

    /// Number the change and keep it. One that changes nothing keeps the number 0.
    pub(crate) fn add(&self, mut change: PlannedChange) -> PlannedChange {
        change
            .depends_on
            .extend(self.assumed.lock().iter().copied());
        change.depends_on.sort_unstable();
        change.depends_on.dedup();
        let mut changes = self.changes.lock();
        if !change.preview.unchanged {
            let before = changes.iter().filter(|c| !c.preview.unchanged).count();
            change.number = u32::try_from(before + 1).unwrap_or(u32::MAX);
        }
        changes.push(change.clone());
        change
    }

    pub(crate) fn record_read(&self, primitive: &Primitive, args: &str, result: &Result<Dynamic>) {
        let answer = match result {
            Ok(value) => crate::value::to_json(value).to_string(),
            Err(error) => error.kind().to_owned(),
        };
        self.reads.lock().push(ReadRecord {
            primitive: primitive.path(),
            args: args.to_owned(),
            digest: hex::encode(&Sha256::digest(answer)[..8]),
        });
    }

    /// Whether to take a condition on `change` as true, and whether this assumption is new.
    pub(crate) fn guess(&self, change: u32, place: Option<Location>) -> (bool, bool) {
        let mut assumed = self.assumed.lock();
        let new = !assumed.contains(&change);
        if new {
            assumed.push(change);
        }
        (self.guesses.lock().insert(place), new)
    }

    pub(crate) fn set_undo_of_step(&self, step: &str, undo: &str) {
        self.undos_of_steps
            .lock()
            .insert(step.to_owned(), undo.to_owned());
    }

    /// The undo of the nearest step around, if one of them declares one.
    pub(crate) fn undo_of_step(&self, step: Option<&str>) -> Option<String> {
        let undos = self.undos_of_steps.lock();
        let mut path = step?;
        loop {
            if let Some(undo) = undos.get(path) {
                return Some(undo.clone());
            }
            path = path.rsplit_once('/')?.0;
        }
    }

    /// The number of the last planned change.
    pub(crate) fn last_number(&self) -> u32 {
        self.changes
            .lock()
            .iter()
            .map(|c| c.number)
            .max()
            .unwrap_or_default()
    }

    /// A number for a change that the operator declined, apart from those of the plan.
    pub(crate) fn next_declined(&self) -> u32 {
        self.declined.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Whether an error only says that a planned value has no content yet.
    #[must_use]
    pub fn explains(&self, error: &Error) -> bool {
        self.has_planned_values() && error.message().contains(crate::planned::NAME)
    }
}
