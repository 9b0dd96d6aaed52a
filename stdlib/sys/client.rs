//! The client of the system's own figures. It only ever reads.

use std::path::{Path, PathBuf};

use ccrun_kernel::{Access, Client, Error, Result};
use rustix::fs::{StatVfs, StatVfsMountFlags};
use sysinfo::{
    CpuRefreshKind, Disks, LoadAvg, MemoryRefreshKind, ProcessRefreshKind, ProcessesToUpdate,
    RefreshKind, System, UpdateKind,
};

/// What the system tells about itself.
pub struct Machine;

impl Client for Machine {
    async fn open(_access: &Access) -> Result<Self> {
        Ok(Self)
    }
}

/// A mounted file system.
pub struct Mount {
    /// The device.
    pub device: String,
    /// `ext4`, `xfs` …
    pub file_system: String,
    /// Where it is mounted.
    pub path: PathBuf,
}

/// How much a file system holds.
pub struct Usage {
    /// All of it, in bytes.
    pub total: u64,
    /// What is not used.
    pub free: u64,
    /// What anyone but root may still use.
    pub available: u64,
    /// How many files it can hold; 0 where there is no such limit.
    pub inodes: u64,
    /// How many more.
    pub inodes_free: u64,
    /// Whether it can't be written to.
    pub read_only: bool,
}

fn unavailable(what: &str, error: impl std::fmt::Display) -> Error {
    Error::new(
        "sys.unavailable",
        format!("the system does not tell its {what}: {error}"),
    )
    .hint("in a container, `/proc` and `/sys` may be hidden")
}

impl Machine {
    /// The name of the host.
    pub fn hostname(&self) -> String {
        rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned()
    }

    /// The effective user's number.
    pub fn user_id(&self) -> u32 {
        rustix::process::geteuid().as_raw()
    }

    /// The release and the architecture of the kernel, with its name.
    pub fn kernel(&self) -> (String, String, String) {
        let uname = rustix::system::uname();
        let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
        (
            text(uname.sysname()),
            text(uname.release()),
            text(uname.machine()),
        )
    }

    /// The name and version of the distribution.
    pub fn distribution(&self) -> (String, Option<String>) {
        (System::distribution_id(), System::os_version().ok())
    }

    /// Seconds since it was started.
    pub fn uptime(&self) -> Result<u64> {
        System::uptime().map_err(|error| unavailable("uptime", error))
    }

    /// The average number of processes that run or wait.
    pub fn load(&self) -> Result<LoadAvg> {
        System::load_average().map_err(|error| unavailable("load", error))
    }

    /// The system with its processors.
    pub fn processors(&self) -> Result<System> {
        let kind = RefreshKind::nothing().with_cpu(CpuRefreshKind::nothing());
        System::new_with_specifics(kind).map_err(|error| unavailable("processors", error))
    }

    /// How many cores it has, without hyper-threads.
    pub fn cores(&self) -> Option<usize> {
        System::physical_core_count().ok()
    }

    /// The system with its memory.
    pub fn memory(&self) -> Result<System> {
        let kind = RefreshKind::nothing().with_memory(MemoryRefreshKind::everything());
        System::new_with_specifics(kind).map_err(|error| unavailable("memory", error))
    }

    /// The system with its processes.
    pub fn processes(&self) -> Result<System> {
        let mut system = System::new().map_err(|error| unavailable("processes", error))?;
        let kind = ProcessRefreshKind::nothing()
            .with_memory()
            .with_cpu()
            .with_cmd(UpdateKind::Always)
            .with_user(UpdateKind::Always);
        system.refresh_processes_specifics(ProcessesToUpdate::All, true, kind);
        Ok(system)
    }

    /// The file systems on disks.
    pub fn mounts(&self) -> Result<Vec<Mount>> {
        let disks =
            Disks::new_with_refreshed_list().map_err(|error| unavailable("disks", error))?;
        let mounts = disks.iter().map(|disk| Mount {
            device: disk.name().to_string_lossy().into_owned(),
            file_system: disk.file_system().to_string_lossy().into_owned(),
            path: disk.mount_point().to_owned(),
        });
        Ok(mounts.collect())
    }

    /// How full the file system of a path is.
    pub fn usage(&self, path: &Path) -> Result<Usage> {
        let StatVfs {
            f_frsize,
            f_blocks,
            f_bfree,
            f_bavail,
            f_files,
            f_favail,
            f_flag,
            ..
        } = rustix::fs::statvfs(path).map_err(|error| match error {
            rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR => Error::new(
                "sys.not_found",
                format!("{} does not exist", path.display()),
            )
            .hint("give a path that exists; `sys::disks()` lists what is mounted"),
            error => unavailable(&format!("disk usage at {}", path.display()), error),
        })?;
        Ok(Usage {
            total: f_blocks.saturating_mul(f_frsize),
            free: f_bfree.saturating_mul(f_frsize),
            available: f_bavail.saturating_mul(f_frsize),
            inodes: f_files,
            inodes_free: f_favail,
            read_only: f_flag.contains(StatVfsMountFlags::RDONLY),
        })
    }
}
