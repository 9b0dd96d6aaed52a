//! Starting, stopping and removing containers.

use bollard::query_parameters::{
    KillContainerOptionsBuilder, RemoveContainerOptionsBuilder, RenameContainerOptionsBuilder,
    RestartContainerOptionsBuilder, StopContainerOptionsBuilder,
};
use ccrun_kernel::value::Duration;
use ccrun_kernel::{Cx, Options, Preview, Result, primitive};

use super::container::{Container, one};
use crate::engine::{Engine, is_not_found, status};

/// How a container is stopped.
#[derive(Clone, Options)]
pub struct StopOptions {
    /// How long it has to end by itself before it is killed; without it, what it was made with (10 s).
    grace: Option<Duration>,
}

/// How a container is restarted.
#[derive(Clone, Options)]
pub struct RestartOptions {
    /// How long it has to end by itself before it is killed; without it, what it was made with (10 s).
    grace: Option<Duration>,
}

/// What goes with a container that is removed.
#[derive(Clone, Options)]
pub struct RemoveOptions {
    /// Kill it first if it runs.
    #[option(default = "false")]
    force: bool,
    /// Remove the volumes without a name that belong to it.
    #[option(default = "false")]
    volumes: bool,
}

/// Whole seconds, as the engine counts them; what is under way is not cut to nothing.
fn seconds(grace: Duration) -> i32 {
    i32::try_from(grace.to_std().as_millis().div_ceil(1000)).unwrap_or(i32::MAX)
}

type Answer = std::result::Result<(), bollard::errors::Error>;

impl Container {
    /// The answer to a change. An engine that found it so already says 304.
    fn changed(&self, cx: &Cx, engine: &Engine, verb: &str, answer: Answer) -> Result<()> {
        match answer {
            Ok(()) => Ok(()),
            Err(error) if status(&error) == Some(304) => {
                cx.unchanged();
                Ok(())
            }
            Err(error) => Err(engine.failed(&format!("{verb} {}", self.name), error)),
        }
    }

    /// Its state at this moment.
    async fn state_now(&self, cx: &Cx) -> Result<String> {
        Ok(one(cx, &self.id).await?.state())
    }

    /// Start it. One that runs is left alone.
    ///
    /// # Errors
    /// `docker.not_found`, `docker.port_taken`, `docker.failed` with the engine's reason.
    ///
    /// # Example
    /// ```rhai,no_run
    /// docker::container("redis").start();
    /// ```
    #[primitive(change, needs = docker(self.name), preview = start_preview)]
    pub(super) async fn start(&self, cx: &Cx) -> Result<()> {
        let engine = cx.client::<Engine>().await?;
        let docker = engine.write("start a container")?;
        let answer = docker.start_container(&self.id, None).await;
        self.changed(cx, &engine, "start", answer)
    }

    /// Stop it: it is asked to end, and killed if it has not after `grace`. One that does not run is left
    /// alone.
    ///
    /// # Errors
    /// `docker.not_found`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// docker::container("realtime").stop(#{ grace: "1m" });
    /// ```
    #[primitive(change, needs = docker(self.name), preview = stop_preview)]
    pub(super) async fn stop(&self, cx: &Cx, options: StopOptions) -> Result<()> {
        let engine = cx.client::<Engine>().await?;
        let docker = engine.write("stop a container")?;
        let how = options
            .grace
            .map(|grace| StopContainerOptionsBuilder::new().t(seconds(grace)).build());
        let answer = docker.stop_container(&self.id, how).await;
        self.changed(cx, &engine, "stop", answer)
    }

    /// Stop it and start it again. Whether it then is well, `wait_healthy` tells.
    ///
    /// # Errors
    /// `docker.not_found`, `docker.failed` with the engine's reason.
    ///
    /// # Example
    /// ```rhai,no_run
    /// let postgrest = docker::container("postgrest");
    /// postgrest.restart();
    /// postgrest.wait_healthy();
    /// ```
    #[primitive(change, needs = docker(self.name), preview = restart_preview)]
    pub(super) async fn restart(&self, cx: &Cx, options: RestartOptions) -> Result<()> {
        let engine = cx.client::<Engine>().await?;
        let docker = engine.write("restart a container")?;
        let how = options.grace.map(|grace| {
            RestartContainerOptionsBuilder::new()
                .t(seconds(grace))
                .build()
        });
        let answer = docker.restart_container(&self.id, how).await;
        self.changed(cx, &engine, "restart", answer)
    }

    /// Send it a signal, `SIGKILL` if none is given.
    ///
    /// # Errors
    /// `docker.conflict` if it does not run, `docker.not_found`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// docker::container("caddy").kill("SIGUSR1");
    /// ```
    #[primitive(change, needs = docker(self.name), preview = kill_preview)]
    pub(super) async fn kill(&self, cx: &Cx, signal: Option<String>) -> Result<()> {
        let engine = cx.client::<Engine>().await?;
        let docker = engine.write("kill a container")?;
        let signal = signal.as_deref().unwrap_or("SIGKILL");
        let how = KillContainerOptionsBuilder::new().signal(signal).build();
        let answer = docker.kill_container(&self.id, Some(how)).await;
        self.changed(cx, &engine, "kill", answer)
    }

