//! Random values, from the operating system's generator.

use ccrun_kernel::{Blob, Error, Options, Result, primitive};
use rand::{Rng as _, RngCore as _};

/// More is no random value but a file.
const MOST: usize = 1 << 20;

/// Letters and digits of ASCII.
const ALPHANUMERIC: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// Which characters to draw from.
#[derive(Debug, Clone, Options)]
pub struct RandomOptions {
    /// The characters, each as likely as the others. Without it: ASCII letters and digits.
    pub(crate) alphabet: Option<String>,
}

/// So many random bytes, as a blob.
///
/// # Errors
/// `crypto.random` above a million.
///
/// # Example
/// ```rhai
/// assert(crypto::random_bytes(16).len() == 16);
/// assert(crypto::random_bytes(16) != crypto::random_bytes(16));
/// ```
#[primitive(pure)]
pub fn random_bytes(count: usize) -> Result<Blob> {
    check(count)?;
    let mut bytes = vec![0; count];
    rand::rng().fill_bytes(&mut bytes);
    Ok(bytes)
}

/// A random text of so many characters. For a password, `secret::generate` gives it as a Secret.
///
/// # Errors
/// `crypto.random` above a million characters, or for an alphabet with fewer than two.
///
/// # Example
/// ```rhai
/// assert(text::matches(crypto::random_string(8), `^[A-Za-z0-9]{8}$`));
/// assert(text::matches(crypto::random_string(6, #{ alphabet: "0123456789" }), `^\d{6}$`));
/// ```
#[primitive(pure)]
pub fn random_string(length: usize, options: RandomOptions) -> Result<String> {
    random_text(length, &options)
}

/// The random text itself.
///
/// # Errors
/// `crypto.random`
pub(crate) fn random_text(length: usize, options: &RandomOptions) -> Result<String> {
    check(length)?;
    let mut alphabet: Vec<char> = options
        .alphabet
        .as_deref()
        .unwrap_or(ALPHANUMERIC)
        .chars()
        .collect();
    // A character that stands twice would be twice as likely.
    alphabet.sort_unstable();
    alphabet.dedup();
    if alphabet.len() < 2 {
        return Err(Error::new(
            "crypto.random",
            "the alphabet needs at least two different characters",
        ));
    }
    let mut random = rand::rng();
    Ok((0..length)
        .map(|_| alphabet[random.random_range(0..alphabet.len())])
        .collect())
}

fn check(count: usize) -> Result<()> {
    if count <= MOST {
        return Ok(());
    }
    Err(Error::new(
        "crypto.random",
        format!("{count} is more than the {MOST} that are made at once"),
    ))
}

/// A random UUID (version 4).
///
/// # Errors
/// None.
///
/// # Example
/// ```rhai
/// assert(text::matches(crypto::uuid(), `^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`));
/// ```
#[primitive(pure)]
pub fn uuid() -> String {
    ::uuid::Uuid::new_v4().to_string()
}

/// A UUID that sorts by its time (version 7): for keys of database rows and objects.
///
/// # Errors
/// None.
///
/// # Example
/// ```rhai
/// let first = crypto::uuid7();
/// assert(first < crypto::uuid7());
/// ```
#[primitive(pure)]
pub fn uuid7() -> String {
    ::uuid::Uuid::now_v7().to_string()
}
