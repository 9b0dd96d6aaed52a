//! What a server is told to replay, and what it says of it.

use ccrun_kernel::value::Timestamp;
use ccrun_kernel::{Error, Result};

use super::super::wal::Lsn;
use super::options::{Action, RecoverOptions, Target};
use super::plan::Plan;

/// Settings that a server which replays must have at least as large as the one that wrote the log.
const AT_LEAST: [&str; 5] = [
    "max_connections",
    "max_worker_processes",
    "max_wal_senders",
    "max_prepared_transactions",
    "max_locks_per_transaction",
];

/// The settings for the replay, by name.
///
/// # Errors
/// `pg.recovery_target` for what contradicts itself.
pub fn settings(plan: &Plan, options: &RecoverOptions) -> Result<Vec<(String, String)>> {
    let action = options.action()?;
    let mut all: Vec<(String, String)> = AT_LEAST
        .iter()
        .filter_map(|name| {
            Some((
                (*name).to_owned(),
                plan.manifest.settings.get(*name)?.clone(),
            ))
        })
        .collect();
    let mut set = |name: &str, value: &str| all.push((name.to_owned(), value.to_owned()));
    // The log that is needed lies in pg_wal already; an archive has to be named all the same.
    set("restore_command", "false");
    set("recovery_target_timeline", &plan.timeline.to_string());
    match &plan.target {
        Target::Time(time) => {
            let utc = jiff::fmt::strtime::format(
                "%Y-%m-%d %H:%M:%S.%6f+00",
                time.instant().to_zoned(jiff::tz::TimeZone::UTC).datetime(),
            )
            .map_err(|error| Error::new("pg.recovery_target", error.to_string()))?;
            set("recovery_target_time", &utc);
        }
        Target::Lsn(lsn) => set("recovery_target_lsn", &lsn.to_string()),
        Target::Name(name) => set("recovery_target_name", name),
        Target::Xid(xid) => set("recovery_target_xid", &xid.to_string()),
        Target::Immediate => set("recovery_target", "immediate"),
        Target::End if action == Action::Promote => {}
        Target::End => {
            return Err(Error::new(
                "pg.recovery_target",
                format!(
                    "a server can only {} at a moment, and none was given",
                    action.word()
                ),
            )
            .hint("nothing was changed. Give a moment, or leave the action out"));
        }
    }
    if plan.target != Target::End {
        set("recovery_target_action", action.word());
        set(
            "recovery_target_inclusive",
            if options.inclusive { "on" } else { "off" },
        );
    }
    for (name, value) in [
        ("hot_standby", "on"),
        // A copy must not write into the archive of the one it was made of, nor take from its publisher.
        ("archive_mode", "off"),
        ("max_logical_replication_workers", "0"),
        ("logging_collector", "off"),
        ("log_destination", "stderr"),
        ("log_min_messages", "warning"),
        ("log_line_prefix", "%m "),
        ("log_timezone", "UTC"),
        ("timezone", "UTC"),
        ("lc_messages", "C"),
    ] {
        set(name, value);
    }
    for (name, value) in options.settings.iter().flatten() {
        set(name, value);
    }
    Ok(all)
}

/// What a server has said so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Replay {
    /// `before commit of transaction 741, time …`.
    pub stopped: Option<String>,
    /// The last record that was replayed.
    pub at: Option<Lsn>,
    /// The last transaction that was.
    pub last_transaction: Option<Timestamp>,
    /// The timeline that begins there.
    pub timeline: Option<u32>,
    /// How it stands.
    pub state: State,
}

/// How the replay stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum State {
    /// It goes on.
    #[default]
    Running,
    /// The server serves.
    Promoted,
    /// It can be read, and waits.
    Paused,
    /// It ended at the target.
    ShutDown,
    /// It gave up.
    Failed,
}

