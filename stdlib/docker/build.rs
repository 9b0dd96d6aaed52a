//! Building images from a folder.

use std::collections::{HashMap, VecDeque};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use bollard::query_parameters::BuildImageOptionsBuilder;
use ccrun_kernel::value::Size;
use ccrun_kernel::{Cx, Error, Options, Preview, Result, primitive};
use futures::StreamExt as _;
use indexmap::IndexMap;
use regex::Regex;
use tokio::sync::mpsc::channel;

use super::copy::{ToChannel, pieces};
use crate::engine::Engine;
use crate::files::{FilePath, Files, Work, blocking, failed};

/// How an image is built.
#[derive(Clone, Options)]
pub struct BuildOptions {
    /// Its name, `"app:17"`.
    tag: String,
    /// The Dockerfile, as a path inside of the folder.
    #[option(default = "Dockerfile")]
    dockerfile: String,
    /// Values for `ARG`. They are kept in the image's history: a secret is refused.
    args: Option<IndexMap<String, String>>,
    /// The stage to build.
    target: Option<String>,
    /// Labels.
    labels: Option<IndexMap<String, String>>,
    /// Build everything anew.
    #[option(default = "false")]
    no_cache: bool,
    /// Fetch newer base images.
    #[option(default = "false")]
    pull: bool,
}

/// So many pieces are under way between the disk and the engine.
const UNDER_WAY: usize = 16;

/// So many lines of the build's output go into an error.
const KEPT: usize = 40;

/// What `.dockerignore` says: the last rule that matches a path decides.
struct Ignored(Vec<(bool, Regex)>);

impl Ignored {
    fn new(text: &str) -> Result<Self> {
        let rules = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        rules
            .map(|line| {
                let (leaves_out, pattern) = match line.strip_prefix('!') {
                    Some(pattern) => (false, pattern.trim()),
                    None => (true, line),
                };
                let pattern = pattern.trim_start_matches("./").trim_matches('/');
                let regex = Regex::new(&expression(pattern)).map_err(|error| {
                    Error::new(
                        "docker.ignore_file",
                        format!("`{line}` in .dockerignore is no pattern: {error}"),
                    )
                })?;
                Ok((leaves_out, regex))
            })
            .collect::<Result<Vec<_>>>()
            .map(Self)
    }

    fn leaves_out(&self, path: &str) -> bool {
        let rules = self.0.iter().rev();
        let decides = rules.into_iter().find(|(_, rule)| rule.is_match(path));
        decides.is_some_and(|(leaves_out, _)| *leaves_out)
    }

    /// Whether something in a folder that is left out may be taken in again.
    fn has_exceptions(&self) -> bool {
        self.0.iter().any(|(leaves_out, _)| !leaves_out)
    }
}

/// A pattern as Go's `filepath.Match` reads it, with `**`; what lies below a match matches too.
fn expression(pattern: &str) -> String {
    let mut text = String::from("^");
    let mut rest = pattern.chars().peekable();
    while let Some(letter) = rest.next() {
        match letter {
            '*' if rest.peek() == Some(&'*') => {
                rest.next();
                match rest.peek() {
                    // `**/x` is also `x`.
                    Some('/') => {
                        rest.next();
                        text.push_str("(?:.*/)?");
                    }
                    _ => text.push_str(".*"),
                }
            }
            '*' => text.push_str("[^/]*"),
            '?' => text.push_str("[^/]"),
            '[' => {
                text.push('[');
                for letter in rest.by_ref() {
                    text.push(letter);
                    if letter == ']' {
                        break;
                    }
                }
            }
            '\\' => text.push_str(&regex::escape(
                &rest.next().map(String::from).unwrap_or_default(),
            )),
            other => text.push_str(&regex::escape(&other.to_string())),
        }
    }
    text.push_str("(?:/.*)?$");
    text
}

