//! The Compose CLI.
#![allow(
    clippy::disallowed_methods,
    reason = "this is the client that the Compose CLI is started by"
)]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ccrun_kernel::effect::Effect;
use ccrun_kernel::event::Level;
use ccrun_kernel::value::Size;
use ccrun_kernel::{Access, Client, Cx, Error, Result};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::project::Definition;
use crate::engine::Host;
use crate::files::Content;
use crate::process::{
    CommandLine, Environment, Finished, Launch, Processes, is_program, program_in_path,
};

/// How Compose is started here: as a plugin of the Docker CLI, or by itself.
pub struct ComposeCli {
    program: Vec<String>,
    environment: Environment,
}

impl ComposeCli {
    /// Its version: `2.40.3`.
    ///
    /// # Errors
    /// `compose.missing` if it does not say one.
    pub async fn version(&self) -> Result<String> {
        version(&self.program).await.ok_or_else(missing)
    }
}

impl Client for ComposeCli {
    async fn open(access: &Access) -> Result<Self> {
        let variable = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
        let host = Host::find(access.target(), variable)?;
        let mut environment = Environment::default();
        for (name, value) in host.environment() {
            environment = environment.with(name, value);
        }
        // Where credentials and plugins are.
        if let Some(folder) = variable("DOCKER_CONFIG") {
            environment = environment.with("DOCKER_CONFIG", folder);
        }
        Ok(Self {
            program: program().await?,
            environment,
        })
    }
}

/// The command. The plugin also runs by itself: without the Docker CLI in front of it, and without being asked for its
/// version first.
async fn program() -> Result<Vec<String>> {
    if let Some(plugin) = plugin() {
        return Ok(vec![plugin.to_string_lossy().into_owned()]);
    }
    for words in [["docker", "compose"].as_slice(), &["docker-compose"]] {
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        if program_in_path(&words[0]).is_some() && version(&words).await.is_some() {
            return Ok(words);
        }
    }
    Err(missing())
}

/// Where the Docker CLI looks for its plugins, as <https://docs.docker.com/compose/install/linux/> lists it.
fn plugin() -> Option<PathBuf> {
    // Without the Docker CLI nobody meant to have its plugins.
    program_in_path("docker")?;
    let own = std::env::var_os("DOCKER_CONFIG")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".docker")));
    own.into_iter()
        .chain(
            [
                "/usr/local/lib/docker",
                "/usr/local/libexec/docker",
                "/usr/lib/docker",
                "/usr/libexec/docker",
            ]
            .map(PathBuf::from),
        )
        .map(|folder| folder.join("cli-plugins/docker-compose"))
        .find(|path| path.is_absolute() && is_program(path))
}

/// The version that a command says it has.
async fn version(words: &[String]) -> Option<String> {
    let output = tokio::process::Command::new(&words[0])
        .args(&words[1..])
        .args(["version", "--short"])
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .ok()
        .filter(|output| output.status.success())?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    Some(said.trim().trim_start_matches('v').to_owned())
}

fn missing() -> Error {
    Error::new(
        "compose.missing",
        "there is no Docker Compose on this machine",
    )
    .hint("install the package `docker-compose-plugin`; `docker compose version` then answers")
}

/// One call of the Compose CLI for a project.
pub struct Call<'a> {
    /// The context of the primitive.
    pub cx: &'a Cx,
    /// The project.
    pub project: &'a Arc<Definition>,
    /// What is asked, `["up", "--detach"]`.
    pub arguments: Vec<String>,
    /// Whether it only reads.
    pub effect: Effect,
    /// What it reads from standard input.
    pub stdin: Option<Content>,
    /// More variables for the CLI's own environment.
    pub environment: Environment,
    /// How long it may take.
    pub timeout: Option<Duration>,
    /// How much of the output is kept.
    pub max_output: Size,
}

impl<'a> Call<'a> {
    /// A call that only reads.
    pub fn read(cx: &'a Cx, project: &'a Arc<Definition>, arguments: &[&str]) -> Self {
        Self {
            cx,
            project,
            arguments: arguments.iter().map(|&text| text.to_owned()).collect(),
            effect: Effect::Read,
            stdin: None,
            environment: Environment::default(),
            timeout: None,
            max_output: Size::from_bytes(16 << 20),
        }
    }

    /// A call that changes something.
    pub fn change(cx: &'a Cx, project: &'a Arc<Definition>, arguments: &[&str]) -> Self {
        Self {
            effect: Effect::Change,
            ..Self::read(cx, project, arguments)
        }
    }

