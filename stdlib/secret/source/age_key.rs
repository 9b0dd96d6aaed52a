//! What opens and closes an age file: identities in a file, or a passphrase.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use age::secrecy::{ExposeSecret, SecretString};
use age::x25519::{Identity, Recipient};
use ccrun_kernel::{Error, Result};

/// What opens an age file.
pub(super) enum Key {
    /// The identities in a file; any of them opens it.
    Identities(Vec<Identity>),
    /// A passphrase, from `CCRUN_AGE_PASSPHRASE`.
    Passphrase(SecretString),
}

impl Key {
    /// The identities in a file.
    ///
    /// # Errors
    /// `secret.no_identity`.
    pub fn from_file(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Error::new(
                "secret.no_identity",
                format!("the age identity {} can't be read: {error}", path.display()),
            )
            .hint("copy it from where the file was made, or name it by CCRUN_AGE_IDENTITY")
        })?;
        let identities: Vec<Identity> = text
            .lines()
            .filter_map(|line| line.trim().parse().ok())
            .collect();
        if identities.is_empty() {
            return Err(Error::new(
                "secret.no_identity",
                format!("{} holds no age identity", path.display()),
            )
            .hint("a line of it begins with AGE-SECRET-KEY-; `age-keygen -o FILE` makes one"));
        }
        Ok(Self::Identities(identities))
    }

    /// The passphrase.
    ///
    /// # Errors
    /// `secret.no_passphrase`.
    pub fn from_environment() -> Result<Self> {
        std::env::var("CCRUN_AGE_PASSPHRASE")
            .ok()
            .filter(|text| !text.is_empty())
            .map(|text| Self::Passphrase(text.into()))
            .ok_or_else(|| {
                Error::new(
                    "secret.no_passphrase",
                    "the age file is encrypted with a passphrase",
                )
                .hint("set CCRUN_AGE_PASSPHRASE")
            })
    }

    /// The plain text of an age file.
    pub fn decrypt(&self, file: &[u8]) -> std::result::Result<String, age::DecryptError> {
        let decryptor = age::Decryptor::new_buffered(age::armor::ArmoredReader::new(file))?;
        let mut stream = match self {
            Self::Identities(identities) => decryptor.decrypt(
                identities
                    .iter()
                    .map(|identity| identity as &dyn age::Identity),
            ),
            Self::Passphrase(passphrase) => {
                let identity = age::scrypt::Identity::new(passphrase.clone());
                decryptor.decrypt(std::iter::once(&identity as &dyn age::Identity))
            }
        }?;
        let mut plain = String::new();
        stream.read_to_string(&mut plain)?;
        Ok(plain)
    }

    /// What encrypts so that this key and the further recipients can read it.
    ///
    /// # Errors
    /// `secret.config` for a recipient that is none, or beside a passphrase.
    pub fn encryptor(&self, further: &[String]) -> Result<age::Encryptor> {
        let identities = match self {
            Self::Identities(identities) => identities,
            Self::Passphrase(_) if !further.is_empty() => {
                return Err(Error::new(
                    "secret.config",
                    "a file with a passphrase has no recipients",
                )
                .hint("remove `recipients` in [target.X.secrets.age], or use an identity"));
            }
            Self::Passphrase(passphrase) => {
                return Ok(age::Encryptor::with_user_passphrase(passphrase.clone()));
            }
        };
        let mut recipients: Vec<Recipient> = identities.iter().map(Identity::to_public).collect();
        for text in further {
            let recipient: Recipient = text.parse().map_err(|why: &str| {
                Error::new(
                    "secret.config",
                    format!("`{text}` is no age recipient: {why}"),
                )
                .hint("a recipient begins with age1; `age-keygen -y IDENTITY` prints it")
            })?;
            if recipients
                .iter()
                .all(|known| known.to_string() != recipient.to_string())
            {
                recipients.push(recipient);
            }
        }
        age::Encryptor::with_recipients(recipients.iter().map(|r| r as &dyn age::Recipient))
            .map_err(|error| Error::new("secret.age_file", error.to_string()))
    }

    /// How many can read what this key and the further recipients encrypt.
    pub fn readers(&self, further: &[String]) -> usize {
        match self {
            Self::Identities(identities) => {
                let mut names: Vec<String> = identities
                    .iter()
                    .map(|identity| identity.to_public().to_string())
                    .chain(further.iter().cloned())
                    .collect();
                names.sort_unstable();
                names.dedup();
                names.len()
            }
            Self::Passphrase(_) => 1,
        }
    }
}

/// The header of an age file (<https://age-encryption.org/v1>): how many can read it, and whether
/// by a passphrase. Nothing of a file that is none.
#[derive(Default)]
pub(super) struct Header {
    /// The recipients.
    pub readers: usize,
    /// Whether the recipient is a passphrase.
    pub passphrase: bool,
}

impl Header {
    /// Reads it; a damaged file is found when it is decrypted.
    pub fn read(file: &[u8]) -> Self {
        let mut plain = Vec::new();
        // What could be read before the damage is enough.
        let _ = age::armor::ArmoredReader::new(file).read_to_end(&mut plain);
        let mut header = Self::default();
        for line in plain.split(|byte| *byte == b'\n') {
            if line.starts_with(b"---") {
                break;
            }
            let Some(stanza) = line.strip_prefix(b"-> ") else {
                continue;
            };
            let kind = stanza.split(|byte| *byte == b' ').next().unwrap_or(stanza);
            // Writers add stanzas that mean nothing, so that readers learn to skip them.
            if !kind.ends_with(b"grease") {
                header.readers += 1;
                header.passphrase |= kind == b"scrypt";
            }
        }
        header
    }
}

/// Make an identity file that only its owner can read. An existing one stays.
///
/// # Errors
/// `secret.identity_exists`, or that it can't be written.
pub fn generate_identity(path: &Path) -> Result<()> {
    let identity = Identity::generate();
    let text = format!(
        "# public key: {}\n{}\n",
        identity.to_public(),
        identity.to_string().expose_secret()
    );
    let written = (|| {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let mut file = OpenOptions::new()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    })();
    written.map_err(|error: std::io::Error| match error.kind() {
        ErrorKind::AlreadyExists => Error::new(
            "secret.identity_exists",
            format!("the identity {} is there already", path.display()),
        )
        .hint("what it encrypted is lost without it: keep it, or name another file"),
        _ => Error::new(
            "secret.no_identity",
            format!(
                "the age identity {} can't be written: {error}",
                path.display()
            ),
        ),
    })
}
