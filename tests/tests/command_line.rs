//! What is typed, what is seen, and how it exits.

use ccrun_tests::typed::Story;

#[test]
fn a_runbook_takes_parameters_and_names_what_is_wrong_with_them() {
    let story = Story::new().file(
        "a.rhai",
        "runbook(#{ params: #{ n: #{ type: \"int\" }, how: #{ type: \"choice\", choices: [\"fast\", \"safe\"], default: \"safe\" } } });\nprint(`${params.n + 1} ${params.how}`);",
    );
    story
        .types("ccrun a.rhai --param n=41")
        .exits(0)
        .prints("42 safe");
    story
        .types("ccrun a.rhai")
        .exits(2)
        .says("param.missing")
        .says("n");
    story
        .types("ccrun a.rhai -p n=x")
        .exits(2)
        .says("`n` takes a whole number");
    story
        .types("ccrun a.rhai -p n=1 -p how=fats")
        .exits(2)
        .says("fast");
    story
        .types("ccrun a.rhai -p m=1")
        .exits(2)
        .says("there is no parameter `m`");
}

#[test]
fn a_dry_run_changes_nothing_and_a_plan_is_refused_after_drift() {
    let script = r#"
runbook(#{ needs: #{ fs: ["./out/**"] } });
let old = fs::read("out/a");
step("Write", || fs::write("out/a", old + "more"));
"#;
    let story = Story::new().file("a.rhai", script).file("out/a", "text");
    story
        .types("ccrun --dry-run a.rhai")
        .exits(0)
        .prints("fs::write")
        .prints("+textmore");
    assert_eq!(story.read("out/a"), "text");
    story.types("ccrun plan a.rhai -o p.plan").exits(100);
    story.write("out/a", "other");
    story
        .types("ccrun apply p.plan")
        .exits(3)
        .says("the plan no longer holds");
    assert_eq!(story.read("out/a"), "other");
    story.write("out/a", "text");
    story.types("ccrun apply p.plan").exits(0);
    assert_eq!(story.read("out/a"), "textmore");
}

#[test]
fn what_the_header_does_not_declare_is_refused_before_anything_runs() {
    let story = Story::new().file(
        "a.rhai",
        "runbook(#{ needs: #{ fs: [\"./out/**\"] } });\nprint(\"begun\");\nstep(\"A\", || fs::write(\"b\", \"1\"));",
    );
    story
        .types("ccrun a.rhai")
        .exits(2)
        .says("does not check")
        .hides("begun");
    // What the check can't see is refused when it is called.
    story.write(
        "a.rhai",
        "runbook(#{ needs: #{ fs: [\"./out/**\"] } });\nlet f = \"b\";\nstep(\"A\", || fs::write(f + \"c\", \"1\"));",
    );
    story
        .types("ccrun a.rhai")
        .exits(3)
        .says("permission_denied")
        .says("a.rhai:3:");
    assert!(!story.path("bc").exists());
}

#[test]
fn every_line_of_json_output_is_an_event() {
    let story = Story::new().file(
        "a.rhai",
        "step(\"A\", || print(\"x\")); check(\"c\", || true);",
    );
    let seen = story.types("ccrun a.rhai --output json");
    let text = seen.text();
    let events: Vec<serde_json::Value> = text
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_str(line).expect(line))
        .collect();
    let kinds: Vec<&str> = events.iter().filter_map(|e| e["event"].as_str()).collect();
    assert_eq!(
        kinds,
        [
            "run_started",
            "step_started",
            "output",
            "step_finished",
            "check",
            "run_finished"
        ]
    );
    assert!(events.iter().enumerate().all(|(n, e)| e["seq"] == n + 1));
    assert_eq!(events[5]["status"], "done");
}

#[test]
fn a_lock_names_its_holder() {
    let story = Story::new().file(
        "a.rhai",
        "runbook(#{ lock: \"deploy\" });\nprint(\"runs\");",
    );
    story.types("ccrun a.rhai").exits(0);
    story
        .types("ccrun lock take deploy --reason maintenance")
        .exits(0);
    story
        .types("ccrun a.rhai")
        .exits(3)
        .says("lock `deploy` is held by hand (maintenance), operator")
        .says("ccrun lock release deploy")
        .hides("runs");
    story.types("ccrun lock release deploy").exits(0);
    story.types("ccrun a.rhai").exits(0).prints("runs");
}

