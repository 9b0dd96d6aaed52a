//! Reading runbooks, and setting up what their triggers need.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use ccrun_kernel::Result;
use ccrun_kernel::runbook::TriggerSource;
use ccrun_kernel::runbook::trigger::{FileChange, Files};
use futures::StreamExt as _;
use jiff::Timestamp;

use super::{Daemon, OWN};
use crate::files::{FileWatcher, Stamp, Watched};
use crate::host::{Host, Setup};
use crate::shared::{Event, Hook, Routes, Shared};

impl Daemon {
    /// Take runbooks as they are now. Returns those that got a mistake.
    pub(super) async fn load(&mut self, setup: Setup) -> Result<Vec<(String, String)>> {
        let changes = self.catalog.update(setup.runbooks);
        for (name, error) in &changes.broken {
            let kept = if self.catalog.triggers().any(|armed| armed.runbook == *name) {
                "; its last good version stays in use"
            } else {
                ""
            };
            self.host
                .remark(&format!("{name} does not check{kept}: {error}"));
        }
        for name in &changes.mended {
            self.host.remark(&format!("{name} checks again"));
        }
        for (hash, source) in self.catalog.sources() {
            self.shared.ledger.keep_source(hash, source).await?;
        }
        // A runbook that was changed gets another chance.
        for name in &changes.loaded {
            if self.shared.ledger.go_on(name).await? > 0 {
                self.host
                    .remark(&format!("{name} was changed: its triggers go on"));
            }
        }
        let stopped = self.shared.ledger.stopped().await?;
        let before = std::mem::replace(
            &mut self.stopped,
            stopped
                .into_iter()
                .map(|stopped| (stopped.trigger, stopped.reason))
                .collect(),
        );
        // What goes on begins with a clean slate.
        for key in before.keys().filter(|key| !self.stopped.contains_key(*key)) {
            self.selfish.remove(key);
            self.shared.limits.forget(key);
        }
        let listened = self.shared.settings.read().listen;
        if listened != setup.settings.listen {
            self.host
                .remark("`[watch] listen` is another: start `ccrun watch` again for that");
        }
        *self.shared.settings.write() = setup.settings;
        *self.shared.routes.write() = Arc::new(self.routes().await);
        for armed in self.catalog.triggers().cloned().collect::<Vec<_>>() {
            if matches!(armed.trigger.source, TriggerSource::Schedule(_))
                && !self.cursors.contains_key(&armed.key)
            {
                let cursor = match self.shared.ledger.cursor(&armed.key).await? {
                    Some(cursor) => cursor,
                    None => {
                        let now = Timestamp::now();
                        self.shared.ledger.set_cursor(&armed.key, now).await?;
                        now
                    }
                };
                self.cursors.insert(armed.key.clone(), cursor);
            }
        }
        Ok(changes.broken)
    }

    async fn routes(&self) -> Routes {
        let mut routes = Routes::default();
        for armed in self.catalog.triggers() {
            let secret = match &armed.trigger.source {
                TriggerSource::Webhook(webhook) => webhook.secret.as_deref(),
                TriggerSource::Alert(alert) => alert.secret.as_deref(),
                _ => continue,
            };
            let secret = match secret {
                None => None,
                Some(name) => match self.host.secret(armed.target(), name).await {
                    Ok(text) => Some(Arc::from(text.into_bytes())),
                    Err(error) => {
                        self.host.remark(&format!(
                            "{}, {}: nothing gets in, as its secret {name} is not there: {error}",
                            armed.runbook,
                            armed.trigger.describe()
                        ));
                        None
                    }
                },
            };
            let hook = Hook {
                armed: Arc::clone(armed),
                secret,
            };
            match &armed.trigger.source {
                TriggerSource::Webhook(webhook) => {
                    routes
                        .hooks
                        .entry(webhook.path.clone())
                        .or_default()
                        .push(hook);
                }
                _ => routes.alerts.push(hook),
            }
        }
        routes
    }

    /// Read everything again. What can't be read leaves what was there.
    pub(super) async fn reload(&mut self) {
        self.spare = None;
        let host = Arc::clone(&self.host);
        let read = tokio::task::spawn_blocking(move || host.read()).await;
        let setup = match read {
            Ok(Ok(setup)) => setup,
            Ok(Err(error)) => {
                self.host
                    .remark(&format!("the old configuration stays in use: {error}"));
                return;
            }
            Err(_) => return,
        };
        let broken = match self.take(setup).await {
            Ok(broken) => broken,
            Err(error) => {
                self.host
                    .remark(&format!("the old configuration stays in use: {error}"));
                return;
            }
        };
        for (name, error) in broken {
            self.alarm(&name, &format!("{name} does not check: {error}"), "broken")
                .await;
        }
        if self.shared.leads()
            && let Err(error) = self.start_sources().await
        {
            self.complain(&error);
        }
    }

