//! Copying, renaming, removing, making directories and links.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use ccrun_kernel::value::Size;
use ccrun_kernel::{Cx, Error, Options, Preview, Result, primitive};

use crate::files::{EntryPath, FilePath, Files, Mode, Work, blocking, failed, resolve};

/// How a file gets to its new place.
#[derive(Clone, Options)]
pub struct PlaceOptions {
    /// Replace a file that is there already.
    #[option(default = "true")]
    overwrite: bool,
}

/// Copy a file, and return how large it is.
///
/// The copy is atomic, as with `write`: an existing file keeps its mode and owner, a new one gets the
/// mode of the original. If both are the same already, nothing is changed.
///
/// # Errors
/// `fs.not_found`, `fs.is_a_directory` (also where `to` is one: give the whole path),
/// `fs.already_exists` with `overwrite: false`, `io.disk_full`, `fs.permission_denied`.
///
/// # Example
/// ```rhai
/// fs::write("app.conf", "port = 80\n");
/// fs::copy("app.conf", "app.conf.bak");
/// assert(fs::read("app.conf.bak") == "port = 80\n");
/// ```
#[primitive(change, needs = fs(from), needs = fs(to), preview = copy_preview)]
async fn copy(cx: &Cx, from: FilePath, to: FilePath, options: PlaceOptions) -> Result<Size> {
    let files = cx.client::<Files>().await?;
    let mut progress = cx.progress(format!("{from} → {to}"), None).bytes();
    let (size, changed) = blocking(cx, move |work| {
        let (mut source, metadata) = files.open_file(&from)?;
        let size = Size::from_bytes(metadata.len());
        if let Some(existing) = files.find(&to, true)? {
            if !options.overwrite {
                return Err(occupied(&to));
            }
            if existing.is_file() && existing.len() == metadata.len() && same(work, &files, &from, &to)? {
                return Ok((size, false));
            }
        }
        let new = files.find(&to, true)?.is_none();
        let mode = new.then(|| Mode::from_bits(metadata.permissions().mode() & 0o777));
        progress.total(metadata.len());
        let mut copy = files.replace(work, &to, mode)?;
        let mut buffer = vec![0; 256 << 10];
        loop {
            match source.read(&mut buffer).map_err(|error| failed("read", &from, &error))? {
                0 => break,
                read => {
                    copy.write_all(&buffer[..read]).map_err(|error| failed("write", &to, &error))?;
                    progress.advance(read as u64);
                }
            }
        }
        let size = Size::from_bytes(copy.written());
        copy.commit()?;
        Ok((size, true))
    })
    .await?;
    if !changed {
        cx.unchanged();
    }
    Ok(size)
}

async fn copy_preview(
    cx: &Cx,
    from: &FilePath,
    to: &FilePath,
    options: &PlaceOptions,
) -> Result<Preview> {
    let files = cx.client::<Files>().await?;
    let (from, to, overwrite) = (from.clone(), to.clone(), options.overwrite);
    blocking(cx, move |work| {
        let (_, metadata) = files.open_file(&from)?;
        let size = Size::from_bytes(metadata.len());
        let Some(existing) = files.find(&to, true)? else {
            let undo = format!("fs::remove({:?})", to.to_string());
            return Ok(Preview::new(format!("copy {from} to {to} ({size})")).undo(undo));
        };
        if !overwrite {
            return Err(occupied(&to));
        }
        if existing.is_file() && existing.len() == metadata.len() && same(work, &files, &from, &to)? {
            return Ok(Preview::new(format!("{to} is the same as {from} already")).unchanged());
        }
        let before = Size::from_bytes(existing.len());
        Ok(Preview::new(format!("replace {to} ({before}) by a copy of {from} ({size})")))
    })
    .await
}

/// Whether two files of the same length have the same content.
fn same(work: &Work, files: &Files, a: &Path, b: &Path) -> Result<bool> {
    let (mut a_file, _) = files.open_file(a)?;
    let Ok((mut b_file, _)) = files.open_file(b) else { return Ok(false) };
    let (mut from_a, mut from_b) = (vec![0; 256 << 10], vec![0; 256 << 10]);
    loop {
        work.check()?;
        let read = a_file.read(&mut from_a).map_err(|error| failed("read", a, &error))?;
        if read == 0 {
            return Ok(b_file.read(&mut from_b).is_ok_and(|rest| rest == 0));
        }
        if b_file.read_exact(&mut from_b[..read]).is_err() || from_a[..read] != from_b[..read] {
            return Ok(false);
        }
    }
}

