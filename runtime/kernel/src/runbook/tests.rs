use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::effect::Effect;

const BACKUP: &str = r#"//! Back up the database to object storage, prove the copy, prune old ones. Runs nightly.
//!
//! More about it.

// A comment may stand above the header.
runbook(#{
    params: #{
        database: #{ type: "string", default: "command_center", help: "Database to back up" },
        keep:     #{ type: "duration", default: "7d", help: "Delete backups older than this" },
        again:    #{ type: "int" },
    },
    needs: #{ pg: ["postgres"], s3: ["backups"] },
    on:    [ #{ schedule: "0 2 * * *", timezone: "UTC", params: #{ again: 1 } } ],
    lock:  "backup",
    limits: #{ operations: 1_000 },
    timeout: "2h",
    description: "unused, as there is a comment",
    tags: ["nightly"],
});

let db = pg::connect(params.database);
step("Dump", || db.backup(`${params.keep}`));
"#;

fn header(source: &str) -> Header {
    parse("test.rhai", source).unwrap().header.unwrap()
}

/// Kind, message, hint and place of what is wrong.
fn wrong(source: &str) -> (String, String, String, String) {
    let error = parse("test.rhai", source).unwrap_err();
    let place = error
        .location()
        .map(ToString::to_string)
        .unwrap_or_default();
    (
        error.kind().to_owned(),
        error.message().to_owned(),
        error.hint_text().unwrap_or_default().to_owned(),
        place,
    )
}

fn assert_wrong(source: &str, kind: &str, message: &str, hint: &str, place: &str) {
    let (k, m, h, p) = wrong(source);
    assert_eq!(
        (k.as_str(), m.as_str(), h.as_str(), p.as_str()),
        (kind, message, hint, place)
    );
}

#[test]
fn a_header_is_read_without_running_the_rest() {
    let runbook = parse("backup.rhai", BACKUP).unwrap();
    assert_eq!(
        runbook.summary,
        "Back up the database to object storage, prove the copy, prune old ones."
    );
    assert!(
        runbook.doc.ends_with("Runs nightly.\n\nMore about it."),
        "{}",
        runbook.doc
    );
    let header = runbook.header.unwrap();
    let names: Vec<&String> = header.params.keys().collect();
    assert_eq!(
        names,
        ["database", "keep", "again"],
        "the order of the source"
    );
    assert_eq!(header.params["keep"].kind, ParamKind::Duration);
    assert_eq!(
        header.params["keep"].location.as_ref().unwrap().to_string(),
        "backup.rhai:9:9"
    );
    let needs = header.needs.unwrap();
    assert!(needs.allows("pg", Effect::Change, "postgres"));
    assert!(!needs.allows("pg", Effect::Read, "other"));
    let places: Vec<_> = needs
        .capabilities()
        .map(|(name, at)| (name, at.unwrap().column))
        .collect();
    assert_eq!(places, [("pg", 15), ("s3", 33)]);
    assert_eq!(
        header.on[0].spec,
        json!({ "schedule": "0 2 * * *", "timezone": "UTC", "params": { "again": 1 } })
    );
    assert_eq!(
        header.on[0].location.as_ref().unwrap().to_string(),
        "backup.rhai:13:14"
    );
    assert_eq!(header.lock.as_deref(), Some("backup"));
    assert_eq!(header.limits.unwrap().operations, Some(1_000));
    assert_eq!(header.timeout.unwrap().to_string(), "2h");
    assert_eq!(header.tags, ["nightly"]);
    assert_eq!(header.location.unwrap().to_string(), "backup.rhai:6:1");
}

