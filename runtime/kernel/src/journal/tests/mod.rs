//! The promises of the journal, each with a test that can fail.
#![allow(
    clippy::disallowed_methods,
    reason = "tests look at the journal's files from outside"
)]

mod durability;
mod locks;
mod opening;
mod runs;
mod steps;

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;

struct Scene {
    folder: TempDir,
    journal: Journal,
}

impl Scene {
    /// A new journal.
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(folder.path()).await.unwrap();
        Self { folder, journal }
    }

    /// A new journal in which run `r` began.
    async fn with_run() -> Self {
        let scene = Self::new().await;
        scene.journal.start_run(&new_run("r")).await.unwrap();
        scene
    }

    /// The same journal as another process would open it.
    async fn other(&self) -> Journal {
        Journal::open(self.folder.path()).await.unwrap()
    }

    /// The journal as it would be found after the machine lost power now.
    async fn after_crash(&self) -> (TempDir, Journal) {
        let copy = tempfile::tempdir().unwrap();
        for name in ["journal.db", "journal.db-wal"] {
            let from = self.folder.path().join(name);
            if from.exists() {
                std::fs::copy(from, copy.path().join(name)).unwrap();
            }
        }
        let journal = Journal::open(copy.path()).await.unwrap();
        (copy, journal)
    }
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn new_run(id: &str) -> NewRun {
    NewRun {
        id: id.to_owned(),
        runbook: "runbooks/backup.rhai".to_owned(),
        source: "runbook(#{});".to_owned(),
        source_hash: "s1".to_owned(),
        target: Some("production".to_owned()),
        params: json!({ "keep": "7d" }),
        mode: "run".to_owned(),
        parent: None,
        user: "ann".to_owned(),
        process: Process::current(),
        started: time("2026-01-02T03:04:05.000000006Z"),
    }
}

fn key(path: &str) -> StepKey {
    StepKey {
        path: path.to_owned(),
        occurrence: 1,
        inputs: "i1".to_owned(),
    }
}

fn new_step(path: &str) -> NewStep {
    NewStep {
        key: key(path),
        body: "b1".to_owned(),
        attempt: 1,
        started: Timestamp::now(),
    }
}

fn finished(path: &str, result: Value) -> FinishedStep {
    FinishedStep {
        key: key(path),
        body: "b1".to_owned(),
        status: StepStatus::Done,
        attempt: 1,
        result: Some(result),
        result_kept: true,
        started: Timestamp::now(),
        elapsed: Duration::from_micros(1500),
        error: None,
    }
}

fn effect(id: u64, effect: &str) -> EffectRow {
    EffectRow {
        id,
        step: Some("A".to_owned()),
        primitive: "pg.execute".to_owned(),
        effect: effect.to_owned(),
        args: "delete from t".to_owned(),
        outcome: "failed".to_owned(),
        error: Some(json!({ "kind": "pg.failed" })),
        elapsed: Duration::from_micros(42),
        started: time("2026-01-02T03:04:05.123456789Z"),
    }
}

/// A process of this host that has ended.
fn dead_process() -> Process {
    let me = Process::current();
    Process {
        pid_start: me.pid_start + 1,
        ..me
    }
}

fn process_elsewhere() -> Process {
    Process {
        host: "another-host".to_owned(),
        pid: 7,
        pid_start: 8,
    }
}

/// Open the file past the journal, to arrange what the journal itself would never write.
async fn sql(path: &Path, sql: &'static str) {
    use sqlx::ConnectOptions as _;
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true);
    let mut connection = options.connect().await.unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    schema::close(connection).await;
}

/// Change a setting of the connection that writes.
async fn set(journal: &Journal, pragma: &'static str) {
    let set = journal.work(move |connection| {
        Box::pin(async move {
            sqlx::raw_sql(pragma).execute(connection).await?;
            Ok(())
        })
    });
    // The setting stays, even if the transaction around it cannot be committed under it.
    let _ = set.await;
}

/// Wait for a condition, but not for ever.
async fn until(condition: impl AsyncFn() -> bool) {
    let wait = async {
        while !condition().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait)
        .await
        .expect("it never came true");
}
