use ccrun_kernel::rhai::Dynamic;
use ccrun_kernel::testing::eval;
use ccrun_kernel::value::show;
use ccrun_kernel::{Error, Result};

use super::namespace;

fn run(script: &str) -> Result<Dynamic> {
    eval(vec![namespace()], script)
}

fn shown(script: &str) -> String {
    run(script).map_or_else(|error| panic!("{script}: {error:?}"), |value| show(&value))
}

fn error(script: &str) -> Error {
    run(script).expect_err(script)
}

#[test]
fn a_zone_is_for_texts_that_say_none() {
    for (script, result) in [
        (
            r#"time::parse("2025-03-01 03:00", #{ zone: "Europe/Berlin" })"#,
            "2025-03-01T03:00:00+01:00",
        ),
        (
            r#"time::parse("2025-03-01", #{ zone: "Europe/Berlin" })"#,
            "2025-03-01T00:00:00+01:00",
        ),
        (
            r#"time::parse("2025-03-01T03:00:00Z", #{ zone: "Europe/Berlin" })"#,
            "2025-03-01T04:00:00+01:00",
        ),
        (
            r#"time::parse("2025-03-01T03:00:00-05:00")"#,
            "2025-03-01T03:00:00-05:00",
        ),
        (
            r#"time::parse("@1740794400", #{ zone: "Europe/Berlin" })"#,
            "2025-03-01T03:00:00+01:00",
        ),
        (
            r#"time::parse("01/Mar/2025:02:00:00 +0000", #{ format: "%d/%b/%Y:%H:%M:%S %z" })"#,
            "2025-03-01T02:00:00Z",
        ),
        (
            r#"time::parse("1740794400", #{ format: "%s" })"#,
            "2025-03-01T02:00:00Z",
        ),
        (
            r#"time::parse("20250301", #{ format: "%Y%m%d" })"#,
            "2025-03-01T00:00:00Z",
        ),
    ] {
        assert_eq!(shown(script), result, "{script}");
    }
}

#[test]
fn an_hour_that_the_clocks_skip_or_repeat_is_refused() {
    for text in ["2025-03-30 02:30", "2025-10-26 02:30"] {
        let error = error(&format!(
            r#"time::parse("{text}", #{{ zone: "Europe/Berlin" }})"#
        ));
        assert_eq!(error.kind(), "value.timestamp");
        assert_eq!(
            error.message(),
            format!("`{text}` is not one moment in Europe/Berlin: the clocks change at that hour")
        );
    }
}

#[test]
fn mistakes_say_what_is_accepted() {
    for (script, kind) in [
        (r#"time::parse("soon")"#, "value.timestamp"),
        (
            r#"time::parse("1.3.25", #{ format: "%Y-%m-%d" })"#,
            "value.timestamp",
        ),
        (
            r#"time::parse("2025", #{ format: "%Y" })"#,
            "value.timestamp",
        ),
        (r#"time::parse("x", #{ format: "%" })"#, "value.timestamp"),
        (r#"time::now("Berlin")"#, "value.zone"),
        (r#"time::duration("5 parsecs")"#, "argument.type"),
        (r#"time::format(time::now(), "%!")"#, "value.format"),
        (
            r#"time::parse("2025-03-01", #{ zon: "UTC" })"#,
            "argument.unknown_key",
        ),
    ] {
        let error = error(script);
        assert_eq!(error.kind(), kind, "{script}: {error}");
        assert!(!error.message().is_empty());
    }
    let milliseconds = error("time::from_unix(1740794400000)");
    assert_eq!(
        milliseconds.hint_text(),
        Some("is it in milliseconds? `time::from_unix(n / 1000)`")
    );
}

#[test]
fn measuring_passes_values_and_exceptions_through() {
    assert_eq!(shown(r#"time::measure(|| "x").value"#), "x");
    assert_eq!(shown(r#"let n = 0; time::measure(|| n += 1); n"#), "1");
    assert_eq!(
        shown(
            r#"let k = ""; try { time::measure(|| throw #{ kind: "mine" }) } catch (e) { k = e.kind } k"#
        ),
        "mine"
    );
}
