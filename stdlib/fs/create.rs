//! Making directories and symbolic links.

use std::path::{Path, PathBuf};

use ccrun_kernel::{Cx, Error, Options, Preview, Result, primitive};

use crate::files::{EntryPath, FilePath, Files, Mode, blocking, failed};

/// How a directory is made.
#[derive(Clone, Options)]
pub struct CreateDirOptions {
    /// The mode of a new directory, such as `"0750"`; without it, what the umask leaves.
    mode: Option<Mode>,
}

/// Create a directory, with the ones above it that are missing.
///
/// If it is there already, nothing is changed.
///
/// # Errors
/// `fs.already_exists` where a file has that name, `fs.permission_denied`, `io.disk_full`.
///
/// # Example
/// ```rhai
/// fs::create_dir("data/2025", #{ mode: "0750" });
/// assert(fs::is_dir("data/2025"));
/// ```
#[primitive(change, needs = fs(path), preview = create_dir_preview)]
async fn create_dir(cx: &Cx, path: FilePath, options: CreateDirOptions) -> Result<()> {
    let files = cx.client::<Files>().await?;
    if !blocking(cx, move |_| files.create_dir(&path, options.mode)).await? {
        cx.unchanged();
    }
    Ok(())
}

async fn create_dir_preview(
    cx: &Cx,
    path: &FilePath,
    _options: &CreateDirOptions,
) -> Result<Preview> {
    let files = cx.client::<Files>().await?;
    let path = path.clone();
    blocking(cx, move |_| {
        Ok(match files.find(&path, true)? {
            Some(found) if found.is_dir() => {
                Preview::new(format!("{path} is there already")).unchanged()
            }
            Some(_) => {
                return Err(failed(
                    "create the directory",
                    &path,
                    &std::io::ErrorKind::AlreadyExists.into(),
                ));
            }
            None => Preview::new(format!("create the directory {path}"))
                .undo(format!("fs::remove_all({:?})", path.to_string())),
        })
    })
    .await
}

/// How a link is made.
#[derive(Clone, Options)]
pub struct SymlinkOptions {
    /// Replace a symbolic link that is there already, atomically. Anything else is never replaced.
    #[option(default = "false")]
    replace: bool,
}

/// Make a symbolic link at `link` that points to `target`.
///
/// The target is written as given: a relative one starts from the link's directory, and it need not
/// exist. If the link says so already, nothing is changed. With `replace: true` a link switches from
/// one target to the other at once, as a `current` link of releases does.
///
/// # Errors
/// `fs.already_exists` if there is something else, `fs.not_found`, `fs.permission_denied`.
///
/// # Example
/// ```rhai
/// fs::symlink("releases/7", "current");
/// fs::symlink("releases/8", "current", #{ replace: true });
/// assert(fs::read_link("current") == "releases/8");
/// ```
#[primitive(change, needs = fs(link), preview = symlink_preview)]
async fn symlink(cx: &Cx, target: String, link: EntryPath, options: SymlinkOptions) -> Result<()> {
    let files = cx.client::<Files>().await?;
    let changed = blocking(cx, move |_| {
        match standing(&files, &target, &link, options.replace)? {
            Standing::Right => Ok(false),
            Standing::Free => files.symlink(&target, &link).map(|()| true),
            Standing::Other(_) => {
                // There is no call that replaces a link; renaming a new one over it does.
                let beside =
                    link.with_file_name(format!(".ccrun-{}.tmp", uuid::Uuid::new_v4().simple()));
                files.symlink(&target, &beside)?;
                let renamed = files.rename(&beside, &link);
                if renamed.is_err() {
                    drop(files.remove(&beside));
                }
                renamed.map(|()| true)
            }
        }
    })
    .await?;
    if !changed {
        cx.unchanged();
    }
    Ok(())
}

async fn symlink_preview(
    cx: &Cx,
    target: &str,
    link: &EntryPath,
    options: &SymlinkOptions,
) -> Result<Preview> {
    let files = cx.client::<Files>().await?;
    let (target, link, replace) = (target.to_owned(), link.clone(), options.replace);
    blocking(cx, move |_| {
        Ok(match standing(&files, &target, &link, replace)? {
            Standing::Right => {
                Preview::new(format!("{link} points to {target} already")).unchanged()
            }
            Standing::Free => Preview::new(format!("make the link {link} → {target}"))
                .undo(format!("fs::remove({:?})", link.to_string())),
            Standing::Other(old) => {
                let old = old.display().to_string();
                Preview::new(format!(
                    "point the link {link} to {target} instead of {old}"
                ))
                .undo(format!(
                    "fs::symlink({old:?}, {:?}, #{{ replace: true }})",
                    link.to_string()
                ))
            }
        })
    })
    .await
}

/// What is where a link is to be.
enum Standing {
    /// That very link.
    Right,
    /// Nothing.
    Free,
    /// A link to somewhere else, which may be replaced.
    Other(PathBuf),
}

fn standing(files: &Files, target: &str, link: &Path, replace: bool) -> Result<Standing> {
    match files.find(link, false)? {
        None => Ok(Standing::Free),
        Some(found) if found.is_symlink() => match files.read_link(link)? {
            old if old == Path::new(target) => Ok(Standing::Right),
            old if replace => Ok(Standing::Other(old)),
            old => Err(Error::new(
                "fs.already_exists",
                format!("{} is a link to {} already", link.display(), old.display()),
            )
            .hint("say `#{ replace: true }` to point it to the new target")),
        },
        Some(_) => Err(Error::new(
            "fs.already_exists",
            format!(
                "can't make the link {}: something else has that name",
                link.display()
            ),
        )
        .hint("remove it first, or choose another name")),
    }
}

/// What a symbolic link points to, as it is written in the link.
///
/// # Errors
/// `fs.not_found`, `fs.not_a_link`, `fs.permission_denied`.
///
/// # Example
/// ```rhai
/// fs::symlink("target", "link");
/// assert(fs::read_link("link") == "target");
/// ```
#[primitive(read, needs = fs(path))]
async fn read_link(cx: &Cx, path: EntryPath) -> Result<String> {
    let files = cx.client::<Files>().await?;
    blocking(cx, move |_| {
        Ok(files.read_link(&path)?.display().to_string())
    })
    .await
}
