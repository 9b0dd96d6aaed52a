//! What scripts can do with durations, sizes and times: operators, properties, texts.
//!
//! Every operator also takes the text form of its other side: `elapsed < "5m"`, `now - "7d"`.

use rhai::{EvalAltResult, INT, ImmutableString, Module, NativeCallContext, Variant};

use super::{Duration, Size, Timestamp};
use crate::error::{Error, Result};

type Context<'a> = NativeCallContext<'a>;
type Answer<T> = std::result::Result<T, Box<EvalAltResult>>;

/// Register the types with all they can do.
pub fn register(module: &mut Module) {
    module.set_custom_type::<Duration>("Duration");
    module.set_custom_type::<Size>("Size");
    module.set_custom_type::<Timestamp>("Timestamp");
    texts(module);
    comparisons(module);
    durations(module);
    sizes(module);
    timestamps(module);
}

fn answer<T>(context: &Context<'_>, result: Result<T>) -> Answer<T> {
    result.map_err(|error| error.into_script(context.call_position()))
}

/// Register an operator, or a method with one argument.
fn operator<A, B, T>(
    module: &mut Module,
    name: &str,
    apply: impl Fn(A, B) -> Result<T> + Send + Sync + 'static,
) where
    A: Variant + Clone,
    B: Variant + Clone,
    T: Variant + Clone,
{
    module.set_native_fn(name, move |context: Context<'_>, a: A, b: B| {
        answer(&context, apply(a, b))
    });
}

fn texts(module: &mut Module) {
    for name in ["to_string", "to_debug"] {
        module.set_native_fn(name, |duration: Duration| Ok(duration.to_string()));
        module.set_native_fn(name, |size: Size| Ok(size.to_string()));
        module.set_native_fn(name, |time: Timestamp| Ok(time.to_string()));
    }
}

/// The six comparisons of a type with itself and with its text, and of sizes with bytes.
macro_rules! compare {
    ($module:ident, $($name:literal $op:tt),*) => {$(
        operator($module, $name, |a: Duration, b: Duration| Ok(a $op b));
        operator($module, $name, |a: Duration, b: ImmutableString| Ok(a $op b.parse()?));
        operator($module, $name, |a: ImmutableString, b: Duration| Ok(a.parse::<Duration>()? $op b));
        operator($module, $name, |a: Size, b: Size| Ok(a $op b));
        operator($module, $name, |a: Size, b: ImmutableString| Ok(a $op b.parse()?));
        operator($module, $name, |a: ImmutableString, b: Size| Ok(a.parse::<Size>()? $op b));
        operator($module, $name, |a: Size, b: INT| Ok(i128::from(a.bytes()) $op i128::from(b)));
        operator($module, $name, |a: INT, b: Size| Ok(i128::from(a) $op i128::from(b.bytes())));
        operator($module, $name, |a: Timestamp, b: Timestamp| Ok(a $op b));
        operator($module, $name, |a: Timestamp, b: ImmutableString| Ok(a $op b.parse()?));
        operator($module, $name, |a: ImmutableString, b: Timestamp| Ok(a.parse::<Timestamp>()? $op b));
    )*};
}

fn comparisons(module: &mut Module) {
    compare!(module, "==" ==, "!=" !=, "<" <, "<=" <=, ">" >, ">=" >=);
}

fn durations(module: &mut Module) {
    operator(module, "+", |a: Duration, b: Duration| a.plus(b));
    operator(module, "+", |a: Duration, b: ImmutableString| {
        a.plus(span(&b)?)
    });
    operator(module, "-", |a: Duration, b: Duration| a.minus(b));
    operator(module, "-", |a: Duration, b: ImmutableString| {
        a.minus(b.parse()?)
    });
    operator(module, "*", |a: Duration, b: INT| a.times(b));
    operator(module, "*", |a: INT, b: Duration| b.times(a));
    operator(module, "*", |a: Duration, b: f64| a.times_float(b));
    operator(module, "*", |a: f64, b: Duration| b.times_float(a));
    operator(module, "/", |a: Duration, b: INT| a.divided_by(b));
    operator(module, "/", |a: Duration, b: Duration| {
        ratio(a.as_nanos() as f64, b.as_nanos() as f64)
    });
    operator(module, "/", |a: Duration, b: ImmutableString| {
        ratio(
            a.as_nanos() as f64,
            b.parse::<Duration>()?.as_nanos() as f64,
        )
    });
    module.set_native_fn("-", |context: Context<'_>, a: Duration| {
        answer(&context, a.times(-1))
    });
    module.set_native_fn("abs", |context: Context<'_>, a: Duration| {
        answer(&context, if a.is_negative() { a.times(-1) } else { Ok(a) })
    });

    // Whole units, cut off towards zero.
    for (name, nanos) in [
        ("millis", 1_000_000),
        ("secs", 1_000_000_000),
        ("minutes", 60_000_000_000_i128),
        ("hours", 3_600_000_000_000),
        ("days", 86_400_000_000_000),
    ] {
        module.set_getter_fn(name, move |duration: &mut Duration| {
            let count = duration.as_nanos() / nanos;
            Ok(INT::try_from(count).unwrap_or(if count < 0 { INT::MIN } else { INT::MAX }))
        });
    }
    // To what people can take in: the more of it, the coarser.
    module.set_getter_fn("rounded", |duration: &mut Duration| Ok(duration.rounded()));
    module.set_getter_fn("secs_float", |duration: &mut Duration| {
        Ok(duration.as_secs_f64())
    });
}

