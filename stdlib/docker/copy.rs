//! Files into a container and out of it, as a tar stream that is never held as a whole.

use std::io::{Read, Write};

use bollard::query_parameters::{
    DownloadFromContainerOptionsBuilder, UploadToContainerOptionsBuilder,
};
use ccrun_kernel::value::Size;
use ccrun_kernel::{Cx, Error, Preview, Result, primitive};
use futures::StreamExt as _;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio_util::bytes::Bytes;

use super::container::Container;
use crate::engine::{Engine, is_not_found};
use crate::files::{FilePath, Files, blocking, failed};

/// Pieces under way between the disk and the engine.
const UNDER_WAY: usize = 16;

/// What a blocking thread writes, for the async side.
pub(super) struct ToChannel(pub(super) Sender<std::io::Result<Bytes>>);

impl Write for ToChannel {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes))) {
            Ok(()) => Ok(bytes.len()),
            Err(_) => Err(std::io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What the async side got, for a blocking thread.
pub(super) struct FromChannel {
    pub(super) pieces: Receiver<Bytes>,
    pub(super) current: Bytes,
}

impl Read for FromChannel {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.current.is_empty() {
            match self.pieces.blocking_recv() {
                Some(piece) => self.current = piece,
                None => return Ok(0),
            }
        }
        let count = buffer.len().min(self.current.len());
        buffer[..count].copy_from_slice(&self.current.split_to(count));
        Ok(count)
    }
}

/// What a blocking thread makes, as the body of a request.
pub(super) fn pieces(
    pieces: Receiver<std::io::Result<Bytes>>,
) -> impl futures::Stream<Item = std::io::Result<Bytes>> + Send + 'static {
    futures::stream::unfold(pieces, |mut pieces| async move {
        pieces.recv().await.map(|piece| (piece, pieces))
    })
}

/// The folder and the last part of a path inside of a container.
fn split(path: &str) -> Result<(&str, &str)> {
    let wrong = || {
        Error::new(
            "docker.path",
            format!("`{path}` is no absolute path of a file in a container"),
        )
        .hint("write `/etc/app/config.toml`: the full path that the file or folder has there")
    };
    let (folder, name) = path
        .trim_end_matches('/')
        .rsplit_once('/')
        .ok_or_else(wrong)?;
    if !path.starts_with('/') || matches!(name, "" | "." | "..") {
        return Err(wrong());
    }
    Ok((if folder.is_empty() { "/" } else { folder }, name))
}

