//! Hashes and message authentication codes, in lower-case hexadecimal.

use ccrun_kernel::secret::Secret;
use ccrun_kernel::{Bytes, Error, MaybeSecret, Result, primitive};
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256, Sha384, Sha512};

/// The SHA-256 of a string or blob, in hexadecimal.
///
/// # Errors
/// None.
///
/// # Example
/// ```rhai
/// assert(crypto::sha256("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
/// ```
#[primitive(pure)]
pub fn sha256(data: Bytes) -> String {
    hex::encode(Sha256::digest(data.0))
}

/// The SHA-384 of a string or blob, in hexadecimal.
///
/// # Errors
/// None.
///
/// # Example
/// ```rhai
/// assert(crypto::sha384("abc").starts_with("cb00753f45a35e8bb5a03d699ac65007"));
/// ```
#[primitive(pure)]
pub fn sha384(data: Bytes) -> String {
    hex::encode(Sha384::digest(data.0))
}

/// The SHA-512 of a string or blob, in hexadecimal.
///
/// # Errors
/// None.
///
/// # Example
/// ```rhai
/// assert(crypto::sha512("abc").starts_with("ddaf35a193617abacc417349ae204131"));
/// ```
#[primitive(pure)]
pub fn sha512(data: Bytes) -> String {
    hex::encode(Sha512::digest(data.0))
}

/// The HMAC-SHA-256 of a string or blob, in hexadecimal: what signed webhooks carry.
///
/// # Errors
/// `crypto.key` for an empty key.
///
/// # Example
/// ```rhai
/// let signature = crypto::hmac_sha256("key", "The quick brown fox jumps over the lazy dog");
/// assert(signature == "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8");
/// ```
#[primitive(pure)]
pub fn hmac_sha256(key: MaybeSecret, data: Bytes) -> Result<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(usable(&key)?).map_err(|error| bad_key(&error))?;
    mac.update(&data.0);
    Ok(hex::encode(mac.finalize().into_bytes()))
}

/// The HMAC-SHA-512 of a string or blob, in hexadecimal.
///
/// # Errors
/// `crypto.key` for an empty key.
///
/// # Example
/// ```rhai
/// assert(crypto::hmac_sha512("key", "text").len() == 128);
/// ```
#[primitive(pure)]
pub fn hmac_sha512(key: MaybeSecret, data: Bytes) -> Result<String> {
    let mut mac = Hmac::<Sha512>::new_from_slice(usable(&key)?).map_err(|error| bad_key(&error))?;
    mac.update(&data.0);
    Ok(hex::encode(mac.finalize().into_bytes()))
}

/// The bytes of a key. An empty one is a variable that is not set, never a wish.
pub(super) fn usable(key: &MaybeSecret) -> Result<&[u8]> {
    match key.expose().as_bytes() {
        [] => Err(Error::new("crypto.key", "the key is empty")
            .hint("look at where it comes from: an unset variable, an empty file?")),
        bytes => Ok(bytes),
    }
}

fn bad_key(error: &impl std::fmt::Display) -> Error {
    Error::new("crypto.key", format!("the key can't be used: {error}"))
}

/// Whether two texts (strings or secrets) are the same, in a time that does not tell where they differ.
///
/// # Errors
/// None.
///
/// # Example
/// ```rhai
/// let expected = crypto::hmac_sha256("key", "body");
/// assert(crypto::constant_time_equal(expected, crypto::hmac_sha256("key", "body")));
/// assert(!crypto::constant_time_equal(expected, "guess"));
/// ```
#[primitive(pure)]
pub fn constant_time_equal(a: MaybeSecret, b: MaybeSecret) -> bool {
    Secret::new("a", a.expose()) == Secret::new("b", b.expose())
}
