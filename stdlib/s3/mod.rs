//! Object stores: S3 of AWS and compatible servers, or a folder in their place.
//!
//! `s3::store()` is the target's: `s3 = { endpoint = "…", bucket = "…", access_key = "secret:…", secret_key = "secret:…" }`.

mod connect;
mod files;
mod objects;
mod store;
mod versions;

use ccrun_kernel::{Namespace, primitives};

pub use store::Store;

/// Registers the namespace.
#[must_use]
pub fn namespace() -> Namespace {
    Namespace::new(
        "s3",
        "Object stores: S3 of AWS and compatible servers, or a folder in their place.",
    )
    .target_key("s3")
    .object::<Store>()
    .primitives(primitives![
        connect::store,
        connect::folder,
        connect::connect,
        Store::name,
        Store::create_bucket,
        Store::exists,
        Store::put,
        Store::get,
        Store::head,
        Store::list,
        Store::each_object,
        Store::copy,
        Store::delete,
        Store::delete_prefix,
        Store::presign,
        Store::keeps_versions,
        Store::keep_versions,
        Store::versions,
        Store::bring_back,
        Store::lock,
        Store::locked,
        Store::put_file,
        Store::get_file,
        Store::sync_up,
        Store::sync_down,
    ])
}
