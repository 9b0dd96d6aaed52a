use ccrun_kernel::event::Event;
use ccrun_kernel::rhai::Dynamic;
use ccrun_kernel::testing::{Scratch, TestRun, eval};
use ccrun_kernel::value::{from_json, show};
use ccrun_kernel::{Error, Namespace, Result, primitive, primitives};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{namespace, parse, stringify};

fn run(script: &str) -> Result<Dynamic> {
    eval(vec![namespace(), crate::secret::namespace()], script)
}

fn error(script: &str) -> Error {
    run(script).expect_err(script)
}

#[test]
fn a_mistake_is_shown_in_its_line() {
    let error = error("json::parse(`{\n  \"name\": \"web\",\n  \"port\": 80x\n}`)");
    assert_eq!(error.kind(), "json.syntax");
    assert_eq!(
        error.message(),
        "not valid JSON: expected `,` or `}` at line 3, column 13\n  3 |   \"port\": 80x\n    |             ^"
    );
    assert_eq!(error.details()["line"], 3);
    assert_eq!(error.details()["column"], 13);
}

#[test]
fn an_empty_text_and_a_web_page_are_said_to_be_so() {
    assert_eq!(
        error("json::parse(``)").hint_text(),
        Some("the text is empty: look at where it comes from")
    );
    let page = error("json::parse(`<!doctype html><html>502 Bad Gateway</html>`)");
    assert!(
        page.hint_text()
            .is_some_and(|hint| hint.contains("web page")),
        "{page:?}"
    );
}

#[test]
fn numbers_keep_their_kind_and_their_digits() {
    let value =
        run("json::parse(`[1, 1.0, 18446744073709551615, -9223372036854775808, null, true]`)")
            .unwrap();
    assert_eq!(
        show(&value),
        "[1, 1.0, 18446744073709551615, -9223372036854775808, (), true]"
    );
}

#[test]
fn hostile_texts_end_in_an_error() {
    let deep = parse("[".repeat(100_000)).unwrap_err();
    assert_eq!(deep.kind(), "json.syntax");
    assert!(deep.message().contains("recursion limit"), "{deep}");
    let many = parse(format!("[{}1]", "1,".repeat(1_000_000))).unwrap_err();
    assert_eq!(many.kind(), "json.too_large");
    let long = parse(" ".repeat(33 << 20)).unwrap_err();
    assert_eq!(long.kind(), "json.too_large");
}

