//! The entries of a tar archive, as far as they are trusted.

use std::io::Read;
use std::path::{Component, Path, PathBuf};

use ccrun_kernel::{Error, Result};
use tar::EntryType;

/// What an entry is, once it is known to be harmless.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link with its target.
    Symlink(PathBuf),
    /// A second name for another entry.
    HardLink(PathBuf),
    /// A device, a pipe: not unpacked.
    Other,
}

/// One entry.
#[derive(Debug, Clone)]
pub struct Item {
    /// Its path below the folder, without `.` and `..`.
    pub path: PathBuf,
    /// What it is.
    pub kind: Kind,
    /// How much is in it.
    pub size: u64,
    /// Its mode, with whatever bits the archive has.
    pub mode: u32,
    /// When it was changed, in seconds since 1970.
    pub modified: u64,
    /// Its owner's number.
    pub user: Option<u32>,
    /// Its group's number.
    pub group: Option<u32>,
}

/// The item that an entry stands for, without the first `strip` parts of its path. `None` for an entry
/// that is none (global headers) and for one whose path is stripped away.
///
/// # Errors
/// `archive.unsafe_entry` for one that would leave the folder.
pub fn item<R: Read>(entry: &tar::Entry<'_, R>, strip: usize) -> Result<Option<Item>> {
    let header = entry.header();
    let stored = entry.path_bytes();
    let shown = String::from_utf8_lossy(&stored).into_owned();
    let refused = |why: &str| {
        Error::new(
            "archive.unsafe_entry",
            format!("the archive is refused: its entry {shown:?} {why}"),
        )
        .hint("it was made by mistake or with intent; look at it with `archive::list`")
        .detail("entry", shown.clone())
    };
    if header.entry_type() == EntryType::XGlobalHeader {
        return Ok(None);
    }
    let stored = entry
        .path()
        .map_err(|_| refused("has a name that is no path"))?;
    let mut path = PathBuf::new();
    for part in stored.components() {
        match part {
            Component::Normal(name) => path.push(name),
            Component::CurDir => {}
            Component::ParentDir => return Err(refused("leaves the folder (`..`)")),
            Component::RootDir | Component::Prefix(_) => {
                return Err(refused("has an absolute path"));
            }
        }
    }
    let path: PathBuf = path.iter().skip(strip).collect();
    if path.as_os_str().is_empty() {
        return Ok(None);
    }
    let target = || match entry.link_name() {
        Ok(Some(name)) if !name.as_os_str().is_empty() => Ok(name.into_owned()),
        _ => Err(refused("is a link to nothing")),
    };
    let kind = match header.entry_type() {
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => Kind::File,
        EntryType::Directory => Kind::Directory,
        EntryType::Symlink => {
            let target = target()?;
            if !stays_inside(&path, &target) {
                return Err(refused(&format!(
                    "is a link to {}, out of the folder",
                    target.display()
                )));
            }
            Kind::Symlink(target)
        }
        EntryType::Link => {
            let target = target()?;
            let normal =
                |part: &Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
            if !target.components().all(|part| normal(&part)) {
                return Err(refused(&format!(
                    "is a link to {}, out of the folder",
                    target.display()
                )));
            }
            let parts = target
                .components()
                .filter(|part| matches!(part, Component::Normal(_)));
            Kind::HardLink(parts.skip(strip).collect())
        }
        _ => Kind::Other,
    };
    let sparse = header
        .as_gnu()
        .filter(|_| header.entry_type() == EntryType::GNUSparse);
    let size = sparse
        .and_then(|header| header.real_size().ok())
        .unwrap_or_else(|| entry.size());
    let id = |id: std::io::Result<u64>| id.ok().and_then(|id| u32::try_from(id).ok());
    Ok(Some(Item {
        path,
        kind,
        size,
        mode: header.mode().unwrap_or(0o644),
        modified: header.mtime().unwrap_or(0),
        user: id(header.uid()),
        group: id(header.gid()),
    }))
}

/// Whether a symbolic link at `path` leads to a place in the folder, whatever other links there are:
/// so `..` may only stand at its beginning, where it is known which directory it means.
fn stays_inside(path: &Path, target: &Path) -> bool {
    let depth = path.components().count().saturating_sub(1);
    let up = target
        .components()
        .take_while(|part| *part == Component::ParentDir)
        .count();
    let rest = target.components().skip(up);
    up <= depth
        && rest
            .into_iter()
            .all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_stay_inside() {
        for (path, target, inside) in [
            ("a", "b", true),
            ("a", "./b/c", true),
            ("d/a", "../b", true),
            ("d/a", "..", true),
            ("a", "..", false),
            ("d/a", "../../b", false),
            ("a", "/etc/passwd", false),
            // `d/up` may itself be a link.
            ("a", "d/up/../x", false),
            ("a", "./../x", false),
        ] {
            assert_eq!(
                stays_inside(Path::new(path), Path::new(target)),
                inside,
                "{path} -> {target}"
            );
        }
    }
}
