//! Paths as scripts write them, resolved to where they really lead.
//!
//! A permission is given for a place, so a path is resolved before it is compared: relative ones
//! start from the run's folder, `~/` is the home folder, and symbolic links are followed, so that a
//! link in a permitted folder does not open what it points to.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::path::{Component, Path, PathBuf};

use ccrun_kernel::rhai::Dynamic;
use ccrun_kernel::scope::Scope;
use ccrun_kernel::{FromArg, Mismatch};

use super::client;

/// The path of a file to read or write: every symbolic link in it is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilePath(PathBuf);

/// The path of an entry of a directory: the links on the way are followed, not the entry itself. For
/// what works on the link and not on what it points to: remove, rename, read_link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryPath(PathBuf);

macro_rules! path_type {
    ($name:ident, $follow:literal) => {
        impl std::ops::Deref for $name {
            type Target = Path;
            fn deref(&self) -> &Path {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.display().fmt(f)
            }
        }

        impl FromArg for $name {
            fn type_name() -> String {
                "string".into()
            }

            fn from_arg(value: Dynamic) -> Result<Self, Mismatch> {
                let text = String::from_arg(value)?;
                let folder = folder_of_run()?;
                resolve(&text, &folder, $follow)
                    .map(Self)
                    .map_err(Mismatch::Value)
            }
        }
    };
}

path_type!(FilePath, true);
path_type!(EntryPath, false);

/// Where relative paths of the running script start.
///
/// # Errors
/// Outside of a run.
pub fn folder_of_run() -> Result<PathBuf, Mismatch> {
    match Scope::current() {
        Ok(scope) => Ok(scope.run().folder().to_owned()),
        Err(error) => Err(Mismatch::Value(error.message().to_owned())),
    }
}

/// As many links in one path as the kernel follows (path_resolution(7)).
const MOST_LINKS: usize = 40;

/// The absolute path that `text` leads to from `folder`. What does not exist yet is taken as written;
/// `last` says whether a link at the very end is followed.
///
/// # Errors
/// A sentence on why the text is no path.
pub fn resolve(text: &str, folder: &Path, last: bool) -> Result<PathBuf, String> {
    if text.is_empty() {
        return Err("an empty string is not a path".into());
    }
    if text.contains('\0') {
        return Err("a path has no NUL character in it".into());
    }
    let start = match text.strip_prefix('~') {
        None => folder.join(text),
        Some(rest) if rest.is_empty() || rest.starts_with('/') => {
            let home = client::home().ok_or("the home folder is not known: `HOME` is not set")?;
            home.join(rest.trim_start_matches('/'))
        }
        Some(_) => {
            return Err(format!(
                "only `~/` is expanded: write the path in full, or `./{text}`"
            ));
        }
    };

    let mut todo: VecDeque<OsString> = parts(&start);
    let mut reached = PathBuf::from("/");
    let mut links = 0;
    while let Some(part) = todo.pop_front() {
        if part == ".." {
            reached.pop();
            continue;
        }
        reached.push(&part);
        if todo.is_empty() && !last {
            break;
        }
        let Some(target) = client::link_target(&reached) else {
            continue;
        };
        links += 1;
        if links > MOST_LINKS {
            return Err(format!("`{text}` leads through too many symbolic links"));
        }
        reached.pop();
        if target.is_absolute() {
            reached = PathBuf::from("/");
        }
        for part in parts(&target).into_iter().rev() {
            todo.push_front(part);
        }
    }
    Ok(reached)
}

fn parts(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}
