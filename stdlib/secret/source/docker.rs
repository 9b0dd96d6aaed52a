//! Docker secrets: one file each in `/run/secrets`
//! (<https://docs.docker.com/compose/how-tos/use-secrets/>).

use std::io::ErrorKind;
use std::path::PathBuf;

use ccrun_kernel::secret::SecretSource;
use ccrun_kernel::{BoxFuture, Error, Result};

/// A folder with a file per secret.
pub struct DockerSecrets {
    folder: PathBuf,
}

impl DockerSecrets {
    /// The secrets in this folder.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }
}

impl SecretSource for DockerSecrets {
    fn describe(&self) -> String {
        self.folder.display().to_string()
    }

    fn get<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<String>>> {
        Box::pin(async move {
            // A name is a file's name, never a path out of the folder.
            if name.is_empty() || name.contains(['/', '\0']) || name.starts_with('.') {
                return Ok(None);
            }
            match std::fs::read_to_string(self.folder.join(name)) {
                Ok(text) => Ok(Some(text.strip_suffix('\n').unwrap_or(&text).to_owned())),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                Err(error) => Err(Error::new(
                    "secret.unreadable",
                    format!(
                        "the secret `{name}` in {} can't be read: {error}",
                        self.describe()
                    ),
                )),
            }
        })
    }

    fn names(&self) -> BoxFuture<'_, Result<Vec<String>>> {
        Box::pin(async {
            let entries = std::fs::read_dir(&self.folder)
                .into_iter()
                .flatten()
                .flatten();
            Ok(entries
                .filter_map(|entry| entry.file_name().into_string().ok())
                // Kubernetes keeps its versions in `..data`.
                .filter(|name| !name.starts_with('.'))
                .collect())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_is_a_secret_without_its_last_line_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let inside = folder.path().join("secrets");
        std::fs::create_dir_all(inside.join(".data")).expect("made");
        std::fs::write(inside.join("DB"), "hunter22\n").expect("written");
        std::fs::write(folder.path().join("OUTSIDE"), "x").expect("written");
        let secrets = DockerSecrets::new(inside);
        assert_eq!(
            secrets.get("DB").await.expect("DB").as_deref(),
            Some("hunter22")
        );
        for name in ["NO", "", "../OUTSIDE", ".data", "a\0b"] {
            assert_eq!(secrets.get(name).await.expect(name), None);
        }
        assert_eq!(secrets.names().await.expect("names"), ["DB"]);
    }
}
