//! Text for a shell.

use ccrun_kernel::effect::Effect;
use ccrun_kernel::rhai::{Array, Dynamic, Map};
use ccrun_kernel::value::{Duration, Size};
use ccrun_kernel::{Cx, Error, FromArg, Options, Preview, Result, primitive};

use super::options::RunOptions;
use crate::files::{Content, FilePath, script_file};
use crate::process::{CommandLine, Environment};

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
