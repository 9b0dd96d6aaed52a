//! What every command starts from: the configuration, the primitives, the journal.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, LazyLock, OnceLock};

use ccrun_kernel::config::Config;
use ccrun_kernel::journal::{Journal, RunFilter};
use ccrun_kernel::permission::{Needs, Policy};
use ccrun_kernel::run::{Limits, Mode, Modules, Resume, RunId, RunJournal, RunSpec};
use ccrun_kernel::runbook::{self, Runbook};
use ccrun_kernel::scope::Cancel;
use ccrun_kernel::secret::{Redactor, Secret, SecretStore};
use ccrun_kernel::value::Duration;
use ccrun_kernel::{Error, Registry, Result, rhai};

use crate::cli::{Common, History, Output, Run as RunArgs};
use crate::command::execute::Prepared;
use crate::interrupt;
use crate::prompt::TerminalPrompter;
use crate::render::json::JsonLines;
use crate::render::terminal::{Terminal, Verbosity};

/// The application.
pub struct App {
    /// The options that every command takes.
    pub common: Common,
    /// The library modules.
    pub modules: Modules,
    /// `ccrun.toml`, or what holds without one.
    pub config: Config,
    /// Where it was started.
    pub folder: PathBuf,
    runtime: Arc<tokio::runtime::Runtime>,
    journal: OnceLock<Journal>,
}

/// What is to be run, and how.
pub struct Source {
    /// The runbook, or a piece of script under a name.
    pub runbook: Runbook,
    /// The parameters.
    pub params: rhai::Map,
    /// Whether it is a piece of script, whose value is printed.
    pub brief: bool,
    /// Whether it goes into the journal.
    pub journaled: bool,
    /// Whether the needs that it took are printed.
    pub record_needs: bool,
    /// How long to wait for its lock.
    pub lock_wait: std::time::Duration,
    /// What earlier attempts left, and the run that is gone on with.
    pub resume: Resume,
    /// The run that is gone on with, or a new one.
    pub id: RunId,
    /// The run that this one was made from.
    pub parent: Option<String>,
    /// Whether it goes on with a run that the journal knows.
    pub goes_on: bool,
    /// The value of `trigger`.
    pub trigger: rhai::Dynamic,
}

impl Source {
    /// A runbook with its parameters.
    pub fn runbook(runbook: Runbook, params: rhai::Map) -> Self {
        Self {
            runbook,
            params,
            brief: false,
            journaled: true,
            record_needs: false,
            lock_wait: std::time::Duration::ZERO,
            resume: Resume::default(),
            id: RunId::random(),
            parent: None,
            goes_on: false,
            trigger: rhai::Dynamic::UNIT,
        }
    }

    /// What an error message shows of it.
    pub fn shown(&self) -> crate::render::error::Source<'_> {
        crate::render::error::Source {
            name: self.runbook.path.to_str().unwrap_or_default(),
            text: &self.runbook.source,
        }
    }

    /// A piece of script.
    pub fn script(name: &str, text: &str) -> Self {
        let runbook = Runbook {
            path: name.into(),
            source: text.to_owned(),
            header: None,
            doc: String::new(),
            summary: String::new(),
        };
        Self {
            brief: true,
            journaled: false,
            ..Self::runbook(runbook, rhai::Map::new())
        }
    }
}

/// A runbook that can be run by name.
pub struct Entry {
    /// `deploy`, `troubleshoot/postgres`.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// The runbook, or why it can't be read.
    pub runbook: Result<Runbook>,
}

