//! Parameters: `params.x` that the header does not declare, and declared ones that nobody reads.

use std::collections::BTreeSet;

use rhai::Expr;

use super::facts::Facts;
use super::file::{File, HeaderState, Role};
use super::finding::Report;
use crate::value::closest;

pub fn check(file: &File<'_, '_, '_>, report: &mut Report<'_>) {
    match file.header {
        HeaderState::Read(header) => {
            let known: Vec<&str> = header.params.keys().map(String::as_str).collect();
            for (name, position) in &file.facts.params.names {
                if known.contains(name) {
                    continue;
                }
                report
                    .add(
                        "undeclared-param",
                        *position,
                        format!("the header declares no parameter `{name}`"),
                    )
                    .nearest(name, known.iter().copied(), || declare(name));
            }
            unused(file, report);
        }
        // A module reads the parameters of the runbook that imports it.
        HeaderState::Absent if file.role == Role::Runbook && !file.program.is_module() => {
            for (name, position) in &file.facts.params.names {
                report
                    .add(
                        "undeclared-param",
                        *position,
                        format!("there is no parameter `{name}`: the file has no header"),
                    )
                    .suggest(format!(
                        "begin it with `runbook(#{{ params: #{{ {name}: #{{ type: \"string\" }} }} }});`"
                    ));
            }
        }
        _ => {}
    }
}

fn declare(name: &str) -> String {
    format!("declare it in the header: `params: #{{ {name}: #{{ type: \"string\" }} }}`")
}

fn unused(file: &File<'_, '_, '_>, report: &mut Report<'_>) {
    let HeaderState::Read(header) = file.header else {
        return;
    };
    let modules = file.imports.iter().map(|import| {
        import
            .summary
            .as_ref()
            .and_then(|module| module.params.as_ref())
    });
    let mut used: BTreeSet<&str> = BTreeSet::new();
    for names in modules.chain([read(file.facts).as_ref()]) {
        let Some(names) = names else { return };
        // The names live in the summaries or in this call: only membership matters.
        used.extend(
            header
                .params
                .keys()
                .map(String::as_str)
                .filter(|name| names.contains(*name)),
        );
    }
    // A name that is misspelled is not one that nobody reads.
    for (name, _) in &file.facts.params.names {
        used.extend(closest(name, header.params.keys().map(String::as_str)));
    }
    for (name, spec) in &header.params {
        if !used.contains(name.as_str()) {
            report
                .add_at(
                    "unused-param",
                    spec.location.as_ref(),
                    format!("the parameter `{name}` is declared and never read"),
                )
                .suggest(format!("remove it, or read it as `params.{name}`"));
        }
    }
}

/// The parameters that a file reads; `None` for all, where `params` is used as a whole.
pub fn read(facts: &Facts<'_>) -> Option<BTreeSet<String>> {
    if facts.params.all {
        return None;
    }
    let mut names: BTreeSet<String> = facts
        .params
        .names
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .collect();
    // `ask("…", #{ param: "name" })` reads one too.
    for (key, value) in facts.maps.iter().flat_map(|map| map.iter()) {
        if key.as_str() == "param"
            && let Expr::StringConstant(name, _) = value
        {
            names.insert(name.to_string());
        }
    }
    Some(names)
}
