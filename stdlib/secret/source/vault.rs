//! HashiCorp Vault, KV version 2
//! (<https://developer.hashicorp.com/vault/api-docs/secret/kv/kv-v2>).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use ccrun_kernel::secret::SecretSource;
use ccrun_kernel::{BoxFuture, Error, Result};
use reqwest::header::HeaderValue;
use reqwest::redirect::Policy;
use serde::Deserialize;
use tokio::sync::OnceCell;

/// `[target.X.secrets.vault]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VaultConfig {
    /// The address, `https://vault.example.org:8200`.
    pub address: String,
    /// The mount of the KV engine.
    #[serde(default = "default_mount")]
    pub mount: String,
    /// The path of the secret whose keys are the names.
    pub path: String,
    /// The namespace (Vault Enterprise).
    pub namespace: Option<String>,
    /// A file with the token; else `VAULT_TOKEN`, else `~/.vault-token`.
    pub token_file: Option<PathBuf>,
}

fn default_mount() -> String {
    "secret".to_owned()
}

/// How long Vault may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// One path in Vault, read once per run.
pub struct Vault {
    config: VaultConfig,
    values: OnceCell<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct Answer {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    data: BTreeMap<String, serde_json::Value>,
}

impl Vault {
    /// The path that the configuration names.
    ///
    /// # Errors
    /// `secret.config` for an address that is none.
    pub fn new(config: VaultConfig) -> Result<Self> {
        url::Url::parse(&config.address).map_err(|error| {
            Error::new(
                "secret.config",
                format!("the address of Vault is no URL: {error}"),
            )
        })?;
        Ok(Self {
            config,
            values: OnceCell::new(),
        })
    }

    async fn values(&self) -> Result<&BTreeMap<String, String>> {
        self.values.get_or_try_init(|| self.fetch()).await
    }

    async fn fetch(&self) -> Result<BTreeMap<String, String>> {
        let VaultConfig {
            address,
            mount,
            path,
            namespace,
            ..
        } = &self.config;
        let url = format!(
            "{}/v1/{}/data/{}",
            address.trim_end_matches('/'),
            mount.trim_matches('/'),
            path.trim_matches('/')
        );
        let mut request = client()?.get(&url).header("X-Vault-Token", self.token()?);
        if let Some(namespace) = namespace {
            request = request.header("X-Vault-Namespace", namespace);
        }
        let answer = request.send().await.map_err(|error| {
            let why = deepest(&error);
            let hint = if why.contains("certificate") {
                "if its certificate is from a private authority, name that in VAULT_CACERT"
            } else {
                "is it up? `vault status`"
            };
            Error::new(
                "secret.vault_unreachable",
                format!("Vault at {address} can't be reached: {why}"),
            )
            .hint(hint)
            .retryable()
        })?;
        match answer.status().as_u16() {
            200 => {}
            403 => {
                return Err(Error::new(
                    "secret.vault_denied",
                    format!("Vault at {address} refuses {mount}/{path}"),
                )
                .code("403")
                .hint("the token expired, or its policy lacks `read` on this path: `vault token lookup`"));
            }
            404 => {
                return Err(Error::new(
                    "secret.vault_not_found",
                    format!("Vault at {address} has no {mount}/{path}"),
                )
                .code("404")
                .hint(format!("`vault kv get -mount={mount} {path}`")));
            }
            503 => {
                // A proxy in front of Vault answers 503, too.
                let why = answer.text().await.unwrap_or_default();
                return Err(if why.contains("sealed") {
                    Error::new(
                        "secret.vault_sealed",
                        format!("Vault at {address} is sealed"),
                    )
                    .hint("`vault operator unseal`")
                } else {
                    Error::new(
                        "secret.vault_unreachable",
                        format!("Vault at {address} is not available"),
                    )
                    .hint("`vault status`; is it behind a proxy?")
                    .retryable()
                }
                .code("503"));
            }
            other => {
                return Err(Error::new(
                    "secret.vault_failed",
                    format!("Vault at {address} answered {other}"),
                )
                .code(other.to_string()));
            }
        }
        let answer: Answer = answer.json().await.map_err(|_| {
            // Not the parser's message: it may quote the answer.
            Error::new(
                "secret.vault_failed",
                format!("Vault at {address} answered something that is no KV version 2 secret"),
            )
            .hint("is the mount a KV engine of version 2?")
        })?;
        Ok(answer
            .data
            .data
            .into_iter()
            .map(|(name, value)| match value {
                serde_json::Value::String(text) => (name, text),
                other => (name, other.to_string()),
            })
            .collect())
    }

