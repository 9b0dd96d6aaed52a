//! Writing files.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use ccrun_kernel::value::Size;
use ccrun_kernel::{Cx, Options, Preview, Result, primitive};

use super::diff;
use crate::files::{Content, FilePath, Files, Mode, Work, blocking, failed};

/// How a file is written.
#[derive(Clone, Options)]
pub struct WriteOptions {
    /// The file's mode, such as `"0640"`. Without it a file keeps the mode it has, and a new one gets
    /// what the umask leaves; `"0600"` if a secret is written into it.
    mode: Option<Mode>,
    /// Create the directories above it that are missing.
    #[option(default = "false")]
    parents: bool,
}

/// Write a file as a whole: a string, a blob or a secret.
///
/// Atomic: whoever reads the file sees the old content or the new, also when the disk is full, the
/// run is cancelled or the machine stops in the middle. The new content is durable when the call
/// returns. An existing file keeps its mode, and its owner where ccrun runs as root; hard links to it
/// and extended attributes do not survive. If the file has that content already, nothing is changed.
///
/// # Errors
/// `fs.not_found` if the directory does not exist (see `parents`), `fs.is_a_directory`,
/// `fs.permission_denied`, `io.disk_full`, `io.read_only`.
///
/// # Example
/// ```rhai
/// fs::write("conf/app.toml", "port = 80\n", #{ mode: "0640", parents: true });
/// assert(fs::read("conf/app.toml") == "port = 80\n");
/// assert(fs::metadata("conf/app.toml").mode == "0640");
/// ```
#[primitive(change, needs = fs(path), preview = write_preview)]
async fn write(cx: &Cx, path: FilePath, content: Content, options: WriteOptions) -> Result<()> {
    let files = cx.client::<Files>().await?;
    let changed = blocking(cx, move |work| {
        if is_so_already(work, &files, &path, &content, options.mode)? {
            return Ok(false);
        }
        if options.parents
            && let Some(parent) = path.parent()
        {
            files.create_dir(parent, None)?;
        }
        let mode = match options.mode {
            None if content.is_secret() && files.find(&path, true)?.is_none() => {
                Some(Mode::from_bits(0o600))
            }
            given => given,
        };
        let mut file = files.replace(work, &path, mode)?;
        file.write_content(content.bytes())?;
        file.commit()?;
        Ok(true)
    })
    .await?;
    if !changed {
        cx.unchanged();
    }
    Ok(())
}

fn is_so_already(
    work: &Work,
    files: &Files,
    path: &FilePath,
    content: &Content,
    mode: Option<Mode>,
) -> Result<bool> {
    let length = content.bytes().len() as u64;
    Ok(match files.find(path, true)? {
        Some(found) if found.is_file() && found.len() == length => {
            let has_mode = Mode::from_bits(found.permissions().mode());
            mode.is_none_or(|wanted| wanted == has_mode)
                // A file that can be written may still be one that can't be read.
                && files.read(work, path, Size::from_bytes(length))
                    .is_ok_and(|bytes| bytes == content.bytes())
        }
        _ => false,
    })
}

async fn write_preview(
    cx: &Cx,
    path: &FilePath,
    content: &Content,
    options: &WriteOptions,
) -> Result<Preview> {
    let files = cx.client::<Files>().await?;
    let redactor = cx.redactor().clone();
    let (path, content, mode) = (path.clone(), content.clone(), options.mode);
    blocking(cx, move |work| {
        let size = Size::from_bytes(content.bytes().len() as u64);
        if is_so_already(work, &files, &path, &content, mode)? {
            return Ok(Preview::new(format!("{path} is so already")).unchanged());
        }
        let Some(found) = files.find(&path, true)? else {
            let preview = Preview::new(format!("create {path} ({size})"));
            let preview = match diff::text(&content) {
                Some(text) => preview.diff(redactor.redact(&diff::unified(&path, "", text))),
                None => preview,
            };
            return Ok(preview.undo(format!("fs::remove({:?})", path.to_string())));
        };
        let before = Size::from_bytes(found.len());
        let with_mode = mode.map_or_else(String::new, |mode| format!(", mode {mode}"));
        let summary = format!("replace {path} ({before} → {size}{with_mode})");
        let Some(text) = diff::text(&content).filter(|_| found.len() <= diff::MOST) else {
            return Ok(Preview::new(summary));
        };
        let old = files.read(work, &path, Size::from_bytes(diff::MOST))?;
        Ok(match std::str::from_utf8(&old) {
            Ok(old) => Preview::new(summary)
                .diff(redactor.redact(&diff::unified(&path, old, text)))
                .undo("apply the diff in reverse: `patch -R`"),
            Err(_) => Preview::new(summary),
        })
    })
    .await
}

/// Write at the end of a file, which is created if it does not exist.
///
/// The content is durable when the call returns. Unlike `write` it is not idempotent: a step that is
/// interrupted and resumed appends again.
///
/// # Errors
/// `fs.not_found` if the directory does not exist, `fs.is_a_directory`, `fs.not_a_file`,
/// `fs.permission_denied`, `io.disk_full`: the file is then as it was.
///
/// # Example
/// ```rhai
/// fs::append("audit.log", "first\n");
/// fs::append("audit.log", "second\n");
/// assert(fs::read("audit.log") == "first\nsecond\n");
/// ```
#[primitive(change, needs = fs(path), preview = append_preview)]
async fn append(cx: &Cx, path: FilePath, content: Content, options: WriteOptions) -> Result<()> {
    let files = cx.client::<Files>().await?;
    blocking(cx, move |work| {
        if options.parents
            && let Some(parent) = path.parent()
        {
            files.create_dir(parent, None)?;
        }
        let new = files.find(&path, true)?.is_none();
        let narrow = (new && content.is_secret()).then(|| Mode::from_bits(0o600));
        let mut file = files.open_to_append(&path, options.mode.or(narrow))?;
        let appended = append_all(work, &mut file, &path, content.bytes());
        if appended.is_err() && new {
            files.remove(&path)?;
        }
        appended?;
        match options.mode {
            Some(mode) if new => files.chmod(&path, mode),
            _ => Ok(()),
        }
    })
    .await
}

/// Write all of it, or nothing.
fn append_all(work: &Work, file: &mut File, path: &Path, bytes: &[u8]) -> Result<()> {
    let failed = |error: std::io::Error| failed("append to", path, &error);
    let before = file.metadata().map_err(failed)?.len();
    let mut written = 0;
    let mut write = || -> Result<()> {
        while written < bytes.len() {
            work.check()?;
            let end = bytes.len().min(written + (1 << 20));
            match file.write(&bytes[written..end]) {
                Ok(0) => return Err(failed(ErrorKind::WriteZero.into())),
                Ok(more) => written += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(error)),
            }
        }
        file.sync_data().map_err(failed)
    };
    let outcome = write();
    // Half a line would be worse than none. If somebody else has appended meanwhile, theirs stays.
    if outcome.is_err()
        && file
            .metadata()
            .is_ok_and(|now| now.len() == before + written as u64)
    {
        drop(file.set_len(before));
    }
    outcome
}

async fn append_preview(
    _cx: &Cx,
    path: &FilePath,
    content: &Content,
    _options: &WriteOptions,
) -> Result<Preview> {
    let size = Size::from_bytes(content.bytes().len() as u64);
    Ok(Preview::new(format!("append {size} to {path}")))
}