#[test]
fn the_forms_of_a_header() {
    assert!(header("runbook(#{});").params.is_empty());
    assert!(header("runbook(#{})").needs.is_none());
    assert_eq!(
        header("runbook(#{ on: #{ after: \"a\" } });").on[0].spec,
        json!({ "after": "a" })
    );
    let nested = header(
        r#"runbook(#{ on: [#{ webhook: "/a", secret: "S", when: #{ a: (), b: [-1.5, +2, true], "c d": #{} } }] });"#,
    );
    assert_eq!(
        nested.on[0].spec["when"],
        json!({ "a": null, "b": [-1.5, 2, true], "c d": {} })
    );
    assert_eq!(
        parse(
            "t",
            "runbook(#{ description: \"What it does. And more.\" });"
        )
        .unwrap()
        .summary,
        "What it does."
    );
    // A module has no header, and may consist of functions only.
    assert!(
        parse("lib.rhai", "fn helper() { 1 }")
            .unwrap()
            .header
            .is_none()
    );
    assert!(parse("-e", "1 + 1").unwrap().header.is_none());
}

#[test]
fn what_editors_and_shells_put_in_front_does_not_matter() {
    let runbook = parse(
        "t",
        "\u{feff}#!/usr/bin/env ccrun\r\n//! Doc.\r\nrunbook(#{ lock: 5 });",
    );
    assert_eq!(
        runbook.unwrap_err().location().unwrap().to_string(),
        "t:3:18"
    );
    let runbook = parse("t", "#!/usr/bin/env ccrun\nrunbook(#{});").unwrap();
    assert_eq!(runbook.source, "// usr/bin/env ccrun\nrunbook(#{});");
    assert!(runbook.header.is_some());
}

#[test]
fn words_that_rhai_reserves_for_nothing_are_names() {
    let runbook = parse(
        "t",
        "let a = row.default - 1; let use = #{ new: 1, package: 2 }; a.with(1)",
    );
    runbook.unwrap();
    // The mistakes of people who write another language still get their own message.
    for word in ["var", "null", "await"] {
        assert!(
            wrong(&format!("let x = {word};")).1.contains("reserved"),
            "{word}"
        );
    }
    let mut engine = Engine::new();
    free_words(&mut engine);
    let value = engine.eval::<i64>("let m = #{ default: 5 }; m.default -1");
    assert_eq!(value.unwrap(), 4);
}

#[test]
fn a_header_must_come_first_and_once() {
    assert_wrong(
        "let x = 1;\nrunbook(#{});",
        "header.not_first",
        "the header must be the first statement, and line 1 comes before it",
        "move `runbook(#{ … });` to the top: only comments may stand above it",
        "test.rhai:2:1",
    );
    for source in [
        "let x = runbook(#{});",
        "if true { runbook(#{}); }",
        "fn f() { runbook(#{}) } f();",
        "import \"lib/team\" as team;\nrunbook(#{});",
        "let f = || { runbook(#{}) };",
    ] {
        assert_eq!(wrong(source).0, "header.not_first", "{source}");
    }
    assert_wrong(
        "runbook(#{});\nstep(\"A\", || {\n  runbook(#{});\n});",
        "header.twice",
        "a runbook has one header, and this is a second one",
        "put its keys into the first one",
        "test.rhai:3:3",
    );
    assert!(
        parse("t", "other::runbook(1); x.runbook(2);")
            .unwrap()
            .header
            .is_none()
    );
}

#[test]
fn a_header_is_a_literal_map() {
    const HINT: &str = "the header is read without running the runbook: write the value itself there, and compute below it";
    for (part, what, column) in [
        ("name", "the variable `name`", 18),
        ("`a ${1} b`", "a text with `${…}`", 18),
        ("env::get(\"A\")", "a call of `env::get`", 18),
        ("now()", "a call of `now`", 18),
        ("\"a\" + \"b\"", "a calculation with `+`", 18),
        ("|x| x", "a closure", 18),
        ("if true { 1 } else { 2 }", "an expression", 18),
    ] {
        let source = format!("runbook(#{{ lock: {part} }});");
        let (kind, message, hint, place) = wrong(&source);
        assert_eq!(kind, "header.not_literal", "{part}");
        assert_eq!(
            message,
            format!("the header holds {what}, which would have to be computed")
        );
        assert_eq!(hint, HINT);
        assert_eq!(place, format!("test.rhai:1:{column}"), "{part}");
    }
    for source in [
        "runbook();",
        "runbook(5);",
        "runbook([]);",
        "runbook(#{}, #{});",
    ] {
        assert_eq!(
            wrong(source).1,
            "the header takes one map: `runbook(#{ … })`",
            "{source}"
        );
    }
    assert_eq!(wrong("runbook(config);").0, "header.not_literal");
    assert_eq!(wrong("runbook(#{ lock: \"a\", lock: \"b\" });").0, "syntax");
}