    /// With these arguments at the end.
    pub fn and(mut self, arguments: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    async fn start(&self, merge: bool) -> Result<(crate::process::Running, String)> {
        let cli = self.cx.client::<ComposeCli>().await?;
        let processes = self.cx.client::<Processes>().await?;
        let mut words = cli.program.clone();
        words.extend(self.project.arguments());
        words.extend(self.arguments.iter().cloned());
        let shown = format!("docker compose {}", self.arguments.join(" "));
        let mut environment = cli.environment.clone();
        for (name, value) in self.environment.variables() {
            environment = environment.with(name, value.unwrap_or_default());
        }
        let command = CommandLine::new(words);
        command.check(self.cx.redactor())?;
        let running = processes.start(Launch {
            command: &command,
            effect: self.effect,
            folder: &self.project.folder,
            cwd: None,
            env: &environment,
            stdin: self.stdin.clone(),
            merge,
        })?;
        Ok((running, shown))
    }

    /// Run it to its end, whatever that is.
    ///
    /// # Errors
    /// `compose.missing`, `sh.timeout`
    pub async fn finish(self) -> Result<Finished> {
        let (mut running, shown) = self.start(false).await?;
        running.capture(self.cx, self.max_output, false);
        running.finish(self.timeout, &shown).await
    }

    /// Run it, and give what it wrote to standard output.
    ///
    /// # Errors
    /// `compose.failed` and its more telling kinds.
    pub async fn text(self) -> Result<String> {
        let (cx, project) = (self.cx, Arc::clone(self.project));
        let shown = self.arguments.join(" ");
        let finished = self.finish().await?;
        warn_of_unset(cx, &finished.stderr.text());
        match finished.code() {
            0 if finished.stdout.left_out() > 0 => Err(Error::new(
                "compose.too_much",
                format!(
                    "`docker compose {shown}` wrote {} of output",
                    Size::from_bytes(finished.stdout.total())
                ),
            )),
            0 => Ok(finished.stdout.text()),
            code => Err(failed(&project, &shown, code, &finished.stderr.text())),
        }
    }

    /// Run it, and show as its progress what it says it is doing.
    ///
    /// # Errors
    /// `compose.failed` and its more telling kinds.
    pub async fn watched(self, label: &str) -> Result<()> {
        /// Enough to see what went wrong.
        const KEPT: usize = 200;
        let (mut running, shown) = self.start(true).await?;
        let output = running.take_stdout();
        running.capture(self.cx, Size::from_bytes(1 << 16), false);
        let mut progress = self.cx.progress(label, None);
        let mut said = std::collections::VecDeque::new();
        let reading = async {
            let Some(output) = output else { return };
            let mut lines = BufReader::new(output).split(b'\n');
            while let Ok(Some(line)) = lines.next_segment().await {
                let line = String::from_utf8_lossy(&line).trim().to_owned();
                if line.is_empty() {
                    continue;
                }
                progress.message(format!("{label}: {}", self.cx.redactor().redact(&line)));
                if said.len() == KEPT {
                    said.pop_front();
                }
                said.push_back(line);
            }
        };
        let (finished, ()) = tokio::join!(running.finish(self.timeout, &shown), reading);
        let text = Vec::from(said).join("\n");
        warn_of_unset(self.cx, &text);
        match finished?.code() {
            0 => Ok(()),
            code => Err(failed(self.project, &self.arguments.join(" "), code, &text)),
        }
    }
}

impl Definition {
    /// What tells the CLI which project it is.
    fn arguments(&self) -> Vec<String> {
        let mut words = vec![
            "--ansi".to_owned(),
            "never".to_owned(),
            "--progress".to_owned(),
            "plain".to_owned(),
            "--project-name".to_owned(),
            self.name.clone(),
            "--project-directory".to_owned(),
            self.folder.display().to_string(),
        ];
        let mut add = |option: &str, values: &mut dyn Iterator<Item = String>| {
            for value in values {
                words.push(option.to_owned());
                words.push(value);
            }
        };
        let shown = |path: &std::path::PathBuf| path.display().to_string();
        add("--file", &mut self.files.iter().map(shown));
        add("--env-file", &mut self.env_files.iter().map(shown));
        add("--profile", &mut self.profiles.iter().cloned());
        words
    }
}

/// A variable that is not set becomes an empty text, and Compose only warns: so do we, once per call.
fn warn_of_unset(cx: &Cx, text: &str) {
    let names = unset(text);
    if !names.is_empty() {
        cx.log(
            Level::Warn,
            format!(
                "not set, and therefore empty in the Compose file: {}",
                names.join(", ")
            ),
        );
    }
}

/// The variables that Compose says are not set.
pub fn unset(text: &str) -> Vec<String> {
    let mut names: Vec<String> = text
        .lines()
        .filter(|line| line.contains("variable is not set"))
        .filter_map(|line| {
            // `msg="The \"NAME\" variable is not set. …"`
            let from = line.find("The ")? + 4;
            let name = line[from..].split_whitespace().next()?;
            Some(name.trim_matches(['\\', '"']).to_owned())
        })
        .collect();
    names.sort();
    names.dedup();
    names
}

/// What went wrong, from what the CLI wrote.
fn failed(project: &Definition, call: &str, code: i64, text: &str) -> Error {
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.contains("level=warning"))
        .collect();
    let last = lines.last().copied().unwrap_or("it gave no reason");
    let said = lines
        .iter()
        .rev()
        .find(|line| {
            let line = line.to_ascii_lowercase();
            line.contains("error") || line.contains("required variable") || line.contains("invalid")
        })
        .unwrap_or(&last);
    let word = call.split_whitespace().next().unwrap_or_default();
    let env_files: Vec<String> = project
        .env_files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    let (kind, hint) = if said.contains("required variable") || said.contains("is missing a value")
    {
        let place = match env_files.is_empty() {
            true => format!("{}/.env", project.folder.display()),
            false => env_files.join(", "),
        };
        ("compose.unset_variable", format!("set it in {place}"))
    } else if said.contains("couldn't find env file")
        || said.contains("env file") && said.contains("not found")
    {
        (
            "compose.no_env_file",
            "make it from its template, mode 0600, and fill it in".to_owned(),
        )
    } else if said.contains("Cannot connect to the Docker daemon") {
        (
            "docker.unreachable",
            "is the Docker engine running? `systemctl start docker`, then `journalctl -u docker -n 50`".to_owned(),
        )
    } else if said.contains("port is already allocated") || said.contains("address already in use")
    {
        (
            "docker.port_taken",
            "`net::listening()` shows who has the port".to_owned(),
        )
    } else if said.contains("no space left on device") {
        (
            "docker.disk_full",
            "`docker system df` shows what takes the space".to_owned(),
        )
    } else if said.contains("No such image")
        || said.contains("pull access denied")
        || said.contains("manifest unknown")
        || said.contains("not found: manifest")
        // What a registry, or nobody in its place, answered: the name in it may hold any word.
        || said.contains("/v2/")
    {
        (
            "docker.image_missing",
            "is the image's name right, and can this machine reach its registry (`docker login`)?"
                .to_owned(),
        )
    } else if said.contains("no such service") {
        (
            "compose.no_service",
            "`compose::project().services()` lists them".to_owned(),
        )
    } else if said.contains("yaml")
        || said.contains("failed to parse")
        || said.contains("invalid")
        || said.contains("validating")
    {
        (
            "compose.invalid",
            format!("the project is made of {}", project_files(project)),
        )
    } else {
        (
            "compose.failed",
            format!(
                "the same by hand: docker compose -p {} {call}",
                project.name
            ),
        )
    };
    let tail: Vec<&str> = lines.iter().rev().take(20).rev().copied().collect();
    Error::new(
        kind,
        format!("`docker compose {word}` of {} failed: {said}", project.name),
    )
    .hint(hint)
    .detail("exit_code", code)
    .detail("output", tail.join("\n"))
    .retryable_if(kind == "docker.unreachable")
}

fn project_files(project: &Definition) -> String {
    let files: Vec<String> = project
        .files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    files.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unset_variables_are_named_once() {
        let text = concat!(
            "time=\"2026-11-23T12:00:00Z\" level=warning msg=\"The \\\"CADDY_EMAIL\\\" variable is not set. Defaulting to a blank string.\"\n",
            "WARN[0000] The \"DOMAIN\" variable is not set. Defaulting to a blank string. \n",
            "WARN[0000] The \"DOMAIN\" variable is not set. Defaulting to a blank string. \n",
        );
        assert_eq!(unset(text), ["CADDY_EMAIL", "DOMAIN"]);
    }
}
