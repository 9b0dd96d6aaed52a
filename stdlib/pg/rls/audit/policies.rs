//! Policies: what they let through, and what they cost.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;

use super::Audience;
use super::catalog::{Catalog, Lookup, Policy, Relation};
use super::condition::Condition;
use super::finding::{Finding, Rule, Severity, quoted};

static ALWAYS_TRUE: Rule = Rule {
    id: "policy_always_true",
    severity: Severity::Error,
    title: "A policy that lets everybody through",
    why: "Its condition holds for every row: for these commands it is as if there were no row-level security.",
};
static ANY_USER: Rule = Rule {
    id: "policy_any_user",
    severity: Severity::Warn,
    title: "A policy that asks only whether somebody is signed in",
    why: "It looks at who asks and not at the row: everybody with an account reaches every row, and accounts are had for the asking.",
};
static ITSELF: Rule = Rule {
    id: "policy_compares_itself",
    severity: Severity::Error,
    title: "A column that is compared with itself",
    why: "A name in a subquery that was meant for the policy's table was found in the subquery's own: the comparison always holds, and what was to be narrowed is not.",
};
static MISSING_CHECK: Rule = Rule {
    id: "missing_with_check",
    severity: Severity::Info,
    title: "No WITH CHECK",
    why: "The rows that are written are judged by USING, which was written for the rows that are seen: say what may be written, so that nobody widens one and means the other.",
};
static FOR_PUBLIC: Rule = Rule {
    id: "policy_for_public",
    severity: Severity::Warn,
    title: "A policy for everybody",
    why: "Without TO it holds for every role, anon among them, and is evaluated for those whom it was never meant for.",
};
static USER_METADATA: Rule = Rule {
    id: "policy_user_metadata",
    severity: Severity::Error,
    title: "Decided by what users write themselves",
    why: "Users can change their user_metadata through the sign-in service; whatever it decides they decide themselves. app_metadata is the one they can't.",
};
static UID_NULL: Rule = Rule {
    id: "policy_uid_null",
    severity: Severity::Error,
    title: "Nobody counts as somebody",
    why: "auth.uid() is NULL without a token: a condition that takes NULL for a yes lets everybody in who has none.",
};
static PER_ROW: Rule = Rule {
    id: "policy_per_row_call",
    severity: Severity::Warn,
    title: "Who is asking is found out again for each row",
    why: "The function is called once per row; wrapped in a SELECT it is called once per statement, which is a hundred times faster on large tables.",
};
static CURRENT_USER: Rule = Rule {
    id: "policy_current_user",
    severity: Severity::Warn,
    title: "Decided by the database role",
    why: "All users of the API share the roles anon and authenticated: a condition on current_user can't tell them apart.",
};
static MULTIPLE: Rule = Rule {
    id: "multiple_permissive",
    severity: Severity::Warn,
    title: "Several permissive policies for one command",
    why: "They are joined by OR: the widest decides, and each is evaluated for every row.",
};
static UNINDEXED: Rule = Rule {
    id: "unindexed_policy_column",
    severity: Severity::Info,
    title: "A policy looks at a column without an index",
    why: "Every query reads the whole table, to find the rows that its user may see.",
};
static BUCKETS: Rule = Rule {
    id: "bucket_listing",
    severity: Severity::Warn,
    title: "A bucket's files can be listed",
    why: "A public bucket serves its files by address without any policy; this one lets everybody list all of them.",
};

macro_rules! pattern {
    ($text:literal) => {
        LazyLock::new(|| Regex::new($text).expect("a pattern that is tested"))
    };
}

