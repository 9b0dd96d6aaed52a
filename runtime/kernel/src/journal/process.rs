//! Who is running: a process that can still be told from another one after its number was reused.
#![allow(
    clippy::disallowed_methods,
    reason = "what the host says about processes is no concern of a runbook"
)]

/// A process on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// The name of the host.
    pub host: String,
    /// The process number.
    pub pid: u32,
    /// When the process began, in clock ticks since the host booted (field 22 of
    /// `/proc/PID/stat`); 0 where that is unknown.
    pub pid_start: u64,
}

impl Process {
    /// This process.
    #[must_use]
    pub fn current() -> Self {
        let pid = std::process::id();
        Self {
            host: host(),
            pid,
            pid_start: start_of(pid).unwrap_or(0),
        }
    }

    /// Whether it runs on this host.
    #[must_use]
    pub fn is_here(&self) -> bool {
        self.host == host()
    }

    /// Whether the process still runs: `None` if it is on another host, or there is no `/proc`.
    #[must_use]
    pub fn is_alive(&self) -> Option<bool> {
        if !self.is_here() || start_of(std::process::id()).is_none() {
            return None;
        }
        Some(match start_of(self.pid) {
            Some(start) => self.pid_start == 0 || start == self.pid_start,
            None => false,
        })
    }
}

fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|name| name.trim().to_owned())
        .ok()
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "localhost".to_owned())
}

fn start_of(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    start_in(&stat)
}

/// Field 22 of `/proc/PID/stat`, unless the process is a zombie: it does nothing any more. The name
/// (field 2) may itself hold spaces and parentheses, so counting starts after the last one.
fn start_in(stat: &str) -> Option<u64> {
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X" | "x") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_is_found_behind_any_name() {
        let rest = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        assert_eq!(start_in(&format!("7 (a ) (b) {rest}")), Some(4711));
        assert_eq!(
            start_in(&format!("7 (gone) {}", rest.replacen('S', "Z", 1))),
            None
        );
        assert_eq!(start_in("7 (short) S 1"), None);
    }

    #[test]
    fn this_process_is_alive_and_an_impostor_is_not() {
        let me = Process::current();
        assert_eq!(me.is_alive(), Some(true));
        let impostor = Process {
            pid_start: me.pid_start + 1,
            ..me.clone()
        };
        assert_eq!(
            impostor.is_alive(),
            Some(false),
            "same number, begun at another time"
        );
        let elsewhere = Process {
            host: "another-host".to_owned(),
            ..me
        };
        assert_eq!(
            elsewhere.is_alive(),
            None,
            "nothing is known about another host"
        );
    }

    #[test]
    fn a_finished_process_is_not_alive() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        child.wait().unwrap();
        let gone = Process {
            pid,
            pid_start: 0,
            ..Process::current()
        };
        assert_eq!(gone.is_alive(), Some(false));
    }
}
