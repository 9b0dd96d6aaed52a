//! What went wrong with a store, for people.

use std::error::Error as _;

use ccrun_kernel::Error;
use object_store::Error as StoreError;

use super::place::Place;
use crate::causes::deepest;

/// An error of the store, with what was asked of it and what to do.
pub fn failed(place: &Place, what: &str, error: StoreError) -> Error {
    let said = all(&error);
    let cause = deepest(&error);
    let of = |kind: &str, why: &str, hint: &str| {
        Error::new(kind, format!("could not {what} in {place}: {why}")).hint(hint)
    };
    // What the server says goes before the status that it comes with.
    if said.contains("NoSuchBucket") {
        return of(
            "s3.no_bucket",
            "there is no such bucket",
            "create it: `s3::store().create_bucket()`; or correct `bucket` of the target",
        );
    }
    if said.contains("RequestTimeTooSkewed") {
        return of(
            "s3.clock",
            "this machine's clock and the server's are too far apart",
            "`timedatectl` shows whether the clock is synchronised",
        );
    }
    if said.contains("SignatureDoesNotMatch") {
        return of(
            "s3.denied",
            "the secret key is wrong",
            "correct the secret that `secret_key` of the target names",
        );
    }
    if said.contains("InvalidAccessKeyId") {
        return of(
            "s3.denied",
            "the server does not know the access key",
            "correct the secret that `access_key` of the target names",
        );
    }
    match &error {
        StoreError::NotFound { path, .. } => of(
            "s3.not_found",
            &format!("there is no {path}"),
            "look what there is: `s3::store().list(\"\")`",
        ),
        StoreError::AlreadyExists { path, .. } => of(
            "s3.exists",
            &format!("{path} is there already"),
            "choose another name, or delete it first",
        ),
        StoreError::Precondition { path, .. } => of(
            "s3.changed",
            &format!("{path} is another one than expected"),
            "somebody else wrote it meanwhile: look who else uses this store",
        ),
        StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. } => of(
            "s3.denied",
            "the server refuses it to these keys",
            "do the keys have the right to do so (s3:ListBucket, s3:GetObject, s3:PutObject, s3:DeleteObject), and are they this server's?",
        ),
        StoreError::InvalidPath { .. } => of(
            "s3.bad_key",
            &cause,
            "a key is a path without empty parts, such as `db/2026/dump.zst`",
        ),
        _ if cause.contains("No space left") || cause.contains("os error 28") => of(
            "io.disk_full",
            "the disk is full",
            "`df -h` shows which; make room, then run it again",
        ),
        _ => of(
            if is_connection(&said) {
                "s3.unreachable"
            } else {
                "s3.failed"
            },
            &cause,
            "is the endpoint right, and does the server run? It was tried several times",
        )
        .retryable(),
    }
}

/// The error and its causes.
fn all(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

fn is_connection(said: &str) -> bool {
    ["connect", "timed out", "dns", "reset", "closed"]
        .iter()
        .any(|word| said.to_ascii_lowercase().contains(word))
}
