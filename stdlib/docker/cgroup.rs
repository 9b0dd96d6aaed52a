//! What containers of this machine's own engine use, from the kernel itself.
//!
//! The engine takes a second to answer, per container, whatever is asked; the counters that it reads lie in files
//! (`Documentation/admin-guide/cgroup-v1`, `cgroup-v2.rst`, `proc(5)`) that can be read at once. Where they are
//! not found (a remote or rootless engine, another layout), the engine is asked.
#![allow(
    clippy::disallowed_methods,
    reason = "these files of the kernel are a client's: nothing else reads them, and none can be written by it"
)]

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long the use of processors is measured over.
const WINDOW: Duration = Duration::from_millis(250);

/// What a container uses.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// Of one processor.
    pub cpu_percent: f64,
    /// Since it started, in nanoseconds of one processor.
    pub cpu_nanos: u64,
    /// In bytes, without what is only cached.
    pub memory: u64,
    /// In bytes: of the container, or what the machine has.
    pub memory_limit: u64,
    /// Bytes received and sent, of all its networks but loopback.
    pub net: (u64, u64),
    /// Bytes read and written.
    pub block: (u64, u64),
    /// Processes and threads.
    pub pids: u64,
}

/// What the containers with these ids use, for those whose files are here. For a blocking thread.
pub fn usage(ids: &[String]) -> HashMap<String, Usage> {
    let root = Path::new("/sys/fs/cgroup");
    let found: Vec<(&String, Group)> = ids
        .iter()
        .filter_map(|id| Some((id, Group::find(root, id)?)))
        .collect();
    if found.is_empty() {
        return HashMap::new();
    }
    let machine = memory_of_machine();
    let before: Vec<Option<(Instant, u64)>> = found
        .iter()
        .map(|(_, group)| Some((Instant::now(), group.cpu_nanos()?)))
        .collect();
    std::thread::sleep(WINDOW);
    found
        .iter()
        .zip(before)
        .filter_map(|((id, group), before)| {
            let (then, used) = before?;
            let now = group.cpu_nanos()?;
            let elapsed = then.elapsed().as_nanos() as f64;
            let mut usage = group.counters(machine)?;
            usage.cpu_nanos = now;
            usage.cpu_percent = now.saturating_sub(used) as f64 / elapsed * 100.0;
            Some(((*id).clone(), usage))
        })
        .collect()
}

/// The folders of a container's counters.
enum Group {
    /// One for all.
    V2(PathBuf),
    /// One for each sort.
    V1 {
        cpu: PathBuf,
        memory: PathBuf,
        block: PathBuf,
        pids: PathBuf,
    },
}

impl Group {
    fn find(root: &Path, id: &str) -> Option<Self> {
        // Of the drivers `cgroupfs` and `systemd`.
        let names = [
            format!("docker/{id}"),
            format!("system.slice/docker-{id}.scope"),
        ];
        let below = |folder: &str| {
            let folder = root.join(folder);
            names
                .iter()
                .map(|name| folder.join(name))
                .find(|path| path.is_dir())
        };
        if root.join("cgroup.controllers").is_file() {
            return below("").map(Self::V2);
        }
        Some(Self::V1 {
            cpu: below("cpuacct").or_else(|| below("cpu,cpuacct"))?,
            memory: below("memory")?,
            block: below("blkio")?,
            pids: below("pids")?,
        })
    }

    fn cpu_nanos(&self) -> Option<u64> {
        match self {
            Self::V2(folder) => {
                let micros = of_key(&text(folder, "cpu.stat")?, "usage_usec")?;
                micros.checked_mul(1000)
            }
            Self::V1 { cpu, .. } => number(cpu, "cpuacct.usage"),
        }
    }

