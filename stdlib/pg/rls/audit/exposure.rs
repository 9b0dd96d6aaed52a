//! What passes by policies: views, materialized views, foreign tables, functions, columns, triggers.

use std::collections::BTreeSet;

use super::Audience;
use super::catalog::{Catalog, Function, Lookup};
use super::finding::{Finding, Rule, Severity, quoted};

static VIEW: Rule = Rule {
    id: "view_security_definer",
    severity: Severity::Error,
    title: "A view that reads with its owner's rights",
    why: "Policies are asked for the view's owner and not for who queries it; what the owner sees, everybody with a grant on the view sees.",
};
static MATERIALIZED: Rule = Rule {
    id: "materialized_view_exposed",
    severity: Severity::Warn,
    title: "A materialized view in the API",
    why: "It keeps a copy of the rows; there are no policies on it.",
};
static FOREIGN: Rule = Rule {
    id: "foreign_table_exposed",
    severity: Severity::Error,
    title: "A foreign table in the API",
    why: "There are no policies on foreign tables: whoever has a grant reads all that the other server gives.",
};
static USERS: Rule = Rule {
    id: "auth_users_exposed",
    severity: Severity::Error,
    title: "The users' accounts are in the API",
    why: "A view over auth.users shows addresses, and more, of everybody who signed up.",
};
static DEFINER: Rule = Rule {
    id: "security_definer_exposed",
    severity: Severity::Warn,
    title: "A function that runs with its owner's rights",
    why: "It can be called through the API, and inside of it policies are asked for its owner. What it lets through is up to its own checks.",
};
static SEARCH_PATH: Rule = Rule {
    id: "search_path_mutable",
    severity: Severity::Warn,
    title: "A privileged function without a fixed search_path",
    why: "It runs with its owner's rights and finds names where its caller says: a table or operator of the caller's own can take the place of the one that was meant.",
};
static TRIGGER: Rule = Rule {
    id: "definer_trigger_writes",
    severity: Severity::Warn,
    title: "A trigger that writes with its owner's rights",
    why: "What a user writes makes it write elsewhere, where that user's policies are not asked: look whether rows of others can be reached that way.",
};
static RULE: Rule = Rule {
    id: "rule_runs_as_owner",
    severity: Severity::Warn,
    title: "A rule that acts with its owner's rights",
    why: "What CREATE RULE adds to a statement is done with the rights of the table's owner: the policies of the user who caused it are not asked.",
};
static SENSITIVE: Rule = Rule {
    id: "sensitive_columns",
    severity: Severity::Warn,
    title: "A column that sounds like a secret",
    why: "It can be read through the API. Whoever reads a row reads it too; what only the server needs belongs into another table.",
};
static EXTENSION: Rule = Rule {
    id: "extension_in_public",
    severity: Severity::Info,
    title: "An extension in an exposed schema",
    why: "Its functions become part of the API.",
};

/// Columns that sound like secrets.
pub const SENSITIVE_NAMES: &str = "^(.*_)?(passwd|password|password_hash|encrypted_password|secret|secret_key|api_key|apikey|private_key|access_token|refresh_token|auth_token|ssn|social_security(_number)?|credit_card(_number)?|card_number|cvv|iban|passport(_number)?|tax_id|medical_record)$";

/// What there is to say of what passes by policies.
pub fn look(catalog: &Catalog, lookup: &Lookup<'_>, audience: &Audience<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    views(catalog, lookup, &mut found);
    for relation in catalog
        .relations()
        .filter(|r| r.kind == 'f' && r.is_reachable())
    {
        found.push(Finding {
            rule: &FOREIGN,
            object: relation.shown.clone(),
            evidence: relation.who_may(),
            fix: format!(
                "REVOKE ALL ON {} FROM {}, PUBLIC;",
                relation.shown,
                audience.api.join(", ")
            ),
        });
    }
    triggers(catalog, lookup, &mut found);
    rules(catalog, lookup, &mut found);
    columns(catalog, lookup, &mut found);
    found
}

