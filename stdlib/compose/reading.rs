//! What a Compose file says of itself before the Compose CLI reads it.
#![allow(
    clippy::disallowed_methods,
    reason = "which project it is must be known before a permission for it can be asked"
)]

use std::path::{Path, PathBuf};

use ccrun_kernel::{Error, Result};
use serde::Deserialize;

/// The names that Compose looks for, in its order.
const NAMES: [&str; 4] = [
    "compose.yaml",
    "compose.yml",
    "docker-compose.yaml",
    "docker-compose.yml",
];

/// The Compose file of a folder.
pub fn file_in(folder: &Path) -> Option<PathBuf> {
    NAMES
        .iter()
        .map(|name| folder.join(name))
        .find(|path| path.is_file())
}

#[derive(Deserialize)]
struct Named {
    name: Option<String>,
}

/// The name of a project: `name:` of the last file that has one, else made of the folder's name as Compose
/// makes it (Compose specification, "Version and name top-level elements").
pub fn name_of(files: &[PathBuf], folder: &Path) -> Result<String> {
    let mut found = None;
    for file in files {
        let text = std::fs::read_to_string(file).map_err(|error| {
            Error::new(
                "compose.no_file",
                format!("the Compose file {} can't be read: {error}", file.display()),
            )
            .hint("`compose` of the target in ccrun.toml names it, relative to ccrun.toml")
        })?;
        // What is wrong with the file the Compose CLI says better, when it reads it.
        if let Ok(Named { name: Some(name) }) = serde_saphyr::from_str(&text) {
            found = Some((name, file));
        }
    }
    match found {
        Some((name, file)) if name.contains('$') => Err(Error::new(
            "compose.name",
            format!(
                "the project's name in {} is `{name}`, which only Compose can fill in",
                file.display()
            ),
        )
        .hint("say it in ccrun.toml: compose = { file = …, project = \"…\" }")),
        Some((name, _)) => Ok(name),
        None => Ok(normal(folder)),
    }
}

fn normal(folder: &Path) -> String {
    let name = folder
        .file_name()
        .map(|name| name.to_string_lossy().to_lowercase())
        .unwrap_or_default();
    let kept: String = name
        .chars()
        .filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_'))
        .collect();
    kept.trim_start_matches(['-', '_']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_the_files_or_made_of_the_folders() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("compose.yml");
        let named = |text: &str| {
            std::fs::write(&file, text).unwrap();
            name_of(std::slice::from_ref(&file), Path::new("/srv/_My App.2"))
        };
        assert_eq!(named("name: shop\nservices: {}\n").unwrap(), "shop");
        assert_eq!(named("services: {}\n").unwrap(), "myapp2");
        assert_eq!(named("name: ${X}\n").unwrap_err().kind(), "compose.name");
        assert_eq!(file_in(folder.path()), Some(file.clone()));
        std::fs::remove_file(&file).unwrap();
        assert_eq!(file_in(folder.path()), None);
        let error = name_of(&[file], folder.path()).unwrap_err();
        assert_eq!(error.kind(), "compose.no_file");
    }
}
