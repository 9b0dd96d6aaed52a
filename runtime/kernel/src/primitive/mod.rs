//! What a primitive is: its description, and the pending call that its arguments make.
//!
//! `#[primitive]` (in `ccrun-macros`) writes these from a Rust function; [`crate::registry`] collects
//! them; [`crate::wrapper`] is the only place that runs them.

mod args;
mod convert;
mod doc;
mod options;
mod preview;
#[cfg(test)]
mod tests;

use std::any::TypeId;

use rhai::Dynamic;

pub use args::{Args, Mismatch, script_type_name};
pub use convert::{Blob, Bytes, FromArg, IntoValue, MaybeSecret, object_from_arg};
pub use doc::{Doc, Example};
pub use futures::future::BoxFuture;
pub use options::{OptionField, OptionReader};
pub use preview::Preview;

use crate::caller::Caller;
use crate::cx::Cx;
use crate::effect::Effect;
use crate::error::Result;

/// A native function or method that a script can call.
#[derive(Debug, Clone)]
pub struct Primitive {
    /// The namespace, empty for the words of the language itself (`step`, `parallel` …).
    pub namespace: &'static str,
    /// The name in scripts.
    pub name: &'static str,
    /// Function, method or property.
    pub kind: PrimitiveKind,
    /// The type of a method's or property's object.
    pub receiver: Option<Receiver>,
    /// The parameters, without the object.
    pub params: Vec<Param>,
    /// The name of the returned type.
    pub returns: String,
    /// The documentation.
    pub doc: Doc,
    /// What it does to the world.
    pub effect: Effect,
    /// The permissions it asks for.
    pub capabilities: Vec<Capability>,
    /// How an operator takes the change back, if that is always the same.
    pub undo: Option<&'static str>,
    /// Whether what it reads changes by itself, so that a saved plan must not rest on it.
    pub volatile: bool,
    /// Decodes the arguments and makes the call, without running it.
    pub prepare: fn(Args) -> Result<Call>,
}

/// How a script writes the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrimitiveKind {
    /// `docker::containers()`
    Function,
    /// `container.restart()`
    Method,
    /// `container.name`
    Getter,
}

/// The type whose method a primitive is.
#[derive(Debug, Clone, Copy)]
pub struct Receiver {
    /// The name in scripts.
    pub type_name: &'static str,
    /// The Rust type.
    pub type_id: TypeId,
}

impl Receiver {
    /// The receiver for an object type.
    #[must_use]
    pub fn of<T: Object>() -> Self {
        Self {
            type_name: T::NAME,
            type_id: TypeId::of::<T>(),
        }
    }
}

/// One parameter.
#[derive(Debug, Clone)]
pub struct Param {
    /// Its name.
    pub name: &'static str,
    /// The name of its type in scripts.
    pub type_name: String,
    /// Whether a call may leave it out.
    pub optional: bool,
    /// The keys, where it is an options map.
    pub fields: Option<Vec<OptionField>>,
}

impl Param {
    /// The parameter `name` of type `T`.
    #[must_use]
    pub fn of<T: FromArg>(name: &'static str) -> Self {
        Self {
            name: name.trim_start_matches('_'),
            type_name: T::type_name(),
            optional: T::optional(),
            fields: T::fields(),
        }
    }
}

/// A permission that a primitive asks for.
#[derive(Debug, Clone, Copy)]
pub struct Capability {
    /// Its name in `needs`: `docker`, `fs`, `pg` …
    pub name: &'static str,
    /// What is done to the resource: usually what the primitive as a whole does.
    pub effect: Effect,
    /// The parameter that names the resource, where it is one parameter as it stands: then
    /// `ccrun check` can read the resource off a literal.
    pub parameter: Option<usize>,
}

/// A permission with the resource of one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// The capability.
    pub capability: &'static str,
    /// The container, path, host, bucket … that this call touches.
    pub resource: String,
    /// What is done to it, where that is not what the primitive as a whole does.
    pub effect: Option<Effect>,
}

impl Need {
    /// A need for one resource.
    #[must_use]
    pub fn new(capability: &'static str, resource: String, effect: Option<Effect>) -> Self {
        Self {
            capability,
            resource,
            effect,
        }
    }
}

/// A call whose arguments are decoded and which has not run yet.
pub struct Call {
    /// The permissions it takes.
    pub needs: Vec<Need>,
    /// What it would do, where the primitive can tell and somebody asked.
    pub preview: Option<PreviewFn>,
    /// The call itself.
    pub invocation: Invocation,
}

/// Finds out what a change would do, without doing it.
pub type PreviewFn = Box<dyn FnOnce(Cx) -> BoxFuture<'static, Result<Preview>> + Send>;

/// The call of a plain Rust function.
pub type PlainFn = Box<dyn FnOnce(&Cx, &Caller<'_>) -> Result<Dynamic>>;

/// The call of an async Rust function.
pub type AsyncFn = Box<dyn FnOnce(Cx) -> BoxFuture<'static, Result<Dynamic>> + Send>;

/// How the Rust function is called.
pub enum Invocation {
    /// A plain function: computation, or one that calls back into the script.
    Plain(PlainFn),
    /// An async function: anything that waits.
    Async(AsyncFn),
}

/// A handle that scripts can hold: a container, a database, a bucket. Derive it.
pub trait Object: Clone + Send + Sync + 'static {
    /// The name of the type in scripts.
    const NAME: &'static str;
    /// Its documentation.
    const DOC: &'static str;
    /// What `print` shows.
    fn describe(&self) -> String;
}

impl Primitive {
    /// The name as in `ccrun doc`: `docker::containers`, `Container.restart`, `step`.
    #[must_use]
    pub fn path(&self) -> String {
        match (&self.receiver, self.namespace) {
            (Some(receiver), _) => format!("{}.{}", receiver.type_name, self.name),
            (None, "") => self.name.to_owned(),
            (None, namespace) => format!("{namespace}::{}", self.name),
        }
    }

    /// The signature as in the documentation: `docker::container(name: string) -> Container`.
    #[must_use]
    pub fn signature(&self) -> String {
        let mut text = self.path();
        if self.kind != PrimitiveKind::Getter {
            let params: Vec<String> = self
                .params
                .iter()
                .map(|p| {
                    format!(
                        "{}{}: {}",
                        p.name,
                        if p.optional { "?" } else { "" },
                        p.type_name
                    )
                })
                .collect();
            text.push_str(&format!("({})", params.join(", ")));
        }
        if self.returns != "()" {
            text.push_str(&format!(" -> {}", self.returns));
        }
        text
    }

    /// The numbers of arguments a call may have.
    #[must_use]
    pub fn arities(&self) -> std::ops::RangeInclusive<usize> {
        let optional = self.params.iter().filter(|p| p.optional).count();
        self.params.len() - optional..=self.params.len()
    }
}
