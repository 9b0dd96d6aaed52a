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
            if name.contains('/') || name.starts_with('.') {
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
                .collect())
        })
    }
}
