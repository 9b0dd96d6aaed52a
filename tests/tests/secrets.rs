//! No secret on any way out: random ones, through everything that prints, records or asks.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ccrun_tests::terminal::Terminal;
use ccrun_tests::typed::Story;
use proptest::prelude::*;

const SCRIPT: &str = r#"
runbook(#{ needs: #{ secret: ["TOKEN"], sh: "*", fs: "*" } });
let token = secret("TOKEN");
print(`printed ${token}`);
log::warn(`logged ${token}`, #{ token: token });
step(`named ${token}`, || token);
let seen = sh::run(["sh", "-c", "cat; tr '\\0' '\\n' < /proc/self/cmdline; cat /proc/$PPID/cmdline"], #{ stdin: token });
print(seen.stdout);
check("shown", || #{ status: "warn", evidence: `${token}`, fix: seen.stdout });
try { fs::read(seen.stdout) } catch (err) { print(err.message) }
step("Fail", || throw #{ kind: "mine", message: seen.stdout, details: #{ token: seen.stdout } });
"#;

/// The forms in which a secret would be one.
fn forms(secret: &str) -> Vec<Vec<u8>> {
    let encoded: String = secret.bytes().map(|byte| format!("%{byte:02X}")).collect();
    [
        secret.to_owned(),
        STANDARD.encode(secret),
        URL_SAFE_NO_PAD.encode(secret),
        encoded,
    ]
    .into_iter()
    .map(String::into_bytes)
    .collect()
}

fn assert_hidden(place: &str, bytes: &[u8], secret: &str) {
    for form in forms(secret) {
        let shown = bytes.windows(form.len()).any(|window| window == form);
        assert!(
            !shown,
            "{place} shows {secret:?}:\n{}",
            String::from_utf8_lossy(bytes)
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_random_secret_is_nowhere_to_be_seen(secret in "[A-Za-z0-9+/=_.!@#%&*()-]{8,40}") {
        let story = Story::new()
            .file(".env", format!("TOKEN='{secret}'\n"))
            .file("a.rhai", SCRIPT);
        for output in ["text", "json"] {
            let seen = story.types(&format!("ccrun a.rhai -v --output {output}"));
            seen.exits(1);
            assert_hidden(output, seen.text().as_bytes(), &secret);
        }
        assert_hidden("show", story.types("ccrun show --events").text().as_bytes(), &secret);
        for file in ["journal.db", "journal.db-wal"] {
            let bytes = std::fs::read(story.path(".local/state/ccrun").join(file)).unwrap_or_default();
            assert_hidden(file, &bytes, &secret);
        }
    }
}

#[test]
fn the_history_of_the_repl_holds_no_secret() {
    let story = Story::new().file(".env", "TOKEN='correct-horse-battery'\n");
    let screen = Terminal::start(&story.command("ccrun"))
        .sees("local> ")
        .types("let t = secret(\"TOKEN\"); t.name")
        .sees("\nTOKEN")
        .sees("local> ")
        .types("let s = \"correct-horse-battery\"; s.len()")
        .sees("21")
        .sees("local> ")
        .types(":quit")
        .exit(0);
    assert!(screen.contains("TOKEN"));
    let history = story.read(".local/state/ccrun/history.txt");
    assert!(
        history.contains("secret(\"TOKEN\")"),
        "the history is kept: {history}"
    );
    assert_hidden("the history", history.as_bytes(), "correct-horse-battery");
}
