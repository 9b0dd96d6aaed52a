//! `import`: the shipped library, and files beside the runbook.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use parking_lot::Mutex;
use rhai::{AST, Engine, EvalAltResult, Module, ModuleResolver, Position, Scope, Shared};

use super::engine::Modules;
use crate::error::Error;
use crate::script_error;
use crate::value::closest;

/// Resolves `std/NAME` from the library and everything else relative to the importing file, inside
/// the folder of the runbook.
pub struct Resolver {
    library: Modules,
    /// Hears the name and the source of each module before it runs.
    on_load: OnLoad,
    /// Modules that are loaded, by resolved name.
    loaded: Mutex<HashMap<String, Shared<Module>>>,
    /// Modules that are being loaded, in order: a repetition is a circle.
    loading: Mutex<Vec<String>>,
}

type OnLoad = Box<dyn Fn(&str, &str) + Send + Sync>;

impl Resolver {
    pub fn new(library: Modules, on_load: OnLoad) -> Self {
        Self {
            library,
            on_load,
            loaded: Mutex::default(),
            loading: Mutex::default(),
        }
    }

    fn load(
        &self,
        engine: &Engine,
        source: Option<&str>,
        path: &str,
    ) -> Result<Shared<Module>, Error> {
        let (name, text) = self.find(source, path)?;
        if let Some(module) = self.loaded.lock().get(&name) {
            return Ok(Shared::clone(module));
        }
        {
            let mut loading = self.loading.lock();
            if loading.contains(&name) {
                let mut circle = loading.clone();
                circle.push(name);
                return Err(Error::new(
                    "import.circular",
                    format!(
                        "modules import each other in a circle: {}",
                        circle.join(" → ")
                    ),
                )
                .hint("move what both need into a third module"));
            }
            loading.push(name.clone());
        }
        (self.on_load)(&name, &text);
        let module = evaluate(engine, &name, &text);
        self.loading.lock().retain(|n| *n != name);
        let module = Shared::new(module?);
        self.loaded.lock().insert(name, Shared::clone(&module));
        Ok(module)
    }

    /// The resolved name of a module and its source.
    fn find(&self, source: Option<&str>, path: &str) -> Result<(String, String), Error> {
        if let Some(name) = path.strip_prefix("std/") {
            return match self.library.get(name) {
                Some(text) => Ok((path.to_owned(), (*text).to_owned())),
                None => {
                    let hint = closest(name, self.library.keys().copied()).map_or_else(
                        || "`ccrun doc std` lists the library".to_owned(),
                        |nearest| format!("did you mean `std/{nearest}`?"),
                    );
                    Err(Error::new(
                        "import.not_found",
                        format!("there is no library module `{path}`"),
                    )
                    .hint(hint))
                }
            };
        }
        let file = resolve(source, path)?;
        let text = std::fs::read_to_string(&file).map_err(|error| {
            Error::new(
                "import.not_found",
                format!("can't import {}: {error}", file.display()),
            )
            .hint("an import is relative to the file it stands in, without `.rhai`")
        })?;
        Ok((file.display().to_string(), text))
    }
}

/// The file that `path` means in the file `source`. It cannot leave the folder of that file's
/// runbook upwards.
fn resolve(source: Option<&str>, path: &str) -> Result<PathBuf, Error> {
    let relative = Path::new(path);
    let leaves = relative
        .components()
        .any(|part| !matches!(part, Component::Normal(_) | Component::CurDir));
    if leaves {
        return Err(Error::new(
            "import.outside",
            format!("`import \"{path}\"` leaves the folder of the runbook"),
        )
        .hint("put shared modules below the runbooks, for example `import \"lib/team\"`"));
    }
    let folder = source
        .map(Path::new)
        .and_then(Path::parent)
        .unwrap_or(Path::new(""));
    // Without its `./`, or a file that imports itself would get an ever longer name.
    let mut file = folder.to_owned();
    file.extend(
        relative
            .components()
            .filter(|part| matches!(part, Component::Normal(_))),
    );
    if file.extension().is_none_or(|extension| extension != "rhai") {
        file.as_mut_os_string().push(".rhai");
    }
    Ok(file)
}

fn evaluate(engine: &Engine, name: &str, text: &str) -> Result<Module, Error> {
    let mut ast: AST = engine
        .compile(text)
        .map_err(|error| script_error::syntax(&error, name))?;
    ast.set_source(name);
    Module::eval_ast_as_new(Scope::new(), &ast, engine)
        .map_err(|error| Error::from_script(&error, name))
}

impl ModuleResolver for Resolver {
    fn resolve(
        &self,
        engine: &Engine,
        source: Option<&str>,
        path: &str,
        position: Position,
    ) -> Result<Shared<Module>, Box<EvalAltResult>> {
        self.load(engine, source, path).map_err(|error| {
            let place = crate::error::Location::of(source.unwrap_or_default(), position);
            error.at(place).into_script(position)
        })
    }
}
