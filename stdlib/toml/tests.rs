use ccrun_kernel::Result;
use ccrun_kernel::rhai::Dynamic;
use ccrun_kernel::testing::eval;
use ccrun_kernel::value::{Timestamp, from_json, show};
use proptest::prelude::*;
use serde_json::Value;

use super::{namespace, parse, stringify};
use crate::json::tests::any_value;

fn run(script: &str) -> Result<Dynamic> {
    eval(vec![namespace(), crate::secret::namespace()], script)
}

#[test]
fn dates_with_an_offset_are_moments_and_the_others_texts() {
    let map = parse(
        "a = 2025-03-01T03:00:00+01:00\nb = 2025-03-01T03:00:00\nc = 2025-03-01\nd = 03:00:00\n"
            .into(),
    )
    .unwrap();
    let a = map["a"].clone().cast::<Timestamp>();
    assert_eq!(a, "2025-03-01T02:00:00Z".parse().unwrap());
    assert_eq!(show(&map["b"]), "2025-03-01T03:00:00");
    assert_eq!(show(&map["c"]), "2025-03-01");
    assert_eq!(
        stringify(Dynamic::from(map)).unwrap().lines().next(),
        Some("a = 2025-03-01T03:00:00+01:00")
    );
}

#[test]
fn a_mistake_is_shown_in_its_line() {
    let error = run("toml::parse(`[target.a]\nport = 80 80\n`)").unwrap_err();
    assert_eq!(error.kind(), "toml.syntax");
    assert_eq!(error.details()["line"], 2, "{error}");
    assert!(error.message().contains("  2 | port = 80 80\n"), "{error}");
    let twice = parse("a = 1\na = 2\n".into()).unwrap_err();
    assert_eq!(twice.details()["line"], 2, "{twice}");
}

#[test]
fn what_toml_can_not_hold_is_said() {
    for (script, kind, message) in [
        (
            "toml::stringify([1])",
            "toml.not_a_table",
            "a TOML document is a map; this is array",
        ),
        (
            "toml::stringify(#{ a: [1, ()] })",
            "toml.null",
            "`a[1]` is `()`, and TOML has no null",
        ),
        (
            "toml::stringify(#{ a: #{ b: secret::generate(9) } })",
            "toml.secret",
            "`a.b` is a secret, which can't become plain TOML",
        ),
    ] {
        let error = run(script).unwrap_err();
        assert_eq!((error.kind(), error.message()), (kind, message), "{script}");
    }
    assert_eq!(
        stringify(from_json(&serde_json::json!({"a": null, "b": 1}))).unwrap(),
        "b = 1\n"
    );
    let many = format!("a = [{}]", "1,".repeat(1_000_001));
    assert_eq!(parse(many).unwrap_err().kind(), "toml.too_large");
    assert_eq!(
        parse(format!("a = {}", "[".repeat(100_000)))
            .unwrap_err()
            .kind(),
        "toml.syntax"
    );
}

/// Without what TOML has no form for.
fn fitting(value: Value) -> Value {
    match value {
        Value::Null => Value::from("null"),
        Value::Number(n) if n.is_u64() && n.as_i64().is_none() => Value::from(1),
        Value::Array(items) => items.into_iter().map(fitting).collect(),
        Value::Object(map) => map
            .into_iter()
            .map(|(key, item)| (key, fitting(item)))
            .collect(),
        other => other,
    }
}

proptest! {
    #[test]
    fn written_and_read_back_is_the_same(value in any_value()) {
        let value = from_json(&serde_json::json!({ "value": fitting(value) }));
        let text = stringify(value.clone()).unwrap();
        prop_assert_eq!(show(&parse(text).unwrap().into()), show(&value));
    }

    #[test]
    fn no_text_panics(text in "[-\\[\\]{}\"'=,# 0-9a-zé\n.:TZ_+]{0,60}") {
        let _ = parse(text);
    }
}
