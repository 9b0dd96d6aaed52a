//! `import`: modules that are not there, go in circles, or leave the folder of the runbook.

#![allow(
    clippy::disallowed_methods,
    reason = "modules are files of the author, read before any run"
)]

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::facts::{Facts, Import};
use super::finding::Report;
use super::summary::ModuleSummary;
use crate::run::Modules;
use crate::value::closest;

/// What an import brings.
#[derive(Default)]
pub struct Imported {
    /// The module; `None` where it can't be known.
    pub summary: Option<Arc<ModuleSummary>>,
}

/// A module that was found.
pub struct Found {
    /// Its file, as findings name it.
    pub name: String,
    /// The same by whatever way it is reached, so that it is looked at once.
    pub identity: String,
    pub text: String,
    /// Of the shipped library, which is not for the author of this file to mend.
    pub shipped: bool,
}

/// Why there is no module.
pub struct Missing {
    pub rule: &'static str,
    pub message: String,
    pub suggestion: String,
    pub replacement: Option<String>,
}

/// Find the module `path` for the file `importer`, by the rules of a run.
pub fn find(modules: &Modules, importer: &str, path: &str) -> Result<Found, Missing> {
    if let Some(name) = path.strip_prefix("std/") {
        return match modules.get(name) {
            Some(text) => Ok(Found {
                name: path.to_owned(),
                identity: path.to_owned(),
                text: (*text).to_owned(),
                shipped: true,
            }),
            None => Err(no_library_module(modules, path, name)),
        };
    }
    let file = resolve(importer, path)?;
    match std::fs::read_to_string(&file) {
        Ok(text) => Ok(Found {
            name: file.display().to_string(),
            identity: identity(&file),
            text,
            shipped: false,
        }),
        Err(error) => Err(no_file(path, &file, &error)),
    }
}

/// What two paths to the same file have in common.
pub fn identity(file: &Path) -> String {
    std::fs::canonicalize(file)
        .unwrap_or_else(|_| file.to_owned())
        .display()
        .to_string()
}

fn no_library_module(modules: &Modules, path: &str, name: &str) -> Missing {
    let nearest = closest(name, modules.keys().copied());
    Missing {
        rule: "import-not-found",
        message: format!("there is no library module `{path}`"),
        suggestion: match nearest {
            Some(nearest) => format!("did you mean `std/{nearest}`?"),
            None => "`ccrun doc std` lists the library".to_owned(),
        },
        replacement: nearest.map(|nearest| format!("\"std/{nearest}\"")),
    }
}

fn no_file(path: &str, file: &Path, error: &std::io::Error) -> Missing {
    let wanted = file
        .file_stem()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let entries = std::fs::read_dir(folder.unwrap_or(Path::new(".")));
    let mut names: Vec<String> = entries
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(".rhai").map(str::to_owned))
        .collect();
    names.sort_unstable();
    let nearest = closest(wanted, names.iter().map(String::as_str)).map(|nearest| {
        Path::new(path)
            .with_file_name(nearest)
            .display()
            .to_string()
    });
    Missing {
        rule: "import-not-found",
        message: match error.kind() {
            std::io::ErrorKind::NotFound => format!("there is no file {}", file.display()),
            _ => format!("{} can't be read: {error}", file.display()),
        },
        suggestion: match &nearest {
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None => "an import is relative to the file it stands in, without `.rhai`".to_owned(),
        },
        replacement: nearest.map(|nearest| format!("\"{nearest}\"")),
    }
}

/// The file that `path` means in the file `importer`.
fn resolve(importer: &str, path: &str) -> Result<PathBuf, Missing> {
    let relative = Path::new(path);
    let inside = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
    if !relative.components().all(inside) {
        return Err(Missing {
            rule: "import-outside",
            message: format!("`import \"{path}\"` leaves the folder of the runbook"),
            suggestion: "put shared modules below the runbooks, for example `import \"lib/team\"`"
                .to_owned(),
            replacement: None,
        });
    }
    let folder = Path::new(importer).parent().unwrap_or(Path::new(""));
    // Without the `.`: else a file that imports `./itself` would go by ever longer names.
    let parts = relative
        .components()
        .filter(|part| matches!(part, Component::Normal(_)));
    let mut file = folder.join(parts.collect::<PathBuf>());
    if file.extension().is_none_or(|extension| extension != "rhai") {
        file.as_mut_os_string().push(".rhai");
    }
    Ok(file)
}

/// Say why an import brings nothing.
pub fn report_missing(report: &mut Report<'_>, import: &Import<'_>, missing: Missing) {
    let finding = report.add(missing.rule, import.position, missing.message);
    finding.suggest(missing.suggestion);
    finding.replacement = missing.replacement;
}

/// Say that the modules in `circle` import each other.
pub fn report_circle(report: &mut Report<'_>, import: &Import<'_>, circle: &[String]) {
    report
        .add(
            "import-circular",
            import.position,
            format!(
                "modules import each other in a circle: {}",
                circle.join(" → ")
            ),
        )
        .suggest("move what both need into a third module");
}

/// Imports that nobody uses. A module passes its imports on, so they may be used elsewhere.
pub fn unused(report: &mut Report<'_>, facts: &Facts<'_>, module: bool) {
    for import in facts.imports.iter().filter(|import| !import.used) {
        let Some(alias) = import.alias else { continue };
        if module && import.top || alias.as_str().starts_with('_') {
            continue;
        }
        report
            .add(
                "unused-import",
                alias.pos,
                format!("`{}` is imported and never used", alias.as_str()),
            )
            .suggest("remove the import");
    }
}
