//! What can go wrong with the journal's file, said for an operator.

use std::path::Path;

use crate::error::Error;

/// Why a piece of work on the database stopped.
#[derive(Debug)]
pub(super) enum Failure {
    /// The database said no.
    Sql(sqlx::Error),
    /// We said no, with a sentence of our own.
    Refused(Error),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl Failure {
    /// The error to show, for the journal at `path`.
    pub(super) fn at(self, path: &Path) -> Error {
        match self {
            Self::Sql(error) => explain(path, &error),
            Self::Refused(error) => error,
        }
    }
}

/// SQLite's extended result code, if the error came from there.
/// <https://www.sqlite.org/rescode.html>
pub(super) fn sqlite_code(error: &sqlx::Error) -> Option<i32> {
    error.as_database_error()?.code()?.parse().ok()
}

/// Whether only the rows at hand are wrong, not the file or the disk.
pub(super) fn is_about_the_rows(error: &sqlx::Error) -> bool {
    const CONSTRAINT: i32 = 19;
    const TOO_BIG: i32 = 18;
    sqlite_code(error).is_some_and(|code| matches!(code & 0xff, CONSTRAINT | TOO_BIG))
}

/// The error to show for what SQLite or the file system said about the journal at `path`.
pub(super) fn explain(path: &Path, error: &sqlx::Error) -> Error {
    if let sqlx::Error::Io(error) = error {
        return explain_io(path, error);
    }
    let at = path.display();
    let Some(code) = sqlite_code(error) else {
        return Error::new(
            "journal.failed",
            format!("the journal {at} failed: {error}"),
        );
    };
    // IOERR_SHMSIZE: the -shm file could not grow, which is how a full disk shows first in WAL mode.
    const SHM_CANNOT_GROW: i32 = 4874;
    let explained = match code & 0xff {
        13 => disk_full(path),
        _ if code == SHM_CANNOT_GROW => disk_full(path),
        8 => read_only(path),
        5 | 6 => Error::new(
            "journal.busy",
            format!("the journal {at} stayed locked by another process for longer than 5 s"),
        )
        .hint(format!(
            "see who holds it with `fuser {at}`, or wait for that run; then run this again"
        ))
        .retryable(),
        11 | 26 => Error::new(
            "journal.corrupt",
            format!(
                "the journal {at} is damaged, or is not a journal ({})",
                message(error)
            ),
        )
        .hint(format!(
            "ccrun leaves it as it is; move it aside with `mv {at} {at}.damaged` (and its -wal and \
             -shm files, if there are any) and a new one is begun; `sqlite3 {at}.damaged .recover` \
             may read what is left"
        )),
        14 | 3 | 23 => cannot_open(path, &message(error)),
        10 => Error::new(
            "journal.io",
            format!(
                "reading or writing the journal {at} failed ({})",
                message(error)
            ),
        )
        .hint("look for disk errors with `dmesg | tail`, and for free space with `df -h`"),
        _ => Error::new(
            "journal.failed",
            format!("the journal {at} failed: {}", message(error)),
        ),
    };
    explained.code(code.to_string())
}

/// The error to show when the journal's folder or file could not be made or opened.
pub(super) fn explain_io(path: &Path, error: &std::io::Error) -> Error {
    use std::io::ErrorKind as K;
    match error.kind() {
        K::ReadOnlyFilesystem => read_only(path),
        K::StorageFull | K::QuotaExceeded => disk_full(path),
        _ => cannot_open(path, &error.to_string()),
    }
}

fn message(error: &sqlx::Error) -> String {
    error
        .as_database_error()
        .map_or_else(|| error.to_string(), |e| e.message().to_owned())
}

/// Writing is impossible because the file system does not allow it.
pub(super) fn read_only(path: &Path) -> Error {
    let at = path.display();
    Error::new(
        "journal.read_only",
        format!("the journal {at} cannot be written: it is read-only"),
    )
    .hint(
        "a run is only begun if it can be recorded: make the file system writable (`mount`), \
             check the owner of the file, or keep the journal elsewhere",
    )
}

fn disk_full(path: &Path) -> Error {
    let at = path.display();
    Error::new(
        "journal.disk_full",
        format!("the disk of the journal {at} is full"),
    )
    .hint(format!(
        "free space there (`df -h {at}`), then run it again, or `ccrun resume` it"
    ))
}

fn cannot_open(path: &Path, why: &str) -> Error {
    let at = path.display();
    Error::new(
        "journal.cannot_open",
        format!("the journal {at} cannot be opened: {why}"),
    )
    .hint(format!("check who owns it and its folder: `ls -ld {at}`"))
}
