//! `ccrun watch`.

use std::path::Path;
use std::sync::Arc;

use ccrun_kernel::{Error, Result};
use ccrun_watch::systemd::Unit;
use ccrun_watch::{Daemon, Event, Shared};
use tokio::signal::unix::{SignalKind, signal};

use super::record;
use crate::app::App;
use crate::cli::{Watch, WatchCommand};
use crate::render;
use crate::watch::{self, CliHost};

const UNIT: &str = "/etc/systemd/system/ccrun-watch.service";

/// Run triggers, or say what they are.
pub fn watch(app: &App, args: &Watch) -> Result<u8> {
    match &args.command {
        Some(WatchCommand::Install { user, print }) => {
            return install(app, user.as_deref(), *print);
        }
        Some(WatchCommand::GoOn { runbook }) => return go_on(app, runbook),
        None => {}
    }
    if args.list {
        return watch::list::list(app);
    }
    let places = watch::places(app)?;
    let host = Arc::new(CliHost::new(app.read_again()?)?);
    let once = args.once;
    app.block_on(async {
        let daemon = Daemon::new(host, places).await?;
        listen_to_signals(&daemon.shared());
        if once {
            let tally = daemon.once().await?;
            render::remark(&format!("{} done, {} failed", tally.done, tally.failed));
            // Whoever calls it from a scheduler of their own sees nothing but the exit code.
            return Ok(match (tally.failed, tally.broken) {
                (0, 0) => 0,
                (0, _) => 2,
                _ => 1,
            });
        }
        daemon.run().await?;
        Ok(0)
    })
}

/// SIGTERM and Ctrl-C let runs finish, a second one does not wait; SIGHUP reads everything again.
fn listen_to_signals(shared: &Arc<Shared>) {
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let shared = Arc::clone(shared);
        tokio::spawn(async move {
            let Ok(mut signals) = signal(kind) else {
                return;
            };
            let mut asked = false;
            while signals.recv().await.is_some() {
                if std::mem::replace(&mut asked, true) {
                    std::process::exit(130);
                }
                drop(shared.events.send(Event::Stop));
            }
        });
    }
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        let Ok(mut signals) = signal(SignalKind::hangup()) else {
            return;
        };
        while signals.recv().await.is_some() {
            drop(shared.events.send(Event::Reload));
        }
    });
}

fn go_on(app: &App, runbook: &str) -> Result<u8> {
    let ledger = watch::ledger(app)?;
    let count = app.block_on(ledger.go_on(runbook))?;
    app.block_on(ledger.close());
    if count == 0 {
        return Err(
            Error::new("usage", format!("no trigger of `{runbook}` is stopped"))
                .hint("`ccrun watch --list` shows those that are"),
        );
    }
    render::remark(&format!(
        "{} of {runbook} will go on; tell a daemon at work with `systemctl reload ccrun-watch`",
        render::count(usize::try_from(count).unwrap_or(0), "trigger")
    ));
    Ok(0)
}

fn install(app: &App, user: Option<&str>, print: bool) -> Result<u8> {
    let settings = watch::settings::settings(&app.config)?;
    let program = std::env::current_exe().map_err(|error| {
        Error::new(
            "watch.program",
            format!("can't find my own program: {error}"),
        )
    })?;
    let absolute = |path: &Path| -> String {
        std::path::absolute(path)
            .unwrap_or_else(|_| path.to_owned())
            .display()
            .to_string()
    };
    let unit = Unit {
        program: program.display().to_string(),
        folder: absolute(&app.config.folder),
        state: absolute(&app.journal_folder()),
        user: user.map_or_else(record::user, str::to_owned),
        target: app.common.target.clone(),
        yes: app.common.yes,
        grace: settings.grace.as_secs(),
    };
    let text = unit.text();
    if print {
        render::result(text.trim_end());
        return Ok(0);
    }
    std::fs::write(UNIT, &text).map_err(|error| {
        Error::new("watch.install", format!("can't write {UNIT}: {error}"))
            .hint("run it as root, or write it by hand: `ccrun watch install --print`")
    })?;
    render::result(UNIT);
    render::remark(
        "next: `systemctl daemon-reload`, `systemctl enable --now ccrun-watch`, `journalctl -fu ccrun-watch`",
    );
    Ok(0)
}
