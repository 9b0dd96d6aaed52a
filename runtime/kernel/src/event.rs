//! Everything that happens is an event, and every event goes to one bus.
//!
//! Sinks subscribe to it: the terminal, the journal, JSON lines, a report. The bus redacts before it
//! hands out, so that no sink can leak what another one masks. The JSON form of [`Record`] is the
//! documented schema of `--output json` (`docs/src/reference/events.md`).

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use serde_json::Value;

use crate::effect::Effect;
use crate::error::Location;
use crate::primitive::Preview;
use crate::run::RunId;
use crate::secret::Redactor;

/// One event with its place in the run.
#[derive(Debug, Clone, Serialize)]
pub struct Record {
    /// Counts from 1 within the run, without gaps.
    pub seq: u64,
    /// When it happened.
    pub time: jiff::Timestamp,
    /// The run.
    pub run: RunId,
    /// The path of the step in which it happened, `Deploy/Pull images`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What happened.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A run begins.
    RunStarted {
        /// The runbook, or the name of another source (`-e`, `repl`).
        runbook: String,
        /// The target's name.
        target: String,
        /// `run`, `dry_run` or `confirm`.
        mode: String,
        /// Whether this continues a run that stopped.
        resumed: bool,
    },
    /// A step begins, or begins again.
    StepStarted {
        /// From 1; more after a retry.
        attempt: u32,
    },
    /// A primitive that reads or changes the world begins.
    EffectStarted {
        /// Joins it with its end and its progress.
        id: u64,
        /// `docker::containers`, `Container.restart`.
        primitive: String,
        /// Read or change.
        effect: Effect,
        /// The arguments as script literals, cut and redacted.
        args: String,
        /// The call in the script.
        location: Option<Location>,
    },
    /// A primitive ended.
    EffectFinished {
        /// See [`Event::EffectStarted`].
        id: u64,
        /// The primitive again, so that the line stands alone.
        primitive: String,
        /// Read or change.
        effect: Effect,
        /// The arguments again.
        args: String,
        /// How it ended.
        outcome: Outcome,
        /// Microseconds.
        elapsed_us: u64,
        /// The error, where it failed.
        error: Option<Value>,
    },
    /// A change that a dry run would have made.
    Planned(PlannedChange),
    /// The plan says something that is no change: where it can look no further.
    PlanNote {
        /// The sentence.
        text: String,
    },
    /// How far a long primitive is.
    Progress {
        /// The effect.
        id: u64,
        /// What is counted.
        label: String,
        /// So far.
        done: u64,
        /// Of how many, where known.
        total: Option<u64>,
        /// Whether bytes are counted.
        bytes: bool,
        /// Whether it is over.
        finished: bool,
    },
    /// A message.
    Log {
        /// How serious.
        level: Level,
        /// The text.
        message: String,
    },
    /// A result: what goes to standard output.
    Output {
        /// The text, without the last newline.
        text: String,
    },
    /// The run waits for a person.
    Question {
        /// What is asked.
        text: String,
        /// The answers to choose from.
        choices: Vec<String>,
    },
    /// The answer (never of a secret).
    Answer {
        /// What was asked.
        text: String,
        /// What was answered, or `default`.
        answer: String,
    },
    /// A finding.
    Check {
        /// What was checked.
        name: String,
        /// The verdict.
        status: CheckStatus,
        /// What was seen.
        evidence: String,
        /// What would mend it.
        fix: Option<String>,
        /// Which finding it is, for looking it up: `postgres/down`.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<String>,
        /// Why it matters.
        #[serde(skip_serializing_if = "Option::is_none")]
        why: Option<String>,
        /// What else was found, which this one explains.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        explains: Vec<String>,
    },
    /// A step ended.
    StepFinished {
        /// How.
        status: StepStatus,
        /// Microseconds.
        elapsed_us: u64,
        /// The error, where it failed; why, where it was skipped.
        error: Option<Value>,
    },
    /// The run ended.
    RunFinished {
        /// `done`, `failed`, `interrupted`, `refused`.
        status: RunStatus,
        /// The counts of the recap line.
        recap: Recap,
        /// The error that ended it.
        error: Option<Value>,
    },
}

/// How a primitive's call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It did what it says.
    Done,
    /// The world was so already.
    Unchanged,
    /// It failed.
    Failed,
    /// The operator said no.
    Declined,
    /// It was interrupted, timed out or cancelled half-way.
    Interrupted,
    /// A dry run only said what it would do.
    Planned,
}

/// How serious a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// For finding out why.
    Debug,
    /// For knowing how it goes.
    Info,
    /// Look at it when there is time.
    Warn,
    /// Look at it now.
    Error,
}

/// The verdict of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckStatus {
    /// As it should be.
    Ok,
    /// Good to know: nothing has to be done.
    Info,
    /// Not as it should be, and not urgent.
    Warn,
    /// Wrong: the run's exit status says so.
    Fail,
    /// A dry run can't tell: a planned change comes before it.
    Unknown,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepStatus {
    /// It did its work.
    Done,
    /// It threw.
    Failed,
    /// Its `when` was false, or the operator said no.
    Skipped,
    /// It was done in an earlier attempt of this run.
    Reused,
    /// It was stopped from outside.
    Interrupted,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// Everything asked for was done.
    Done,
    /// The runbook or a check failed.
    Failed,
    /// Stopped from outside; it can be resumed.
    Interrupted,
    /// Stopped by a permission, a lock or an answer, before a change.
    Refused,
}