#[test]
fn bad_files_get_a_clear_message() {
    let story = Story::new()
        .file("empty.rhai", "")
        .file("binary.rhai", [0_u8, 159, 146, 150, 0])
        .file("late.rhai", "print(1);\nrunbook(#{});")
        .file("computed.rhai", "runbook(#{ lock: \"a\" + \"b\" });")
        .file("circle.rhai", "import \"circle\" as c;")
        .file("folder.rhai/x", "");
    story
        .types("ccrun empty.rhai")
        .exits(2)
        .says("empty.rhai is empty");
    story
        .types("ccrun binary.rhai")
        .exits(2)
        .says("runbook.not_text");
    story
        .types("ccrun late.rhai")
        .exits(2)
        .says("header.not_first");
    story
        .types("ccrun computed.rhai")
        .exits(2)
        .says("header.not_literal");
    story.types("ccrun circle.rhai").exits(2).says("circle");
    story
        .types("ccrun nothing.rhai")
        .exits(2)
        .says("there is no runbook");
    story
        .types("ccrun hisotry")
        .exits(2)
        .says("did you mean `ccrun history`?");
}

#[test]
fn a_secret_is_nowhere_to_be_seen() {
    let secret = "s3cr3t-Value/with+signs";
    let story = Story::new()
        .file(".env", format!("TOKEN='{secret}'\n"))
        .file(
            "a.rhai",
            r#"
runbook(#{ needs: #{ secret: ["TOKEN"], fs: ["./out/**"] } });
let token = secret("TOKEN");
print(`token ${token}`);
log::info(`token ${token}`);
step("Leak", || {
    let text = text::template("{{ a }}", #{ a: "x" });
    fs::write("out/file", "not it");
    throw #{ kind: "mine", message: `it is ${token}`, token: token };
});
"#,
        )
        .file("out/x", "");
    for output in ["text", "json"] {
        story
            .types(&format!("ccrun a.rhai -v --output {output}"))
            .exits(1)
            .hides(secret);
    }
    let journal = std::fs::read(story.path(".local/state/ccrun/journal.db")).expect("the journal");
    let wal = std::fs::read(story.path(".local/state/ccrun/journal.db-wal")).unwrap_or_default();
    for bytes in [journal, wal] {
        assert!(!bytes.windows(secret.len()).any(|w| w == secret.as_bytes()));
    }
}

#[test]
fn doctor_says_what_can_be_reached_and_what_to_do_about_the_rest() {
    let story = Story::new();
    story
        .types("ccrun doctor")
        .exits(0)
        .prints("no ccrun.toml: the target is `local`");
    story.write(
        "ccrun.toml",
        "[target.gone]\npostgres = { host = \"127.0.0.1\", port = 1, user = \"postgres\" }\n",
    );
    story
        .types("ccrun doctor --target gone")
        .exits(1)
        .prints("nothing answers at 127.0.0.1:1")
        .prints("pg_isready");
    story
        .types("ccrun doctor --target gnoe")
        .exits(1)
        .prints("did you mean `gone`?");
}

#[test]
fn new_writes_a_runbook_that_checks_and_runs() {
    let story = Story::new();
    story.types("ccrun new greet").exits(0).prints("greet.rhai");
    story
        .types("ccrun check greet.rhai")
        .exits(0)
        .says("0 errors, 0 warnings");
    story
        .types("ccrun greet.rhai -p name=Ada")
        .exits(0)
        .prints("Hello, Ada");
    story
        .types("ccrun new greet")
        .exits(2)
        .says("is there already");
}

#[test]
fn check_points_at_the_mistake_and_proposes_the_cure() {
    let story = Story::new().file(
        "a.rhai",
        "runbook(#{ needs: #{ fs: \"*\" } });\nstep(\"A\", #{ timout: \"1s\" }, || fs::reed(\"x\"));\n",
    );
    story
        .types("ccrun check a.rhai")
        .exits(2)
        .prints("a.rhai:2:14")
        .prints("timeout")
        .prints("did you mean `read`?");
    let findings = story.json("ccrun check a.rhai");
    let severities: Vec<&str> = findings
        .as_array()
        .expect("findings")
        .iter()
        .filter_map(|finding| finding["severity"].as_str())
        .collect();
    assert_eq!(severities, ["warning", "error", "error"]);
}
