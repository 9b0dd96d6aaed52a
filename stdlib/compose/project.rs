//! Which project.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ccrun_kernel::config::Target;
use ccrun_kernel::{Cx, Error, Object, Options, Result, primitive};
use serde::Deserialize;

use super::cli::ComposeCli;
use super::reading;

/// A Compose project.
#[derive(Clone, Object)]
#[object(name = "ComposeProject", describe = "Project::describe")]
pub struct Project(pub(super) Arc<Definition>);

/// What makes a project.
pub struct Definition {
    /// The name, which its containers, networks and volumes are labelled with.
    pub name: String,
    /// The folder that relative paths in the files start from.
    pub folder: PathBuf,
    /// The Compose files, later ones over earlier ones.
    pub files: Vec<PathBuf>,
    /// The files that fill in `${VARIABLES}`. None: the `.env` beside the first file, if it is there.
    pub env_files: Vec<PathBuf>,
    /// The profiles that are switched on.
    pub profiles: Vec<String>,
}

/// One path or several.
#[derive(Deserialize, Clone)]
#[serde(untagged)]
enum OneOrMany {
    One(PathBuf),
    Many(Vec<PathBuf>),
}

impl OneOrMany {
    fn in_folder(self, folder: &Path) -> Vec<PathBuf> {
        let paths = match self {
            Self::One(path) => vec![path],
            Self::Many(paths) => paths,
        };
        paths.iter().map(|path| folder.join(path)).collect()
    }
}

/// `compose` of a target: a table, or only the file.
#[derive(Deserialize)]
#[serde(untagged)]
enum Section {
    File(PathBuf),
    Table(Table),
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Table {
    file: Option<OneOrMany>,
    env_file: Option<OneOrMany>,
    project: Option<String>,
    #[serde(default)]
    profiles: Vec<String>,
}

/// A project other than the target's.
#[derive(Clone, Options)]
pub struct ProjectOptions {
    /// The Compose files, later ones over earlier ones.
    files: Option<Vec<String>>,
    /// The files that fill in `${VARIABLES}`.
    env_files: Option<Vec<String>>,
    /// The name.
    name: Option<String>,
    /// The profiles that are switched on.
    profiles: Option<Vec<String>>,
}

/// The project of the target, or of the working folder; options say otherwise.
///
/// Nothing is asked of Docker yet. The name is, in this order: the option `name`, `project` of the target,
/// `name:` of the Compose file, the name of its folder.
///
/// # Errors
/// `compose.no_file` if there is no Compose file, `config.section`.
///
/// # Example
/// ```rhai,no_run
/// let stack = compose::project();
/// print(stack.ps());
/// ```
#[primitive(pure)]
pub(super) fn project(cx: &Cx, options: ProjectOptions) -> Result<Project> {
    let here = cx.folder().to_owned();
    let paths = |given: Vec<String>| given.iter().map(|path| here.join(path)).collect();
    let table = of_target(cx.target())?;
    let base = cx.target().folder().to_owned();
    let files: Vec<PathBuf> = match (options.files.map(paths), table.file) {
        (Some(files), _) => files,
        (None, Some(files)) => files.in_folder(&base),
        (None, None) => vec![reading::file_in(cx.folder()).ok_or_else(|| no_file(cx.folder()))?],
    };
    let first = files
        .first()
        .ok_or_else(|| Error::new("compose.no_file", "the list of Compose files is empty"))?;
    let folder = first.parent().unwrap_or(Path::new("/")).to_owned();
    let name = match options.name.or(table.project) {
        Some(name) => name,
        None => reading::name_of(&files, &folder)?,
    };
    let env_files = options
        .env_files
        .map(paths)
        .or_else(|| table.env_file.map(|files| files.in_folder(&base)))
        .unwrap_or_default();
    Ok(Project(Arc::new(Definition {
        name,
        folder,
        files,
        env_files,
        profiles: options.profiles.unwrap_or(table.profiles),
    })))
}

fn of_target(target: &Target) -> Result<Table> {
    Ok(match target.section::<Section>("compose")? {
        None => Table::default(),
        Some(Section::File(file)) => Table {
            file: Some(OneOrMany::One(file)),
            ..Table::default()
        },
        Some(Section::Table(table)) => table,
    })
}

fn no_file(folder: &Path) -> Error {
    Error::new(
        "compose.no_file",
        format!("there is no Compose file in {}", folder.display()),
    )
    .hint(
        "go to its folder, or name it in ccrun.toml: [target.production] compose = { file = \"infrastructure/compose.yml\" }",
    )
}

impl Project {
    fn describe(&self) -> String {
        format!("Compose project {}", self.0.name)
    }

    /// The name of the project.
    ///
    /// # Errors
    /// None.
    ///
    /// # Example
    /// ```rhai,no_run
    /// print(compose::project().name);
    /// ```
    #[primitive(pure, get)]
    pub(super) fn name(&self) -> String {
        self.0.name.clone()
    }

    /// The folder that relative paths in the Compose files start from.
    ///
    /// # Errors
    /// None.
    ///
    /// # Example
    /// ```rhai,no_run
    /// print(compose::project().folder);
    /// ```
    #[primitive(pure, get)]
    pub(super) fn folder(&self) -> String {
        self.0.folder.display().to_string()
    }

    /// The Compose files, later ones over earlier ones.
    ///
    /// # Errors
    /// None.
    ///
    /// # Example
    /// ```rhai,no_run
    /// print(compose::project().files);
    /// ```
    #[primitive(pure, get)]
    pub(super) fn files(&self) -> Vec<String> {
        self.0
            .files
            .iter()
            .map(|file| file.display().to_string())
            .collect()
    }

    /// The files that fill in the `${VARIABLES}` of the Compose files.
    ///
    /// # Errors
    /// None.
    ///
    /// # Example
    /// ```rhai,no_run
    /// print(compose::project().env_files);
    /// ```
    #[primitive(pure, get)]
    pub(super) fn env_files(&self) -> Vec<String> {
        let fallback = self.0.folder.join(".env");
        match self.0.env_files.as_slice() {
            [] => vec![fallback.display().to_string()],
            files => files
                .iter()
                .map(|file| file.display().to_string())
                .collect(),
        }
    }

    /// The version of the Compose CLI that reads it.
    ///
    /// # Errors
    /// `compose.missing` if there is no Compose on this machine.
    ///
    /// # Example
    /// ```rhai,no_run
    /// print(compose::project().cli_version());
    /// ```
    #[primitive(read, needs = compose(self.0.name))]
    pub(super) async fn cli_version(&self, cx: &Cx) -> Result<String> {
        cx.client::<ComposeCli>().await?.version().await
    }
}
