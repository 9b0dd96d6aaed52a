//! The Docker CLI's contexts: `docker context use production`.
#![allow(
    clippy::disallowed_methods,
    reason = "the Docker CLI's own configuration is part of opening the client"
)]

use std::path::{Path, PathBuf};

use ccrun_kernel::{Error, Result};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::host::{Host, Tls};

#[derive(Deserialize)]
struct Config {
    #[serde(rename = "currentContext")]
    current_context: Option<String>,
}

/// `contexts/meta/HASH/meta.json`.
#[derive(Deserialize)]
struct Meta {
    #[serde(rename = "Endpoints")]
    endpoints: Endpoints,
}

#[derive(Deserialize)]
struct Endpoints {
    docker: Endpoint,
}

#[derive(Deserialize)]
struct Endpoint {
    #[serde(rename = "Host")]
    host: String,
}

/// The engine of the current context, unless that is the default one.
pub fn current(environment: impl Fn(&str) -> Option<String>) -> Result<Option<Host>> {
    let folder = environment("DOCKER_CONFIG")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".docker")));
    let Some(folder) = folder else {
        return Ok(None);
    };
    let name = environment("DOCKER_CONTEXT").or_else(|| {
        let text = std::fs::read(folder.join("config.json")).ok()?;
        serde_json::from_slice::<Config>(&text)
            .ok()?
            .current_context
    });
    match name.filter(|name| !name.is_empty() && name != "default") {
        Some(name) => of(&folder, &name).map(Some),
        None => Ok(None),
    }
}

fn of(folder: &Path, name: &str) -> Result<Host> {
    // The CLI names the folders by the hash of the context's name.
    let id = hex::encode(Sha256::digest(name));
    let file = folder.join("contexts/meta").join(&id).join("meta.json");
    let wrong = |what: String| {
        Error::new(
            "docker.context",
            format!("the Docker context `{name}` can't be read: {what}"),
        )
        .hint("`docker context ls` shows those that exist; `docker context use default` goes back")
    };
    let text =
        std::fs::read(&file).map_err(|error| wrong(format!("{}: {error}", file.display())))?;
    let meta: Meta = serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
    let certificates = folder.join("contexts/tls").join(&id).join("docker");
    Ok(Host {
        address: meta.endpoints.docker.host,
        tls: certificates
            .join("ca.pem")
            .exists()
            .then(|| Tls::in_folder(&certificates)),
        origin: format!("the Docker context `{name}`"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_current_context_says_where_the_engine_is() {
        let home = tempfile::tempdir().unwrap();
        let id = hex::encode(Sha256::digest("production"));
        let meta = home.path().join("contexts/meta").join(id);
        std::fs::create_dir_all(&meta).unwrap();
        std::fs::write(
            meta.join("meta.json"),
            r#"{"Name":"production","Metadata":{},"Endpoints":{"docker":{"Host":"ssh://deploy@example.org","SkipTLSVerify":false}}}"#,
        )
        .unwrap();
        std::fs::write(
            home.path().join("config.json"),
            r#"{"currentContext":"production"}"#,
        )
        .unwrap();
        let folder = home.path().display().to_string();
        let environment = |name: &str| (name == "DOCKER_CONFIG").then(|| folder.clone());
        let found = current(environment).unwrap().unwrap();
        assert_eq!(found.address, "ssh://deploy@example.org");
        assert_eq!(found.origin, "the Docker context `production`");

        std::fs::write(
            home.path().join("config.json"),
            r#"{"currentContext":"gone"}"#,
        )
        .unwrap();
        let error = current(environment).unwrap_err();
        assert_eq!(error.kind(), "docker.context");
        assert!(error.message().contains("`gone`"), "{error:?}");

        std::fs::write(
            home.path().join("config.json"),
            r#"{"currentContext":"default"}"#,
        )
        .unwrap();
        assert_eq!(current(environment).unwrap(), None);
    }
}
