//! What a primitive is given to work with. Only the wrapper makes one.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::client::{Access, Client};
use crate::config::Target;
use crate::effect::Effect;
use crate::error::{Error, Location, Result};
use crate::event::{CheckStatus, Event, Level};
use crate::primitive::{Need, Primitive};
use crate::run::Run;
use crate::scope::Scope;
use crate::secret::{Redactor, Secret};

/// The context of one call of a primitive.
#[derive(Clone)]
pub struct Cx {
    scope: Arc<Scope>,
    primitive: Arc<Primitive>,
    effect_id: u64,
    location: Option<Location>,
    unchanged: Arc<AtomicBool>,
}

impl Cx {
    pub(crate) fn new(
        scope: Arc<Scope>,
        primitive: Arc<Primitive>,
        effect_id: u64,
        location: Option<Location>,
    ) -> Self {
        Self {
            scope,
            primitive,
            effect_id,
            location,
            unchanged: Arc::default(),
        }
    }

    /// The client of type `T`, opened for what this primitive may do.
    ///
    /// # Errors
    /// What opening it says.
    pub async fn client<T: Client>(&self) -> Result<Arc<T>> {
        self.run().clients().get::<T>(&self.access()).await
    }

    /// What a client opened by this primitive may do.
    #[must_use]
    pub fn access(&self) -> Access {
        let read_only = self.primitive.effect != Effect::Change || self.dry_run();
        self.run().access(read_only)
    }

    /// The target of the run.
    #[must_use]
    pub fn target(&self) -> &Target {
        self.run().target()
    }

    /// A secret from the target's sources, known to the redactor from here on.
    ///
    /// # Errors
    /// `secret.not_found` and what the sources say.
    pub async fn secret(&self, name: &str) -> Result<Secret> {
        self.run().secrets().get(name).await
    }

    /// Masks the known secrets in a text or a stream.
    #[must_use]
    pub fn redactor(&self) -> &Redactor {
        self.run().secrets().redactor()
    }

