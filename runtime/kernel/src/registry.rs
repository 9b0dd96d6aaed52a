//! All primitives there are, and the script modules made of them.
//!
//! The interpreter, `ccrun doc`, `ccrun check`, completion, the documentation site and the tests all
//! read this one registry.

use std::any::TypeId;
use std::collections::BTreeMap;
use std::sync::Arc;

use rhai::{Dynamic, Engine, Module, Shared};

use crate::native::{self, First};
use crate::primitive::{Object, Primitive, PrimitiveKind};
use crate::value::closest;
use crate::wrapper;

/// One namespace: `docker`, `fs` … What a folder of the standard library hands over.
pub struct Namespace {
    name: &'static str,
    summary: &'static str,
    target_keys: Vec<&'static str>,
    objects: Vec<ObjectType>,
    primitives: Vec<Primitive>,
    globals: Vec<&'static str>,
}

/// A type that scripts can hold.
#[derive(Clone)]
pub struct ObjectType {
    /// The name in scripts.
    pub name: &'static str,
    /// Its documentation.
    pub doc: &'static str,
    /// The namespace that gives it.
    pub namespace: &'static str,
    type_id: TypeId,
    register: fn(&mut Engine),
    describe: fn(&Dynamic) -> Option<String>,
}

impl Namespace {
    /// A namespace with a one-line summary. The empty name is the language itself.
    #[must_use]
    pub fn new(name: &'static str, summary: &'static str) -> Self {
        Self {
            name,
            summary,
            target_keys: Vec::new(),
            objects: Vec::new(),
            primitives: Vec::new(),
            globals: Vec::new(),
        }
    }

    /// A key of `[target.X]` that this namespace reads.
    #[must_use]
    pub fn target_key(mut self, key: &'static str) -> Self {
        self.target_keys.push(key);
        self
    }

    /// A type that scripts can hold.
    #[must_use]
    pub fn object<T: Object>(mut self) -> Self {
        self.objects.push(ObjectType {
            name: T::NAME,
            doc: T::DOC,
            namespace: self.name,
            type_id: TypeId::of::<T>(),
            register: register_object::<T>,
            describe: |value| value.read_lock::<T>().map(|object| object.describe()),
        });
        self
    }

    /// The primitives, as `primitives![…]` lists them.
    #[must_use]
    pub fn primitives(mut self, primitives: Vec<Primitive>) -> Self {
        let namespace = self.name;
        self.primitives
            .extend(primitives.into_iter().map(|p| Primitive { namespace, ..p }));
        self
    }

    /// A function of this namespace that scripts may also call without its prefix: `secret("X")`.
    #[must_use]
    pub fn global(mut self, name: &'static str) -> Self {
        self.globals.push(name);
        self
    }
}

/// The primitives of all namespaces.
pub struct Registry {
    namespaces: BTreeMap<&'static str, &'static str>,
    target_keys: Vec<&'static str>,
    objects: Vec<ObjectType>,
    primitives: Vec<Arc<Primitive>>,
    globals: Vec<(&'static str, &'static str)>,
    modules: Vec<(&'static str, Shared<Module>)>,
    global_module: Shared<Module>,
}

impl Registry {
    /// The registry of these namespaces and of the language itself.
    #[must_use]
    pub fn new(namespaces: Vec<Namespace>) -> Self {
        let mut all = vec![crate::language::namespace()];
        all.extend(namespaces);

        let mut summaries = BTreeMap::new();
        let mut target_keys = vec!["protect", "needs", "secrets"];
        let mut objects = Vec::new();
        let mut primitives: Vec<Arc<Primitive>> = Vec::new();
        let mut globals = Vec::new();
        for namespace in all {
            summaries.insert(namespace.name, namespace.summary);
            target_keys.extend(namespace.target_keys);
            objects.extend(namespace.objects);
            globals.extend(namespace.globals.iter().map(|name| (namespace.name, *name)));
            primitives.extend(namespace.primitives.into_iter().map(Arc::new));
        }
        let (modules, global_module) = script_modules(&primitives, &globals);
        Self {
            namespaces: summaries,
            target_keys,
            objects,
            primitives,
            globals,
            modules,
            global_module,
        }
    }

    /// Teach an interpreter all of it. Cheap: the modules are shared.
    pub fn install(&self, engine: &mut Engine) {
        engine.register_global_module(Shared::clone(&self.global_module));
        for (name, module) in &self.modules {
            engine.register_static_module(*name, Shared::clone(module));
        }
        for object in &self.objects {
            (object.register)(engine);
        }
    }

    /// Every primitive, in the order of registration.
    #[must_use]
    pub fn primitives(&self) -> &[Arc<Primitive>] {
        &self.primitives
    }

    /// Names and summaries of the namespaces, sorted.
    pub fn namespaces(&self) -> impl Iterator<Item = (&'static str, &'static str)> + '_ {
        self.namespaces
            .iter()
            .map(|(name, summary)| (*name, *summary))
    }

    /// The types that scripts can hold.
    #[must_use]
    pub fn objects(&self) -> &[ObjectType] {
        &self.objects
    }

    /// Whether the value is a handle that scripts can hold.
    #[must_use]
    pub fn is_object(&self, value: &Dynamic) -> bool {
        let type_id = value.type_id();
        self.objects.iter().any(|object| object.type_id == type_id)
    }

