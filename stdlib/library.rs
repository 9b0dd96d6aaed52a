//! The library in Rhai: services that are only HTTP, as modules that a team can read, copy and change.
//!
//! What a module calls by name alone has a name that no other module has (`tests/tests/troubleshoot.rs` says why).

use std::collections::BTreeMap;

/// A file of `rhai/` under its name.
macro_rules! library {
    ($($name:ident),* $(,)?) => {
        [$((stringify!($name), include_str!(concat!("rhai/", stringify!($name), ".rhai")))),*]
    };
}

/// Each module: what follows `std/` in an import, and its source.
pub fn all() -> BTreeMap<&'static str, &'static str> {
    BTreeMap::from(library![
        caddy, gotrue, grafana, loki, passwords, pgadmin, postal, postgrest, prometheus, realtime,
        redis, seaweedfs,
    ])
}
