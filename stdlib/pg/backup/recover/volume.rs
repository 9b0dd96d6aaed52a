//! Recovery into a Docker volume, with the server's image.

use std::io::{self, Write};
use std::sync::Arc;

use bollard::models::{ContainerCreateBody, HostConfig, VolumeCreateRequest};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, InspectContainerOptions, LogsOptionsBuilder,
    RemoveContainerOptionsBuilder, RemoveVolumeOptions, UploadToContainerOptionsBuilder,
};
use ccrun_kernel::{Cx, Error, Result};
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _};
use tokio::sync::mpsc;
use tokio_util::bytes::Bytes;

use super::super::base;
use super::super::verify::same_base;
use super::options::RecoverOptions;
use super::plan::Plan;
use super::run::Ready;
use crate::engine::{Engine, is_not_found};
use crate::files::{Work, blocking};

/// Where the images of PostgreSQL keep their data.
const DATA: &str = "/var/lib/postgresql/data";

/// A volume that a server is made in.
pub struct Volume {
    cx: Cx,
    engine: Arc<Engine>,
    volume: String,
    image: String,
    container: String,
    network: String,
    labels: std::collections::HashMap<String, String>,
    libraries: Option<String>,
}

impl Volume {
    /// See whether a server can be made there.
    pub async fn ready(
        cx: &Cx,
        volume: &str,
        image: &str,
        plan: &Plan,
        options: &RecoverOptions,
    ) -> Result<Self> {
        let engine = cx.client::<Engine>().await?;
        let container = options
            .container
            .clone()
            .unwrap_or_else(|| volume.to_owned());
        let taken = |what: &str, name: &str| {
            Error::new("docker.conflict", format!("there is a {what} {name} already"))
                .hint("nothing was changed. Choose another name; or is that a recovery that was cut off? Then remove it")
        };
        match engine.read().inspect_volume(volume).await {
            Ok(_) => return Err(taken("volume", volume)),
            Err(error) if is_not_found(&error) => {}
            Err(error) => {
                return Err(engine.failed(&format!("look for the volume {volume}"), error));
            }
        }
        match engine
            .read()
            .inspect_container(&container, None::<InspectContainerOptions>)
            .await
        {
            Ok(_) => return Err(taken("container", &container)),
            Err(error) if is_not_found(&error) => {}
            Err(error) => {
                return Err(engine.failed(&format!("look for the container {container}"), error));
            }
        }
        if let Err(error) = engine.read().inspect_image(image).await {
            return Err(if is_not_found(&error) {
                Error::new(
                    "docker.image_missing",
                    format!("the image {image} is not here"),
                )
                .hint(format!(
                    "nothing was changed. Fetch it: `docker pull {image}`"
                ))
            } else {
                engine.failed(&format!("look for the image {image}"), error)
            });
        }
        let mut labels: std::collections::HashMap<String, String> = options
            .labels
            .clone()
            .unwrap_or_default()
            .into_iter()
            .collect();
        labels.insert("ccrun.recovered".to_owned(), plan.manifest.id.clone());
        Ok(Self {
            cx: cx.clone(),
            engine,
            volume: volume.to_owned(),
            image: image.to_owned(),
            container,
            network: options.network.clone(),
            labels,
            libraries: plan
                .manifest
                .settings
                .get("shared_preload_libraries")
                .cloned(),
        })
    }

    /// The container's name.
    pub fn container(&self) -> &str {
        &self.container
    }

