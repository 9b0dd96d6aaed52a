//! What there is to know about a container.

use bollard::models::{ChangeType, ContainerInspectResponse};
use ccrun_kernel::rhai::{Dynamic, Map};
use ccrun_kernel::{Cx, Result, primitive};

use super::container::Container;
use super::shape;
use crate::engine::Engine;

impl Container {
    pub(super) async fn inspected(&self, cx: &Cx) -> Result<ContainerInspectResponse> {
        let engine = cx.client::<Engine>().await?;
        engine
            .read()
            .inspect_container(&self.id, None)
            .await
            .map_err(|error| engine.failed(&format!("inspect {}", self.name), error))
    }

    /// All that the engine knows of it, as a map: `state`, `config`, `host_config`, `mounts`,
    /// `network_settings` …. `config.env` is a map, in which variables that look like secrets are `Secret`.
    ///
    /// # Errors
    /// `docker.not_found` if it is gone.
    ///
    /// # Example
    /// ```rhai,no_run
    /// let inspect = docker::container("postgres").inspect();
    /// print(`${inspect.state.started_at}, ${inspect.restart_count} restarts, at most ${inspect.host_config.memory}`);
    /// ```
    #[primitive(read, volatile, needs = docker(self.name))]
    pub(super) async fn inspect(&self, cx: &Cx) -> Result<Map> {
        shape::map(cx.redactor(), &self.inspected(cx).await?)
    }

    /// The variables it was started with. Those whose name says that they are secret, and URLs with a
    /// password, are `Secret`.
    ///
    /// # Errors
    /// `docker.not_found` if it is gone.
    ///
    /// # Example
    /// ```rhai,no_run
    /// let env = docker::container("postgres").env();
    /// print(env.POSTGRES_DB);
    /// ```
    #[primitive(read, needs = docker(self.name))]
    pub(super) async fn env(&self, cx: &Cx) -> Result<Map> {
        let config = self.inspected(cx).await?.config.unwrap_or_default();
        let variables = config.env.unwrap_or_default();
        Ok(shape::environment(
            cx.redactor(),
            variables.iter().map(String::as_str),
        ))
    }

    /// The processes in it: maps with the columns of `ps -ef` (`pid`, `user` or `uid`, `cmd` …).
    ///
    /// # Errors
    /// `docker.conflict` if it does not run, `docker.not_found`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// for process in docker::container("postgres").top() { print(process.cmd); }
    /// ```
    #[primitive(read, volatile, needs = docker(self.name))]
    pub(super) async fn top(&self, cx: &Cx) -> Result<Vec<Map>> {
        let engine = cx.client::<Engine>().await?;
        let answer = engine.read().top_processes(&self.id, None).await;
        let top = answer.map_err(|error| {
            engine.failed(&format!("list the processes of {}", self.name), error)
        })?;
        let titles: Vec<String> = top
            .titles
            .unwrap_or_default()
            .iter()
            .map(|title| title.to_lowercase().replace('%', "percent_"))
            .collect();
        let rows = top.processes.unwrap_or_default();
        Ok(rows
            .into_iter()
            .map(|row| {
                let cells = titles.iter().zip(row);
                cells
                    .map(|(title, cell)| {
                        let number = cell.parse::<i64>().ok();
                        let cell = number.map_or_else(|| cell.into(), Dynamic::from);
                        (title.into(), cell)
                    })
                    .collect()
            })
            .collect())
    }

    /// The files that differ from its image: maps with `path` and `change` (`"added"`, `"modified"`,
    /// `"deleted"`).
    ///
    /// # Errors
    /// `docker.not_found` if it is gone.
    ///
    /// # Example
    /// ```rhai,no_run
    /// print(docker::container("caddy").diff());
    /// ```
    #[primitive(read, volatile, needs = docker(self.name))]
    pub(super) async fn diff(&self, cx: &Cx) -> Result<Vec<Map>> {
        let engine = cx.client::<Engine>().await?;
        let answer = engine.read().container_changes(&self.id).await;
        let changes = answer.map_err(|error| {
            engine.failed(&format!("compare {} with its image", self.name), error)
        })?;
        Ok(changes
            .unwrap_or_default()
            .into_iter()
            .map(|change| {
                let kind = match change.kind {
                    ChangeType::_1 => "added",
                    ChangeType::_2 => "deleted",
                    _ => "modified",
                };
                Map::from_iter([
                    ("path".into(), change.path.into()),
                    ("change".into(), kind.into()),
                ])
            })
            .collect())
    }
}
