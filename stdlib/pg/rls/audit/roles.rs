//! Roles: whom row-level security does not hold for, and what new tables are granted.

use super::Audience;
use super::catalog::{Catalog, Lookup};
use super::finding::{Finding, Rule, Severity, quoted};

static BYPASSES: Rule = Rule {
    id: "role_bypasses_rls",
    severity: Severity::Error,
    title: "No policy holds for this role",
    why: "A superuser and a role with BYPASSRLS see and change every row, FORCE or not.",
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
        if role.is_super || role.bypass {
            found.push(Finding {
                rule: &BYPASSES,
                object: name.to_owned(),
                evidence: format!("{name} {}", rights(role.is_super)),
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
                        rights(last.is_super)
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

fn rights(is_super: bool) -> &'static str {
    match is_super {
        true => "is a superuser",
        false => "has BYPASSRLS",
    }
}