    fn token(&self) -> Result<HeaderValue> {
        let from_file = |path: &std::path::Path| {
            std::fs::read_to_string(path)
                .ok()
                .map(|text| text.trim().to_owned())
        };
        let home = || std::env::var_os("HOME").map(PathBuf::from);
        let token = match &self.config.token_file {
            Some(file) => from_file(file),
            None => std::env::var("VAULT_TOKEN")
                .ok()
                .or_else(|| home().and_then(|home| from_file(&home.join(".vault-token")))),
        };
        let token = token.filter(|token| !token.is_empty()).ok_or_else(|| {
            Error::new("secret.vault_no_token", "there is no token for Vault")
                .hint("`vault login`, set VAULT_TOKEN, or name a `token_file`")
        })?;
        let mut header = HeaderValue::from_str(&token).map_err(|_| {
            Error::new(
                "secret.vault_no_token",
                "the token for Vault has characters that no token has",
            )
            .hint("`vault login`; is it really a token that VAULT_TOKEN or the `token_file` holds?")
        })?;
        header.set_sensitive(true);
        Ok(header)
    }
}

/// The innermost cause: `connection refused`, not `error sending request`.
fn deepest(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("no answer in {} s", TIMEOUT.as_secs());
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

fn client() -> Result<reqwest::Client> {
    // Without a provider the client panics; one that is installed already is as good.
    drop(rustls::crypto::ring::default_provider().install_default());
    // A standby sends to the active node, and the token goes along: once, and never from HTTPS to
    // HTTP, as Vault's own client does it.
    let redirects = Policy::custom(|attempt| {
        let from = attempt.previous().last().map(reqwest::Url::scheme);
        let downgrade = from == Some("https") && attempt.url().scheme() != "https";
        if downgrade || attempt.previous().len() > 1 {
            attempt.stop()
        } else {
            attempt.follow()
        }
    });
    let mut builder = reqwest::Client::builder()
        .timeout(TIMEOUT)
        .redirect(redirects);
    if let Some(path) = std::env::var_os("VAULT_CACERT").filter(|path| !path.is_empty()) {
        let path = PathBuf::from(path);
        let certificate = std::fs::read(&path)
            .ok()
            .and_then(|pem| reqwest::Certificate::from_pem(&pem).ok())
            .ok_or_else(|| {
                Error::new(
                    "secret.config",
                    format!(
                        "VAULT_CACERT names {}, which is no certificate",
                        path.display()
                    ),
                )
            })?;
        builder = builder.add_root_certificate(certificate);
    }
    builder
        .build()
        .map_err(|error| Error::new("secret.vault_failed", format!("no HTTP client: {error}")))
}

impl SecretSource for Vault {
    fn describe(&self) -> String {
        format!(
            "Vault at {} ({}/{})",
            self.config.address, self.config.mount, self.config.path
        )
    }

    fn get<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<String>>> {
        Box::pin(async move { Ok(self.values().await?.get(name).cloned()) })
    }

    fn names(&self) -> BoxFuture<'_, Result<Vec<String>>> {
        Box::pin(async { Ok(self.values().await?.keys().cloned().collect()) })
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Answers one request, and gives back what was asked.
    async fn serve(
        status: &'static str,
        body: &'static str,
    ) -> (String, tokio::task::JoinHandle<String>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("the port"));
        let served = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a request");
            let mut request = vec![0; 4096];
            let read = stream.read(&mut request).await.expect("the request");
            let answer = format!(
                "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(answer.as_bytes()).await.expect("answered");
            String::from_utf8_lossy(&request[..read]).into_owned()
        });
        (address, served)
    }

