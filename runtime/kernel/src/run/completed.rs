//! The steps that are done: those of this attempt, and those that earlier attempts left.

use std::collections::HashMap;

use parking_lot::Mutex;
use rhai::{Dynamic, Position};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::error::Result;
use crate::journal::{DeferredRow, StepKey};
use crate::primitive::script_type_name;
use crate::runbook::step_bodies;
use crate::value;

/// A step that an earlier attempt completed.
#[derive(Debug, Clone)]
pub struct Earlier {
    /// Which.
    pub key: StepKey,
    /// A hash of the step's text.
    pub body: String,
    /// What it returned, if that could be kept.
    pub result: Option<Value>,
    /// Whether it could.
    pub kept: bool,
    /// The value itself, for going on in the same process.
    pub live: Option<Dynamic>,
}

/// What to do with a completed step whose text or inputs are no longer the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnChanged {
    /// Ask; without a terminal refuse.
    #[default]
    Ask,
    /// Run it again.
    Rerun,
    /// Keep its result.
    Reuse,
}

/// What earlier attempts of a run left.
#[derive(Debug, Clone, Default)]
pub struct Resume {
    /// Whether this is a later attempt at all.
    pub resumed: bool,
    /// The completed steps.
    pub steps: Vec<Earlier>,
    /// The answers given, by step path and question.
    pub answers: HashMap<String, Value>,
    /// Run this step and everything after it again.
    pub from: Option<String>,
    /// What to do with changed steps.
    pub on_changed: OnChanged,
    /// The deferred actions that did not run.
    pub deferred: Vec<DeferredRow>,
}

/// How a step stands to earlier attempts.
#[derive(Debug)]
pub enum Standing {
    /// Never completed.
    New,
    /// Completed as it is now.
    Same(Earlier),
    /// Completed, but with another text or other inputs.
    Changed {
        /// The earlier one.
        earlier: Earlier,
        /// `text` or `inputs`.
        what: &'static str,
    },
}

/// The completed steps of a run.
pub struct Completed {
    state: Mutex<State>,
    on_changed: OnChanged,
    from: Option<String>,
}

#[derive(Default)]
struct State {
    resumed: bool,
    earlier: Vec<Earlier>,
    occurrences: HashMap<(String, String), u32>,
    answers: HashMap<String, Value>,
    deferred: Vec<DeferredRow>,
    from_reached: bool,
    skipped: Vec<String>,
    /// The hashes of the texts of all `step(…)` calls, by file, line and column.
    bodies: HashMap<(String, usize, usize), String>,
}

impl Completed {
    pub(crate) fn new(resume: Resume) -> Self {
        Self {
            state: Mutex::new(State {
                resumed: resume.resumed,
                earlier: resume.steps,
                occurrences: HashMap::new(),
                answers: resume.answers,
                deferred: resume.deferred,
                from_reached: false,
                skipped: Vec::new(),
                bodies: HashMap::new(),
            }),
            on_changed: resume.on_changed,
            from: resume.from,
        }
    }

    /// Learn the texts of the steps of a file.
    pub(crate) fn set_bodies(&self, name: &str, source: &str) {
        let mut state = self.state.lock();
        for body in step_bodies(source) {
            let line = body.position.line().unwrap_or_default();
            let column = body.position.position().unwrap_or_default();
            state
                .bodies
                .insert((name.to_owned(), line, column), body.hash);
        }
    }

    /// The hash of the text of the call that stands there. The same text has the same hash wherever
    /// it moves to.
    pub(crate) fn body_at(&self, source: &str, position: Position) -> String {
        let line = position.line().unwrap_or_default();
        let column = position.position().unwrap_or_default();
        self.state
            .lock()
            .bodies
            .get(&(source.to_owned(), line, column))
            .cloned()
            .unwrap_or_default()
    }

    pub(crate) fn on_changed(&self) -> OnChanged {
        self.on_changed
    }

    /// The key of a step that begins now.
    pub(crate) fn key(&self, path: &str, inputs: &str) -> StepKey {
        let mut state = self.state.lock();
        let count = state
            .occurrences
            .entry((path.to_owned(), inputs.to_owned()))
            .or_insert(0);
        let occurrence = *count;
        *count += 1;
        StepKey {
            path: path.to_owned(),
            inputs: inputs.to_owned(),
            occurrence,
        }
    }