impl App {
    /// The application for the current folder.
    pub fn new(common: Common) -> Result<Self> {
        let folder = std::env::current_dir().map_err(|error| {
            Error::new("usage", format!("the current folder is not there: {error}"))
        })?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|error| Error::new("kernel.thread", format!("can't start: {error}")))?;
        Ok(Self {
            modules: ccrun_stdlib::modules(),
            config: Config::find(&folder)?,
            common,
            folder,
            runtime: Arc::new(runtime),
            journal: OnceLock::new(),
        })
    }

    /// The primitives, described at first use: not every command needs them.
    #[allow(
        clippy::unused_self,
        reason = "it is the application's, whichever copy of it"
    )]
    pub fn registry(&self) -> &Arc<Registry> {
        static REGISTRY: LazyLock<Arc<Registry>> =
            LazyLock::new(|| Arc::new(Registry::new(ccrun_stdlib::namespaces())));
        &REGISTRY
    }

    /// Wait for a future from a command.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Where async work runs.
    pub fn handle(&self) -> &tokio::runtime::Handle {
        self.runtime.handle()
    }

    /// The journal, opened at first use.
    pub fn journal(&self) -> Result<&Journal> {
        if let Some(journal) = self.journal.get() {
            return Ok(journal);
        }
        let journal = self.block_on(Journal::open(&self.journal_folder()))?;
        Ok(self.journal.get_or_init(|| journal))
    }

    /// The journal, if there is one already: looking must not make one.
    pub fn journal_if_any(&self) -> Result<Option<&Journal>> {
        if self.journal_folder().join("journal.db").exists() {
            self.journal().map(Some)
        } else {
            Ok(None)
        }
    }

    /// `.ccrun` beside ccrun.toml; without one, the state folder of the user.
    pub fn journal_folder(&self) -> PathBuf {
        if self.config.path.is_some() {
            return self.config.folder.join(".ccrun");
        }
        let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_else(|| "/".into()));
        std::env::var_os("XDG_STATE_HOME")
            .filter(|path| !path.is_empty())
            .map_or_else(|| home().join(".local/state"), PathBuf::from)
            .join("ccrun")
    }

    /// The folders in which runbooks are looked up by name.
    pub fn runbook_path(&self) -> Vec<PathBuf> {
        runbook_path(&self.config)
    }

    /// The runbooks that can be run by name, sorted.
    pub fn runbooks(&self) -> Vec<Entry> {
        self.runbook_path()
            .iter()
            .flat_map(|root| self.runbooks_in(root))
            .collect()
    }

    /// The runbooks of one folder, sorted.
    pub fn runbooks_in(&self, root: &Path) -> Vec<Entry> {
        let mut entries = Vec::new();
        collect(root, root, &mut entries);
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        entries
    }

    /// The same application with other common options.
    pub fn with(&self, common: Common) -> Result<Self> {
        let mut app = Self::new(common)?;
        app.runtime = Arc::clone(&self.runtime);
        app.journal = self.journal.clone();
        Ok(app)
    }

    /// The same application with the configuration as it is now.
    pub fn read_again(&self) -> Result<Self> {
        Ok(Self {
            common: self.common.clone(),
            modules: Arc::clone(&self.modules),
            config: Config::find(&self.folder)?,
            folder: self.folder.clone(),
            runtime: Arc::clone(&self.runtime),
            journal: self.journal.clone(),
        })
    }

    /// The same application, changing nothing.
    pub fn dry(&self) -> Result<Self> {
        self.with(Common {
            dry_run: true,
            confirm: false,
            ..self.common.clone()
        })
    }

    /// Read the runbook that `file` means: a path, or a name from the runbook path.
    pub fn load(&self, file: &Path) -> Result<Runbook> {
        self.load_at(&self.locate(file))
    }

    /// The file that is meant: a path, or a name from the runbook path.
    pub fn locate(&self, file: &Path) -> PathBuf {
        locate(&self.config, file)
    }

    fn load_at(&self, path: &Path) -> Result<Runbook> {
        runbook::load(path).map_err(|error| {
            if error.kind() != "runbook.not_found" {
                return error;
            }
            // Somebody may have mistyped a command: `ccrun chekc`.
            let name = path.display().to_string();
            let names: Vec<String> = self
                .runbooks()
                .into_iter()
                .map(|entry| entry.name)
                .chain(COMMANDS.iter().map(|c| (*c).to_owned()))
                .collect();
            match ccrun_kernel::value::closest(&name, names.iter().map(String::as_str)) {
                Some(nearest) => Error::new(
                    "runbook.not_found",
                    format!("there is no runbook or command `{name}`"),
                )
                .hint(format!("did you mean `ccrun {nearest}`?")),
                None => error,
            }
        })
    }

    /// The parameters for a run, asked for on a terminal where they are missing.
    pub fn params(&self, runbook: &Runbook, args: &RunArgs) -> Result<rhai::Map> {
        crate::command::params::resolve(self, runbook, args)
    }

    /// A duration from the command line; none is zero.
    pub fn duration(&self, text: Option<&str>) -> Result<std::time::Duration> {
        match text {
            None => Ok(std::time::Duration::ZERO),
            Some(text) => text
                .parse::<Duration>()
                .map(Duration::to_std)
                .map_err(|error| Error::new("usage", error.to_string())),
        }
    }

    /// Which runs `ccrun history` lists.
    pub fn run_filter(&self, args: &History) -> Result<RunFilter> {
        let since = match &args.since {
            None => None,
            Some(text) => {
                let back = self.duration(Some(text))?;
                let seconds = i64::try_from(back.as_secs()).unwrap_or(i64::MAX);
                jiff::Timestamp::now()
                    .checked_sub(jiff::SignedDuration::from_secs(seconds))
                    .ok()
            }
        };
        Ok(RunFilter {
            runbook: args.runbook.clone(),
            status: match &args.status {
                Some(word) => Some(word.parse().map_err(|error| Error::new("usage", error))?),
                None => None,
            },
            target: self.common.target.clone(),
            since,
            limit: usize::try_from(args.limit).ok(),
        })
    }

    /// Make everything ready for a run.
    pub fn prepare(&self, source: Source) -> Result<Prepared> {
        self.prepare_with(source, true)
    }

    /// Make everything ready for a run that nobody hears of.
    pub fn prepare_silent(&self, source: Source) -> Result<Prepared> {
        self.prepare_with(source, false)
    }

    fn prepare_with(&self, source: Source, heard: bool) -> Result<Prepared> {
        let target = self.config.target(self.common.target.as_deref())?;
        target.check_keys(self.registry().target_keys())?;
        let redactor = Redactor::default();
        let secrets = self.secrets(&target, &redactor)?;
        for value in source.params.values() {
            if let Some(secret) = value.read_lock::<Secret>() {
                redactor.add(&secret);
            }
        }

        let terminal = (self.common.output == Output::Text)
            .then(|| Arc::new(Terminal::new(self.verbosity(), source.brief)));
        let mut sinks: Vec<Arc<dyn ccrun_kernel::event::Sink>> = Vec::new();
        match &terminal {
            _ if !heard => {}
            Some(terminal) => sinks.push(Arc::clone(terminal) as _),
            None if !source.brief => sinks.push(Arc::new(JsonLines)),
            None => {}
        }
        let mode = match (self.common.dry_run, self.common.confirm) {
            (true, _) => Mode::DryRun,
            (_, true) => Mode::Confirm,
            _ => Mode::Run,
        };
        let header = source.runbook.header.as_ref();
        let narrowed = match target.raw("needs") {
            Some(value) => Some(Needs::from_toml(value, target.folder())?),
            None => None,
        };
        // A run that finds out what it needs is held to nothing but the target.
        let declared = header
            .filter(|_| !source.record_needs)
            .map(|h| h.needs.clone().unwrap_or_else(Needs::nothing));
        let policy = Policy::new(declared, narrowed)
            .based_at(&self.folder)
            .target_name(target.name());
        let mut limits = Limits::default();
        if let Some(operations) = header
            .and_then(|h| h.limits.as_ref())
            .and_then(|l| l.operations)
        {
            limits.operations = operations;
        }
        let journal = if source.journaled {
            let journal = self.journal()?.clone();
            Some(RunJournal::new(journal, &source.id, self.handle().clone()))
        } else {
            None
        };
        let cancel = Cancel::new();
        let offering = Arc::new(AtomicBool::new(false));
        interrupt::watch(self.handle(), cancel.clone(), Arc::clone(&offering));
        let spec = RunSpec {
            id: source.id.clone(),
            name: source.runbook.path.display().to_string(),
            mode,
            target,
            secrets,
            folder: self.folder.clone(),
            state: self.journal_folder(),
            sinks,
            prompter: TerminalPrompter::if_interactive(terminal.clone()),
            journal,
            params: source.params.clone(),
            trigger: source.trigger.clone(),
            policy,
            limits,
            timeout: source
                .runbook
                .header
                .as_ref()
                .and_then(|h| h.timeout)
                .map(Duration::to_std),
            assume_yes: self.common.yes,
            resume: source.resume.clone(),
            cancel,
            handle: self.handle().clone(),
            registry: Arc::clone(self.registry()),
            modules: Arc::clone(&self.modules),
        };
        Ok(Prepared::new(spec, source, terminal, offering))
    }

    /// Where a target's secrets come from.
    pub fn secrets(
        &self,
        target: &ccrun_kernel::config::Target,
        redactor: &Redactor,
    ) -> Result<SecretStore> {
        use ccrun_stdlib::secret::source;
        let config = target
            .section::<source::SecretsConfig>("secrets")?
            .unwrap_or_default();
        let (sources, warnings) = source::sources(&config, target.folder())?;
        for warning in warnings {
            crate::render::remark(&format!("warning: {warning}"));
        }
        Ok(SecretStore::new(sources, redactor.clone()))
    }

    fn verbosity(&self) -> Verbosity {
        match (self.common.quiet, self.common.verbose) {
            (true, _) => Verbosity::Quiet,
            (_, true) => Verbosity::Verbose,
            _ => Verbosity::Normal,
        }
    }
}

