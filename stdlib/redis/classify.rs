//! Which commands only read, as the server itself says (`COMMAND INFO`).

use ccrun_kernel::{Error, Result};
use redis::Value;

/// Commands, or subcommands of them, that only report but carry no flag that says so: flags are those of the
/// whole command, and `CONFIG GET` shares them with `CONFIG SET`.
/// <https://redis.io/docs/latest/commands/command/#flags>
const REPORTS: [&str; 42] = [
    "ACL CAT",
    "ACL DRYRUN",
    "ACL GETUSER",
    "ACL LIST",
    "ACL LOG",
    "ACL USERS",
    "ACL WHOAMI",
    "CLIENT GETNAME",
    "CLIENT ID",
    "CLIENT INFO",
    "CLIENT LIST",
    "CLUSTER INFO",
    "CLUSTER NODES",
    "CLUSTER SHARDS",
    "CLUSTER SLOTS",
    "COMMAND",
    "CONFIG GET",
    "ECHO",
    "FUNCTION LIST",
    "FUNCTION STATS",
    "INFO",
    "LASTSAVE",
    "LATENCY DOCTOR",
    "LATENCY GRAPH",
    "LATENCY HISTOGRAM",
    "LATENCY HISTORY",
    "LATENCY LATEST",
    "MEMORY DOCTOR",
    "MEMORY MALLOC-STATS",
    "MEMORY STATS",
    "MEMORY USAGE",
    "MODULE LIST",
    "PING",
    "PUBSUB CHANNELS",
    "PUBSUB NUMPAT",
    "PUBSUB NUMSUB",
    "ROLE",
    "SCRIPT EXISTS",
    "SLOWLOG GET",
    "SLOWLOG LEN",
    "TIME",
    "XINFO",
];

/// Commands that mean the connection, which others use as well.
const SESSION: [&str; 21] = [
    "AUTH",
    "CLIENT REPLY",
    "CLIENT TRACKING",
    "CLIENT UNPAUSE",
    "DISCARD",
    "EXEC",
    "HELLO",
    "MONITOR",
    "MULTI",
    "PSUBSCRIBE",
    "PSYNC",
    "PUNSUBSCRIBE",
    "QUIT",
    "RESET",
    "SELECT",
    "SSUBSCRIBE",
    "SUBSCRIBE",
    "SYNC",
    "UNSUBSCRIBE",
    "UNWATCH",
    "WATCH",
];

/// What a server says of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flags {
    /// `readonly`, `write`, `admin` …
    pub names: Vec<String>,
}

impl Flags {
    /// The answer of `COMMAND INFO name`: one entry, whose third part is the flags; nil for no such command.
    #[must_use]
    pub fn read(name: &str, told: &Value) -> Option<Self> {
        let Value::Array(entries) = told else {
            return None;
        };
        let Value::Array(entry) = entries.first()? else {
            return None;
        };
        let (Value::Array(flags) | Value::Set(flags)) = entry.get(2)? else {
            return None;
        };
        let names = flags.iter().filter_map(|flag| match flag {
            Value::SimpleString(text) => Some(text.to_ascii_lowercase()),
            Value::BulkString(bytes) => Some(String::from_utf8_lossy(bytes).to_ascii_lowercase()),
            _ => None,
        });
        let names: Vec<String> = names.collect();
        debug_assert!(!name.is_empty());
        Some(Self { names })
    }

    /// Whether a command of these flags only reads.
    #[must_use]
    pub fn only_reads(&self, command: &[Vec<u8>]) -> bool {
        let has = |flag: &str| self.names.iter().any(|name| name == flag);
        if has("write") {
            return false;
        }
        has("readonly") || named(command, &REPORTS)
    }

    /// Refuse what would change the connection, on which other commands travel.
    ///
    /// # Errors
    /// `redis.session_command`
    pub fn check_session(&self, command: &[Vec<u8>]) -> Result<()> {
        if !named(command, &SESSION) && !self.names.iter().any(|name| name == "pubsub") {
            return Ok(());
        }
        if named(command, &["PUBLISH", "SPUBLISH", "PUBSUB"]) {
            return Ok(());
        }
        Err(Error::new(
            "redis.session_command",
            format!(
                "{} changes the connection, which other commands share",
                shown(command)
            ),
        )
        .hint("user, password and database are given to `redis::connect`; several steps that belong together go into a script: `[\"EVAL\", …]`"))
    }

    /// For people.
    #[must_use]
    pub fn describe(&self) -> &'static str {
        let has = |flag: &str| self.names.iter().any(|name| name == flag);
        match () {
            () if has("write") => "writes",
            () if has("admin") => "administers the server",
            () => "is not said to be readonly",
        }
    }
}

/// Whether a command is among these, by its first word, or its first two.
fn named(command: &[Vec<u8>], list: &[&str]) -> bool {
    let word = |at: usize| {
        command
            .get(at)
            .map(|word| String::from_utf8_lossy(word).to_ascii_uppercase())
    };
    let Some(first) = word(0) else { return false };
    let both = word(1).map(|second| format!("{first} {second}"));
    list.iter()
        .any(|name| *name == first || both.as_deref() == Some(name))
}

/// A command, for people: its name and, of a container of commands, the second word. Keys and values are not
/// repeated.
#[must_use]
pub fn shown(command: &[Vec<u8>]) -> String {
    const CONTAINERS: [&str; 15] = [
        "ACL", "CLIENT", "CLUSTER", "COMMAND", "CONFIG", "DEBUG", "FUNCTION", "LATENCY", "MEMORY",
        "MODULE", "OBJECT", "PUBSUB", "SCRIPT", "SLOWLOG", "XINFO",
    ];
    let words = if named(command, &CONTAINERS) { 2 } else { 1 };
    let words = command.iter().take(words);
    words
        .map(|word| String::from_utf8_lossy(word).to_ascii_uppercase())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<Vec<u8>> {
        text.split(' ')
            .map(|word| word.as_bytes().to_vec())
            .collect()
    }

    fn flags(names: &[&str]) -> Flags {
        Flags {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    #[test]
    fn a_command_reads_if_the_server_says_so_or_if_it_is_known_to_report() {
        let admin = flags(&["admin", "noscript", "loading", "stale"]);
        assert!(flags(&["readonly", "fast"]).only_reads(&words("GET a")));
        assert!(!flags(&["write", "denyoom"]).only_reads(&words("SET a 1")));
        assert!(admin.only_reads(&words("config get maxmemory")));
        assert!(!admin.only_reads(&words("CONFIG SET maxmemory 1")));
        assert!(!admin.only_reads(&words("SHUTDOWN")));
        // A module may give a reading command's name to one that writes.
        assert!(!flags(&["write"]).only_reads(&words("PING")));
    }

    #[test]
    fn what_means_the_connection_is_refused() {
        let of = |text: &str, names: &[&str]| flags(names).check_session(&words(text));
        for text in ["SELECT 1", "multi", "CLIENT REPLY OFF", "MONITOR"] {
            assert_eq!(of(text, &[]).unwrap_err().kind(), "redis.session_command");
        }
        assert!(of("PSUBSCRIBE a", &["pubsub"]).is_err());
        assert!(of("PUBLISH a b", &["pubsub"]).is_ok());
        assert!(of("CLIENT LIST", &["admin"]).is_ok());
    }

    #[test]
    fn keys_and_values_are_not_repeated() {
        assert_eq!(shown(&words("set session:1 hunter2")), "SET");
        assert_eq!(
            shown(&words("config set requirepass hunter2")),
            "CONFIG SET"
        );
    }
}
