//! What is called as only a secret is.

/// Keys, parameters and headers whose value is a secret, alone or after an underscore or hyphen.
const NAMES: [&str; 16] = [
    "password",
    "passwd",
    "passphrase",
    "secret_key",
    "secret_access_key",
    "client_secret",
    "jwt_secret",
    "webhook_secret",
    "api_key",
    "apikey",
    "access_token",
    "auth_token",
    "token",
    "private_key",
    "authorization",
    "cookie",
];

/// Whether something of this name is a secret.
pub fn is_secret_name(name: &str) -> bool {
    let name = name.to_lowercase().replace('-', "_");
    NAMES.iter().any(|secret| {
        name.strip_suffix(secret)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('_'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets() {
        for name in [
            "password",
            "db_password",
            "API-KEY",
            "token",
            "service_role_token",
            "Authorization",
            "Proxy-Authorization",
            "Set-Cookie",
        ] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in [
            "passwords",
            "tokens",
            "keyboard",
            "monkey",
            "path",
            "authority",
        ] {
            assert!(!is_secret_name(name), "{name}");
        }
    }
}
