//! Permissions: what is used and not declared, what is declared and not used.

use std::collections::{BTreeMap, BTreeSet};

use rhai::{Expr, Position};

use super::facts::Call;
use super::file::{File, HeaderState, argument};
use super::finding::Report;
use super::resolve::Target;
use super::summary::certain_needs;
use crate::effect::Effect;
use crate::permission::Needs;
use crate::primitive::PrimitiveKind;
use crate::value::quoted;

pub fn check(file: &File<'_, '_, '_>, report: &mut Report<'_>) {
    let HeaderState::Read(header) = file.header else {
        return;
    };
    let nothing = Needs::nothing();
    let needs = header.needs.as_ref().unwrap_or(&nothing);
    used(file, report, needs);
    unused(file, report, needs);
}

/// A capability that the header does not declare, with the first place that uses it.
struct Undeclared {
    position: Position,
    path: String,
    resources: BTreeSet<String>,
    others: usize,
}

fn used(file: &File<'_, '_, '_>, report: &mut Report<'_>, needs: &Needs) {
    let mut undeclared: BTreeMap<(&str, Effect), Undeclared> = BTreeMap::new();
    for (call, target) in file.facts.calls.iter().zip(file.targets) {
        let wanted = match target {
            Target::Module { module, function } => {
                let function = &module.functions[*function].effects;
                function
                    .needs
                    .iter()
                    .map(|(need, path)| (*need, path.clone()))
                    .collect()
            }
            target => certain_needs(target),
        };
        for ((capability, effect), path) in wanted {
            if effect == Effect::Pure {
                continue;
            }
            let resource = literal_resource(target, call, capability, effect);
            let declared = needs
                .patterns(capability, effect)
                .is_none_or(|list| !list.is_empty());
            if !declared {
                let place = undeclared
                    .entry((capability, effect))
                    .or_insert_with(|| Undeclared {
                        position: call.position,
                        path,
                        resources: BTreeSet::new(),
                        others: 0,
                    });
                place.others += usize::from(place.position != call.position);
                place
                    .resources
                    .extend(resource.map(|(text, _)| text.to_owned()));
            } else if let Some((text, position)) = resource
                && !covers(needs, capability, effect, text)
            {
                let patterns = needs.patterns(capability, effect).unwrap_or_default();
                let list: Vec<String> = patterns.iter().map(|pattern| quoted(pattern)).collect();
                report
                    .add(
                        "undeclared-permission",
                        position,
                        format!("{path} needs `{capability}` to {effect} {}, which the header does not declare", quoted(text)),
                    )
                    .suggest(format!(
                        "`needs` has `{capability}: [{}]`: add {}",
                        list.join(", "),
                        quoted(&globset::escape(text))
                    ));
            }
        }
    }
    for (
        (capability, effect),
        Undeclared {
            position,
            path,
            resources,
            others,
        },
    ) in undeclared
    {
        let more = match others {
            0 => String::new(),
            1 => " (and one more place uses it)".to_owned(),
            n => format!(" (and {n} more places use it)"),
        };
        let resources: Vec<String> = resources
            .iter()
            .map(|text| quoted(&globset::escape(text)))
            .collect();
        let list = match resources.is_empty() {
            true => "\"*\"".to_owned(),
            false => format!("[{}]", resources.join(", ")),
        };
        report
            .add(
                "undeclared-permission",
                position,
                format!("{path} needs `{capability}` to {effect}, which the header does not declare{more}"),
            )
            .suggest(format!("write in the header: `needs: #{{ {capability}: {list} }}`"));
    }
}

/// The text that names the resource of a call, where it is written out in the call.
fn literal_resource<'a>(
    target: &Target<'_>,
    call: &Call<'a>,
    capability: &str,
    effect: Effect,
) -> Option<(&'a str, Position)> {
    let [primitive] = target.primitives() else {
        return None;
    };
    let capability = primitive
        .capabilities
        .iter()
        .find(|c| c.name == capability && c.effect == effect)?;
    match argument(primitive, call, capability.parameter?)? {
        Expr::StringConstant(text, position) => Some((text.as_str(), *position)),
        _ => None,
    }
}

/// Relative paths are compared as they stand, and as a run from the working directory would see them.
fn covers(needs: &Needs, capability: &str, effect: Effect, resource: &str) -> bool {
    needs.allows(capability, effect, resource)
        || std::env::current_dir().is_ok_and(|folder| {
            let path = folder.join(resource);
            needs.allows(capability, effect, &path.display().to_string())
        })
}

fn unused(file: &File<'_, '_, '_>, report: &mut Report<'_>, needs: &Needs) {
    let used = possible(file);
    // A module that could not be read may use anything.
    let complete = file.imports.iter().all(|import| import.summary.is_some());
    for (name, location) in needs.capabilities() {
        if !file.catalog.capabilities().any(|known| known == name) {
            report
                .add_at(
                    "unknown-permission",
                    location,
                    format!("no function asks for `{name}`"),
                )
                .nearest(name, file.catalog.capabilities(), || {
                    let known: Vec<&str> = file.catalog.capabilities().collect();
                    format!("capabilities are {}", known.join(", "))
                });
        } else if complete && !used.contains(name) {
            report
                .add_at(
                    "unused-permission",
                    location,
                    format!("the header declares `{name}`, and nothing here uses it"),
                )
                .suggest("remove it: a runbook declares the least that it needs");
        }
    }
}

/// The capabilities that the file may use.
pub fn possible(file: &File<'_, '_, '_>) -> BTreeSet<&'static str> {
    let mut used: BTreeSet<&'static str> = BTreeSet::new();
    for target in file.targets {
        used.extend(
            target
                .primitives()
                .iter()
                .flat_map(|p| p.capabilities.iter().map(|c| c.name)),
        );
    }
    for property in &file.facts.properties {
        let getters = file
            .catalog
            .members(property.name)
            .iter()
            .filter(|p| p.kind == PrimitiveKind::Getter);
        used.extend(getters.flat_map(|p| p.capabilities.iter().map(|c| c.name)));
    }
    for import in file.imports {
        used.extend(
            import
                .summary
                .iter()
                .flat_map(|module| module.capabilities.iter().copied()),
        );
    }
    used
}
