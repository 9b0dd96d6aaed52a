//! One execution of a runbook, or one session of the REPL: what all its parts share.

mod approval;
mod completed;
mod counters;
mod engine;
mod journal;
mod limits;
pub(crate) mod pace;
mod plan;
mod resolver;
mod session;
mod unwind;

use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use rhai::{Dynamic, Map};
use serde::{Deserialize, Serialize};

pub use approval::Permit;
pub(crate) use completed::fingerprint;
pub use completed::{Completed, Earlier, NotKept, OnChanged, Resume, Standing};
pub use engine::{Modules, bare};
pub(crate) use journal::lost_deferred;
pub use journal::{RunJournal, earlier_attempts};
pub use limits::{Limits, STACK_SIZE};
pub use plan::{Plan, ReadRecord};
pub use session::{Ending, Session, on_script_thread};
pub use unwind::{Deferred, Kept, Undo};

use crate::client::{Access, Clients};
use crate::config::Target;
use crate::effect::Effect;
use crate::error::{Error, Result};
use crate::event::{Bus, Event, Level, Outcome, PlannedChange, Sink};
pub use crate::journal::StepKey;
use crate::permission::{Policy, Recorder};
use crate::primitive::Need;
use crate::prompt::Prompter;
use crate::registry::Registry;
use crate::scope::{Cancel, Scope};
use crate::secret::SecretStore;
use approval::Approval;
use counters::Counters;

/// The name of a run: ten hexadecimal digits. Commands take any unambiguous beginning of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(Arc<str>);

impl RunId {
    /// A new one.
    #[must_use]
    pub fn random() -> Self {
        let id = uuid::Uuid::new_v4().simple().to_string();
        Self(Arc::from(&id[..10]))
    }

    /// One that the journal knows.
    #[must_use]
    pub fn known(id: &str) -> Self {
        Self(Arc::from(id))
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first four digits, for people.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.get(..4).unwrap_or(&self.0)
    }
}

impl std::fmt::Display for RunId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a run treats changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Make them.
    Run,
    /// Ask before each.
    Confirm,
    /// Only say what they would be.
    DryRun,
}

impl Mode {
    /// Whether nothing may change.
    #[must_use]
    pub fn is_dry(self) -> bool {
        self == Self::DryRun
    }

    /// Whether somebody looks at previews.
    #[must_use]
    pub fn previews(self) -> bool {
        self != Self::Run
    }

    /// The name in events and in the journal.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Confirm => "confirm",
            Self::DryRun => "dry_run",
        }
    }
}

/// Everything a run is made from.
pub struct RunSpec {
    /// Its name.
    pub id: RunId,
    /// The runbook's path, or the name of another source.
    pub name: String,
    /// How it treats changes.
    pub mode: Mode,
    /// The environment it works on.
    pub target: Target,
    /// Where its secrets come from, and the redactor that knows them.
    pub secrets: SecretStore,
    /// The working directory.
    pub folder: std::path::PathBuf,
    /// Where ccrun keeps what it must know later: the journal, releases.
    pub state: std::path::PathBuf,
    /// Who hears of it.
    pub sinks: Vec<Arc<dyn Sink>>,
    /// Who can be asked, if anybody can.
    pub prompter: Option<Arc<dyn Prompter>>,
    /// Where it is recorded, if it is.
    pub journal: Option<RunJournal>,
    /// The value of `params`.
    pub params: Map,
    /// The value of `trigger`.
    pub trigger: Dynamic,
    /// What it may touch.
    pub policy: Policy,
    /// How far a script may go.
    pub limits: Limits,
    /// How long the whole run may take.
    pub timeout: Option<std::time::Duration>,
    /// Whether every question that guards a change is answered with yes.
    pub assume_yes: bool,
    /// What earlier attempts of this run left.
    pub resume: Resume,
    /// Cancelled on Ctrl-C.
    pub cancel: Cancel,
    /// Where async work runs.
    pub handle: tokio::runtime::Handle,
    /// The primitives.
    pub registry: Arc<Registry>,
    /// The library modules that scripts import as `std/…`.
    pub modules: Modules,
}

/// What all parts of a run share.
pub struct Run {
    spec: RunSpec,
    target: Arc<Target>,
    folder: Arc<Path>,
    bus: Bus,
    clients: Clients,
    plan: Plan,
    counters: Counters,
    recorder: Recorder,
    completed: Completed,
    undos: Mutex<Vec<Undo>>,
    deferred: Mutex<Vec<Deferred>>,
    approval: Mutex<Approval>,
    /// The innermost step that failed last, and the message it failed with.
    failed_step: Mutex<Option<(String, String)>>,
}

impl Run {
    /// A run that is about to begin.
    #[must_use]
    pub fn new(mut spec: RunSpec) -> Arc<Self> {
        let mut sinks = std::mem::take(&mut spec.sinks);
        if let Some(journal) = &spec.journal {
            sinks.push(journal.sink());
        }
        Arc::new(Self {
            target: Arc::new(spec.target.clone()),
            folder: Arc::from(spec.folder.as_path()),
            bus: Bus::new(spec.id.clone(), sinks, spec.secrets.redactor().clone()),
            clients: Clients::default(),
            plan: Plan::default(),
            counters: Counters::default(),
            recorder: Recorder::new(spec.folder.clone()),
            completed: Completed::new(std::mem::take(&mut spec.resume)),
            undos: Mutex::default(),
            deferred: Mutex::default(),
            approval: Mutex::default(),
            failed_step: Mutex::default(),
            spec,
        })
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> &RunId {
        &self.spec.id
    }

    /// The runbook's path, or the name of another source.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// How it treats changes.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.spec.mode
    }

