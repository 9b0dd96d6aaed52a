//! New containers.

use std::collections::HashMap;
use std::time::Instant;

use bollard::models::{
    ContainerCreateBody, HostConfig, PortBinding, RestartPolicy, RestartPolicyNameEnum,
};
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder,
};
use ccrun_kernel::rhai::{Dynamic, Map};
use ccrun_kernel::value::{Duration, Size};
use ccrun_kernel::{Cx, Error, Options, Preview, Result, primitive};
use futures::StreamExt as _;
use indexmap::IndexMap;
use tokio::io::AsyncWriteExt as _;

use super::arguments::Words;
use super::container::one;
use super::lines::{Stream, frame};
use crate::engine::Engine;
use crate::files::Content;
use crate::process::{Capture, CommandLine, Environment};

/// What a new container is made with.
#[derive(Clone, Options)]
pub struct RunOptions {
    /// What it runs, `["pg_dump", "-V"]`; without it, what the image says.
    command: Option<CommandLine>,
    /// Instead of the image's entrypoint.
    entrypoint: Option<Words>,
    /// Its name; without it, Docker makes one up.
    name: Option<String>,
    /// Variables. Secrets are welcome here.
    env: Option<Environment>,
    /// Folders and volumes as Docker writes them: `"data:/var/lib/data"`, `"/srv/www:/www:ro"`.
    mounts: Option<Words>,
    /// The network it is in.
    network: Option<String>,
    /// Labels.
    labels: Option<IndexMap<String, String>>,
    /// The user, `"postgres"` or `"70:70"`.
    user: Option<String>,
    /// The folder it starts in.
    workdir: Option<String>,
    /// Ports to publish as Docker writes them: `"127.0.0.1:8080:80"`, `"8080:80"`, `"53:53/udp"`.
    ports: Option<Words>,
    /// The most memory it may have.
    memory: Option<Size>,
    /// How many processors it may use: `1.5`.
    cpus: Option<f64>,
    /// Let it run, and return its `Container`.
    #[option(default = "false")]
    detach: bool,
    /// Remove it when it has ended.
    #[option(default = "true")]
    remove: bool,
    /// `"no"`, `"always"`, `"unless-stopped"`, `"on-failure"`; only with `detach` and `remove: false`.
    restart: Option<String>,
    /// Run a small init process in it, which passes signals on.
    #[option(default = "true")]
    init: bool,
    /// Its root file system can't be written.
    #[option(default = "false")]
    read_only: bool,
    /// What it reads from standard input. Secrets are welcome.
    stdin: Option<Content>,
    /// How long it may run; it is then killed.
    timeout: Option<Duration>,
    /// Fail (`docker.exec_failed`) unless it exits with status 0.
    #[option(default = "true")]
    check: bool,
    /// How much of each stream is kept: the first and the last half of it.
    #[option(default = "8MiB")]
    max_output: Size,
}

fn invalid(message: String, hint: &str) -> Error {
    Error::new("docker.invalid", message).hint(hint)
}

