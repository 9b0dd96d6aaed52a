//! `ccrun doc`.

use ccrun_kernel::value::closest;
use ccrun_kernel::{Error, Primitive, Result};
use console::style;

use crate::app::App;
use crate::cli::Output;
use crate::library::{Function, Module};
use crate::render;

/// Show the documentation of what `name` means; without one the namespaces, or as JSON everything.
pub fn doc(app: &App, name: Option<&str>) -> Result<u8> {
    let registry = app.registry();
    let Some(name) = name else {
        if app.common.output == Output::Json {
            let all = registry.primitives().iter().map(|p| as_json(p));
            render::json::document(&all.collect());
            return Ok(0);
        }
        for (namespace, summary) in registry.namespaces() {
            let namespace = if namespace.is_empty() {
                "(language)"
            } else {
                namespace
            };
            render::result(&format!("{:12} {summary}", style(namespace).bold()));
        }
        for (name, source) in app.modules.iter() {
            let module = Module::read(name, source);
            let name = format!("std/{name}");
            render::result(&format!("{:16} {}", style(name).bold(), module.summary()));
        }
        render::remark("\n`ccrun doc NAME` shows one: a namespace, a type, a function.");
        return Ok(0);
    };
    if name == "std" || name.starts_with("std/") {
        return library(
            app,
            name.strip_prefix("std")
                .unwrap_or_default()
                .trim_start_matches('/'),
        );
    }
    let name = if name == "(language)" || name == "language" {
        ""
    } else {
        name
    };
    let found = if name.is_empty() {
        registry
            .primitives()
            .iter()
            .filter(|p| p.namespace.is_empty())
            .collect()
    } else {
        registry.find(name)
    };
    if app.common.output == Output::Json {
        render::json::document(&found.iter().map(|p| as_json(p)).collect());
        return Ok(u8::from(found.is_empty()));
    }
    match &found[..] {
        [] => {
            let hint = registry.nearest(name).map_or_else(
                || "`ccrun doc` lists the namespaces".to_owned(),
                |nearest| format!("did you mean `{nearest}`?"),
            );
            Err(Error::new("usage", format!("there is nothing called `{name}`")).hint(hint))
        }
        [one] => {
            render::result(&page(one));
            Ok(0)
        }
        several if several.iter().all(|p| p.name == several[0].name) => {
            for primitive in several {
                render::result(&page(primitive));
            }
            Ok(0)
        }
        several => {
            if let Some((_, summary)) = registry.namespaces().find(|(n, _)| *n == name) {
                render::result(&format!("{summary}\n"));
            }
            for primitive in several {
                render::result(&format!(
                    "{:7} {}\n        {}",
                    style(primitive.effect.to_string()).dim(),
                    style(primitive.signature()).bold(),
                    primitive.doc.summary
                ));
            }
            Ok(0)
        }
    }
}

/// The library: its modules, one of them, or one function (`prometheus::query`).
fn library(app: &App, name: &str) -> Result<u8> {
    let json = app.common.output == Output::Json;
    let modules = || {
        app.modules
            .iter()
            .map(|(name, source)| Module::read(name, source))
    };
    if name.is_empty() {
        if json {
            render::json::document(&modules().map(|module| module.to_json()).collect());
            return Ok(0);
        }
        for module in modules() {
            let name = format!("std/{}", module.name);
            render::result(&format!("{:16} {}", style(name).bold(), module.summary()));
        }
        return Ok(0);
    }
    let (wanted, function) = match name.split_once("::") {
        Some((module, function)) => (module, Some(function)),
        None => (name, None),
    };
    let Some(module) = modules().find(|module| module.name == wanted) else {
        let hint = closest(wanted, app.modules.keys().copied()).map_or_else(
            || "`ccrun doc std` lists the library".to_owned(),
            |nearest| format!("did you mean `std/{nearest}`?"),
        );
        let message = format!("there is no library module `std/{wanted}`");
        return Err(Error::new("usage", message).hint(hint));
    };
    let found: Vec<&Function> = module
        .functions
        .iter()
        .filter(|one| function.is_none_or(|name| one.name == name))
        .collect();
    if found.is_empty() {
        let names = module.functions.iter().map(|one| one.name.as_str());
        let hint = closest(function.unwrap_or_default(), names).map_or_else(
            || format!("`ccrun doc std/{wanted}` lists its functions"),
            |nearest| format!("did you mean `std/{wanted}::{nearest}`?"),
        );
        let message = format!("there is nothing called `std/{name}`");
        return Err(Error::new("usage", message).hint(hint));
    }
    if json {
        render::json::document(&match function {
            None => module.to_json(),
            Some(_) => found.iter().map(|one| one.to_json(wanted)).collect(),
        });
        return Ok(0);
    }
    if function.is_none() {
        let import = format!("import \"std/{wanted}\" as {wanted};");
        render::result(&format!("{}\n\n  {import}\n", module.doc));
    }
    for one in found {
        render::result(&format!(
            "{}\n    {}\n",
            style(one.signature()).bold(),
            one.doc.replace('\n', "\n    ")
        ));
    }
    Ok(0)
}

