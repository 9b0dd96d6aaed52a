//! A run's side of the journal: what is recorded when, and how durably.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rhai::Dynamic;
use serde_json::{Value, json};

use super::{RunId, StepKey};
use crate::effect::Effect;
use crate::error::{Error, Result};
use crate::event::{Event, Recap, Record, RunStatus, Sink, StepStatus};
use crate::journal::{
    self, EffectRow, FinishedStep, Journal, NewRun, NewStep, Process, RunFilter, RunRow,
    RunStatus as Recorded,
};
use crate::value;

/// How many reads of one primitive in one step are listed one by one. The rest are counted: ten
/// thousand queries in a loop must not make ten thousand rows.
const LISTED_READS: u32 = 100;

/// So many runs that ended well are looked through for one of a runbook.
const LOOKED_AT: usize = 500;

type StepAndPrimitive = (Option<String>, String);

/// Records one run.
#[derive(Clone)]
pub struct RunJournal {
    journal: Journal,
    run: Arc<str>,
    handle: tokio::runtime::Handle,
    /// How often each primitive read, by step.
    reads: Arc<Mutex<HashMap<StepAndPrimitive, u32>>>,
}

impl RunJournal {
    /// The recorder of `run`. Nothing is recorded before [`RunJournal::begin`].
    #[must_use]
    pub fn new(journal: Journal, run: &RunId, handle: tokio::runtime::Handle) -> Self {
        Self {
            journal,
            run: Arc::from(run.as_str()),
            handle,
            reads: Arc::default(),
        }
    }

    /// Record that the run begins.
    ///
    /// # Errors
    /// What the journal says; the run must not begin then.
    pub fn begin(&self, run: &NewRun) -> Result<()> {
        self.handle.block_on(self.journal.start_run(run))
    }

    /// Record that the run goes on in this process.
    ///
    /// # Errors
    /// `journal.run_active` if it is running elsewhere.
    pub fn go_on(&self) -> Result<()> {
        self.handle
            .block_on(self.journal.claim_run(&self.run, &Process::current()))
            .map(drop)
    }

    pub(crate) fn step_started(&self, key: &StepKey, body: &str, attempt: u32) -> Result<()> {
        let step = NewStep {
            key: key.clone(),
            body: body.to_owned(),
            attempt,
            started: jiff::Timestamp::now(),
        };
        self.handle
            .block_on(self.journal.start_step(&self.run, &step))
    }

    /// Durable when it returns: the next step may rely on it.
    pub(crate) fn step_done(
        &self,
        key: &StepKey,
        body: &str,
        result: Option<&Value>,
        elapsed: Duration,
    ) -> Result<()> {
        let step = FinishedStep {
            result: result.cloned(),
            result_kept: result.is_some(),
            ..finished(key, body, journal::StepStatus::Done, elapsed)
        };
        self.handle
            .block_on(self.journal.finish_step(&self.run, &step))
    }

    pub(crate) fn step_failed(
        &self,
        key: &StepKey,
        body: &str,
        status: StepStatus,
        error: &Value,
        elapsed: Duration,
    ) {
        // An interrupted step stays `running` in the journal: it neither failed nor completed.
        if status == StepStatus::Interrupted {
            return;
        }
        let step = FinishedStep {
            error: Some(error.clone()),
            ..finished(key, body, journal::StepStatus::Failed, elapsed)
        };
        self.best_effort(
            self.handle
                .block_on(self.journal.finish_step(&self.run, &step)),
        );
    }

    /// A completed step was taken back: a resume must do it again.
    pub(crate) fn step_undone(&self, key: &StepKey, body: &str) {
        let step = FinishedStep {
            error: Some(json!({ "kind": "undone", "message": "taken back after a later failure" })),
            ..finished(key, body, journal::StepStatus::Failed, Duration::ZERO)
        };
        self.best_effort(
            self.handle
                .block_on(self.journal.finish_step(&self.run, &step)),
        );
    }

    /// The last run that ended well on this target, of a runbook that `is_it` knows, with what this step returned there.
    ///
    /// # Errors
    /// What the disk says.
    pub(crate) fn last_good(
        &self,
        target: &str,
        step: &str,
        is_it: impl Fn(&str) -> bool,
    ) -> Result<Option<(RunRow, Value)>> {
        let filter = RunFilter {
            status: Some(Recorded::Done),
            target: Some(target.to_owned()),
            limit: Some(LOOKED_AT),
            ..RunFilter::default()
        };
        self.handle.block_on(async {
            for run in self.journal.runs(&filter).await? {
                if run.mode != "run" || !is_it(&run.runbook) {
                    continue;
                }
                let steps = self.journal.steps(&run.id).await?;
                let found = steps
                    .into_iter()
                    .find(|row| row.key.path == step && row.result_kept);
                if let Some(result) = found.and_then(|row| row.result) {
                    return Ok(Some((run, result)));
                }
            }
            Ok(None)
        })
    }

    pub(crate) fn answered(&self, key: &str, answer: &str) -> Result<()> {
        self.handle
            .block_on(self.journal.answer(&self.run, key, &json!(answer)))
    }