/// What there is to say of functions and extensions, which are no table's.
pub fn look_beside(
    catalog: &Catalog,
    lookup: &Lookup<'_>,
    audience: &Audience<'_>,
) -> Vec<Finding> {
    let mut found = Vec::new();
    for function in &catalog.functions {
        privileged(function, lookup, audience, &mut found);
    }
    for extension in &catalog.extensions {
        found.push(Finding {
            rule: &EXTENSION,
            object: extension.name.clone(),
            evidence: format!("in the schema {}", extension.schema),
            fix: format!("CREATE SCHEMA IF NOT EXISTS extensions;\nALTER EXTENSION {} SET SCHEMA extensions;", quoted(&extension.name)),
        });
    }
    found
}

fn views(catalog: &Catalog, lookup: &Lookup<'_>, found: &mut Vec<Finding>) {
    for relation in catalog
        .relations()
        .filter(|r| matches!(r.kind, 'v' | 'm') && r.is_reachable())
    {
        let reads: Vec<_> = catalog
            .reads
            .iter()
            .filter(|read| read.view == relation.oid)
            .collect();
        // Views that only compute show nobody's rows.
        let tables: BTreeSet<&str> = reads
            .iter()
            .filter(|read| matches!(read.kind, 'r' | 'p' | 'f'))
            .map(|read| read.shown.as_str())
            .collect();
        if tables.contains("auth.users") && relation.allows(&["SELECT"]) {
            found.push(Finding {
                rule: &USERS,
                object: relation.shown.clone(),
                evidence: format!("it reads auth.users; {}", relation.who_may()),
                fix: format!(
                    "DROP VIEW {}; -- or keep it in a schema that is not exposed",
                    relation.shown
                ),
            });
            continue;
        }
        if relation.kind == 'm' {
            found.push(Finding {
                rule: &MATERIALIZED,
                object: relation.shown.clone(),
                evidence: format!("{}; it was made from {}", relation.who_may(), list(&tables)),
                fix: format!(
                    "REVOKE ALL ON {} FROM anon, authenticated, PUBLIC;",
                    relation.shown
                ),
            });
            continue;
        }
        // What is read with the rights of who asks, their policies hold for; a view below may do otherwise, wherever it is.
        let as_owner = |owner: i64| {
            let of_owner = reads
                .iter()
                .filter(|read| read.by == owner && matches!(read.kind, 'r' | 'p' | 'f'));
            of_owner.collect::<Vec<_>>()
        };
        let owners: BTreeSet<i64> = reads
            .iter()
            .map(|read| read.by)
            .filter(|&by| by != 0)
            .collect();
        let culprit = owners.into_iter().find_map(|owner| {
            let read = as_owner(owner);
            let guarded: BTreeSet<&str> = read
                .iter()
                .filter(|read| read.rls)
                .map(|read| read.shown.as_str())
                .collect();
            let all: BTreeSet<&str> = read.iter().map(|read| read.shown.as_str()).collect();
            let role = lookup.role(owner);
            let bypasses = role.is_some_and(|role| role.is_super || role.bypass);
            match (guarded.is_empty(), bypasses && !all.is_empty()) {
                (false, _) => Some((role, guarded)),
                (true, true) => Some((role, all)),
                _ => None,
            }
        });
        if let Some((role, what)) = culprit {
            let owner = role.map_or("its owner", |role| role.name.as_str());
            let through: Vec<&str> = reads
                .iter()
                .filter(|read| matches!(read.kind, 'v' | 'm'))
                .map(|read| read.shown.as_str())
                .collect();
            found.push(Finding {
                rule: &VIEW,
                object: relation.shown.clone(),
                evidence: format!(
                    "it reads {} as {owner}{}; {}",
                    list(&what),
                    match through.is_empty() {
                        true => String::new(),
                        false => format!(", through {}", through.join(" and ")),
                    },
                    relation.who_may()
                ),
                fix: match relation.invoker {
                    false => format!(
                        "ALTER VIEW {} SET (security_invoker = true);",
                        relation.shown
                    ),
                    // It is the one below that reads as its owner.
                    true => through
                        .iter()
                        .map(|view| format!("ALTER VIEW {view} SET (security_invoker = true);"))
                        .collect::<Vec<_>>()
                        .join("\n"),
                },
            });
        }
    }
}

fn list(names: &BTreeSet<&str>) -> String {
    names.iter().copied().collect::<Vec<_>>().join(", ")
}