/// The page of one primitive.
pub fn page(primitive: &Primitive) -> String {
    let mut text = format!(
        "{}\n\n{}\n",
        style(primitive.signature()).bold(),
        primitive.doc.summary
    );
    if !primitive.doc.body.is_empty() {
        text.push_str(&format!("\n{}\n", primitive.doc.body));
    }
    let needs: Vec<&str> = primitive.capabilities.iter().map(|c| c.name).collect();
    let needs = if needs.is_empty() {
        String::new()
    } else {
        format!(", needs {}", needs.join(", "))
    };
    text.push_str(&format!(
        "\n{}  {}{needs}\n",
        style("Effect").underlined(),
        primitive.effect
    ));
    for param in &primitive.params {
        let Some(fields) = &param.fields else {
            continue;
        };
        text.push_str(&format!(
            "\n{}\n",
            style(format!("Options ({})", param.name)).underlined()
        ));
        for field in fields {
            let default = match (field.default, field.required) {
                (Some(default), _) => format!(" = {default}"),
                (None, true) => " (required)".to_owned(),
                (None, false) => String::new(),
            };
            text.push_str(&format!(
                "  {}: {}{default}\n      {}\n",
                style(field.name).bold(),
                field.type_name,
                field.doc.replace('\n', "\n      ")
            ));
        }
    }
    if !primitive.doc.errors.is_empty() {
        text.push_str(&format!(
            "\n{}\n{}\n",
            style("Errors").underlined(),
            primitive.doc.errors
        ));
    }
    for example in &primitive.doc.examples {
        let code = example.code.replace('\n', "\n  ");
        text.push_str(&format!("\n{}\n  {code}\n", style("Example").underlined()));
    }
    text
}

/// One primitive as data, for editors and the documentation site.
fn as_json(primitive: &Primitive) -> serde_json::Value {
    let params: Vec<_> = primitive
        .params
        .iter()
        .map(|param| {
            serde_json::json!({
                "name": param.name, "type": param.type_name, "optional": param.optional,
                "fields": param.fields.as_ref().map(|fields| fields.iter().map(|field| {
                    serde_json::json!({
                        "name": field.name, "type": field.type_name, "doc": field.doc,
                        "default": field.default, "required": field.required,
                    })
                }).collect::<Vec<_>>()),
            })
        })
        .collect();
    serde_json::json!({
        "path": primitive.path(), "namespace": primitive.namespace, "name": primitive.name,
        "signature": primitive.signature(), "effect": primitive.effect,
        "needs": primitive.capabilities.iter().map(|c| c.name).collect::<Vec<_>>(),
        "params": params, "returns": primitive.returns,
        "summary": primitive.doc.summary, "body": primitive.doc.body,
        "errors": primitive.doc.errors,
        "examples": primitive.doc.examples.iter().map(|e| e.code.as_str()).collect::<Vec<_>>(),
    })
}