fn sizes(module: &mut Module) {
    operator(module, "+", |a: Size, b: Size| a.plus(b));
    operator(module, "+", |a: Size, b: ImmutableString| {
        a.plus(b.parse().map_err(|error: Error| error.hint(IN_A_TEXT))?)
    });
    operator(module, "-", |a: Size, b: Size| a.minus(b));
    operator(module, "-", |a: Size, b: ImmutableString| {
        a.minus(b.parse()?)
    });
    operator(module, "*", |a: Size, b: INT| a.times(b));
    operator(module, "*", |a: INT, b: Size| b.times(a));
    operator(module, "*", |a: Size, b: f64| a.times_float(b));
    operator(module, "*", |a: f64, b: Size| b.times_float(a));
    operator(module, "/", |a: Size, b: INT| a.divided_by(b));
    operator(module, "/", |a: Size, b: Size| {
        ratio(a.bytes() as f64, b.bytes() as f64)
    });
    operator(module, "/", |a: Size, b: ImmutableString| {
        ratio(a.bytes() as f64, b.parse::<Size>()?.bytes() as f64)
    });
    module.set_getter_fn("bytes", |size: &mut Size| {
        Ok(INT::try_from(size.bytes()).unwrap_or(INT::MAX))
    });
    for (name, length) in [("kib", 10), ("mib", 20), ("gib", 30)] {
        module.set_getter_fn(name, move |size: &mut Size| {
            Ok(size.bytes() as f64 / f64::from(1_u32 << length))
        });
    }
}

fn timestamps(module: &mut Module) {
    operator(module, "-", |a: Timestamp, b: Timestamp| Ok(a.since(&b)));
    operator(module, "-", |a: Timestamp, b: Duration| a.minus(b));
    operator(module, "-", |a: Timestamp, b: ImmutableString| {
        a.minus(span(&b)?)
    });
    operator(module, "+", |a: Timestamp, b: Duration| a.plus(b));
    operator(module, "+", |a: Duration, b: Timestamp| b.plus(a));
    operator(module, "+", |a: Timestamp, b: ImmutableString| {
        a.plus(span(&b)?)
    });
    operator(module, "format", |a: Timestamp, format: ImmutableString| {
        a.format(&format)
    });
    operator(module, "in_zone", |a: Timestamp, name: ImmutableString| {
        a.in_zone(&name)
    });

    module.set_getter_fn("year", |t: &mut Timestamp| Ok(INT::from(t.zoned().year())));
    module.set_getter_fn("month", |t: &mut Timestamp| {
        Ok(INT::from(t.zoned().month()))
    });
    module.set_getter_fn("day", |t: &mut Timestamp| Ok(INT::from(t.zoned().day())));
    module.set_getter_fn("hour", |t: &mut Timestamp| Ok(INT::from(t.zoned().hour())));
    module.set_getter_fn("minute", |t: &mut Timestamp| {
        Ok(INT::from(t.zoned().minute()))
    });
    module.set_getter_fn("second", |t: &mut Timestamp| {
        Ok(INT::from(t.zoned().second()))
    });
    module.set_getter_fn("millisecond", |t: &mut Timestamp| {
        Ok(INT::from(t.zoned().millisecond()))
    });
    // Monday is 1, Sunday is 7, as in ISO 8601.
    module.set_getter_fn("weekday", |t: &mut Timestamp| {
        Ok(INT::from(t.zoned().weekday().to_monday_one_offset()))
    });
    module.set_getter_fn("unix", |t: &mut Timestamp| Ok(t.instant().as_second()));
    module.set_getter_fn("unix_millis", |t: &mut Timestamp| {
        Ok(t.instant().as_millisecond())
    });
    module.set_getter_fn("date", |t: &mut Timestamp| Ok(t.zoned().date().to_string()));
    module.set_getter_fn("zone", |t: &mut Timestamp| Ok(t.zone_name()));
}

const IN_A_TEXT: &str = "to put it into a text, write it inside of backticks: `… ${value} …`";

/// The duration that is added. Whoever meant to join texts learns how.
fn span(text: &str) -> Result<Duration> {
    text.parse().map_err(|error: Error| error.hint(IN_A_TEXT))
}

fn ratio(a: f64, b: f64) -> Result<f64> {
    if b == 0.0 {
        return Err(Error::new("value.division_by_zero", "divided by nothing"));
    }
    Ok(a / b)
}

