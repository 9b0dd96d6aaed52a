//! How full the disks are.

use std::path::Path;

use ccrun_kernel::rhai::{Dynamic, Map};
use ccrun_kernel::value::Size;
use ccrun_kernel::{Cx, Result, primitive};

use super::client::{Machine, Mount};
use super::machine::percent;
use crate::files::FilePath;

/// The file systems on disks: an array of maps as `sys::disk` gives them, sorted by where they are
/// mounted. File systems in memory, and disks whose figures can't be read, are left out.
///
/// # Errors
/// `sys.unavailable`.
///
/// # Example
/// ```rhai
/// for disk in sys::disks() {
///     check(`Space on ${disk.path}`, || assert(disk.used_percent < 101.0));
/// }
/// ```
#[primitive(read, volatile, needs = sys("disk"))]
async fn disks(cx: &Cx) -> Result<Vec<Map>> {
    let machine = cx.client::<Machine>().await?;
    cx.blocking(move || {
        let mut mounts = machine.mounts()?;
        mounts.sort_by(|a, b| a.path.cmp(&b.path));
        mounts.dedup_by(|a, b| a.path == b.path);
        let maps = mounts
            .iter()
            .filter_map(|mount| usage(&machine, &mount.path, Some(mount)).ok());
        Ok(maps.collect())
    })
    .await
}

/// How full the file system is that holds `path`.
///
/// A map with the sizes `total`, `used`, `free`, `available` (what anyone but root can still use);
/// `used_percent` as `df` counts it; `inodes`, `inodes_free` and `inodes_used_percent` (a disk can also
/// run out of files; 0 where there is no such limit); `read_only`; `path`, `device` and `type` (such as
/// `"ext4"`; `()` where the mount is not known).
///
/// # Errors
/// `sys.not_found` if the path does not exist, `sys.unavailable`.
///
/// # Example
/// ```rhai
/// let disk = sys::disk("/");
/// assert(disk.available <= disk.total && disk.used_percent <= 100.0);
/// ```
#[primitive(read, volatile, needs = sys("disk"))]
async fn disk(cx: &Cx, path: FilePath) -> Result<Map> {
    let machine = cx.client::<Machine>().await?;
    cx.blocking(move || {
        let mounts = machine.mounts().unwrap_or_default();
        let holds = |mount: &&Mount| path.starts_with(&mount.path);
        let nearest = mounts
            .iter()
            .filter(holds)
            .max_by_key(|mount| mount.path.components().count());
        usage(&machine, &path, nearest)
    })
    .await
}

fn usage(machine: &Machine, path: &Path, mount: Option<&Mount>) -> Result<Map> {
    let usage = machine.usage(path)?;
    // What root keeps for itself is neither used nor available: df(1) leaves it out.
    let used = usage.total.saturating_sub(usage.free);
    let size = |bytes: u64| Dynamic::from(Size::from_bytes(bytes));
    let count = |n: u64| Dynamic::from(i64::try_from(n).unwrap_or(i64::MAX));
    let text = |text: Option<&String>| text.map_or(Dynamic::UNIT, |text| text.clone().into());
    let inodes_used = usage.inodes.saturating_sub(usage.inodes_free);
    Ok(Map::from_iter([
        ("path".into(), path.display().to_string().into()),
        ("device".into(), text(mount.map(|mount| &mount.device))),
        ("type".into(), text(mount.map(|mount| &mount.file_system))),
        ("total".into(), size(usage.total)),
        ("used".into(), size(used)),
        ("free".into(), size(usage.free)),
        ("available".into(), size(usage.available)),
        (
            "used_percent".into(),
            Dynamic::from(percent(used, used.saturating_add(usage.available))),
        ),
        ("inodes".into(), count(usage.inodes)),
        ("inodes_free".into(), count(usage.inodes_free)),
        (
            "inodes_used_percent".into(),
            Dynamic::from(percent(inodes_used, usage.inodes)),
        ),
        ("read_only".into(), usage.read_only.into()),
    ]))
}