impl RunStatus {
    /// The name as it stands in the journal.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
            Self::Refused => "refused",
        }
    }

    /// The exit status of the process.
    #[must_use]
    pub fn exit_status(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Refused => 3,
            Self::Interrupted => 130,
        }
    }
}

/// The counts of the line that ends every run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Recap {
    /// Steps that did their work in this attempt.
    pub steps: u64,
    /// Steps whose result an earlier attempt left.
    pub reused: u64,
    /// Changes made (or, in a dry run, planned).
    pub changed: u64,
    /// Steps and checks that failed.
    pub failed: u64,
    /// Steps skipped, changes declined.
    pub skipped: u64,
    /// Checks that warn.
    pub warnings: u64,
    /// Milliseconds.
    pub elapsed_ms: u64,
}

/// One change of a plan.
#[derive(Debug, Clone, Serialize, serde::Deserialize, PartialEq)]
pub struct PlannedChange {
    /// Its number in the plan, from 1.
    pub number: u32,
    /// The primitive.
    pub primitive: String,
    /// Its arguments.
    pub args: String,
    /// The step it stands in.
    pub step: Option<String>,
    /// The call in the script.
    pub location: Option<Location>,
    /// What it would do.
    pub preview: Preview,
    /// The numbers of the changes whose outcome it depends on.
    pub depends_on: Vec<u32>,
    /// How it is taken back: by the step's own `undo`, or as the primitive says.
    pub undo: Option<String>,
}

/// Receives every event of a run, in order, already redacted.
pub trait Sink: Send + Sync {
    /// Take one event. Must not block for long: the script waits.
    fn record(&self, record: &Record);

    /// Nothing more will come, or somebody wants to be sure that all is out.
    fn flush(&self) {}
}

/// Hands every event to every sink.
pub struct Bus {
    run: RunId,
    sinks: Vec<Arc<dyn Sink>>,
    redactor: Redactor,
    /// The number of the last event; the lock keeps the order the same for all sinks.
    order: parking_lot::Mutex<u64>,
    effects: AtomicU64,
}

impl Bus {
    /// A bus for one run.
    #[must_use]
    pub fn new(run: RunId, sinks: Vec<Arc<dyn Sink>>, redactor: Redactor) -> Self {
        Self {
            run,
            sinks,
            redactor,
            order: parking_lot::Mutex::new(0),
            effects: AtomicU64::new(0),
        }
    }

    /// A number for an effect.
    #[must_use]
    pub fn next_effect(&self) -> u64 {
        self.effects.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Tell every sink.
    pub fn emit(&self, step: Option<&str>, mut event: Event) {
        event.redact(&self.redactor);
        let step = step.map(|step| self.redactor.redact(step).into_owned());
        let mut seq = self.order.lock();
        *seq += 1;
        let record = Record {
            seq: *seq,
            time: jiff::Timestamp::now(),
            run: self.run.clone(),
            step,
            event,
        };
        for sink in &self.sinks {
            sink.record(&record);
        }
    }

    /// Let every sink write out what it holds.
    pub fn flush(&self) {
        for sink in &self.sinks {
            sink.flush();
        }
    }
}

impl Event {
    /// Mask every known secret in every text of the event.
    fn redact(&mut self, redactor: &Redactor) {
        let text = |text: &mut String| {
            if let Cow::Owned(masked) = redactor.redact(text) {
                *text = masked;
            }
        };
        let maybe = |value: &mut Option<String>| {
            if let Some(value) = value {
                text(value);
            }
        };
        let json = |value: &mut Option<Value>| {
            if let Some(value) = value {
                redactor.redact_json(value);
            }
        };
        match self {
            Self::RunStarted { .. } | Self::StepStarted { .. } => {}
            Self::EffectStarted { args, .. } => text(args),
            Self::EffectFinished { args, error, .. } => {
                text(args);
                json(error);
            }
            Self::Planned(change) => {
                text(&mut change.args);
                maybe(&mut change.step);
                text(&mut change.preview.summary);
                maybe(&mut change.preview.diff);
                maybe(&mut change.preview.undo);
                maybe(&mut change.undo);
            }
            Self::PlanNote { text: note } => text(note),
            Self::Progress { label, .. } => text(label),
            Self::Log { message, .. } => text(message),
            Self::Output { text: output } => text(output),
            Self::Question {
                text: question,
                choices,
            } => {
                text(question);
                choices.iter_mut().for_each(text);
            }
            Self::Answer {
                text: question,
                answer,
            } => {
                text(question);
                text(answer);
            }
            Self::Check {
                name,
                evidence,
                fix,
                ..
            } => {
                text(name);
                text(evidence);
                maybe(fix);
            }
            Self::StepFinished { error, .. } | Self::RunFinished { error, .. } => json(error),
        }
    }
}
