//! Variables that are not there or not read, and code that never runs.

use super::facts::{UnknownName, VariableKind};
use super::file::File;
use super::finding::Report;
use super::walk::HOST_VARIABLES;

pub fn check(file: &File<'_, '_, '_>, report: &mut Report<'_>) {
    for name in &file.facts.unknown {
        unknown(file, report, name);
    }
    unused(file, report);
    shadowing(file, report);
    for code in &file.facts.unreachable {
        report
            .add(
                "unreachable",
                code.position,
                format!(
                    "this never runs: `{}` in line {} leaves before it",
                    code.after, code.line
                ),
            )
            .suggest("remove it, or move it in front");
    }
}

fn unknown(file: &File<'_, '_, '_>, report: &mut Report<'_>, unknown: &UnknownName<'_>) {
    let name = unknown.name;
    let finding = report.add(
        "unknown-variable",
        unknown.position,
        format!("there is no variable `{name}` here"),
    );
    if unknown.outside {
        finding.suggest(format!(
            "a function (`fn`) sees only its parameters: pass `{name}` to it, or make it a `const` \
             and write `global::{name}`"
        ));
    } else if ["null", "nil", "none", "None", "undefined"].contains(&name) {
        finding
            .suggest("the value that is nothing is `()`")
            .replace_with("()");
    } else if ["True", "False", "TRUE", "FALSE"].contains(&name) {
        finding
            .suggest(format!("write `{}`", name.to_lowercase()))
            .replace_with(name.to_lowercase());
    } else if file.catalog.is_namespace(name) {
        finding.suggest(format!(
            "`{name}` is a namespace: its functions are `{name}::…`"
        ));
    } else if file.program.named(name).next().is_some() {
        finding.suggest(format!("`{name}` is a function: call it with `()`"));
    } else {
        let known = unknown.candidates.iter().copied().chain(HOST_VARIABLES);
        finding.nearest(name, known, || format!("declare it: `let {name} = …;`"));
    }
}

fn unused(file: &File<'_, '_, '_>, report: &mut Report<'_>) {
    for variable in &file.facts.variables {
        let declared = matches!(variable.kind, VariableKind::Let | VariableKind::Const);
        if !declared
            || variable.exported
            || !variable.reads.is_empty()
            || variable.name.starts_with('_')
        {
            continue;
        }
        let name = variable.name;
        let message = match variable.assigned {
            true => format!("`{name}` is assigned and never read"),
            false => format!("`{name}` is never read"),
        };
        report
            .add("unused-variable", variable.position, message)
            .suggest(format!("remove it, or call it `_{name}` if that is meant"));
    }
}

fn shadowing(file: &File<'_, '_, '_>, report: &mut Report<'_>) {
    let variables = file
        .facts
        .variables
        .iter()
        .map(|v| (v.name, v.position, "the variable"));
    let imports = file.facts.imports.iter().filter_map(|import| import.alias);
    let imports = imports.map(|alias| (alias.as_str(), alias.pos, "the import"));
    for (name, position, what) in variables.chain(imports) {
        if !file.catalog.is_namespace(name) {
            continue;
        }
        let functions = match what {
            "the import" => "hides that namespace",
            _ => "is easily taken for it",
        };
        report
            .add(
                "shadowed-namespace",
                position,
                format!("{what} `{name}` has the name of a namespace and {functions}"),
            )
            .suggest("choose another name");
    }
}