    fn counters(&self, machine: u64) -> Option<Usage> {
        let (memory, limit, inactive, block, pids, processes) = match self {
            Self::V2(folder) => (
                number(folder, "memory.current")?,
                number(folder, "memory.max").unwrap_or(u64::MAX),
                of_key(&text(folder, "memory.stat")?, "inactive_file").unwrap_or(0),
                blocks_v2(&text(folder, "io.stat").unwrap_or_default()),
                number(folder, "pids.current")?,
                text(folder, "cgroup.procs")?,
            ),
            Self::V1 {
                memory,
                block,
                pids,
                ..
            } => (
                number(memory, "memory.usage_in_bytes")?,
                number(memory, "memory.limit_in_bytes")?,
                of_key(&text(memory, "memory.stat")?, "total_inactive_file").unwrap_or(0),
                blocks_v1(
                    &text(block, "blkio.throttle.io_service_bytes_recursive")
                        .or_else(|| text(block, "blkio.throttle.io_service_bytes"))
                        .unwrap_or_default(),
                ),
                number(pids, "pids.current")?,
                text(memory, "cgroup.procs")?,
            ),
        };
        let first = processes.lines().next();
        let net = first
            .and_then(|process| fs::read_to_string(format!("/proc/{process}/net/dev")).ok())
            .map_or((0, 0), |text| network(&text));
        Some(Usage {
            cpu_percent: 0.0,
            cpu_nanos: 0,
            memory: if inactive < memory {
                memory - inactive
            } else {
                memory
            },
            memory_limit: limit.min(machine),
            net,
            block,
            pids,
        })
    }
}

fn text(folder: &Path, name: &str) -> Option<String> {
    fs::read_to_string(folder.join(name)).ok()
}

fn number(folder: &Path, name: &str) -> Option<u64> {
    text(folder, name)?.trim().parse().ok()
}

/// `key value` lines.
fn of_key(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(' ')?;
        (name == key).then(|| value.trim().parse().ok()).flatten()
    })
}

/// `8:0 Read 4096` lines.
fn blocks_v1(text: &str) -> (u64, u64) {
    let of = |word: &str| {
        text.lines()
            .filter_map(|line| {
                let mut words = line.split_whitespace().skip(1);
                (words.next()? == word).then(|| words.next()?.parse::<u64>().ok())?
            })
            .sum()
    };
    (of("Read"), of("Write"))
}

/// `8:0 rbytes=4096 wbytes=0 …` lines.
fn blocks_v2(text: &str) -> (u64, u64) {
    let of = |key: &str| {
        text.split_whitespace()
            .filter_map(|word| word.strip_prefix(key)?.parse::<u64>().ok())
            .sum()
    };
    (of("rbytes="), of("wbytes="))
}

/// `/proc/PID/net/dev`: bytes received are the first column, bytes sent the ninth.
fn network(text: &str) -> (u64, u64) {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .filter(|(name, _)| name.trim() != "lo")
        .fold((0, 0), |(received, sent), (_, rest)| {
            let columns: Vec<u64> = rest
                .split_whitespace()
                .filter_map(|word| word.parse().ok())
                .collect();
            let column = |index: usize| columns.get(index).copied().unwrap_or(0);
            (received + column(0), sent + column(8))
        })
}

fn memory_of_machine() -> u64 {
    let info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = info.lines().find_map(|line| {
        let rest = line.strip_prefix("MemTotal:")?;
        rest.split_whitespace().next()?.parse::<u64>().ok()
    });
    kib.map_or(u64::MAX, |kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_files_are_read() {
        assert_eq!(of_key("a 1\nusage_usec 77\n", "usage_usec"), Some(77));
        assert_eq!(
            blocks_v1("8:0 Read 10\n8:0 Write 20\n8:16 Read 1\n8:0 Total 30\nTotal 31\n"),
            (11, 20)
        );
        assert_eq!(
            blocks_v2("8:0 rbytes=10 wbytes=20 rios=1\n8:16 rbytes=1 wbytes=0\n"),
            (11, 20)
        );
        let dev = "Inter-| Receive | Transmit\n face |bytes packets|bytes\n    lo: 9 9 9 9 9 9 9 9 9 9\n  eth0: 100 1 0 0 0 0 0 0 200 2 0 0 0 0 0 0\n";
        assert_eq!(network(dev), (100, 200));
    }

    #[test]
    fn both_layouts_and_both_drivers_are_found() {
        let root = tempfile::tempdir().unwrap();
        let make = |path: &str| std::fs::create_dir_all(root.path().join(path)).unwrap();
        assert!(Group::find(root.path(), "abc").is_none());
        for sort in ["cpu,cpuacct", "memory", "blkio", "pids"] {
            make(&format!("{sort}/system.slice/docker-abc.scope"));
        }
        assert!(matches!(
            Group::find(root.path(), "abc"),
            Some(Group::V1 { .. })
        ));
        std::fs::write(root.path().join("cgroup.controllers"), "cpu memory\n").unwrap();
        assert!(Group::find(root.path(), "abc").is_none());
        make("docker/abc");
        assert!(matches!(
            Group::find(root.path(), "abc"),
            Some(Group::V2(_))
        ));
    }
}
