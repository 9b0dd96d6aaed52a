//! The client of the file system: the one place where files are opened.
#![allow(
    clippy::disallowed_methods,
    reason = "this is the client that files come from"
)]

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use ccrun_kernel::value::Size;
use ccrun_kernel::{Access, Client, Error, Result};
use parking_lot::Mutex;
use rustix::fs::OFlags;

use super::atomic::AtomicFile;
use super::error::{failed, no_directory};
use super::mode::Mode;
use super::work::Work;

/// The file system, as far as a run may use it.
pub struct Files {
    read_only: bool,
    /// Removed when the run is over.
    temporary: Mutex<Vec<Temporary>>,
}

/// Kept for what happens when it is dropped.
#[allow(dead_code, reason = "dropping it removes the file or folder")]
enum Temporary {
    File(tempfile::TempPath),
    Folder(tempfile::TempDir),
}

impl Client for Files {
    async fn open(access: &Access) -> Result<Self> {
        Ok(Self {
            read_only: access.read_only(),
            temporary: Mutex::default(),
        })
    }
}

impl Files {
    fn may_write(&self, action: &str, path: &Path) -> Result<()> {
        if self.read_only {
            return Err(Error::new(
                "read_only",
                format!(
                    "refused to {action} {}: only reading is allowed here",
                    path.display()
                ),
            ));
        }
        Ok(())
    }

    /// What is known of a file; `follow` says whether of what a link points to.
    ///
    /// # Errors
    /// `fs.not_found` and the like.
    pub fn metadata(&self, path: &Path, follow: bool) -> Result<Metadata> {
        let found = if follow {
            fs::metadata(path)
        } else {
            fs::symlink_metadata(path)
        };
        found.map_err(|error| failed("look at", path, &error))
    }

    /// The same, `None` where nothing is there.
    ///
    /// # Errors
    /// `fs.permission_denied` and the like.
    pub fn find(&self, path: &Path, follow: bool) -> Result<Option<Metadata>> {
        use io::ErrorKind::{NotADirectory, NotFound};
        let found = if follow {
            fs::metadata(path)
        } else {
            fs::symlink_metadata(path)
        };
        match found {
            Ok(metadata) => Ok(Some(metadata)),
            Err(error) if matches!(error.kind(), NotFound | NotADirectory) => Ok(None),
            Err(error) => Err(failed("look at", path, &error)),
        }
    }

    /// Open a regular file for reading. Pipes and devices are refused: they may never end.
    ///
    /// # Errors
    /// `fs.not_found`, `fs.is_a_directory`, `fs.not_a_file` and the like.
    pub fn open_file(&self, path: &Path) -> Result<(File, Metadata)> {
        // Opening a pipe waits for its other end, unless it is opened like this.
        let nonblocking = OFlags::NONBLOCK.bits() as i32;
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(nonblocking)
            .open(path);
        let file = file.map_err(|error| failed("read", path, &error))?;
        let metadata = file
            .metadata()
            .map_err(|error| failed("read", path, &error))?;
        regular("read", path, &metadata)?;
        Ok((file, metadata))
    }

    /// The bytes of a file of at most `max` bytes.
    ///
    /// # Errors
    /// `fs.too_large` and what [`Self::open_file`] says.
    pub fn read(&self, work: &Work, path: &Path, max: Size) -> Result<Vec<u8>> {
        let (file, metadata) = self.open_file(path)?;
        let too_large = |length: u64| {
            Error::new(
                "fs.too_large",
                format!(
                    "{} has {}, and at most {max} are read at once",
                    path.display(),
                    Size::from_bytes(length)
                ),
            )
            .hint("go through it with `fs::each_line`, or raise the limit with `#{ max: \"…\" }`")
            .detail("size", length)
        };
        if metadata.len() > max.bytes() {
            return Err(too_large(metadata.len()));
        }
        // What the file system tells as the length is a hint only: files in /proc have 0.
        let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
        let mut reader = work.reading(file.take(max.bytes().saturating_add(1)), |_| ());
        reader
            .read_to_end(&mut bytes)
            .map_err(|error| failed("read", path, &error))?;
        if bytes.len() as u64 > max.bytes() {
            return Err(too_large(bytes.len() as u64));
        }
        Ok(bytes)
    }

