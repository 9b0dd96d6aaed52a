//! Running a program to its end.

use ccrun_kernel::effect::Effect;
use ccrun_kernel::rhai::{Dynamic, Map};
use ccrun_kernel::{Cx, Error, Preview, Result, primitive};

use super::options::RunOptions;
use crate::process::{self, CommandLine, program_in_path};

/// Run a program that changes something, and wait for its end.
///
/// Returns a map: `status` (128 and the signal's number if one killed it), `success`, `signal` (such as
/// `"SIGKILL"`, else `()`), `stdout`, `stderr`, `elapsed`, `truncated`. Output that is not UTF-8 gets `�`
/// (see `binary`); of more than `max_output` the beginning and the end are kept, and a line between them
/// says how much is missing.
///
/// A secret can't be an argument, because arguments are visible to everyone on the machine: hand it over
/// with `env:` or `stdin:`. In a dry run the program is not started; one that only reads belongs in
/// `sh::read`. The permission is `sh: ["rsync"]`, or the absolute path where the command gives a path.
///
/// # Errors
/// `sh.failed` for any status but 0, with the last lines it wrote (`check: false` returns it instead);
/// `sh.not_found` with the nearest program; `sh.not_executable`; `sh.timeout`; `sh.cwd_not_found`;
/// `sh.secret_argument`.
///
/// # Example
/// ```rhai
/// sh::run(["touch", "ready file"]);
/// let out = sh::run(["ls", "-1"], #{ timeout: "10s" });
/// assert(out.success && out.stdout == "ready file");
/// ```
#[primitive(change, needs = sh(command.resource()), preview = run_preview)]
async fn run(cx: &Cx, command: CommandLine, options: RunOptions) -> Result<Map> {
    options.run(cx, &command, Effect::Change).await
}

async fn run_preview(cx: &Cx, command: &CommandLine, options: &RunOptions) -> Result<Preview> {
    options.preview(cx, command)
}

/// Run a program that only reads, also in a dry run.
///
/// That it changes nothing is a promise of the runbook's author: ccrun can't know. Everything else is
/// as with `sh::run`. The permission can say so too: `sh: #{ read: ["git", "df"] }`.
///
/// # Errors
/// As `sh::run`.
///
/// # Example
/// ```rhai
/// let kernel = sh::read(["uname", "-s"]).stdout;
/// assert(kernel != "");
/// ```
#[primitive(read, volatile, needs = sh(command.resource()))]
async fn read(cx: &Cx, command: CommandLine, options: RunOptions) -> Result<Map> {
    options.run(cx, &command, Effect::Read).await
}

/// The absolute path of a program in `PATH`, or `()` if there is none of that name.
///
/// # Errors
/// None.
///
/// # Example
/// ```rhai
/// assert(sh::which("sh").ends_with("/sh"));
/// assert(sh::which("no-such-program") == ());
/// ```
#[primitive(read, needs = sh(name))]
async fn which(cx: &Cx, name: String) -> Result<Option<String>> {
    cx.blocking(move || Ok(program_in_path(&name).map(|path| path.display().to_string())))
        .await
}

/// Words as a shell reads them back: what to put into a text for `sh::script`.
///
/// # Errors
/// `argument.type` for what has no plain text.
///
/// # Example
/// ```rhai
/// assert(sh::quote("it's") == "'it'\\''s'");
/// assert(sh::quote(["cp", "my file", "/srv"]) == "cp 'my file' /srv");
/// ```
#[primitive(pure)]
fn quote(words: Dynamic) -> Result<String> {
    let items = match words.is_array() {
        true => words.into_typed_array::<Dynamic>().unwrap_or_default(),
        false => vec![words],
    };
    let quoted: Result<Vec<String>> = items
        .into_iter()
        .map(|item| match process::word(item) {
            Ok(text) => Ok(process::quote(&text)),
            Err(mismatch) => Err(Error::new(
                "argument.type",
                format!("`words` of sh::quote: {mismatch}"),
            )),
        })
        .collect();
    Ok(quoted?.join(" "))
}