    fn vault(address: &str, folder: &std::path::Path) -> Vault {
        let token_file = folder.join("token");
        std::fs::write(&token_file, "s.token\n").expect("the token");
        Vault::new(VaultConfig {
            address: address.to_owned(),
            mount: "kv".into(),
            path: "app/prod".into(),
            namespace: Some("ops".into()),
            token_file: Some(token_file),
        })
        .expect("a vault")
    }

    #[tokio::test]
    async fn a_secret_is_read_once_with_token_and_namespace() {
        let folder = tempfile::tempdir().expect("a folder");
        let body = r#"{"data":{"data":{"DB":"pw","PORT":5432},"metadata":{"version":3}}}"#;
        let (address, served) = serve("200 OK", body).await;
        let vault = vault(&address, folder.path());
        assert_eq!(vault.get("DB").await.expect("DB").as_deref(), Some("pw"));
        assert_eq!(
            vault.get("PORT").await.expect("PORT").as_deref(),
            Some("5432")
        );
        assert_eq!(vault.get("NO").await.expect("asked"), None);
        let request = served.await.expect("served").to_lowercase();
        assert!(
            request.starts_with("get /v1/kv/data/app/prod "),
            "{request}"
        );
        assert!(request.contains("x-vault-token: s.token"), "{request}");
        assert!(request.contains("x-vault-namespace: ops"), "{request}");
    }

    #[tokio::test]
    async fn what_is_wrong_is_said() {
        let folder = tempfile::tempdir().expect("a folder");
        let sealed = r#"{"errors":["Vault is sealed"]}"#;
        for (status, body, kind) in [
            ("403 Forbidden", "{}", "secret.vault_denied"),
            ("404 Not Found", "{}", "secret.vault_not_found"),
            ("503 Service Unavailable", sealed, "secret.vault_sealed"),
            (
                "503 Service Unavailable",
                "busy",
                "secret.vault_unreachable",
            ),
            ("500 Oops", "{}", "secret.vault_failed"),
            ("200 OK", "{}", "secret.vault_failed"),
        ] {
            let (address, _served) = serve(status, body).await;
            let error = vault(&address, folder.path())
                .get("X")
                .await
                .expect_err(status);
            assert_eq!(error.kind(), kind, "{status}");
        }
        let error = vault("http://127.0.0.1:1", folder.path())
            .get("X")
            .await
            .expect_err("down");
        assert_eq!(error.kind(), "secret.vault_unreachable");
        assert!(error.is_retryable());
        assert!(error.message().contains("refused"), "{error}");
    }

    #[tokio::test]
    async fn a_standby_sends_to_the_active_node_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let body = r#"{"data":{"data":{"DB":"pw"}}}"#;
        let (active, served) = serve("200 OK", body).await;
        let moved = |to: &str| &*format!("307 Temporary Redirect\r\nlocation: {to}").leak();
        let (standby, _served) = serve(moved(&active), "").await;
        let value = vault(&standby, folder.path()).get("DB").await;
        assert_eq!(value.expect("DB").as_deref(), Some("pw"));
        let request = served.await.expect("served").to_lowercase();
        assert!(request.contains("x-vault-token: s.token"), "{request}");

        // The third of a chain never hears the token.
        let (second, _served) = serve(moved("http://127.0.0.1:1"), "").await;
        let (first, _served) = serve(moved(&second), "").await;
        let error = vault(&first, folder.path())
            .get("DB")
            .await
            .expect_err("stopped");
        assert_eq!(error.code_text(), Some("307"));
    }
}
