//! Roles: those of a backup that the server lacks, or all of them.

use std::sync::Arc;

use ccrun_kernel::{Cx, Result};

use super::catalog::{Facts, ident, scripts};
use super::verify::Reader;
use crate::pg::connect::Server;

/// Make the roles that are missing, by the lines of `pg_dumpall --globals-only` that are about them; with `all`, those that
/// are there get what the backup says of them as well. In one transaction. Returns which were made.
///
/// # Errors
/// What the server says.
pub(super) async fn make(
    cx: &Cx,
    reader: &Reader<'_>,
    beside: &Arc<Server>,
    facts: &Facts,
    all: bool,
) -> Result<Vec<String>> {
    let (there, missing): (Vec<String>, Vec<String>) = reader
        .manifest
        .roles
        .iter()
        .cloned()
        .partition(|role| facts.roles.contains(role));
    if missing.is_empty() && !all {
        return Ok(missing);
    }
    let text = reader
        .open(reader.manifest.part("globals")?, |plain| {
            let mut text = String::new();
            std::io::Read::read_to_string(plain, &mut text)?;
            Ok(text)
        })
        .await?;
    let mut statements = about(&text, &missing);
    if all {
        let known = about(&text, &there).into_iter();
        statements.extend(known.filter(|line| !line.starts_with("CREATE ROLE ")));
    }
    let mut begin = "BEGIN;\n".to_owned();
    if facts.superuser {
        // Verifiers of passwords are none of the log's business, nor of who looks at statistics.
        for setting in [
            "log_statement = 'none'",
            "log_min_duration_statement = -1",
            "log_min_error_statement = 'panic'",
            "pg_stat_statements.track_utility = 'off'",
        ] {
            begin.push_str(&format!("SET LOCAL {setting};\n"));
        }
    }
    let rest = format!("{}\nCOMMIT;", statements.join("\n"));
    scripts(cx, beside, &[&begin, &rest]).await?;
    Ok(missing)
}

/// The statements about some roles: each is one line of `pg_dumpall`.
fn about(sql: &str, roles: &[String]) -> Vec<String> {
    let names: Vec<String> = roles
        .iter()
        .flat_map(|role| [role.clone(), ident(role)])
        .collect();
    let names_it = |rest: &str| {
        let rest = rest.trim_end_matches(';');
        names.iter().any(|name| {
            rest == name
                || rest
                    .strip_prefix(name.as_str())
                    .is_some_and(|rest| rest.starts_with(' '))
        })
    };
    sql.lines()
        .filter(|line| {
            let create = line.strip_prefix("CREATE ROLE ").is_some_and(names_it);
            let alter = line.strip_prefix("ALTER ROLE ").is_some_and(names_it);
            let comment = line.strip_prefix("COMMENT ON ROLE ").is_some_and(names_it);
            let grant = line.starts_with("GRANT ")
                && line.split_once(" TO ").is_some_and(|(_, to)| names_it(to));
            create || alter || comment || grant
        })
        // In a database of its own, which is not there yet.
        .filter(|line| !line.contains(" IN DATABASE "))
        // Who granted it may not be there, or not have the right any more; the membership is what counts.
        .map(|line| match line.split_once(" GRANTED BY ") {
            Some((grant, _)) if line.starts_with("GRANT ") => format!("{grant};"),
            _ => line.to_owned(),
        })
        .collect()
}
