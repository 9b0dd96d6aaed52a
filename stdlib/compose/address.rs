//! Where a service answers.

use ccrun_kernel::{Cx, Error, Result, primitive};

use super::containers::{self, Container};
use super::project::Project;
use crate::engine::Engine;

impl Project {
    /// Where a port of a service answers, seen from here: `"172.18.0.5:9090"`.
    ///
    /// A published port goes before the container's own address, which this machine reaches also on networks
    /// that are `internal`: most services of a stack publish no port, and need none for this.
    ///
    /// # Errors
    /// `compose.not_running` if no container of it runs, `compose.unreachable` if the engine is on another machine and
    /// the port is not published.
    ///
    /// # Example
    /// ```rhai,no_run
    /// let prometheus = compose::project().address("prometheus", 9090);
    /// print(http::get(`http://${prometheus}/-/ready`).status);
    /// ```
    #[primitive(read, volatile, needs = compose(self.0.name))]
    pub(super) async fn address(&self, cx: &Cx, service: String, port: u16) -> Result<String> {
        let all = containers::all(cx, &self.0).await?;
        let running = all
            .iter()
            .filter(|container| container.service == service && !container.one_off)
            .find(|container| container.state() == "running");
        let Some(container) = running else {
            return Err(Error::new(
                "compose.not_running",
                format!("no container of {service} is running in {}", self.0.name),
            )
            .hint(format!(
                "`docker compose ps --all {service}` shows what there is; `ccrun deploy` starts it"
            ))
            .retryable());
        };
        let engine = cx.client::<Engine>().await?;
        at(container, &engine.host().address, port).ok_or_else(|| {
            Error::new(
                "compose.unreachable",
                format!(
                    "{} publishes no port {port}, and its own address can't be reached from here: the engine is at {}",
                    container.name,
                    engine.host().address
                ),
            )
            .hint("run ccrun on that machine")
        })
    }
}

fn at(container: &Container, engine: &str, port: u16) -> Option<String> {
    let is_local = engine.starts_with("unix://");
    match container.published(port) {
        Some((host, public)) if is_local => {
            let anywhere = matches!(host.as_str(), "0.0.0.0" | "::" | "");
            let host = if anywhere {
                "127.0.0.1".to_owned()
            } else {
                host
            };
            return Some(format!("{host}:{public}"));
        }
        Some((host, public)) if matches!(host.as_str(), "0.0.0.0" | "::" | "") => {
            let url = url::Url::parse(engine).ok()?;
            return Some(format!("{}:{public}", url.host_str()?));
        }
        _ => {}
    }
    let own = container.address().filter(|_| is_local)?;
    Some(format!("{own}:{port}"))
}