static METADATA: LazyLock<Regex> = pattern!(r"(?i)\b(raw_)?user_meta_?data\b");
/// NULL taken for a yes: `IS NULL`, `coalesce(auth.uid(), user_id)`, and `IS NOT DISTINCT FROM`, which the server writes
/// back as NOT (… IS DISTINCT FROM …).
static NULL_UID: LazyLock<Regex> = pattern!(
    r"(?i)auth\.(uid|jwt|role)\(\)( AS \w+)?\)*\s+IS NULL|COALESCE\(\(*\s*(SELECT )?auth\.uid\(\)[^,]*,\s*(\w+\.)?[a-z_]+\)|NOT \([^()]*IS DISTINCT FROM \(*\s*(SELECT )?auth\.uid\(\)|NOT \(\(*\s*(SELECT )?auth\.uid\(\)( AS \w+)?\)*\s+IS DISTINCT FROM"
);
/// Who is asking, in its various forms.
static WHO: LazyLock<Regex> = pattern!(r"(?i)(auth\.(uid|jwt|role|email)\(\)|current_setting\()");
/// The same in a SELECT of its own, as the server writes it back.
static WRAPPED: LazyLock<Regex> = pattern!(
    r#"(?is)\(\s*SELECT\s+(\(*(auth\.(uid|jwt|role|email)\(\)|current_setting\([^()]*\))|[^()]*(\(+[^()]*)*(auth\.(uid|jwt|role|email)\(\)|current_setting\([^()]*\))[^()]*(\)+[^()]*)*?\s*AS\s+(\w+|"[^"]+")\s*\))"#
);
static ROLE: LazyLock<Regex> = pattern!(r"(?i)\b(CURRENT_USER|SESSION_USER|CURRENT_ROLE)\b");
static ONLY_BUCKET: LazyLock<Regex> = pattern!(r"^\(*bucket_id = '[^']*'::text\)*$");

/// What there is to say of policies.
pub fn look(catalog: &Catalog, lookup: &Lookup<'_>, audience: &Audience<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for relation in catalog.relations().filter(|r| r.is_table()) {
        let policies = lookup.policies_of(relation);
        for policy in policies {
            // What is for roles that the API is not, is not about its users.
            if !audience.is_meant_by(lookup, &policy.roles) {
                continue;
            }
            let mut add = |rule, evidence: String, fix: String| {
                found.push(Finding {
                    rule,
                    object: format!("{}: {}", relation.shown, policy.name),
                    evidence,
                    fix,
                });
            };
            one(relation, policy, &mut add);
        }
        several(relation, policies, &mut found);
        indexes(relation, policies, lookup, &mut found);
    }
    found
}

