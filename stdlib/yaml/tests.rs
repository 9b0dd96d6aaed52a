use ccrun_kernel::Result;
use ccrun_kernel::rhai::Dynamic;
use ccrun_kernel::testing::eval;
use ccrun_kernel::value::{from_json, show};
use proptest::prelude::*;

use super::{namespace, parse, parse_all, stringify};
use crate::json::tests::any_value;

fn run(script: &str) -> Result<Dynamic> {
    eval(vec![namespace(), crate::secret::namespace()], script)
}

fn read(text: &str) -> String {
    match parse(text.to_owned()) {
        Ok(value) => show(&value),
        Err(error) => panic!("{text}: {error:?}"),
    }
}

#[test]
fn plain_words_have_the_types_of_yaml_1_2() {
    for (text, value) in [
        ("a: yes", r#"#{ a: "yes" }"#),
        ("a: true", "#{ a: true }"),
        ("a: ~", "#{ a: () }"),
        ("a:", "#{ a: () }"),
        ("a: 1.10", "#{ a: 1.1 }"),
        ("a: \"1.10\"", r#"#{ a: "1.10" }"#),
        ("a: 22:22", r#"#{ a: "22:22" }"#),
        ("a: 2025-03-01", r#"#{ a: "2025-03-01" }"#),
        ("a: 18446744073709551615", "#{ a: 18446744073709551615 }"),
        ("a: 0x1F", "#{ a: 31 }"),
        (
            "8080: x\n1.10: y\ntrue: z\n",
            r#"#{ "1.10": "y", "8080": "x", true: "z" }"#,
        ),
        ("a: |\n  one\n  two\n", r#"#{ a: "one\ntwo\n" }"#),
        ("- 1\n- [2, 3]\n", "[1, [2, 3]]"),
        ("", "()"),
        ("# only a comment\n", "()"),
    ] {
        assert_eq!(read(text), value, "{text}");
    }
}

#[test]
fn anchors_and_merge_keys_are_resolved() {
    let text = "base: &base\n  image: web\n  tags: [a]\nprod:\n  <<: *base\n  image: web:2\n";
    assert_eq!(
        read(text),
        r#"#{ base: #{ image: "web", tags: ["a"] }, prod: #{ image: "web:2", tags: ["a"] } }"#
    );
}

#[test]
fn a_mistake_is_shown_in_its_line() {
    let error =
        run("yaml::parse(`services:\n  web:\n    ports: [80, 443\n  db: x\n`)").unwrap_err();
    assert_eq!(error.kind(), "yaml.syntax");
    assert!(error.message().starts_with("not valid YAML: "), "{error}");
    assert!(error.message().contains(" | "), "{error}");
    let twice = parse("a: 1\nb: 2\na: 3\n".to_owned()).unwrap_err();
    assert_eq!(twice.kind(), "yaml.syntax");
    assert_eq!(twice.details()["line"], 3, "{twice}");
    assert!(twice.message().ends_with("  3 | a: 3\n    | ^"), "{twice}");
    let two = parse("a: 1\n---\nb: 2\n".to_owned()).unwrap_err();
    assert_eq!(
        two.hint_text(),
        Some("`yaml::parse_all` reads all documents of a text")
    );
}

#[test]
fn a_billion_laughs_are_too_many() {
    let mut text = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
    for level in 1..10 {
        let below = vec![format!("*a{}", level - 1); 9].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{below}]\n"));
    }
    let error = parse(text.clone()).unwrap_err();
    assert_eq!(error.kind(), "yaml.too_large", "{error}");
    assert_eq!(parse_all(text).unwrap_err().kind(), "yaml.too_large");
    let deep = parse("[".repeat(10_000)).unwrap_err();
    assert!(
        ["yaml.too_large", "yaml.syntax"].contains(&deep.kind()),
        "{deep:?}"
    );
    assert_eq!(
        parse(" ".repeat(33 << 20)).unwrap_err().kind(),
        "yaml.too_large"
    );
    assert!(parse("a: &a [*a]\n".to_owned()).is_err());
}

#[test]
fn a_secret_is_not_written() {
    let error = run("yaml::stringify(#{ db: #{ password: secret::generate(32) } })").unwrap_err();
    assert_eq!(error.kind(), "yaml.secret");
    assert_eq!(
        error.message(),
        "`db.password` is a secret, which can't become plain YAML"
    );
}

proptest! {
    #[test]
    fn written_and_read_back_is_the_same(value in any_value()) {
        let value = from_json(&value);
        let text = stringify(value.clone()).unwrap();
        match parse(text.clone()) {
            Ok(read) => prop_assert_eq!(show(&read), show(&value), "{}", text),
            Err(error) => prop_assert!(false, "{}: {}", text, error),
        }
    }

    #[test]
    fn no_text_panics(text in "[-\\[\\]{}\":,&*!|>'%@`#? 0-9a-zé\n.]{0,60}") {
        let _ = parse(text.clone());
        let _ = parse_all(text);
    }
}