/// Write the folder into a tar stream, as far as it is not left out. Returns how much it is.
fn pack(
    files: &Files,
    work: &Work,
    folder: &Path,
    dockerfile: &str,
    target: ToChannel,
    mut told: impl FnMut(u64),
) -> Result<u64> {
    const IGNORE: &str = ".dockerignore";
    // One that belongs to the Dockerfile goes before.
    let own = format!("{dockerfile}{IGNORE}");
    let mut rules = String::new();
    for name in [own.as_str(), IGNORE] {
        if files.find(&folder.join(name), true)?.is_some() {
            let text = files.read(work, &folder.join(name), Size::from_bytes(1 << 20))?;
            rules = String::from_utf8_lossy(&text).into_owned();
            break;
        }
    }
    let ignored = Ignored::new(&rules)?;
    let mut archive = tar::Builder::new(std::io::BufWriter::with_capacity(128 << 10, target));
    let mut size = 0;
    let mut todo = vec![PathBuf::new()];
    while let Some(inside) = todo.pop() {
        for entry in files.entries(&folder.join(&inside))? {
            work.check()?;
            let inside = inside.join(entry.path.file_name().unwrap_or_default());
            let name = inside.to_string_lossy();
            // The engine needs these, whatever the rules say.
            let needed = name == dockerfile || name == IGNORE;
            let left_out = !needed && ignored.leaves_out(&name);
            let broken = |error: std::io::Error| failed("pack", &entry.path, &error);
            let metadata = &entry.metadata;
            let mut header = tar::Header::new_gnu();
            header.set_metadata(metadata);
            header.set_uid(0);
            header.set_gid(0);
            if metadata.is_dir() {
                let leads_on = Path::new(dockerfile).starts_with(&inside);
                if !left_out || ignored.has_exceptions() || leads_on {
                    todo.push(inside.clone());
                }
                if !left_out {
                    archive
                        .append_data(&mut header, &inside, std::io::empty())
                        .map_err(broken)?;
                }
            } else if left_out {
            } else if metadata.is_symlink() {
                header.set_size(0);
                archive
                    .append_link(&mut header, &inside, files.read_link(&entry.path)?)
                    .map_err(broken)?;
            } else if metadata.is_file() {
                let (file, metadata) = files.open_file(&entry.path)?;
                header.set_size(metadata.len());
                let reading = work.reading(file.take(metadata.len()), &mut told);
                archive
                    .append_data(&mut header, &inside, reading)
                    .map_err(broken)?;
                size += metadata.len();
            }
        }
    }
    archive
        .into_inner()
        .and_then(|mut target| target.flush())
        .map_err(|error| failed("pack", folder, &error))?;
    Ok(size)
}