#[test]
fn a_wrong_key_or_value_is_named() {
    assert_wrong(
        "runbook(#{\n  parms: #{}\n});",
        "header.unknown_key",
        "the header has no key `parms`",
        "did you mean `params`?",
        "test.rhai:2:3",
    );
    assert_eq!(
        wrong("runbook(#{ colour: 1 });").2,
        "it has params, needs, on, lock, limits, timeout, description, tags"
    );
    for (part, message) in [
        ("lock: 5", "`lock` in the header is a text, and not 5"),
        (
            "lock: \" \"",
            "`lock` in the header is a name, and not \" \"",
        ),
        (
            "params: []",
            "`params` in the header is a map of parameters, and not an array",
        ),
        (
            "on: \"* * *\"",
            "`on` in the header is an array of triggers, and not \"* * *\"",
        ),
        (
            "on: [1]",
            "`on` in the header is an array of maps, and not 1",
        ),
        ("limits: 5", "`limits` in the header is a map, and not 5"),
        (
            "limits: #{ operations: 0 }",
            "`limits.operations` in the header is an int above 0, and not 0",
        ),
        (
            "limits: #{ memory: 5 }",
            "`limits` in the header has no key `memory`",
        ),
        (
            "timeout: 5",
            "`timeout` in the header is a duration such as \"30m\" or \"2h\", and not 5",
        ),
        (
            "timeout: \"-1h\"",
            "`timeout` in the header is a duration such as \"30m\" or \"2h\", and not \"-1h\"",
        ),
        (
            "tags: \"a\"",
            "`tags` in the header is an array of texts, and not \"a\"",
        ),
        (
            "description: []",
            "`description` in the header is a text, and not an array",
        ),
    ] {
        assert_eq!(wrong(&format!("runbook(#{{ {part} }});")).1, message);
    }
    assert!(
        wrong("runbook(#{ timeout: \"soon\" });")
            .1
            .contains("`soon` is not a duration")
    );
}

#[test]
fn a_file_that_is_no_runbook_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let failed = |name: &str| {
        let error = load(path(name)).unwrap_err();
        let shorten = |text: &str| text.replace(&format!("{}/", folder.path().display()), "");
        (
            error.kind().to_owned(),
            shorten(error.message()),
            error.hint_text().map(shorten).unwrap_or_default(),
        )
    };
    let write = |name: &str, bytes: &[u8]| std::fs::write(path(name), bytes).unwrap();
    write("backup.rhai", BACKUP.as_bytes());
    assert!(load(path("backup.rhai")).unwrap().header.is_some());

    assert_eq!(
        failed("bakcup.rhai"),
        (
            "runbook.not_found".into(),
            "there is no runbook bakcup.rhai".into(),
            "did you mean backup.rhai?".into()
        )
    );
    assert_eq!(failed("backup").2, "did you mean backup.rhai?");
    assert_eq!(
        failed("something-else.rhai").2,
        "`ccrun list` shows those that there are"
    );
    assert_eq!(failed("none/x.rhai").2, "there is no folder none");
    assert_eq!(failed("backup.rhai/x.rhai").0, "runbook.not_found");

    std::fs::create_dir(path("folder")).unwrap();
    assert_eq!(failed("folder").0, "runbook.unreadable");
    assert_eq!(failed("folder").1, "folder is a folder, not a runbook");

    write("program", b"\x7fELF\x02\0\0");
    assert_eq!(
        failed("program").1,
        "program is not a runbook: it is a program"
    );
    write("packed", &[0x1f, 0x8b, 8, 0]);
    assert_eq!(
        failed("packed").1,
        "packed is not a runbook: it is a compressed file"
    );
    write("nul.rhai", b"let x = \"\0\";");
    assert_eq!(
        failed("nul.rhai").1,
        "nul.rhai is not a runbook: it is a binary file"
    );
    write("latin.rhai", b"// one\nlet x = \"caf\xe9\";");
    assert_eq!(
        failed("latin.rhai"),
        (
            "runbook.not_text".into(),
            "latin.rhai is not UTF-8 (line 2)".into(),
            "save it as UTF-8".into()
        )
    );
    write("utf16.rhai", b"\xff\xfer\0u\0");
    assert_eq!(failed("utf16.rhai").1, "utf16.rhai is UTF-16, not UTF-8");

    write("empty.rhai", b"");
    write("blank.rhai", b" \n// nothing here\n");
    assert_eq!(
        failed("empty.rhai"),
        (
            "runbook.empty".into(),
            "empty.rhai is empty".into(),
            "`ccrun new NAME` writes one to begin with".into()
        )
    );
    assert_eq!(failed("blank.rhai").0, "runbook.empty");

    write("large.rhai", &vec![b' '; 5 << 20]);
    assert_eq!(
        failed("large.rhai").1,
        "large.rhai has 5 MiB; a runbook has 4 MiB at most"
    );
}

