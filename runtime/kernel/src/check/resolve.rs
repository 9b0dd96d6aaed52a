//! What each call means.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use rhai::Expr;

use super::catalog::Catalog;
use super::facts::{Call, CallId, ChainId, Facts, Link, VariableId, VariableKind};
use super::imports::Imported;
use super::program::Program;
use super::summary::ModuleSummary;
use crate::primitive::{Primitive, PrimitiveKind};

/// What a call means.
pub enum Target<'r> {
    /// A primitive. Several for a method whose object's type is not known.
    Primitives {
        candidates: Vec<&'r Arc<Primitive>>,
        /// It is one of these and nothing else.
        certain: bool,
    },
    /// A function of this file, by its index.
    Script(usize),
    /// A function of an imported module.
    Module {
        module: Arc<ModuleSummary>,
        function: usize,
    },
    /// A function of the interpreter, or something about which nothing is known.
    Other,
}

impl<'r> Target<'r> {
    /// The primitives that a call may mean.
    pub fn primitives(&self) -> &[&'r Arc<Primitive>] {
        match self {
            Self::Primitives { candidates, .. } => candidates,
            _ => &[],
        }
    }
}

/// Names and types of one file.
pub struct Resolver<'f, 'a, 'r> {
    pub catalog: &'f Catalog<'r>,
    pub program: &'a Program,
    pub facts: &'f Facts<'a>,
    /// The modules, in the order of the imports.
    pub imports: &'f [Imported],
    types: RefCell<HashMap<VariableId, Option<String>>>,
}

/// How far a type is followed through variables.
const MAX_HOPS: usize = 32;

impl<'f, 'a, 'r> Resolver<'f, 'a, 'r> {
    pub fn new(
        catalog: &'f Catalog<'r>,
        program: &'a Program,
        facts: &'f Facts<'a>,
        imports: &'f [Imported],
    ) -> Self {
        Self {
            catalog,
            program,
            facts,
            imports,
            types: RefCell::default(),
        }
    }