/// The commands, for "did you mean".
const COMMANDS: [&str; 15] = [
    "run", "repl", "list", "doc", "new", "check", "history", "show", "resume", "plan", "apply",
    "lock", "secret", "doctor", "watch",
];

/// The folders in which runbooks are looked up by name.
fn runbook_path(config: &Config) -> Vec<PathBuf> {
    let configured = config.get("runbooks").map(|value| match value {
        toml_value if toml_value.is_array() => toml_value
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|item| item.as_str().map(str::to_owned))
            .collect(),
        other => other
            .as_str()
            .map(str::to_owned)
            .into_iter()
            .collect::<Vec<_>>(),
    });
    let folders = configured.unwrap_or_else(|| vec!["runbooks".to_owned()]);
    folders
        .into_iter()
        .map(|folder| config.folder.join(folder))
        .collect()
}

/// The file of a runbook: a path, or a name from the runbook path.
pub fn locate(config: &Config, file: &Path) -> PathBuf {
    if file.is_file() {
        return file.to_owned();
    }
    let mut named = file.as_os_str().to_owned();
    if file.extension().is_none() {
        named.push(".rhai");
    }
    runbook_path(config)
        .into_iter()
        .map(|folder| folder.join(&named))
        .find(|candidate| candidate.is_file())
        .unwrap_or_else(|| file.to_owned())
}

fn collect(root: &Path, folder: &Path, entries: &mut Vec<Entry>) {
    let Ok(listing) = std::fs::read_dir(folder) else {
        return;
    };
    for item in listing.flatten() {
        let path = item.path();
        let hidden = item.file_name().to_string_lossy().starts_with('.');
        if hidden || path.ends_with("lib") {
            continue;
        }
        if path.is_dir() {
            collect(root, &path, entries);
        } else if path
            .extension()
            .is_some_and(|extension| extension == "rhai")
        {
            let name = path.strip_prefix(root).unwrap_or(&path).with_extension("");
            entries.push(Entry {
                name: name.display().to_string(),
                runbook: runbook::load(&path),
                path,
            });
        }
    }
}