#[test]
fn a_syntax_error_has_its_place() {
    let (kind, message, _, place) = wrong("runbook(#{});\nlet x = ;");
    assert_eq!((kind.as_str(), place.as_str()), ("syntax", "test.rhai:2:9"));
    assert!(message.starts_with("syntax error: "), "{message}");
    assert_eq!(wrong("runbook(#{").0, "syntax");
}

#[test]
fn nesting_without_an_end_is_a_syntax_error_and_no_crash() {
    for open in [
        "[", "(", "#{a:", "{", "!", "-", "if x {", "|x| ", "`${", "a[", "f(", "1+(", "a??(",
    ] {
        let error = parse("t", open.repeat(20_000)).unwrap_err();
        assert_eq!(error.kind(), "syntax", "{open}");
    }
    let deep = format!(
        "runbook(#{{ on: {}1{} }});",
        "[".repeat(1000),
        "]".repeat(1000)
    );
    assert_eq!(wrong(&deep).0, "syntax");
}

/// Pieces that headers and mistakes in them are made of.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => prop::sample::select(vec![
            "runbook(", "#{", "}", ")", "(", "[", "]", ",", ":", ";", "params", "needs", "on",
            "type", "default", "\"string\"", "\"duration\"", "\"5m\"", "pattern", "choices",
            "\"[a\"", "timeout", "limits", "operations", "-", "1", "1.5", "9223372036854775808",
            "()", "true", "`", "${", "\"", "'", "\\", "//", "/*", "*/", "\n", "//!", "|x|", "||",
            "fn f() {", "let", "=", "import", "as", "secret", "\"**\"", "\"/a/../b\"", "\u{feff}",
            "#!", "0x", "1e", "...", "::", "?.", "é", "\u{0}", "..=", "switch", "=>",
        ]).prop_map(str::to_owned),
        1 => ".{0,4}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_text_makes_the_reader_panic(pieces in prop::collection::vec(piece(), 0..40)) {
        let _ = parse("fuzz", pieces.concat());
        let _ = parse("fuzz", format!("runbook(#{{ {} }});", pieces.join(" ")));
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        if let Ok(source) = text("fuzz", bytes) {
            let _ = parse("fuzz", source);
        }
    }

    #[test]
    fn no_parameter_makes_the_reader_panic(
        kind in "(string|int|float|bool|duration|size|path|choice|list|secret|x)",
        value in "(\"[-a-z0-9:,.]{0,8}\"|-?[0-9]{1,20}|[0-9]\\.[0-9]|true|\\(\\)|\\[\"a\", 1\\]|#\\{\\})",
        key in "(default|pattern|choices|required|help|type)",
    ) {
        let _ = parse("fuzz", format!("runbook(#{{ params: #{{ p: #{{ type: \"{kind}\", {key}: {value} }} }} }});"));
    }
}
