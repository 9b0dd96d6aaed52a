//! Secrets: where they come from, and what scripts can do with them.

mod primitives;
pub mod source;

pub use primitives::namespace;
