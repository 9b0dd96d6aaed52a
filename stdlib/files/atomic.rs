//! Replacing a file as a whole: whoever reads it sees the old one or the new one.

use std::fs::{File, Metadata};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use ccrun_kernel::Result;

use super::client;
use super::error::{failed, no_directory};
use super::mode::Mode;
use super::work::Work;

/// A file that takes the place of another when it is complete. Until then it has another name in the
/// same directory; when it is dropped before, or the call is cancelled, it is removed.
pub struct AtomicFile {
    /// `None` once it is in place.
    file: Option<File>,
    temporary: PathBuf,
    path: PathBuf,
    work: Work,
    mode: Option<Mode>,
    existing: Option<Metadata>,
    written: u64,
}

impl AtomicFile {
    pub(super) fn begin(
        work: &Work,
        path: &Path,
        mode: Option<Mode>,
        existing: Option<&Metadata>,
    ) -> Result<Self> {
        // What replaces a file, or has a mode of its own, is nobody else's to read before it has it.
        let narrow = mode.is_some() || existing.is_some();
        let create =
            |temporary: &Path| client::create_beside(temporary, if narrow { 0o600 } else { 0o666 });
        Self::with(work, path, mode, existing, create)
    }

    fn with(
        work: &Work,
        path: &Path,
        mode: Option<Mode>,
        existing: Option<&Metadata>,
        create: impl FnOnce(&Path) -> io::Result<File>,
    ) -> Result<Self> {
        let folder = path.parent().unwrap_or(Path::new("/"));
        // The name may be as long as names can be, so the temporary one is not made of it.
        let temporary = folder.join(format!(".ccrun-{}.tmp", uuid::Uuid::new_v4().simple()));
        let file = work
            .begin(&temporary, || create(&temporary))
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => no_directory("write", path, folder),
                io::ErrorKind::PermissionDenied => {
                    failed("write into the directory", folder, &error)
                }
                _ => failed("write", path, &error),
            })?;
        Ok(Self {
            file: Some(file),
            temporary,
            path: path.to_owned(),
            work: work.clone(),
            mode,
            existing: existing.cloned(),
            written: 0,
        })
    }

    /// The name it has until it is in place.
    #[must_use]
    pub fn temporary(&self) -> &Path {
        &self.temporary
    }

    /// How many bytes were written.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Write all of it, in pieces between which the call can be cancelled.
    ///
    /// # Errors
    /// `io.disk_full` and the like.
    pub fn write_content(&mut self, bytes: &[u8]) -> Result<()> {
        for piece in bytes.chunks(1 << 20) {
            self.write_all(piece)
                .map_err(|error| failed("write", &self.path, &error))?;
        }
        Ok(())
    }

    /// Make it durable and let it take the place of the old file.
    ///
    /// # Errors
    /// `io.disk_full` and the like; the old file is then as it was.
    pub fn commit(mut self) -> Result<()> {
        let Some(file) = self.file.take() else {
            return Ok(());
        };
        let finish = || {
            client::take_over(&file, self.mode, self.existing.as_ref())?;
            file.sync_all()?;
            self.work.finish(&self.temporary, || {
                client::take_place(&self.temporary, &self.path)
            })
        };
        let finished = finish();
        if finished.is_err() {
            self.work.give_up(&self.temporary);
        }
        finished.map_err(|error| failed("write", &self.path, &error))
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.work
            .check()
            .map_err(|error| io::Error::other(error.message().to_owned()))?;
        let Some(file) = &mut self.file else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let written = file.write(bytes)?;
        self.written += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if self.file.is_some() {
            self.work.give_up(&self.temporary);
        }
    }
}

#[cfg(test)]
#[allow(
    clippy::disallowed_methods,
    reason = "tests look at the files themselves"
)]
mod tests {
    use std::fs;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn on_a_full_disk_the_old_file_stays_and_the_new_one_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        fs::write(&path, "old").unwrap();
        // The system's own full disk: every write to it says so.
        let full = |temporary: &Path| {
            fs::write(temporary, "")?;
            fs::OpenOptions::new().write(true).open("/dev/full")
        };
        let mut file = AtomicFile::with(&Work::default(), &path, None, None, full).unwrap();
        assert_eq!(names(folder.path()).len(), 2);
        let error = file.write_content(b"new").unwrap_err();
        drop(file);
        assert_eq!(error.kind(), "io.disk_full");
        assert!(error.hint_text().unwrap().contains("df -h"), "{error:?}");
        assert_eq!(names(folder.path()), ["config.toml"]);
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    }

    #[test]
    fn what_is_not_complete_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let mut file = AtomicFile::begin(&Work::default(), &path, None, None).unwrap();
        file.write_content(b"half").unwrap();
        drop(file);
        assert!(names(folder.path()).is_empty());
    }
}
