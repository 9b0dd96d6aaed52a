//! Secrets.

pub mod source;
