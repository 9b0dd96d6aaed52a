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
/// `#{ status: "ok" | "warn" | "fail", evidence, fix }`. An exception is a failed check.
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
            status: bad,
            evidence: error.message().to_owned(),
            fix: error.hint_text().map(str::to_owned),
        },
    };
    let run = cx.run();
    if run.mode().is_dry() && finding.status != CheckStatus::Ok && run.plan().last_number() > 0 {
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
        CheckStatus::Ok | CheckStatus::Unknown => {}
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
        },
    );
    let status = match finding.status {
        CheckStatus::Ok => "ok",
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
}

fn judge(value: &Dynamic, bad: CheckStatus) -> Result<Finding> {
    if let Some(planned) = value.read_lock::<Planned>() {
        let evidence = planned.describe();
        return Ok(Finding {
            status: CheckStatus::Unknown,
            evidence,
            fix: None,
        });
    }
    if let Ok(good) = value.as_bool() {
        let status = if good { CheckStatus::Ok } else { bad };
        return Ok(Finding {
            status,
            evidence: String::new(),
            fix: None,
        });
    }
    if value.is_unit() {
        return Ok(Finding {
            status: CheckStatus::Ok,
            evidence: String::new(),
            fix: None,
        });
    }
    if let Ok(text) = value.as_immutable_string_ref() {
        let evidence = text.to_string();
        return Ok(Finding {
            status: CheckStatus::Ok,
            evidence,
            fix: None,
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
    if let Some(key) = map
        .keys()
        .find(|k| !["status", "evidence", "fix"].contains(&k.as_str()))
    {
        return Err(Error::new(
            "argument.unknown_key",
            format!("a finding has no key `{key}`"),
        )
        .hint("it has status, evidence, fix"));
    }
    let text = |key: &str| map.get(key).filter(|v| !v.is_unit()).map(value::show);
    let status = match text("status").as_deref() {
        Some("ok") | None => CheckStatus::Ok,
        Some("warn") => CheckStatus::Warn,
        Some("fail") => CheckStatus::Fail,
        Some(other) => {
            return Err(Error::new(
                "argument.type",
                format!("the status of a finding is ok, warn or fail, not `{other}`"),
            ));
        }
    };
    Ok(Finding {
        status,
        evidence: text("evidence").unwrap_or_default(),
        fix: text("fix"),
    })
}