    /// What an object shows of itself, if the value is one.
    #[must_use]
    pub fn describe(&self, value: &Dynamic) -> Option<String> {
        if !value.is_variant() {
            return None;
        }
        let type_id = value.type_id();
        let object = self
            .objects
            .iter()
            .find(|object| object.type_id == type_id)?;
        (object.describe)(value)
    }

    /// The keys that a target may have.
    #[must_use]
    pub fn target_keys(&self) -> &[&'static str] {
        &self.target_keys
    }

    /// The function `namespace::name` (or `name`, for the language and for globals).
    pub fn functions<'a>(
        &'a self,
        namespace: &'a str,
        name: &'a str,
    ) -> impl Iterator<Item = &'a Arc<Primitive>> {
        let namespace = match namespace {
            "" => self
                .globals
                .iter()
                .find(|(_, n)| *n == name)
                .map_or("", |(ns, _)| *ns),
            given => given,
        };
        self.primitives.iter().filter(move |p| {
            p.kind == PrimitiveKind::Function && p.namespace == namespace && p.name == name
        })
    }

    /// The methods and properties with this name, of any type.
    pub fn methods<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Arc<Primitive>> {
        self.primitives
            .iter()
            .filter(move |p| p.kind != PrimitiveKind::Function && p.name == name)
    }

    /// The method or property of one type.
    #[must_use]
    pub fn method(&self, type_name: &str, name: &str) -> Option<&Arc<Primitive>> {
        self.primitives
            .iter()
            .find(|p| p.name == name && p.receiver.is_some_and(|r| r.type_name == type_name))
    }

    /// What `ccrun doc NAME` means: a namespace's, a type's, or one function's primitives.
    #[must_use]
    pub fn find(&self, name: &str) -> Vec<&Arc<Primitive>> {
        let exact: Vec<_> = self
            .primitives
            .iter()
            .filter(|p| p.path() == name || p.name == name)
            .collect();
        if !exact.is_empty() {
            return exact;
        }
        self.primitives
            .iter()
            .filter(|p| {
                (p.namespace == name && !name.is_empty())
                    || p.receiver.is_some_and(|r| r.type_name == name)
            })
            .collect()
    }

    /// The nearest name that there is, for "did you mean".
    #[must_use]
    pub fn nearest(&self, name: &str) -> Option<String> {
        let mut names: Vec<String> = self.primitives.iter().map(|p| p.path()).collect();
        names.extend(self.namespaces.keys().map(|n| (*n).to_owned()));
        names.extend(self.objects.iter().map(|o| o.name.to_owned()));
        closest(name, names.iter().map(String::as_str)).map(str::to_owned)
    }
}

/// One module per namespace, and one for what scripts call without a prefix: the language, methods
/// and properties.
fn script_modules(
    primitives: &[Arc<Primitive>],
    globals: &[(&'static str, &'static str)],
) -> (Vec<(&'static str, Shared<Module>)>, Shared<Module>) {
    let mut modules: BTreeMap<&'static str, Module> = BTreeMap::new();
    let mut global = Module::new();
    for primitive in primitives {
        let unprefixed = primitive.namespace.is_empty()
            || primitive.kind != PrimitiveKind::Function
            || globals.contains(&(primitive.namespace, primitive.name));
        if unprefixed {
            register(&mut global, primitive);
        }
        if primitive.kind == PrimitiveKind::Function && !primitive.namespace.is_empty() {
            register(modules.entry(primitive.namespace).or_default(), primitive);
        }
    }
    crate::value::register(&mut global);
    crate::planned::register(&mut global);
    global.build_index();
    let modules = modules
        .into_iter()
        .map(|(name, mut module)| {
            module.build_index();
            (name, Shared::new(module))
        })
        .collect();
    (modules, Shared::new(global))
}

/// Register the primitive once per number of arguments. The arguments are `Dynamic` for the
/// interpreter, so that a wrong type is our error, with the parameter's name, and not
/// "function not found".
fn register(module: &mut Module, primitive: &Arc<Primitive>) {
    for arity in primitive.arities() {
        let mut types = Vec::with_capacity(arity + 1);
        types.extend(primitive.receiver.map(|receiver| receiver.type_id));
        types.resize(types.len() + arity, TypeId::of::<rhai::Dynamic>());
        let name = match primitive.kind {
            PrimitiveKind::Getter => format!("get${}", primitive.name),
            _ => primitive.name.to_owned(),
        };
        let first = match primitive.kind {
            PrimitiveKind::Function => First::ByValue,
            _ => First::ByReference,
        };
        let owned = Arc::clone(primitive);
        native::register(module, &name, &types, first, move |context, args| {
            wrapper::invoke(&owned, context, args)
        });
    }
}

fn register_object<T: Object>(engine: &mut Engine) {
    engine.register_type_with_name::<T>(T::NAME);
    engine.register_fn("to_string", |object: &mut T| object.describe());
    engine.register_fn("to_debug", |object: &mut T| object.describe());
}

impl ObjectType {
    /// The Rust type.
    #[must_use]
    pub fn type_id(&self) -> TypeId {
        self.type_id
    }
}