    /// The environment it works on.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Where its secrets come from.
    #[must_use]
    pub fn secrets(&self) -> &SecretStore {
        &self.spec.secrets
    }

    /// The working directory.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where its events go.
    #[must_use]
    pub fn bus(&self) -> &Bus {
        &self.bus
    }

    /// The plan that a dry run makes.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What it needed, for `--record-needs`.
    #[must_use]
    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// Who can be asked, if anybody can.
    #[must_use]
    pub fn prompter(&self) -> Option<&Arc<dyn Prompter>> {
        self.spec.prompter.as_ref()
    }

    /// The value of `params`.
    #[must_use]
    pub fn params(&self) -> &Map {
        &self.spec.params
    }

    /// The primitives.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.spec.registry
    }

    /// Where async work runs.
    #[must_use]
    pub fn handle(&self) -> &tokio::runtime::Handle {
        &self.spec.handle
    }

    /// Cancelled on Ctrl-C.
    #[must_use]
    pub fn cancel(&self) -> &Cancel {
        &self.spec.cancel
    }

    /// Whether every question that guards a change is answered with yes.
    #[must_use]
    pub fn assumes_yes(&self) -> bool {
        self.spec.assume_yes
    }

    pub(crate) fn spec(&self) -> &RunSpec {
        &self.spec
    }

    pub(crate) fn clients(&self) -> &Clients {
        &self.clients
    }

    pub(crate) fn journal(&self) -> Option<&RunJournal> {
        self.spec.journal.as_ref()
    }

    pub(crate) fn completed(&self) -> &Completed {
        &self.completed
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(crate) fn access(&self, read_only: bool) -> Access {
        Access::new(
            read_only,
            Arc::clone(&self.target),
            self.spec.secrets.clone(),
            Arc::clone(&self.folder),
            Arc::from(self.spec.state.as_path()),
        )
    }

    /// Wait for a future from a script thread, stopping when the scope does.
    ///
    /// # Errors
    /// What the future says, or why the scope must stop.
    pub fn block_on<T>(&self, scope: &Scope, future: impl Future<Output = Result<T>>) -> Result<T> {
        self.spec.handle.block_on(async {
            tokio::select! {
                biased;
                result = future => result,
                stop = scope.stopped() => Err(Error::stop(stop)),
            }
        })
    }

    /// Tell everybody that the run begins, or begins again.
    pub fn announce(&self, resumed: bool) {
        self.bus.emit(
            None,
            Event::RunStarted {
                runbook: self.name().to_owned(),
                target: self.target.name().to_owned(),
                mode: self.mode().name().to_owned(),
                resumed,
            },
        );
    }

    /// Tell the operator something.
    pub fn log(&self, step: Option<&str>, level: Level, message: impl Into<String>) {
        self.bus.emit(
            step,
            Event::Log {
                level,
                message: message.into(),
            },
        );
    }

    pub(crate) fn permit(&self, need: &Need, effect: Effect) -> Result<()> {
        let effect = need.effect.unwrap_or(effect);
        self.recorder
            .record(need.capability, effect, &need.resource);
        self.spec
            .policy
            .check(need.capability, effect, &need.resource)
    }

    pub(crate) fn redact_error(&self, error: Error) -> Error {
        let redactor = self.spec.secrets.redactor();
        error.map_text(&|text| redactor.redact(text).into_owned())
    }

    pub(crate) fn count_effect(&self, effect: Effect, outcome: Outcome) {
        match outcome {
            Outcome::Done if effect == Effect::Change => self.counters.changed(),
            Outcome::Declined => self.counters.skipped(),
            _ => {}
        }
    }

    pub(crate) fn plan_change(&self, step: Option<&str>, change: PlannedChange) -> u32 {
        let change = self.plan.add(change);
        let number = change.number;
        if !change.preview.unchanged {
            self.counters.changed();
        }
        self.bus.emit(step, Event::Planned(change));
        number
    }

    /// A condition on a planned value: what the plan assumes, and a note that it does.
    pub(crate) fn guess(
        &self,
        step: Option<&str>,
        change: u32,
        place: Option<crate::error::Location>,
    ) -> bool {
        let (guess, first) = self.plan.guess(change, place);
        if first {
            let text = format!(
                "what follows depends on change {change}: it is shown as if that had succeeded"
            );
            self.bus.emit(step, Event::PlanNote { text });
        }
        guess
    }

    /// Remember where an error arose: a text that a script throws can't say so itself.
    pub(crate) fn step_failed(&self, step: &str, error: &Error) {
        let mut last = self.failed_step.lock();
        if last
            .as_ref()
            .is_none_or(|(_, message)| message != error.message())
        {
            *last = Some((step.to_owned(), error.message().to_owned()));
        }
    }

    pub(crate) fn with_failed_step(&self, error: Error) -> Error {
        match &*self.failed_step.lock() {
            Some((step, message)) if message == error.message() => {
                error.in_step(Some(step.clone()))
            }
            _ => error,
        }
    }

    pub(crate) fn add_undo(&self, undo: Undo) {
        self.undos.lock().push(undo);
    }

    pub(crate) fn take_undos(&self) -> Vec<Undo> {
        std::mem::take(&mut *self.undos.lock())
    }

    /// Whether completed steps could be taken back.
    #[must_use]
    pub fn has_undos(&self) -> bool {
        !self.undos.lock().is_empty()
    }

    pub(crate) fn add_deferred(&self, deferred: Deferred) {
        self.deferred.lock().push(deferred);
    }

    pub(crate) fn take_deferred(&self) -> Vec<Deferred> {
        std::mem::take(&mut *self.deferred.lock())
    }
}
