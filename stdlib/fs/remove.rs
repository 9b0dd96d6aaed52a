//! Removing files and directories.

use std::path::{Path, PathBuf};

use ccrun_kernel::value::Size;
use ccrun_kernel::{Cx, Error, Preview, Result, primitive};

use crate::files::{EntryPath, Files, Work, blocking, resolve};

/// Remove a file or a symbolic link, and return whether there was one.
///
/// What is not there any more is no error, so that a resumed step can do it again.
///
/// # Errors
/// `fs.is_a_directory` (see `remove_all`), `fs.permission_denied`, `io.read_only`.
///
/// # Example
/// ```rhai
/// fs::write("old.log", "");
/// assert(fs::remove("old.log"));
/// assert(!fs::remove("old.log"));
/// ```
#[primitive(change, needs = fs(path), preview = remove_preview)]
async fn remove(cx: &Cx, path: EntryPath) -> Result<bool> {
    let files = cx.client::<Files>().await?;
    let removed = blocking(cx, move |_| files.remove(&path)).await?;
    if !removed {
        cx.unchanged();
    }
    Ok(removed)
}

async fn remove_preview(cx: &Cx, path: &EntryPath) -> Result<Preview> {
    let files = cx.client::<Files>().await?;
    let path = path.clone();
    blocking(cx, move |_| {
        Ok(match files.find(&path, false)? {
            None => Preview::new(format!("{path} is not there")).unchanged(),
            Some(found) => {
                let size = Size::from_bytes(found.len());
                Preview::new(format!("remove {path} ({size})"))
            }
        })
    })
    .await
}

/// Remove a directory with everything in it, and return whether there was one.
///
/// Symbolic links in it are removed, and not followed. If it fails half-way, what was removed until
/// then is gone.
///
/// # Errors
/// `fs.refused` for `/`, the system's own top directories, the home and the working folder and
/// whatever contains them; `fs.permission_denied`, `io.read_only`.
///
/// # Example
/// ```rhai
/// fs::write("build/a/b.txt", "x", #{ parents: true });
/// fs::remove_all("build");
/// assert(!fs::exists("build"));
/// ```
#[primitive(change, needs = fs(path), preview = remove_all_preview)]
async fn remove_all(cx: &Cx, path: EntryPath) -> Result<bool> {
    let files = cx.client::<Files>().await?;
    refuse_precious(cx, &path)?;
    let removed = blocking(cx, move |_| files.remove_all(&path)).await?;
    if !removed {
        cx.unchanged();
    }
    Ok(removed)
}

async fn remove_all_preview(cx: &Cx, path: &EntryPath) -> Result<Preview> {
    refuse_precious(cx, path)?;
    let files = cx.client::<Files>().await?;
    let path = path.clone();
    blocking(cx, move |work| {
        let Some(found) = files.find(&path, false)? else {
            return Ok(Preview::new(format!("{path} is not there")).unchanged());
        };
        if !found.is_dir() {
            return Ok(Preview::new(format!("remove {path}")));
        }
        let Contents {
            entries,
            bytes,
            complete,
        } = contents(work, &files, &path)?;
        let more = if complete { "" } else { "more than " };
        let size = Size::from_bytes(bytes);
        Ok(Preview::new(format!(
            "remove {path} with {more}{entries} entries ({size})"
        )))
    })
    .await
}

struct Contents {
    entries: u64,
    bytes: u64,
    complete: bool,
}

/// How much a directory holds, as far as a preview wants to know.
fn contents(work: &Work, files: &Files, path: &Path) -> Result<Contents> {
    const ENOUGH: u64 = 100_000;
    let mut counted = Contents {
        entries: 0,
        bytes: 0,
        complete: true,
    };
    let mut todo: Vec<PathBuf> = vec![path.to_owned()];
    while let Some(folder) = todo.pop() {
        work.check()?;
        // What can't be looked into is still counted itself.
        for entry in files.entries(&folder).unwrap_or_default() {
            counted.entries += 1;
            counted.bytes += entry.metadata.len();
            if entry.metadata.is_dir() {
                todo.push(entry.path);
            }
        }
        if counted.entries > ENOUGH {
            counted.complete = false;
            break;
        }
    }
    Ok(counted)
}

/// The top directories of the file system hierarchy (hier(7)).
const SYSTEM: [&str; 18] = [
    "bin", "boot", "dev", "etc", "home", "lib", "lib64", "media", "opt", "proc", "root", "run",
    "sbin", "srv", "sys", "tmp", "usr", "var",
];

fn refuse_precious(cx: &Cx, path: &Path) -> Result<()> {
    let refused = |why: &str| {
        Err(Error::new(
            "fs.refused",
            format!("refused to remove {}: it is {why}", path.display()),
        )
        .hint("remove what is in it by name"))
    };
    let top = path.parent() == Some(Path::new("/"));
    if path.parent().is_none() {
        return refused("the root of the file system");
    }
    if top
        && path
            .file_name()
            .is_some_and(|name| SYSTEM.iter().any(|system| name == *system))
    {
        return refused("a directory of the system");
    }
    for (text, what) in [(".", "the working folder"), ("~", "the home folder")] {
        if let Ok(precious) = resolve(text, cx.folder(), true)
            && precious.starts_with(path)
        {
            return refused(&match precious == path {
                true => what.to_owned(),
                false => format!("above {what} ({})", precious.display()),
            });
        }
    }
    Ok(())
}
