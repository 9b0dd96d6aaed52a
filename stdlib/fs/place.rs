//! Copying and renaming.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use ccrun_kernel::value::Size;
use ccrun_kernel::{Cx, Error, Options, Preview, Result, primitive};

use crate::files::{EntryPath, FilePath, Files, Mode, Work, blocking, failed, preview};

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
#[primitive(change, needs = read fs(from), needs = fs(to), preview = copy_preview)]
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
            if existing.is_file()
                && existing.len() == metadata.len()
                && same(work, &files, &from, &to)?
            {
                return Ok((size, false));
            }
        }
        let new = files.find(&to, true)?.is_none();
        let mode = new.then(|| Mode::from_bits(metadata.permissions().mode() & 0o777));
        progress.total(metadata.len());
        let mut copy = files.replace(work, &to, mode)?;
        let mut buffer = vec![0; 256 << 10];
        loop {
            match source
                .read(&mut buffer)
                .map_err(|error| failed("read", &from, &error))?
            {
                0 => break,
                read => {
                    copy.write_all(&buffer[..read])
                        .map_err(|error| failed("write", &to, &error))?;
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
    let summary = format!("copy {from} to {to}");
    preview(cx, summary, move |work| {
        let (_, metadata) = files.open_file(&from)?;
        let size = Size::from_bytes(metadata.len());
        let Some(existing) = files.find(&to, true)? else {
            let undo = format!("fs::remove({:?})", to.to_string());
            return Ok(Preview::new(format!("copy {from} to {to} ({size})")).undo(undo));
        };
        if !overwrite {
            return Err(occupied(&to));
        }
        if existing.is_file() && existing.len() == metadata.len() && same(work, &files, &from, &to)?
        {
            return Ok(Preview::new(format!("{to} is the same as {from} already")).unchanged());
        }
        let before = Size::from_bytes(existing.len());
        Ok(Preview::new(format!(
            "replace {to} ({before}) by a copy of {from} ({size})"
        )))
    })
    .await
}

/// Whether two files of the same length have the same content.
fn same(work: &Work, files: &Files, a: &Path, b: &Path) -> Result<bool> {
    let (mut a_file, _) = files.open_file(a)?;
    let Ok((mut b_file, _)) = files.open_file(b) else {
        return Ok(false);
    };
    let (mut from_a, mut from_b) = (vec![0; 256 << 10], vec![0; 256 << 10]);
    loop {
        work.check()?;
        let read = a_file
            .read(&mut from_a)
            .map_err(|error| failed("read", a, &error))?;
        if read == 0 {
            return Ok(b_file.read(&mut from_b).is_ok_and(|rest| rest == 0));
        }
        if b_file.read_exact(&mut from_b[..read]).is_err() || from_a[..read] != from_b[..read] {
            return Ok(false);
        }
    }
}

fn occupied(path: &Path) -> Error {
    Error::new(
        "fs.already_exists",
        format!("{} exists already", path.display()),
    )
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
    let summary = format!("rename {from} to {to}");
    preview(cx, summary, move |_| {
        files.metadata(&from, false)?;
        match files.find(&to, false)? {
            Some(_) if !overwrite => Err(occupied(&to)),
            Some(_) => Ok(Preview::new(format!(
                "rename {from} to {to}, which is replaced"
            ))),
            None => {
                let undo = format!("fs::rename({:?}, {:?})", to.to_string(), from.to_string());
                Ok(Preview::new(format!("rename {from} to {to}")).undo(undo))
            }
        }
    })
    .await
}