impl Container {
    /// Copy a file or a folder from here into the container. `dest` is the full path that it has there;
    /// the folder around it must exist. What is there already is replaced, a folder is merged.
    ///
    /// Returns how much was copied. Modes are kept; the owner becomes root.
    ///
    /// # Errors
    /// `docker.not_found` if the folder or the container is not there, `docker.path`, `fs.not_found` and the
    /// like for the source.
    ///
    /// # Example
    /// ```rhai,no_run
    /// docker::container("caddy").copy_in("Caddyfile", "/etc/caddy/Caddyfile");
    /// ```
    #[primitive(change, needs = read fs(path), needs = docker(self.name), preview = copy_in_preview)]
    pub(super) async fn copy_in(&self, cx: &Cx, path: FilePath, dest: String) -> Result<Size> {
        let (folder, name) = split(&dest)?;
        let engine = cx.client::<Engine>().await?;
        let what = format!("copy {path} to {dest} in {}", self.name);
        let docker = engine.write(&what)?;
        let files = cx.client::<Files>().await?;
        let (to, from) = channel(UNDER_WAY);
        let mut progress = cx.progress(format!("{path} → {}", self.name), None).bytes();
        let (source, name) = (path.clone(), name.to_owned());
        let failing = to.clone();
        let packing = blocking(cx, move |work| {
            let pack = || {
                let target = std::io::BufWriter::with_capacity(128 << 10, ToChannel(to));
                let mut archive = tar::Builder::new(target);
                let mut copied = 0;
                let mut todo = vec![(source.to_path_buf(), std::path::PathBuf::from(&name))];
                while let Some((path, inside)) = todo.pop() {
                    work.check()?;
                    let metadata = files.metadata(&path, path == *source)?;
                    let mut header = tar::Header::new_gnu();
                    header.set_metadata(&metadata);
                    header.set_uid(0);
                    header.set_gid(0);
                    let unwritten = |error: std::io::Error| failed("pack", &path, &error);
                    if metadata.is_dir() {
                        archive
                            .append_data(&mut header, &inside, std::io::empty())
                            .map_err(unwritten)?;
                        for entry in files.entries(&path)? {
                            let path = entry.path;
                            let inside = inside.join(path.file_name().unwrap_or_default());
                            todo.push((path, inside));
                        }
                    } else if metadata.is_symlink() {
                        let to = files.read_link(&path)?;
                        header.set_size(0);
                        archive
                            .append_link(&mut header, &inside, to)
                            .map_err(unwritten)?;
                    } else if metadata.is_file() {
                        let (file, metadata) = files.open_file(&path)?;
                        header.set_size(metadata.len());
                        let exact = file.take(metadata.len());
                        let reading = work.reading(exact, |bytes| progress.advance(bytes));
                        archive
                            .append_data(&mut header, &inside, reading)
                            .map_err(unwritten)?;
                        copied += metadata.len();
                    }
                }
                archive
                    .into_inner()
                    .and_then(|mut target| target.flush())
                    .map_err(|error| failed("pack", &source, &error))?;
                Ok(copied)
            };
            let packed = pack();
            if packed.is_err() {
                // Half an archive is not to look like a whole one.
                let broken = std::io::Error::other("the source can't be read");
                drop(failing.blocking_send(Err(broken)));
            }
            packed
        });
        let options = UploadToContainerOptionsBuilder::new().path(folder).build();
        let uploading = docker.upload_to_container(
            &self.id,
            Some(options),
            bollard::body_try_stream(pieces(from)),
        );
        let (copied, uploaded): (Result<u64>, _) = tokio::join!(packing, uploading);
        match (copied, uploaded) {
            (Ok(copied), Ok(())) => Ok(Size::from_bytes(copied)),
            // A source that can't be read broke the upload, and an engine that refuses broke the packing.
            (Err(error), Ok(())) => Err(error),
            (Err(error), Err(_)) if !error.message().to_lowercase().contains("broken pipe") => {
                Err(error)
            }
            (_, Err(error)) => Err(engine.failed(&what, error)),
        }
    }