    pub(crate) fn deferred_added(
        &self,
        key: &str,
        step: Option<&str>,
        captured: &[Dynamic],
    ) -> Result<()> {
        let captured: Result<Vec<Value>> = captured.iter().map(value::keep).collect();
        let action = match captured {
            Ok(captured) => json!({ "captured": captured }),
            Err(error) => json!({ "not_kept": error.message() }),
        };
        self.handle
            .block_on(self.journal.defer_added(&self.run, key, step, &action))
    }

    pub(crate) fn deferred_done(&self, key: &str) {
        self.best_effort(
            self.handle
                .block_on(self.journal.defer_done(&self.run, key)),
        );
    }

    /// Record how the run ended.
    ///
    /// # Errors
    /// What the journal says.
    pub fn finish(&self, status: RunStatus, error: Option<&Value>, recap: &Recap) -> Result<()> {
        for ((step, primitive), count) in self.reads.lock().drain() {
            if count > LISTED_READS {
                let more = count - LISTED_READS;
                let note = json!({ "event": "reads_counted", "step": step, "primitive": primitive, "more": more });
                self.journal.event(&self.run, note);
            }
        }
        let recorded = match status {
            RunStatus::Done => Recorded::Done,
            RunStatus::Failed | RunStatus::Refused => Recorded::Failed,
            RunStatus::Interrupted => Recorded::Interrupted,
        };
        let recap = serde_json::to_value(recap).ok();
        self.handle.block_on(self.journal.finish_run(
            &self.run,
            recorded,
            error.cloned(),
            recap,
            jiff::Timestamp::now(),
        ))
    }

    /// The sink that records events.
    #[must_use]
    pub fn sink(&self) -> Arc<dyn Sink> {
        Arc::new(self.clone())
    }

    /// What is recorded besides the steps must not end a run that does its work.
    fn best_effort(&self, result: Result<()>) {
        if let Err(error) = result {
            tracing::error!(run = %self.run, kind = error.kind(), "{}", error.message());
        }
    }

    fn effect(&self, record: &Record) {
        let Event::EffectFinished {
            id,
            primitive,
            effect,
            args,
            outcome,
            elapsed_us,
            error,
        } = &record.event
        else {
            return;
        };
        if *effect == Effect::Read {
            let mut reads = self.reads.lock();
            let count = reads
                .entry((record.step.clone(), primitive.clone()))
                .or_insert(0);
            *count += 1;
            if *count > LISTED_READS {
                return;
            }
        }
        let outcome = serde_json::to_value(outcome).ok();
        let elapsed = Duration::from_micros(*elapsed_us);
        let row = EffectRow {
            id: *id,
            step: record.step.clone(),
            primitive: primitive.clone(),
            effect: effect.to_string(),
            args: args.clone(),
            outcome: outcome
                .and_then(|o| o.as_str().map(str::to_owned))
                .unwrap_or_default(),
            error: error.clone(),
            elapsed,
            started: record.time - jiff::SignedDuration::try_from(elapsed).unwrap_or_default(),
        };
        self.journal.effect(&self.run, row);
        // Keeps a run with very many effects from outrunning the disk; usually returns at once.
        self.handle.block_on(self.journal.room());
    }
}

impl Sink for RunJournal {
    fn record(&self, record: &Record) {
        match &record.event {
            Event::EffectFinished { .. } => self.effect(record),
            // What begins is told by what ends, and progress by its result. The exception is a
            // change: that one had begun is what an operator must know after a crash.
            Event::EffectStarted {
                effect: Effect::Read,
                ..
            }
            | Event::Progress { .. } => {}
            _ => {
                if let Ok(event) = serde_json::to_value(record) {
                    self.journal.event(&self.run, event);
                }
            }
        }
    }

    fn flush(&self) {
        self.best_effort(self.handle.block_on(self.journal.flush()));
    }
}

fn finished(
    key: &StepKey,
    body: &str,
    status: journal::StepStatus,
    elapsed: Duration,
) -> FinishedStep {
    FinishedStep {
        key: key.clone(),
        body: body.to_owned(),
        status,
        attempt: 1,
        result: None,
        result_kept: false,
        started: jiff::Timestamp::now()
            - jiff::SignedDuration::try_from(elapsed).unwrap_or_default(),
        elapsed,
        error: None,
    }
}

/// What earlier attempts of a run left in the journal.
///
/// # Errors
/// What the journal says.
pub async fn earlier_attempts(journal: &Journal, run: &str) -> Result<super::Resume> {
    let steps = journal.steps(run).await?;
    let answers = journal.answers(run).await?;
    let deferred = journal.deferred(run).await?;
    Ok(super::Resume {
        resumed: true,
        steps: steps
            .into_iter()
            .filter(|step| step.status == journal::StepStatus::Done && step.restarted.is_none())
            .map(|step| super::Earlier {
                key: step.key,
                body: step.body,
                result: step.result.filter(|_| step.result_kept),
                kept: step.result_kept,
                live: None,
            })
            .collect(),
        answers: answers.into_iter().collect(),
        deferred,
        ..super::Resume::default()
    })
}

/// The error for a deferred action that an earlier attempt left and that can't be called again.
pub(crate) fn lost_deferred(key: &str, why: &str) -> Error {
    Error::new(
        "resume.deferred_lost",
        format!("a deferred action of an earlier attempt can't be restored: {why} ({key})"),
    )
    .hint("do by hand what it would have done")
}