/// The address here, the port here, and `80/tcp` inside.
fn port(text: &str) -> Result<(Option<String>, Option<String>, String)> {
    let wrong = || {
        invalid(
            format!("`{text}` says no port"),
            "write \"127.0.0.1:8080:80\", \"8080:80\", \"80\", with \"/udp\" behind it if need be",
        )
    };
    let (addresses, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let (before, inside) = match addresses.rsplit_once(':') {
        Some((before, inside)) => (Some(before), inside),
        None => (None, addresses),
    };
    let (ip, outside) = match before.map(|before| {
        before
            .rsplit_once(':')
            .map_or((None, before), |(ip, port)| (Some(ip), port))
    }) {
        Some((ip, outside)) => (ip, Some(outside)),
        None => (None, None),
    };
    for number in std::iter::once(inside).chain(outside.filter(|text| !text.is_empty())) {
        number.parse::<u16>().map_err(|_| wrong())?;
    }
    let ip = ip.map(|ip| ip.trim_matches(['[', ']']).to_owned());
    Ok((
        ip,
        outside.map(str::to_owned),
        format!("{inside}/{protocol}"),
    ))
}

impl RunOptions {
    fn body(&self, cx: &Cx, image: &str) -> Result<ContainerCreateBody> {
        let words = |words: &Option<Words>| words.clone().map(|Words(words)| words);
        let mut bindings: HashMap<String, Option<Vec<PortBinding>>> = HashMap::new();
        for text in words(&self.ports).unwrap_or_default() {
            let (host_ip, host_port, inside) = port(&text)?;
            let list = bindings.entry(inside).or_default();
            list.get_or_insert_default()
                .push(PortBinding { host_ip, host_port });
        }
        let restart = match &self.restart {
            Some(_) if !self.detach || self.remove => {
                return Err(invalid(
                    "`restart` needs `detach: true` and `remove: false`".to_owned(),
                    "a container that is waited for, or removed at its end, is not restarted",
                ));
            }
            Some(name) => Some(RestartPolicy {
                name: Some(name.parse::<RestartPolicyNameEnum>().map_err(|_| {
                    invalid(
                        format!("`{name}` is no restart policy"),
                        "there are no, always, unless-stopped and on-failure",
                    )
                })?),
                maximum_retry_count: None,
            }),
            None => None,
        };
        // Relative folders start where the script's other paths do.
        let binds = words(&self.mounts).map(|mounts| {
            mounts
                .into_iter()
                .map(|mount| match mount.starts_with('.') {
                    true => {
                        let (source, rest) = mount.split_once(':').unwrap_or((&mount, ""));
                        let source = crate::files::resolve(source, cx.folder(), true)
                            .map_or_else(|_| source.to_owned(), |path| path.display().to_string());
                        format!("{source}:{rest}")
                    }
                    false => mount,
                })
                .collect()
        });
        let environment = self.env.as_ref().map(|environment| {
            environment
                .variables()
                .map(|(name, value)| format!("{name}={}", value.unwrap_or_default()))
                .collect()
        });
        Ok(ContainerCreateBody {
            image: Some(image.to_owned()),
            cmd: self.command.as_ref().map(|command| {
                let mut words = vec![command.program().to_owned()];
                words.extend(command.arguments().iter().cloned());
                words
            }),
            entrypoint: words(&self.entrypoint),
            env: environment,
            user: self.user.clone(),
            working_dir: self.workdir.clone(),
            labels: self
                .labels
                .as_ref()
                .map(|labels| labels.clone().into_iter().collect()),
            exposed_ports: (!bindings.is_empty()).then(|| bindings.keys().cloned().collect()),
            attach_stdin: Some(self.stdin.is_some()),
            open_stdin: Some(self.stdin.is_some()),
            stdin_once: Some(self.stdin.is_some()),
            attach_stdout: Some(!self.detach),
            attach_stderr: Some(!self.detach),
            host_config: Some(HostConfig {
                binds,
                network_mode: self.network.clone(),
                port_bindings: (!bindings.is_empty()).then_some(bindings),
                memory: self
                    .memory
                    .map(|size| i64::try_from(size.bytes()).unwrap_or(i64::MAX)),
                nano_cpus: self.cpus.map(|cpus| (cpus * 1e9) as i64),
                restart_policy: restart,
                init: Some(self.init),
                readonly_rootfs: Some(self.read_only),
                // One that is waited for is removed by us, after its status is known.
                auto_remove: Some(self.detach && self.remove),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        })
    }
}

/// Removes a container when the call is cancelled. ccrun may end right after that, so the drop waits for the
/// engine's answer: on the script's own thread, which has nothing else to do.
struct RemoveOnDrop {
    engine: std::sync::Arc<Engine>,
    id: String,
    wanted: bool,
    handle: tokio::runtime::Handle,
}

/// An engine that has not removed a container by then is not waited for any longer.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

impl Drop for RemoveOnDrop {
    fn drop(&mut self) {
        if !self.wanted {
            return;
        }
        let (engine, id) = (
            std::sync::Arc::clone(&self.engine),
            std::mem::take(&mut self.id),
        );
        let (handle, (done, is_done)) = (self.handle.clone(), std::sync::mpsc::channel());
        // A runtime can't be waited for on a thread that drives one already.
        std::thread::spawn(move || {
            let _ = handle.block_on(removed(&engine, &id));
            let _ = done.send(());
        });
        let _ = is_done.recv_timeout(PATIENCE);
    }
}

async fn removed(engine: &Engine, id: &str) -> Result<()> {
    let how = RemoveContainerOptionsBuilder::new()
        .force(true)
        .v(true)
        .build();
    let docker = engine.write("remove a container")?;
    docker
        .remove_container(id, Some(how))
        .await
        .map_err(|error| engine.failed("remove the container", error))
}

/// Run a program in a new container of an image, and wait for its end. Returns a map as `exec` does; with
/// `detach: true`, the `Container`, which goes on.
///
/// The image must be here: see `docker::pull`. The container is removed at its end unless `remove: false`.
/// Permission: the image's name, `docker: ["postgres:15"]`.
///
/// # Errors
/// `docker.image_missing`; `docker.exec_failed` for any status but 0, with the last lines it wrote (`check:
/// false` returns it instead); `docker.conflict` if the name is taken; `docker.port_taken`;
/// `docker.timeout`; `docker.invalid`.
///
/// # Example
/// ```rhai,no_run
/// print(docker::run("postgres:15", #{ command: ["postgres", "--version"] }).stdout);
/// let cache = docker::run("redis:7", #{ name: "cache", ports: "127.0.0.1:6379:6379", detach: true });
/// ```
#[primitive(change, needs = docker(image), preview = run_preview)]
pub(super) async fn run(cx: &Cx, image: String, options: RunOptions) -> Result<Dynamic> {
    if let Some(command) = &options.command {
        command.check(cx.redactor())?;
    }
    let engine = cx.client::<Engine>().await?;
    let what = format!("run a container of {image}");
    let docker = engine.write(&what)?;
    let body = options.body(cx, &image)?;
    let how = options
        .name
        .as_ref()
        .map(|name| CreateContainerOptionsBuilder::new().name(name).build());
    let created = docker
        .create_container(how, body)
        .await
        .map_err(|error| engine.failed(&what, error))?;
    let mut guard = RemoveOnDrop {
        engine: std::sync::Arc::clone(&engine),
        id: created.id.clone(),
        wanted: true,
        handle: tokio::runtime::Handle::current(),
    };
    if options.detach {
        let started = docker.start_container(&created.id, None).await;
        started.map_err(|error| engine.failed(&what, error))?;
        guard.wanted = false;
        return Ok(Dynamic::from(one(cx, &created.id).await?));
    }
    let running = ended(&engine, &created.id, &options, &what);
    let finished = match options.timeout {
        None => running.await,
        Some(timeout) => tokio::time::timeout(timeout.to_std(), running)
            .await
            .unwrap_or_else(|_| {
                Err(Error::new(
                    "docker.timeout",
                    format!(
                        "the container of {image} did not end within {timeout}, and was killed"
                    ),
                )
                .retryable())
            }),
    };
    // What broke off is removed in any case.
    if options.remove || finished.is_err() {
        let gone = removed(&engine, &created.id).await;
        if finished.is_ok() {
            gone?;
        }
    }
    guard.wanted = false;
    let (code, stdout, stderr, elapsed) = finished?;
    if options.check && code != 0 {
        let mut said = stderr.last_lines(5);
        if said.is_empty() {
            said = stdout.last_lines(5);
        }
        let reason = match said.is_empty() {
            true => String::new(),
            false => format!(":\n  {}", said.join("\n  ")),
        };
        return Err(Error::new(
            "docker.exec_failed",
            format!("the container of {image} exited with status {code}{reason}"),
        )
        .code(code.to_string())
        .detail("status", code)
        .detail("stderr", stderr.last_lines(50).join("\n")));
    }
    let text = |capture: &Capture| capture.text().trim_end_matches(['\n', '\r']).to_owned();
    Ok(Dynamic::from_map(Map::from_iter([
        ("status".into(), Dynamic::from(code)),
        ("success".into(), (code == 0).into()),
        ("stdout".into(), text(&stdout).into()),
        ("stderr".into(), text(&stderr).into()),
        ("elapsed".into(), Dynamic::from(Duration::measured(elapsed))),
        (
            "truncated".into(),
            (stdout.left_out() + stderr.left_out() > 0).into(),
        ),
    ])))
}

async fn ended(
    engine: &Engine,
    id: &str,
    options: &RunOptions,
    what: &str,
) -> Result<(i64, Capture, Capture, std::time::Duration)> {
    let docker = engine.write(what)?;
    let started = Instant::now();
    // Attached before it starts, so that nothing it writes is missed.
    let how = AttachContainerOptionsBuilder::new()
        .stream(true)
        .stdout(true)
        .stderr(true)
        .stdin(options.stdin.is_some())
        .build();
    let attached = docker.attach_container(id, Some(how)).await;
    let bollard::container::AttachContainerResults {
        mut output,
        mut input,
    } = attached.map_err(|error| engine.failed(what, error))?;
    let begun = docker.start_container(id, None).await;
    begun.map_err(|error| engine.failed(what, error))?;
    let content = options.stdin.clone();
    let writing = async move {
        if let Some(content) = content
            && input.write_all(content.bytes()).await.is_ok()
        {
            let _ = input.shutdown().await;
        }
    };
    let (mut stdout, mut stderr) = (
        Capture::new(options.max_output),
        Capture::new(options.max_output),
    );
    let reading = async {
        while let Some(next) = output.next().await {
            match frame(next.map_err(|error| engine.failed(what, error))?) {
                (Stream::Out, bytes) => stdout.push(&bytes),
                (Stream::Err, bytes) => stderr.push(&bytes),
            }
        }
        Ok::<(), Error>(())
    };
    {
        let mut writing = std::pin::pin!(writing);
        let mut reading = std::pin::pin!(reading);
        let mut written = false;
        loop {
            tokio::select! {
                read = &mut reading => break read,
                () = &mut writing, if !written => written = true,
            }
        }
    }?;
    let code = end_of(engine, id, what).await?;
    Ok((code, stdout, stderr, started.elapsed()))
}

/// The exit status, which is known a moment after the output has ended.
async fn end_of(engine: &Engine, id: &str, what: &str) -> Result<i64> {
    let mut pause = std::time::Duration::from_millis(2);
    loop {
        let inspected = engine.read().inspect_container(id, None).await;
        let state = inspected
            .map_err(|error| engine.failed(what, error))?
            .state
            .unwrap_or_default();
        if state.running != Some(true) {
            return Ok(state.exit_code.unwrap_or(-1));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(std::time::Duration::from_millis(250));
    }
}

/// Run a program in a new container for another namespace, with the options that scripts give.
///
/// # Errors
/// As `run`.
pub(crate) async fn run_with(cx: &Cx, image: &str, options: Map) -> Result<()> {
    let options = <RunOptions as ccrun_kernel::FromArg>::from_arg(options.into())
        .map_err(|mismatch| Error::new("docker.invalid", format!("{mismatch:?}")))?;
    run(cx, image.to_owned(), options).await.map(drop)
}

async fn run_preview(cx: &Cx, image: &str, options: &RunOptions) -> Result<Preview> {
    if let Some(command) = &options.command {
        command.check(cx.redactor())?;
    }
    options.body(cx, image)?;
    let command = options
        .command
        .as_ref()
        .map_or_else(String::new, |command| format!("`{command}` in "));
    let named = options
        .name
        .as_ref()
        .map_or_else(String::new, |name| format!(" named {name}"));
    let preview = Preview::new(format!("run {command}a new container of {image}{named}"));
    Ok(match (options.detach, &options.name) {
        (true, Some(name)) => preview.undo(format!(
            "docker::container(\"{name}\").remove(#{{ force: true }})"
        )),
        _ => preview,
    })
}

#[cfg(test)]
mod tests {
    use super::port;

    #[test]
    fn ports_are_read_as_docker_writes_them() {
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(port("80").unwrap(), (None, None, "80/tcp".into()));
        assert_eq!(
            port("8080:80").unwrap(),
            (None, text("8080"), "80/tcp".into())
        );
        assert_eq!(
            port("127.0.0.1:53:53/udp").unwrap(),
            (text("127.0.0.1"), text("53"), "53/udp".into())
        );
        assert_eq!(
            port("[::1]:8080:80").unwrap(),
            (text("::1"), text("8080"), "80/tcp".into())
        );
        assert_eq!(port("web:80").unwrap_err().kind(), "docker.invalid");
        assert_eq!(port("8080:99999").unwrap_err().kind(), "docker.invalid");
    }
}