#[test]
fn what_json_can_not_hold_is_named_by_its_place() {
    let secret = error(r#"json::stringify(#{ db: [#{ password: secret::generate(32) }] })"#);
    assert_eq!(secret.kind(), "json.secret");
    assert_eq!(
        secret.message(),
        "`db[0].password` is a secret, which can't become plain JSON"
    );
    let closure = error("json::pretty([|x| x])");
    assert_eq!(
        (closure.kind(), closure.message()),
        (
            "json.not_plain",
            "`[0]` is a closure, which JSON has no form for"
        )
    );
    let deep = error("let a = []; for i in 0..200 { a = [a]; } json::stringify(a)");
    assert_eq!(deep.kind(), "json.too_deep");
}

/// What a change returns that a dry run did not make.
#[primitive(change, needs = test(name))]
async fn make(name: String) -> String {
    name
}

#[test]
fn what_is_computed_from_a_planned_value_is_planned() {
    let folder = Scratch::new();
    let made = Namespace::new("test", "A change.").primitives(primitives![make]);
    let namespaces = vec![
        namespace(),
        crate::text::namespace(),
        crate::crypto::namespace(),
        made,
    ];
    let (result, records) = TestRun::new(&folder.0, namespaces).dry().eval(
        r#"
        let text = test::make("{}");
        let port = json::parse(text).port;
        test::make(json::stringify(#{ port: port, hash: crypto::sha256(text) }));
        test::make(text::template("{{ port }}", #{ port: port }));
        "#,
    );
    assert!(result.is_ok(), "{result:?}");
    let planned: Vec<_> = records
        .into_iter()
        .filter_map(|record| match record.event {
            Event::Planned(change) => Some(change.depends_on),
            _ => None,
        })
        .collect();
    assert_eq!(planned, [vec![], vec![1], vec![1]]);
}

/// The table of RFC 7386, appendix A.
#[test]
fn merging_follows_the_rfc() {
    for (target, patch, result) in [
        (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
        (
            json!({"a": "b"}),
            json!({"b": "c"}),
            json!({"a": "b", "b": "c"}),
        ),
        (json!({"a": "b"}), json!({"a": null}), json!({})),
        (
            json!({"a": "b", "b": "c"}),
            json!({"a": null}),
            json!({"b": "c"}),
        ),
        (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
        (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
        (
            json!({"a": {"b": "c"}}),
            json!({"a": {"b": "d", "c": null}}),
            json!({"a": {"b": "d"}}),
        ),
        (
            json!({"a": [{"b": "c"}]}),
            json!({"a": [1]}),
            json!({"a": [1]}),
        ),
        (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
        (json!({"a": "b"}), json!(["c"]), json!(["c"])),
        (json!({"a": "foo"}), json!(null), json!(null)),
        (json!({"a": "foo"}), json!("bar"), json!("bar")),
        (
            json!({"e": null}),
            json!({"a": 1}),
            json!({"e": null, "a": 1}),
        ),
        (
            json!([1, 2]),
            json!({"a": "b", "c": null}),
            json!({"a": "b"}),
        ),
        (
            json!({}),
            json!({"a": {"bb": {"ccc": null}}}),
            json!({"a": {"bb": {}}}),
        ),
    ] {
        let merged = super::merge::merge(from_json(&target), from_json(&patch));
        assert_eq!(
            ccrun_kernel::value::to_json(&merged),
            result,
            "{target} {patch}"
        );
    }
}

/// The examples of RFC 6901, section 5.
#[test]
fn pointers_follow_the_rfc() {
    let document = json!({
        "foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, "i\\j": 5, "k\"l": 6, " ": 7, "m~n": 8,
    });
    for (pointer, found) in [
        ("", document.clone()),
        ("/foo", json!(["bar", "baz"])),
        ("/foo/0", json!("bar")),
        ("/foo/01", Value::Null),
        ("/foo/-", Value::Null),
        ("/foo/2", Value::Null),
        ("/", json!(0)),
        ("/a~1b", json!(1)),
        ("/c%d", json!(2)),
        ("/i\\j", json!(5)),
        ("/ ", json!(7)),
        ("/m~0n", json!(8)),
        ("/m~01n", Value::Null),
        ("/foo/0/bar", Value::Null),
    ] {
        let value = super::pointer::pointer(from_json(&document), pointer.to_owned()).unwrap();
        assert_eq!(ccrun_kernel::value::to_json(&value), found, "{pointer}");
    }
    let error = error(r#"json::pointer(#{ a: 1 }, "a.b")"#);
    assert_eq!(
        (error.kind(), error.hint_text()),
        ("json.pointer", Some("write `/a/b`"))
    );
}

/// Values that every format can hold.
pub(crate) fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        // Of the longest ones, the JSON reader may miss the last bit (serde_json's `float_roundtrip`).
        any::<i32>().prop_map(|n| Value::from(f64::from(n) / 1000.0)),
        "\\PC{0,12}".prop_map(Value::from),
        "[ -~\n\t]{0,20}".prop_map(Value::from),
        "[a-c \n:#-]{70,200}".prop_map(Value::from),
        prop::sample::select(vec![
            "yes",
            "no",
            "null",
            "~",
            "1.0",
            "0x1f",
            "- a",
            "a: b",
            "#",
            "<<",
            "007",
            "1e3",
            " ",
            "|",
            "---",
            "2025-03-01",
            ".nan",
            "!tag",
            "&a",
            "*a",
            "@",
            "`",
            "%",
            "?",
            "y",
            "on"
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map("[ -~]{0,8}", inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn written_and_read_back_is_the_same(value in any_value()) {
        let value = from_json(&value);
        for text in [stringify(value.clone()).unwrap(), super::pretty(value.clone()).unwrap()] {
            prop_assert_eq!(show(&parse(text).unwrap()), show(&value));
        }
    }

    #[test]
    fn no_text_panics(text in "[\\[\\]{}\":, 0-9a-zé\n.eE+-]{0,60}") {
        let _ = parse(text);
    }
}
