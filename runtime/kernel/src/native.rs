//! Registration of native functions with Rhai, below the level of typed closures: any number of
//! arguments, the call context always at hand.

use std::any::TypeId;

use rhai::{Dynamic, EvalAltResult, FuncRegistration, Module, NativeCallContext, RhaiFunc, Shared};

/// What Rhai calls.
type NativeFn = dyn for<'a, 'b, 'c> Fn(
        Option<NativeCallContext<'a>>,
        &'b mut [&'c mut Dynamic],
    ) -> Result<Dynamic, Box<EvalAltResult>>
    + Send
    + Sync;

/// How the first argument comes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum First {
    /// Copied by the interpreter, like the others.
    ByValue,
    /// The script's own value, which must be left as it is.
    ByReference,
}

/// Register `function` as `name` for arguments of these types.
pub fn register(
    module: &mut Module,
    name: &str,
    types: &[TypeId],
    first: First,
    function: impl Fn(
        Option<&NativeCallContext<'_>>,
        &mut [&mut Dynamic],
    ) -> Result<Dynamic, Box<EvalAltResult>>
    + Send
    + Sync
    + 'static,
) {
    let func: Shared<NativeFn> = Shared::new(
        move |context: Option<NativeCallContext<'_>>, args: &mut [&mut Dynamic]| {
            function(context.as_ref(), args)
        },
    );
    let (has_context, is_pure, is_volatile) = (true, true, true);
    let function = match first {
        First::ByValue => RhaiFunc::Pure {
            func,
            has_context,
            is_pure,
            is_volatile,
        },
        First::ByReference => RhaiFunc::Method {
            func,
            has_context,
            is_pure,
            is_volatile,
        },
    };
    FuncRegistration::new(name)
        .in_global_namespace()
        .set_into_module_raw(module, types, function);
}
