//! Hashes, message authentication, encodings, random values and JSON Web Tokens.
//!
//! Nothing here touches the world. What takes a key takes a string or a `Secret`; what makes a
//! credential gives a `Secret`.

mod encoding;
mod hash;
mod jwt;
mod random;
#[cfg(test)]
mod tests;

use ccrun_kernel::{Namespace, primitives};

/// Registers the namespace.
#[must_use]
pub fn namespace() -> Namespace {
    Namespace::new(
        "crypto",
        "Hashes, message authentication, encodings, random values and JSON Web Tokens.",
    )
    .primitives(primitives![
        hash::sha256,
        hash::sha384,
        hash::sha512,
        hash::hmac_sha256,
        hash::hmac_sha512,
        hash::constant_time_equal,
        encoding::base64_encode,
        encoding::base64_decode,
        encoding::base64_decode_text,
        encoding::hex_encode,
        encoding::hex_decode,
        random::random_bytes,
        random::random_string,
        random::uuid,
        random::uuid7,
        jwt::jwt_sign,
        jwt::jwt_verify,
        jwt::jwt_decode
    ])
}

pub(crate) use random::{RandomOptions, random_text};
