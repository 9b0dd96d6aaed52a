//! Programs inside of a container that runs.

use std::io::Read as _;
use std::time::Instant;

use bollard::exec::{CreateExecOptions, StartExecOptions, StartExecResults};
use bollard::models::ExecInspectResponse;
use ccrun_kernel::effect::Effect;
use ccrun_kernel::rhai::{Dynamic, Map};
use ccrun_kernel::value::{Duration, Size};
use ccrun_kernel::{Cx, Error, Options, Preview, Result, primitive};
use futures::StreamExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio_util::bytes::Bytes;

use super::container::Container;
use super::lines::{Stream, frame};
use crate::engine::{Engine, is_not_found, status};
use crate::files::{Content, FilePath, Files, blocking, failed};
use crate::process::{Capture, CommandLine, Environment};

/// How a program is run in a container.
#[derive(Clone, Options)]
pub struct ExecOptions {
    /// The user, `"postgres"` or `"70:70"`.
    user: Option<String>,
    /// The folder it starts in.
    workdir: Option<String>,
    /// Variables. Secrets are welcome here.
    env: Option<Environment>,
    /// What it reads from standard input. Secrets are welcome here.
    stdin: Option<Content>,
    /// How long it may run.
    timeout: Option<Duration>,
    /// Fail (`docker.exec_failed`) unless it exits with status 0.
    #[option(default = "true")]
    check: bool,
    /// How much of each stream is kept: the first and the last half of it.
    #[option(default = "8MiB")]
    max_output: Size,
    /// Leave out the newlines at the end of the output, as `$(…)` does in a shell.
    #[option(default = "true")]
    trim: bool,
    /// Give `stdout` as a blob, as it is: at most a million bytes.
    #[option(default = "false")]
    binary: bool,
}

/// More than this is not kept of a stream: a script's string holds no more.
const MOST_OUTPUT: Size = Size::from_bytes(31 << 20);

/// More than this a script's blob does not hold.
const MOST_BINARY: u64 = 1_000_000;

/// What became of a program in a container.
struct Finished {
    code: i64,
    stdout: Capture,
    stderr: Capture,
    elapsed: std::time::Duration,
}

/// Pieces under way between the engine and a file.
const UNDER_WAY: usize = 16;

/// The bytes of a file that go to a program at once.
const PIECE: usize = 64 << 10;

/// What a program reads and where its output goes, besides what the options say.
#[derive(Default)]
struct Pipes {
    /// Its standard input, piece by piece.
    from: Option<Receiver<Bytes>>,
    /// Who takes its standard output.
    to: Option<Sender<Bytes>>,
}

impl Container {
    async fn run_inside(
        &self,
        cx: &Cx,
        command: &CommandLine,
        options: &ExecOptions,
        effect: Effect,
        pipes: Pipes,
    ) -> Result<Finished> {
        let Pipes { from, to } = pipes;
        let reads = options.stdin.is_some() || from.is_some();
        command.check(cx.redactor())?;
        let engine = cx.client::<Engine>().await?;
        let what = format!("run `{command}` in {}", self.name);
        if effect == Effect::Change {
            engine.write(&what)?;
        }
        let limit = options.max_output.min(MOST_OUTPUT);
        let running = async {
            let started = Instant::now();
            let mut stdout = Capture::new(limit);
            let mut stderr = Capture::new(limit);
            let id = self
                .create_exec(&engine, command, options, reads, &what)
                .await?;
            let start = StartExecOptions {
                output_capacity: Some(64 << 10),
                ..StartExecOptions::default()
            };
            let attached = engine.read().start_exec(&id, Some(start)).await;
            let attached = attached.map_err(|error| self.not_started(&engine, &what, error))?;
            let StartExecResults::Attached {
                mut output,
                mut input,
            } = attached
            else {
                return Err(Error::new(
                    "docker.exec_failed",
                    format!("could not {what}: the engine gives no streams"),
                ));
            };
            let content = options.stdin.clone();
            let writing = async move {
                // A program that does not read to the end is none of our business: its status is.
                if let Some(content) = content
                    && input.write_all(content.bytes()).await.is_err()
                {
                    return;
                }
                if let Some(mut from) = from {
                    while let Some(bytes) = from.recv().await {
                        if input.write_all(&bytes).await.is_err() {
                            return;
                        }
                    }
                }
                if reads {
                    let _ = input.shutdown().await;
                }
            };
            let reading = async {
                while let Some(next) = output.next().await {
                    let next = next.map_err(|error| engine.failed(&what, error))?;
                    match (frame(next), &to) {
                        ((Stream::Out, bytes), Some(to)) => {
                            // The other end says itself why it takes no more.
                            if to.send(bytes).await.is_err() {
                                break;
                            }
                        }
                        ((Stream::Out, bytes), None) => stdout.push(&bytes),
                        ((Stream::Err, bytes), _) => stderr.push(&bytes),
                    }
                }
                Ok(())
            };
            let read: Result<()> = {
                let mut writing = std::pin::pin!(writing);
                let mut reading = std::pin::pin!(reading);
                let mut written = false;
                loop {
                    tokio::select! {
                        read = &mut reading => break read,
                        () = &mut writing, if !written => written = true,
                    }
                }
            };
            read?;
            let ended = self.exec_ended(&engine, &id, &what).await?;
            Ok((ended, stdout, stderr, started.elapsed()))
        };
        let finished = match options.timeout {
            None => running.await,
            Some(timeout) => tokio::time::timeout(timeout.to_std(), running)
                .await
                .unwrap_or_else(|_| {
                    Err(Error::new(
                        "docker.timeout",
                        format!("`{command}` in {} did not end within {timeout}", self.name),
                    )
                    .retryable()
                    .hint("it may still be running there: Docker can't end a program inside of a container; put `timeout 60` before it"))
                }),
        };
        let (ended, stdout, stderr, elapsed) = finished?;
        let finished = Finished {
            code: ended.exit_code.unwrap_or(-1),
            stdout,
            stderr,
            elapsed,
        };
        if options.check && finished.code != 0 {
            return Err(self.exec_failed(cx, command, &finished).await);
        }
        Ok(finished)
    }

