//! The one way from a script to the world.
//!
//! Every call of every primitive passes through [`invoke`], in this order: is the run still to go
//! on → decode the arguments → permission → record it → dry run or confirmation → run it against
//! cancellation and the deadline → record the outcome → give an error the place of the call.

use std::any::Any;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use indexmap::IndexMap;
use rhai::{Dynamic, EvalAltResult, Map, NativeCallContext};

use crate::caller::Caller;
use crate::cx::Cx;
use crate::effect::Effect;
use crate::error::{Error, Location, Result};
use crate::event::{Event, Outcome, PlannedChange};
use crate::planned::{self, Planned};
use crate::primitive::{
    Args, FromArg as _, Invocation, MaybeSecret, OptionField, Param, Preview, PreviewFn, Primitive,
    PrimitiveKind,
};
use crate::run::{Permit, Run, pace};
use crate::scope::Scope;
use crate::secret::{Secret, is_secret_name};

/// Call a primitive from a script.
pub fn invoke(
    primitive: &Arc<Primitive>,
    context: Option<&NativeCallContext<'_>>,
    args: &mut [&mut Dynamic],
) -> Result<Dynamic, Box<EvalAltResult>> {
    let Some(context) = context else {
        let error = Error::new(
            "kernel.no_context",
            format!("{} was called by no script", primitive.path()),
        );
        return Err(error.into_script(rhai::Position::NONE));
    };
    let position = context.call_position();
    let place = || Location::of(context.call_source().unwrap_or_default(), position);
    // The time in here is not the script's own.
    let _pause = pace::pause();
    // A panic in a primitive is our mistake, and must not take the operator's session with it.
    std::panic::catch_unwind(AssertUnwindSafe(|| call(primitive, context, args)))
        .unwrap_or_else(|panic| Err(panicked(primitive, panic.as_ref())))
        .map_err(|error| {
            let step = Scope::current()
                .ok()
                .and_then(|scope| scope.step().map(str::to_owned));
            error.at(place()).in_step(step).into_script(position)
        })
}

fn call(
    primitive: &Arc<Primitive>,
    context: &NativeCallContext<'_>,
    args: &mut [&mut Dynamic],
) -> Result<Dynamic> {
    let scope = Scope::current()?;
    if let Some(stop) = scope.stop() {
        return Err(Error::stop(stop));
    }
    let (this, values) = take(primitive, args);
    let caller = Caller::new(context);

    // What is computed from a planned value is planned too. The words of the language take planned
    // values themselves.
    if primitive.effect == Effect::Pure
        && !primitive.namespace.is_empty()
        && scope.run().plan().has_planned_values()
    {
        let depends_on = planned::dependencies(this.iter().chain(values.iter().flatten()));
        if let Some(change) = depends_on.first() {
            let effectful = Effectful {
                primitive,
                scope: &scope,
                caller: Some(&caller),
            };
            return Ok(effectful.value(*change));
        }
    }
    if primitive.effect == Effect::Pure {
        let cx = Cx::new(Arc::clone(&scope), Arc::clone(primitive), 0, None);
        let args = Args::new(primitive, this, values, false);
        return run(&scope, &cx, &caller, (primitive.prepare)(args)?.invocation);
    }
    Effectful {
        primitive,
        scope: &scope,
        caller: Some(&caller),
    }
    .call(&caller, this, values)
}

/// A method call on a planned value: of a change, one more planned change; of anything else, a value
/// that cannot be known yet.
///
/// # Errors
/// None today; the signature is that of a call.
pub fn depending(
    primitive: &Arc<Primitive>,
    scope: &Arc<Scope>,
    args: &mut [&mut Dynamic],
) -> Result<Dynamic> {
    let (this, values) = take(primitive, args);
    let depends_on = planned::dependencies(this.iter().chain(values.iter().flatten()));
    let arguments = audit(scope.run(), primitive, this.as_ref(), &values);
    Effectful {
        primitive,
        scope,
        caller: None,
    }
    .depending(arguments, depends_on)
}

/// A call that reads or changes the world.
struct Effectful<'a> {
    primitive: &'a Arc<Primitive>,
    scope: &'a Arc<Scope>,
    /// Unknown for a method of a planned value.
    caller: Option<&'a Caller<'a>>,
}

