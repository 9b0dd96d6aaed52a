//! Calls of functions: is there such a function, and does it take that many arguments?

use std::collections::BTreeSet;
use std::sync::Arc;

use rhai::Expr;

use super::facts::Call;
use super::file::File;
use super::finding::Report;
use super::resolve::Target;
use crate::primitive::{Primitive, PrimitiveKind};
use crate::value::closest;

pub fn check(file: &File<'_, '_, '_>, report: &mut Report<'_>) {
    for (call, target) in file.facts.calls.iter().zip(file.targets) {
        if !matches!(target, Target::Other) {
            continue;
        }
        match (call.receiver, call.namespace) {
            // Methods have their own rules.
            (Some(_), _) => {}
            (None, []) => plain(file, report, call),
            (None, _) if call.import.is_some() => of_module(file, report, call),
            (None, _) => of_namespace(file, report, call),
        }
    }
    for name in &file.facts.qualified {
        qualified(file, report, name);
    }
}

/// `f(…)`
fn plain(file: &File<'_, '_, '_>, report: &mut Report<'_>, call: &Call<'_>) {
    let name = call.name;
    let catalog = file.catalog;
    let given = call.args.len();
    let standard = catalog.standard(name);
    if name == "Fn" {
        pointer(file, report, call);
    }
    if catalog.is_keyword(name) || standard.is_some_and(|counts| counts.contains(&given)) {
        return;
    }
    let scripts: Vec<usize> = file.program.named(name).collect();
    let primitives = catalog.functions("", name);
    if !scripts.is_empty() || !primitives.is_empty() || standard.is_some() {
        let mut counts: BTreeSet<usize> = standard.cloned().unwrap_or_default();
        counts.extend(
            scripts
                .iter()
                .map(|index| file.program.functions()[*index].params.len()),
        );
        counts.extend(primitives.iter().flat_map(|p| p.arities()));
        let finding = report.add(
            "wrong-arguments",
            call.position,
            wrong_count(name, &counts, given),
        );
        match (primitives.first(), scripts.first()) {
            (Some(primitive), _) => finding.suggest(format!("it is `{}`", primitive.signature())),
            (None, Some(index)) => {
                let params = file.program.functions()[*index].params.join(", ");
                finding.suggest(format!("it is `{name}({params})`"))
            }
            (None, None) => finding,
        };
        return;
    }
    if call.shadow.is_some() {
        report
            .add(
                "unknown-function",
                call.position,
                format!("there is no function `{name}`; there is a variable of that name"),
            )
            .suggest(format!("call the closure in it with `{name}.call(…)`"))
            .replace_with(format!("{name}.call"));
        return;
    }
    let finding = report.add(
        "unknown-function",
        call.position,
        format!("there is no function `{name}`"),
    );
    match catalog.spaces_with(name).as_slice() {
        [] => {}
        [space] => {
            let full = format!("{space}::{name}");
            finding
                .suggest(format!("did you mean `{full}`?"))
                .replace_with(full);
            return;
        }
        spaces => {
            let full: Vec<String> = spaces
                .iter()
                .map(|space| format!("`{space}::{name}`"))
                .collect();
            finding.suggest(format!("did you mean {}?", full.join(" or ")));
            return;
        }
    }
    if catalog
        .members(name)
        .iter()
        .any(|p| p.kind == PrimitiveKind::Method)
    {
        finding.suggest(format!("it is a method: `x.{name}(…)`"));
        return;
    }
    let own = file
        .program
        .functions()
        .iter()
        .filter(|f| !f.is_closure())
        .map(|f| f.name.as_str());
    finding.nearest(name, own.chain(catalog.plain_names()), || {
        "`ccrun doc` lists the functions; a function of this file is declared with `fn`".to_owned()
    });
}

/// `Fn("name")`
fn pointer(file: &File<'_, '_, '_>, report: &mut Report<'_>, call: &Call<'_>) {
    let [Expr::StringConstant(name, position)] = call.args else {
        return;
    };
    let own = file
        .program
        .functions()
        .iter()
        .filter(|f| !f.is_closure())
        .map(|f| f.name.as_str());
    let known: Vec<&str> = own.chain(file.catalog.plain_names()).collect();
    if !known.contains(&name.as_str()) {
        report
            .add(
                "unknown-function",
                *position,
                format!("there is no function `{name}`"),
            )
            .nearest(name, known, || {
                "a function of this file is declared with `fn`".to_owned()
            });
    }
}

/// `space::f(…)`
fn of_namespace(file: &File<'_, '_, '_>, report: &mut Report<'_>, call: &Call<'_>) {
    let [first, deeper @ ..] = call.namespace else {
        return;
    };
    let (space, name) = (first.as_str(), call.name);
    if !deeper.is_empty() || !file.catalog.is_namespace(space) {
        unknown_namespace(file, report, call);
        return;
    }
    let functions = file.catalog.functions(space, name);
    if !functions.is_empty() {
        let counts = functions.iter().flat_map(|p| p.arities()).collect();
        let path = format!("{space}::{name}");
        report
            .add(
                "wrong-arguments",
                call.position,
                wrong_count(&path, &counts, call.args.len()),
            )
            .suggest(signatures(functions));
        return;
    }
    let finding = report.add(
        "unknown-function",
        call.position,
        format!("there is no function `{space}::{name}`"),
    );
    let near = closest(name, file.catalog.names_in(space));
    let of_objects = file
        .catalog
        .members(name)
        .iter()
        .find(|p| p.namespace == space);
    match (near, of_objects, file.catalog.spaces_with(name).as_slice()) {
        (None, Some(member), _) => {
            finding.suggest(format!(
                "`{}` is a method: call it on the object",
                member.path()
            ));
        }
        (None, None, [other]) => {
            finding.suggest(format!("did you mean `{other}::{name}`?"));
        }
        _ => {
            finding.nearest(name, file.catalog.names_in(space), || {
                format!("`ccrun doc {space}` lists its functions")
            });
        }
    }
}

