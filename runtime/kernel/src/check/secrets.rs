//! Secrets that are written in the file.

use rhai::{Expr, Position};

use super::file::{File, aligned};
use super::finding::Report;
use super::resolve::Target;
use crate::secret::is_secret_name;

/// How the secrets of well-known services begin.
const BEGINNINGS: [&str; 8] = [
    "ghp_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "xoxp-",
    "sk_live_",
    "AKIA",
    "AGE-SECRET-KEY-",
];

pub fn check(file: &File<'_, '_, '_>, report: &mut Report<'_>) {
    for map in &file.facts.maps {
        entries(report, map);
    }
    arguments(file, report);
    for (text, position) in &file.facts.strings {
        if let Some(what) = telltale(text) {
            tell(report, *position, &format!("{what} is written here"));
        }
    }
}

fn entries(report: &mut Report<'_>, map: &[(rhai::Ident, Expr)]) {
    let is = |name: &str, wanted: &str| {
        map.iter().any(|(key, value)| {
            key.as_str() == name && matches!(value, Expr::StringConstant(text, _) if text == wanted)
        })
    };
    let of_secret_param = is("type", "secret");
    for (key, value) in map {
        let name = key.as_str();
        let Expr::StringConstant(text, position) = value else {
            continue;
        };
        let meant = is_secret_name(name) || of_secret_param && name == "default";
        if meant && is_secret_text(text) {
            tell(
                report,
                *position,
                &format!("the value of `{name}` is written here"),
            );
        }
    }
}

/// Arguments for parameters that take secrets.
fn arguments(file: &File<'_, '_, '_>, report: &mut Report<'_>) {
    for (call, target) in file.facts.calls.iter().zip(file.targets) {
        let Target::Primitives {
            candidates,
            certain: true,
        } = target
        else {
            continue;
        };
        let [primitive] = candidates.as_slice() else {
            continue;
        };
        for (param, arg) in aligned(primitive, call.args) {
            if let Some(Expr::StringConstant(text, position)) = arg
                && param.type_name == "string or Secret"
                && is_secret_name(param.name)
                && is_secret_text(text)
            {
                tell(
                    report,
                    *position,
                    &format!("`{}` of {} is written here", param.name, primitive.path()),
                );
            }
        }
    }
}

fn tell(report: &mut Report<'_>, position: Position, what: &str) {
    report
        .add(
            "literal-secret",
            position,
            format!("{what}: whoever reads the file has it"),
        )
        .suggest("keep it outside and write `secret(\"NAME\")`: `ccrun secret set NAME`");
}

/// A reference (`secret:NAME`) or nothing is no secret.
fn is_secret_text(text: &str) -> bool {
    !text.trim().is_empty() && !text.starts_with("secret:")
}

/// Texts that are a secret by their looks.
fn telltale(text: &str) -> Option<&'static str> {
    if text.contains("-----BEGIN ") && text.contains("PRIVATE KEY-----") {
        return Some("a private key");
    }
    let begins = |beginning: &str| {
        text.strip_prefix(beginning).is_some_and(|rest| {
            rest.len() >= 12
                && rest
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
        })
    };
    if BEGINNINGS.iter().any(|beginning| begins(beginning)) {
        return Some("an access key");
    }
    let authority = text.split_once("://")?.1.split(['/', '?', '#']).next()?;
    let (user_info, _) = authority.rsplit_once('@')?;
    let (_, password) = user_info.split_once(':')?;
    let placeholder = password.is_empty() || password.starts_with(['$', '{', '<', '*']);
    (!placeholder).then_some("the password in this URL")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_of_secrets() {
        for text in [
            "postgres://app:hunter2@db/app",
            "ghp_0123456789abcdefABCDEF",
            "-----BEGIN RSA PRIVATE KEY-----\nMII",
        ] {
            assert!(telltale(text).is_some(), "{text}");
        }
        for text in [
            "postgres://app@db/app",
            "postgres://app:${password}@db/app",
            "https://example.org/a:b@c",
            "AKIA",
            "mailto:a@b",
        ] {
            assert!(telltale(text).is_none(), "{text}");
        }
    }
}
