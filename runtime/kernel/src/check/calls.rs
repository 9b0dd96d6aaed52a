//! Calls and properties: is there such a function, and does it take that many arguments?

use std::collections::BTreeSet;
use std::sync::Arc;

use super::facts::{Call, Property};
use super::file::File;
use super::finding::Report;
use super::resolve::Target;
use crate::primitive::{Primitive, PrimitiveKind};
use crate::value::closest;

/// Functions that work on a value of any type.
const UNIVERSAL: [&str; 4] = ["to_string", "to_debug", "print", "debug"];

pub fn check(file: &File<'_, '_, '_>, report: &mut Report<'_>) {
    for (call, target) in file.facts.calls.iter().zip(file.targets) {
        if !matches!(target, Target::Other) {
            continue;
        }
        match (call.receiver, call.namespace) {
            (Some(receiver), _) => method(file, report, call, receiver),
            (None, []) => plain(file, report, call),
            (None, _) if call.import.is_some() => of_module(file, report, call),
            (None, _) => of_namespace(file, report, call),
        }
    }
    for name in &file.facts.qualified {
        qualified(file, report, name);
    }
    for access in &file.facts.properties {
        property(file, report, access);
    }
}

/// `f(…)`
fn plain(file: &File<'_, '_, '_>, report: &mut Report<'_>, call: &Call<'_>) {
    let name = call.name;
    let catalog = file.catalog;
    let given = call.args.len();
    let standard = catalog.standard(name);
    if catalog.is_keyword(name) || standard.is_some_and(|counts| counts.contains(&given)) {
        return;
    }
    let scripts: Vec<usize> = file.program.named(name).collect();
    let primitives = catalog.functions("", name);
    if !scripts.is_empty() || !primitives.is_empty() || standard.is_some() {
        let mut counts: BTreeSet<usize> = standard.cloned().unwrap_or_default();
        counts.extend(scripts.iter().map(|index| file.program.functions()[*index].params.len()));
        counts.extend(primitives.iter().flat_map(|p| p.arities()));
        let finding = report.add("wrong-arguments", call.position, wrong_count(name, &counts, given));
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
    let finding =
        report.add("unknown-function", call.position, format!("there is no function `{name}`"));
    match catalog.spaces_with(name).as_slice() {
        [] => {}
        [space] => {
            let full = format!("{space}::{name}");
            finding.suggest(format!("did you mean `{full}`?")).replace_with(full);
            return;
        }
        spaces => {
            let full: Vec<String> = spaces.iter().map(|space| format!("`{space}::{name}`")).collect();
            finding.suggest(format!("did you mean {}?", full.join(" or ")));
            return;
        }
    }
    if catalog.members(name).iter().any(|p| p.kind == PrimitiveKind::Method) {
        finding.suggest(format!("it is a method: `x.{name}(…)`"));
        return;
    }
    let own = file.program.functions().iter().filter(|f| !f.is_closure()).map(|f| f.name.as_str());
    finding.nearest(name, own.chain(catalog.plain_names()), || {
        "`ccrun doc` lists the functions; a function of this file is declared with `fn`".to_owned()
    });
}

/// `space::f(…)`
fn of_namespace(file: &File<'_, '_, '_>, report: &mut Report<'_>, call: &Call<'_>) {
    let [first, deeper @ ..] = call.namespace else { return };
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
            .add("wrong-arguments", call.position, wrong_count(&path, &counts, call.args.len()))
            .suggest(signatures(functions));
        return;
    }
    let finding = report.add(
        "unknown-function",
        call.position,
        format!("there is no function `{space}::{name}`"),
    );
    let near = closest(name, file.catalog.names_in(space));
    let of_objects = file.catalog.members(name).iter().find(|p| p.namespace == space);
    match (near, of_objects, file.catalog.spaces_with(name).as_slice()) {
        (None, Some(member), _) => {
            finding.suggest(format!("`{}` is a method: call it on the object", member.path()));
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
    let Some(first) = call.namespace.first() else { return };
    let space = first.as_str();
    let path: Vec<&str> = call.namespace.iter().map(|part| part.as_str()).collect();
    let finding = report.add(
        "unknown-namespace",
        first.pos,
        format!("there is no namespace and no import `{}`", path.join("::")),
    );
    if file.facts.variables.iter().any(|variable| variable.name == space) {
        finding.suggest(format!("`{space}` is a variable: write `{space}.{}(…)`", call.name));
        return;
    }
    let aliases = file.facts.imports.iter().filter_map(|import| import.alias);
    let known = aliases.map(|alias| alias.as_str()).chain(file.catalog.namespaces());
    finding.nearest(space, known, || {
        "`ccrun doc` lists the namespaces; a module is imported with `import \"…\" as name;`".to_owned()
    });
}

/// `alias::f(…)`
fn of_module(file: &File<'_, '_, '_>, report: &mut Report<'_>, call: &Call<'_>) {
    let Some(import) = call.import.and_then(|import| file.imports.get(import)) else { return };
    let Some(mut module) = import.summary.clone() else { return };
    for part in &call.namespace[1..] {
        let inner = module.modules.get(part.as_str()).cloned();
        let Some(inner) = inner else {
            report
                .add("unknown-namespace", part.pos, format!("the module imports no `{}`", part.as_str()))
                .nearest(part.as_str(), module.modules.keys().map(String::as_str), String::new);
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
            .add("unknown-function", call.position, format!("the module has no function `{name}`"))
            .nearest(name, open.map(|function| function.name.as_str()), String::new);
    } else {
        report
            .add("unknown-function", call.position, format!("`{name}` is private in its module"))
            .suggest("remove `private` there, or use one of its other functions");
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
    let methods: Vec<_> =
        members.iter().filter(|p| p.kind == PrimitiveKind::Method).copied().collect();
    let scripts: Vec<usize> = file.program.named(name).collect();
    if !methods.is_empty() || standard.is_some() || !scripts.is_empty() {
        let mut counts: BTreeSet<usize> = methods.iter().flat_map(|p| p.arities()).collect();
        counts.extend(standard.iter().flat_map(|counts| counts.iter().filter_map(|n| n.checked_sub(1))));
        counts.extend(scripts.iter().map(|index| file.program.functions()[*index].params.len()));
        let finding = report.add("wrong-arguments", call.position, wrong_count(name, &counts, given));
        if !methods.is_empty() {
            finding.suggest(signatures(&methods));
        }
    } else if members.is_empty() {
        report
            .add("unknown-method", call.position, format!("nothing has a method `{name}`"))
            .nearest(name, file.catalog.member_names(), || "`ccrun doc TYPE` lists its methods".to_owned());
    } else {
        property_called(report, call);
    }
}

/// `x.f(…)` where the type of `x` is known.
fn method_of(
    file: &File<'_, '_, '_>,
    report: &mut Report<'_>,
    call: &Call<'_>,
    type_name: &str,
) {
    let own: Vec<_> =
        file.catalog.members_of(type_name).filter(|p| p.name == call.name).collect();
    let methods: Vec<_> =
        own.iter().filter(|p| p.kind == PrimitiveKind::Method).copied().collect();
    if !methods.is_empty() {
        let counts = methods.iter().flat_map(|p| p.arities()).collect();
        let path = format!("{type_name}.{}", call.name);
        report
            .add("wrong-arguments", call.position, wrong_count(&path, &counts, call.args.len()))
            .suggest(signatures(&methods));
    } else if own.is_empty() {
        report
            .add(
                "unknown-method",
                call.position,
                format!("a {type_name} has no method `{}`", call.name),
            )
            .nearest(call.name, file.catalog.members_of(type_name).map(|p| p.name), || {
                format!("`ccrun doc {type_name}` lists its methods")
            });
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
    let own: Vec<_> = file.catalog.members_of(&type_name).filter(|p| p.name == name).collect();
    if own.is_empty() {
        report
            .add("unknown-method", access.position, format!("a {type_name} has no property `{name}`"))
            .nearest(name, file.catalog.members_of(&type_name).map(|p| p.name), || {
                format!("`ccrun doc {type_name}` lists its properties")
            });
    } else if own.iter().all(|p| p.kind == PrimitiveKind::Method) {
        method_read(report, access);
    }
}

fn method_read(report: &mut Report<'_>, access: &Property<'_>) {
    report
        .add(
            "method-as-property",
            access.position,
            format!("`{}` is a method: without `()` it is not called", access.name),
        )
        .suggest(format!("write `{}()`", access.name))
        .replace_with(format!("{}()", access.name));
}

/// `space::NAME` that is not called.
fn qualified(
    file: &File<'_, '_, '_>,
    report: &mut Report<'_>,
    name: &super::facts::QualifiedName<'_>,
) {
    let [first, deeper @ ..] = name.namespace else { return };
    match name.import.and_then(|import| file.imports.get(import)) {
        Some(import) => {
            let mut module = import.summary.clone();
            for part in deeper {
                module = module.and_then(|module| module.modules.get(part.as_str()).cloned());
            }
            let Some(module) = module else { return };
            if module.variables.iter().any(|variable| variable == name.name) {
                return;
            }
            let message = format!("the module exports no variable `{}`", name.name);
            let finding = report.add("unknown-variable", name.position, message);
            if module.functions.iter().any(|function| function.name == name.name) {
                finding.suggest(format!("`{}` is a function: call it with `()`", name.name));
            } else {
                finding.nearest(name.name, module.variables.iter().map(String::as_str), || {
                    format!("write `export const {} = …;` there", name.name)
                });
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

/// Whether some map of the file has such a key: `handlers.restart()` calls the closure in it.
fn is_key(file: &File<'_, '_, '_>, name: &str) -> bool {
    file.facts.maps.iter().any(|map| map.iter().any(|(key, _)| key.as_str() == name))
}

fn signatures(primitives: &[&Arc<Primitive>]) -> String {
    let shown: Vec<String> =
        primitives.iter().take(3).map(|p| format!("`{}`", p.signature())).collect();
    format!("it is {}", shown.join(" or "))
}

fn wrong_count(name: &str, counts: &BTreeSet<usize>, given: usize) -> String {
    let list: Vec<String> = counts.iter().map(ToString::to_string).collect();
    let (wanted, noun) = match (list.as_slice(), counts.iter().max()) {
        ([], _) | (_, None | Some(0)) => ("no".to_owned(), "arguments"),
        ([one], Some(1)) => (one.clone(), "argument"),
        ([one], _) => (one.clone(), "arguments"),
        ([first @ .., last], _) => (format!("{} or {last}", first.join(", ")), "arguments"),
    };
    format!("`{name}` takes {wanted} {noun}, and not {given}")
}
