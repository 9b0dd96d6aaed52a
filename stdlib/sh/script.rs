//! Text for a shell.

use ccrun_kernel::effect::Effect;
use ccrun_kernel::rhai::{Array, Map};
use ccrun_kernel::value::{Duration, Size};
use ccrun_kernel::{Cx, Error, Options, Preview, Result, primitive};

use super::options::RunOptions;
use crate::files::{Content, FilePath};
use crate::process::{CommandLine, Environment, Processes};

/// How a script is run.
#[derive(Clone, Options)]
pub struct ScriptOptions {
    /// The shell: `"sh"`, or `"bash"` where the text needs it.
    #[option(default = "sh")]
    shell: String,
    /// What the text knows as `$1`, `$2` ….
    args: Option<Array>,
    /// The directory it is started in; without it, the run's working folder.
    cwd: Option<FilePath>,
    /// Variables of its environment, beside the few that it inherits; `()` takes one away. Secrets are
    /// welcome here.
    env: Option<Environment>,
    /// What it reads from standard input; nothing without it. Secrets are welcome here.
    stdin: Option<Content>,
    /// How long it may run.
    timeout: Option<Duration>,
    /// Fail (`sh.failed`) unless it exits with status 0.
    #[option(default = "true")]
    check: bool,
    /// Put standard error into `stdout`, in the order it is written.
    #[option(default = "false")]
    merge: bool,
    /// How much of each stream is kept: the first and the last half of it.
    #[option(default = "8MiB")]
    max_output: Size,
    /// Leave out the newlines at the end of the output, as `$(…)` does in a shell.
    #[option(default = "true")]
    trim: bool,
    /// Tell each line to the operator while the script runs.
    #[option(default = "false")]
    echo: bool,
}

/// The shells whose options are known, and how each is told to stop at the first error.
const SHELLS: [(&str, &[&str]); 6] = [
    ("sh", &["-eu"]),
    ("bash", &["-euo", "pipefail"]),
    ("dash", &["-eu"]),
    ("ash", &["-eu"]),
    ("ksh", &["-eu"]),
    ("zsh", &["-euo", "pipefail"]),
];

/// Run a text with a shell, and wait for its end.
///
/// The shell stops at the first command that fails and at a variable that is not set (`-eu`, and
/// `pipefail` with bash). The text goes to it in a temporary file that only the user can read, not as an
/// argument that everyone sees, so commands in it can read standard input. What is put into the text
/// from outside belongs in `args` or `env`, or through `sh::quote`. Returns the same map as `sh::run`.
///
/// # Errors
/// `sh.failed` with the last lines it wrote, `sh.not_found` for the shell, `sh.unknown_shell`,
/// `sh.timeout`, `sh.cwd_not_found`, `sh.secret_argument`, `sh.no_script_file`.
///
/// # Example
/// ```rhai
/// let out = sh::script("printf '%s\\n' \"$1\" | tr a-z A-Z", #{ args: ["it's"] });
/// assert(out.stdout == "IT'S");
/// ```
#[primitive(change, needs = sh(options.shell), preview = script_preview)]
async fn script(cx: &Cx, text: String, options: ScriptOptions) -> Result<Map> {
    let processes = cx.client::<Processes>().await?;
    let file = cx.blocking(move || processes.script_file(&text)).await?;
    let command = options.command(&file.display().to_string())?;
    // The file is removed when the call is over, however it ends.
    options.into_run().run(cx, &command, Effect::Change).await
}

async fn script_preview(cx: &Cx, text: &str, options: &ScriptOptions) -> Result<Preview> {
    let command = options.command("SCRIPT")?;
    let preview = options.clone().into_run().preview(cx, &command)?;
    let shown: String = text.lines().map(|line| format!("    {line}\n")).collect();
    Ok(preview.diff(cx.redactor().redact(&shown)))
}

impl ScriptOptions {
    /// The shell with the file that holds the text.
    fn command(&self, file: &str) -> Result<CommandLine> {
        let Some((shell, strict)) = SHELLS.iter().find(|(name, _)| *name == self.shell) else {
            let known: Vec<&str> = SHELLS.iter().map(|(name, _)| *name).collect();
            return Err(Error::new(
                "sh.unknown_shell",
                format!("`{}` is not a shell that is known here", self.shell),
            )
            .hint(format!(
                "there are {}; run anything else with `sh::run`",
                known.join(", ")
            )));
        };
        let mut words = vec![(*shell).to_owned()];
        words.extend(strict.iter().map(|word| (*word).to_owned()));
        words.push(file.to_owned());
        CommandLine::new(words).with_arguments(self.args.clone().unwrap_or_default())
    }

    fn into_run(self) -> RunOptions {
        let Self {
            cwd,
            env,
            stdin,
            timeout,
            check,
            merge,
            max_output,
            trim,
            echo,
            ..
        } = self;
        RunOptions {
            cwd,
            env,
            stdin,
            timeout,
            check,
            merge,
            max_output,
            trim,
            echo,
            binary: false,
        }
    }
}
