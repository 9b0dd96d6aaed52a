//! Secrets in a file encrypted by age (<https://age-encryption.org/v1>): readable with the plain
//! `age` tool, TOML inside.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use age::secrecy::ExposeSecret;
use age::x25519::{Identity, Recipient};
use ccrun_kernel::secret::SecretSource;
use ccrun_kernel::value::closest;
use ccrun_kernel::{BoxFuture, Error, Result};
use rand::Rng;
use serde::Deserialize;

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
pub struct AgeFile {
    path: PathBuf,
    identity: PathBuf,
    recipients: Vec<String>,
}

type Values = BTreeMap<String, String>;

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
        Ok(self.read()?.into_keys().collect())
    }

    /// The text of a secret.
    ///
    /// # Errors
    /// `secret.not_found`, or that the file can't be opened.
    pub fn get(&self, name: &str) -> Result<String> {
        let mut values = self.read()?;
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
        let named = !name.is_empty()
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
        if !named {
            return Err(Error::new(
                "usage",
                "the name of a secret has letters, digits, `_`, `-`, `.`",
            ));
        }
        let _lock = self.lock()?;
        let identity = self.identity_or_new()?;
        let mut values = self.read()?;
        values.insert(name.to_owned(), text.to_owned());
        self.write(&values, &identity)
    }

    /// Put a random secret of so many letters and digits into the file.
    ///
    /// # Errors
    /// See [`AgeFile::set`]; `usage` for fewer than 8.
    pub fn generate(&self, name: &str, length: usize) -> Result<()> {
        if !(8..=4096).contains(&length) {
            return Err(Error::new(
                "usage",
                "a generated secret has 8 to 4096 characters",
            ));
        }
        let random = rand::rng()
            .sample_iter(rand::distr::Alphanumeric)
            .take(length);
        self.set(name, &random.map(char::from).collect::<String>())
    }

    /// Everything in it; nothing if it is not there.
    fn read(&self) -> Result<Values> {
        let bytes = match std::fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Values::new()),
            Err(error) => return Err(self.failed(&error)),
        };
        let identity = self.identity()?;
        let plain = decrypt(&bytes, &identity).map_err(|error| match error {
            age::DecryptError::NoMatchingKeys | age::DecryptError::DecryptionFailed => Error::new(
                "secret.wrong_identity",
                format!(
                    "the identity {} does not open {}",
                    self.identity.display(),
                    self.path.display()
                ),
            )
            .hint(
                "name the right one by CCRUN_AGE_IDENTITY or `identity` in [target.X.secrets.age]",
            ),
            other => Error::new(
                "secret.age_file",
                format!(
                    "{} is no age file, or damaged: {other}",
                    self.path.display()
                ),
            ),
        })?;
        toml::from_str(&plain).map_err(|_| {
            // Not the parser's message: it quotes the text.
            Error::new(
                "secret.age_file",
                format!(
                    "{} does not hold TOML of the form NAME = \"value\"",
                    self.path.display()
                ),
            )
        })
    }

    /// Replace the file. What was there stays until the new one is complete on the disk.
    fn write(&self, values: &Values, identity: &Identity) -> Result<()> {
        let plain = toml::to_string(values)
            .map_err(|error| Error::new("secret.age_file", error.to_string()))?;
        let mut recipients: Vec<Recipient> = vec![identity.to_public()];
        for text in &self.recipients {
            recipients.push(text.parse().map_err(|why: &str| {
                Error::new(
                    "secret.config",
                    format!("`{text}` is no age recipient: {why}"),
                )
            })?);
        }
        let encryptor = age::Encryptor::with_recipients(
            recipients
                .iter()
                .map(|recipient| recipient as &dyn age::Recipient),
        )
        .map_err(|error| Error::new("secret.age_file", error.to_string()))?;
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::Builder::new()
            .prefix(".secrets")
            .tempfile_in(folder)
            .map_err(|error| self.failed(&error))?;
        let written = (|| -> std::io::Result<()> {
            let mut writer = encryptor.wrap_output(file.as_file_mut())?;
            writer.write_all(plain.as_bytes())?;
            writer.finish()?;
            file.as_file().sync_all()
        })();
        written.map_err(|error| self.failed(&error))?;
        file.persist(&self.path)
            .map_err(|error| self.failed(&error.error))?;
        // The rename itself must survive a power cut, too.
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|error| self.failed(&error))
    }

    /// Keeps a second writer out until it is dropped.
    fn lock(&self) -> Result<File> {
        let path = self.path.with_extension("age.lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path)
            .map_err(|error| self.failed(&error))?;
        file.lock().map_err(|error| self.failed(&error))?;
        Ok(file)
    }

    fn identity(&self) -> Result<Identity> {
        let text = std::fs::read_to_string(&self.identity).map_err(|error| {
            Error::new(
                "secret.no_identity",
                format!(
                    "the age identity {} can't be read: {error}",
                    self.identity.display()
                ),
            )
            .hint("copy it from where the file was made, or name it by CCRUN_AGE_IDENTITY")
        })?;
        text.lines()
            .map(str::trim)
            .find(|line| line.starts_with("AGE-SECRET-KEY-"))
            .and_then(|line| line.parse().ok())
            .ok_or_else(|| {
                Error::new(
                    "secret.no_identity",
                    format!("{} holds no age identity", self.identity.display()),
                )
                .hint("`age-keygen -o FILE` makes one")
            })
    }

    /// The identity; a new one only where there is neither one nor a file that another one opens.
    fn identity_or_new(&self) -> Result<Identity> {
        if self.identity.exists() || self.exists() {
            return self.identity();
        }
        let identity = Identity::generate();
        if let Some(folder) = self.identity.parent() {
            std::fs::create_dir_all(folder).map_err(|error| self.failed(&error))?;
        }
        let text = format!(
            "# public key: {}\n{}\n",
            identity.to_public(),
            identity.to_string().expose_secret()
        );
        OpenOptions::new()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(&self.identity)
            .and_then(|mut file| {
                file.write_all(text.as_bytes())
                    .and_then(|()| file.sync_all())
            })
            .map_err(|error| self.failed(&error))?;
        Ok(identity)
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

fn decrypt(bytes: &[u8], identity: &Identity) -> Result<String, age::DecryptError> {
    let reader = age::armor::ArmoredReader::new(bytes);
    let decryptor = age::Decryptor::new_buffered(reader)?;
    let mut stream = decryptor.decrypt(std::iter::once(identity as &dyn age::Identity))?;
    let mut plain = String::new();
    stream.read_to_string(&mut plain)?;
    Ok(plain)
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
        Box::pin(async move { Ok(self.read()?.remove(name)) })
    }

    fn names(&self) -> BoxFuture<'_, Result<Vec<String>>> {
        Box::pin(async { self.names() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_in(folder: &Path) -> AgeFile {
        let config = AgeConfig {
            identity: Some("identity.txt".into()),
            ..AgeConfig::default()
        };
        AgeFile::new(&config, folder)
    }

    #[test]
    fn what_was_set_is_read_back_and_not_in_the_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = file_in(folder.path());
        file.set("A", "hunter2 \"quoted\"\nline").expect("set");
        file.generate("B", 40).expect("generated");
        assert_eq!(file.get("A").expect("A"), "hunter2 \"quoted\"\nline");
        assert_eq!(file.get("B").expect("B").len(), 40);
        assert_eq!(file.names().expect("names"), ["A", "B"]);
        let bytes = std::fs::read(file.path()).expect("the file");
        assert!(!bytes.windows(7).any(|w| w == b"hunter2"));
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_never_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        file_in(folder.path()).set("A", "1").expect("set");
        let before = std::fs::read(folder.path().join("secrets.age")).expect("the file");
        std::fs::remove_file(folder.path().join("identity.txt")).expect("removed");
        let error = file_in(folder.path())
            .set("B", "2")
            .expect_err("no identity");
        assert_eq!(error.kind(), "secret.no_identity");

        let other = Identity::generate();
        std::fs::write(
            folder.path().join("identity.txt"),
            other.to_string().expose_secret(),
        )
        .expect("another identity");
        let error = file_in(folder.path())
            .set("B", "2")
            .expect_err("wrong identity");
        assert_eq!(error.kind(), "secret.wrong_identity");
        assert_eq!(
            std::fs::read(folder.path().join("secrets.age")).expect("the file"),
            before
        );

        std::fs::write(folder.path().join("secrets.age"), "garbage").expect("damaged");
        let error = file_in(folder.path()).set("B", "2").expect_err("damaged");
        assert_eq!(error.kind(), "secret.age_file");
    }

    #[test]
    fn two_writers_lose_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        file_in(folder.path()).set("first", "1").expect("set");
        std::thread::scope(|threads| {
            for n in 0..8 {
                let path = folder.path();
                threads.spawn(move || file_in(path).set(&format!("N{n}"), "x").expect("set"));
            }
        });
        assert_eq!(file_in(folder.path()).names().expect("names").len(), 9);
    }

    #[test]
    fn a_typo_is_answered_with_the_nearest() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = file_in(folder.path());
        file.set("SMTP_PASSWORD", "1").expect("set");
        let error = file.get("SMTP_PASWORD").expect_err("not there");
        assert_eq!(error.hint_text(), Some("did you mean `SMTP_PASSWORD`?"));
    }
}