impl Effectful<'_> {
    fn call(
        &self,
        caller: &Caller<'_>,
        this: Option<Dynamic>,
        values: VecDeque<Option<Dynamic>>,
    ) -> Result<Dynamic> {
        let run = self.scope.run();
        let arguments = audit(run, self.primitive, this.as_ref(), &values);
        if run.plan().has_planned_values() {
            let depends_on = planned::dependencies(this.iter().chain(values.iter().flatten()));
            if !depends_on.is_empty() {
                return self.depending(arguments, depends_on);
            }
        }

        let wants_preview = self.primitive.effect == Effect::Change && run.mode().previews();
        let args = Args::new(self.primitive, this, values, wants_preview);
        let call = (self.primitive.prepare)(args)?;
        for need in &call.needs {
            run.permit(need, self.primitive.effect)
                .map_err(|error| error.detail("primitive", self.primitive.path()))?;
        }

        let id = run.bus().next_effect();
        let location = caller.location();
        let cx = Cx::new(
            Arc::clone(self.scope),
            Arc::clone(self.primitive),
            id,
            location.clone(),
        );
        if self.primitive.effect == Effect::Change {
            if run.mode().is_dry() {
                let preview = self.preview(&cx, call.preview)?;
                return Ok(self.planned(arguments, preview, Vec::new(), location));
            }
            let preview = || self.preview(&cx, call.preview);
            if let Permit::Declined =
                run.confirm_change(self.primitive, &arguments, self.scope, preview)?
            {
                self.finished(id, arguments, Outcome::Declined, Instant::now(), None);
                return Ok(self.declined());
            }
        }

        run.bus().emit(
            self.scope.step(),
            Event::EffectStarted {
                id,
                primitive: self.primitive.path(),
                effect: self.primitive.effect,
                args: arguments.clone(),
                location,
            },
        );
        let started = Instant::now();
        let result = self::run(self.scope, &cx, caller, call.invocation);
        let outcome = match &result {
            Ok(_) if cx.is_unchanged() => Outcome::Unchanged,
            Ok(_) => Outcome::Done,
            Err(error) if error.stop_reason().is_some() => Outcome::Interrupted,
            Err(_) => Outcome::Failed,
        };
        if self.primitive.effect == Effect::Read && !self.primitive.volatile {
            run.plan().record_read(self.primitive, &arguments, &result);
        }
        if let Err(error) = &result
            && run.mode().is_dry()
            && let Some(value) = self.not_there_yet(&arguments, error)
        {
            self.finished(id, arguments, Outcome::Planned, started, None);
            return Ok(value);
        }
        let result = result.map_err(|error| run.redact_error(error));
        self.finished(id, arguments, outcome, started, result.as_ref().err());
        result
    }

    /// In a dry run, what a read did not find may be what an earlier change would have made.
    fn not_there_yet(&self, arguments: &str, error: &Error) -> Option<Dynamic> {
        let run = self.scope.run();
        let number = run.plan().last_number();
        let missing = ["not_found", "undefined_", "no_database", "no_rows"];
        if number == 0 || !missing.iter().any(|kind| error.kind().contains(kind)) {
            return None;
        }
        let text = format!(
            "{} {arguments}: {}; a planned change may make it, so what follows from it is not known",
            self.primitive.path(),
            error.message()
        );
        run.bus().emit(self.scope.step(), Event::PlanNote { text });
        Some(self.value(number))
    }

    fn preview(&self, cx: &Cx, preview: Option<PreviewFn>) -> Result<Preview> {
        let Some(preview) = preview else {
            return Ok(Preview::default());
        };
        cx.block_on(async { preview(cx.clone()).await })
    }

    /// A call that takes a planned value: of a change, one more planned change; of a read, a value
    /// that cannot be known yet.
    fn depending(&self, arguments: String, depends_on: Vec<u32>) -> Result<Dynamic> {
        let run = self.scope.run();
        match self.primitive.effect {
            Effect::Change if run.mode().is_dry() => {
                let location = self.caller.and_then(Caller::location);
                Ok(self.planned(arguments, Preview::default(), depends_on, location))
            }
            Effect::Change => {
                let id = run.bus().next_effect();
                self.finished(id, arguments, Outcome::Declined, Instant::now(), None);
                Ok(self.declined())
            }
            _ => Ok(self.value(depends_on.first().copied().unwrap_or_default())),
        }
    }

    fn planned(
        &self,
        args: String,
        preview: Preview,
        depends_on: Vec<u32>,
        location: Option<Location>,
    ) -> Dynamic {
        let run = self.scope.run();
        let undo = preview
            .undo
            .clone()
            .or_else(|| self.primitive.undo.map(str::to_owned))
            .or_else(|| run.plan().undo_of_step(self.scope.step()));
        let change = PlannedChange {
            number: 0,
            primitive: self.primitive.path(),
            args,
            step: self.scope.step().map(str::to_owned),
            location,
            preview,
            depends_on,
            undo,
        };
        let number = run.plan_change(self.scope.step(), change);
        self.value(number)
    }

    fn declined(&self) -> Dynamic {
        let number = self.scope.run().plan().next_declined();
        self.value(number)
    }

    /// The value that stands in for the result of change `number`.
    fn value(&self, number: u32) -> Dynamic {
        self.scope.run().plan().has_planned();
        if self.primitive.returns == "()" {
            return Dynamic::UNIT;
        }
        Dynamic::from(Planned {
            change: number,
            type_name: self.primitive.returns.as_str().into(),
        })
    }

    fn finished(
        &self,
        id: u64,
        args: String,
        outcome: Outcome,
        started: Instant,
        error: Option<&Error>,
    ) {
        let run = self.scope.run();
        run.count_effect(self.primitive.effect, outcome);
        run.bus().emit(
            self.scope.step(),
            Event::EffectFinished {
                id,
                primitive: self.primitive.path(),
                effect: self.primitive.effect,
                args,
                outcome,
                elapsed_us: u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
                error: error.map(Error::to_json),
            },
        );
    }
}

