//! Keys that tell whether a row exists which one may not see: they are checked without asking any policy.

use super::catalog::{Catalog, Lookup, Relation};
use super::finding::{Finding, Rule, Severity};

static UNIQUE: Rule = Rule {
    id: "unique_without_tenant",
    severity: Severity::Warn,
    title: "A unique key across tenants",
    why: "An INSERT that fails on it says that somebody else has that value: addresses, names and numbers can be tried out.",
};
static FOREIGN: Rule = Rule {
    id: "fkey_oracle",
    severity: Severity::Warn,
    title: "A foreign key across tenants",
    why: "It is checked without asking policies: one can refer to a row of somebody else, and learns that it exists.",
};

/// What there is to say of keys.
pub fn look(catalog: &Catalog, lookup: &Lookup<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for relation in catalog.relations().filter(|r| r.is_table() && !r.partition) {
        if !relation.rls || !relation.allows(&["INSERT", "UPDATE"]) {
            continue;
        }
        let tenant = tenant_columns(relation, lookup);
        if tenant.is_empty() {
            continue;
        }
        for index in lookup.indexes.get(&relation.oid).into_iter().flatten() {
            if !(index.unique || index.exclusion)
                || index.columns.iter().any(|column| tenant.contains(column))
            {
                continue;
            }
            let guessable = index
                .columns
                .iter()
                .all(|&column| is_guessable(relation, column, lookup));
            // A number that the table counts itself tells only how many there are.
            let counted = index.primary
                && index.columns.len() == 1
                && is_number(relation, index.columns[0], lookup);
            if !guessable || counted {
                continue;
            }
            let columns = lookup.names(relation.oid, &index.columns).join(", ");
            let columns = if columns.is_empty() {
                index.expression.clone().unwrap_or_default()
            } else {
                columns
            };
            let owner = lookup.names(relation.oid, &tenant).join(", ");
            found.push(Finding {
                rule: &UNIQUE,
                object: format!("{}: {}", relation.shown, index.name),
                evidence: match index.exclusion {
                    true => format!("EXCLUDE over {columns}, without {owner}"),
                    false => format!("unique ({columns}), without {owner}"),
                },
                fix: match index.exclusion {
                    true => format!("-- make the constraint {} anew, with {owner} WITH = in front", index.name),
                    false => format!(
                        "CREATE UNIQUE INDEX CONCURRENTLY ON {} ({owner}, {columns});\n-- then drop {}",
                        relation.shown, index.name
                    ),
                },
            });
        }
    }
    for key in &catalog.foreign_keys {
        let (Some(from), Some(to)) = (
            lookup.relations.get(&key.relation),
            lookup.relations.get(&key.target),
        ) else {
            continue;
        };
        if !to.rls || !from.allows(&["INSERT", "UPDATE"]) {
            continue;
        }
        let tenant = tenant_columns(from, lookup);
        // A key by which the policy itself decides is checked by it.
        if key.columns.iter().any(|column| tenant.contains(column))
            || tenant_columns(to, lookup).is_empty()
        {
            continue;
        }
        if key
            .columns
            .iter()
            .all(|&column| is_guessable(from, column, lookup))
        {
            found.push(Finding {
                rule: &FOREIGN,
                object: format!("{}: {}", from.shown, key.name),
                evidence: format!("{} refers to {}, whose rows are not all everybody's", lookup.names(from.oid, &key.columns).join(", "), key.target_shown),
                fix: "-- put the tenant into both keys: FOREIGN KEY (tenant_id, …) REFERENCES … (tenant_id, id); or check it in WITH CHECK".to_owned(),
            });
        }
    }
    found
}

/// The columns by which policies tell tenants apart.
fn tenant_columns(relation: &Relation, lookup: &Lookup<'_>) -> Vec<i16> {
    let mut columns: Vec<i16> = lookup
        .policies_of(relation)
        .iter()
        .flat_map(|policy| policy.columns.iter().copied())
        .filter(|&number| {
            lookup
                .column(relation.oid, number)
                .is_some_and(|column| column.data_type != "boolean")
        })
        .collect();
    columns.sort_unstable();
    columns.dedup();
    columns
}

/// Random numbers of 122 bits are not tried out.
fn is_guessable(relation: &Relation, number: i16, lookup: &Lookup<'_>) -> bool {
    lookup
        .column(relation.oid, number)
        .is_none_or(|column| column.data_type != "uuid")
}

fn is_number(relation: &Relation, number: i16, lookup: &Lookup<'_>) -> bool {
    lookup.column(relation.oid, number).is_some_and(|column| {
        matches!(column.data_type.as_str(), "integer" | "bigint" | "smallint")
    })
}
