//! `ccrun lock`, and the locks of runs.

use std::time::{Duration, Instant};

use ccrun_kernel::journal::{Holder, Journal, LockOutcome, LockRow, Process};
use ccrun_kernel::run::RunSpec;
use ccrun_kernel::{Error, Result};

use super::record;
use crate::app::App;
use crate::cli::{Lock, Output};
use crate::render::{self, table, time};

/// How long a lock outlives the last sign of its holder, on other hosts.
const LEASE: Duration = Duration::from_secs(60);

/// How often a waiting run looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// A lock that this process holds for a run. Released when dropped.
pub struct Held {
    journal: Journal,
    name: String,
    run: String,
    handle: tokio::runtime::Handle,
    renewal: tokio::task::JoinHandle<()>,
}

impl Held {
    /// Take the lock for a run, waiting for another run if asked to.
    ///
    /// # Errors
    /// `lock_held`, naming the holder and how to release it.
    pub fn acquire(app: &App, name: &str, spec: &RunSpec, wait: Duration) -> Result<Self> {
        let journal = app.journal()?.clone();
        let holder = Holder {
            run: Some(spec.id.as_str().to_owned()),
            person: record::user(),
            process: Process::current(),
            reason: spec.name.clone(),
            since: jiff::Timestamp::now(),
        };
        let deadline = Instant::now() + wait;
        let mut told = false;
        app.block_on(async {
            loop {
                let held = match journal.lock(name, &holder, LEASE).await? {
                    LockOutcome::HeldBy(row) => row,
                    LockOutcome::TakenOver(row) => {
                        render::remark(&format!("lock `{name}` taken over: {} is gone", who(&row)));
                        return Ok(());
                    }
                    LockOutcome::Acquired => return Ok(()),
                };
                // A lock taken by hand ends when a person says so; nobody can know when.
                if held.holder.run.is_none() || Instant::now() >= deadline {
                    return Err(refused(name, &held));
                }
                if !told {
                    render::remark(&format!("waiting for lock `{name}`, held by {}", who(&held)));
                    told = true;
                }
                tokio::select! {
                    () = tokio::time::sleep(LOOK_AGAIN) => {}
                    () = spec.cancel.cancelled() => {
                        return Err(Error::new("interrupted", "interrupted while waiting for the lock"));
                    }
                }
            }
        })?;
        let renewal = app
            .handle()
            .spawn(renew(journal.clone(), name.to_owned(), holder));
        Ok(Self {
            journal,
            name: name.to_owned(),
            run: spec.id.as_str().to_owned(),
            handle: app.handle().clone(),
            renewal,
        })
    }
}

async fn renew(journal: Journal, name: String, holder: Holder) {
    let run = holder.run.unwrap_or_default();
    loop {
        tokio::time::sleep(LEASE / 3).await;
        drop(journal.renew_lock(&name, &run, LEASE).await);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.renewal.abort();
        // If this fails the lock still ends: its holder's process does.
        drop(
            self.handle
                .block_on(self.journal.release_lock(&self.name, &self.run)),
        );
    }
}

fn who(row: &LockRow) -> String {
    let holder = &row.holder;
    let by = match &holder.run {
        Some(run) => format!("run {} ({})", run.get(..4).unwrap_or(run), holder.reason),
        None if holder.reason.is_empty() => "hand".to_owned(),
        None => format!("hand ({})", holder.reason),
    };
    format!(
        "{by}, {} on {}, taken {}",
        holder.person,
        holder.process.host,
        time::ago(holder.since)
    )
}

fn refused(name: &str, row: &LockRow) -> Error {
    let hint = if row.holder.run.is_some() {
        format!(
            "wait for it with `--lock-wait 5m`, or see `ccrun lock status`; `ccrun lock release {name}` if it hangs"
        )
    } else {
        format!(
            "ask {} before `ccrun lock release {name}`",
            row.holder.person
        )
    };
    Error::new(
        "lock_held",
        format!("lock `{name}` is held by {}", who(row)),
    )
    .hint(hint)
}

/// Show, take or release locks.
pub fn lock(app: &App, command: &Lock) -> Result<u8> {
    match command {
        Lock::Status => status(app),
        Lock::Take { name, reason } => {
            let journal = app.journal()?;
            let holder = Holder {
                run: None,
                person: record::user(),
                process: Process::current(),
                reason: reason.clone(),
                since: jiff::Timestamp::now(),
            };
            match app.block_on(journal.lock(name, &holder, LEASE))? {
                LockOutcome::HeldBy(row) => Err(refused(name, &row)),
                _ => {
                    render::remark(&format!(
                        "lock `{name}` is yours until `ccrun lock release {name}`"
                    ));
                    Ok(0)
                }
            }
        }
        Lock::Release { name } => match app.block_on(app.journal()?.force_release(name))? {
            Some(row) => {
                render::remark(&format!("released; it was held by {}", who(&row)));
                Ok(0)
            }
            None => {
                render::remark(&format!("nobody holds a lock `{name}`"));
                Ok(0)
            }
        },
    }
}

fn status(app: &App) -> Result<u8> {
    let rows = match app.journal_if_any()? {
        Some(journal) => app.block_on(journal.locks())?,
        None => Vec::new(),
    };
    if app.common.output == Output::Json {
        let rows: Vec<_> = rows
            .iter()
            .map(|row| {
                serde_json::json!({
                    "name": row.name, "run": row.holder.run, "person": row.holder.person,
                    "host": row.holder.process.host, "pid": row.holder.process.pid,
                    "reason": row.holder.reason, "since": row.holder.since, "stale": row.stale,
                })
            })
            .collect();
        render::json::document(&rows.into());
        return Ok(0);
    }
    if rows.is_empty() {
        render::remark("no locks are held");
        return Ok(0);
    }
    let rows = rows.iter().map(|row| {
        let state = if row.stale {
            "holder gone: the next run takes it"
        } else {
            "held"
        };
        vec![row.name.clone(), who(row), state.to_owned()]
    });
    render::result(&table::table(&["lock", "held by", "state"], rows));
    Ok(0)
}
