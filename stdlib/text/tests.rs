use ccrun_kernel::rhai::Dynamic;
use ccrun_kernel::testing::eval;
use ccrun_kernel::value::show;
use ccrun_kernel::{Error, Result};

use super::namespace;

fn run(script: &str) -> Result<Dynamic> {
    eval(
        vec![
            namespace(),
            crate::secret::namespace(),
            crate::time::namespace(),
        ],
        script,
    )
}

fn shown(script: &str) -> String {
    run(script).map_or_else(|error| panic!("{script}: {error:?}"), |value| show(&value))
}

fn error(script: &str) -> Error {
    run(script).expect_err(script)
}

#[test]
fn templates_take_every_value() {
    let text = shown(
        r#"text::template(`{{ name }} {{ ports | join(",") }} {{ limits.memory }} {{ keep }} {{ on }} {{ half }} {{ "a b&c" | urlencode }} {{ ports | tojson }} {{ "it's" | shellquote }} <{{ html }}>
`, #{ name: "web", ports: [80, 443], limits: #{ memory: "1GiB" }, keep: time::duration("7d"), on: true, half: 0.5, html: "<b>" })"#,
    );
    assert_eq!(
        text,
        "web 80,443 1GiB 7d true 0.5 a%20b%26c [80,443] 'it'\\''s' <<b>>\n"
    );
}

#[test]
fn lines_of_blocks_vanish() {
    let text = shown(
        "text::template(`{% for h in hosts %}\n  host {{ h }}\n{% endfor %}\nend\n`, #{ hosts: [\"a\", \"b\"] })",
    );
    assert_eq!(text, "  host a\n  host b\nend\n");
}

#[test]
fn an_undefined_value_is_named_with_its_line() {
    let error = error("text::template(`one\nhost {{ hots }}\n`, #{ host: \"a\" })");
    assert_eq!(error.kind(), "template.undefined");
    assert_eq!(
        error.message(),
        "`hots` is not defined in line 2 of the template\n  2 | host {{ hots }}\n    |         ^"
    );
    assert_eq!(error.hint_text(), Some("did you mean `host`?"));
    assert_eq!(error.details()["line"], 2);
    let inside = self::error("text::template(`{{ site.port }}`, #{ site: #{} })");
    assert_eq!(inside.kind(), "template.undefined");
    assert!(inside.message().contains("site.port"), "{inside}");
    let ok = shown("text::template(`{{ name | default(\"none\") }}`, #{})");
    assert_eq!(ok, "none");
}

#[test]
fn a_wrong_template_shows_where() {
    let error = error("text::template(`one\n{% for x %}\n`, #{})");
    assert_eq!(error.kind(), "template.syntax");
    assert!(
        error
            .message()
            .contains("in line 2 of the template\n  2 | {% for x %}"),
        "{error}"
    );
    assert_eq!(
        self::error("text::template(`{{ 1 | nosuch }}`, #{})").kind(),
        "template.failed"
    );
}

#[test]
fn a_template_ends() {
    let large = error(
        "text::template(`{% for i in range(9999) %}{{ x }}{% endfor %}`, #{ x: text::pad(\"\", 9000) })",
    );
    assert_eq!(large.kind(), "template.too_large");
    let secret =
        error("text::template(`{{ a }}`, #{ a: 1, db: #{ password: secret::generate(20) } })");
    assert_eq!(
        (secret.kind(), secret.message()),
        (
            "template.secret",
            "`db.password` is a secret, which can't become plain text"
        )
    );
}

#[test]
fn a_wrong_pattern_shows_the_place() {
    let unclosed = error("text::matches(\"a\", `ab(c`)");
    assert_eq!(unclosed.kind(), "text.regex");
    assert_eq!(
        unclosed.message(),
        "not a regular expression: unclosed group\n    ab(c\n      ^"
    );
    let look = error("text::find(\"a\", `(?=a)`)");
    assert!(
        look.hint_text()
            .is_some_and(|hint| hint.contains("left out")),
        "{look:?}"
    );
    assert_eq!(
        error(r"text::matches(`a`, `(\w{1000}){1000}`)").kind(),
        "text.regex"
    );
}

#[test]
fn matches_come_with_groups_names_and_characters() {
    assert_eq!(
        shown(r"text::find(`größe=5 MiB`, `=(?<n>\d+)(x)?`)"),
        r#"#{ groups: ["5", ()], named: #{ n: "5" }, start: 5, text: "=5" }"#
    );
    assert_eq!(
        shown("text::find_all(`a1é2`, `[0-9]`).map(|m| m.start)"),
        "[1, 3]"
    );
    assert_eq!(shown("text::find_all(`abc`, `x`)"), "[]");
    assert_eq!(
        shown(r#"text::replace_all(`a1b22`, `(?<d>\d+)`, "<${d}>")"#),
        "a<1>b<22>"
    );
    assert_eq!(shown("text::replace_all(`abc`, ``, `-`)"), "-a-b-c-");
}

#[test]
fn hostile_texts_end_in_an_error() {
    assert_eq!(
        error("text::find_all(text::pad(``, 200000, #{ fill: `a` }), `a`)").kind(),
        "text.too_many"
    );
    assert_eq!(
        error(r#"text::lines(text::pad(``, 2000000, #{ fill: "\n" }))"#).kind(),
        "text.too_many"
    );
    let grown =
        error("let big = text::pad(``, 100000, #{ fill: `a` }); text::replace_all(big, `a`, big)");
    assert_eq!(grown.kind(), "text.too_large");
    assert_eq!(error("text::pad(``, 9000000000)").kind(), "text.too_large");
    assert_eq!(
        error(r#"text::indent(text::pad(``, 1000000, #{ fill: "\n" }) + `x`, 65535)"#).kind(),
        "text.too_large"
    );
    // A pattern that takes other engines for ever.
    assert_eq!(
        shown("text::matches(text::pad(``, 50000, #{ fill: `a` }), `^(a+)+$`)"),
        "true"
    );
}

#[test]
fn tables_are_plain_and_aligned() {
    let table = shown(
        r#"text::table([#{ name: "web", cpu: 12.5, note: "two\nlines" }, #{ name: "postgres", cpu: 7, tags: ["a"] }], #{ columns: ["name", "cpu", "note", "tags"] })"#,
    );
    assert_eq!(
        table,
        "name       cpu  note   tags\n────────────────────────────\nweb       12.5  two\n                lines\npostgres     7         [\"a\"]"
    );
    assert_eq!(shown("text::table([])"), "");
    let escape = shown("text::table([#{ a: \"x\\x1b[31mred\" }])");
    assert!(
        !escape.contains('\u{1b}') && escape.contains("\\u{1b}[31mred"),
        "{escape}"
    );
    let missing = error(r#"text::table([#{ name: 1 }], #{ columns: ["nmae"] })"#);
    assert_eq!(
        (missing.message(), missing.hint_text()),
        ("no row has a column `nmae`", Some("did you mean `name`?"))
    );
}

#[test]
fn a_secret_in_a_table_is_masked() {
    assert!(
        shown("text::table([#{ password: secret::generate(20) }])").ends_with("‹secret generated›")
    );
}

#[test]
fn diffs_are_unified() {
    assert_eq!(
        shown("text::diff(`a\nb\nc\n`, `a\nx\nc\n`, #{ context: 1 })"),
        "--- old\n+++ new\n@@ -1,3 +1,3 @@\n a\n-b\n+x\n c\n"
    );
    assert_eq!(
        shown("text::diff(`a`, `b`)"),
        "--- old\n+++ new\n@@ -1 +1 @@\n-a\n\\ No newline at end of file\n+b\n\\ No newline at end of file\n"
    );
}

#[test]
fn margins_and_widths() {
    assert_eq!(
        shown("text::dedent(`\n    a\n\n      b\n    `)"),
        "a\n\n  b\n"
    );
    assert_eq!(shown("text::dedent(`  a\n\tb`)"), "  a\n\tb");
    assert_eq!(shown("text::dedent(``)"), "");
    assert_eq!(
        shown("text::wrap(`aaa bbbbbbbb cc`, 4)"),
        "aaa\nbbbbbbbb\ncc"
    );
    assert_eq!(
        shown("text::pad(`é`, 4, #{ align: `center`, fill: `·` })"),
        "·é··"
    );
    assert_eq!(
        error("text::pad(`a`, 4, #{ align: `middle` })").hint_text(),
        Some("it is `left`, `right` or `center`")
    );
    assert_eq!(shown("text::slug(` --Ünï & Co.-- `)"), "n-co");
}