    /// Run a program in the container and pass on what it writes, for other namespaces.
    ///
    /// # Errors
    /// As `exec`: any status but 0 is an error, with the last lines it wrote.
    pub(crate) async fn stream(
        &self,
        cx: &Cx,
        command: &CommandLine,
        environment: Environment,
        effect: Effect,
        to: Sender<Bytes>,
    ) -> Result<()> {
        let options = ExecOptions {
            user: None,
            workdir: None,
            env: Some(environment),
            stdin: None,
            timeout: None,
            check: true,
            max_output: Size::from_bytes(1 << 20),
            trim: true,
            binary: false,
        };
        let pipes = Pipes {
            to: Some(to),
            ..Pipes::default()
        };
        self.run_inside(cx, command, &options, effect, pipes)
            .await
            .map(drop)
    }

    async fn create_exec(
        &self,
        engine: &Engine,
        command: &CommandLine,
        options: &ExecOptions,
        reads: bool,
        what: &str,
    ) -> Result<String> {
        let mut words = vec![command.program().to_owned()];
        words.extend(command.arguments().iter().cloned());
        let environment = options.env.as_ref().map(|environment| {
            environment
                .variables()
                .map(|(name, value)| format!("{name}={}", value.unwrap_or_default()))
                .collect()
        });
        let create = CreateExecOptions {
            attach_stdin: Some(reads),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: Some(words),
            env: environment,
            user: options.user.clone(),
            working_dir: options.workdir.clone(),
            ..CreateExecOptions::default()
        };
        let created = engine.read().create_exec(&self.id, create).await;
        match created {
            Ok(created) => Ok(created.id),
            Err(error) => Err(self.not_started(engine, what, error)),
        }
    }

    fn not_started(&self, engine: &Engine, what: &str, error: bollard::errors::Error) -> Error {
        match status(&error) {
            Some(409) => engine.failed(what, error).hint(format!(
                "it does not run: `docker::container(\"{}\").start()`; its log says why it ended",
                self.name
            )),
            Some(400 | 500) => {
                let failed = engine.failed(what, error);
                Error::new("docker.exec_failed", failed.message())
                    .hint("is the program in the image, and is the user right?")
            }
            _ => engine.failed(what, error),
        }
    }

