//! Variables of ccrun's own environment.
//!
//! A variable whose name says that it is a secret (`POSTGRES_PASSWORD`, `GITHUB_TOKEN`, `API_KEY` …), or
//! whose value is a URL with a password in it, comes as a `Secret`: it goes wherever secrets go and never
//! shows. The permission names the variables: `env: ["DEPLOY_*"]`.

mod client;
#[cfg(test)]
mod tests;

use ccrun_kernel::rhai::Dynamic;
use ccrun_kernel::secret::Secret;
use ccrun_kernel::value::closest;
use ccrun_kernel::{Cx, Error, Namespace, Result, primitive, primitives};

use client::Environment;

/// Registers the namespace.
#[must_use]
pub fn namespace() -> Namespace {
    Namespace::new("env", "Variables of ccrun's own environment.")
        .primitives(primitives![get, require, names])
}

/// The value of a variable, or `default` (without one: `()`) if it is not set.
///
/// A string; a `Secret` if the name contains a word such as `PASSWORD`, `TOKEN`, `SECRET` or `KEY`
/// (and does not end in `_FILE`, `_PATH`, `_DIR`, `_ID` or `_NAME`), or if the value is a URL with a
/// password. A default stays what it is. A variable that is set but empty is the empty string.
///
/// # Errors
/// `env.not_utf8`.
///
/// # Example
/// ```rhai
/// assert(env::get("HOME").starts_with("/"));
/// assert(env::get("NO_SUCH_VARIABLE", "fallback") == "fallback");
/// assert(env::get("NO_SUCH_VARIABLE") == ());
/// ```
#[primitive(read, needs = env(name))]
async fn get(cx: &Cx, name: String, default: Option<Dynamic>) -> Result<Dynamic> {
    let environment = cx.client::<Environment>().await?;
    match environment.get(&name)? {
        Some(text) => Ok(value(cx, &name, text)),
        None => Ok(default.unwrap_or(Dynamic::UNIT)),
    }
}

/// The value of a variable that must be set and not empty. A `Secret` where `get` gives one.
///
/// # Errors
/// `env.missing` with the nearest name that is set, `env.not_utf8`.
///
/// # Example
/// ```rhai
/// assert(env::require("PATH").contains("/"));
/// ```
#[primitive(read, needs = env(name))]
async fn require(cx: &Cx, name: String) -> Result<Dynamic> {
    let environment = cx.client::<Environment>().await?;
    match environment.get(&name)? {
        Some(text) if !text.is_empty() => Ok(value(cx, &name, text)),
        found => {
            let what = if found.is_some() {
                "is empty"
            } else {
                "is not set"
            };
            let names = environment.names();
            let hint = match closest(&name, names.iter().map(String::as_str)) {
                Some(nearest) if nearest != name => format!("did you mean `{nearest}`?"),
                _ => format!(
                    "set it where ccrun is started: `export {name}=…`, or in the unit or job"
                ),
            };
            Err(Error::new(
                "env.missing",
                format!("the environment variable `{name}` {what}"),
            )
            .hint(hint))
        }
    }
}

/// The names of all variables that are set, sorted. The permission is `env: "*"`.
///
/// # Errors
/// None.
///
/// # Example
/// ```rhai
/// assert("PATH" in env::names());
/// ```
#[primitive(read, needs = env("*"))]
async fn names(cx: &Cx) -> Result<Vec<String>> {
    Ok(cx.client::<Environment>().await?.names())
}

fn value(cx: &Cx, name: &str, text: String) -> Dynamic {
    if !text.is_empty() && crate::naming::is_secret(name, &text) {
        let secret = Secret::new(name, text);
        cx.redactor().add(&secret);
        return Dynamic::from(secret);
    }
    text.into()
}