    /// What removes all that was made.
    pub fn undo(&self) -> BoxFuture<'static, ()> {
        let engine = Arc::clone(&self.engine);
        let (volume, container) = (self.volume.clone(), self.container.clone());
        async move {
            let Ok(docker) = engine.write("remove what was made") else {
                return;
            };
            let force = RemoveContainerOptionsBuilder::new().force(true).build();
            drop(docker.remove_container(&container, Some(force)).await);
            drop(
                docker
                    .remove_volume(&volume, None::<RemoveVolumeOptions>)
                    .await,
            );
        }
        .boxed()
    }

    /// The volume, and a container that does not run yet.
    pub async fn make(&mut self, mut settings: Vec<(String, String)>) -> Result<()> {
        // Given on the command line there; the image has what it names.
        if let Some(libraries) = &self.libraries
            && !settings
                .iter()
                .any(|(name, _)| name == "shared_preload_libraries")
        {
            settings.push(("shared_preload_libraries".to_owned(), libraries.clone()));
        }
        let what = format!("make the volume {}", self.volume);
        let docker = self.engine.write(&what)?;
        let request = VolumeCreateRequest {
            name: Some(self.volume.clone()),
            labels: Some(self.labels.clone()),
            ..VolumeCreateRequest::default()
        };
        docker
            .create_volume(request)
            .await
            .map_err(|error| self.engine.failed(&what, error))?;
        let mut command = vec!["postgres".to_owned()];
        for (name, value) in settings {
            command.extend(["-c".to_owned(), format!("{name}={value}")]);
        }
        let body = ContainerCreateBody {
            image: Some(self.image.clone()),
            cmd: Some(command),
            env: Some(vec![format!("PGDATA={DATA}")]),
            labels: Some(self.labels.clone()),
            stop_signal: Some("SIGINT".to_owned()),
            host_config: Some(HostConfig {
                binds: Some(vec![format!("{}:{DATA}", self.volume)]),
                network_mode: Some(self.network.clone()),
                shm_size: Some(256 << 20),
                init: Some(true),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        let how = CreateContainerOptionsBuilder::new()
            .name(&self.container)
            .build();
        docker
            .create_container(Some(how), body)
            .await
            .map(drop)
            .map_err(|error| {
                self.engine
                    .failed(&format!("make the container {}", self.container), error)
            })
    }

    /// The files of the base backup: the archive goes to the engine as it is, while it is looked at.
    pub async fn unpack(&mut self, ready: &Ready<'_>) -> Result<()> {
        let (to, from) = mpsc::channel::<io::Result<Bytes>>(16);
        let folder = ready.folder();
        let part = ready.plan.manifest.part("base")?;
        let reading = async {
            let contents = ready
                .reader(&folder)
                .open(part, move |plain| {
                    let mut tee = Tee { from: plain, to };
                    base::read(&mut tee, &mut base::Nothing)
                })
                .await?;
            same_base(&ready.plan.manifest, &contents)
        };
        let (read, uploaded) = tokio::join!(reading, self.upload(from));
        // An engine that takes no more is the cause of what the reader says.
        match (read, uploaded) {
            (Err(error), Err(engine))
                if error.kind() == "pg.backup_damaged" && error.message().contains(REFUSED) =>
            {
                Err(engine)
            }
            (Err(error), _) => Err(error),
            (Ok(()), uploaded) => uploaded,
        }
    }

    /// The log, and what tells the server to replay it.
    pub async fn add_wal(&mut self, ready: &Ready<'_>) -> Result<()> {
        let (to, mut files) = mpsc::channel::<(String, Vec<u8>)>(2);
        let (pieces, from) = mpsc::channel::<io::Result<Bytes>>(16);
        let owner = ready.plan.base.owner;
        let packing = blocking(&self.cx, move |work: &Work| {
            let failed = |error: io::Error| {
                Error::new(
                    "docker.failed",
                    format!("the engine takes no more: {error}"),
                )
            };
            let mut archive =
                tar::Builder::new(io::BufWriter::with_capacity(256 << 10, Pieces(pieces)));
            let mut add = |name: &str, bytes: &[u8]| {
                let mut header = tar::Header::new_ustar();
                header.set_size(bytes.len() as u64);
                header.set_mode(0o600);
                header.set_uid(owner.0);
                header.set_gid(owner.1);
                header.set_cksum();
                archive.append_data(&mut header, name, bytes)
            };
            while let Some((name, bytes)) = files.blocking_recv() {
                work.check()?;
                add(&format!("pg_wal/{name}"), &bytes)
                    // So that the server does not archive again what came from the archive.
                    .and_then(|()| add(&format!("pg_wal/archive_status/{name}.done"), b""))
                    .map_err(failed)?;
            }
            add("recovery.signal", b"").map_err(failed)?;
            archive
                .into_inner()
                .and_then(|mut writer| writer.flush())
                .map_err(failed)
        });
        let uploading = self.upload(from);
        let (sent, packed, uploaded) = tokio::join!(ready.send_wal(to), packing, uploading);
        sent?;
        uploaded?;
        packed
    }

    async fn upload(&self, from: mpsc::Receiver<io::Result<Bytes>>) -> Result<()> {
        let what = format!("write into the volume {}", self.volume);
        let docker = self.engine.write(&what)?;
        let pieces = futures::stream::unfold(from, |mut from| async move {
            from.recv().await.map(|piece| (piece, from))
        });
        let options = UploadToContainerOptionsBuilder::new().path(DATA).build();
        docker
            .upload_to_container(
                &self.container,
                Some(options),
                bollard::body_try_stream(pieces),
            )
            .await
            .map_err(|error| self.engine.failed(&what, error))
    }

    /// Let the server begin.
    pub async fn start(&mut self) -> Result<()> {
        let what = format!("start the container {}", self.container);
        let docker = self.engine.write(&what)?;
        docker
            .start_container(&self.container, None)
            .await
            .map_err(|error| self.engine.failed(&what, error))
    }

    /// What the server has said, and whether it lives.
    pub async fn log(&self) -> Result<(String, bool)> {
        let what = format!("look at the container {}", self.container);
        let inspected = self
            .engine
            .read()
            .inspect_container(&self.container, None::<InspectContainerOptions>)
            .await
            .map_err(|error| self.engine.failed(&what, error))?;
        let alive = inspected.state.and_then(|state| state.running) == Some(true);
        let options = LogsOptionsBuilder::new().stdout(true).stderr(true).build();
        let mut lines = self.engine.read().logs(&self.container, Some(options));
        let mut text = Vec::new();
        while let Some(frame) = lines.next().await {
            let frame = frame.map_err(|error| self.engine.failed(&what, error))?;
            text.extend_from_slice(&frame.into_bytes());
        }
        Ok((String::from_utf8_lossy(&text).into_owned(), alive))
    }
}

/// What a reader says when the engine has hung up.
const REFUSED: &str = "the engine takes no more";

/// Hands on what is read.
struct Tee<'r> {
    from: &'r mut dyn io::Read,
    to: mpsc::Sender<io::Result<Bytes>>,
}

impl io::Read for Tee<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(into)?;
        if read > 0 {
            self.to
                .blocking_send(Ok(Bytes::copy_from_slice(&into[..read])))
                .map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, REFUSED))?;
        }
        Ok(read)
    }
}

/// What a blocking thread writes, for a request.
struct Pieces(mpsc::Sender<io::Result<Bytes>>);

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes))) {
            Ok(()) => Ok(bytes.len()),
            Err(_) => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
