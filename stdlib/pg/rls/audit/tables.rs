//! Tables: whether row-level security is on, and holds for everybody.

use super::Audience;
use super::catalog::{Catalog, Lookup, Relation};
use super::finding::{Finding, Rule, Severity};

static RLS_DISABLED: Rule = Rule {
    id: "rls_disabled",
    severity: Severity::Error,
    title: "Row-level security is off",
    why: "Whoever has a grant reads or writes every row through the API, whosever it is.",
};
static POLICIES_WITHOUT_RLS: Rule = Rule {
    id: "policies_without_rls",
    severity: Severity::Error,
    title: "Policies that nobody asks",
    why: "The table has policies, and row-level security is off: none of them holds.",
};
static WITHOUT_POLICY: Rule = Rule {
    id: "rls_without_policy",
    severity: Severity::Info,
    title: "No policy",
    why: "Without a policy nobody sees a row: the API answers `[]`. Fine for what the API is not to show.",
};
static ONLY_RESTRICTIVE: Rule = Rule {
    id: "only_restrictive",
    severity: Severity::Info,
    title: "Only restrictive policies",
    why: "Restrictive policies take away what permissive ones give; without one of these nobody sees a row.",
};
static NOT_FORCED: Rule = Rule {
    id: "rls_not_forced",
    severity: Severity::Warn,
    title: "The owner passes by",
    why: "Policies do not hold for the table's owner unless FORCEd, and the API can become the owner.",
};
static OWNED_BY_API: Rule = Rule {
    id: "api_role_owns_table",
    severity: Severity::Error,
    title: "A role of the API owns it",
    why: "An owner can switch row-level security off, and its policies do not hold for it unless FORCEd.",
};
static TRUNCATE: Rule = Rule {
    id: "truncate_granted",
    severity: Severity::Warn,
    title: "TRUNCATE is granted",
    why: "TRUNCATE asks no policy: whoever may do it empties the table for everybody.",
};
static REALTIME: Rule = Rule {
    id: "realtime_publication",
    severity: Severity::Warn,
    title: "Published beyond its policies",
    why: "What a publication sends is decoded from the log, where no policy holds: Realtime checks INSERT and UPDATE itself, and sends what a deleted row had to all subscribers when the whole row is its replica identity.",
};

/// What there is to say of tables.
pub fn look(catalog: &Catalog, lookup: &Lookup<'_>, audience: &Audience<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for relation in catalog.relations().filter(|r| r.is_table()) {
        protection(relation, lookup, &mut found);
        ownership(relation, lookup, audience, &mut found);
        if relation.allows(&["TRUNCATE"]) {
            let roles = relation.grants.iter();
            let roles: Vec<&str> = roles
                .filter(|(_, list)| list.split(',').any(|kind| kind == "TRUNCATE"))
                .map(|(role, _)| role.as_str())
                // An owner may do everything, which is a finding of its own.
                .filter(|role| {
                    lookup
                        .role(relation.owner)
                        .is_none_or(|owner| owner.name != *role)
                })
                .collect();
            if roles.is_empty() {
                continue;
            }
            found.push(Finding {
                rule: &TRUNCATE,
                object: relation.shown.clone(),
                evidence: format!("{} may TRUNCATE it", roles.join(" and ")),
                fix: format!(
                    "REVOKE TRUNCATE ON {} FROM {}, PUBLIC;",
                    relation.shown,
                    roles.join(", ")
                ),
            });
        }
    }
    for entry in &catalog.publications {
        let Some(relation) = lookup.relations.get(&entry.relation) else {
            continue;
        };
        let whole_rows = relation.rls && relation.identity == 'f';
        if !relation.rls || whole_rows {
            found.push(Finding {
                rule: &REALTIME,
                object: relation.shown.clone(),
                evidence: match whole_rows {
                    true => format!(
                        "in the publication {}, with REPLICA IDENTITY FULL",
                        entry.name
                    ),
                    false => format!(
                        "in the publication {}, without row-level security",
                        entry.name
                    ),
                },
                fix: match whole_rows {
                    true => format!("ALTER TABLE {} REPLICA IDENTITY DEFAULT;", relation.shown),
                    false => format!(
                        "ALTER PUBLICATION {} DROP TABLE {};",
                        super::finding::quoted(&entry.name),
                        relation.shown
                    ),
                },
            });
        }
    }
    found
}

fn protection(relation: &Relation, lookup: &Lookup<'_>, found: &mut Vec<Finding>) {
    let policies = lookup.policies_of(relation);
    let enable = format!("ALTER TABLE {} ENABLE ROW LEVEL SECURITY;", relation.shown);
    if !relation.rls && !policies.is_empty() {
        let names: Vec<&str> = policies.iter().map(|policy| policy.name.as_str()).collect();
        found.push(Finding {
            rule: &POLICIES_WITHOUT_RLS,
            object: relation.shown.clone(),
            evidence: format!(
                "it has the policies {}; {}",
                names.join(", "),
                relation.who_may()
            ),
            fix: enable,
        });
    } else if !relation.rls && relation.is_reachable() {
        let kind = match (relation.partition, relation.kind) {
            (true, _) => {
                " (a partition: its parent's policies do not hold when it is asked itself)"
            }
            (_, 'p') => " (partitioned)",
            _ => "",
        };
        found.push(Finding {
            rule: &RLS_DISABLED,
            object: relation.shown.clone(),
            evidence: format!("{}{kind}", relation.who_may()),
            fix: format!("{enable}\n-- then a policy for each of those who may; or REVOKE ALL ON {} FROM anon, authenticated, PUBLIC;", relation.shown),
        });
    } else if relation.rls && relation.is_reachable() && policies.is_empty() {
        found.push(Finding {
            rule: &WITHOUT_POLICY,
            object: relation.shown.clone(),
            evidence: format!("no policy; {}", relation.who_may()),
            fix: format!("-- if it is to be seen:\nCREATE POLICY own_rows ON {} TO authenticated USING (user_id = (SELECT auth.uid())) WITH CHECK (user_id = (SELECT auth.uid()));", relation.shown),
        });
    } else if relation.rls
        && relation.is_reachable()
        && policies.iter().all(|policy| !policy.permissive)
    {
        found.push(Finding {
            rule: &ONLY_RESTRICTIVE,
            object: relation.shown.clone(),
            evidence: format!("{} restrictive, none permissive", policies.len()),
            fix: "-- add a permissive policy, or make one of these AS PERMISSIVE".to_owned(),
        });
    }
}

fn ownership(
    relation: &Relation,
    lookup: &Lookup<'_>,
    audience: &Audience<'_>,
    found: &mut Vec<Finding>,
) {
    let Some(owner) = lookup.role(relation.owner) else {
        return;
    };
    if audience.api.contains(&owner.name.as_str()) {
        found.push(Finding {
            rule: &OWNED_BY_API,
            object: relation.shown.clone(),
            evidence: format!("{} owns it", owner.name),
            fix: format!("ALTER TABLE {} OWNER TO postgres;", relation.shown),
        });
        return;
    }
    // A superuser passes by whatever is FORCEd; and whoever can't become the owner has nothing of it.
    if !relation.rls || relation.forced || owner.is_super || owner.bypass {
        return;
    }
    if let Some(path) = audience.way_to(lookup, owner) {
        found.push(Finding {
            rule: &NOT_FORCED,
            object: relation.shown.clone(),
            evidence: format!("{} owns it, and {path}", owner.name),
            fix: format!("ALTER TABLE {} FORCE ROW LEVEL SECURITY;", relation.shown),
        });
    }
}
