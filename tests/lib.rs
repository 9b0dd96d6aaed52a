//! Integration tests of ccrun, and what they share.

pub mod docker;
pub mod engine_proxy;
pub mod faults;
pub mod isolation;
pub mod load;
pub mod mail;
pub mod postgres;
pub mod redis;
pub mod seaweed;
pub mod stack;
pub mod terminal;
pub mod trouble;
pub mod typed;
pub mod watching;
