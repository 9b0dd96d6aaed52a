//! Redis and what speaks its protocol (Valkey, KeyDB): is it well, and what is in it.
//!
//! `query` only asks: the server's own flags say which commands read, and no other is sent. `command` is
//! a change: planned in a dry run, confirmed, recorded. The permission names the Compose service or the host:
//! `redis: ["redis"]`.

mod classify;
mod client;
mod connect;
mod failure;
mod info;
mod server;
mod value;

#[cfg(test)]
mod tests;

use ccrun_kernel::{Namespace, primitives};

pub use server::Redis;

/// Registers the namespace.
#[must_use]
pub fn namespace() -> Namespace {
    Namespace::new("redis", "Redis: is it well, and what is in it.")
        .target_key("redis")
        .object::<Redis>()
        .primitives(primitives![
            server::connect,
            Redis::ping,
            Redis::info,
            Redis::query,
            Redis::command,
        ])
}
