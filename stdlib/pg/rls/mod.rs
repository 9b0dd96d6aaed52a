//! Row-level security: whether it is as it should be, and whether it holds.

mod as_user;
mod audit;
mod probe;