    /// Copy a file or a folder out of the container. `dest` is the path that it has here. A file takes its
    /// place when it is complete; into a folder it is merged. Returns how much was copied.
    ///
    /// Only files, folders and links come: no devices, and no owners.
    ///
    /// # Errors
    /// `docker.not_found` if it is not there, `fs.not_found` and the like for the destination,
    /// `docker.unsafe_path` for an entry that would land outside of it.
    ///
    /// # Example
    /// ```rhai,no_run
    /// docker::container("postgres").copy_out("/var/lib/postgresql/data/postgresql.conf", "postgresql.conf");
    /// ```
    #[primitive(change, needs = docker(self.name), needs = fs(dest), preview = copy_out_preview)]
    pub(super) async fn copy_out(&self, cx: &Cx, path: String, dest: FilePath) -> Result<Size> {
        split(&path)?;
        let engine = cx.client::<Engine>().await?;
        let files = cx.client::<Files>().await?;
        let what = format!("copy {path} out of {}", self.name);
        let (to, pieces) = channel(UNDER_WAY);
        let (end, mut ended) = tokio::sync::oneshot::channel::<()>();
        let mut progress = cx.progress(format!("{} → {dest}", self.name), None).bytes();
        let unpacking = blocking(cx, move |work| {
            let mut archive = tar::Archive::new(FromChannel {
                pieces,
                current: Bytes::new(),
            });
            let unreadable = |error: std::io::Error| failed("unpack into", &dest, &error);
            let mut copied = 0;
            for entry in archive.entries().map_err(unreadable)? {
                work.check()?;
                let mut entry = entry.map_err(unreadable)?;
                let inside = entry.path().map_err(unreadable)?.into_owned();
                // The first part is the name that it has in the container.
                let rest: std::path::PathBuf = inside.components().skip(1).collect();
                let plain = |part| matches!(part, std::path::Component::Normal(_));
                if !rest.components().all(plain) {
                    return Err(Error::new(
                        "docker.unsafe_path",
                        format!(
                            "the entry {} would land outside of {}",
                            inside.display(),
                            dest.display()
                        ),
                    ));
                }
                let target = if rest.as_os_str().is_empty() {
                    dest.to_path_buf()
                } else {
                    dest.join(&rest)
                };
                // A link that came before must not lead what comes after elsewhere.
                if let Some(inside) = rest
                    .parent()
                    .filter(|inside| !inside.as_os_str().is_empty())
                {
                    files.create_dirs_below(&dest, inside)?;
                }
                match entry.header().entry_type() {
                    tar::EntryType::Directory => {
                        files.create_dir(&target, None)?;
                    }
                    tar::EntryType::Regular | tar::EntryType::Continuous => {
                        let mut file = files.replace(work, &target, None)?;
                        let mut buffer = vec![0; 128 << 10];
                        loop {
                            let count = entry.read(&mut buffer).map_err(unreadable)?;
                            if count == 0 {
                                break;
                            }
                            file.write_content(&buffer[..count])?;
                            progress.advance(count as u64);
                        }
                        if entry.size() != file.written() {
                            return Err(Error::new(
                                "docker.broken_off",
                                format!("the copy broke off in {}", inside.display()),
                            )
                            .retryable());
                        }
                        copied += file.written();
                        file.commit()?;
                    }
                    tar::EntryType::Symlink => {
                        let to = entry.link_name().map_err(unreadable)?.unwrap_or_default();
                        files.remove(&target)?;
                        files.symlink(&to.to_string_lossy(), &target)?;
                    }
                    _ => {}
                }
            }
            // The engine puts zeros behind the archive's end: read on, or it is cut off while it speaks.
            let mut left = archive.into_inner();
            std::io::copy(&mut left, &mut std::io::sink()).map_err(unreadable)?;
            match ended.try_recv() {
                Ok(()) => Ok(copied),
                Err(_) => Err(Error::new("docker.broken_off", "the copy broke off")),
            }
        });
        let options = DownloadFromContainerOptionsBuilder::new()
            .path(&path)
            .build();
        let downloading = async {
            let to = to;
            let mut pieces = std::pin::pin!(
                engine
                    .read()
                    .download_from_container(&self.id, Some(options))
            );
            while let Some(piece) = pieces.next().await {
                let piece = piece.map_err(|error| match is_not_found(&error) {
                    true => Error::new(
                        "docker.not_found",
                        format!("could not {what}: there is no such file or container"),
                    )
                    .hint("is it the full path in the container?"),
                    false => engine.failed(&what, error),
                })?;
                if to.send(piece).await.is_err() {
                    // The other side says why.
                    return Ok(());
                }
            }
            let _ = end.send(());
            Ok(())
        };
        let (copied, downloaded): (Result<u64>, Result<()>) = tokio::join!(unpacking, downloading);
        downloaded?;
        copied.map(Size::from_bytes)
    }
}

async fn copy_in_preview(
    this: &Container,
    _cx: &Cx,
    path: &FilePath,
    dest: &str,
) -> Result<Preview> {
    split(dest)?;
    Ok(Preview::new(format!(
        "copy {path} to {dest} in {}",
        this.name
    )))
}

async fn copy_out_preview(
    this: &Container,
    _cx: &Cx,
    path: &str,
    dest: &FilePath,
) -> Result<Preview> {
    split(path)?;
    Ok(Preview::new(format!(
        "copy {path} out of {} to {dest}",
        this.name
    )))
}
