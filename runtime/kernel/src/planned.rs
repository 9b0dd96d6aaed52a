//! Planned values: what stands in, during a dry run, for the result of a change that was not made.
//!
//! A planned value has a type but no content. Whatever is computed from it is planned too; a change
//! that takes one is itself planned, and says which change it depends on. A condition on one can't
//! be known: the plan goes on with what a success would do, and says so.

use std::any::TypeId;
use std::sync::Arc;

use rhai::{Dynamic, Module, NativeCallContext};

use crate::error::{Location, Result};
use crate::native::{self, First};
use crate::scope::Scope;
use crate::wrapper;

/// The result of a change that was planned, or declined, and not made.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The change's number in the plan.
    pub change: u32,
    /// The type the result would have.
    pub type_name: Arc<str>,
}

/// The name under which scripts and messages know it.
pub const NAME: &str = "planned value";

impl Planned {
    /// What it looks like in a text.
    #[must_use]
    pub fn describe(&self) -> String {
        match self.change {
            0 => "‹known when it runs›".to_owned(),
            number => format!("‹known after change {number}›"),
        }
    }

    fn derived(&self) -> Dynamic {
        Dynamic::from(Self {
            change: self.change,
            type_name: "any".into(),
        })
    }
}

/// The numbers of the changes that a value rests on.
#[must_use]
pub fn dependencies<'a>(values: impl IntoIterator<Item = &'a Dynamic>) -> Vec<u32> {
    let mut found = Vec::new();
    for value in values {
        collect(value, &mut found);
    }
    found.sort_unstable();
    found.dedup();
    found
}

fn collect(value: &Dynamic, found: &mut Vec<u32>) {
    if let Some(planned) = value.read_lock::<Planned>() {
        found.push(planned.change);
    } else if let Ok(items) = value.as_array_ref() {
        items.iter().for_each(|item| collect(item, found));
    } else if let Ok(map) = value.as_map_ref() {
        map.values().for_each(|item| collect(item, found));
    }
}

const COMPARISONS: [&str; 6] = ["==", "!=", "<", "<=", ">", ">="];
const ARITHMETIC: [&str; 6] = ["+", "-", "*", "/", "%", "**"];

/// The operators and properties of planned values.
pub fn register(module: &mut Module) {
    let planned = TypeId::of::<Planned>();
    let any = TypeId::of::<Dynamic>();
    for operator in COMPARISONS {
        set(module, operator, &[planned, any], compare);
        set(module, operator, &[any, planned], compare);
        set(module, operator, &[planned, planned], compare);
    }
    for operator in ARITHMETIC {
        set(module, operator, &[planned, any], derive);
        set(module, operator, &[planned, planned], derive);
        // A text with a planned part stays readable: `"id " + planned`.
        if operator != "+" {
            set(module, operator, &[any, planned], derive);
        }
    }
    set(module, "!", &[planned], compare);
    set(module, "-", &[planned], derive);
    set(module, "index$get$", &[planned, any], derive);
    set(module, "to_string", &[planned], |_, planned| {
        Ok(planned.describe().into())
    });
    set(module, "to_debug", &[planned], |_, planned| {
        Ok(planned.describe().into())
    });
    module.set_iter(planned, |value| {
        Box::new(value.try_cast::<Planned>().map(|p| p.derived()).into_iter())
    });
}

type Operator = fn(&NativeCallContext<'_>, &Planned) -> Result<Dynamic>;

fn set(module: &mut Module, name: &str, types: &[TypeId], operator: Operator) {
    native::register(
        module,
        name,
        types,
        First::ByReference,
        move |context, args| {
            let planned = args
                .iter()
                .find_map(|arg| arg.read_lock::<Planned>().map(|p| p.clone()));
            match (context, planned) {
                (Some(context), Some(planned)) => operator(context, &planned)
                    .map_err(|error| error.into_script(context.call_position())),
                _ => Ok(Dynamic::UNIT),
            }
        },
    );
}

fn derive(_: &NativeCallContext<'_>, planned: &Planned) -> Result<Dynamic> {
    Ok(planned.derived())
}

/// A condition on a planned value: true the first time at each place, so that the plan shows what
/// a success would do; false from then on, so that a loop which waits for it ends.
fn compare(context: &NativeCallContext<'_>, planned: &Planned) -> Result<Dynamic> {
    let scope = Scope::current()?;
    let source = context.call_source().unwrap_or_default();
    let place = Location::of(source, context.call_position());
    Ok(scope
        .run()
        .guess(scope.step(), planned.change, place)
        .into())
}

/// A function that is not registered for a planned value: a method of the type that it stands for,
/// or something that yields another planned value.
///
/// # Errors
/// That the run is to stop.
pub fn missing_function(name: &str, args: &mut [&mut Dynamic]) -> Result<Option<Dynamic>> {
    let Some(planned) = args
        .iter()
        .find_map(|arg| arg.read_lock::<Planned>().map(|p| p.clone()))
    else {
        return Ok(None);
    };
    let receiver = args
        .first()
        .and_then(|arg| arg.read_lock::<Planned>().map(|p| p.clone()));
    let scope = Scope::current()?;
    let method = receiver.and_then(|receiver| {
        let registry = scope.run().registry();
        let getter = name.strip_prefix("get$").unwrap_or(name);
        registry
            .method(&receiver.type_name, getter)
            .or_else(|| registry.methods(getter).next())
    });
    match method {
        Some(method) => wrapper::depending(method, &scope, args).map(Some),
        None => Ok(Some(planned.derived())),
    }
}
