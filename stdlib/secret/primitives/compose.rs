//! Secrets made of secrets. The result is one itself, and the redactor knows it.

use ccrun_kernel::rhai::{Array, Dynamic, Map};
use ccrun_kernel::secret::Secret;
use ccrun_kernel::value::{show, to_json};
use ccrun_kernel::{Cx, Error, Options, Result, primitive};

use crate::crypto::{RandomOptions, random_text};
use crate::document::{MOST_BYTES, expose};
use crate::render::{self, Secrets};

/// How to generate a secret.
#[derive(Debug, Clone, Options)]
pub struct GenerateOptions {
    /// The characters, each as likely as the others. Without it: ASCII letters and digits.
    alphabet: Option<String>,
    /// Its name, which is shown in its place.
    #[option(default = "generated")]
    name: String,
}

/// A random secret of so many characters: a password, a signing key.
///
/// It lives as long as the run. Hand it to what keeps it (`fs::write`, a database, Vault) before you
/// rely on it.
///
/// # Errors
/// `secret.too_short` below 8 characters; `crypto.random` for an alphabet with fewer than two
/// characters.
///
/// # Example
/// ```rhai
/// let password = secret::generate(32);
/// assert(password.len == 32);
/// assert(`${password}` == "‹secret generated›");
/// ```
#[primitive(pure)]
pub fn generate(cx: &Cx, length: usize, options: GenerateOptions) -> Result<Secret> {
    if length < 8 {
        return Err(Error::new(
            "secret.too_short",
            format!("a secret of {length} characters is guessed at once"),
        )
        .hint("take 32; for a code that people type, `crypto::random_string`"));
    }
    let text = random_text(
        length,
        &RandomOptions {
            alphabet: options.alphabet,
        },
    )?;
    Ok(known(cx, options.name, text))
}

/// Parts joined to one secret, named after the secrets among them. Strings stay as they are, other
/// values as they print.
///
/// # Errors
/// `secret.too_large` above 32 MiB.
///
/// # Example
/// ```rhai
/// let header = secret::concat(["Bearer ", secret::generate(32, #{ name: "API_TOKEN" })]);
/// assert(header.len == 39);
/// assert(`${header}` == "‹secret API_TOKEN›");
/// ```
#[primitive(pure)]
pub fn concat(cx: &Cx, parts: Array) -> Result<Secret> {
    let mut names = Vec::new();
    let mut text = String::new();
    for part in &parts {
        text.push_str(&show(&expose(part, &mut names)));
        if text.len() > MOST_BYTES {
            return Err(Error::new(
                "secret.too_large",
                "the secret would be longer than 32 MiB",
            ));
        }
    }
    Ok(known(cx, name(&names, "text"), text))
}

/// A template filled in with values, secrets among them: one secret, named after those.
///
/// The language of `text::template`; `urlencode` for parts of a URL, `tojson`, `shellquote`,
/// `b64encode`.
///
/// # Errors
/// As of `text::template`.
///
/// # Example
/// ```rhai
/// let url = secret::template("postgres://app:{{ password | urlencode }}@db/app", #{
///     password: secret::generate(24, #{ name: "DB_PASSWORD" }),
/// });
/// assert(`${url}` == "‹secret DB_PASSWORD›");
/// ```
#[primitive(pure)]
pub fn template(cx: &Cx, text: String, values: Map) -> Result<Secret> {
    let mut names = Vec::new();
    drop(expose(&values.clone().into(), &mut names));
    let text = render::render(&text, &values, Secrets::Expose)
        // What went wrong may quote a value.
        .map_err(|error| error.map_text(&|text| cx.redactor().redact(text).into_owned()))?;
    Ok(known(cx, name(&names, "template"), text))
}

/// A value as JSON, secrets in it included: one secret, named after those. For request bodies and
/// configuration files.
///
/// # Errors
/// As of `json::stringify`.
///
/// # Example
/// ```rhai
/// let body = secret::json(#{ user: "app", password: secret::generate(24, #{ name: "DB_PASSWORD" }) });
/// assert(`${body}` == "‹secret DB_PASSWORD›");
/// ```
#[primitive(pure)]
pub fn json(cx: &Cx, value: Dynamic) -> Result<Secret> {
    let mut names = Vec::new();
    let exposed = expose(&value, &mut names);
    crate::document::check(crate::json::FORMAT, &exposed)?;
    Ok(known(
        cx,
        name(&names, "json"),
        to_json(&exposed).to_string(),
    ))
}

fn name(names: &[String], otherwise: &str) -> String {
    if names.is_empty() {
        otherwise.to_owned()
    } else {
        names.join("+")
    }
}

fn known(cx: &Cx, name: String, text: String) -> Secret {
    let secret = Secret::new(name, text);
    cx.redactor().add(&secret);
    secret
}