    /// The exit status, which the engine knows a moment after the output has ended, or later if the
    /// program closes its output and goes on.
    async fn exec_ended(
        &self,
        engine: &Engine,
        id: &str,
        what: &str,
    ) -> Result<ExecInspectResponse> {
        let mut pause = std::time::Duration::from_millis(2);
        loop {
            let inspected = match engine.read().inspect_exec(id).await {
                Ok(inspected) => inspected,
                Err(error) if is_not_found(&error) => {
                    return Err(Error::new(
                        "docker.exec_failed",
                        format!("could not {what}: the container was removed meanwhile"),
                    ));
                }
                Err(error) => return Err(engine.failed(what, error)),
            };
            if inspected.running != Some(true) && inspected.exit_code.is_some() {
                return Ok(inspected);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(std::time::Duration::from_millis(250));
        }
    }

    async fn exec_failed(&self, cx: &Cx, command: &CommandLine, finished: &Finished) -> Error {
        const LINES: usize = 5;
        let mut said = finished.stderr.last_lines(LINES);
        if said.is_empty() {
            said = finished.stdout.last_lines(LINES);
        }
        let name = &self.name;
        let mut message = format!("`{command}` in {name} exited with status {}", finished.code);
        // Killed: if with the whole container, the engine knows that a moment later.
        let patience = match finished.code {
            137 | 143 => std::time::Duration::from_secs(1),
            _ => std::time::Duration::ZERO,
        };
        let asked = Instant::now();
        let ended = loop {
            let inspected = self.inspected(cx).await;
            let state = inspected.ok().and_then(|inspect| inspect.state);
            if state.is_none_or(|state| state.running != Some(true)) {
                break true;
            }
            if asked.elapsed() >= patience {
                break false;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        };
        if ended {
            message.push_str(", because the container ended");
        }
        if !said.is_empty() {
            message.push_str(&format!(":\n  {}", said.join("\n  ")));
        }
        let hint = match finished.code {
            _ if ended => format!("`docker::container(\"{name}\").logs(#{{ tail: 20 }})` says why"),
            126 | 127 => "is the program in the container's image, and in its PATH?".to_owned(),
            137 => {
                "something killed it (SIGKILL): `dmesg | grep -i oom` tells whether memory ran out"
                    .to_owned()
            }
            _ => format!("by hand: docker exec {name} {command}"),
        };
        Error::new("docker.exec_failed", message)
            .code(finished.code.to_string())
            .hint(hint)
            .detail("status", finished.code)
            .detail("stderr", finished.stderr.last_lines(50).join("\n"))
    }

    /// Run a program in the container, and wait for its end. No shell reads the command.
    ///
    /// Returns a map as `sh::run` does: `status`, `success`, `stdout`, `stderr`, `elapsed`, `truncated`. Of more
    /// than `max_output` the beginning and the end are kept, and a line between them says how much is
    /// missing; what is larger goes into a file with `exec_to_file`. When ccrun stops waiting, Docker lets
    /// the program go on.
    ///
    /// # Errors
    /// `docker.exec_failed` for any status but 0, with the last lines it wrote (`check: false` returns it
    /// instead); `docker.conflict` if the container does not run; `docker.timeout`; `sh.secret_argument`;
    /// `docker.output_too_large` for `binary: true`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// docker::container("redis").exec(["redis-cli", "FLUSHDB"], #{ timeout: "10s" });
    /// ```
    #[primitive(change, needs = docker(self.name), preview = exec_preview)]
    pub(super) async fn exec(
        &self,
        cx: &Cx,
        command: CommandLine,
        options: ExecOptions,
    ) -> Result<Map> {
        let finished = self.run_inside(cx, &command, &options, Effect::Change, Pipes::default());
        finished.await?.into_map(&options)
    }

    /// Run a program in the container that only reads, also in a dry run.
    ///
    /// That it changes nothing is a promise of the runbook's author: ccrun can't know. Everything else is
    /// as with `exec`.
    ///
    /// # Errors
    /// As `exec`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// print(docker::container("postgres").exec_read(["postgres", "--version"]).stdout);
    /// ```
    #[primitive(read, volatile, needs = docker(self.name))]
    pub(super) async fn exec_read(
        &self,
        cx: &Cx,
        command: CommandLine,
        options: ExecOptions,
    ) -> Result<Map> {
        let finished = self.run_inside(cx, &command, &options, Effect::Read, Pipes::default());
        finished.await?.into_map(&options)
    }

    /// Run a program in the container, and write its standard output into a file, byte by byte and of any
    /// size. The file takes its place when the program has ended well; `stdout` of the map is empty, and
    /// `size` says how much was written.
    ///
    /// # Errors
    /// As `exec`, and `io.disk_full`, `fs.not_found` and the like for the file.
    ///
    /// # Example
    /// ```rhai,no_run
    /// let postgres = docker::container("postgres");
    /// postgres.exec_to_file(["pg_dump", "-Fc", "-U", "postgres", "app"], "app.dump", #{ timeout: "1h" });
    /// ```
    #[primitive(change, needs = docker(self.name), needs = fs(file), preview = exec_to_file_preview)]
    pub(super) async fn exec_to_file(
        &self,
        cx: &Cx,
        command: CommandLine,
        file: FilePath,
        options: ExecOptions,
    ) -> Result<Map> {
        let files = cx.client::<Files>().await?;
        let (to, mut from) = channel::<Bytes>(UNDER_WAY);
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let mut progress = cx.progress(format!("{} → {file}", self.name), None).bytes();
        let writing = blocking(cx, move |work| {
            let mut target = files.replace(work, &file, None)?;
            while let Some(bytes) = from.blocking_recv() {
                target.write_content(&bytes)?;
                progress.advance(bytes.len() as u64);
            }
            // Without the word that all went well, the file stays as it was.
            if ended.blocking_recv().is_err() {
                return Ok(0);
            }
            let written = target.written();
            target.commit()?;
            Ok(written)
        });
        let running = async {
            let pipes = Pipes {
                to: Some(to),
                ..Pipes::default()
            };
            let finished = self
                .run_inside(cx, &command, &options, Effect::Change, pipes)
                .await?;
            let _ = end.send(());
            Ok(finished)
        };
        let (finished, written): (Result<Finished>, Result<u64>) = tokio::join!(running, writing);
        // A full disk is why the program could not go on.
        let written = written?;
        let mut map = finished?.into_map(&options)?;
        map.insert("size".into(), Dynamic::from(Size::from_bytes(written)));
        Ok(map)
    }

    /// Run a program in the container that reads a file of this machine from its standard input, of any size.
    ///
    /// # Errors
    /// As `exec`, and those of reading the file.
    ///
    /// # Example
    /// ```rhai,no_run
    /// docker::container("postgres").exec_from_file(["psql", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "app"], "seed.sql");
    /// ```
    #[primitive(change, needs = docker(self.name), needs = fs(file), preview = exec_from_file_preview)]
    pub(super) async fn exec_from_file(
        &self,
        cx: &Cx,
        command: CommandLine,
        file: FilePath,
        options: ExecOptions,
    ) -> Result<Map> {
        let files = cx.client::<Files>().await?;
        // A file that can't be read is known before anything is started.
        let opened = file.clone();
        let (mut source, facts) = blocking(cx, move |_| files.open_file(&opened)).await?;
        let (to, from) = channel::<Bytes>(UNDER_WAY);
        let mut progress = cx.progress(format!("{file} → {}", self.name), None).bytes();
        let reading = blocking(cx, move |work| {
            progress.total(facts.len());
            loop {
                work.check()?;
                let mut piece = Vec::with_capacity(PIECE);
                let read = (&mut source)
                    .take(PIECE as u64)
                    .read_to_end(&mut piece)
                    .map_err(|error| failed("read", &file, &error))?;
                progress.advance(read as u64);
                // The program's status says why it reads no more.
                if read == 0 || to.blocking_send(piece.into()).is_err() {
                    return Ok(());
                }
            }
        });
        let pipes = Pipes {
            from: Some(from),
            ..Pipes::default()
        };
        let running = self.run_inside(cx, &command, &options, Effect::Change, pipes);
        let (finished, read) = tokio::join!(running, reading);
        // Half a file is why the program failed.
        read?;
        finished?.into_map(&options)
    }
}

impl Finished {
    fn into_map(self, options: &ExecOptions) -> Result<Map> {
        let text = |capture: &Capture| {
            let text = capture.text();
            match options.trim {
                true => text.trim_end_matches(['\n', '\r']).to_owned(),
                false => text,
            }
        };
        let stdout = match options.binary {
            true if self.stdout.left_out() > 0 || self.stdout.total() > MOST_BINARY => {
                return Err(Error::new(
                    "docker.output_too_large",
                    format!("the output has {}", Size::from_bytes(self.stdout.total())),
                )
                .hint("write it into a file with `exec_to_file`"));
            }
            true => Dynamic::from_blob(self.stdout.bytes()),
            false => text(&self.stdout).into(),
        };
        let left_out = self.stdout.left_out() + self.stderr.left_out();
        Ok(Map::from_iter([
            ("status".into(), Dynamic::from(self.code)),
            ("success".into(), (self.code == 0).into()),
            ("stdout".into(), stdout),
            ("stderr".into(), text(&self.stderr).into()),
            (
                "elapsed".into(),
                Dynamic::from(Duration::measured(self.elapsed)),
            ),
            ("truncated".into(), (left_out > 0).into()),
        ]))
    }
}

async fn exec_preview(
    this: &Container,
    cx: &Cx,
    command: &CommandLine,
    _options: &ExecOptions,
) -> Result<Preview> {
    command.check(cx.redactor())?;
    Ok(Preview::new(format!("run `{command}` in {}", this.name)))
}

async fn exec_from_file_preview(
    this: &Container,
    cx: &Cx,
    command: &CommandLine,
    file: &FilePath,
    _options: &ExecOptions,
) -> Result<Preview> {
    command.check(cx.redactor())?;
    Ok(Preview::new(format!(
        "run `{command}` in {} with {file} as its input",
        this.name
    )))
}

async fn exec_to_file_preview(
    this: &Container,
    cx: &Cx,
    command: &CommandLine,
    file: &FilePath,
    _options: &ExecOptions,
) -> Result<Preview> {
    command.check(cx.redactor())?;
    Ok(Preview::new(format!(
        "run `{command}` in {} and write its output into {file}",
        this.name
    )))
}