    /// Begin to replace a file as a whole.
    ///
    /// # Errors
    /// `read_only`, `fs.not_found` for a missing directory, `fs.is_a_directory` and the like.
    pub fn replace(&self, work: &Work, path: &Path, mode: Option<Mode>) -> Result<AtomicFile> {
        self.may_write("write", path)?;
        let existing = self.find(path, true)?;
        if let Some(metadata) = &existing {
            regular("write", path, metadata)?;
        }
        AtomicFile::begin(work, path, mode, existing.as_ref())
    }

    /// Open a file to write at its end; `mode` is for one that is new.
    ///
    /// # Errors
    /// `read_only`, `fs.not_found` for a missing directory, `fs.is_a_directory` and the like.
    pub fn open_to_append(&self, path: &Path, mode: Option<Mode>) -> Result<File> {
        self.may_write("append to", path)?;
        let mode = mode.map_or(0o666, Mode::bits);
        let nonblocking = OFlags::NONBLOCK.bits() as i32;
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(mode)
            .custom_flags(nonblocking)
            .open(path)
            .map_err(|error| match (error.kind(), path.parent()) {
                (io::ErrorKind::NotFound, Some(folder)) => no_directory("append to", path, folder),
                _ => failed("append to", path, &error),
            })?;
        let metadata = file
            .metadata()
            .map_err(|error| failed("append to", path, &error))?;
        regular("append to", path, &metadata)?;
        Ok(file)
    }

    /// Create a directory and those above it; whether it is new.
    ///
    /// # Errors
    /// `read_only`, `fs.already_exists` where a file is in the way, and the like.
    pub fn create_dir(&self, path: &Path, mode: Option<Mode>) -> Result<bool> {
        self.may_write("create the directory", path)?;
        match self.find(path, true)? {
            Some(metadata) if metadata.is_dir() => return Ok(false),
            Some(_) => {
                return Err(Error::new(
                    "fs.already_exists",
                    format!(
                        "can't create the directory {}: there is a file of that name",
                        path.display()
                    ),
                )
                .hint("remove the file first, or choose another name"));
            }
            None => {}
        }
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        if let Some(parent) = path.parent() {
            builder
                .create(parent)
                .map_err(|error| failed("create the directory", parent, &error))?;
        }
        // Only the last one is for the caller's purpose; a narrow mode must hold from its first moment.
        let asked = mode.map_or(0o777, Mode::bits);
        builder
            .mode(asked)
            .create(path)
            .map_err(|error| failed("create the directory", path, &error))?;
        if let Some(mode) = mode {
            self.chmod(path, mode)?;
        }
        Ok(true)
    }

    /// A new file, in place of another or of a link that has its name.
    ///
    /// # Errors
    /// `read_only`, `fs.is_a_directory`, `io.disk_full` and the like.
    pub fn create_file(&self, path: &Path, mode: Mode) -> Result<File> {
        self.remove(path)?;
        // Not through a link that somebody puts there just now.
        create_beside(path, mode.bits()).map_err(|error| failed("write", path, &error))
    }

    /// A second name for a file.
    ///
    /// # Errors
    /// `read_only`, `fs.not_found`, `fs.already_exists` and the like.
    pub fn hard_link(&self, existing: &Path, path: &Path) -> Result<()> {
        self.may_write("make the link", path)?;
        fs::hard_link(existing, path).map_err(|error| failed("make the link", path, &error))
    }

    /// Create the directories of `inside` below `root`, which is there, without following any link.
    ///
    /// # Errors
    /// `read_only`, `fs.unsafe_path` where a link is in the way, `fs.not_a_directory` for a file.
    pub fn create_dirs_below(&self, root: &Path, inside: &Path) -> Result<()> {
        self.may_write("create directories in", root)?;
        let mut path = root.to_owned();
        for part in inside {
            path.push(part);
            match self.find(&path, false)? {
                Some(found) if found.is_dir() => {}
                Some(found) if found.is_symlink() => {
                    return Err(Error::new(
                        "fs.unsafe_path",
                        format!(
                            "refused to write through the symbolic link {}",
                            path.display()
                        ),
                    )
                    .hint("remove the link first, if a directory belongs there"));
                }
                Some(_) => {
                    return Err(failed(
                        "create the directory",
                        &path,
                        &io::ErrorKind::NotADirectory.into(),
                    ));
                }
                None => fs::create_dir(&path)
                    .map_err(|error| failed("create the directory", &path, &error))?,
            }
        }
        Ok(())
    }

