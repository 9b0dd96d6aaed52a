//! Whatever is in the file, there is an answer, and soon.

use proptest::prelude::*;

use super::{Checker, Severity, check_as, findings, library, registry};

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

/// All of the language, used as it is meant.
#[test]
fn a_runbook_without_mistakes_has_no_findings() {
    let found = findings(
        r#"
//! Restart what is unwell.

runbook(#{
    params: #{
        names: #{ type: "list", default: ["web"], help: "Containers" },
        wait: #{ type: "duration", default: "30s" },
    },
    needs: #{ docker: "*", fs: #{ read: ["/etc/**"], change: ["data/"] }, http: "*" },
    lock: "restart",
});

import "std/web" as web;

const LIMIT = 3;

/// Whether a container is one of ours.
fn ours(name, list) {
    if list.is_empty() { return true; }
    for (one, index) in list {
        if one == name && index < global::LIMIT { return true; }
    }
    false
}

fn label(container) {
    switch container.name {
        "web" => "the site",
        "db" | "cache" if target != "" => "data",
        _ => { let upper = container.name.to_upper(); `other ${upper}` }
    }
}

let hosts = docker::containers();
let unwell = hosts.filter(|c| ours(c.name, params.names) && c.image != "");
let total = 0;
let report = #{ lines: [], start: timestamp() };

let restarted = step("Restart", #{ retry: 2, backoff: "5s", timeout: "10m", undo: |list| print(list) }, || {
    let done = [];
    for c in unwell {
        c.restart(#{ timeout: params.wait });
        done.push(label(c));
    }
    done
});

each(restarted, #{ limit: 4 }, |name| {
    total += name.len();
    report.lines.push(`${name}: ${target}`);
});

let results = parallel([|| web::fetch("https://a/b"), || { try { web::fetch("https://c") } catch (err) { err.kind ?? "none" } }]);
let first = results[0]?.sub_string(0, 2);

do { total -= 1; } while total > 0;
while total < 2 { total += 1; if total == 1 { continue; } }
loop { if total > 5 { break; } total += 1; }
let picked = if total in 1..10 { "few" } else { "many" };
let nested = #{ a: #{ "b c": [1, 2, #{ d: 'x' }] } };
nested.a["b c"][2].d = picked;

step("Write", || fs::write("data/report.txt", report.lines.reduce(|sum, line| sum + line, "") + first + nested.a["b c"].len()));
step("Sign in", #{ when: trigger != () }, || http::login("root", ask("Password?", #{ secret: true })));
check("Restarted", #{ fix: "look at the logs" }, || restarted.len() == unwell.len());
defer(|| { let elapsed = report.start.elapsed; print(`${elapsed} ${fs::read("/etc/hostname").trim()}`); });

let add = |a, b| a + b;
let one_more = add.curry(1);
let counter = Fn("label");
print([3, 1, 2].sort().map(|n| one_more.call(n)).some(|n| n > 2) || type_of(counter) == "Fn");
"#,
    );
    assert!(found.is_empty(), "{found:#?}");
}

/// What the documentation shows is free of mistakes.
#[test]
fn the_examples_of_primitives_have_no_errors() {
    let registry = registry();
    let modules = library();
    let checker = Checker::new(&registry, &modules);
    for primitive in registry.primitives() {
        for example in &primitive.doc.examples {
            let mut found = checker.check_text("example.rhai", &example.code);
            found.retain(|finding| finding.severity == Severity::Error);
            assert!(found.is_empty(), "{}: {found:#?}", primitive.path());
        }
    }
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