    /// The folder that relative paths of the script start from: the working directory.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.run().folder()
    }

    /// Ask for a permission that the arguments alone did not tell: which channels an alert goes to, which server the
    /// target means, which files the options name. To be asked before anything is done. `effect` is what is done to that
    /// resource, where it is not what the primitive does. The primitive declares the capability with
    /// [`crate::permission::ANYTHING`].
    ///
    /// # Errors
    /// `permission_denied` with the line that would allow it.
    pub fn permit(
        &self,
        capability: &'static str,
        resource: &str,
        effect: Option<Effect>,
    ) -> Result<()> {
        let need = Need::new(capability, resource.to_owned(), effect);
        self.run()
            .permit(&need, effect.unwrap_or(self.primitive.effect))
            .map_err(|error| error.detail("primitive", self.primitive.path()))
    }

    /// Record a finding, as `check` does: a failed one makes the run's status say so.
    pub fn finding(
        &self,
        name: impl Into<String>,
        status: CheckStatus,
        evidence: impl Into<String>,
        fix: Option<String>,
    ) {
        match status {
            CheckStatus::Ok | CheckStatus::Info | CheckStatus::Unknown => {}
            CheckStatus::Warn => self.run().counters().warning(),
            CheckStatus::Fail => self.run().counters().failed(),
        }
        self.emit(Event::Check {
            name: name.into(),
            status,
            evidence: evidence.into(),
            fix,
            id: None,
            why: None,
            explains: Vec::new(),
        });
    }

    /// The run's own number, as the journal has it.
    #[must_use]
    pub fn run_id(&self) -> String {
        self.run().id().to_string()
    }

    /// Whether nothing may change.
    #[must_use]
    pub fn dry_run(&self) -> bool {
        self.run().mode().is_dry()
    }

    /// When the step must be done, if it has a deadline.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.scope.deadline()
    }

    /// Wait until the call is to stop. The wrapper races every call against this; a primitive needs
    /// it only to clean up in an orderly way.
    pub async fn cancelled(&self) {
        self.scope.stopped().await;
    }

    /// Tell the operator something.
    pub fn log(&self, level: Level, message: impl Into<String>) {
        self.emit(Event::Log {
            level,
            message: message.into(),
        });
    }

    /// Give a result: what goes to standard output.
    pub fn output(&self, text: impl Into<String>) {
        self.emit(Event::Output { text: text.into() });
    }

    /// Say that a change was not necessary: the world was so already. It is then not counted as one.
    pub fn unchanged(&self) {
        self.unchanged.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_unchanged(&self) -> bool {
        self.unchanged.load(Ordering::Relaxed)
    }

    /// Show how far the work is.
    #[must_use]
    pub fn progress(&self, label: impl Into<String>, total: Option<u64>) -> Progress {
        // A pure call has no number of its own.
        let id = match self.effect_id {
            0 => self.run().bus().next_effect(),
            id => id,
        };
        Progress {
            id,
            cx: self.clone(),
            label: label.into(),
            done: 0,
            total,
            bytes: false,
            shown: None,
        }
    }

    /// Wait for a future from a plain function, stopping when the run does.
    ///
    /// # Errors
    /// What the future says, or that the run is to stop.
    pub fn block_on<T>(&self, future: impl Future<Output = Result<T>>) -> Result<T> {
        self.run().block_on(&self.scope, future)
    }

    /// Do CPU-heavy or blocking work away from the async threads.
    ///
    /// # Errors
    /// What the work says, or `kernel.panic`.
    pub async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        tokio::task::spawn_blocking(work)
            .await
            .unwrap_or_else(|error| {
                Err(Error::new(
                    "kernel.panic",
                    format!("the work broke off: {error}"),
                ))
            })
    }

    /// The call in the script.
    #[must_use]
    pub fn location(&self) -> Option<&Location> {
        self.location.as_ref()
    }

    /// The step the call stands in.
    #[must_use]
    pub fn step(&self) -> Option<&str> {
        self.scope.step()
    }

    pub(crate) fn scope(&self) -> &Arc<Scope> {
        &self.scope
    }

    pub(crate) fn run(&self) -> &Arc<Run> {
        self.scope.run()
    }

    pub(crate) fn emit(&self, event: Event) {
        self.run().bus().emit(self.scope.step(), event);
    }
}

/// The progress of one call; ends when it is dropped.
pub struct Progress {
    id: u64,
    cx: Cx,
    label: String,
    done: u64,
    total: Option<u64>,
    bytes: bool,
    shown: Option<Instant>,
}

/// How often progress is told at most: people read no faster, and sinks are not free.
const PROGRESS_INTERVAL: std::time::Duration = std::time::Duration::from_millis(100);

impl Progress {
    /// What is counted are bytes.
    #[must_use]
    pub fn bytes(mut self) -> Self {
        self.bytes = true;
        self
    }

    /// So much more is done.
    pub fn advance(&mut self, more: u64) {
        self.set(self.done.saturating_add(more));
    }

    /// So much is done.
    pub fn set(&mut self, done: u64) {
        self.done = done;
        if self
            .shown
            .is_none_or(|at| at.elapsed() >= PROGRESS_INTERVAL)
        {
            self.tell(false);
        }
    }

    /// The total is known only now.
    pub fn total(&mut self, total: u64) {
        self.total = Some(total);
    }

    /// Change what is said to be going on.
    pub fn message(&mut self, label: impl Into<String>) {
        self.label = label.into();
        self.tell(false);
    }

    fn tell(&mut self, finished: bool) {
        self.shown = Some(Instant::now());
        self.cx.emit(Event::Progress {
            id: self.id,
            label: self.label.clone(),
            done: self.done,
            total: self.total,
            bytes: self.bytes,
            finished,
        });
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.tell(true);
    }
}
