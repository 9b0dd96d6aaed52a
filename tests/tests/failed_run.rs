//! A run that fails at a terminal: look, mend, go on.

use ccrun_tests::terminal::Terminal;
use ccrun_tests::typed::Story;

const STORY: &str = r#"runbook(#{ needs: #{ fs: "*" } });
let greeting = "hello";
step("One", #{ undo: || fs::remove("one") }, || fs::write("one", greeting));
step("Two", || fs::write("two", fs::read("input")));
step("Three", || fs::write("three", "3"));
"#;

fn failed() -> (Story, Terminal) {
    let story = Story::new().file("ccrun.toml", "").file("a.rhai", STORY);
    let terminal = Terminal::start(&story.command("ccrun a.rhai"))
        .sees("fs.not_found")
        .sees("what now?")
        .types("repl")
        .sees("> ");
    (story, terminal)
}

#[test]
fn its_variables_are_there_and_redo_goes_on() {
    let (story, terminal) = failed();
    let terminal = terminal.types("greeting + \"!\"").sees("hello!").sees("> ");
    story.write("input", "mended");
    terminal.types(":redo").sees("done: 3 steps").exit(0);
    assert_eq!(story.read("two"), "mended");
    assert_eq!(story.read("three"), "3");
}

#[test]
fn skip_goes_on_without_the_step() {
    let (story, terminal) = failed();
    terminal.types(":skip").sees("1 skipped").exit(0);
    assert!(!story.path("two").exists());
    assert_eq!(story.read("three"), "3");
}

#[test]
fn undo_takes_back_what_was_done() {
    let (story, terminal) = failed();
    assert_eq!(story.read("one"), "hello");
    terminal
        .types(":undo")
        .sees("One (undo)")
        .sees("> ")
        .types(":quit")
        .exit(1);
    assert!(!story.path("one").exists());
    assert!(!story.path("three").exists());
}
