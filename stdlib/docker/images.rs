//! Images: what is here, and what comes and goes.

use std::collections::HashMap;
use std::io::Read as _;

use bollard::models::ProgressDetail;
use bollard::query_parameters::{
    CreateImageOptionsBuilder, ImportImageOptions, ListImagesOptionsBuilder,
    PushImageOptionsBuilder, RemoveImageOptionsBuilder, TagImageOptionsBuilder,
};
use ccrun_kernel::rhai::{Array, Dynamic, Map};
use ccrun_kernel::value::{Duration, Size};
use ccrun_kernel::{Cx, Error, Options, Preview, Progress, Result, primitive};
use futures::{Stream, StreamExt as _};
use tokio::sync::mpsc::channel;
use tokio_util::bytes::Bytes;

use super::copy::{FromChannel, pieces};
use super::shape;
use crate::engine::{Engine, credentials, is_not_found, not_found};
use crate::files::{FilePath, Files, blocking, failed};

/// Pieces under way between the disk and the engine.
const UNDER_WAY: usize = 16;

/// Which images are listed.
#[derive(Clone, Options)]
pub struct ImagesOptions {
    /// Those in between as well, which others are built on.
    #[option(default = "false")]
    all: bool,
    /// Only those of this name: `"postgres"`, `"postgres:1*"`.
    name: Option<String>,
    /// Only those with no name.
    #[option(default = "false")]
    dangling: bool,
}

/// How an image is removed.
#[derive(Clone, Options)]
pub struct RemoveImageOptions {
    /// Also if it has several names, or an ended container was made from it.
    #[option(default = "false")]
    force: bool,
}

/// How an image is fetched or sent.
#[derive(Clone, Options)]
pub struct TransferOptions {
    /// How long the engine may say nothing of it before it is given up: an engine can wait for ever for a registry.
    #[option(default = "10m")]
    silence: Duration,
}

/// The name without its tag, and the tag: a digest stays with the name.
fn split(name: &str) -> (&str, Option<&str>) {
    match name.rsplit_once(':') {
        Some((before, tag)) if !tag.contains('/') && !name.contains('@') => (before, Some(tag)),
        _ => (name, None),
    }
}

/// The images, sorted by name: maps with `name`, `names`, `id`, `size`, `created`, `digests`, `labels`.
///
/// # Errors
/// `docker.unreachable`, `docker.denied`.
///
/// # Example
/// ```rhai,no_run
/// for image in docker::images() { print(`${image.name} ${image.size}`); }
/// ```
#[primitive(read, volatile, needs = docker("*"))]
pub(super) async fn images(cx: &Cx, options: ImagesOptions) -> Result<Vec<Map>> {
    let engine = cx.client::<Engine>().await?;
    let mut filters: HashMap<&str, Vec<String>> = HashMap::new();
    if let Some(name) = options.name {
        filters.insert("reference", vec![name]);
    }
    if options.dangling {
        filters.insert("dangling", vec!["true".to_owned()]);
    }
    let query = ListImagesOptionsBuilder::new()
        .all(options.all)
        .filters(&filters)
        .build();
    let found = engine.read().list_images(Some(query)).await;
    let mut found = found.map_err(|error| engine.failed("list the images", error))?;
    found.sort_by(|a, b| a.repo_tags.cmp(&b.repo_tags));
    let texts = |texts: &[String]| -> Dynamic {
        let named = texts.iter().filter(|text| !text.starts_with("<none>"));
        Dynamic::from_array(named.cloned().map(Dynamic::from).collect::<Array>())
    };
    Ok(found
        .iter()
        .map(|image| {
            let name = image
                .repo_tags
                .iter()
                .find(|name| !name.starts_with("<none>"));
            Map::from_iter([
                (
                    "name".into(),
                    name.map_or(Dynamic::UNIT, |name| name.clone().into()),
                ),
                ("names".into(), texts(&image.repo_tags)),
                ("id".into(), image.id.clone().into()),
                (
                    "size".into(),
                    Dynamic::from(Size::from_bytes(u64::try_from(image.size).unwrap_or(0))),
                ),
                ("created".into(), shape::since_1970(image.created)),
                ("digests".into(), texts(&image.repo_digests)),
                (
                    "labels".into(),
                    image
                        .labels
                        .iter()
                        .map(|(name, value)| (name.into(), value.clone().into()))
                        .collect::<Map>()
                        .into(),
                ),
            ])
        })
        .collect())
}

