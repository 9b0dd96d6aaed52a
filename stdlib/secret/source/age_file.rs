//! Secrets in a file encrypted by age (<https://age-encryption.org/v1>): readable with the plain
//! `age` tool, TOML or `.env` lines inside.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use ccrun_kernel::secret::SecretSource;
use ccrun_kernel::value::closest;
use ccrun_kernel::{BoxFuture, Error, Result};
use rand::Rng;
use serde::Deserialize;

use super::age_key::{Header, Key, generate_identity};
use super::dotenv;

/// `[target.X.secrets.age]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AgeConfig {
    /// The file; `secrets.age` beside ccrun.toml by default.
    pub file: Option<PathBuf>,
    /// The identity that opens it; `CCRUN_AGE_IDENTITY`, or `~/.config/ccrun/identity.txt`.
    pub identity: Option<PathBuf>,
    /// Further recipients (`age1…`) who can open it: colleagues, the backup key.
    pub recipients: Vec<String>,
}

/// The file, closed: every call reads or writes it whole.
#[derive(Clone)]
pub struct AgeFile {
    path: PathBuf,
    identity: PathBuf,
    recipients: Vec<String>,
}

type Values = BTreeMap<String, String>;

/// The first line of a file that ccrun wrote: its recipients are those of the configuration.
const WRITTEN_HERE: &str = "# written by ccrun";

impl AgeFile {
    /// The file that the configuration means.
    #[must_use]
    pub fn new(config: &AgeConfig, base: &Path) -> Self {
        let identity = config
            .identity
            .as_ref()
            .map(|path| base.join(path))
            .unwrap_or_else(|| {
                std::env::var_os("CCRUN_AGE_IDENTITY").map_or_else(default_identity, PathBuf::from)
            });
        Self {
            path: base.join(config.file.as_deref().unwrap_or(Path::new("secrets.age"))),
            identity,
            recipients: config.recipients.clone(),
        }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is there.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.path.exists()
    }

    /// The names in it.
    ///
    /// # Errors
    /// That it can't be opened.
    pub fn names(&self) -> Result<Vec<String>> {
        Ok(self.read()?.values.into_keys().collect())
    }

    /// The text of a secret.
    ///
    /// # Errors
    /// `secret.not_found`, or that the file can't be opened.
    pub fn get(&self, name: &str) -> Result<String> {
        let mut values = self.read()?.values;
        values.remove(name).ok_or_else(|| {
            let error = Error::new(
                "secret.not_found",
                format!("there is no `{name}` in {}", self.path.display()),
            );
            match closest(name, values.keys().map(String::as_str)) {
                Some(nearest) => error.hint(format!("did you mean `{nearest}`?")),
                None => error.hint(format!("`ccrun secret set {name}`")),
            }
        })
    }

    /// Put a secret into the file, which is made if it is not there; so is an identity.
    ///
    /// # Errors
    /// That the file can't be opened or written. It is then as it was.
    pub fn set(&self, name: &str, text: &str) -> Result<()> {
        named(name)?;
        self.change(|values| {
            values.insert(name.to_owned(), text.to_owned());
            Ok(())
        })
    }

    /// Put a random secret of so many letters and digits into the file.
    ///
    /// # Errors
    /// See [`AgeFile::set`]; `usage` for fewer than 8; `secret.exists` rather than replace one.
    pub fn generate(&self, name: &str, length: usize) -> Result<()> {
        named(name)?;
        if !(8..=4096).contains(&length) {
            return Err(Error::new(
                "usage",
                "a generated secret has 8 to 4096 characters",
            ));
        }
        let random = rand::rng()
            .sample_iter(rand::distr::Alphanumeric)
            .take(length);
        let text: String = random.map(char::from).collect();
        self.change(|values| {
            if values.contains_key(name) {
                return Err(Error::new(
                    "secret.exists",
                    format!("there is a `{name}` in {} already", self.path.display()),
                )
                .hint(format!(
                    "what uses it would stop working; `ccrun secret set {name}` replaces it"
                )));
            }
            values.insert(name.to_owned(), text);
            Ok(())
        })
    }

    /// Take a secret out of the file.
    ///
    /// # Errors
    /// `secret.not_found`, and see [`AgeFile::set`].
    pub fn remove(&self, name: &str) -> Result<()> {
        self.get(name)?;
        self.change(|values| {
            values.remove(name);
            Ok(())
        })
    }

    /// Read, change and replace the file, with no other writer in between.
    fn change(&self, change: impl FnOnce(&mut Values) -> Result<()>) -> Result<()> {
        let _lock = self.lock()?;
        if !self.exists() && !self.identity.exists() {
            generate_identity(&self.identity)?;
        }
        let mut content = self.read()?;
        change(&mut content.values)?;
        self.write(&content)
    }

