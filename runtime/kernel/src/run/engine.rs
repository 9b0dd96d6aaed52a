//! The interpreter of a run.

use std::collections::BTreeMap;
use std::sync::Arc;

use rhai::packages::{Package, StandardPackage};
use rhai::{Dynamic, Engine, OptimizationLevel};

use super::pace;
use super::resolver::Resolver;
use super::{NotKept, Run};
use crate::event::{Event, Level};
use crate::planned::{self, Planned};
use crate::scope::Scope;

/// The library modules: what follows `std/` in an import, and the source.
pub type Modules = Arc<BTreeMap<&'static str, &'static str>>;

/// How many operations pass between two looks at cancellation: a look costs more than an operation.
const LOOK_EVERY: u64 = 64;

/// An interpreter for this run. It belongs to one thread at a time, but its closures may run on
/// several.
pub fn build(run: &Arc<Run>) -> Engine {
    let mut engine = bare();
    run.registry().install(&mut engine);
    engine.register_type_with_name::<Planned>(planned::NAME);
    engine.register_type_with_name::<NotKept>(NotKept::NAME);
    run.spec().limits.apply(&mut engine);
    let weak = Arc::downgrade(run);
    engine.set_module_resolver(Resolver::new(
        Arc::clone(&run.spec().modules),
        Box::new(move |name, source| {
            if let Some(run) = weak.upgrade() {
                run.completed().set_bodies(name, source);
            }
        }),
    ));

    engine.on_progress(|operations| {
        if operations % LOOK_EVERY != 0 {
            return None;
        }
        pace::look()
            .or_else(Scope::stop_of_current_thread)
            .map(Dynamic::from)
    });
    engine.on_print(|text| {
        if let Ok(scope) = Scope::current() {
            scope.run().bus().emit(
                scope.step(),
                Event::Output {
                    text: text.to_owned(),
                },
            );
        }
    });
    engine.on_debug(|text, _, _| {
        if let Ok(scope) = Scope::current() {
            scope.run().log(scope.step(), Level::Debug, text);
        }
    });
    // `params`, `target` and `trigger` are seen everywhere, inside functions too.
    let weak = Arc::downgrade(run);
    #[allow(
        deprecated,
        reason = "Rhai marks the callback as volatile, not as going away"
    )]
    engine.on_var(move |name, _, context| {
        let Some(run) = weak.upgrade() else {
            return Ok(None);
        };
        // Unless the script has a variable of that name.
        if matches!(name, "params" | "target" | "trigger") && context.scope().contains(name) {
            return Ok(None);
        }
        Ok(match name {
            "params" => Some(Dynamic::from(run.params().clone())),
            "target" => Some(run.target().name().to_owned().into()),
            "trigger" => Some(run.spec().trigger.clone()),
            _ => captured_handle(&run, context.scope(), name),
        })
    });
    let weak = Arc::downgrade(run);
    #[allow(deprecated, reason = "see on_var")]
    engine.on_missing_function(move |name, args, _, _| {
        if !weak
            .upgrade()
            .is_some_and(|run| run.plan().has_planned_values())
        {
            return Ok(None);
        }
        planned::missing_function(name, args)
            .map_err(|error| error.into_script(rhai::Position::NONE))
    });
    engine
}

/// A captured variable that holds a handle, as a copy. The interpreter locks a captured variable for
/// as long as a method of it runs, so that two closures could not use one database at the same time;
/// handles are shared already and need no lock.
fn captured_handle(run: &Run, variables: &rhai::Scope<'_>, name: &str) -> Option<Dynamic> {
    let variable = variables.get(name)?;
    (variable.is_shared() && run.registry().is_object(variable)).then(|| variable.flatten_clone())
}

/// The language without any primitive: what parsing alone needs.
#[must_use]
pub fn bare() -> Engine {
    let mut engine = Engine::new_raw();
    StandardPackage::new().register_into_engine(&mut engine);
    configure(&mut engine);
    engine
}

fn configure(engine: &mut Engine) {
    crate::runbook::free_words(engine);
    engine
        // Folding constants would compare `d < "5m"` as a duration with a text: never.
        .set_optimization_level(OptimizationLevel::None)
        .disable_symbol("eval")
        .set_fail_on_invalid_map_property(true)
        .set_allow_shadowing(true);
}