    /// Watch and listen to what the triggers ask for.
    pub(super) async fn start_sources(&mut self) -> Result<()> {
        self.watch_files().await?;
        self.listen_to_engines().await
    }

    async fn watch_files(&mut self) -> Result<()> {
        let mut watched = vec![self.own_files()];
        for armed in self.catalog.triggers() {
            if let TriggerSource::Files(files) = &armed.trigger.source {
                watched.push(Watched {
                    key: armed.key.clone(),
                    files: files.clone(),
                    known: self.known(&armed.key).await?,
                });
            }
        }
        let watcher = match self.watcher.take() {
            Some(watcher) => watcher,
            None => {
                let (sender, mut events) = tokio::sync::mpsc::unbounded_channel();
                let to = self.shared.events.clone();
                tokio::spawn(async move {
                    while let Some(event) = events.recv().await {
                        drop(to.send(Event::File(event)));
                    }
                });
                FileWatcher::start(self.places.folder.clone(), sender).map_err(|error| {
                    ccrun_kernel::Error::new("kernel.thread", format!("can't watch files: {error}"))
                })?
            }
        };
        // The walk over many files takes its time.
        let watcher = tokio::task::spawn_blocking(move || {
            watcher.watch(watched);
            watcher
        });
        self.watcher = watcher.await.ok();
        Ok(())
    }

    /// What the files of a trigger were like at its last firing; `None` if it was never watched.
    pub(super) async fn known(&self, key: &str) -> Result<Option<BTreeMap<String, Stamp>>> {
        let ledger = &self.shared.ledger;
        if ledger.cursor(key).await?.is_none() {
            return Ok(None);
        }
        let files = ledger.files(key).await?;
        Ok(Some(
            files
                .into_iter()
                .filter_map(|(path, stamp)| Some((path, Stamp::parse(&stamp)?)))
                .collect(),
        ))
    }

    fn own_files(&self) -> Watched {
        Watched {
            key: OWN.to_owned(),
            files: Files {
                patterns: self.read_from.clone(),
                debounce: ccrun_kernel::value::Duration::from_millis(100),
                on: FileChange::ALL.to_vec(),
                gitignore: false,
                poll: None,
                catch_up: false,
            },
            known: None,
        }
    }

    async fn listen_to_engines(&mut self) -> Result<()> {
        let wanted: HashSet<Option<String>> = self
            .catalog
            .triggers()
            .filter(|armed| matches!(armed.trigger.source, TriggerSource::Docker(_)))
            .map(|armed| armed.target().map(str::to_owned))
            .collect();
        self.engines.retain(|target, task| {
            let keep = wanted.contains(target);
            if !keep {
                task.abort();
            }
            keep
        });
        for target in wanted {
            if self.engines.contains_key(&target) {
                continue;
            }
            let key = engine_key(target.as_deref());
            let since = match self.shared.ledger.cursor(&key).await? {
                Some(since) => since,
                None => {
                    let now = Timestamp::now();
                    self.shared.ledger.set_cursor(&key, now).await?;
                    now
                }
            };
            let (host, shared) = (Arc::clone(&self.host), Arc::clone(&self.shared));
            let task = tokio::spawn(listen(host, shared, target.clone(), since));
            self.engines.insert(target, task);
        }
        Ok(())
    }
}

/// The cursor of an engine.
pub(super) fn engine_key(target: Option<&str>) -> String {
    format!("engine {}", target.unwrap_or_default())
}

/// Listen to an engine, and again whenever it goes away; what it said in between is asked for.
async fn listen(
    host: Arc<dyn Host>,
    shared: Arc<Shared>,
    target: Option<String>,
    since: Timestamp,
) {
    let mut since = since;
    let mut told = false;
    let mut pause = Duration::from_millis(500);
    loop {
        let trouble = match host.engine(target.as_deref(), since).await {
            Ok(mut events) => loop {
                match events.next().await {
                    Some(Ok(event)) => {
                        (told, pause) = (false, Duration::from_millis(500));
                        if let Ok(time) = Timestamp::from_nanosecond(i128::from(event.time)) {
                            since = since.max(time);
                        }
                        drop(shared.events.send(Event::Engine(target.clone(), event)));
                    }
                    Some(Err(error)) => break error.to_string(),
                    None => break "the engine ended the connection".to_owned(),
                }
            },
            Err(error) => error.to_string(),
        };
        if !std::mem::replace(&mut told, true) {
            let text = format!("Docker events are not heard, and tried again: {trouble}");
            drop(shared.events.send(Event::Trouble(text)));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(30));
    }
}

/// Whether every pair is there.
pub(super) fn has_all(wanted: &[(String, String)], found: &HashMap<&str, &str>) -> bool {
    wanted
        .iter()
        .all(|(name, value)| found.get(name.as_str()) == Some(&value.as_str()))
}