    /// Everything in it; nothing if it is not there.
    fn read(&self) -> Result<Content> {
        let file = match std::fs::read(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok(Content {
                    values: Values::new(),
                    key: Key::from_file(&self.identity).ok(),
                    readers: 0,
                });
            }
            Err(error) => return Err(self.failed(&error)),
        };
        let header = Header::read(&file);
        let key = if header.passphrase {
            Key::from_environment()?
        } else {
            Key::from_file(&self.identity)?
        };
        let plain = key
            .decrypt(&file)
            .map_err(|error| self.undecryptable(&key, &error))?;
        let values = toml::from_str(&plain)
            .ok()
            .or_else(|| dotenv::parse(&plain, None).ok().map(|parsed| parsed.values))
            .ok_or_else(|| {
                // Not the parser's message: it quotes the text.
                Error::new(
                    "secret.age_file",
                    format!(
                        "{} holds neither TOML of the form NAME = \"value\" nor lines NAME=value",
                        self.path.display()
                    ),
                )
                .hint("`age --decrypt` shows what is in it")
            })?;
        // Who took a recipient out of the configuration meant it; who never had it there did not.
        let here = plain.starts_with(WRITTEN_HERE);
        Ok(Content {
            values,
            key: Some(key),
            readers: if here { 0 } else { header.readers },
        })
    }

    fn undecryptable(&self, key: &Key, error: &age::DecryptError) -> Error {
        use age::DecryptError::{DecryptionFailed, NoMatchingKeys};
        let path = self.path.display();
        match (key, error) {
            (Key::Passphrase(_), DecryptionFailed | NoMatchingKeys) => Error::new(
                "secret.wrong_passphrase",
                format!("CCRUN_AGE_PASSPHRASE does not open {path}"),
            ),
            (_, DecryptionFailed | NoMatchingKeys) => Error::new(
                "secret.wrong_identity",
                format!(
                    "the identity {} does not open {path}",
                    self.identity.display()
                ),
            )
            .hint(
                "name the right one by CCRUN_AGE_IDENTITY or `identity` in [target.X.secrets.age]",
            ),
            (_, other) => Error::new(
                "secret.age_file",
                format!("{path} is no age file, or damaged: {other}"),
            ),
        }
    }

    /// Replace the file. What was there stays until the new one is complete on the disk.
    fn write(&self, content: &Content) -> Result<()> {
        let read;
        let key = match &content.key {
            Some(key) => key,
            None => {
                read = Key::from_file(&self.identity)?;
                &read
            }
        };
        let readers = key.readers(&self.recipients);
        if content.readers > readers {
            return Err(Error::new(
                "secret.recipients",
                format!(
                    "{} is encrypted to {} recipients, and only {readers} of them would be left",
                    self.path.display(),
                    content.readers
                ),
            )
            .hint("name the others as `recipients = [\"age1…\"]` in [target.X.secrets.age]"));
        }
        let encryptor = key.encryptor(&self.recipients)?;
        let values = toml::to_string(&content.values)
            .map_err(|error| Error::new("secret.age_file", error.to_string()))?;
        // A link goes on pointing at the file.
        let path = self.path.canonicalize().unwrap_or(self.path.clone());
        let folder = path.parent().unwrap_or(Path::new("."));
        let written = (|| -> std::io::Result<()> {
            let mut file = tempfile::Builder::new()
                .prefix(".secrets")
                .tempfile_in(folder)?;
            let mut writer = encryptor.wrap_output(file.as_file_mut())?;
            writer.write_all(format!("{WRITTEN_HERE}\n{values}").as_bytes())?;
            writer.finish()?;
            file.as_file().sync_all()?;
            file.persist(&path).map_err(|error| error.error)?;
            // The rename itself must survive a power cut, too.
            File::open(folder)?.sync_all()
        })();
        written.map_err(|error| self.failed(&error))
    }

    /// Keeps a second writer out until it is dropped. The lock is on the folder: one on the file
    /// would go with the file that is replaced.
    fn lock(&self) -> Result<File> {
        let folder = match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let locked = File::open(folder).and_then(|folder| folder.lock().map(|()| folder));
        locked.map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &std::io::Error) -> Error {
        let cause = Error::from(std::io::Error::from(error.kind()));
        let failed = Error::new(
            cause.kind(),
            format!("{} can't be used: {error}", self.path.display()),
        );
        match cause.hint_text() {
            Some(hint) => failed.hint(hint),
            None => failed,
        }
    }
}

/// What is in the file, and how it came out.
struct Content {
    values: Values,
    /// What opened it; the one that closes a new file may not be there yet.
    key: Option<Key>,
    /// How many must still be able to read it.
    readers: usize,
}

fn named(name: &str) -> Result<()> {
    let good = !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
    if good {
        return Ok(());
    }
    Err(Error::new(
        "usage",
        "the name of a secret has letters, digits, `_`, `-`, `.`",
    ))
}

fn default_identity() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_else(|| "/".into()));
    std::env::var_os("XDG_CONFIG_HOME")
        .filter(|path| !path.is_empty())
        .map_or_else(|| home().join(".config"), PathBuf::from)
        .join("ccrun/identity.txt")
}

impl SecretSource for AgeFile {
    fn describe(&self) -> String {
        self.path.display().to_string()
    }

    fn get<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<String>>> {
        Box::pin(async move {
            let (file, name) = (self.clone(), name.to_owned());
            // A passphrase takes a second of computing.
            tokio::task::spawn_blocking(move || Ok(file.read()?.values.remove(&name)))
                .await
                .map_err(|error| Error::new("secret.age_file", error.to_string()))?
        })
    }

    fn names(&self) -> BoxFuture<'_, Result<Vec<String>>> {
        Box::pin(async { self.names() })
    }
}

#[cfg(test)]
#[path = "age_file_tests.rs"]
mod tests;
