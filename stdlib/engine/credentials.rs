//! What `docker login` left for a registry: in the Docker CLI's `config.json`, or with one of its credential helpers.
#![allow(
    clippy::disallowed_methods,
    reason = "the Docker CLI's own configuration is part of opening the client"
)]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bollard::auth::DockerCredentials;
use ccrun_kernel::secret::Secret;
use ccrun_kernel::{Cx, Error, Result};
use docker_credential::{CredentialRetrievalError as Failure, DockerCredential};

/// The name under which `docker login` keeps what is for Docker Hub.
const HUB: &str = "https://index.docker.io/v1/";

/// The registry that an image's name says: everything before the first `/`, if that is the name of a host.
///
/// Follows `reference.ParseNormalizedNamed` of the distribution project: a first part without a dot and a port is a
/// user of Docker Hub.
#[must_use]
pub fn registry(image: &str) -> &str {
    match image.split_once('/') {
        Some((host, _)) if host == "localhost" || host.contains(['.', ':']) => host,
        _ => HUB,
    }
}

/// What the registry of an image is shown, if somebody has logged in there.
///
/// # Errors
/// `docker.credentials` if the configuration or its helper can't be read.
pub async fn credentials(cx: &Cx, image: &str) -> Result<Option<DockerCredentials>> {
    let registry = registry(image).to_owned();
    if !is_there() {
        return Ok(None);
    }
    let server = registry.clone();
    // A helper is a program, which may ask a keychain.
    let found = tokio::task::spawn_blocking(move || docker_credential::get_credential(&server))
        .await
        .map_err(|error| wrong(&registry, &error.to_string()))?;
    let mut shown = DockerCredentials {
        serveraddress: Some(registry.clone()),
        ..DockerCredentials::default()
    };
    match found {
        Ok(DockerCredential::IdentityToken(token)) => {
            cx.redactor()
                .add(&Secret::new(registry.clone(), token.clone()));
            shown.identitytoken = Some(token);
        }
        Ok(DockerCredential::UsernamePassword(user, password)) => {
            cx.redactor()
                .add(&Secret::new(registry.clone(), password.clone()));
            // Helpers say so when what they give is a token.
            if user == "<token>" {
                shown.identitytoken = Some(password);
            } else {
                shown.username = Some(user);
                shown.password = Some(password);
            }
        }
        Err(Failure::NoCredentialConfigured | Failure::ConfigNotFound) => return Ok(None),
        // What the helpers that Docker ships say of a registry that they do not know.
        Err(Failure::HelperFailure { stdout, .. }) if stdout.contains("credentials not found") => {
            return Ok(None);
        }
        Err(Failure::HelperFailure {
            helper,
            stdout,
            stderr,
        }) => {
            let said = if stdout.trim().is_empty() {
                stderr
            } else {
                stdout
            };
            return Err(wrong(&registry, &format!("{helper} says: {}", said.trim())));
        }
        Err(error) => return Err(wrong(&registry, &error.to_string())),
    }
    if sent_unlike_read(&shown) {
        return Err(wrong(
            &registry,
            "the password has a `~`, `?` or `>` where the engine would read another one",
        )
        .hint("`docker pull` and compose::project().pull() can send it; or give the registry another password"));
    }
    Ok(Some(shown))
}

fn is_there() -> bool {
    std::env::var_os("DOCKER_CONFIG")
        .map(std::path::PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".docker")))
        .is_some_and(|folder| folder.join("config.json").exists())
}

/// The engine reads the header as the URL alphabet of base64, and the library writes the other one: they differ in
/// two characters, and the engine takes a header that it can't read for none.
fn sent_unlike_read(shown: &DockerCredentials) -> bool {
    serde_json::to_vec(shown).is_ok_and(|json| STANDARD.encode(json).contains(['+', '/']))
}

fn wrong(registry: &str, what: &str) -> Error {
    Error::new(
        "docker.credentials",
        format!("what `docker login` left for {registry} can't be used: {what}"),
    )
    .hint(format!("log in again: docker login {registry}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_says_its_registry() {
        assert_eq!(registry("postgres:15"), HUB);
        assert_eq!(registry("supabase/gotrue:v2"), HUB);
        assert_eq!(registry("ghcr.io/postalserver/postal:3"), "ghcr.io");
        assert_eq!(registry("localhost/app"), "localhost");
        assert_eq!(registry("registry:5000/app@sha256:00"), "registry:5000");
    }

    #[test]
    fn a_password_that_would_arrive_as_another_is_noticed() {
        let shown = |password: &str| DockerCredentials {
            username: Some("ada".to_owned()),
            password: Some(password.to_owned()),
            ..DockerCredentials::default()
        };
        assert!(!sent_unlike_read(&shown("plain")));
        let some = ["~", "x~", "xx~"];
        assert!(
            some.iter()
                .any(|password| sent_unlike_read(&shown(password)))
        );
    }
}
