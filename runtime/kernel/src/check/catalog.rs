//! Which functions there are: the primitives of the registry, and what Rhai and the kernel's own
//! types bring along.

use std::any::TypeId;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use crate::primitive::{Primitive, PrimitiveKind};
use crate::registry::Registry;
use crate::run;

/// What the interpreter itself understands, and no list of functions has.
const KEYWORDS: [&str; 10] = [
    "print",
    "debug",
    "type_of",
    "Fn",
    "call",
    "curry",
    "is_def_var",
    "is_def_fn",
    "is_shared",
    "eval",
];

/// Everything that a script can call.
pub struct Catalog<'r> {
    /// By namespace and name.
    functions: BTreeMap<&'static str, BTreeMap<&'static str, Vec<&'r Arc<Primitive>>>>,
    members: BTreeMap<&'static str, Vec<&'r Arc<Primitive>>>,
    /// Functions without a prefix that are no primitives, with the numbers of their arguments.
    standard: BTreeMap<String, BTreeSet<usize>>,
    namespaces: BTreeSet<&'static str>,
    objects: HashSet<&'static str>,
    capabilities: BTreeSet<&'static str>,
}

impl<'r> Catalog<'r> {
    pub fn new(registry: &'r Registry) -> Self {
        let mut catalog = Self {
            functions: BTreeMap::new(),
            members: BTreeMap::new(),
            standard: standard(registry),
            namespaces: registry.namespaces().map(|(name, _)| name).collect(),
            objects: registry
                .objects()
                .iter()
                .map(|object| object.name)
                .collect(),
            capabilities: BTreeSet::new(),
        };
        catalog.namespaces.remove("");
        for primitive in registry.primitives() {
            catalog
                .capabilities
                .extend(primitive.capabilities.iter().map(|c| c.name));
            if primitive.kind == PrimitiveKind::Function {
                let space = catalog.functions.entry(primitive.namespace).or_default();
                space.entry(primitive.name).or_default().push(primitive);
            } else {
                catalog
                    .members
                    .entry(primitive.name)
                    .or_default()
                    .push(primitive);
            }
        }
        // What may also be called without its prefix.
        let spaces = catalog
            .functions
            .iter()
            .filter(|(space, _)| !space.is_empty());
        let names: HashSet<&'static str> = spaces
            .flat_map(|(_, functions)| functions.keys().copied())
            .collect();
        let plain = catalog.functions.entry("").or_default();
        for name in names {
            let global: Vec<_> = registry.functions("", name).collect();
            if !global.is_empty() {
                plain.insert(name, global);
            }
        }
        let plain = &catalog.functions[""];
        catalog
            .standard
            .retain(|name, _| !plain.contains_key(name.as_str()));
        catalog
    }

    /// The functions `namespace::name`; without a namespace, the words of the language.
    pub fn functions(&self, namespace: &str, name: &str) -> &[&'r Arc<Primitive>] {
        let functions = self
            .functions
            .get(namespace)
            .and_then(|space| space.get(name));
        functions.map_or(&[], Vec::as_slice)
    }

    /// The methods and properties of this name, of all types.
    pub fn members(&self, name: &str) -> &[&'r Arc<Primitive>] {
        self.members.get(name).map_or(&[], Vec::as_slice)
    }

    /// The methods and properties of a type.
    pub fn members_of<'a>(
        &'a self,
        type_name: &'a str,
    ) -> impl Iterator<Item = &'r Arc<Primitive>> + 'a {
        self.members
            .values()
            .flatten()
            .filter(move |p| {
                p.receiver
                    .is_some_and(|receiver| receiver.type_name == type_name)
            })
            .copied()
    }

    /// The numbers of arguments that a function of the interpreter takes.
    pub fn standard(&self, name: &str) -> Option<&BTreeSet<usize>> {
        self.standard.get(name)
    }

    pub fn is_keyword(&self, name: &str) -> bool {
        KEYWORDS.contains(&name)
    }

    pub fn is_namespace(&self, name: &str) -> bool {
        self.namespaces.contains(name)
    }

    pub fn namespaces(&self) -> impl Iterator<Item = &str> {
        self.namespaces.iter().copied()
    }

    /// Whether scripts hold such objects.
    pub fn is_object(&self, type_name: &str) -> bool {
        self.objects.contains(type_name)
    }

    pub fn capabilities(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.capabilities.iter().copied()
    }

    /// The names of the functions in a namespace.
    pub fn names_in<'a>(&'a self, namespace: &str) -> impl Iterator<Item = &'a str> + use<'a, 'r> {
        self.functions
            .get(namespace)
            .into_iter()
            .flat_map(|space| space.keys().copied())
    }

    /// The namespaces that have a function of this name, sorted.
    pub fn spaces_with(&self, name: &str) -> Vec<&'static str> {
        let spaces = self
            .functions
            .iter()
            .filter(|(space, functions)| !space.is_empty() && functions.contains_key(name));
        let mut spaces: Vec<&'static str> = spaces.map(|(space, _)| *space).collect();
        spaces.sort_unstable();
        spaces
    }

    /// The names of functions that need no prefix.
    pub fn plain_names(&self) -> impl Iterator<Item = &str> {
        let standard = self.standard.keys().map(String::as_str);
        standard.chain(self.names_in("")).chain(KEYWORDS)
    }

    /// The names of methods and properties, and of functions that can be called like one.
    pub fn member_names(&self) -> impl Iterator<Item = &str> {
        self.standard
            .keys()
            .map(String::as_str)
            .chain(self.members.keys().copied())
    }
}

/// The functions of Rhai's packages and of the kernel's value types.
fn standard(registry: &Registry) -> BTreeMap<String, BTreeSet<usize>> {
    let mut engine = run::bare();
    registry.install(&mut engine);
    let objects: HashSet<TypeId> = registry
        .objects()
        .iter()
        .map(crate::registry::ObjectType::type_id)
        .collect();
    let objects = &objects;
    let all = engine.collect_fn_metadata(
        None,
        |info| {
            let function = info.metadata;
            let method = function
                .param_types
                .first()
                .is_some_and(|first| objects.contains(first));
            // A namespace's own functions are known from the registry.
            let plain = info.namespace.is_empty();
            let word = rhai::is_valid_identifier(&function.name);
            (plain && !method && word).then(|| (function.name.to_string(), function.num_params))
        },
        true,
    );
    let mut standard: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
    for (name, arguments) in all {
        standard.entry(name).or_default().insert(arguments);
    }
    standard
}
