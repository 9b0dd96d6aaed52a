//! Running scripts in tests: everything allowed, a folder of their own.

use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use rhai::{Dynamic, Map};

use crate::config::Config;
use crate::error::Result;
use crate::event::{Record, Sink};
use crate::permission::Policy;
use crate::registry::{Namespace, Registry};
use crate::run::{Limits, Mode, Resume, Run, RunId, RunSpec, Session, on_script_thread};
use crate::scope::Cancel;
use crate::secret::{Redactor, SecretStore};

/// A run for one test.
pub struct TestRun {
    /// What the run is made from; change it before [`TestRun::eval`].
    pub spec: RunSpec,
    records: Arc<Records>,
    runtime: tokio::runtime::Runtime,
}

/// Keeps every event.
#[derive(Default)]
struct Records(Mutex<Vec<Record>>);

impl Sink for Records {
    fn record(&self, record: &Record) {
        self.0.lock().push(record.clone());
    }
}

impl TestRun {
    /// A run with these namespaces that starts in `folder`.
    ///
    /// # Panics
    /// If the test machine has no threads left.
    #[must_use]
    pub fn new(folder: &Path, namespaces: Vec<Namespace>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime for the test");
        let records = Arc::new(Records::default());
        let config = Config::find(folder).expect("the configuration of the test");
        let spec = RunSpec {
            id: RunId::random(),
            name: "test".to_owned(),
            mode: Mode::Run,
            target: config.target(None).expect("the target of the test"),
            secrets: SecretStore::new(Vec::new(), Redactor::default()),
            folder: folder.to_owned(),
            state: folder.join(".ccrun"),
            sinks: vec![Arc::clone(&records) as Arc<dyn Sink>],
            prompter: None,
            journal: None,
            params: Map::new(),
            trigger: Dynamic::UNIT,
            policy: Policy::default(),
            limits: Limits::default(),
            timeout: None,
            assume_yes: false,
            resume: Resume::default(),
            cancel: Cancel::new(),
            handle: runtime.handle().clone(),
            registry: Arc::new(Registry::new(namespaces)),
            modules: Arc::default(),
        };
        Self {
            spec,
            records,
            runtime,
        }
    }

    /// In a dry run.
    #[must_use]
    pub fn dry(mut self) -> Self {
        self.spec.mode = Mode::DryRun;
        self
    }

    /// With this policy instead of everything.
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        self.spec.policy = policy;
        self
    }

    /// Run the script; the events are returned as well.
    ///
    /// # Errors
    /// What the script throws.
    pub fn eval(self, script: &str) -> (Result<Dynamic>, Vec<Record>) {
        self.eval_as("test", script)
    }

    /// Run the script as if it stood in the file `name`.
    ///
    /// # Errors
    /// What the script throws.
    pub fn eval_as(self, name: &str, script: &str) -> (Result<Dynamic>, Vec<Record>) {
        let run = Run::new(self.spec);
        let result = on_script_thread(|| {
            let mut session = Session::new(run);
            let result = session.run_program(name, script);
            let ending = session.finish(result);
            match ending.error {
                Some(error) => Err(error),
                None => Ok(ending.value),
            }
        });
        let records = std::mem::take(&mut *self.records.0.lock());
        drop(self.runtime);
        (result.and_then(|inner| inner), records)
    }
}

/// Run a script in `folder`.
///
/// # Errors
/// What the script throws.
pub fn eval_in(folder: &Path, namespaces: Vec<Namespace>, script: &str) -> Result<Dynamic> {
    TestRun::new(folder, namespaces).eval(script).0
}

/// Run a script in a scratch folder.
///
/// # Errors
/// What the script throws.
pub fn eval(namespaces: Vec<Namespace>, script: &str) -> Result<Dynamic> {
    let folder = Scratch::new();
    eval_in(&folder.0, namespaces, script)
}

/// Run a script in a scratch folder, without changing anything.
///
/// # Errors
/// What the script throws.
pub fn eval_dry(namespaces: Vec<Namespace>, script: &str) -> (Result<Dynamic>, Vec<Record>) {
    let folder = Scratch::new();
    TestRun::new(&folder.0, namespaces).dry().eval(script)
}

/// A folder that goes away with the test.
pub struct Scratch(pub std::path::PathBuf);

impl Scratch {
    /// A new empty folder.
    ///
    /// # Panics
    /// If it can't be made.
    #[must_use]
    pub fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("ccrun-test-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir_all(&folder).expect("a scratch folder");
        Self(folder)
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}