/// All that the engine knows of an image: `id`, `repo_digests`, `created`, `size`, `config`, `architecture` ….
///
/// # Errors
/// `docker.image_missing` with the nearest name.
///
/// # Example
/// ```rhai,no_run
/// print(docker::image("postgres:15").repo_digests);
/// ```
#[primitive(read, volatile, needs = docker(name))]
pub(super) async fn image(cx: &Cx, name: String) -> Result<Map> {
    let engine = cx.client::<Engine>().await?;
    match engine.read().inspect_image(&name).await {
        Ok(found) => shape::map(cx.redactor(), &found),
        Err(error) if is_not_found(&error) => Err(missing(&engine, &name).await),
        Err(error) => Err(engine.failed(&format!("look up the image {name}"), error)),
    }
}

async fn missing(engine: &Engine, name: &str) -> Error {
    let query = ListImagesOptionsBuilder::new().build();
    let others = engine
        .read()
        .list_images(Some(query))
        .await
        .unwrap_or_default();
    let names = others
        .iter()
        .flat_map(|image| &image.repo_tags)
        .map(String::as_str);
    let nearest = not_found("image", name, names);
    let pull = format!("`docker::pull(\"{name}\")` fetches it");
    let hint = match nearest.hint_text() {
        Some(hint) if hint.starts_with("did you mean") => format!("{hint} {pull}"),
        _ => pull,
    };
    Error::new("docker.image_missing", nearest.message()).hint(hint)
}

async fn id_of(engine: &Engine, name: &str) -> Result<Option<String>> {
    match engine.read().inspect_image(name).await {
        Ok(found) => Ok(found.id),
        Err(error) if is_not_found(&error) => Ok(None),
        Err(error) => Err(engine.failed(&format!("look up the image {name}"), error)),
    }
}

/// What is told of layers that come or go.
struct Layers {
    progress: Progress,
    sizes: HashMap<String, (u64, u64)>,
}

impl Layers {
    fn new(cx: &Cx, label: String) -> Self {
        Self {
            progress: cx.progress(label, None).bytes(),
            sizes: HashMap::new(),
        }
    }

    fn told(&mut self, id: Option<String>, detail: Option<ProgressDetail>) {
        let (Some(id), Some(detail)) = (id, detail) else {
            return;
        };
        let number = |number: Option<i64>| number.and_then(|number| u64::try_from(number).ok());
        let (Some(current), Some(total)) = (number(detail.current), number(detail.total)) else {
            return;
        };
        let layer = self.sizes.entry(id).or_default();
        *layer = (layer.0.max(current), layer.1.max(total));
        self.progress
            .total(self.sizes.values().map(|(_, total)| total).sum());
        self.progress
            .set(self.sizes.values().map(|(done, _)| done).sum());
    }
}

/// Fetch an image. Returns its id; one that is here already and the newest is left as it is.
///
/// A private registry is shown what `docker login` left here, with its credential helpers.
///
/// # Errors
/// `docker.image_missing` if the registry has no such image, `docker.pull_failed` with the registry's reason or because
/// the engine was silent for too long, `docker.denied` if it wants to know who asks, `docker.credentials`.
///
/// # Example
/// ```rhai,no_run
/// docker::pull("postgres:15");
/// ```
#[primitive(change, needs = docker(name), preview = pull_preview)]
pub(super) async fn pull(cx: &Cx, name: String, options: TransferOptions) -> Result<String> {
    let engine = cx.client::<Engine>().await?;
    let docker = engine.write("fetch an image")?;
    let what = format!("fetch the image {name}");
    let before = id_of(&engine, &name).await?;
    let (repository, tag) = split(&name);
    let mut query = CreateImageOptionsBuilder::new().from_image(repository);
    // Without a tag or a digest the engine would fetch every tag that there is.
    if !name.contains('@') {
        query = query.tag(tag.unwrap_or("latest"));
    }
    let login = credentials(cx, &name).await?;
    let mut layers = Layers::new(cx, format!("pull {name}"));
    let mut answers = std::pin::pin!(docker.create_image(Some(query.build()), None, login));
    let failed = "docker.pull_failed";
    while let Some(answer) = heard(&mut answers, &options.silence, failed, &what).await? {
        let answer = answer.map_err(|error| streamed(&engine, failed, &what, error))?;
        layers.told(answer.id, answer.progress_detail);
    }
    let after = id_of(&engine, &name).await?;
    if before == after && before.is_some() {
        cx.unchanged();
    }
    after.ok_or_else(|| {
        Error::new(
            "docker.pull_failed",
            format!("could not {what}: it is not here afterwards"),
        )
    })
}

