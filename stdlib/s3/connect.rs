//! Which store: the target's, another one, a folder.

use ccrun_kernel::secret::Secret;
use ccrun_kernel::value::Duration;
use ccrun_kernel::{Cx, Error, MaybeSecret, Options, Result, primitive};
use serde::Deserialize;

use super::store::Store;
use crate::files::FilePath;
use crate::store::{Keys, Place, S3Place};

/// The section `s3` of a target.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    /// A folder instead of a server.
    folder: Option<std::path::PathBuf>,
    endpoint: Option<String>,
    region: Option<String>,
    bucket: Option<String>,
    access_key: Option<String>,
    secret_key: Option<String>,
    path_style: Option<bool>,
    timeout: Option<String>,
}

/// How long a store may be silent in the middle of an answer, unless it is told otherwise.
const SILENT: std::time::Duration = std::time::Duration::from_secs(60);

/// How to reach a store.
#[derive(Clone, Options)]
pub struct ConnectOptions {
    /// The server, `https://s3.example.org`; AWS if left out.
    endpoint: Option<String>,
    /// The region; `us-east-1` if left out, which servers without regions take.
    region: Option<String>,
    /// The bucket.
    bucket: String,
    /// The access key; without one, only what everybody may see is seen.
    access_key: Option<MaybeSecret>,
    /// The secret key.
    secret_key: Option<MaybeSecret>,
    /// Whether the bucket is in the path of a request, as compatible servers want it, or in the host's name. Left
    /// out: in the path if there is an `endpoint`.
    path_style: Option<bool>,
    /// How long the server may be silent in the middle of an answer before it is asked again; a minute if left out.
    timeout: Option<Duration>,
}

/// The store of the target: its section `s3`, with another bucket if one is named.
///
/// The section has `endpoint`, `region`, `bucket`, `access_key`, `secret_key` (both may be `secret:NAME`), `path_style`
/// and `timeout`; or `folder`, for a store that is a folder of this machine. Nothing is sent yet.
///
/// # Errors
/// `config.section` if the target has none.
///
/// # Example
/// ```rhai,no_run
/// let store = s3::store();
/// let backups = s3::store("backups");
/// ```
#[primitive(pure)]
pub(super) fn store(cx: &Cx, bucket: Option<String>) -> Result<Store> {
    let target = cx.target();
    let Some(section) = target.section::<Section>("s3")? else {
        return Err(Error::new(
            "config.section",
            format!("the target {} has no store", target.name()),
        )
        .hint("add to its section in ccrun.toml: s3 = { endpoint = \"https://s3.example.org\", bucket = \"backups\", access_key = \"secret:S3_ACCESS_KEY\", secret_key = \"secret:S3_SECRET_KEY\" }"));
    };
    if let Some(folder) = section.folder {
        let folder = target.folder().join(folder);
        return Ok(Store {
            place: Place::Folder(match bucket {
                Some(bucket) => folder.join(bucket),
                None => folder,
            }),
        });
    }
    let bucket = bucket.or(section.bucket).ok_or_else(|| {
        Error::new(
            "config.section",
            format!("the store of the target {} names no bucket", target.name()),
        )
        .hint("add `bucket` to its `s3`, or name one: s3::store(\"backups\")")
    })?;
    let keys = match (section.access_key, section.secret_key) {
        (Some(access), Some(secret)) => Keys::References(access, secret),
        (None, None) => Keys::Anonymous,
        _ => {
            return Err(Error::new(
                "config.section",
                format!(
                    "the store of the target {} has one of access_key and secret_key",
                    target.name()
                ),
            )
            .hint("give both, or none"));
        }
    };
    let timeout = match section.timeout {
        None => SILENT,
        Some(text) => text
            .parse::<Duration>()
            .map_err(|error| {
                Error::new(
                    "config.section",
                    format!(
                        "`timeout` of the store of the target {}: {error}",
                        target.name()
                    ),
                )
                .hint("write \"30s\" or \"2m\"")
            })?
            .to_std(),
    };
    Ok(Store {
        place: Place::S3(S3Place {
            timeout,
            path_style: section.path_style.unwrap_or(section.endpoint.is_some()),
            endpoint: section.endpoint,
            region: section.region.unwrap_or_else(|| "us-east-1".to_owned()),
            bucket,
            keys,
        }),
    })
}

/// A folder of this machine as a store. It is created when something is put into it.
///
/// # Errors
/// None.
///
/// # Example
/// ```rhai
/// let store = s3::folder("kept");
/// store.put("a/b.txt", "hello");
/// assert(store.get("a/b.txt") == "hello");
/// ```
#[primitive(pure)]
pub(super) fn folder(path: FilePath) -> Result<Store> {
    Ok(Store {
        place: Place::Folder(path.to_path_buf()),
    })
}

/// A store that the target does not name.
///
/// # Errors
/// `s3.bad_option`.
///
/// # Example
/// ```rhai,no_run
/// let store = s3::connect(#{
///     endpoint: "http://127.0.0.1:8333", bucket: "backups",
///     access_key: secret("S3_ACCESS_KEY"), secret_key: secret("S3_SECRET_KEY"),
/// });
/// ```
#[primitive(pure)]
pub(super) fn connect(cx: &Cx, options: ConnectOptions) -> Result<Store> {
    let keys = match (options.access_key, options.secret_key) {
        (None, None) => Keys::Anonymous,
        (Some(access), Some(secret)) => {
            let secret = Secret::new("S3 secret key", secret.expose());
            cx.redactor().add(&secret);
            Keys::known(access.expose(), &secret)
        }
        _ => {
            return Err(Error::new(
                "s3.bad_option",
                "one of access_key and secret_key is missing",
            )
            .hint("give both, or none"));
        }
    };
    Ok(Store {
        place: Place::S3(S3Place {
            timeout: options.timeout.map_or(SILENT, Duration::to_std),
            path_style: options.path_style.unwrap_or(options.endpoint.is_some()),
            endpoint: options.endpoint,
            region: options.region.unwrap_or_else(|| "us-east-1".to_owned()),
            bucket: options.bucket,
            keys,
        }),
    })
}
