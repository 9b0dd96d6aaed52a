//! What the machine is, and how busy.

use ccrun_kernel::rhai::{Dynamic, Map};
use ccrun_kernel::value::{Duration, Size};
use ccrun_kernel::{Cx, Result, primitive};
use std::path::Path;

use super::client::Machine;
use crate::files::{Files, Work};

/// The name of this host.
///
/// # Errors
/// None.
///
/// # Example
/// ```rhai
/// assert(sys::hostname() != "");
/// ```
#[primitive(read, volatile, needs = sys("hostname"))]
async fn hostname(cx: &Cx) -> Result<String> {
    Ok(cx.client::<Machine>().await?.hostname())
}

/// The user that ccrun runs as: its name, or its number where `/etc/passwd` has no name for it.
///
/// # Errors
/// None.
///
/// # Example
/// ```rhai
/// assert(sys::user() != "");
/// ```
#[primitive(read, volatile, needs = sys("user"))]
async fn user(cx: &Cx) -> Result<String> {
    let id = cx.client::<Machine>().await?.user_id();
    let files = cx.client::<Files>().await?;
    cx.blocking(move || Ok(name_of(&files, id))).await
}

/// The name of a user (passwd(5)).
pub fn name_of(files: &Files, id: u32) -> String {
    let limit = Size::from_bytes(4 << 20);
    let bytes = files
        .read(&Work::default(), Path::new("/etc/passwd"), limit)
        .unwrap_or_default();
    let number = id.to_string();
    String::from_utf8_lossy(&bytes)
        .lines()
        .find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)? == number).then(|| name.to_owned())
        })
        .unwrap_or(number)
}

/// The operating system: a map with `name` (such as `"debian"`), `version`, `kernel` (such as
/// `"Linux"`), `release` (the kernel's version) and `arch` (such as `"x86_64"`).
///
/// # Errors
/// None.
///
/// # Example
/// ```rhai
/// let os = sys::os();
/// assert(os.kernel != "" && os.arch != "");
/// ```
#[primitive(read, volatile, needs = sys("os"))]
async fn os(cx: &Cx) -> Result<Map> {
    let machine = cx.client::<Machine>().await?;
    cx.blocking(move || {
        let (kernel, release, arch) = machine.kernel();
        let (name, version) = machine.distribution();
        Ok(Map::from_iter([
            ("name".into(), name.into()),
            (
                "version".into(),
                version.map_or(Dynamic::UNIT, Dynamic::from),
            ),
            ("kernel".into(), kernel.into()),
            ("release".into(), release.into()),
            ("arch".into(), arch.into()),
        ]))
    })
    .await
}

/// How long the machine has been running.
///
/// # Errors
/// `sys.unavailable`.
///
/// # Example
/// ```rhai
/// assert(sys::uptime() > "1s");
/// ```
#[primitive(read, volatile, needs = sys("uptime"))]
async fn uptime(cx: &Cx) -> Result<Duration> {
    let machine = cx.client::<Machine>().await?;
    cx.blocking(move || {
        let seconds = machine.uptime()?;
        Ok(Duration::from_secs(
            i64::try_from(seconds).unwrap_or(i64::MAX),
        ))
    })
    .await
}

/// The processors: a map with `count` (those that programs can use at the same time), `cores` (without
/// hyper-threads; `()` where that is not known) and `model`. How busy they are: `sys::load`.
///
/// # Errors
/// `sys.unavailable`.
///
/// # Example
/// ```rhai
/// assert(sys::cpu().count >= 1);
/// ```
#[primitive(read, volatile, needs = sys("cpu"))]
async fn cpu(cx: &Cx) -> Result<Map> {
    let machine = cx.client::<Machine>().await?;
    cx.blocking(move || {
        let system = machine.processors()?;
        let count = |n: usize| Dynamic::from(i64::try_from(n).unwrap_or(i64::MAX));
        let model = system
            .cpus()
            .first()
            .map_or("", |cpu| cpu.brand())
            .trim()
            .to_owned();
        Ok(Map::from_iter([
            ("count".into(), count(usable(&system))),
            ("cores".into(), machine.cores().map_or(Dynamic::UNIT, count)),
            ("model".into(), model.into()),
        ]))
    })
    .await
}

/// What this process may use: less than there are, in a container with a limit.
fn usable(system: &sysinfo::System) -> usize {
    std::thread::available_parallelism()
        .map_or_else(|_| system.cpus().len(), std::num::NonZero::get)
}

/// The load: how many processes ran or waited on average over the last 1, 5 and 15 minutes. A map with
/// `one`, `five`, `fifteen`, and `per_cpu`: `five` divided by the number of processors, where more than
/// 1.0 means that processes wait.
///
/// # Errors
/// `sys.unavailable`.
///
/// # Example
/// ```rhai
/// assert(sys::load().one >= 0.0);
/// ```
#[primitive(read, volatile, needs = sys("load"))]
async fn load(cx: &Cx) -> Result<Map> {
    let machine = cx.client::<Machine>().await?;
    cx.blocking(move || {
        let load = machine.load()?;
        let count = usable(&machine.processors()?).max(1);
        let two_digits = |value: f64| Dynamic::from((value * 100.0).round() / 100.0);
        Ok(Map::from_iter([
            ("one".into(), two_digits(load.one)),
            ("five".into(), two_digits(load.five)),
            ("fifteen".into(), two_digits(load.fifteen)),
            ("per_cpu".into(), two_digits(load.five / count as f64)),
        ]))
    })
    .await
}

/// The memory: a map of sizes `total`, `used`, `available` (what programs can still get without
/// swapping), `free` (what is not even a cache), `swap_total`, `swap_used`, and `used_percent`; in a
/// container with a limit also `limit` and `limit_free`, else `()`.
///
/// # Errors
/// `sys.unavailable`.
///
/// # Example
/// ```rhai
/// let m = sys::memory();
/// assert(m.total > "1MiB" && m.used_percent <= 100.0);
/// ```
#[primitive(read, volatile, needs = sys("memory"))]
async fn memory(cx: &Cx) -> Result<Map> {
    let machine = cx.client::<Machine>().await?;
    cx.blocking(move || {
        let system = machine.memory()?;
        let size = |bytes: u64| Dynamic::from(Size::from_bytes(bytes));
        let total = system.total_memory();
        let used = total.saturating_sub(system.available_memory());
        // Without a limit, the group has all of it.
        let limits = system
            .cgroup_limits()
            .filter(|limits| limits.total_memory < total);
        Ok(Map::from_iter([
            ("total".into(), size(total)),
            ("used".into(), size(used)),
            ("available".into(), size(system.available_memory())),
            ("free".into(), size(system.free_memory())),
            ("swap_total".into(), size(system.total_swap())),
            ("swap_used".into(), size(system.used_swap())),
            ("used_percent".into(), Dynamic::from(percent(used, total))),
            (
                "limit".into(),
                limits
                    .as_ref()
                    .map_or(Dynamic::UNIT, |l| size(l.total_memory)),
            ),
            (
                "limit_free".into(),
                limits
                    .as_ref()
                    .map_or(Dynamic::UNIT, |l| size(l.free_memory)),
            ),
        ]))
    })
    .await
}

/// With one decimal; of nothing, 0.
pub fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    (part as f64 / whole as f64 * 1000.0).round() / 10.0
}
