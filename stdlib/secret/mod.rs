//! Secrets: where they come from, and what scripts can do with them.

pub mod source;
