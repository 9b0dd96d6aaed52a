//! Which variables hold secrets, told by their names and values.

/// Words in a name that say so.
const WORDS: [&str; 17] = [
    "PASSWORD",
    "PASSWD",
    "PASS",
    "PWD",
    "PASSPHRASE",
    "SECRET",
    "SECRETS",
    "TOKEN",
    "TOKENS",
    "KEY",
    "KEYS",
    "APIKEY",
    "CREDENTIAL",
    "CREDENTIALS",
    "DSN",
    "JWT",
    "COOKIE",
];

/// Last words of a name that speaks about a secret without being one.
const ABOUT: [&str; 12] = [
    "FILE", "PATH", "DIR", "ID", "NAME", "USER", "SOCK", "HOST", "AUD", "EXP", "ROLES", "ROLE",
];

/// The shell's own.
const NEVER: [&str; 2] = ["PWD", "OLDPWD"];

/// Whether a variable is to be treated as a secret.
/// `true` for `POSTGRES_PASSWORD`, and for a URL with a password in it.
#[must_use]
pub fn is_secret(name: &str, value: &str) -> bool {
    let name = name.to_ascii_uppercase();
    if NEVER.contains(&name.as_str()) {
        return false;
    }
    let words: Vec<&str> = name.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    let about = words.last().is_some_and(|last| ABOUT.contains(last));
    let public = words.contains(&"PUBLIC");
    let named = words.iter().any(|word| {
        WORDS.contains(word)
            || ["PASSWORD", "SECRET", "TOKEN"]
                .iter()
                .any(|end| word.ends_with(end))
    });
    (named && !about && !public) || has_password(value)
}

/// `postgres://user:password@host/`
fn has_password(value: &str) -> bool {
    url::Url::parse(value).is_ok_and(|url| url.password().is_some_and(|text| !text.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::is_secret;

    #[test]
    fn names_and_values_tell() {
        for (name, value, secret) in [
            ("POSTGRES_PASSWORD", "x", true),
            ("PGPASSWORD", "x", true),
            ("github_token", "x", true),
            ("AWS_SECRET_ACCESS_KEY", "x", true),
            ("API_KEY", "x", true),
            ("DB_PWD", "x", true),
            ("DATABASE_URL", "postgres://app:hunter2@db/app", true),
            ("AWS_ACCESS_KEY_ID", "x", false),
            ("POSTGRES_PASSWORD_FILE", "/run/secrets/pg", false),
            ("JWT_PUBLIC_KEY", "x", false),
            ("GOTRUE_JWT_AUD", "authenticated", false),
            ("GOTRUE_JWT_ADMIN_ROLES", "service_role", false),
            ("PWD", "/srv", false),
            ("OLDPWD", "/srv", false),
            ("DATABASE_URL", "postgres://db/app", false),
            ("KEYBOARD", "de", false),
            ("SSH_AUTH_SOCK", "/tmp/x", false),
            ("HOME", "/root", false),
        ] {
            assert_eq!(is_secret(name, value), secret, "{name}={value}");
        }
    }
}
