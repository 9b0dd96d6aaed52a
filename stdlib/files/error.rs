//! Errors of the file system, with what to do about them.

use std::io::{self, ErrorKind};
use std::path::Path;

use ccrun_kernel::Error;
use ccrun_kernel::value::closest;

use super::client;

/// The error of `action` ("read", "write" …) on `path`.
#[must_use]
pub fn failed(action: &str, path: &Path, error: &io::Error) -> Error {
    let shown = path.display();
    let (kind, why, hint) = match error.kind() {
        ErrorKind::NotFound => (
            "fs.not_found",
            "it does not exist".to_owned(),
            missing(path),
        ),
        ErrorKind::PermissionDenied => (
            "fs.permission_denied",
            "the system does not permit it".to_owned(),
            format!(
                "look at owner and mode with `ls -ld {shown}`, and at who ccrun runs as with `id`"
            ),
        ),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => (
            "io.disk_full",
            "the disk is full".to_owned(),
            format!("free space there (`df -h {shown}`) and run it again; nothing was overwritten"),
        ),
        ErrorKind::ReadOnlyFilesystem => (
            "io.read_only",
            "the file system is mounted read-only".to_owned(),
            format!("`findmnt -T {shown}` shows the mount; `dmesg` why it became read-only"),
        ),
        ErrorKind::AlreadyExists => (
            "fs.already_exists",
            "it exists already".to_owned(),
            "remove it first, or choose another name".to_owned(),
        ),
        ErrorKind::IsADirectory => (
            "fs.is_a_directory",
            "it is a directory".to_owned(),
            "give the path of a file".to_owned(),
        ),
        ErrorKind::NotADirectory => (
            "fs.not_a_directory",
            "it, or a part of its path, is not a directory".to_owned(),
            format!("`ls -ld {shown}` and its parents show which"),
        ),
        ErrorKind::DirectoryNotEmpty => (
            "fs.not_empty",
            "it is not empty".to_owned(),
            "`fs::remove_all` removes a directory with what is in it".to_owned(),
        ),
        ErrorKind::CrossesDevices => (
            "fs.other_device",
            "the two are on different file systems".to_owned(),
            "copy it and remove the original".to_owned(),
        ),
        _ => (
            "fs.failed",
            without_code(error),
            format!("`ls -ld {shown}` and `dmesg` may show more"),
        ),
    };
    let built = Error::new(kind, format!("can't {action} {shown}: {why}")).hint(hint);
    let built = built.detail("path", shown.to_string());
    match error.raw_os_error().and_then(errno_name) {
        Some(name) => built.code(name),
        None => built,
    }
}

/// The error of creating a file in a directory that does not exist.
#[must_use]
pub fn no_directory(action: &str, path: &Path, folder: &Path) -> Error {
    let hint = missing(folder);
    Error::new(
        "fs.not_found",
        format!("can't {action} {}: there is no directory {}", path.display(), folder.display()),
    )
    .hint(match hint.starts_with("did you mean") {
        true => hint,
        false => "say `#{ parents: true }` where there is that option, or create it with `fs::create_dir`".to_owned(),
    })
    .code("ENOENT")
    .detail("path", path.display().to_string())
}

/// What is missing, and what was probably meant.
fn missing(path: &Path) -> String {
    let mut existing = path;
    let mut absent = path;
    while !client::is_there(existing) {
        absent = existing;
        match existing.parent() {
            Some(parent) => existing = parent,
            None => break,
        }
    }
    let names = client::names_in(existing, 2_000);
    let wanted = absent
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    match closest(wanted, names.iter().map(String::as_str)) {
        Some(name) => format!("did you mean {}?", existing.join(name).display()),
        None if absent != path => {
            format!("the directory {} does not exist either", absent.display())
        }
        None => format!("`ls {}` shows what is there", existing.display()),
    }
}

/// The system's text, without `(os error 5)`.
fn without_code(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

fn errno_name(code: i32) -> Option<&'static str> {
    use rustix::io::Errno as E;
    [
        (E::NOENT, "ENOENT"),
        (E::ACCESS, "EACCES"),
        (E::PERM, "EPERM"),
        (E::NOSPC, "ENOSPC"),
        (E::DQUOT, "EDQUOT"),
        (E::ROFS, "EROFS"),
        (E::EXIST, "EEXIST"),
        (E::ISDIR, "EISDIR"),
        (E::NOTDIR, "ENOTDIR"),
        (E::NOTEMPTY, "ENOTEMPTY"),
        (E::XDEV, "EXDEV"),
        (E::IO, "EIO"),
        (E::LOOP, "ELOOP"),
        (E::NAMETOOLONG, "ENAMETOOLONG"),
        (E::BUSY, "EBUSY"),
        (E::MFILE, "EMFILE"),
        (E::FBIG, "EFBIG"),
        (E::TXTBSY, "ETXTBSY"),
        (E::STALE, "ESTALE"),
    ]
    .into_iter()
    .find(|(errno, _)| errno.raw_os_error() == code)
    .map(|(_, name)| name)
}
