//! Integration tests of ccrun, and what they share.

pub mod postgres;
pub mod typed;
