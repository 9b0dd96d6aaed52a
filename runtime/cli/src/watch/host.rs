//! What the daemon asks of the command line's application.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use ccrun_kernel::secret::Redactor;
use ccrun_kernel::{BoxFuture, Error, Result};
use ccrun_watch::ledger::Fire;
use ccrun_watch::{EngineEvent, EngineEvents, Host, Setup};
use futures::StreamExt as _;

use super::{checked, settings};
use crate::app::App;
use crate::render;

/// The application as the daemon's host.
pub struct CliHost {
    app: Arc<App>,
    program: PathBuf,
}

impl CliHost {
    /// For an application.
    ///
    /// # Errors
    /// If the program can't be found again to start it for each run.
    pub fn new(app: App) -> Result<Self> {
        let program = std::env::current_exe().map_err(|error| {
            Error::new(
                "watch.program",
                format!("can't find my own program: {error}"),
            )
        })?;
        Ok(Self {
            app: Arc::new(app),
            program,
        })
    }
}

impl CliHost {
    /// `ccrun fire` with the daemon's own options.
    fn fire(&self, arguments: &[&str], target: Option<&str>) -> Command {
        let common = &self.app.common;
        let mut command = Command::new(&self.program);
        command
            .current_dir(&self.app.config.folder)
            .arg("fire")
            .args(arguments);
        if let Some(target) = target.or(common.target.as_deref()) {
            command.args(["--target", target]);
        }
        for (given, option) in [
            (common.dry_run, "--dry-run"),
            (common.yes, "--yes"),
            (common.quiet, "--quiet"),
            (common.verbose, "--verbose"),
            (common.no_color, "--no-color"),
        ] {
            if given {
                command.arg(option);
            }
        }
        command
    }
}

impl Host for CliHost {
    fn read(&self) -> Result<Setup> {
        let app = self.app.read_again()?;
        let mut read_from = vec!["ccrun.toml".to_owned()];
        for folder in app.runbook_path() {
            read_from.push(format!("{}/**/*.rhai", folder.display()));
        }
        Ok(Setup {
            settings: settings::settings(&app.config)?,
            runbooks: checked::found_by(&self.program, &app),
            read_from,
        })
    }

    fn secret<'a>(
        &'a self,
        target: Option<&'a str>,
        name: &'a str,
    ) -> BoxFuture<'a, Result<String>> {
        Box::pin(async move {
            let app = self.app.read_again()?;
            let target = app.config.target(target.or(app.common.target.as_deref()))?;
            let store = app.secrets(&target, &Redactor::default())?;
            Ok(store.get(name).await?.expose().to_owned())
        })
    }

    fn engine<'a>(
        &'a self,
        target: Option<&'a str>,
        since: jiff::Timestamp,
    ) -> BoxFuture<'a, Result<EngineEvents>> {
        Box::pin(async move {
            let app = self.app.read_again()?;
            let target = app.config.target(target.or(app.common.target.as_deref()))?;
            let heard = ccrun_stdlib::engine::listen(&target, since).await?;
            let events = heard.map(|heard| {
                heard.map(|heard| EngineEvent {
                    time: heard.time,
                    action: heard.action,
                    id: heard.id,
                    attributes: heard.attributes,
                })
            });
            Ok(events.boxed())
        })
    }

    fn command(&self, fire: &Fire, run: &str) -> Command {
        self.fire(&[&fire.id, "--run", run], fire.policy.target.as_deref())
    }

    fn spare(&self) -> Command {
        self.fire(&["--wait"], None)
    }

    fn remark(&self, text: &str) {
        render::remark(text);
    }
}
