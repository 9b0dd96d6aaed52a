//! What is to be recovered, and how.

use ccrun_kernel::rhai::Dynamic;
use ccrun_kernel::value::{Duration, Timestamp};
use ccrun_kernel::{Error, MaybeSecret, Options, Result};
use indexmap::IndexMap;

use super::super::wal::Lsn;

/// Which moment, and how the server is to be when it is reached.
#[derive(Clone, Options)]
pub struct RecoverOptions {
    /// The folder in the store that backups lie in.
    #[option(default = "backups")]
    pub(super) prefix: String,
    /// The folder in the store that the log lies in.
    #[option(default = "wal")]
    pub(super) wal: String,
    /// The key that opens them, as `age-keygen` wrote it.
    pub(super) key: Option<MaybeSecret>,
    /// The cluster, where the store has several. Another one's backup is refused.
    pub(super) system_identifier: Option<String>,
    /// Up to this moment, a timestamp or a text: `"2026-11-25 14:30:00"` is UTC.
    pub(super) time: Option<Dynamic>,
    /// Up to this position in the log: `"0/3000060"`.
    pub(super) lsn: Option<String>,
    /// Up to a restore point: `SELECT pg_create_restore_point('before the migration')`.
    pub(super) name: Option<String>,
    /// Up to the end of this transaction.
    pub(super) xid: Option<i64>,
    /// As early as the backup is consistent.
    #[option(default = "false")]
    pub(super) immediate: bool,
    /// Whether what happened exactly then is still done.
    #[option(default = "true")]
    pub(super) inclusive: bool,
    /// Which timeline, where earlier recoveries made several. Left out, the newest that comes from the backup.
    pub(super) timeline: Option<u32>,
    /// What the server does then: `promote` (it serves), `pause` (it can be read, and goes on by `pg_wal_replay_resume()`),
    /// `shutdown`.
    #[option(default = "promote")]
    pub(super) action: String,
    /// Settings of the server while it recovers: `#{ max_connections: "300" }`.
    pub(super) settings: Option<IndexMap<String, String>>,
    /// How long the replay may take.
    pub(super) timeout: Option<Duration>,
    /// In a folder: the port the server listens on, at 127.0.0.1 and at a socket in the folder. Left out, one that is free.
    pub(super) port: Option<u16>,
    /// In a folder: the account that it belongs to and the server runs as, if ccrun runs as root.
    #[option(default = "postgres")]
    pub(super) account: String,
    /// In a volume: the name of the container. Left out, the volume's.
    pub(super) container: Option<String>,
    /// In a volume: the network of the container. Nobody can reach it in `none`, nor can it reach others.
    #[option(default = "none")]
    pub(super) network: String,
    /// In a volume: labels of the volume and the container.
    pub(super) labels: Option<IndexMap<String, String>>,
}

/// The moment.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// A moment.
    Time(Timestamp),
    /// A position.
    Lsn(Lsn),
    /// A restore point.
    Name(String),
    /// A transaction.
    Xid(u32),
    /// The end of the backup.
    Immediate,
    /// All that there is.
    End,
}

/// What the server does then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Promote,
    Pause,
    Shutdown,
}

impl Action {
    /// As Postgres calls it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Promote => "promote",
            Self::Pause => "pause",
            Self::Shutdown => "shutdown",
        }
    }
}

fn wrong(message: String, hint: &str) -> Error {
    Error::new("pg.recovery_target", message).hint(hint.to_owned())
}

impl RecoverOptions {
    /// The moment that is asked for.
    pub fn target(&self) -> Result<Target> {
        let mut asked = Vec::new();
        if let Some(time) = &self.time {
            let time = match time.clone().try_cast::<Timestamp>() {
                Some(time) => time,
                None => time
                    .clone()
                    .into_string()
                    .map_err(|sort| {
                        wrong(
                            format!("{sort} is no time"),
                            "a timestamp, or a text such as \"2026-11-25 14:30:00\" (UTC)",
                        )
                    })?
                    .parse()?,
            };
            asked.push(Target::Time(time));
        }
        if let Some(lsn) = &self.lsn {
            asked.push(Target::Lsn(lsn.parse()?));
        }
        if let Some(name) = &self.name {
            asked.push(Target::Name(name.clone()));
        }
        if let Some(xid) = self.xid {
            // Of a number with its epoch Postgres takes the lower half as well.
            let low = u32::try_from(xid & 0xffff_ffff).unwrap_or_default();
            if low < 3 || xid < 0 {
                return Err(wrong(
                    format!("{xid} is no transaction"),
                    "`SELECT pg_current_xact_id()` in a transaction says its number",
                ));
            }
            asked.push(Target::Xid(low));
        }
        if self.immediate {
            asked.push(Target::Immediate);
        }
        if asked.len() > 1 {
            return Err(wrong(
                "there can only be one moment".to_owned(),
                "give one of time, lsn, name, xid, immediate",
            ));
        }
        Ok(asked.pop().unwrap_or(Target::End))
    }

    /// What the server does then.
    pub fn action(&self) -> Result<Action> {
        match self.action.as_str() {
            "promote" => Ok(Action::Promote),
            "pause" => Ok(Action::Pause),
            "shutdown" => Ok(Action::Shutdown),
            other => Err(wrong(
                format!("`{other}` is nothing that a server does when it has recovered"),
                "it is promote, pause or shutdown",
            )),
        }
    }
}