/// Build an image from a folder with a Dockerfile. Returns the image's id.
///
/// The folder goes to the engine as far as its `.dockerignore` does not leave it out. The engine's own builder
/// is used; what needs BuildKit (`RUN --mount`) is built by `compose::project().build()`.
///
/// # Errors
/// `docker.build_failed` with the step that failed and the last lines of its output; `fs.not_found` for the
/// folder or the Dockerfile.
///
/// # Example
/// ```rhai,no_run
/// docker::build("frontend", #{ tag: "frontend:17", args: #{ NODE_ENV: "production" } });
/// ```
#[primitive(change, needs = read fs(folder), needs = docker(options.tag), preview = build_preview)]
pub(super) async fn build(cx: &Cx, folder: FilePath, options: BuildOptions) -> Result<String> {
    let engine = cx.client::<Engine>().await?;
    let what = format!("build {}", options.tag);
    let docker = engine.write(&what)?;
    let files = cx.client::<Files>().await?;
    files.metadata(&folder.join(&options.dockerfile), true)?;
    let args: HashMap<String, String> = options.args.unwrap_or_default().into_iter().collect();
    if let Some((name, _)) = args
        .iter()
        .find(|(_, value)| cx.redactor().redact(value) != value.as_str())
    {
        return Err(Error::new(
            "docker.secret_argument",
            format!("the build argument {name} holds a secret, which would be kept in the image"),
        )
        .hint("let the program read it when it runs; for the build itself use Compose's build secrets"));
    }
    let labels: HashMap<String, String> = options.labels.unwrap_or_default().into_iter().collect();
    let mut query = BuildImageOptionsBuilder::new()
        .dockerfile(&options.dockerfile)
        .t(&options.tag)
        .buildargs(&args)
        .labels(&labels)
        .nocache(options.no_cache)
        .rm(true)
        .forcerm(true);
    if let Some(target) = &options.target {
        query = query.target(target);
    }
    if options.pull {
        query = query.pull("true");
    }
    let (to, from) = channel(UNDER_WAY);
    let mut sent = cx.progress(format!("{folder} → engine"), None).bytes();
    let dockerfile = options.dockerfile.clone();
    let failing = to.clone();
    let packing = blocking(cx, move |work| {
        let target = ToChannel(to);
        let packed = pack(&files, work, &folder, &dockerfile, target, |bytes| {
            sent.advance(bytes)
        });
        if packed.is_err() {
            // Half a folder is not to be built.
            let broken = std::io::Error::other("the folder can't be read");
            drop(failing.blocking_send(Err(broken)));
        }
        packed
    });
    let building = async {
        let mut progress = cx.progress(what.clone(), None);
        let mut said: VecDeque<String> = VecDeque::new();
        let (mut step, mut id) = (String::new(), None);
        let body = bollard::body_try_stream(pieces(from));
        let mut answers = std::pin::pin!(docker.build_image(query.build(), None, Some(body)));
        while let Some(answer) = answers.next().await {
            let answer = match answer {
                Ok(answer) => answer,
                Err(bollard::errors::Error::DockerStreamError { error }) => {
                    return Err(build_failed(&what, &step, error.trim(), said.into()));
                }
                Err(error) => return Err(engine.failed(&what, error)),
            };
            id = answer.aux.and_then(|aux| aux.id).or(id);
            let text = answer.stream.or(answer.status).unwrap_or_default();
            for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
                if line.starts_with("Step ") {
                    line.clone_into(&mut step);
                }
                progress.message(format!("{what}: {}", cx.redactor().redact(line)));
                if said.len() == KEPT {
                    said.pop_front();
                }
                said.push_back(line.to_owned());
            }
        }
        id.ok_or_else(|| build_failed(&what, &step, "the engine names no image", said.into()))
    };
    let (packed, built): (Result<u64>, Result<String>) = tokio::join!(packing, building);
    match (packed, built) {
        (_, Ok(id)) => Ok(id),
        // An engine that refuses breaks the packing, and a folder that can't be read the build.
        (Err(error), Err(_)) if !error.message().to_lowercase().contains("broken pipe") => {
            Err(error)
        }
        (_, Err(error)) => Err(error),
    }
}

fn build_failed(what: &str, step: &str, reason: &str, said: Vec<String>) -> Error {
    let place = match step.is_empty() {
        true => String::new(),
        false => format!(" at {step}"),
    };
    let output: Vec<&str> = said
        .iter()
        .rev()
        .take(10)
        .rev()
        .map(String::as_str)
        .collect();
    let mut message = format!("could not {what}{place}: {reason}");
    if !output.is_empty() {
        message.push_str(&format!("\n  {}", output.join("\n  ")));
    }
    Error::new("docker.build_failed", message)
        .hint("the lines above it are the end of the build's output; `details.output` has more")
        .detail("step", step)
        .detail("output", said)
}

async fn build_preview(cx: &Cx, folder: &FilePath, options: &BuildOptions) -> Result<Preview> {
    let files = cx.client::<Files>().await?;
    files.metadata(&folder.join(&options.dockerfile), true)?;
    Ok(
        Preview::new(format!("build the image {} from {folder}", options.tag))
            .undo(format!("docker::remove_image(\"{}\")", options.tag)),
    )
}

#[cfg(test)]
mod tests {
    use super::Ignored;

    #[test]
    fn the_last_rule_of_dockerignore_decides() {
        let rules =
            "# comment\nnode_modules\n*.log\n**/*.tmp\n/dist/\n!dist/keep.txt\nsecret?.txt\n";
        let ignored = Ignored::new(rules).unwrap();
        for (path, left_out) in [
            ("node_modules", true),
            ("node_modules/a/b.js", true),
            ("sub/node_modules", false),
            ("a.log", true),
            ("sub/a.log", false),
            ("a.tmp", true),
            ("sub/deep/a.tmp", true),
            ("dist/app.js", true),
            ("dist/keep.txt", false),
            ("secret1.txt", true),
            ("secret.txt", false),
            ("main.rs", false),
        ] {
            assert_eq!(ignored.leaves_out(path), left_out, "{path}");
        }
        assert!(!Ignored::new("").unwrap().leaves_out("a"));
    }
}
