//! What the journal is told of a run that begins.

use ccrun_kernel::journal::{NewRun, Process};
use ccrun_kernel::rhai::Dynamic;
use ccrun_kernel::run::RunSpec;
use serde_json::Value;

use crate::app::Source;

/// The record of a run that begins now.
pub fn new_run(spec: &RunSpec, source: &Source) -> NewRun {
    use sha2::{Digest, Sha256};
    NewRun {
        id: spec.id.as_str().to_owned(),
        runbook: spec.name.clone(),
        source: source.runbook.source.clone(),
        source_hash: format!("{:x}", Sha256::digest(&source.runbook.source)),
        target: Some(spec.target.name().to_owned()),
        params: params(source),
        mode: spec.mode.name().to_owned(),
        parent: source.parent.clone(),
        user: user(),
        process: Process::current(),
        started: jiff::Timestamp::now(),
    }
}

/// The parameters, secrets as references.
pub fn params(source: &Source) -> Value {
    let kept = ccrun_kernel::value::keep(&Dynamic::from(source.params.clone()));
    kept.unwrap_or_else(|_| Value::Object(serde_json::Map::new()))
}

/// Who runs this: the person behind sudo, where there is one.
pub fn user() -> String {
    ["SUDO_USER", "USER", "LOGNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
        .or_else(name_of_uid)
        .unwrap_or_else(|| "unknown".to_owned())
}

/// The name of this process's user in /etc/passwd (passwd(5)), where the environment is bare: cron,
/// systemd, CI.
fn name_of_uid() -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let uid = std::fs::metadata("/proc/self").ok()?.uid().to_string();
    let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
    passwd
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields.get(2) == Some(&uid.as_str()))
        .and_then(|fields| fields.first().map(|name| (*name).to_owned()))
}
