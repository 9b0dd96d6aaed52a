//! What `pg_restore` leaves out of a database that has another name: encoding, locale, owner, grants, settings, comment.

use std::sync::Arc;

use ccrun_kernel::{Cx, Result};

use super::catalog::{execute, ident, literal};
use super::manifest::DatabaseFacts;
use crate::pg::connect::Server;

/// Make an empty database as the one was that is described.
///
/// # Errors
/// What the server says.
pub(super) async fn create(
    cx: &Cx,
    beside: &Arc<Server>,
    facts: &DatabaseFacts,
    name: &str,
) -> Result<()> {
    let mut sql = format!(
        "CREATE DATABASE {} TEMPLATE template0 ENCODING {} LC_COLLATE {} LC_CTYPE {}",
        ident(name),
        literal(&facts.encoding),
        literal(&facts.collate),
        literal(&facts.ctype)
    );
    if facts.provider == "i"
        && let Some(locale) = &facts.icu_locale
    {
        sql.push_str(&format!(
            " LOCALE_PROVIDER icu ICU_LOCALE {}",
            literal(locale)
        ));
    }
    let created = execute(cx, beside, &[sql]).await;
    created.map_err(|error| {
        if error.message().contains("locale") {
            error.hint(format!(
                "the server's machine lacks the locale {}: install it there (Debian: `locale-gen`)",
                facts.collate
            ))
        } else {
            error
        }
    })
}

/// Give it owner, grants, settings and comment.
///
/// # Errors
/// What the server says.
pub(super) async fn settings(
    cx: &Cx,
    beside: &Arc<Server>,
    facts: &DatabaseFacts,
    name: &str,
) -> Result<()> {
    let database = ident(name);
    let mut all = vec![format!(
        "ALTER DATABASE {database} OWNER TO {}",
        ident(&facts.owner)
    )];
    if facts.connection_limit >= 0 {
        all.push(format!(
            "ALTER DATABASE {database} CONNECTION LIMIT {}",
            facts.connection_limit
        ));
    }
    all.push(format!(
        "COMMENT ON DATABASE {database} IS {}",
        facts
            .comment
            .as_deref()
            .map_or_else(|| "NULL".to_owned(), literal)
    ));
    if let Some(acl) = &facts.acl {
        // What is not in the list is not granted, not even by default.
        all.push(format!(
            "REVOKE ALL ON DATABASE {database} FROM PUBLIC, {}",
            ident(&facts.owner)
        ));
        all.extend(acl.iter().flat_map(|item| grants(item, &database)));
    }
    for each in &facts.settings {
        for setting in &each.settings {
            let Some((key, value)) = setting.split_once('=') else {
                continue;
            };
            // Lists such as search_path are lists of names, not one text.
            let value = if [
                "search_path",
                "temp_tablespaces",
                "session_preload_libraries",
                "local_preload_libraries",
            ]
            .contains(&key)
            {
                value.to_owned()
            } else {
                literal(value)
            };
            let value = if value.is_empty() {
                "''".to_owned()
            } else {
                value
            };
            all.push(match &each.role {
                None => format!("ALTER DATABASE {database} SET {} TO {value}", dotted(key)),
                Some(role) => format!(
                    "ALTER ROLE {} IN DATABASE {database} SET {} TO {value}",
                    ident(role),
                    dotted(key)
                ),
            });
        }
    }
    execute(cx, beside, &all).await
}

/// The name of a setting: `app.tenant` has two parts.
fn dotted(key: &str) -> String {
    key.split('.').map(ident).collect::<Vec<_>>().join(".")
}

/// `role=CTc/grantor` as statements.
fn grants(item: &str, database: &str) -> Vec<String> {
    let Some((role, rights)) = item.rsplit_once('=') else {
        return Vec::new();
    };
    let rights = rights.split('/').next().unwrap_or_default();
    let role = match role.trim_matches('"') {
        "" => "PUBLIC".to_owned(),
        name => ident(&name.replace("\"\"", "\"")),
    };
    let letters: Vec<char> = rights.chars().collect();
    let mut all = Vec::new();
    for (index, letter) in letters.iter().enumerate() {
        let right = match letter {
            'C' => "CREATE",
            'T' => "TEMPORARY",
            'c' => "CONNECT",
            _ => continue,
        };
        let with = if letters.get(index + 1) == Some(&'*') {
            " WITH GRANT OPTION"
        } else {
            ""
        };
        all.push(format!(
            "GRANT {right} ON DATABASE {database} TO {role}{with}"
        ));
    }
    all
}
