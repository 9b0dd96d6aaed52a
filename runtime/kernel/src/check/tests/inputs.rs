//! Whatever is in the file, there is an answer, and soon.

use proptest::prelude::*;

use super::{Checker, check_as, findings, library, registry};

#[test]
fn a_syntax_error_has_its_place_and_a_hint() {
    let found = findings("let x = 1;\nlet y = (x + ;\n");
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].rule, found[0].location.line), ("syntax", 2));
    let found = findings("fn f() {\n  print(1);\n");
    assert_eq!(found[0].rule, "syntax");
    assert!(found[0].suggestion.is_some());
}

#[test]
fn a_finding_as_json() {
    let found = findings("print(\"größe\"); nope();\n");
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!(
        json[0],
        serde_json::json!({
            "rule": "unknown-function",
            "severity": "error",
            "message": "there is no function `nope`",
            "location": { "source": "test.rhai", "line": 1, "column": 17 },
            "length": 4,
            "suggestion": "did you mean `note`?",
            "replacement": "note"
        })
    );
}

#[test]
fn a_long_runbook_takes_no_longer_than_its_length() {
    let mut script = String::from("runbook(#{ needs: #{ docker: \"*\" } });\n");
    for n in 0..1000 {
        script.push_str(&format!(
            "let c{n} = docker::container(\"c{n}\");\nstep(\"restart {n}\", #{{ retry: 2 }}, || {{\n    c{n}.restart(#{{ timeout: \"20s\" }});\n}});\n"
        ));
    }
    let registry = registry();
    let modules = library();
    let checker = Checker::new(&registry, &modules);
    let started = std::time::Instant::now();
    assert_eq!(checker.check_text("big.rhai", &script).len(), 0);
    // 20 ms in a debug build; what is quadratic takes minutes.
    assert!(
        started.elapsed() < std::time::Duration::from_secs(5),
        "{:?}",
        started.elapsed()
    );
}

/// Pieces of scripts, which together are sometimes valid and mostly nearly so.
fn piece() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "let x = ",
        "x",
        "y",
        "1",
        "\"a\"",
        "`${x}`",
        ";",
        "\n",
        "||",
        "|a, b|",
        "{",
        "}",
        "(",
        ")",
        "[",
        "]",
        "#{",
        "a:",
        ",",
        ".",
        "?.",
        "::",
        "docker",
        "container",
        "restart",
        "name",
        "step",
        "parallel",
        "each",
        "runbook",
        "params",
        "fn f(a) {",
        "f",
        "import \"std/web\" as w;",
        "w",
        "if",
        "else",
        "for i in",
        "while",
        "loop",
        "return",
        "throw",
        "break",
        "try {",
        "} catch (e) {",
        "switch x {",
        "=>",
        "_",
        "=",
        "+=",
        "+",
        "in",
        "!",
        "this",
        "global",
        "const C = ",
        "export",
        "Fn",
        "curry",
        "call",
        "// ccrun: allow(x)\n",
        "é",
        "=",
        "needs:",
        "-",
    ])
    .prop_map(str::to_owned)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_text_breaks_it(text in "\\PC{0,200}") {
        let _ = check_as("any.rhai", &text);
    }

    #[test]
    fn no_script_breaks_it(pieces in prop::collection::vec(piece(), 0..40)) {
        let text = pieces.join(" ");
        for finding in check_as("any.rhai", &text) {
            prop_assert!(finding.location.line >= 1 && finding.location.column >= 1);
            prop_assert!(finding.length >= 1);
            prop_assert!(super::rules::known(finding.rule), "{}", finding.rule);
        }
    }
}
