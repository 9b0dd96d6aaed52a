//! Roles: whom row-level security does not hold for, and what new tables are granted.

use super::Audience;
use super::catalog::{Catalog, Lookup, Role};
use super::finding::{Finding, Rule, Severity, quoted};

static BYPASSES: Rule = Rule {
    id: "role_bypasses_rls",
    severity: Severity::Error,
    title: "No policy holds for this role",
    why: "A superuser and a role with BYPASSRLS see and change every row, FORCE or not.",
};
static MAKES_ROLES: Rule = Rule {
    id: "role_makes_roles",
    severity: Severity::Error,
    title: "A role of the API can make itself another",
    why: "CREATEROLE lets it grant itself every role that is no superuser (up to PostgreSQL 15): the owner's, and those that pass by policies.",
};
static MAY_CREATE: Rule = Rule {
    id: "api_may_create",
    severity: Severity::Warn,
    title: "The API may make things in an exposed schema",
    why: "What a user makes there is found by others: a function or table of the right name takes the place of the one that was meant. PostgreSQL up to 14 grants it to everybody, and an upgrade keeps that.",
};
static DEFAULTS: Rule = Rule {
    id: "default_privileges",
    severity: Severity::Warn,
    title: "New tables are in the API at once",
    why: "A table is granted to the API the moment it is made, before anybody has thought of its row-level security.",
};

/// What there is to say of roles.
pub fn look(catalog: &Catalog, lookup: &Lookup<'_>, audience: &Audience<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for role in &catalog.roles {
        let name = role.name.as_str();
        if !audience.api.contains(&name) && audience.login != name {
            continue;
        }
        if role.makes_roles && !role.is_super {
            found.push(Finding {
                rule: &MAKES_ROLES,
                object: name.to_owned(),
                evidence: format!("{name} has CREATEROLE"),
                fix: format!("ALTER ROLE {} NOCREATEROLE;", quoted(name)),
            });
        }
        if role.is_super || role.bypass {
            found.push(Finding {
                rule: &BYPASSES,
                object: name.to_owned(),
                evidence: format!("{name} {}", rights(role)),
                fix: format!("ALTER ROLE {} NOSUPERUSER NOBYPASSRLS;", quoted(name)),
            });
        }
        for path in lookup.paths(role) {
            let Some(last) = path.last() else { continue };
            // The role for trusted programs is meant to pass by; that a token can say so is what its key is for.
            let accepted = audience.trusted.contains(&last.name.as_str())
                && !last.is_super
                && audience.login == name;
            if (last.is_super || last.bypass) && !accepted {
                let way: Vec<&str> = path.iter().map(|role| role.name.as_str()).collect();
                found.push(Finding {
                    rule: &BYPASSES,
                    object: name.to_owned(),
                    evidence: format!(
                        "it can become {} ({}), which {}",
                        last.name,
                        way.join(" → "),
                        rights(last)
                    ),
                    fix: format!(
                        "REVOKE {} FROM {};",
                        quoted(path[path.len() - 1].name.as_str()),
                        quoted(path[path.len() - 2].name.as_str())
                    ),
                });
            }
        }
    }
    for entry in &catalog.writable {
        let from: Vec<String> = match entry.public {
            true => vec!["PUBLIC".to_owned()],
            false => entry.by.iter().map(|role| quoted(role)).collect(),
        };
        found.push(Finding {
            rule: &MAY_CREATE,
            object: entry.schema.clone(),
            evidence: format!(
                "{} may make things in the schema {}",
                entry.by.join(" and "),
                entry.schema
            ),
            fix: format!(
                "REVOKE CREATE ON SCHEMA {} FROM {};",
                quoted(&entry.schema),
                from.join(", ")
            ),
        });
    }
    for entry in &catalog.default_privileges {
        found.push(Finding {
            rule: &DEFAULTS,
            object: format!("{} in {}", entry.by, entry.schema),
            evidence: format!("new tables of {} are granted to {}", entry.by, entry.to),
            fix: format!(
                "ALTER DEFAULT PRIVILEGES FOR ROLE {}{} REVOKE ALL ON TABLES FROM {};",
                quoted(&entry.by),
                if entry.schema == "*" {
                    String::new()
                } else {
                    format!(" IN SCHEMA {}", quoted(&entry.schema))
                },
                quoted(&entry.to)
            ),
        });
    }
    found
}

fn rights(role: &Role) -> &'static str {
    match (role.name.as_str(), role.is_super) {
        ("pg_execute_server_program", _) => "may run programs on the server",
        ("pg_write_server_files", _) => "may write the server's files",
        (_, true) => "is a superuser",
        (_, false) => "has BYPASSRLS",
    }
}