    /// What a call means.
    pub fn target(&self, call: CallId) -> Target<'r> {
        self.target_within(&self.facts.calls[call], MAX_HOPS)
    }

    fn target_within(&self, call: &Call<'a>, hops: usize) -> Target<'r> {
        if let Some((chain, links)) = call.receiver {
            return self.method(call, chain, links, hops);
        }
        let candidates = match call.namespace {
            [] => {
                if let Some(function) = self.program.function(call.name, call.args.len()) {
                    return Target::Script(function);
                }
                self.catalog.functions("", call.name)
            }
            [first, ..] => {
                if let Some(module) = self.module(call) {
                    return match module.function(call.name, call.args.len()) {
                        Some(function) => Target::Module { module, function },
                        None => Target::Other,
                    };
                }
                match call.namespace.len() {
                    1 => self.catalog.functions(first.as_str(), call.name),
                    _ => &[],
                }
            }
        };
        fitting(candidates.iter().copied(), call.args.len(), true)
    }

    /// The module that the namespace of a call stands for.
    pub fn module(&self, call: &Call<'_>) -> Option<Arc<ModuleSummary>> {
        let mut module = self.imports.get(call.import?)?.summary.clone()?;
        for part in &call.namespace[1..] {
            module = module.modules.get(part.as_str())?.clone();
        }
        Some(module)
    }

    fn method(&self, call: &Call<'a>, chain: ChainId, links: usize, hops: usize) -> Target<'r> {
        if self.program.function(call.name, call.args.len()).is_some() {
            return Target::Other;
        }
        let methods = self
            .catalog
            .members(call.name)
            .iter()
            .filter(|p| p.kind == PrimitiveKind::Method);
        if let Some(type_name) = self.object_before(chain, links, hops) {
            let own = methods.filter(|p| p.receiver.is_some_and(|r| r.type_name == type_name));
            return fitting(own.copied(), call.args.len(), true);
        }
        // The same name may be a method of arrays, maps and strings.
        let standard = self
            .catalog
            .standard(call.name)
            .is_some_and(|arguments| arguments.contains(&(call.args.len() + 1)));
        fitting(methods.copied(), call.args.len(), !standard)
    }

    /// The type of the object before a link of a chain, if it is one of ours.
    pub fn object(&self, receiver: (ChainId, usize)) -> Option<String> {
        self.object_before(receiver.0, receiver.1, MAX_HOPS)
    }

    fn object_before(&self, chain: ChainId, links: usize, hops: usize) -> Option<String> {
        self.type_before(chain, links, hops)
            .filter(|name| self.catalog.is_object(name))
    }

    fn type_before(&self, chain: ChainId, links: usize, hops: usize) -> Option<String> {
        let hops = hops.checked_sub(1)?;
        let chain = &self.facts.chains[chain];
        let mut current = self.type_of(chain.base, hops);
        for link in &chain.links[..links] {
            let before = current?;
            current = match link {
                Link::Index => element(&before),
                Link::Property(name) => self.member(&before, name, PrimitiveKind::Getter, None),
                Link::Method(call) => {
                    let call = &self.facts.calls[*call];
                    self.member(
                        &before,
                        call.name,
                        PrimitiveKind::Method,
                        Some(call.args.len()),
                    )
                }
            };
        }
        current
    }

    fn member(
        &self,
        type_name: &str,
        name: &str,
        kind: PrimitiveKind,
        arguments: Option<usize>,
    ) -> Option<String> {
        self.catalog
            .members(name)
            .iter()
            .find(|p| {
                p.kind == kind
                    && p.receiver
                        .is_some_and(|receiver| receiver.type_name == type_name)
                    && arguments.is_none_or(|count| p.arities().contains(&count))
            })
            .and_then(|p| value_type(&p.returns))
    }

    fn type_of(&self, expr: &'a Expr, hops: usize) -> Option<String> {
        let hops = hops.checked_sub(1)?;
        match expr {
            Expr::Variable(..) => {
                let variable = *self.facts.uses.get(&std::ptr::from_ref(expr))?;
                self.variable_type(variable, hops)
            }
            Expr::FnCall(call, _) => {
                let call = *self.facts.call_of.get(&std::ptr::from_ref(&**call))?;
                match self.target_within(&self.facts.calls[call], hops) {
                    Target::Primitives {
                        candidates,
                        certain: true,
                    } => common_type(&candidates),
                    _ => None,
                }
            }
            Expr::Dot(..) | Expr::Index(..) => {
                let chain = *self.facts.chain_of.get(&std::ptr::from_ref(expr))?;
                self.type_before(chain, self.facts.chains[chain].links.len(), hops)
            }
            _ => None,
        }
    }

    fn variable_type(&self, id: VariableId, hops: usize) -> Option<String> {
        if let Some(known) = self.types.borrow().get(&id) {
            return known.clone();
        }
        let variable = &self.facts.variables[id];
        let found = match (variable.assigned, variable.init) {
            (false, Some(init)) => {
                let whole = self.type_of(init, hops);
                match variable.kind {
                    VariableKind::Element => whole.and_then(|whole| element(&whole)),
                    _ => whole,
                }
            }
            _ => None,
        };
        self.types.borrow_mut().insert(id, found.clone());
        found
    }
}

fn fitting<'r>(
    candidates: impl Iterator<Item = &'r Arc<Primitive>>,
    arguments: usize,
    certain: bool,
) -> Target<'r> {
    let candidates: Vec<_> = candidates
        .filter(|p| p.arities().contains(&arguments))
        .collect();
    if candidates.is_empty() {
        Target::Other
    } else {
        Target::Primitives {
            candidates,
            certain,
        }
    }
}

fn common_type(candidates: &[&Arc<Primitive>]) -> Option<String> {
    let first = &candidates.first()?.returns;
    candidates
        .iter()
        .all(|p| p.returns == *first)
        .then(|| value_type(first))
        .flatten()
}

/// The type of a value that is there: `Container` for `Container or ()`.
fn value_type(returns: &str) -> Option<String> {
    let name = returns.strip_suffix(" or ()").unwrap_or(returns);
    (name != "any").then(|| name.to_owned())
}

fn element(type_name: &str) -> Option<String> {
    type_name
        .strip_prefix("array of ")
        .or_else(|| type_name.strip_prefix("map of "))
        .map(str::to_owned)
}
