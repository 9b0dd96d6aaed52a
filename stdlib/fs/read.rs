//! Reading files.

use std::io::{BufRead, BufReader, Read};

use ccrun_kernel::rhai::{Dynamic, FnPtr};
use ccrun_kernel::value::Size;
use ccrun_kernel::{Blob, Caller, Cx, Error, Options, Result, primitive};
use sha2::{Digest, Sha256};

use crate::files::{FilePath, Files, blocking, failed};

/// How much is read.
#[derive(Clone, Options)]
pub struct ReadOptions {
    /// The largest file that is read at once.
    #[option(default = "16MiB")]
    max: Size,
}

/// Read a text file.
///
/// The file must be UTF-8; a byte order mark at its beginning is left out. Line ends stay as they are.
///
/// # Errors
/// `fs.not_found` with the nearest name, `fs.not_utf8`, `fs.too_large`, `fs.is_a_directory`,
/// `fs.not_a_file` for a pipe or device, `fs.permission_denied`.
///
/// # Example
/// ```rhai
/// fs::write("app.conf", "port = 80\n");
/// assert(fs::read("app.conf") == "port = 80\n");
/// ```
#[primitive(read, needs = fs(path))]
async fn read(cx: &Cx, path: FilePath, options: ReadOptions) -> Result<String> {
    let files = cx.client::<Files>().await?;
    blocking(cx, move |work| {
        let bytes = files.read(work, &path, options.max)?;
        let text = String::from_utf8(bytes).map_err(|error| {
            not_utf8(&path, &format!("byte {}", error.utf8_error().valid_up_to()))
        })?;
        Ok(match text.strip_prefix('\u{feff}') {
            Some(rest) => rest.to_owned(),
            None => text,
        })
    })
    .await
}

/// How much is read.
#[derive(Clone, Options)]
pub struct ReadBytesOptions {
    /// The largest file that is read at once. A blob holds a million bytes by default.
    #[option(default = "1MB")]
    max: Size,
}

/// Read a file as it is, as a blob.
///
/// For what is larger than a blob there are `fs::copy`, `fs::sha256` and the namespaces that take paths.
///
/// # Errors
/// `fs.not_found`, `fs.too_large`, `fs.is_a_directory`, `fs.not_a_file`, `fs.permission_denied`.
///
/// # Example
/// ```rhai
/// fs::write("data.bin", blob(4, 7));
/// assert(fs::read_bytes("data.bin").len() == 4);
/// ```
#[primitive(read, needs = fs(path))]
async fn read_bytes(cx: &Cx, path: FilePath, options: ReadBytesOptions) -> Result<Blob> {
    let files = cx.client::<Files>().await?;
    blocking(cx, move |work| files.read(work, &path, options.max)).await
}

/// How lines are read.
#[derive(Clone, Options)]
pub struct LinesOptions {
    /// The longest line that is accepted.
    #[option(default = "1MiB")]
    max_line: Size,
    /// Replace what is not UTF-8 by `�` instead of failing.
    #[option(default = "false")]
    lossy: bool,
}

/// Call a closure with each line of a file, without its line end, and return how many lines it was
/// called with.
///
/// Only one line is in memory at a time, so the file may be of any size. A closure that returns
/// `false` ends the reading.
///
/// # Errors
/// `fs.not_found`, `fs.line_too_long` and `fs.not_utf8` with the number of the line,
/// `fs.is_a_directory`, `fs.not_a_file`, and what the closure throws.
///
/// # Example
/// ```rhai
/// fs::write("app.log", "ok\nERROR disk\nok\n");
/// let errors = [];
/// fs::each_line("app.log", |line| if line.starts_with("ERROR") { errors.push(line) });
/// assert(errors == ["ERROR disk"]);
/// ```
#[primitive(read, needs = fs(path))]
fn each_line(
    cx: &Cx,
    call: &Caller<'_>,
    path: FilePath,
    options: LinesOptions,
    closure: FnPtr,
) -> Result<u64> {
    let files = cx.block_on(cx.client::<Files>())?;
    let (file, metadata) = files.open_file(&path)?;
    let mut progress = cx.progress(path.to_string(), Some(metadata.len())).bytes();
    let mut reader = BufReader::with_capacity(64 << 10, file);
    let most = options.max_line.bytes();
    let mut line = Vec::new();
    let mut count = 0;
    loop {
        // A closure may do nothing that notices a cancellation.
        if count % 256 == 0 {
            cx.block_on(async {
                tokio::task::yield_now().await;
                Ok(())
            })?;
        }
        line.clear();
        let mut piece = (&mut reader).take(most.saturating_add(2));
        let read = piece
            .read_until(b'\n', &mut line)
            .map_err(|error| failed("read", &path, &error))?;
        if read == 0 {
            return Ok(count);
        }
        count += 1;
        progress.advance(read as u64);
        if line.last() == Some(&b'\n') {
            line.pop();
            if line.last() == Some(&b'\r') {
                line.pop();
            }
        }
        if line.len() as u64 > most {
            return Err(Error::new(
                "fs.line_too_long",
                format!("line {count} of {path} is longer than {}", options.max_line),
            )
            .hint("raise the limit with `#{ max_line: \"…\" }`, if it is a text file at all"));
        }
        let text = match std::str::from_utf8(&line) {
            Ok(text) => text.to_owned(),
            Err(_) if options.lossy => String::from_utf8_lossy(&line).into_owned(),
            Err(_) => return Err(not_utf8(&path, &format!("line {count}"))),
        };
        let answer = call.invoke(&closure, [Dynamic::from(text)])?;
        if answer.as_bool() == Ok(false) {
            return Ok(count);
        }
    }
}

/// The SHA-256 of a file's content, in hexadecimal, as `sha256sum` prints it.
///
/// # Errors
/// `fs.not_found`, `fs.is_a_directory`, `fs.not_a_file`, `fs.permission_denied`.
///
/// # Example
/// ```rhai
/// fs::write("empty", "");
/// assert(fs::sha256("empty").starts_with("e3b0c44298fc1c14"));
/// ```
#[primitive(read, needs = fs(path))]
async fn sha256(cx: &Cx, path: FilePath) -> Result<String> {
    let files = cx.client::<Files>().await?;
    let mut progress = cx.progress(path.to_string(), None).bytes();
    blocking(cx, move |work| {
        let (file, metadata) = files.open_file(&path)?;
        progress.total(metadata.len());
        let mut reader = work.reading(file, |read| progress.advance(read));
        let mut hash = Sha256::new();
        let mut buffer = vec![0; 256 << 10];
        loop {
            match reader
                .read(&mut buffer)
                .map_err(|error| failed("read", &path, &error))?
            {
                0 => return Ok(hex::encode(hash.finalize())),
                read => hash.update(&buffer[..read]),
            }
        }
    })
    .await
}

fn not_utf8(path: &FilePath, place: &str) -> Error {
    Error::new(
        "fs.not_utf8",
        format!("{path} is not UTF-8 text (at {place})"),
    )
    .hint("read it as it is with `fs::read_bytes`; `file` guesses what it is")
}