fn run(
    scope: &Arc<Scope>,
    cx: &Cx,
    caller: &Caller<'_>,
    invocation: Invocation,
) -> Result<Dynamic> {
    match invocation {
        Invocation::Plain(function) => function(cx, caller),
        Invocation::Async(function) => scope
            .run()
            .block_on(scope, async { function(cx.clone()).await }),
    }
}

/// The object, and one entry per parameter. Where a call gives fewer arguments than there are
/// parameters, the optional ones are left out from the right: `step(name, || …)` leaves out the
/// options in the middle.
fn take(
    primitive: &Primitive,
    args: &mut [&mut Dynamic],
) -> (Option<Dynamic>, VecDeque<Option<Dynamic>>) {
    let (this, given) = match primitive.kind {
        PrimitiveKind::Function => (None, &mut args[..]),
        _ => match args.split_first_mut() {
            Some((this, rest)) => (Some(this.flatten_clone()), rest),
            None => (None, &mut args[..]),
        },
    };
    let mut missing = primitive.params.len().saturating_sub(given.len());
    let mut left_out = vec![false; primitive.params.len()];
    for (index, param) in primitive.params.iter().enumerate().rev() {
        if missing > 0 && param.optional {
            left_out[index] = true;
            missing -= 1;
        }
    }
    let mut given = given.iter_mut();
    let values = left_out
        .into_iter()
        .map(|out| {
            if out {
                None
            } else {
                given.next().map(|arg| std::mem::take(*arg).flatten())
            }
        })
        .collect();
    (this, values)
}

/// How long one argument, and all of them, may be in an audit entry.
const ARGUMENT_LENGTH: usize = 120;

fn audit(
    run: &Run,
    primitive: &Primitive,
    this: Option<&Dynamic>,
    values: &VecDeque<Option<Dynamic>>,
) -> String {
    let show = |value: &Dynamic| {
        let object = run.registry().describe(value);
        object.unwrap_or_else(|| crate::value::literal(value, ARGUMENT_LENGTH))
    };
    let arguments: Vec<String> = primitive
        .params
        .iter()
        .zip(values)
        .filter_map(|(param, value)| Some(show(&hide(param, value.as_ref()?))))
        .collect();
    let arguments = arguments.join(", ");
    match this {
        Some(this) => format!("{}: {arguments}", show(this)),
        None => arguments,
    }
}

/// What is taken as a secret is shown as one, also where a script gives it as a plain text: a key that it has read from a file. Of a URL
/// people want to see where it leads; what knows URLs hides the password in them. Of a map of such (headers, environment), what
/// is called as a secret is.
fn hide<'v>(param: &Param, value: &'v Dynamic) -> Cow<'v, Dynamic> {
    if let Some(hidden) = as_secret(param.name, &param.type_name, value) {
        return Cow::Owned(hidden);
    }
    let (Some(fields), Ok(options)) = (&param.fields, value.as_map_ref()) else {
        return Cow::Borrowed(value);
    };
    let hide = |field: &OptionField| {
        let hidden = as_secret(field.name, &field.type_name, options.get(field.name)?)?;
        Some((field.name, hidden))
    };
    let known = fields.iter().filter(|field| field.name != "url");
    replaced(value, &options, known.filter_map(hide).collect())
}

/// What is shown for the value of something of this name and type, if it is not the value.
fn as_secret(name: &str, type_name: &str, value: &Dynamic) -> Option<Dynamic> {
    let secret = |name: &str, value: &Dynamic| {
        let text = value.clone().into_string().ok()?;
        Some(Dynamic::from(Secret::new(name, text)))
    };
    if type_name == MaybeSecret::type_name() {
        return secret(name, value);
    }
    if type_name != IndexMap::<String, MaybeSecret>::type_name() {
        return None;
    }
    let entries = value.as_map_ref().ok()?;
    let telling = entries.iter().filter(|(key, _)| is_secret_name(key));
    let hidden = telling.filter_map(|(key, value)| Some((key.as_str(), secret(key, value)?)));
    Some(replaced(value, &entries, hidden.collect()).into_owned())
}

/// A map with other values for some of its keys.
fn replaced<'v>(whole: &'v Dynamic, map: &Map, others: Vec<(&str, Dynamic)>) -> Cow<'v, Dynamic> {
    if others.is_empty() {
        return Cow::Borrowed(whole);
    }
    let mut map = map.clone();
    for (key, value) in others {
        map.insert(key.into(), value);
    }
    Cow::Owned(map.into())
}

fn panicked(primitive: &Primitive, panic: &(dyn Any + Send)) -> Error {
    let why = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned());
    Error::new(
        "kernel.panic",
        format!("{} broke off: {why}", primitive.path()),
    )
    .hint("this is a mistake in ccrun: please report it with this message")
}
