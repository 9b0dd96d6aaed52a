//! Temporary files and directories.

use ccrun_kernel::{Cx, Options, Result, primitive};

use crate::files::{Files, blocking, temporary_folder};

/// The permission's resource: any name that a temporary file may get.
fn place(end: &str) -> String {
    format!("{}/ccrun-*{end}", temporary_folder().display())
}

/// How a temporary file is called.
#[derive(Clone, Options)]
pub struct TempFileOptions {
    /// The end of its name, such as `".sql"`.
    #[option(default = "")]
    suffix: String,
}

/// Create an empty file that is removed at the end of the run, and return its path.
///
/// Only the user that ccrun runs as can read it. It lies in the system's folder for temporary files
/// (`TMPDIR`) and its name begins with `ccrun-`: `fs: ["/tmp/ccrun-*"]` permits making and using it.
/// A resumed run does not find it again: make it outside of the step that uses it.
///
/// # Errors
/// `io.disk_full`, `fs.permission_denied`, `fs.invalid_suffix` for one with a `/`.
///
/// # Example
/// ```rhai
/// let path = fs::temp_file(#{ suffix: ".sql" });
/// fs::write(path, "select 1;");
/// assert(path.ends_with(".sql"));
/// ```
#[primitive(change, needs = fs(place("")), undo = "it is removed at the end of the run")]
async fn temp_file(cx: &Cx, options: TempFileOptions) -> Result<String> {
    if options.suffix.contains(['/', '\0']) {
        return Err(ccrun_kernel::Error::new(
            "fs.invalid_suffix",
            format!("{:?} can't be the end of a file name", options.suffix),
        )
        .hint("leave out the `/`"));
    }
    let files = cx.client::<Files>().await?;
    blocking(cx, move |_| files.temp_file(&options.suffix))
        .await
        .map(|p| p.display().to_string())
}

/// Create an empty directory that is removed with everything in it at the end of the run, and return
/// its path.
///
/// Only the user that ccrun runs as can enter it. `fs: ["/tmp/ccrun-*/**"]` permits making and using
/// it; see `temp_file` for where it lies.
///
/// # Errors
/// `io.disk_full`, `fs.permission_denied`.
///
/// # Example
/// ```rhai
/// let folder = fs::temp_dir();
/// fs::write(`${folder}/a.txt`, "a");
/// assert(fs::list(folder).len() == 1);
/// ```
#[primitive(change, needs = fs(place("/")), undo = "it is removed at the end of the run")]
async fn temp_dir(cx: &Cx) -> Result<String> {
    let files = cx.client::<Files>().await?;
    blocking(cx, move |_| files.temp_dir())
        .await
        .map(|path| path.display().to_string())
}
