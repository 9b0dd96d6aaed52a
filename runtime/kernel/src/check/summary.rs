//! What the functions of a file do to the world, followed through their calls.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::facts::{ClosureUse, Facts, FrameId, FrameKind};
use super::program::Program;
use super::resolve::Target;
use crate::effect::Effect;
use crate::primitive::{Capability, Primitive};

/// What an importing file needs to know of a module.
#[derive(Debug, Default)]
pub struct ModuleSummary {
    pub functions: Vec<FunctionSummary>,
    /// The exported variables.
    pub variables: Vec<String>,
    /// The modules that it imports, by the name it gives them.
    pub modules: BTreeMap<String, Arc<ModuleSummary>>,
    /// The capabilities that it may use anywhere, other modules included.
    pub capabilities: BTreeSet<&'static str>,
    /// The names of map entries, any of which may hold a closure.
    pub keys: BTreeSet<String>,
    /// The parameters that it reads; `None` for all.
    pub params: Option<BTreeSet<String>>,
}

/// A function of a module.
#[derive(Debug)]
pub struct FunctionSummary {
    pub name: String,
    pub arguments: usize,
    pub private: bool,
    pub effects: Effects,
}

/// What a function does to the world.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Effects {
    /// A primitive through which it changes something outside of a step of its own.
    pub change: Option<String>,
    /// What it needs, and a primitive that needs it.
    pub needs: BTreeMap<(&'static str, Effect), String>,
}

impl ModuleSummary {
    /// The function that a call with so many arguments means.
    pub fn function(&self, name: &str, arguments: usize) -> Option<usize> {
        self.functions.iter().position(|function| {
            function.name == name && function.arguments == arguments && !function.private
        })
    }
}

impl Effects {
    /// Take over what another function does. Whether that is new.
    fn add(&mut self, other: &Self, inside_step: bool) -> bool {
        let before = (self.change.is_some(), self.needs.len());
        if self.change.is_none() && !inside_step {
            self.change.clone_from(&other.change);
        }
        for (need, path) in &other.needs {
            self.needs.entry(*need).or_insert_with(|| path.clone());
        }
        before != (self.change.is_some(), self.needs.len())
    }
}

/// Where a call stands, as far as steps go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The function around it, if it is not at the top level.
    pub function: Option<usize>,
    /// Whether it is in a step; `None` in a closure that is kept for later.
    pub step: Option<bool>,
}

/// Where the code of a frame stands.
pub fn standing(facts: &Facts<'_>, frame: FrameId) -> Standing {
    let mut step = Some(false);
    for (_, kind) in facts.around(frame) {
        match kind {
            FrameKind::Closure(ClosureUse::Step(_) | ClosureUse::Later) => step = Some(true),
            FrameKind::Closure(ClosureUse::Stored) if step == Some(false) => step = None,
            FrameKind::Function(function) => {
                return Standing {
                    function: Some(function),
                    step,
                };
            }
            _ => {}
        }
    }
    Standing {
        function: None,
        step,
    }
}

/// The change that a call of these primitives certainly is.
pub fn change_of<'t>(target: &'t Target<'_>) -> Option<&'t Primitive> {
    match target {
        Target::Primitives {
            candidates,
            certain: true,
        } if candidates.iter().all(|p| p.effect == Effect::Change) => {
            candidates.first().map(|p| &***p)
        }
        _ => None,
    }
}

/// What the call of these primitives certainly needs.
pub fn certain_needs(target: &Target<'_>) -> Vec<((&'static str, Effect), String)> {
    let Target::Primitives {
        candidates,
        certain: true,
    } = target
    else {
        return Vec::new();
    };
    let Some((first, others)) = candidates.split_first() else {
        return Vec::new();
    };
    first
        .capabilities
        .iter()
        .filter(|capability| {
            others.iter().all(|other| {
                let same =
                    |c: &Capability| c.name == capability.name && c.effect == capability.effect;
                other.capabilities.iter().any(same)
            })
        })
        .map(|capability| ((capability.name, capability.effect), first.path()))
        .collect()
}

/// The effects of each function of a file, by its index, and last those of the top level.
pub fn effects(program: &Program, facts: &Facts<'_>, targets: &[Target<'_>]) -> Vec<Effects> {
    let top = program.functions().len();
    let mut effects = vec![Effects::default(); top + 1];
    let mut inner: Vec<(usize, usize, bool)> = Vec::new();
    for (call, target) in facts.calls.iter().zip(targets) {
        let standing = standing(facts, call.frame);
        let owner = standing.function.unwrap_or(top);
        let in_step = standing.step != Some(false);
        match target {
            Target::Primitives { .. } => {
                let change = change_of(target).map(Primitive::path);
                let needs = certain_needs(target).into_iter().collect();
                effects[owner].add(&Effects { change, needs }, in_step);
            }
            Target::Module { module, function } => {
                effects[owner].add(&module.functions[*function].effects, in_step);
            }
            Target::Script(function) => inner.push((owner, *function, in_step)),
            Target::Other => {}
        }
    }
    // Functions call each other: until nothing is new.
    let mut changed = true;
    while changed {
        changed = false;
        for (caller, callee, in_step) in &inner {
            let callee = effects[*callee].clone();
            changed |= effects[*caller].add(&callee, *in_step);
        }
    }
    effects
}