    /// Rename a file or directory.
    ///
    /// # Errors
    /// `read_only`, `fs.not_found`, `fs.other_device` and the like.
    pub fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.may_write("rename", from)?;
        fs::rename(from, to).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound if is_there(from) => failed("rename something to", to, &error),
            _ => failed("rename", from, &error),
        })
    }

    /// Remove a file or a link; whether there was one.
    ///
    /// # Errors
    /// `read_only`, `fs.is_a_directory` and the like.
    pub fn remove(&self, path: &Path) -> Result<bool> {
        self.may_write("remove", path)?;
        match self.find(path, false)? {
            None => return Ok(false),
            Some(metadata) if metadata.is_dir() => {
                return Err(failed("remove", path, &io::ErrorKind::IsADirectory.into())
                    .hint("`fs::remove_all` removes a directory with what is in it"));
            }
            Some(_) => {}
        }
        fs::remove_file(path)
            .map(|()| true)
            .map_err(|error| failed("remove", path, &error))
    }

    /// Remove a directory with all that is in it, or a file; whether there was one.
    ///
    /// # Errors
    /// `read_only`, `fs.permission_denied` and the like; what was removed until then is gone.
    pub fn remove_all(&self, path: &Path) -> Result<bool> {
        self.may_write("remove", path)?;
        let Some(metadata) = self.find(path, false)? else {
            return Ok(false);
        };
        let removed = if metadata.is_dir() {
            fs::remove_dir_all(path)
        } else {
            fs::remove_file(path)
        };
        removed
            .map(|()| true)
            .map_err(|error| failed("remove", path, &error))
    }

    /// The entries of a directory, sorted by name, each with what is known of it.
    ///
    /// # Errors
    /// `fs.not_found`, `fs.not_a_directory` and the like.
    pub fn entries(&self, path: &Path) -> Result<Vec<Entry>> {
        let found = |error: io::Error| failed("list", path, &error);
        let mut entries = Vec::new();
        for entry in fs::read_dir(path).map_err(found)? {
            let entry = entry.map_err(found)?;
            // One that went away in the meantime is none.
            if let Ok(metadata) = fs::symlink_metadata(entry.path()) {
                entries.push(Entry {
                    path: entry.path(),
                    metadata,
                });
            }
        }
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(entries)
    }

    /// Set the mode of a file or directory.
    ///
    /// # Errors
    /// `read_only`, `fs.not_found` and the like.
    pub fn chmod(&self, path: &Path, mode: Mode) -> Result<()> {
        self.may_write("change the mode of", path)?;
        fs::set_permissions(path, Permissions::from_mode(mode.bits()))
            .map_err(|error| failed("change the mode of", path, &error))
    }

    /// Set the owner, the group or both.
    ///
    /// # Errors
    /// `read_only`, `fs.not_found`, `fs.permission_denied` and the like.
    pub fn chown(&self, path: &Path, user: Option<u32>, group: Option<u32>) -> Result<()> {
        self.may_write("change the owner of", path)?;
        std::os::unix::fs::chown(path, user, group)
            .map_err(|error| failed("change the owner of", path, &error))
    }

    /// Make a symbolic link.
    ///
    /// # Errors
    /// `read_only`, `fs.already_exists` and the like.
    pub fn symlink(&self, target: &str, link: &Path) -> Result<()> {
        self.may_write("make the link", link)?;
        std::os::unix::fs::symlink(target, link)
            .map_err(|error| failed("make the link", link, &error))
    }

    /// What a symbolic link says.
    ///
    /// # Errors
    /// `fs.not_found`, `fs.not_a_link` and the like.
    pub fn read_link(&self, path: &Path) -> Result<PathBuf> {
        fs::read_link(path).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidInput => Error::new(
                "fs.not_a_link",
                format!("{} is not a symbolic link", path.display()),
            )
            .hint("`fs::metadata(path).type` says what it is"),
            _ => failed("read the link", path, &error),
        })
    }

    /// An empty file that is removed when the run is over.
    ///
    /// # Errors
    /// `read_only`, `io.disk_full` and the like.
    pub fn temp_file(&self, suffix: &str) -> Result<PathBuf> {
        let folder = temporary_folder();
        self.may_write("make a temporary file in", &folder)?;
        let made = tempfile::Builder::new()
            .prefix("ccrun-")
            .suffix(suffix)
            .tempfile_in(&folder);
        let file = made.map_err(|error| failed("make a temporary file in", &folder, &error))?;
        let path = file.into_temp_path();
        let shown = path.to_path_buf();
        self.temporary.lock().push(Temporary::File(path));
        Ok(shown)
    }

    /// An empty directory that is removed with what is in it when the run is over.
    ///
    /// # Errors
    /// `read_only`, `io.disk_full` and the like.
    pub fn temp_dir(&self) -> Result<PathBuf> {
        let folder = temporary_folder();
        self.may_write("make a temporary directory in", &folder)?;
        let made = tempfile::Builder::new()
            .prefix("ccrun-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(&folder);
        let made =
            made.map_err(|error| failed("make a temporary directory in", &folder, &error))?;
        let shown = made.path().to_owned();
        self.temporary.lock().push(Temporary::Folder(made));
        Ok(shown)
    }
}

