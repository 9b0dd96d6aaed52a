//! Programs inside of the services' containers.

use ccrun_kernel::effect::Effect;
use ccrun_kernel::rhai::{Dynamic, Map};
use ccrun_kernel::value::{Duration, Size};
use ccrun_kernel::{Cx, Options, Preview, Result, primitive};

use super::cli::Call;
use super::project::Project;
use crate::files::Content;
use crate::process::{CommandLine, Environment};

/// How a program is run in a container.
#[derive(Clone, Options)]
pub struct ExecOptions {
    /// The user, `"postgres"` or `"70:70"`.
    user: Option<String>,
    /// The folder it starts in.
    workdir: Option<String>,
    /// Variables; secrets are welcome, they go past the command line.
    env: Option<Environment>,
    /// What it reads from standard input. Secrets are welcome.
    stdin: Option<Content>,
    /// Which of the service's containers, from 1. Not for `run`.
    index: Option<u64>,
    /// How long it may run.
    timeout: Option<Duration>,
    /// Fail (`sh.failed`) unless it exits with status 0.
    #[option(default = "true")]
    check: bool,
    /// How much of each stream is kept: the first and the last half of it.
    #[option(default = "8MiB")]
    max_output: Size,
}

impl Project {
    async fn inside(
        &self,
        cx: &Cx,
        verb: &[&str],
        service: &str,
        command: &CommandLine,
        options: ExecOptions,
        effect: Effect,
    ) -> Result<Map> {
        command.check(cx.redactor())?;
        let mut call = match effect {
            Effect::Change => Call::change(cx, &self.0, verb),
            _ => Call::read(cx, &self.0, verb),
        };
        let mut words = Vec::new();
        let mut option = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                words.push(name.to_owned());
                words.push(value);
            }
        };
        option("--user", options.user);
        option("--workdir", options.workdir);
        option("--index", options.index.map(|index| index.to_string()));
        if let Some(environment) = &options.env {
            // Only the name goes on the command line: the CLI takes the value from its own environment.
            for (name, value) in environment.variables() {
                option("--env", Some(name.to_owned()));
                call.environment = call.environment.with(name, value.unwrap_or_default());
            }
        }
        words.push(service.to_owned());
        words.push(command.program().to_owned());
        words.extend(command.arguments().iter().cloned());
        call = call.and(words);
        call.stdin = options.stdin;
        call.timeout = options.timeout.map(Duration::to_std);
        call.max_output = options.max_output;
        let finished = call.finish().await?;
        if options.check {
            finished.check(&format!("{command} in {service}"))?;
        }
        let trimmed = |text: String| text.trim_end_matches(['\n', '\r']).to_owned();
        let left_out = finished.stdout.left_out() + finished.stderr.left_out();
        Ok(Map::from_iter([
            ("status".into(), Dynamic::from(finished.code())),
            ("success".into(), (finished.code() == 0).into()),
            ("stdout".into(), trimmed(finished.stdout.text()).into()),
            ("stderr".into(), trimmed(finished.stderr.text()).into()),
            ("elapsed".into(), Dynamic::from(finished.elapsed())),
            ("truncated".into(), (left_out > 0).into()),
        ]))
    }

    /// Run a program in a service's container. Returns a map: `status`, `success`, `stdout`, `stderr`,
    /// `elapsed`, `truncated`, as `sh::run` does.
    ///
    /// # Errors
    /// `sh.failed` for any status but 0 (`check: false` returns it instead), `sh.timeout`,
    /// `sh.secret_argument`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// compose::project().exec("redis", ["redis-cli", "FLUSHDB"]);
    /// ```
    #[primitive(change, needs = compose(self.0.name), preview = exec_preview)]
    pub(super) async fn exec(
        &self,
        cx: &Cx,
        service: String,
        command: CommandLine,
        options: ExecOptions,
    ) -> Result<Map> {
        self.inside(
            cx,
            &["exec", "--no-TTY"],
            &service,
            &command,
            options,
            Effect::Change,
        )
        .await
    }

    /// Run a program in a service's container that only reads, also in a dry run.
    ///
    /// That it changes nothing is a promise of the runbook's author.
    ///
    /// # Errors
    /// As `exec`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// print(compose::project().exec_read("caddy", ["caddy", "version"]).stdout);
    /// ```
    #[primitive(read, volatile, needs = compose(self.0.name))]
    pub(super) async fn exec_read(
        &self,
        cx: &Cx,
        service: String,
        command: CommandLine,
        options: ExecOptions,
    ) -> Result<Map> {
        self.inside(
            cx,
            &["exec", "--no-TTY"],
            &service,
            &command,
            options,
            Effect::Read,
        )
        .await
    }

    /// Run a program in a new container of a service, which is removed afterwards. Returns what `exec` does.
    ///
    /// What the service depends on is not started.
    ///
    /// # Errors
    /// As `exec`; `docker.image_missing`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// compose::project().run("postgres", ["postgres", "--version"]);
    /// ```
    #[primitive(change, needs = compose(self.0.name), preview = run_preview)]
    pub(super) async fn run(
        &self,
        cx: &Cx,
        service: String,
        command: CommandLine,
        options: ExecOptions,
    ) -> Result<Map> {
        let verb = ["run", "--rm", "--no-TTY", "--no-deps", "--quiet-pull"];
        self.inside(cx, &verb, &service, &command, options, Effect::Change)
            .await
    }
}

async fn exec_preview(
    _this: &Project,
    cx: &Cx,
    service: &str,
    command: &CommandLine,
    _options: &ExecOptions,
) -> Result<Preview> {
    command.check(cx.redactor())?;
    Ok(Preview::new(format!("run `{command}` in {service}")))
}

async fn run_preview(
    _this: &Project,
    cx: &Cx,
    service: &str,
    command: &CommandLine,
    _options: &ExecOptions,
) -> Result<Preview> {
    command.check(cx.redactor())?;
    Ok(Preview::new(format!(
        "run `{command}` in a new container of {service}"
    )))
}
