//! The values of scripts: durations, sizes and times as types of their own, and every value's way
//! to JSON, to the journal and to the eye.

mod closest;
mod display;
mod duration;
mod json;
mod keep;
mod operators;
mod size;
mod timestamp;

pub use closest::closest;
pub use display::{describe, literal, quoted, show, type_name};
pub use duration::Duration;
pub use json::{from_json, to_json};
pub use keep::{KeptSecret, keep, unkeep};
pub use operators::register;
pub use size::Size;
pub use timestamp::{Timestamp, zone_named};