/// One entry of a directory.
pub struct Entry {
    /// Its path.
    pub path: PathBuf,
    /// What is known of it; of a link, of the link itself.
    pub metadata: Metadata,
}

fn regular(action: &str, path: &Path, metadata: &Metadata) -> Result<()> {
    let kind = metadata.file_type();
    if kind.is_file() {
        return Ok(());
    }
    if kind.is_dir() {
        return Err(failed(action, path, &io::ErrorKind::IsADirectory.into()));
    }
    let what = if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    };
    Err(Error::new(
        "fs.not_a_file",
        format!("can't {action} {}: it is {what}", path.display()),
    )
    .hint("only regular files are read and written as a whole; use a program for it (`sh::run`)"))
}

/// Where temporary files are made, with its symbolic links resolved.
#[must_use]
pub fn temporary_folder() -> PathBuf {
    let folder = std::env::temp_dir();
    fs::canonicalize(&folder).unwrap_or(folder)
}

/// The home folder.
pub(super) fn home() -> Option<PathBuf> {
    std::env::home_dir().filter(|home| home.is_absolute())
}

/// Where a symbolic link points to; `None` for anything else.
pub(super) fn link_target(path: &Path) -> Option<PathBuf> {
    fs::read_link(path).ok()
}

/// Whether there is something of that name, if only a broken link.
pub(super) fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Some names in a directory, for "did you mean".
pub(super) fn names_in(folder: &Path, most: usize) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    entries
        .take(most)
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

/// Remove a temporary file; there is nobody to tell if that fails.
pub(super) fn discard(path: &Path) {
    drop(fs::remove_file(path));
}

/// A new file next to the one it will replace.
pub(super) fn create_beside(path: &Path, mode: u32) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
}

/// Let the file at `temporary` take the place of `path`, and make that durable.
pub(super) fn take_place(temporary: &Path, path: &Path) -> io::Result<()> {
    fs::rename(temporary, path)?;
    // rename(2) is durable once the directory is. Some file systems can't sync directories.
    if let Some(folder) = path.parent()
        && let Ok(folder) = File::open(folder)
    {
        drop(folder.sync_all());
    }
    Ok(())
}

/// Give `file` the owner and mode that the file it replaces has.
pub(super) fn take_over(
    file: &File,
    mode: Option<Mode>,
    existing: Option<&Metadata>,
) -> io::Result<()> {
    if let Some(old) = existing {
        let new = file.metadata()?;
        if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
            let changed = std::os::unix::fs::fchown(file, Some(old.uid()), Some(old.gid()));
            // Only root gives files away. To anyone else the file belongs once it is replaced.
            if rustix::process::geteuid().is_root() {
                changed?;
            }
        }
    }
    // After the owner: changing it clears the set-user-ID bit.
    match (mode, existing) {
        (Some(mode), _) => file.set_permissions(Permissions::from_mode(mode.bits())),
        (None, Some(old)) => file.set_permissions(Permissions::from_mode(old.mode() & 0o7777)),
        (None, None) => Ok(()),
    }
}
