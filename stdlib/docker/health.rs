//! Waiting for a container: until it is well, or until it ends.

use std::time::Instant;

use bollard::models::{ContainerInspectResponse, HealthStatusEnum};
use ccrun_kernel::value::Duration;
use ccrun_kernel::{Cx, Error, Options, Result, primitive};

use super::container::Container;

/// How often the engine is asked.
const INTERVAL: std::time::Duration = std::time::Duration::from_millis(100);

/// What has no health check is believed when it has been running for so long.
const SETTLED: std::time::Duration = std::time::Duration::from_secs(2);

/// So many lines of its log go into an error.
const LINES: u64 = 10;

/// How long a container is waited for.
#[derive(Clone, Options)]
pub struct WaitOptions {
    /// How long to wait.
    #[option(default = "2m")]
    timeout: Duration,
}

/// How long the end of a container is waited for.
#[derive(Clone, Options)]
pub struct EndOptions {
    /// How long to wait; without it, as long as the step may take.
    timeout: Option<Duration>,
}

/// How a container stands.
enum Standing {
    Well,
    NotYet(String),
    /// It will not become well by waiting.
    Ended(String),
}

impl Container {
    /// Wait until its health check says that it is well; without a health check, until it has been running
    /// for 2 seconds.
    ///
    /// # Errors
    /// `docker.unhealthy` with what the last health check said and the last lines of its log: after
    /// `timeout`, and at once if it ends or does not run; `docker.not_found`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// docker::container("postgres").wait_healthy(#{ timeout: "1m" });
    /// ```
    #[primitive(read, volatile, needs = docker(self.name))]
    pub(super) async fn wait_healthy(&self, cx: &Cx, options: WaitOptions) -> Result<()> {
        let started = Instant::now();
        let mut progress = cx.progress(format!("waiting for {}", self.name), None);
        let mut restarts = None;
        loop {
            let inspect = self.inspected(cx).await?;
            let before = *restarts.get_or_insert(inspect.restart_count.unwrap_or(0));
            match standing(&inspect, before) {
                Standing::Well => return Ok(()),
                Standing::Ended(why) => {
                    return Err(self.unhealthy(cx, format!("{} {why}", self.name)).await);
                }
                Standing::NotYet(why) if started.elapsed() >= options.timeout.to_std() => {
                    let what = format!("{} is {why} after {}", self.name, options.timeout);
                    return Err(self.unhealthy(cx, what).await.retryable());
                }
                Standing::NotYet(why) => {
                    progress.message(format!("waiting for {}: {why}", self.name));
                }
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// Wait until it ends, and return its exit status.
    ///
    /// # Errors
    /// `docker.timeout` with the option, `docker.not_found`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// assert(docker::container("migrations").wait(#{ timeout: "10m" }) == 0);
    /// ```
    #[primitive(read, volatile, needs = docker(self.name))]
    pub(super) async fn wait(&self, cx: &Cx, options: EndOptions) -> Result<i64> {
        let started = Instant::now();
        let _progress = cx.progress(format!("waiting for the end of {}", self.name), None);
        loop {
            let state = self.inspected(cx).await?.state.unwrap_or_default();
            let name = state
                .status
                .map_or_else(String::new, |status| status.to_string());
            if matches!(name.as_str(), "exited" | "dead") {
                return Ok(state.exit_code.unwrap_or(-1));
            }
            if let Some(timeout) = options.timeout
                && started.elapsed() >= timeout.to_std()
            {
                return Err(Error::new(
                    "docker.timeout",
                    format!("{} is still {name} after {timeout}", self.name),
                )
                .hint("it goes on; wait longer, or look into its log")
                .retryable());
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }

    async fn unhealthy(&self, cx: &Cx, what: String) -> Error {
        let lines = self.last_lines(cx, LINES).await;
        let mut message = what;
        if !lines.is_empty() {
            message.push_str(&format!("; its log ends with\n  {}", lines.join("\n  ")));
        }
        Error::new("docker.unhealthy", message)
            .hint(format!("its whole log: docker logs {}", self.name))
            .detail("log", lines)
    }
}

fn standing(inspect: &ContainerInspectResponse, restarts_before: i64) -> Standing {
    let state = inspect.state.clone().unwrap_or_default();
    let name = state
        .status
        .map_or_else(String::new, |status| status.to_string());
    let restarts = inspect.restart_count.unwrap_or(0);
    if restarts > restarts_before + 2 {
        return Standing::Ended(format!(
            "ends again and again ({restarts} restarts), last with status {}",
            state.exit_code.unwrap_or(-1)
        ));
    }
    match name.as_str() {
        "running" => {}
        "exited" | "dead" => {
            let memory = match state.oom_killed {
                Some(true) => ", killed because its memory ran out",
                _ => "",
            };
            let code = state.exit_code.unwrap_or(-1);
            return Standing::Ended(format!("has ended with status {code}{memory}"));
        }
        "created" => return Standing::Ended("was never started".to_owned()),
        "paused" => return Standing::Ended("is paused".to_owned()),
        other => return Standing::NotYet(other.to_owned()),
    }
    let health = state.health.unwrap_or_default();
    match health.status {
        Some(HealthStatusEnum::HEALTHY) => Standing::Well,
        None | Some(HealthStatusEnum::NONE | HealthStatusEnum::EMPTY) => {
            let since = state.started_at.as_deref();
            let started = since.and_then(|text| text.parse::<jiff::Timestamp>().ok());
            let running = started
                .map(|started| jiff::Timestamp::now().duration_since(started))
                .and_then(|running| std::time::Duration::try_from(running).ok())
                .unwrap_or_default();
            match running >= SETTLED {
                true => Standing::Well,
                false => Standing::NotYet("just started".to_owned()),
            }
        }
        Some(status) => {
            let last = health.log.as_deref().and_then(<[_]>::last);
            let said = last
                .filter(|check| check.exit_code != Some(0))
                .and_then(|check| check.output.as_deref())
                .and_then(|output| output.trim().lines().last())
                .filter(|line| !line.is_empty())
                .map(|line| format!(" (its health check says: {line})"));
            Standing::NotYet(format!("{status}{}", said.unwrap_or_default()))
        }
    }
}
