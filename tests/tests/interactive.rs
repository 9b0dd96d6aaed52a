//! At a terminal: questions, the name of a protected target, Ctrl-C, the REPL.

use ccrun_tests::terminal::Terminal;
use ccrun_tests::typed::Story;

const WRITES_TWO: &str = r#"runbook(#{ needs: #{ fs: "*" } });
step("One", || fs::write("one", "1"));
step("Two", || fs::write("two", "2"));
"#;

#[test]
fn a_protected_target_wants_its_name() {
    let story = Story::new()
        .file("ccrun.toml", "[target.production]\nprotect = true\n")
        .file("a.rhai", WRITES_TWO);
    let line = "ccrun a.rhai --target production";
    story.types(line).exits(3);
    assert!(
        !story.path("one").exists(),
        "written without a confirmation"
    );

    Terminal::start(&story.command(line))
        .sees("type `production`")
        .types("prod")
        .exit(3);
    assert!(!story.path("one").exists(), "written after a wrong name");

    Terminal::start(&story.command(line))
        .sees("type `production`")
        .types("production")
        .exit(0);
    assert_eq!(story.read("two"), "2");
}

#[test]
fn an_error_never_ends_the_repl() {
    let story = Story::new();
    Terminal::start(&story.command("ccrun"))
        .sees("local> ")
        .types("no_such_function(1)")
        .sees("help:")
        .sees("local> ")
        .types("20 + 22")
        .sees("42")
        .sees("local> ")
        .types(":quit")
        .exit(0);
}

#[test]
fn a_second_ctrl_c_leaves_at_once() {
    let story = Story::new().file(
        "a.rhai",
        "runbook(#{ needs: #{ fs: \"*\" } });\n\
         step(\"Wait\", || { print(\"it \" + \"waits\"); while !fs::exists(\"never\") {} });\n",
    );
    Terminal::start(&story.command("ccrun a.rhai"))
        .sees("it waits")
        .presses_ctrl_c()
        .sees("leave")
        .presses_ctrl_c()
        .exit(130);
}
