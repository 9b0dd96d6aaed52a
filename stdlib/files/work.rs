//! Blocking work that can be abandoned.
//!
//! A primitive's future is dropped when the run is cancelled, but a blocking thread runs on. So the
//! thread asks [`Work::check`] between its chunks, and the temporary files that it has registered are
//! removed by the drop itself: when the call is over, none is left, whatever the thread still does.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ccrun_kernel::{Cx, Error, Result};
use parking_lot::Mutex;

use super::client;

/// What a blocking thread knows of the call it works for.
#[derive(Clone, Default)]
pub struct Work(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    abandoned: bool,
    temporary: Vec<PathBuf>,
}

/// Run `work` on a blocking thread. When the call is cancelled, the work is told to stop and its
/// temporary files are removed.
///
/// # Errors
/// What the work says.
pub async fn blocking<T: Send + 'static>(
    cx: &Cx,
    work: impl FnOnce(&Work) -> Result<T> + Send + 'static,
) -> Result<T> {
    let guard = AbandonOnDrop(Work::default());
    let handed = guard.0.clone();
    cx.blocking(move || work(&handed)).await
}

struct AbandonOnDrop(Work);

impl Drop for AbandonOnDrop {
    fn drop(&mut self) {
        let mut state = self.0.0.lock();
        state.abandoned = true;
        for path in state.temporary.drain(..) {
            client::discard(&path);
        }
    }
}

impl Work {
    /// Whether to go on.
    ///
    /// # Errors
    /// `cancelled` when nobody waits for the result any more.
    pub fn check(&self) -> Result<()> {
        match self.0.lock().abandoned {
            true => Err(Error::new("cancelled", "the call was cancelled")),
            false => Ok(()),
        }
    }

    /// Make a temporary file or folder with `create`, and see to it that it goes when the call is
    /// cancelled. The lock is held, so that none is made after that.
    pub(super) fn begin<T>(
        &self,
        path: &Path,
        create: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        let mut state = self.0.lock();
        if state.abandoned {
            return Err(interrupted());
        }
        let made = create()?;
        state.temporary.push(path.to_owned());
        Ok(made)
    }

    /// Let `path` become what it was made for; after a cancellation it does not.
    pub(super) fn finish<T>(
        &self,
        path: &Path,
        keep: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        let mut state = self.0.lock();
        if state.abandoned {
            return Err(interrupted());
        }
        let kept = keep()?;
        state.temporary.retain(|other| other != path);
        Ok(kept)
    }

    /// Remove `path` before its time.
    pub(super) fn give_up(&self, path: &Path) {
        let mut state = self.0.lock();
        if let Some(index) = state.temporary.iter().position(|other| other == path) {
            state.temporary.swap_remove(index);
            client::discard(path);
        }
    }

    /// A reader that stops when the call is cancelled, and tells how much went through it.
    pub fn reading<R: Read>(&self, inner: R, told: impl FnMut(u64)) -> impl Read {
        Watched {
            inner,
            work: self.clone(),
            told,
        }
    }
}

struct Watched<R, F> {
    inner: R,
    work: Work,
    told: F,
}

impl<R: Read, F: FnMut(u64)> Read for Watched<R, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.work.check().map_err(|_| interrupted())?;
        let read = self.inner.read(buffer)?;
        (self.told)(read as u64);
        Ok(read)
    }
}

fn interrupted() -> io::Error {
    // Not `Interrupted`: loops of the standard library try again on that.
    io::Error::other("the call was cancelled")
}
