//! Methods and properties: does anything have one of this name?

use std::collections::BTreeSet;

use super::calls::{signatures, wrong_count};
use super::facts::{Call, Property};
use super::file::File;
use super::finding::Report;
use super::resolve::Target;
use crate::primitive::PrimitiveKind;

/// Functions that work on a value of any type.
const UNIVERSAL: [&str; 4] = ["to_string", "to_debug", "print", "debug"];

pub fn check(file: &File<'_, '_, '_>, report: &mut Report<'_>) {
    for (call, target) in file.facts.calls.iter().zip(file.targets) {
        if let (Target::Other, Some(receiver)) = (target, call.receiver) {
            method(file, report, call, receiver);
        }
    }
    for access in &file.facts.properties {
        property(file, report, access);
    }
}

/// `x.f(…)`
fn method(
    file: &File<'_, '_, '_>,
    report: &mut Report<'_>,
    call: &Call<'_>,
    receiver: (usize, usize),
) {
    let name = call.name;
    let given = call.args.len();
    let standard = file.catalog.standard(name);
    let as_method = standard.is_some_and(|counts| counts.contains(&(given + 1)));
    if file.catalog.is_keyword(name) || file.program.function(name, given).is_some() {
        return;
    }
    let object = file.resolver.object(receiver);
    if let Some(type_name) = &object {
        if as_method && UNIVERSAL.contains(&name) {
            return;
        }
        method_of(file, report, call, type_name);
        return;
    }
    if as_method || is_key(file, name) {
        return;
    }
    let members = file.catalog.members(name);
    let methods: Vec<_> = members
        .iter()
        .filter(|p| p.kind == PrimitiveKind::Method)
        .copied()
        .collect();
    let scripts: Vec<usize> = file.program.named(name).collect();
    if !methods.is_empty() || standard.is_some() || !scripts.is_empty() {
        let mut counts: BTreeSet<usize> = methods.iter().flat_map(|p| p.arities()).collect();
        counts.extend(
            standard
                .iter()
                .flat_map(|counts| counts.iter().filter_map(|n| n.checked_sub(1))),
        );
        counts.extend(
            scripts
                .iter()
                .map(|index| file.program.functions()[*index].params.len()),
        );
        let finding = report.add(
            "wrong-arguments",
            call.position,
            wrong_count(name, &counts, given),
        );
        if !methods.is_empty() {
            finding.suggest(signatures(&methods));
        }
    } else if members.is_empty() {
        report
            .add(
                "unknown-method",
                call.position,
                format!("nothing has a method `{name}`"),
            )
            .nearest(name, file.catalog.member_names(), || {
                "`ccrun doc TYPE` lists its methods".to_owned()
            });
    } else {
        property_called(report, call);
    }
}

/// `x.f(…)` where the type of `x` is known.
fn method_of(file: &File<'_, '_, '_>, report: &mut Report<'_>, call: &Call<'_>, type_name: &str) {
    let own: Vec<_> = file
        .catalog
        .members_of(type_name)
        .filter(|p| p.name == call.name)
        .collect();
    let methods: Vec<_> = own
        .iter()
        .filter(|p| p.kind == PrimitiveKind::Method)
        .copied()
        .collect();
    if !methods.is_empty() {
        let counts = methods.iter().flat_map(|p| p.arities()).collect();
        let path = format!("{type_name}.{}", call.name);
        report
            .add(
                "wrong-arguments",
                call.position,
                wrong_count(&path, &counts, call.args.len()),
            )
            .suggest(signatures(&methods));
    } else if own.is_empty() {
        report
            .add(
                "unknown-method",
                call.position,
                format!("a {type_name} has no method `{}`", call.name),
            )
            .nearest(
                call.name,
                file.catalog.members_of(type_name).map(|p| p.name),
                || format!("`ccrun doc {type_name}` lists its methods"),
            );
    } else {
        property_called(report, call);
    }
}

fn property_called(report: &mut Report<'_>, call: &Call<'_>) {
    report
        .add(
            "property-as-method",
            call.position,
            format!("`{}` is a property, not a method", call.name),
        )
        .suggest(format!("write `.{}` without `()`", call.name));
}

/// `x.name`
fn property(file: &File<'_, '_, '_>, report: &mut Report<'_>, access: &Property<'_>) {
    let name = access.name;
    let Some(type_name) = file.resolver.object(access.receiver) else {
        let members = file.catalog.members(name);
        let all_methods =
            !members.is_empty() && members.iter().all(|p| p.kind == PrimitiveKind::Method);
        if access.idle && all_methods {
            method_read(report, access);
        }
        return;
    };
    let own: Vec<_> = file
        .catalog
        .members_of(&type_name)
        .filter(|p| p.name == name)
        .collect();
    if own.is_empty() {
        report
            .add(
                "unknown-method",
                access.position,
                format!("a {type_name} has no property `{name}`"),
            )
            .nearest(
                name,
                file.catalog.members_of(&type_name).map(|p| p.name),
                || format!("`ccrun doc {type_name}` lists its properties"),
            );
    } else if own.iter().all(|p| p.kind == PrimitiveKind::Method) {
        method_read(report, access);
    }
}

fn method_read(report: &mut Report<'_>, access: &Property<'_>) {
    report
        .add(
            "method-as-property",
            access.position,
            format!(
                "`{}` is a method: without `()` it is not called",
                access.name
            ),
        )
        .suggest(format!("write `{}()`", access.name))
        .replace_with(format!("{}()", access.name));
}

/// Whether a map may hold a closure by this name: `handlers.restart()` calls the closure in it.
fn is_key(file: &File<'_, '_, '_>, name: &str) -> bool {
    let modules = file
        .imports
        .iter()
        .filter_map(|import| import.summary.as_ref());
    file.facts.keys().any(|key| key == name)
        || modules.into_iter().any(|module| module.keys.contains(name))
}
