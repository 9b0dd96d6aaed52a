//! The host of ccrun runbooks.
//!
//! The kernel knows the Rhai language and no external system. It has the registry of primitives and
//! the one wrapper around them ([`registry`], [`mod@primitive`], `wrapper`), effects and permissions
//! ([`effect`], [`permission`]), the bus of [`event`]s, the [`journal`], [`secret`]s, errors
//! ([`error`]) and runs ([`run`]). Everything that touches the world is in `ccrun-stdlib`;
//! everything that draws on a terminal is in the `ccrun` binary.

// The macros write `::ccrun_kernel::…`, also for the primitives that are defined in here.
extern crate self as ccrun_kernel;

pub mod caller;
pub mod check;
pub mod client;
pub mod config;
pub mod cx;
pub mod effect;
pub mod error;
pub mod event;
pub mod journal;
mod language;
mod native;
pub mod permission;
mod planned;
pub mod primitive;
pub mod prompt;
pub mod registry;
pub mod run;
pub mod runbook;
pub mod scope;
mod script_error;
pub mod secret;
pub mod testing;
pub mod value;
mod wrapper;

pub use ccrun_macros::{Object, Options, primitive, primitives};
pub use rhai;

pub use caller::Caller;
pub use client::{Access, Client};
pub use cx::{Cx, Progress};
pub use error::{Error, Location, Result};
pub use primitive::{
    Args, Blob, BoxFuture, Bytes, Call, Capability, Doc, FromArg, IntoValue, Invocation,
    MaybeSecret, Mismatch, Need, Object, OptionField, OptionReader, Param, Preview, Primitive,
    PrimitiveKind, Receiver, object_from_arg,
};
pub use registry::{Namespace, Registry};
