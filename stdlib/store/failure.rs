//! What went wrong with a store, for people.

use std::error::Error as _;

use ccrun_kernel::Error;
use http::StatusCode;
use object_store::Error as StoreError;

use super::place::Place;
use crate::causes::deepest;

/// An error of a store: what was asked of it, why it was not done, and what to do.
pub(super) fn could_not(what: &str, place: &Place, kind: &str, why: &str, hint: &str) -> Error {
    Error::new(kind, format!("could not {what} in {place}: {why}")).hint(hint)
}

/// What to do where nobody answers.
pub(super) const UNREACHABLE: &str =
    "is the endpoint right, and does the server run? It was tried several times";

/// An error of the store, with what was asked of it and what to do.
pub fn failed(place: &Place, what: &str, error: StoreError) -> Error {
    let said = all(&error);
    let cause = deepest(&error);
    let of = |kind: &str, why: &str, hint: &str| could_not(what, place, kind, why, hint);
    // What the server says goes before the status that it comes with.
    if let Some((kind, why, hint)) = by_code(&said) {
        return of(kind, why, hint);
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
        StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. } => {
            of("s3.denied", REFUSED, RIGHTS)
        }
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
            UNREACHABLE,
        )
        .retryable(),
    }
}

/// Why, and what to do, where an answer has no more to say.
const REFUSED: &str = "the server refuses it to these keys";
const RIGHTS: &str = "do the keys have the right to do so (s3:ListBucket, s3:GetObject, s3:PutObject, s3:DeleteObject; s3:CreateBucket; for versions and locks those that are named after them), and are they this server's?";

/// The error that an answer says which is no success.
pub(super) fn answered(place: &Place, what: &str, status: StatusCode, body: &str) -> Error {
    let of = |kind: &str, why: &str, hint: &str| could_not(what, place, kind, why, hint);
    let element = |name: &str| {
        let rest = body.split_once(&format!("<{name}>"))?.1;
        Some(
            rest.split_once("</")?
                .0
                .chars()
                .take(300)
                .collect::<String>(),
        )
    };
    let code = element("Code").unwrap_or_default();
    if let Some((kind, why, hint)) = by_code(&code) {
        return of(kind, why, hint);
    }
    let message = element("Message").unwrap_or_else(|| format!("it answered {status}"));
    // Servers have several codes for these, and say what it is about.
    let about = message.to_ascii_lowercase();
    let is_about_locks = code.contains("ObjectLock") || about.contains("lock");
    match status {
        StatusCode::FORBIDDEN if is_about_locks => of(
            "s3.locked",
            &message,
            "`store.locked(key)` says until when; `store.versions(path)` shows the versions",
        ),
        _ if is_about_locks => of(
            "s3.no_locks",
            &message,
            "a bucket is made with locks or has none: name another, and `create_bucket(#{ locks: true })`",
        ),
        StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => of("s3.denied", REFUSED, RIGHTS),
        StatusCode::NOT_FOUND => of(
            "s3.not_found",
            &message,
            "look what there is: `s3::store().versions(\"\")`",
        ),
        StatusCode::NOT_IMPLEMENTED | StatusCode::METHOD_NOT_ALLOWED => of(
            "s3.not_supported",
            &message,
            "its manual says whether it keeps versions, and has locks",
        ),
        status => of("s3.failed", &message, "the server's log may say more")
            .retryable_if(status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS),
    }
}

/// Kind, reason, and what to do, of the codes that say more than the status that they come with.
fn by_code(said: &str) -> Option<(&'static str, &'static str, &'static str)> {
    let is = |code: &str| said.contains(code);
    Some(if is("NoSuchBucket") {
        (
            "s3.no_bucket",
            "there is no such bucket",
            "create it: `s3::store().create_bucket()`; or correct `bucket` of the target",
        )
    } else if is("RequestTimeTooSkewed") {
        (
            "s3.clock",
            "this machine's clock and the server's are too far apart",
            "`timedatectl` shows whether the clock is synchronised",
        )
    } else if is("SignatureDoesNotMatch") {
        (
            "s3.denied",
            "the secret key is wrong",
            "correct the secret that `secret_key` of the target names",
        )
    } else if is("InvalidAccessKeyId") {
        (
            "s3.denied",
            "the server does not know the access key",
            "correct the secret that `access_key` of the target names",
        )
    } else {
        return None;
    })
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
