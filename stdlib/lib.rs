//! The primitives of ccrun, one folder per namespace.
//!
//! A namespace registers itself by one line in [`namespaces`]. From its folder come the functions in
//! scripts, their documentation, static checks, dry-run behaviour, permissions and audit entries.

// A primitive gets at the world through the clients that the wrapper gives it. A namespace's client
// file, which opens them, says so by an `allow` with its reason.
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

pub mod alert;
pub mod archive;
pub mod causes;
pub mod certificate;
pub mod compose;
pub mod credential;
pub mod crypto;
pub mod docker;
pub mod document;
pub mod engine;
pub mod env;
pub mod files;
pub mod fs;
pub mod http;
pub mod json;
mod library;
pub mod log;
pub mod mailer;
pub mod naming;
pub mod net;
pub mod pg;
pub mod process;
pub mod redis;
pub mod render;
pub mod s3;
pub mod secret;
pub mod service;
pub mod sh;
pub mod smtp;
pub mod store;
pub mod sys;
pub mod text;
pub mod time;
pub mod toml;
pub mod ui;
pub mod web;
pub mod yaml;

use std::collections::BTreeMap;
use std::sync::Arc;

use ccrun_kernel::Namespace;
use ccrun_kernel::config::Target;

/// Every namespace.
#[must_use]
pub fn namespaces() -> Vec<Namespace> {
    vec![
        alert::namespace(),
        archive::namespace(),
        compose::namespace(),
        crypto::namespace(),
        docker::namespace(),
        env::namespace(),
        fs::namespace(),
        http::namespace(),
        json::namespace(),
        log::namespace(),
        net::namespace(),
        pg::namespace(),
        redis::namespace(),
        s3::namespace(),
        secret::namespace(),
        sh::namespace(),
        smtp::namespace(),
        sys::namespace(),
        text::namespace(),
        time::namespace(),
        toml::namespace(),
        ui::namespace(),
        yaml::namespace(),
    ]
}

/// The library modules that scripts import as `std/NAME`.
#[must_use]
pub fn modules() -> Arc<BTreeMap<&'static str, &'static str>> {
    Arc::new(library::all())
}

/// What `ccrun doctor` asks of a target: a name, and a reading script whose value is what was seen.
#[must_use]
pub fn probes(target: &Target) -> Vec<(&'static str, &'static str)> {
    let mut probes = Vec::new();
    if target.raw("postgres").is_some() {
        let ask = "`PostgreSQL ${pg::connect().value(\"SHOW server_version\")}`";
        probes.push(("postgres", ask));
    }
    if target.raw("docker").is_some() || target.raw("compose").is_some() {
        probes.push(("docker", "`Docker ${docker::version().version}`"));
    }
    if target.raw("compose").is_some() {
        let ask = "let stack = compose::project(); `${stack.name}: ${stack.services().len()} services, ${stack.ps(#{ all: false }).len()} containers run`";
        probes.push(("compose", ask));
    }
    if target.raw("redis").is_some() {
        let ask = "let redis = redis::connect(); `Redis ${redis.info(\"server\").redis_version}, answers in ${redis.ping()}`";
        probes.push(("redis", ask));
    }
    if target.raw("smtp").is_some() {
        let ask = "let mail = smtp::check(); `${mail.name}, ${if mail.encrypted { \"with TLS\" } else { \"without TLS\" }}`";
        probes.push(("smtp", ask));
    }
    probes
}
