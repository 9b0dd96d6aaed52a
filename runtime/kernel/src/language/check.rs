//! `check`: a finding.

use ccrun_macros::{Options, primitive};
use rhai::{Dynamic, FnPtr, Map};

use crate::caller::Caller;
use crate::cx::Cx;
use crate::error::{Error, Result};
use crate::event::{CheckStatus, Event};
use crate::planned::Planned;
use crate::value;

/// How a check is judged.
#[derive(Options)]
pub struct CheckOptions {
    /// What it is when it does not hold: `fail` or `warn`.
    #[option(default = "fail")]
    severity: String,
    /// What would mend it.
    fix: Option<String>,
}

/// Look at one thing and record a finding: ok, warn or fail, with evidence and a fix. A failed
/// check does not stop the runbook, but its exit status is 1.
///
/// The closure returns `true` or `false`; or a text, which is evidence that all is well; or a map
/// `#{ status: "ok" | "info" | "warn" | "fail", evidence, fix }`. An exception is a failed check. The map may also say
/// `why` it matters, which finding it is (`id`), and which others it `explains`.
///
/// # Errors
/// `argument.type` if the closure returns something else.
///
/// # Example
/// ```rhai
/// let finding = check("Arithmetic", || #{ status: "ok", evidence: `1 + 1 = ${1 + 1}` });
/// assert(finding.status == "ok", "it holds");
/// ```
#[primitive(pure)]
fn check(
    cx: &Cx,
    call: &Caller<'_>,
    name: String,
    options: CheckOptions,
    body: FnPtr,
) -> Result<Map> {
    let bad = match options.severity.as_str() {
        "fail" => CheckStatus::Fail,
        "warn" => CheckStatus::Warn,
        other => {
            return Err(Error::new(
                "argument.type",
                format!("`severity` of a check is `fail` or `warn`, not `{other}`"),
            ));
        }
    };
    let mut finding = match call.invoke(&body, []) {
        Ok(value) => judge(&value, bad)?,
        Err(error) if !error.is_catchable() => return Err(error),
        Err(error) => Finding {
            evidence: error.message().to_owned(),
            fix: error.hint_text().map(str::to_owned),
            ..Finding::of(bad)
        },
    };
    let run = cx.run();
    let noteworthy = matches!(finding.status, CheckStatus::Warn | CheckStatus::Fail);
    if run.mode().is_dry() && noteworthy && run.plan().last_number() > 0 {
        // It looked at the world as it is before the planned changes.
        finding.status = CheckStatus::Unknown;
        finding.evidence = format!(
            "not known before the planned changes; now: {}",
            finding.evidence
        );
    } else if finding.status == CheckStatus::Ok {
        // There is nothing to mend.
        finding.fix = None;
    } else if finding.fix.is_none() {
        finding.fix = options.fix;
    }
    match finding.status {
        CheckStatus::Ok | CheckStatus::Info | CheckStatus::Unknown => {}
        CheckStatus::Warn => run.counters().warning(),
        CheckStatus::Fail => run.counters().failed(),
    }
    run.bus().emit(
        cx.step(),
        Event::Check {
            name: name.clone(),
            status: finding.status,
            evidence: finding.evidence.clone(),
            fix: finding.fix.clone(),
            id: finding.id.clone(),
            why: finding.why,
            explains: finding.explains,
        },
    );
    let status = match finding.status {
        CheckStatus::Ok => "ok",
        CheckStatus::Info => "info",
        CheckStatus::Warn => "warn",
        CheckStatus::Fail => "fail",
        CheckStatus::Unknown => "unknown",
    };
    let mut map = Map::new();
    map.insert("name".into(), name.into());
    map.insert("status".into(), status.into());
    map.insert("evidence".into(), finding.evidence.into());
    map.insert(
        "fix".into(),
        finding.fix.map_or(Dynamic::UNIT, Dynamic::from),
    );
    Ok(map)
}

struct Finding {
    status: CheckStatus,
    evidence: String,
    fix: Option<String>,
    id: Option<String>,
    why: Option<String>,
    explains: Vec<String>,
}

impl Finding {
    /// One with nothing to say yet.
    fn of(status: CheckStatus) -> Self {
        Self {
            status,
            evidence: String::new(),
            fix: None,
            id: None,
            why: None,
            explains: Vec::new(),
        }
    }
}

const KEYS: [&str; 6] = ["status", "evidence", "fix", "id", "why", "explains"];

fn judge(value: &Dynamic, bad: CheckStatus) -> Result<Finding> {
    if let Some(planned) = value.read_lock::<Planned>() {
        return Ok(Finding {
            evidence: planned.describe(),
            ..Finding::of(CheckStatus::Unknown)
        });
    }
    if let Ok(good) = value.as_bool() {
        return Ok(Finding::of(if good { CheckStatus::Ok } else { bad }));
    }
    if value.is_unit() {
        return Ok(Finding::of(CheckStatus::Ok));
    }
    if let Ok(text) = value.as_immutable_string_ref() {
        return Ok(Finding {
            evidence: text.to_string(),
            ..Finding::of(CheckStatus::Ok)
        });
    }
    let Some(map) = value.read_lock::<Map>() else {
        return Err(Error::new(
            "argument.type",
            format!(
                "a check returns a bool, a text or a map, not {}",
                value.type_name()
            ),
        ));
    };
    if let Some(key) = map.keys().find(|k| !KEYS.contains(&k.as_str())) {
        return Err(Error::new(
            "argument.unknown_key",
            format!("a finding has no key `{key}`"),
        )
        .hint(format!("it has {}", KEYS.join(", "))));
    }
    let text = |key: &str| map.get(key).filter(|v| !v.is_unit()).map(value::show);
    let status = match text("status").as_deref() {
        Some("ok") | None => CheckStatus::Ok,
        Some("info") => CheckStatus::Info,
        Some("warn") => CheckStatus::Warn,
        Some("fail") => CheckStatus::Fail,
        Some(other) => {
            return Err(Error::new(
                "argument.type",
                format!("the status of a finding is ok, info, warn or fail, not `{other}`"),
            ));
        }
    };
    let explains = map
        .get("explains")
        .and_then(|list| list.read_lock::<rhai::Array>())
        .map(|list| list.iter().map(value::show).collect())
        .unwrap_or_default();
    Ok(Finding {
        evidence: text("evidence").unwrap_or_default(),
        fix: text("fix"),
        id: text("id"),
        why: text("why"),
        explains,
        ..Finding::of(status)
    })
}