fn occupied(path: &Path) -> Error {
    Error::new("fs.already_exists", format!("{} exists already", path.display()))
        .hint("leave out `overwrite: false` to replace it, or choose another name")
}

/// Rename a file or directory, within one file system.
///
/// Atomic: a file that is in the way is replaced at once. A symbolic link is renamed itself.
///
/// # Errors
/// `fs.not_found`, `fs.already_exists` with `overwrite: false`, `fs.not_empty` for a directory in the
/// way, `fs.other_device`: then copy it and remove the original, `fs.permission_denied`.
///
/// # Example
/// ```rhai
/// fs::write("new.conf", "a");
/// fs::rename("new.conf", "app.conf");
/// assert(fs::exists("app.conf") && !fs::exists("new.conf"));
/// ```
#[primitive(change, needs = fs(from), needs = fs(to), preview = rename_preview)]
async fn rename(cx: &Cx, from: EntryPath, to: EntryPath, options: PlaceOptions) -> Result<()> {
    let files = cx.client::<Files>().await?;
    blocking(cx, move |_| {
        if !options.overwrite && files.find(&to, false)?.is_some() {
            return Err(occupied(&to));
        }
        files.rename(&from, &to)
    })
    .await
}

async fn rename_preview(
    cx: &Cx,
    from: &EntryPath,
    to: &EntryPath,
    options: &PlaceOptions,
) -> Result<Preview> {
    let files = cx.client::<Files>().await?;
    let (from, to, overwrite) = (from.clone(), to.clone(), options.overwrite);
    blocking(cx, move |_| {
        files.metadata(&from, false)?;
        match files.find(&to, false)? {
            Some(_) if !overwrite => Err(occupied(&to)),
            Some(_) => Ok(Preview::new(format!("rename {from} to {to}, which is replaced"))),
            None => {
                let undo = format!("fs::rename({:?}, {:?})", to.to_string(), from.to_string());
                Ok(Preview::new(format!("rename {from} to {to}")).undo(undo))
            }
        }
    })
    .await
}

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
        let Contents { entries, bytes, complete } = contents(work, &files, &path)?;
        let more = if complete { "" } else { "more than " };
        let size = Size::from_bytes(bytes);
        Ok(Preview::new(format!("remove {path} with {more}{entries} entries ({size})")))
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
    let mut counted = Contents { entries: 0, bytes: 0, complete: true };
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
        Err(Error::new("fs.refused", format!("refused to remove {}: it is {why}", path.display()))
            .hint("remove what is in it by name"))
    };
    let top = path.parent() == Some(Path::new("/"));
    if path.parent().is_none() {
        return refused("the root of the file system");
    }
    if top && path.file_name().is_some_and(|name| SYSTEM.iter().any(|system| name == *system)) {
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
            Some(found) if found.is_dir() => Preview::new(format!("{path} is there already")).unchanged(),
            Some(_) => return Err(failed("create the directory", &path, &std::io::ErrorKind::AlreadyExists.into())),
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
    let changed = blocking(cx, move |_| match standing(&files, &target, &link, options.replace)? {
        Standing::Right => Ok(false),
        Standing::Free => files.symlink(&target, &link).map(|()| true),
        Standing::Other(_) => {
            // There is no call that replaces a link; renaming a new one over it does.
            let beside = link.with_file_name(format!(".ccrun-{}.tmp", uuid::Uuid::new_v4().simple()));
            files.symlink(&target, &beside)?;
            let renamed = files.rename(&beside, &link);
            if renamed.is_err() {
                drop(files.remove(&beside));
            }
            renamed.map(|()| true)
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
    target: &String,
    link: &EntryPath,
    options: &SymlinkOptions,
) -> Result<Preview> {
    let files = cx.client::<Files>().await?;
    let (target, link, replace) = (target.clone(), link.clone(), options.replace);
    blocking(cx, move |_| {
        Ok(match standing(&files, &target, &link, replace)? {
            Standing::Right => Preview::new(format!("{link} points to {target} already")).unchanged(),
            Standing::Free => Preview::new(format!("make the link {link} → {target}"))
                .undo(format!("fs::remove({:?})", link.to_string())),
            Standing::Other(old) => {
                let old = old.display().to_string();
                Preview::new(format!("point the link {link} to {target} instead of {old}"))
                    .undo(format!("fs::symlink({old:?}, {:?}, #{{ replace: true }})", link.to_string()))
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
            format!("can't make the link {}: something else has that name", link.display()),
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
    blocking(cx, move |_| Ok(files.read_link(&path)?.display().to_string())).await
}