/// The next thing that the engine says, for as long as it may be silent.
async fn heard<T>(
    answers: &mut (impl Stream<Item = T> + Unpin),
    silence: &Duration,
    kind: &'static str,
    what: &str,
) -> Result<Option<T>> {
    tokio::time::timeout(silence.to_std(), answers.next())
        .await
        .map_err(|_elapsed| {
            Error::new(
                kind,
                format!("could not {what}: the engine has said nothing of it for {silence}"),
            )
            .hint(
                "is the registry reachable from the engine? `docker pull` and `docker push` would wait on; \
                 a longer `silence` is for a registry that is slow",
            )
        })
}

/// An error that came in the middle of an answer that began well.
pub(super) fn streamed(
    engine: &Engine,
    kind: &'static str,
    what: &str,
    error: bollard::errors::Error,
) -> Error {
    match error {
        bollard::errors::Error::DockerStreamError { error } => {
            let missing = error.contains("manifest unknown") || error.contains("not found");
            let asked = [
                "no basic auth credentials",
                "unauthorized",
                "authentication required",
                "denied",
            ];
            let kind = match kind {
                "docker.pull_failed" if missing => "docker.image_missing",
                "docker.pull_failed" | "docker.push_failed"
                    if asked.iter().any(|words| error.contains(words)) =>
                {
                    "docker.denied"
                }
                kind => kind,
            };
            let failed = Error::new(kind, format!("could not {what}: {}", error.trim()));
            match kind {
                "docker.denied" => failed
                    .hint("the registry wants to know who asks: `docker login` with its address, then again"),
                _ => failed,
            }
        }
        error => engine.failed(what, error),
    }
}

async fn pull_preview(cx: &Cx, name: &str, _options: &TransferOptions) -> Result<Preview> {
    let engine = cx.client::<Engine>().await?;
    Ok(Preview::new(match id_of(&engine, name).await? {
        Some(_) => format!("look for a newer image of {name}, and fetch it"),
        None => format!("fetch the image {name}"),
    }))
}

/// Give an image one more name.
///
/// # Errors
/// `docker.image_missing`.
///
/// # Example
/// ```rhai,no_run
/// docker::tag("app:build-17", "app:live");
/// ```
#[primitive(change, needs = docker(name), needs = docker(new_name), preview = tag_preview)]
pub(super) async fn tag(cx: &Cx, name: String, new_name: String) -> Result<()> {
    let engine = cx.client::<Engine>().await?;
    let docker = engine.write("name an image")?;
    let Some(id) = id_of(&engine, &name).await? else {
        return Err(missing(&engine, &name).await);
    };
    if id_of(&engine, &new_name).await? == Some(id) {
        cx.unchanged();
        return Ok(());
    }
    let (repository, tag) = split(&new_name);
    let query = TagImageOptionsBuilder::new()
        .repo(repository)
        .tag(tag.unwrap_or("latest"))
        .build();
    docker
        .tag_image(&name, Some(query))
        .await
        .map_err(|error| engine.failed(&format!("name the image {name} {new_name}"), error))
}