fn unknown_namespace(file: &File<'_, '_, '_>, report: &mut Report<'_>, call: &Call<'_>) {
    let Some(first) = call.namespace.first() else {
        return;
    };
    let space = first.as_str();
    let path: Vec<&str> = call.namespace.iter().map(|part| part.as_str()).collect();
    let finding = report.add(
        "unknown-namespace",
        first.pos,
        format!("there is no namespace and no import `{}`", path.join("::")),
    );
    if file
        .facts
        .variables
        .iter()
        .any(|variable| variable.name == space)
    {
        finding.suggest(format!(
            "`{space}` is a variable: write `{space}.{}(…)`",
            call.name
        ));
        return;
    }
    let aliases = file.facts.imports.iter().filter_map(|import| import.alias);
    let known = aliases
        .map(|alias| alias.as_str())
        .chain(file.catalog.namespaces());
    finding.nearest(space, known, || {
        "`ccrun doc` lists the namespaces; a module is imported with `import \"…\" as name;`"
            .to_owned()
    });
}

/// `alias::f(…)`
fn of_module(file: &File<'_, '_, '_>, report: &mut Report<'_>, call: &Call<'_>) {
    let Some(import) = call.import.and_then(|import| file.imports.get(import)) else {
        return;
    };
    let Some(mut module) = import.summary.clone() else {
        return;
    };
    for part in &call.namespace[1..] {
        let inner = module.modules.get(part.as_str()).cloned();
        let Some(inner) = inner else {
            report
                .add(
                    "unknown-namespace",
                    part.pos,
                    format!("the module imports no `{}`", part.as_str()),
                )
                .nearest(
                    part.as_str(),
                    module.modules.keys().map(String::as_str),
                    String::new,
                );
            return;
        };
        module = inner;
    }
    let name = call.name;
    let same: Vec<_> = module.functions.iter().filter(|f| f.name == name).collect();
    if same.iter().any(|function| !function.private) {
        let open = same.iter().filter(|function| !function.private);
        let counts = open.map(|function| function.arguments).collect();
        let message = wrong_count(name, &counts, call.args.len());
        report.add("wrong-arguments", call.position, message);
    } else if same.is_empty() {
        let open = module.functions.iter().filter(|function| !function.private);
        report
            .add(
                "unknown-function",
                call.position,
                format!("the module has no function `{name}`"),
            )
            .nearest(
                name,
                open.map(|function| function.name.as_str()),
                String::new,
            );
    } else {
        report
            .add(
                "unknown-function",
                call.position,
                format!("`{name}` is private in its module"),
            )
            .suggest("remove `private` there, or use one of its other functions");
    }
}

/// `space::NAME` that is not called.
fn qualified(
    file: &File<'_, '_, '_>,
    report: &mut Report<'_>,
    name: &super::facts::QualifiedName<'_>,
) {
    let [first, deeper @ ..] = name.namespace else {
        return;
    };
    match name.import.and_then(|import| file.imports.get(import)) {
        Some(import) => {
            let mut module = import.summary.clone();
            for part in deeper {
                module = module.and_then(|module| module.modules.get(part.as_str()).cloned());
            }
            let Some(module) = module else { return };
            if module
                .variables
                .iter()
                .any(|variable| variable == name.name)
            {
                return;
            }
            let message = format!("the module exports no variable `{}`", name.name);
            let finding = report.add("unknown-variable", name.position, message);
            if module
                .functions
                .iter()
                .any(|function| function.name == name.name)
            {
                finding.suggest(format!("`{}` is a function: call it with `()`", name.name));
            } else {
                finding.nearest(
                    name.name,
                    module.variables.iter().map(String::as_str),
                    || format!("write `export const {} = …;` there", name.name),
                );
            }
        }
        None => {
            let space = first.as_str();
            let function = !file.catalog.functions(space, name.name).is_empty();
            let message = format!("`{space}::{}` is no variable", name.name);
            let finding = report.add("unknown-variable", name.position, message);
            if function {
                finding.suggest("it is a function: call it with `()`");
                finding.replace_with(format!("{}()", name.name));
            }
        }
    }
}

pub(super) fn signatures(primitives: &[&Arc<Primitive>]) -> String {
    let shown: Vec<String> = primitives
        .iter()
        .take(3)
        .map(|p| format!("`{}`", p.signature()))
        .collect();
    format!("it is {}", shown.join(" or "))
}

pub(super) fn wrong_count(name: &str, counts: &BTreeSet<usize>, given: usize) -> String {
    let list: Vec<String> = counts.iter().map(ToString::to_string).collect();
    let (wanted, noun) = match (list.as_slice(), counts.iter().max()) {
        ([], _) | (_, None | Some(0)) => ("no".to_owned(), "arguments"),
        ([one], Some(1)) => (one.clone(), "argument"),
        ([one], _) => (one.clone(), "arguments"),
        ([first @ .., last], _) => (format!("{} or {last}", first.join(", ")), "arguments"),
    };
    format!("`{name}` takes {wanted} {noun}, and not {given}")
}