impl Replay {
    /// From the server's log, of a server whose messages are in English.
    #[must_use]
    pub fn read(log: &str) -> Self {
        let mut replay = Self::default();
        let mut complete = false;
        for line in log.lines() {
            let Some((_, said)) = line.split_once(" LOG:  ") else {
                continue;
            };
            let after = |start: &str| said.strip_prefix(start);
            if let Some(how) = after("recovery stopping ") {
                replay.stopped = Some(how.to_owned());
            } else if let Some(rest) = after("redo done at ") {
                replay.at = rest
                    .split_whitespace()
                    .next()
                    .and_then(|lsn| lsn.parse().ok());
            } else if let Some(time) = after("last completed transaction was at log time ") {
                replay.last_transaction = time.parse().ok();
            } else if let Some(timeline) = after("selected new timeline ID: ") {
                replay.timeline = timeline.trim().parse().ok();
            } else if said == "archive recovery complete" {
                complete = true;
            } else if said == "database system is ready to accept connections" && complete {
                replay.state = State::Promoted;
            } else if said == "recovery has paused" || said == "pausing at the end of recovery" {
                replay.state = State::Paused;
            } else if said == "shutdown at recovery target" {
                replay.state = State::ShutDown;
            } else if said.starts_with("aborting startup")
                || (said == "database system is shut down" && replay.state == State::Running)
            {
                replay.state = State::Failed;
            }
        }
        replay
    }
}

/// Why a replay failed, in words.
#[must_use]
pub fn failed(log: &str, plan: &Plan) -> Error {
    let lines: Vec<&str> = log
        .lines()
        .filter(|line| {
            [" FATAL:  ", " PANIC:  ", " ERROR:  ", "error:"]
                .iter()
                .any(|word| line.contains(word))
        })
        // Whoever asks too early is told so, and is not the cause.
        .filter(|line| !line.contains("the database system is "))
        .collect();
    let said = match lines.last() {
        Some(line) => (*line).to_owned(),
        None => {
            let all: Vec<&str> = log.lines().collect();
            all[all.len().saturating_sub(5)..].join("\n  ")
        }
    };
    let hint = if said.contains("before configured recovery target") {
        "the log that is archived ends before it; everything that was made was removed again. Take an earlier moment: `ccrun pitr` says which are possible"
    } else if said.contains("insufficient parameter settings") {
        "give the server at least what the old one had: `settings: #{ max_connections: \"…\" }`"
    } else if said.contains("could not access file") {
        "a library that the server loads is not here: recover where the server's packages are, or leave it out: `settings: #{ shared_preload_libraries: \"\" }`"
    } else if said.contains("No space left") {
        "the disk is full: `df -h` shows which"
    } else {
        "everything that was made was removed again, and nothing else was touched"
    };
    Error::new(
        "pg.recovery_failed",
        format!(
            "the server that recovers {} gave up: {}",
            plan.manifest.id,
            said.trim()
        ),
    )
    .hint(hint)
    .detail(
        "log",
        log.lines()
            .rev()
            .take(40)
            .collect::<Vec<_>>()
            .into_iter()
            .rev()
            .collect::<Vec<_>>()
            .join("\n"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_read_as_postgres_writes_it() {
        let log = r#"2026-11-25 21:20:00.100 UTC LOG:  starting PostgreSQL 15.14
2026-11-25 21:20:00.200 UTC LOG:  starting point-in-time recovery to 2026-11-25 21:19:00+00
2026-11-25 21:20:00.300 UTC LOG:  database system is ready to accept read-only connections
2026-11-25 21:20:00.400 UTC LOG:  recovery stopping before commit of transaction 741, time 2026-11-25 21:19:01.5+00
2026-11-25 21:20:00.500 UTC LOG:  redo done at 0/5000110 system usage: CPU: user: 0.00 s
2026-11-25 21:20:00.600 UTC LOG:  last completed transaction was at log time 2026-11-25 21:18:59.123456+00
2026-11-25 21:20:00.700 UTC LOG:  selected new timeline ID: 3
"#;
        let running = Replay::read(log);
        assert_eq!(running.state, State::Running);
        assert_eq!(running.at, Some("0/5000110".parse().unwrap()));
        assert_eq!(running.timeline, Some(3));
        assert_eq!(
            running.last_transaction.unwrap().to_string(),
            "2026-11-25T21:18:59.123456Z"
        );
        assert!(
            running
                .stopped
                .unwrap()
                .starts_with("before commit of transaction 741")
        );
        let more = format!(
            "{log}2026-11-25 21:20:01 UTC LOG:  archive recovery complete\n2026-11-25 21:20:01 UTC LOG:  database system is ready to accept connections\n"
        );
        assert_eq!(Replay::read(&more).state, State::Promoted);
        let given_up = format!(
            "{log}2026-11-25 21:20:01 UTC FATAL:  recovery ended before configured recovery target was reached\n2026-11-25 21:20:01 UTC LOG:  aborting startup due to startup process failure\n"
        );
        assert_eq!(Replay::read(&given_up).state, State::Failed);
    }
}