#[cfg(test)]
mod tests {
    use rhai::{Dynamic, Engine, Scope};

    use super::*;

    fn eval(script: &str) -> std::result::Result<Dynamic, Box<EvalAltResult>> {
        let mut engine = Engine::new();
        // The optimizer would compare constants of the scope with the built-in `==` for unlike types.
        engine.set_optimization_level(rhai::OptimizationLevel::None);
        let mut module = Module::new();
        register(&mut module);
        module.build_index();
        engine.register_global_module(module.into());
        let mut scope = Scope::new();
        // Constants, as `params` is one: properties and operators must work on them.
        scope.push_constant("d", "1h30m".parse::<Duration>().unwrap());
        scope.push_constant("size", "1.5GiB".parse::<Size>().unwrap());
        scope.push_constant("t", "2025-03-01T02:00:00Z".parse::<Timestamp>().unwrap());
        engine.eval_with_scope(&mut scope, script)
    }

    fn shown(script: &str) -> String {
        match eval(script) {
            Ok(value) => crate::value::show(&value),
            Err(error) => panic!("{script}: {error}"),
        }
    }

    #[test]
    fn scripts_calculate_with_durations() {
        for (script, result) in [
            (r#"d < "2h""#, "true"),
            (r#""2h" <= d"#, "false"),
            (r#"d == "90m""#, "true"),
            (r#"d != "90m""#, "false"),
            (r#"d + "30m""#, "2h"),
            ("d - d", "0s"),
            ("d * 2", "3h"),
            ("2 * d", "3h"),
            ("d * 0.5", "45m"),
            ("d / 3", "30m"),
            (r#"d / "30m""#, "3.0"),
            ("-d", "-1h30m"),
            ("abs(-d)", "1h30m"),
            ("d.secs", "5400"),
            ("d.millis", "5400000"),
            ("d.minutes", "90"),
            ("d.hours", "1"),
            ("d.days", "0"),
            ("d.secs_float", "5400.0"),
            ("`${d}`", "1h30m"),
            (r#""took " + d"#, "took 1h30m"),
            ("d.to_string()", "1h30m"),
            ("type_of(d)", "Duration"),
        ] {
            assert_eq!(shown(script), result, "{script}");
        }
    }

    #[test]
    fn scripts_calculate_with_sizes() {
        for (script, result) in [
            (r#"size > "1GiB""#, "true"),
            ("size > 1000", "true"),
            ("1000 >= size", "false"),
            ("size + size", "3 GiB"),
            (r#"size - "512MiB""#, "1 GiB"),
            ("size * 2", "3 GiB"),
            ("size / 3", "512 MiB"),
            (r#"size / "512MiB""#, "3.0"),
            ("size.bytes", "1610612736"),
            ("size.mib", "1536.0"),
            ("`${size}`", "1.5 GiB"),
        ] {
            assert_eq!(shown(script), result, "{script}");
        }
    }

    #[test]
    fn scripts_calculate_with_times() {
        for (script, result) in [
            (r#"t - "7d""#, "2025-02-22T02:00:00Z"),
            ("t + d", "2025-03-01T03:30:00Z"),
            ("(t + d) - t", "1h30m"),
            (r#"t > "2025-02-28""#, "true"),
            (r#"t == "2025-03-01 02:00""#, "true"),
            (
                "[t.year, t.month, t.day, t.hour, t.minute, t.second, t.weekday]",
                "[2025, 3, 1, 2, 0, 0, 6]",
            ),
            ("t.unix", "1740794400"),
            ("t.date", "2025-03-01"),
            (r#"t.format("%H:%M")"#, "02:00"),
            (r#"t.in_zone("Europe/Berlin").hour"#, "3"),
            (r#"t.in_zone("Europe/Berlin").zone"#, "Europe/Berlin"),
        ] {
            assert_eq!(shown(script), result, "{script}");
        }
    }

    #[test]
    fn what_does_not_fit_is_an_error_with_its_place() {
        for (script, kind) in [
            (r#"d < "soon""#, "value.duration"),
            (r#"t + " is late""#, "value.duration"),
            (r#"size + " free""#, "value.size"),
            ("d * 9223372036854775807", "value.overflow"),
            ("size - (size + size)", "value.overflow"),
            ("d / 0", "value.division_by_zero"),
            ("d / (d - d)", "value.division_by_zero"),
            (r#"t.in_zone("Mars/Base")"#, "value.zone"),
        ] {
            let error = Error::from_script(&eval(script).unwrap_err(), "test");
            assert_eq!(error.kind(), kind, "{script}");
            assert_eq!(error.location().map(|at| at.line), Some(1), "{script}");
        }
        let error = Error::from_script(&eval(r#"t + " is late""#).unwrap_err(), "test");
        assert_eq!(error.hint_text(), Some(IN_A_TEXT));
    }
}