fn one(relation: &Relation, policy: &Policy, add: &mut impl FnMut(&'static Rule, String, String)) {
    let alter = format!(
        "ALTER POLICY {} ON {}",
        quoted(&policy.name),
        relation.shown
    );
    let using = policy.using.as_deref();
    let check = policy.check.as_deref();
    let is_bucket = relation.schema == "storage" && relation.name == "objects";
    if policy.permissive {
        for (word, expression) in [("USING", using), ("WITH CHECK", check)] {
            if let Some(text) = expression.filter(|text| Condition::of(text).is_always()) {
                add(
                    &ALWAYS_TRUE,
                    format!(
                        "{} {word} ({text}) for {}",
                        command(policy),
                        policy.roles.join(", ")
                    ),
                    format!("{alter} {word} (user_id = (SELECT auth.uid()));"),
                );
                break;
            }
        }
        for text in policy.expressions() {
            let condition = Condition::of(text);
            if condition.is_anybody() && !condition.is_always() {
                add(
                    &ANY_USER,
                    format!(
                        "{} with {text} for {}",
                        command(policy),
                        policy.roles.join(", ")
                    ),
                    format!(
                        "{alter} {} (user_id = (SELECT auth.uid()));",
                        if using == Some(text) {
                            "USING"
                        } else {
                            "WITH CHECK"
                        }
                    ),
                );
                break;
            }
        }
        if matches!(policy.command, 'w' | '*')
            && check.is_none()
            && !using.is_some_and(|text| Condition::of(text).is_always())
        {
            add(
                &MISSING_CHECK,
                format!(
                    "{} with USING ({}) alone",
                    command(policy),
                    using.unwrap_or("nothing")
                ),
                format!("{alter} WITH CHECK ({});", bare(using.unwrap_or("false"))),
            );
        }
        if is_bucket && policy.is_for('r') && using.is_some_and(|text| ONLY_BUCKET.is_match(text)) {
            add(
                &BUCKETS,
                format!(
                    "SELECT for {} with USING ({})",
                    policy.roles.join(", "),
                    using.unwrap_or_default()
                ),
                format!(
                    "DROP POLICY {} ON {};",
                    quoted(&policy.name),
                    relation.shown
                ),
            );
        }
    }
    if policy.roles.iter().any(|role| role == "public") {
        add(
            &FOR_PUBLIC,
            format!("{} TO public", command(policy)),
            format!("{alter} TO authenticated;"),
        );
    }
    for text in policy.expressions() {
        if let Some(pair) = Condition::compared_with_itself(text) {
            add(
                &ITSELF,
                format!("{pair} in {text}"),
                format!(
                    "-- write {}.column for the column of the policy's own table",
                    relation.name
                ),
            );
            break;
        }
    }
    for text in policy.expressions() {
        if METADATA.is_match(text) {
            add(
                &USER_METADATA,
                text.to_owned(),
                "-- keep it in app_metadata, or in a table of your own, and look there".to_owned(),
            );
            break;
        }
    }
    for text in policy.expressions() {
        if policy.permissive && NULL_UID.is_match(text) {
            add(
                &UID_NULL,
                text.to_owned(),
                format!(
                    "{alter} USING ((SELECT auth.uid()) = user_id); -- without the part that takes NULL"
                ),
            );
            break;
        }
    }
    for text in policy.expressions() {
        let rest = WRAPPED.replace_all(text, "");
        if let Some(call) = WHO.find(&rest) {
            let call = if call.as_str().ends_with("()") {
                call.as_str()
            } else {
                "current_setting(…)"
            };
            add(
                &PER_ROW,
                format!("{call} in {text}"),
                format!("-- write (SELECT {call}) instead of {call}"),
            );
            break;
        }
    }
    for text in policy.expressions() {
        if let Some(word) = ROLE.find(text) {
            add(
                &CURRENT_USER,
                format!("{} in {text}", word.as_str()),
                format!("{alter} USING (user_id = (SELECT auth.uid()));"),
            );
            break;
        }
    }
}

fn several(relation: &Relation, policies: &[&Policy], found: &mut Vec<Finding>) {
    // Of each role and command, the permissive policies that hold; told once per set of policies.
    let mut sets: BTreeMap<Vec<&str>, Vec<String>> = BTreeMap::new();
    for role in relation.grants.keys() {
        for (letter, word) in [
            ('r', "SELECT"),
            ('a', "INSERT"),
            ('w', "UPDATE"),
            ('d', "DELETE"),
        ] {
            if !relation.grants[role].split(',').any(|kind| kind == word) {
                continue;
            }
            let names: Vec<&str> = policies
                .iter()
                .filter(|policy| policy.permissive && policy.is_for(letter))
                .filter(|policy| policy.roles.iter().any(|to| to == role || to == "public"))
                .map(|policy| policy.name.as_str())
                .collect();
            if names.len() > 1 {
                sets.entry(names)
                    .or_default()
                    .push(format!("{word} by {role}"));
            }
        }
    }
    for (names, uses) in sets {
        found.push(Finding {
            rule: &MULTIPLE,
            object: format!("{}: {}", relation.shown, names.join(", ")),
            evidence: format!("all of them hold for {}", uses.join(", ")),
            fix: "-- make them one, with OR in it; or make those that are to narrow AS RESTRICTIVE"
                .to_owned(),
        });
    }
}

fn indexes(
    relation: &Relation,
    policies: &[&Policy],
    lookup: &Lookup<'_>,
    found: &mut Vec<Finding>,
) {
    if relation.kind == 'p' {
        // Its partitions have the indexes.
        return;
    }
    let leading: Vec<i16> = lookup
        .indexes
        .get(&relation.oid)
        .into_iter()
        .flatten()
        .filter_map(|index| index.columns.first().copied())
        .collect();
    let expressions: String = lookup
        .indexes
        .get(&relation.oid)
        .into_iter()
        .flatten()
        .filter_map(|index| index.expression.as_deref())
        .collect();
    let mut told = Vec::new();
    for policy in policies.iter().filter(|policy| policy.using.is_some()) {
        // With an index on one of them the rest is filtered from few rows.
        if policy.columns.iter().any(|number| leading.contains(number)) {
            continue;
        }
        for &number in &policy.columns {
            let Some(column) = lookup.column(relation.oid, number) else {
                continue;
            };
            // A yes or no is no use as an index, and is no tenant.
            if column.data_type == "boolean"
                || told.contains(&number)
                || expressions.contains(&column.name)
            {
                continue;
            }
            told.push(number);
            found.push(Finding {
                rule: &UNINDEXED,
                object: format!("{}: {}", relation.shown, column.name),
                evidence: format!("the policy {} looks at it", policy.name),
                fix: format!(
                    "CREATE INDEX CONCURRENTLY ON {} ({});",
                    relation.shown,
                    quoted(&column.name)
                ),
            });
        }
    }
}

fn command(policy: &Policy) -> &'static str {
    match policy.command {
        'r' => "SELECT",
        'a' => "INSERT",
        'w' => "UPDATE",
        'd' => "DELETE",
        _ => "ALL",
    }
}

