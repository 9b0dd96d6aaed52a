//! `--confirm`: each change is asked for.

use ccrun_tests::terminal::Terminal;
use ccrun_tests::typed::Story;

const THREE: &str = r#"runbook(#{ needs: #{ fs: "*" } });
step("One", || fs::write("one", "1"));
step("Two", || fs::write("two", "2"));
step("Three", || fs::write("three", "3"));
"#;

fn story() -> Story {
    Story::new().file("a.rhai", THREE)
}

#[test]
fn yes_does_it_and_no_fails_the_step() {
    let story = story();
    let _rest = Terminal::start(&story.command("ccrun a.rhai --confirm"))
        .sees("create")
        .sees("yes/no/all/quit")
        .types("yes")
        .sees("two")
        .sees("yes/no/all/quit")
        .types("no")
        .sees("declined");
    assert_eq!(story.read("one"), "1");
    assert!(!story.path("two").exists());
}

#[test]
fn all_asks_no_more() {
    let story = story();
    let _rest = Terminal::start(&story.command("ccrun a.rhai --confirm"))
        .sees("yes/no/all/quit")
        .types("all")
        .exit(0);
    assert_eq!(story.read("three"), "3");
}

#[test]
fn quit_ends_the_run_and_leaves_what_was_done() {
    let story = story();
    let mut terminal = Terminal::start(&story.command("ccrun a.rhai --confirm"))
        .sees("yes/no/all/quit")
        .types("yes")
        .sees("two")
        .sees("yes/no/all/quit")
        .types("quit");
    terminal = terminal.sees("ccrun resume");
    terminal.exit(3);
    assert_eq!(story.read("one"), "1");
    assert!(!story.path("two").exists());
}

#[test]
fn with_nobody_to_ask_nothing_is_changed() {
    let story = story();
    story.types("ccrun a.rhai --confirm").exits(3);
    assert!(!story.path("one").exists());
}
