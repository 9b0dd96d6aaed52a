//! What scripts can do with secrets: get them, compose them, compare them. Never see them.

mod compose;
mod methods;
#[cfg(test)]
mod tests;

use ccrun_kernel::secret::Secret;
use ccrun_kernel::{Cx, Namespace, Result, primitive, primitives};

/// Registers the namespace.
#[must_use]
pub fn namespace() -> Namespace {
    Namespace::new(
        "secret",
        "Secrets: texts that never show, from the sources of the target.",
    )
    .global("secret")
    .primitives(primitives![
        secret,
        get,
        exists,
        compose::generate,
        compose::concat,
        compose::template,
        compose::json
    ])
    .primitives(methods::all())
}

/// The secret with this name, from the target's sources in their order. Short for `secret::get`.
///
/// It goes wherever a primitive takes a secret, and prints as `‹secret NAME›` everywhere else: in
/// output, logs, errors, the journal and the history of the REPL.
///
/// # Errors
/// `secret.not_found` naming the sources asked and the nearest name; what a source says.
///
/// # Example
/// ```rhai,no_run
/// let db = pg::connect(#{ host: "db", user: "postgres", password: secret("POSTGRES_PASSWORD") });
/// ```
#[primitive(read, needs = secret(name))]
async fn secret(cx: &Cx, name: String) -> Result<Secret> {
    cx.secret(&name).await
}

/// The secret with this name, from the target's sources in their order.
///
/// # Errors
/// `secret.not_found` naming the sources asked and the nearest name; what a source says.
///
/// # Example
/// ```rhai,no_run
/// let token = secret::get("GITHUB_TOKEN");
/// print(token);  // ‹secret GITHUB_TOKEN›
/// ```
#[primitive(read, needs = secret(name))]
async fn get(cx: &Cx, name: String) -> Result<Secret> {
    cx.secret(&name).await
}

/// Whether there is a secret with this name that is not empty.
///
/// # Errors
/// What a source says that can't be asked: a wrong key of the age file, Vault out of reach.
///
/// # Example
/// ```rhai
/// assert(!secret::exists("NO_SUCH_SECRET"));
/// ```
#[primitive(read, needs = secret(name))]
async fn exists(cx: &Cx, name: String) -> Result<bool> {
    match cx.secret(&name).await {
        Ok(secret) => Ok(!secret.is_empty()),
        Err(error) if error.kind() == "secret.not_found" => Ok(false),
        Err(error) => Err(error),
    }
}
