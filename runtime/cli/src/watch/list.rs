//! `ccrun watch --list`: what will run next, when, and why.

use std::collections::{BTreeMap, HashMap};

use ccrun_kernel::Result;
use ccrun_kernel::runbook::TriggerSource;
use ccrun_watch::ledger::{Fire, Ledger};
use ccrun_watch::{Armed, Catalog};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::app::App;
use crate::cli::Output;
use crate::render::{self, table, time};

/// What the ledger says of a trigger.
#[derive(Default)]
struct Past {
    waiting: usize,
    last: Option<Fire>,
    stopped: Option<String>,
}

/// Say what will run.
pub fn list(app: &App) -> Result<u8> {
    let mut catalog = Catalog::default();
    let all: Vec<_> = super::checked::found(app);
    let names: Vec<String> = all.iter().map(|found| found.name.clone()).collect();
    // One with a mistake is shown if it has triggers, or can't be read enough to know.
    catalog.update(all);
    let past = past(app)?;
    let mut rows: Vec<(Option<Timestamp>, &Armed)> = catalog
        .triggers()
        .map(|armed| (next(armed), &**armed))
        .collect();
    rows.sort_by_key(|(next, armed)| (next.is_none(), *next, armed.runbook.clone()));
    if app.common.output == Output::Json {
        let none = Past::default();
        let documents = rows.iter().map(|(next, armed)| {
            let past = past.get(&armed.key).unwrap_or(&none);
            serde_json::json!({
                "runbook": armed.runbook,
                "trigger": armed.trigger.spec,
                "next": next.map(|next| next.to_string()),
                "waiting": past.waiting,
                "stopped": past.stopped,
                "last": past.last.as_ref().map(|fire| serde_json::json!({
                    "status": fire.status, "fired": fire.fired.to_string(), "run": fire.run,
                })),
            })
        });
        render::json::document(&documents.collect());
        return Ok(0);
    }
    let none = Past::default();
    if rows.is_empty() {
        render::remark(
            "no runbook has a trigger; `on: [ #{ schedule: \"0 2 * * *\" } ]` in a header makes one",
        );
    } else {
        let rows = rows.iter().map(|(next, armed)| {
            let past = past.get(&armed.key).unwrap_or(&none);
            vec![
                armed.runbook.clone(),
                armed.trigger.describe(),
                when(*next, armed, past),
                past.last.as_ref().map(ended).unwrap_or_default(),
            ]
        });
        render::result(&table::table(
            &["runbook", "fires on", "next", "last"],
            rows,
        ));
    }
    for (name, error) in catalog.broken() {
        render::remark(&format!("{name} does not check: {error}"));
    }
    for (runbook, missing) in catalog.missing(&names) {
        render::remark(&format!(
            "{runbook} waits for the end of {missing}, and there is no such runbook"
        ));
    }
    Ok(if catalog.broken().is_empty() { 0 } else { 2 })
}

fn next(armed: &Armed) -> Option<Timestamp> {
    match &armed.trigger.source {
        TriggerSource::Schedule(schedule) => schedule.cron.next(Timestamp::now()),
        _ => None,
    }
}

fn when(next: Option<Timestamp>, armed: &Armed, past: &Past) -> String {
    if let Some(why) = &past.stopped {
        return format!("stopped: {why}; `ccrun watch go-on {}`", armed.runbook);
    }
    let waiting = match past.waiting {
        0 => String::new(),
        count => format!("{count} waiting"),
    };
    let (Some(next), TriggerSource::Schedule(schedule)) = (next, &armed.trigger.source) else {
        return waiting;
    };
    let zone: &TimeZone = schedule.cron.zone();
    let local = next
        .to_zoned(zone.clone())
        .strftime("%a %F %H:%M %Z")
        .to_string();
    let left = next.duration_since(Timestamp::now());
    let left = time::elapsed(std::time::Duration::try_from(left).unwrap_or_default());
    let jitter = if schedule.jitter.is_negative() || schedule.jitter.as_nanos() == 0 {
        String::new()
    } else {
        format!(" + up to {}", schedule.jitter)
    };
    [format!("{local}{jitter}, in {left}"), waiting]
        .into_iter()
        .filter(|text| !text.is_empty())
        .collect::<Vec<_>>()
        .join("; ")
}

fn ended(fire: &Fire) -> String {
    let run = fire.run.as_deref().and_then(|run| run.get(..4));
    let run = run.map(|run| format!(", run {run}")).unwrap_or_default();
    format!("{} {}{run}", fire.status.as_str(), time::ago(fire.fired))
}

fn past(app: &App) -> Result<HashMap<String, Past>> {
    let mut past: HashMap<String, Past> = HashMap::new();
    let places = super::places(app)?;
    // Looking must not make a ledger.
    if places.postgres.is_none() && !places.state.join(ccrun_watch::ledger::FILE).exists() {
        return Ok(past);
    }
    let ledger: Ledger = super::ledger(app)?;
    let (recent, open, stopped) = app.block_on(async {
        Ok::<_, ccrun_kernel::Error>((
            ledger.recent().await?,
            ledger.open_fires().await?,
            ledger.stopped().await?,
        ))
    })?;
    for fire in open {
        past.entry(fire.trigger.clone()).or_default().waiting += 1;
    }
    let mut newest: BTreeMap<String, Fire> = BTreeMap::new();
    for fire in recent {
        newest.entry(fire.trigger.clone()).or_insert(fire);
    }
    for (trigger, fire) in newest {
        past.entry(trigger).or_default().last = Some(fire);
    }
    for stopped in stopped {
        past.entry(stopped.trigger).or_default().stopped = Some(stopped.reason);
    }
    app.block_on(ledger.close());
    Ok(past)
}