fn privileged(
    function: &Function,
    lookup: &Lookup<'_>,
    audience: &Audience<'_>,
    found: &mut Vec<Finding>,
) {
    let owner = lookup
        .role(function.owner)
        .map_or("its owner", |role| &role.name);
    if function.exposed && !function.trigger && !function.callable_by.is_empty() {
        found.push(Finding {
            rule: &DEFINER,
            object: function.shown.clone(),
            evidence: format!(
                "{} may call it, and it runs as {owner}{}",
                function.callable_by.join(" and "),
                if function.asks_who { "; it does ask who is calling" } else { "; its text does not ask who is calling" }
            ),
            fix: format!("REVOKE EXECUTE ON FUNCTION {} FROM {}, PUBLIC; -- or ALTER FUNCTION {} SECURITY INVOKER;", function.shown, audience.api.join(", "), function.shown),
        });
    }
    if !function.exposed && function.callable_by.is_empty() {
        return;
    }
    let how = match (&function.writable_path, function.fixed_path) {
        (Some(schema), _) => {
            format!("its search_path has {schema}, in which the API may make things")
        }
        (None, false) => "its search_path is its caller's".to_owned(),
        (None, true) => return,
    };
    found.push(Finding {
        rule: &SEARCH_PATH,
        object: function.shown.clone(),
        evidence: format!("SECURITY DEFINER, runs as {owner}, and {how}"),
        fix: format!(
            "ALTER FUNCTION {} SET search_path = ''; -- and write schema.name inside of it",
            function.shown
        ),
    });
}

fn triggers(catalog: &Catalog, lookup: &Lookup<'_>, found: &mut Vec<Finding>) {
    for trigger in &catalog.triggers {
        let Some(relation) = lookup.relations.get(&trigger.relation) else {
            continue;
        };
        let function = catalog
            .functions
            .iter()
            .find(|function| function.oid == trigger.function);
        let Some(function) = function.filter(|function| function.writes) else {
            continue;
        };
        if relation.allows(&["INSERT", "UPDATE", "DELETE"]) {
            found.push(Finding {
                rule: &TRIGGER,
                object: format!("{}: {}", relation.shown, trigger.name),
                evidence: format!(
                    "it calls {}, which writes as {}{}",
                    function.shown,
                    lookup
                        .role(function.owner)
                        .map_or("its owner", |role| &role.name),
                    if function.asks_who {
                        " and asks who is calling"
                    } else {
                        ""
                    }
                ),
                fix: format!(
                    "ALTER FUNCTION {} SECURITY INVOKER; -- if the user's own rights will do",
                    function.shown
                ),
            });
        }
    }
}

fn rules(catalog: &Catalog, lookup: &Lookup<'_>, found: &mut Vec<Finding>) {
    for rule in &catalog.rewrites {
        let Some(relation) = lookup.relations.get(&rule.relation) else {
            continue;
        };
        if relation.allows(&["INSERT", "UPDATE", "DELETE"])
            && !rule.text.ends_with("DO INSTEAD NOTHING;")
        {
            found.push(Finding {
                rule: &RULE,
                object: format!("{}: {}", relation.shown, rule.name),
                evidence: rule.text.split_whitespace().collect::<Vec<_>>().join(" "),
                fix: format!(
                    "DROP RULE {} ON {}; -- a trigger with SECURITY INVOKER does the same with the user's own rights",
                    quoted(&rule.name),
                    relation.shown
                ),
            });
        }
    }
}

fn columns(catalog: &Catalog, lookup: &Lookup<'_>, found: &mut Vec<Finding>) {
    let Ok(names) = regex::Regex::new(&format!("(?i){SENSITIVE_NAMES}")) else {
        return;
    };
    for column in catalog
        .columns
        .iter()
        .filter(|column| names.is_match(&column.name))
    {
        let Some(relation) = lookup.relations.get(&column.relation).filter(|r| r.meant) else {
            continue;
        };
        if !column.readable.is_empty() && relation.is_reachable() {
            found.push(Finding {
                rule: &SENSITIVE,
                object: format!("{}: {}", relation.shown, column.name),
                evidence: format!("{} may read it", column.readable.join(" and ")),
                fix: format!(
                    "-- grant the other columns by name instead:\nREVOKE SELECT ON {} FROM {};",
                    relation.shown,
                    column.readable.join(", ")
                ),
            });
        }
    }
}