async fn tag_preview(cx: &Cx, name: &str, new_name: &str) -> Result<Preview> {
    let engine = cx.client::<Engine>().await?;
    let (id, named) = (id_of(&engine, name).await?, id_of(&engine, new_name).await?);
    let preview = Preview::new(format!("give the image {name} the name {new_name}"));
    Ok(match named {
        Some(old) if Some(&old) == id.as_ref() => preview.unchanged(),
        Some(old) => preview.undo(format!("docker::tag(\"{old}\", \"{new_name}\")")),
        None => preview.undo(format!("docker::remove_image(\"{new_name}\")")),
    })
}

/// Send an image to the registry that its name says, which is shown what `docker login` left here.
///
/// # Errors
/// `docker.push_failed` with the registry's reason or because the engine was silent for too long,
/// `docker.denied` if it wants to know who asks, `docker.image_missing`, `docker.credentials`.
///
/// # Example
/// ```rhai,no_run
/// docker::push("registry.example.org/app:17");
/// ```
#[primitive(change, needs = docker(name))]
pub(super) async fn push(cx: &Cx, name: String, options: TransferOptions) -> Result<()> {
    let engine = cx.client::<Engine>().await?;
    let docker = engine.write("send an image")?;
    let what = format!("send the image {name}");
    if id_of(&engine, &name).await?.is_none() {
        return Err(missing(&engine, &name).await);
    }
    let (repository, tag) = split(&name);
    let query = PushImageOptionsBuilder::new()
        .tag(tag.unwrap_or("latest"))
        .build();
    let login = credentials(cx, &name).await?;
    let mut layers = Layers::new(cx, format!("push {name}"));
    let mut answers = std::pin::pin!(docker.push_image(repository, Some(query), login));
    let failed = "docker.push_failed";
    while let Some(answer) = heard(&mut answers, &options.silence, failed, &what).await? {
        let answer = answer.map_err(|error| streamed(&engine, failed, &what, error))?;
        layers.told(Some(String::new()), answer.progress_detail);
    }
    Ok(())
}

/// Take a name from an image, and remove the image with its last name. One that is gone already is no error.
///
/// # Errors
/// `docker.conflict` if a container uses it.
///
/// # Example
/// ```rhai,no_run
/// docker::remove_image("app:build-16");
/// ```
#[primitive(change, needs = docker(name), preview = remove_image_preview)]
pub(super) async fn remove_image(cx: &Cx, name: String, options: RemoveImageOptions) -> Result<()> {
    let engine = cx.client::<Engine>().await?;
    let docker = engine.write("remove an image")?;
    let query = RemoveImageOptionsBuilder::new()
        .force(options.force)
        .build();
    match docker.remove_image(&name, Some(query), None).await {
        Ok(_) => Ok(()),
        Err(error) if is_not_found(&error) => {
            cx.unchanged();
            Ok(())
        }
        Err(error) => Err(engine.failed(&format!("remove the image {name}"), error)),
    }
}

async fn remove_image_preview(
    cx: &Cx,
    name: &str,
    _options: &RemoveImageOptions,
) -> Result<Preview> {
    let engine = cx.client::<Engine>().await?;
    Ok(match id_of(&engine, name).await? {
        Some(id) => Preview::new(format!("remove the image {name} ({id})")),
        None => Preview::new(format!("the image {name} is gone already")).unchanged(),
    })
}