    /// How the step stands to earlier attempts. Each earlier step answers once.
    pub(crate) fn standing(&self, key: &StepKey, body: &str) -> Standing {
        let mut state = self.state.lock();
        if !state.resumed {
            return Standing::New;
        }
        if let Some(from) = &self.from
            && (state.from_reached
                || key.path == *from
                || key.path.starts_with(&format!("{from}/")))
        {
            state.from_reached = true;
            return Standing::New;
        }
        if let Some(index) = state.earlier.iter().position(|e| e.key == *key) {
            let earlier = state.earlier.remove(index);
            return if earlier.body == body {
                Standing::Same(earlier)
            } else {
                Standing::Changed {
                    earlier,
                    what: "text",
                }
            };
        }
        // The same step with other inputs, if there is no doubt which it was.
        let same_path: Vec<usize> = (0..state.earlier.len())
            .filter(|i| state.earlier[*i].key.path == key.path)
            .collect();
        match same_path[..] {
            [index] => Standing::Changed {
                earlier: state.earlier.remove(index),
                what: "inputs",
            },
            _ => Standing::New,
        }
    }

    /// Remember a step of this attempt, for going on after a failure within the same process.
    pub(crate) fn add(&self, earlier: Earlier) {
        self.state.lock().earlier.push(earlier);
    }

    /// Let the next step with this path count as done.
    pub(crate) fn skip(&self, path: &str) {
        self.state.lock().skipped.push(path.to_owned());
    }

    /// Whether the operator chose to leave this step out. Asked once per choice.
    pub(crate) fn is_skipped(&self, path: &str) -> bool {
        let mut state = self.state.lock();
        let index = state.skipped.iter().position(|skipped| skipped == path);
        index.map(|index| state.skipped.remove(index)).is_some()
    }

    /// Begin another attempt in the same process: occurrences count from 0 again.
    pub(crate) fn begin_attempt(&self) {
        let mut state = self.state.lock();
        state.resumed = true;
        state.occurrences.clear();
    }

    /// Forget one step, so that it runs again.
    pub(crate) fn forget(&self, key: &StepKey) {
        self.state.lock().earlier.retain(|e| e.key != *key);
    }

    pub(crate) fn answer(&self, key: &str) -> Option<Value> {
        self.state.lock().answers.get(key).cloned()
    }

    /// The deferred actions that a reused step, or a step inside it, left. Each is given once.
    pub(crate) fn take_deferred_of(&self, step: &str) -> Vec<DeferredRow> {
        let inside = format!("{step}/");
        let of_step = |row: &DeferredRow| {
            row.step
                .as_deref()
                .is_some_and(|s| s == step || s.starts_with(&inside))
        };
        let mut state = self.state.lock();
        let (given, left) = std::mem::take(&mut state.deferred)
            .into_iter()
            .partition(of_step);
        state.deferred = left;
        given
    }

    /// Where the `defer` or `step` call with this text stands now.
    pub(crate) fn place_of(&self, source: &str, body: &str) -> Option<(usize, usize)> {
        let state = self.state.lock();
        let mut places: Vec<(usize, usize)> = state
            .bodies
            .iter()
            .filter(|((file, _, _), hash)| file == source && *hash == body)
            .map(|((_, line, column), _)| (*line, *column))
            .collect();
        places.sort_unstable();
        places.first().copied()
    }

    /// Whether `--from` named a step that never came.
    pub(crate) fn missed_start(&self) -> Option<&str> {
        let reached = self.state.lock().from_reached;
        self.from.as_deref().filter(|_| !reached)
    }
}

impl Earlier {
    /// What the step returned. A value that a journal can't hold is [`NotKept`].
    ///
    /// # Errors
    /// `journal.value` for a record that is damaged.
    pub(crate) fn value(&self) -> Result<Dynamic> {
        match (&self.live, &self.result) {
            (Some(live), _) => Ok(live.clone()),
            (None, Some(value)) => value::unkeep(value),
            (None, None) if self.kept => Ok(Dynamic::UNIT),
            (None, None) => Ok(Dynamic::from(NotKept)),
        }
    }
}

/// Stands in for a handle that a completed step returned: whoever uses it is told why it is gone.
#[derive(Debug, Clone)]
pub struct NotKept;

impl NotKept {
    /// The name of the type, which stands in the message about its use.
    pub(crate) const NAME: &str = "value that a journal can't keep";
}

/// A hash of the values that a closure captures. Handles count by their type: which container or
/// database they mean shows in the values they were made from.
pub(crate) fn fingerprint(values: &[Dynamic]) -> String {
    if values.is_empty() {
        return String::new();
    }
    let mut hash = Sha256::new();
    for captured in values {
        match value::keep(captured) {
            Ok(kept) => hash.update(kept.to_string()),
            Err(_) => hash.update(script_type_name(captured)),
        }
        hash.update([0]);
    }
    hex::encode(&hash.finalize()[..8])
}
