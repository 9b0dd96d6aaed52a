//! Object stores: S3 as AWS and the compatible servers speak it, or a folder of this machine. For every namespace that
//! keeps something there.

mod bucket;
mod client;
mod failure;
mod place;
mod request;
mod versions;
mod writer;

pub use bucket::{Bucket, Entry, Opened};
pub use client::Stores;
pub use place::{Keys, Place, S3Place};
pub use versions::{Lock, LockMode, Version};
pub use writer::{Writer, Written};