    /// Freeze its processes. One that is paused is left alone.
    ///
    /// # Errors
    /// `docker.conflict` if it does not run, `docker.not_found`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// docker::container("worker").pause();
    /// ```
    #[primitive(change, needs = docker(self.name), preview = pause_preview)]
    pub(super) async fn pause(&self, cx: &Cx) -> Result<()> {
        if self.state_now(cx).await? == "paused" {
            cx.unchanged();
            return Ok(());
        }
        let engine = cx.client::<Engine>().await?;
        let docker = engine.write("pause a container")?;
        let answer = docker.pause_container(&self.id).await;
        self.changed(cx, &engine, "pause", answer)
    }

    /// Let its frozen processes go on. One that is not paused is left alone.
    ///
    /// # Errors
    /// `docker.not_found`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// docker::container("worker").unpause();
    /// ```
    #[primitive(change, needs = docker(self.name), preview = unpause_preview)]
    pub(super) async fn unpause(&self, cx: &Cx) -> Result<()> {
        if self.state_now(cx).await? != "paused" {
            cx.unchanged();
            return Ok(());
        }
        let engine = cx.client::<Engine>().await?;
        let docker = engine.write("unpause a container")?;
        let answer = docker.unpause_container(&self.id).await;
        self.changed(cx, &engine, "unpause", answer)
    }

    /// Give it another name. Returns the container under that name.
    ///
    /// # Errors
    /// `docker.conflict` if the name is taken, `docker.not_found`.
    ///
    /// # Example
    /// ```rhai,no_run
    /// docker::container("web").rename("web-old");
    /// ```
    #[primitive(change, needs = docker(self.name), needs = docker(name), preview = rename_preview)]
    pub(super) async fn rename(&self, cx: &Cx, name: String) -> Result<Self> {
        let engine = cx.client::<Engine>().await?;
        let docker = engine.write("rename a container")?;
        let to = RenameContainerOptionsBuilder::new().name(&name).build();
        let answer = docker.rename_container(&self.id, to).await;
        self.changed(cx, &engine, "rename", answer)?;
        one(cx, &self.id).await
    }

    /// Remove it, and what was written inside of it; volumes with a name stay. One that is gone already is
    /// no error.
    ///
    /// # Errors
    /// `docker.conflict` if it runs (`force: true` kills it first).
    ///
    /// # Example
    /// ```rhai,no_run
    /// docker::container("web-old").remove(#{ force: true });
    /// ```
    #[primitive(change, needs = docker(self.name), preview = remove_preview)]
    pub(super) async fn remove(&self, cx: &Cx, options: RemoveOptions) -> Result<()> {
        let engine = cx.client::<Engine>().await?;
        let docker = engine.write("remove a container")?;
        let how = RemoveContainerOptionsBuilder::new()
            .force(options.force)
            .v(options.volumes)
            .build();
        match docker.remove_container(&self.id, Some(how)).await {
            Err(error) if is_not_found(&error) => {
                cx.unchanged();
                Ok(())
            }
            answer => self.changed(cx, &engine, "remove", answer),
        }
    }
}

/// A preview that changes nothing where the container is so already.
fn unless(already: bool, verb: &str, name: &str, undo: &str) -> Preview {
    let preview = Preview::new(format!("{verb} {name}"));
    match already {
        true => preview.unchanged(),
        false if undo.is_empty() => preview,
        false => preview.undo(format!("docker::container(\"{name}\").{undo}")),
    }
}

async fn start_preview(this: &Container, cx: &Cx) -> Result<Preview> {
    let running = this.state_now(cx).await? == "running";
    Ok(unless(running, "start", &this.name, "stop()"))
}

async fn stop_preview(this: &Container, cx: &Cx, _options: &StopOptions) -> Result<Preview> {
    let state = this.state_now(cx).await?;
    let stopped = matches!(state.as_str(), "exited" | "created" | "dead");
    Ok(unless(stopped, "stop", &this.name, "start()"))
}

async fn restart_preview(this: &Container, cx: &Cx, _options: &RestartOptions) -> Result<Preview> {
    this.state_now(cx).await?;
    Ok(unless(false, "restart", &this.name, ""))
}

async fn kill_preview(this: &Container, cx: &Cx, signal: &Option<String>) -> Result<Preview> {
    this.state_now(cx).await?;
    let signal = signal.as_deref().unwrap_or("SIGKILL");
    Ok(Preview::new(format!("send {signal} to {}", this.name)))
}

async fn pause_preview(this: &Container, cx: &Cx) -> Result<Preview> {
    let paused = this.state_now(cx).await? == "paused";
    Ok(unless(paused, "pause", &this.name, "unpause()"))
}

async fn unpause_preview(this: &Container, cx: &Cx) -> Result<Preview> {
    let paused = this.state_now(cx).await? == "paused";
    Ok(unless(!paused, "unpause", &this.name, "pause()"))
}

async fn rename_preview(this: &Container, cx: &Cx, name: &str) -> Result<Preview> {
    this.state_now(cx).await?;
    let old = &this.name;
    Ok(Preview::new(format!("rename {old} to {name}"))
        .undo(format!("docker::container(\"{name}\").rename(\"{old}\")")))
}

async fn remove_preview(this: &Container, cx: &Cx, options: &RemoveOptions) -> Result<Preview> {
    let name = &this.name;
    let state = match this.state_now(cx).await {
        Ok(state) => state,
        Err(error) if error.kind() == "docker.not_found" => {
            return Ok(Preview::new(format!("{name} is gone already")).unchanged());
        }
        Err(error) => return Err(error),
    };
    let volumes = match options.volumes {
        true => " and its volumes without a name, WITH THEIR DATA",
        false => "",
    };
    Ok(Preview::new(format!("remove {name} ({state}){volumes}")))
}