/// Without the parentheses that the server puts around everything.
fn bare(expression: &str) -> &str {
    let inner = expression
        .strip_prefix('(')
        .and_then(|text| text.strip_suffix(')'));
    match inner {
        Some(inner) if !inner.contains(['(', ')']) => inner,
        _ => expression,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_in_a_select_of_its_own_is_no_call_per_row() {
        let rest = |text: &str| WHO.is_match(&WRAPPED.replace_all(text, ""));
        assert!(rest("(user_id = auth.uid())"));
        assert!(rest(
            "((a = ( SELECT auth.uid() AS uid)) AND (b = auth.uid()))"
        ));
        assert!(rest(
            "(tenant = (current_setting('app.tenant'::text, true))::uuid)"
        ));
        assert!(!rest("(user_id = ( SELECT auth.uid() AS uid))"));
        assert!(!rest(
            "(( SELECT ((current_setting('request.headers'::text, true))::json ->> 'x-frozen'::text) AS \"?column?\") IS NULL)"
        ));
        assert!(!rest(
            "(tenant = ( SELECT (current_setting('app.tenant'::text, true))::uuid AS current_setting))"
        ));
    }

    #[test]
    fn null_that_counts_as_a_yes_is_recognised() {
        for text in [
            "((auth.uid() IS NULL) OR (user_id = auth.uid()))",
            "((( SELECT auth.uid() AS uid) IS NULL) OR (user_id = ( SELECT auth.uid() AS uid)))",
            "(user_id = COALESCE(auth.uid(), user_id))",
            "(NOT (user_id IS DISTINCT FROM auth.uid()))",
            "(NOT (user_id IS DISTINCT FROM ( SELECT auth.uid() AS uid)))",
            "(NOT (auth.uid() IS DISTINCT FROM user_id))",
            "(NOT (( SELECT auth.uid() AS uid) IS DISTINCT FROM user_id))",
        ] {
            assert!(NULL_UID.is_match(text), "{text}");
        }
        for text in [
            "(auth.uid() IS NOT NULL)",
            "(deleted_at IS NULL)",
            "((auth.uid() = user_id) AND (gone IS NULL))",
            "((NOT (old IS DISTINCT FROM new)) AND (user_id = auth.uid()))",
        ] {
            assert!(!NULL_UID.is_match(text), "{text}");
        }
    }
}
