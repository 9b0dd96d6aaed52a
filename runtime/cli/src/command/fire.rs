//! The process of one firing: it claims the firing, runs the runbook, and says how that ended.

use std::io::BufRead as _;
use std::path::Path;

use ccrun_kernel::journal::Process;
use ccrun_kernel::run::{self, RunId};
use ccrun_kernel::runbook::{ParamSources, parse};
use ccrun_kernel::{Error, Result, rhai, value};
use ccrun_watch::ledger::{Fire, Ledger, Status};

use crate::app::{App, Source};
use crate::render;
use crate::watch;

/// How long a firing waits for the lock of its runbook, if a run that was started by hand holds it.
const LOCK_WAIT: std::time::Duration = std::time::Duration::from_secs(3600);
/// How often a run says that it lives, for daemons on other hosts.
const HEARTBEAT: std::time::Duration = std::time::Duration::from_secs(10);
/// The status of a run that was interrupted: the daemon knows why.
const INTERRUPTED: u8 = 130;

/// Make everything ready, and wait on standard input for the firing to run. Its end means that there
/// is none.
pub fn wait(app: &App) -> Result<u8> {
    drop(app.journal());
    let ledger = watch::ledger(app)?;
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    let mut words = line.split_whitespace();
    match (read, words.next(), words.next()) {
        (Ok(_), Some(id), Some(run)) if line.ends_with('\n') => {
            // The configuration may have changed since.
            let app = app.read_again()?;
            let fire = app.block_on(ledger.claim(id, run, &Process::current()))?;
            finish(&app, &ledger, fire, id, run)
        }
        _ => Ok(0),
    }
}

/// Run a firing.
pub fn fire(app: &App, id: &str, run: &str) -> Result<u8> {
    // The journal is opened meanwhile: somebody waits for the first line of the runbook.
    let (ledger, fire) = std::thread::scope(|scope| {
        scope.spawn(|| drop(app.journal()));
        let ledger = watch::ledger(app)?;
        let fire = app.block_on(ledger.claim(id, run, &Process::current()))?;
        Ok::<_, Error>((ledger, fire))
    })?;
    finish(app, &ledger, fire, id, run)
}

/// Run what was claimed, and say how it ended.
fn finish(app: &App, ledger: &Ledger, fire: Option<Fire>, id: &str, run: &str) -> Result<u8> {
    let Some(fire) = fire else {
        render::remark("this firing is no longer for this process: nothing was run");
        return Ok(0);
    };
    let source = app.block_on(ledger.source(&fire.source))?;
    let beats = app
        .handle()
        .spawn(beat(ledger.clone(), id.to_owned(), run.to_owned()));
    let began = begin(app, &fire, source, run);
    beats.abort();
    let (status, exit, error) = match began {
        Ok(0) => (Status::Done, 0, None),
        Ok(INTERRUPTED) => return Ok(INTERRUPTED),
        Ok(exit) => (Status::Failed, exit, Some(reason(app, run))),
        Err(error) => {
            render::remark(&render::error::render(&error, None));
            if error.kind() == "interrupted" {
                return Ok(INTERRUPTED);
            }
            (Status::Failed, 1, Some(error.to_string()))
        }
    };
    app.block_on(async {
        let finished = ledger.finish(id, run, status, error.as_deref()).await;
        ledger.close().await;
        finished
    })?;
    Ok(exit)
}

/// Say that this process lives, as long as it does.
async fn beat(ledger: Ledger, id: String, run: String) {
    loop {
        tokio::time::sleep(HEARTBEAT).await;
        // The next one comes soon.
        drop(ledger.beat(&id, &run).await);
    }
}

fn begin(app: &App, fire: &Fire, source: Option<String>, run: &str) -> Result<u8> {
    let text = source.ok_or_else(|| {
        Error::new(
            "watch.source",
            format!("the text of {} is not in the ledger", fire.path),
        )
    })?;
    // Recorded on another host, it may be in another folder here.
    let path = match Path::new(&fire.path) {
        path if path.is_file() => path.to_owned(),
        _ => app.locate(Path::new(&fire.runbook)),
    };
    let runbook = parse(path, text)?;
    let params = match &runbook.header {
        None => rhai::Map::new(),
        Some(header) => {
            let mut values = fire.params.clone();
            if fire.cause == "alert" {
                // Labels that are no parameters are in `trigger.labels`.
                values.retain(|name, _| header.params.contains_key(name));
            }
            let given = ParamSources::new(fire.runbook.as_str())
                .environment(std::env::vars())
                .values(&format!("the {} trigger", fire.cause), values);
            crate::command::params::find(app, header, &given)?
        }
    };
    let mut source = Source::runbook(runbook, params);
    source.id = RunId::known(run);
    source.lock_wait = LOCK_WAIT;
    source.trigger = trigger(fire);
    let prepared = app.prepare(source)?;
    run::on_script_thread(|| prepared.execute(app))?
}

/// What `trigger` holds in the runbook.
fn trigger(fire: &Fire) -> rhai::Dynamic {
    let mut payload = fire.payload.clone();
    if let Some(map) = payload.as_object_mut() {
        map.insert("id".to_owned(), fire.id.as_str().into());
        map.insert("attempt".to_owned(), fire.attempt.into());
        map.insert("fired".to_owned(), fire.fired.to_string().into());
    }
    value::from_json(&payload)
}

/// Why a run failed, as the journal has it.
fn reason(app: &App, run: &str) -> String {
    let found = app
        .journal()
        .and_then(|journal| app.block_on(journal.run(run)));
    found
        .ok()
        .and_then(|row| Some(row.error?.get("message")?.as_str()?.to_owned()))
        .unwrap_or_else(|| "a check failed, or nothing says why".to_owned())
}
