//! The REPL: several lines, completion, its commands.

use ccrun_tests::terminal::Terminal;
use ccrun_tests::typed::Story;

#[test]
fn an_unfinished_line_goes_on_and_tables_are_tables() {
    let story = Story::new();
    Terminal::start(&story.command("ccrun"))
        .sees("local> ")
        .types("let rows = [")
        .types("  #{ name: \"a\", size: 1 },")
        .types("  #{ name: \"b\", size: 22 },")
        .types("];")
        .sees("local> ")
        .types("rows")
        .sees("NAME  SIZE")
        .sees("22")
        .sees("local> ")
        .types(":quit")
        .exit(0);
}

#[test]
fn lines_typed_ahead_are_taken_one_after_the_other() {
    let story = Story::new();
    Terminal::start(&story.command("ccrun"))
        .sees("local> ")
        .types("let a = 40;\rlet b = 2;\r`sum ${a + b}`")
        .sees("sum 42")
        .sees("local> ")
        .types(":quit")
        .exit(0);
}

#[test]
fn tab_completes_namespaces_functions_and_keys() {
    let story = Story::new();
    Terminal::start(&story.command("ccrun"))
        .sees("local> ")
        .types("let server = #{ zone: \"db7\" };")
        .sees("local> ")
        .presses("crypto::sha2\t")
        .sees("crypto::sha256")
        .types("\"\")")
        .sees("e3b0c44298fc1c14")
        .sees("local> ")
        .presses("server.zo\t")
        .sees("server.zone")
        .types("")
        .sees("db7")
        .sees("local> ")
        .types(":quit")
        .exit(0);
}

#[test]
fn its_commands_work() {
    let story = Story::new()
        .file(
            "ccrun.toml",
            "default_target = \"local\"\n[target.local]\n[target.staging]\n",
        )
        .file("lib.rhai", "fn twice(n) { n * 2 }\n");
    Terminal::start(&story.command("ccrun"))
        .sees("local> ")
        .types(":help")
        .sees(":doc")
        .sees("local> ")
        .types(":doc fs::read")
        .sees("Read a text file")
        .sees("local> ")
        .types(":load lib.rhai")
        .sees("local> ")
        .types("twice(21)")
        .sees("42")
        .sees("local> ")
        .types(":time 1 + 1")
        .sees("2")
        .sees("local> ")
        .types(":dry")
        .sees("local")
        .types("fs::write(\"x\", \"1\")")
        .sees("create")
        .types(":dry")
        .sees("local> ")
        .types("let kept = 5;")
        .sees("local> ")
        .types(":save session.rhai")
        .sees("session.rhai")
        .types(":target staging")
        .sees("staging> ")
        .types(":tagret x")
        .sees(":target")
        .types(":quit")
        .exit(0);
    assert!(!story.path("x").exists(), "a dry run wrote");
    assert!(story.read("session.rhai").contains("let kept = 5;"));
}

#[test]
fn ctrl_c_drops_the_line_and_ctrl_d_leaves() {
    let story = Story::new();
    Terminal::start(&story.command("ccrun"))
        .sees("local> ")
        .presses("half a li")
        .presses_ctrl_c()
        .sees("local> ")
        .types("40 + 2")
        .sees("42")
        .sees("local> ")
        .presses("\u{4}")
        .exit(0);
}