/// Write an image into a tar file, which `docker::load` reads. Returns the file's size.
///
/// # Errors
/// `docker.image_missing`; `io.disk_full` and the like for the file.
///
/// # Example
/// ```rhai,no_run
/// docker::save("app:17", "app-17.tar");
/// ```
#[primitive(change, needs = docker(name), needs = fs(file), preview = save_preview)]
pub(super) async fn save(cx: &Cx, name: String, file: FilePath) -> Result<Size> {
    let engine = cx.client::<Engine>().await?;
    let files = cx.client::<Files>().await?;
    if id_of(&engine, &name).await?.is_none() {
        return Err(missing(&engine, &name).await);
    }
    let (to, pieces) = channel(UNDER_WAY);
    let (end, mut ended) = tokio::sync::oneshot::channel::<()>();
    let mut progress = cx.progress(format!("{name} → {file}"), None).bytes();
    let writing = blocking(cx, move |work| {
        let mut target = files.replace(work, &file, None)?;
        let mut source = FromChannel {
            pieces,
            current: Bytes::new(),
        };
        let mut buffer = vec![0; 256 << 10];
        loop {
            let count = source
                .read(&mut buffer)
                .map_err(|error| failed("write", &file, &error))?;
            if count == 0 {
                break;
            }
            target.write_content(&buffer[..count])?;
            progress.advance(count as u64);
        }
        let size = target.written();
        // Without the word that all of it came, the file stays as it was.
        if ended.try_recv().is_ok() {
            target.commit()?;
        }
        Ok(size)
    });
    let reading = async {
        let to = to;
        let mut answer = std::pin::pin!(engine.read().export_image(&name));
        while let Some(piece) = answer.next().await {
            let piece =
                piece.map_err(|error| engine.failed(&format!("save the image {name}"), error))?;
            if to.send(piece).await.is_err() {
                return Ok(());
            }
        }
        let _ = end.send(());
        Ok(())
    };
    let (size, read): (Result<u64>, Result<()>) = tokio::join!(writing, reading);
    let size = size?;
    read?;
    Ok(Size::from_bytes(size))
}

async fn save_preview(_cx: &Cx, name: &str, file: &FilePath) -> Result<Preview> {
    Ok(Preview::new(format!("write the image {name} into {file}")))
}

/// Read images from a tar file that `docker::save` or `docker save` wrote. Returns what the engine says.
///
/// # Errors
/// `fs.not_found` and the like for the file, `docker.load_failed` with the engine's reason.
///
/// # Example
/// ```rhai,no_run
/// docker::load("app-17.tar");
/// ```
#[primitive(change, needs = read fs(file), needs = docker("*"), preview = load_preview)]
pub(super) async fn load(cx: &Cx, file: FilePath) -> Result<String> {
    let engine = cx.client::<Engine>().await?;
    let docker = engine.write("load images")?;
    let files = cx.client::<Files>().await?;
    let (to, from) = channel(UNDER_WAY);
    let what = format!("load images from {file}");
    let mut progress = cx.progress(what.clone(), None).bytes();
    let reading = blocking(cx, move |work| {
        let (source, metadata) = files.open_file(&file)?;
        progress.total(metadata.len());
        let mut source = work.reading(source, |bytes| progress.advance(bytes));
        loop {
            let mut buffer = vec![0; 256 << 10];
            let count = source
                .read(&mut buffer)
                .map_err(|error| failed("read", &file, &error))?;
            buffer.truncate(count);
            if count == 0 || to.blocking_send(Ok(Bytes::from(buffer))).is_err() {
                return Ok(());
            }
        }
    });
    let loading = async {
        let mut said = Vec::new();
        let mut answers = std::pin::pin!(docker.import_image(
            ImportImageOptions::default(),
            bollard::body_try_stream(pieces(from)),
            None
        ));
        while let Some(answer) = answers.next().await {
            let answer =
                answer.map_err(|error| streamed(&engine, "docker.load_failed", &what, error))?;
            said.extend(answer.stream.map(|text| text.trim().to_owned()));
        }
        Ok(said.join("\n"))
    };
    let (read, loaded): (Result<()>, Result<String>) = tokio::join!(reading, loading);
    read?;
    loaded
}

async fn load_preview(_cx: &Cx, file: &FilePath) -> Result<Preview> {
    Ok(Preview::new(format!("load the images in {file}")))
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn names_have_tags_and_registries_ports() {
        assert_eq!(split("postgres"), ("postgres", None));
        assert_eq!(split("postgres:15"), ("postgres", Some("15")));
        assert_eq!(
            split("reg.example.org:5000/app"),
            ("reg.example.org:5000/app", None)
        );
        assert_eq!(
            split("reg.example.org:5000/app:1"),
            ("reg.example.org:5000/app", Some("1"))
        );
        assert_eq!(split("app@sha256:abc"), ("app@sha256:abc", None));
    }
}
