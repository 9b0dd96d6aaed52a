//! Where parameters come from, and what is said of wrong ones.

use ccrun_tests::terminal::Terminal;
use ccrun_tests::typed::Story;

const SHOW: &str = r#"runbook(#{ params: #{
    domain: #{ type: "string", pattern: "[a-z.]+", help: "Where it goes" },
    keep:   #{ type: "duration", default: "7d" },
    tags:   #{ type: "list", default: [] },
} });
print(`${params.domain} ${params.keep} ${params.tags}`);
"#;

#[test]
fn from_the_line_a_file_the_environment_and_the_default() {
    let story = Story::new()
        .file("a.rhai", SHOW)
        .file("p.json", r#"{ "domain": "from.file", "keep": "2h" }"#)
        .file("p.toml", "domain = \"from.toml\"\ntags = [\"a\", \"b\"]\n");
    story
        .types("ccrun a.rhai -p domain=from.line -p tags=x,y")
        .exits(0)
        .prints("from.line 7d [\"x\", \"y\"]");
    story
        .types("ccrun a.rhai --params p.json")
        .exits(0)
        .prints("from.file 2h");
    story
        .types("ccrun a.rhai --params p.toml -p keep=1d")
        .exits(0)
        .prints("from.toml 1d [\"a\", \"b\"]");
    let seen = story
        .command("ccrun a.rhai")
        .env("CCRUN_PARAM_DOMAIN", "from.environment")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&seen.stdout).into_owned();
    assert!(text.contains("from.environment 7d"), "{text}");
}

#[test]
fn a_wrong_one_is_named_with_what_it_takes_and_no_made_up_example() {
    let story = Story::new().file("a.rhai", SHOW);
    story
        .types("ccrun a.rhai -p domain=UPPER")
        .exits(2)
        .says("`domain`")
        .says("[a-z.]+")
        .hides("TEXT");
    story
        .types("ccrun a.rhai")
        .exits(2)
        .says("domain: Where it goes")
        .hides("TEXT");
    story
        .types("ccrun a.rhai -p domain=a -p keep=soon")
        .exits(2)
        .says("`keep`");
    story
        .types("ccrun a.rhai -p domain=a --params nothing.json")
        .exits(2)
        .says("nothing.json");
}

#[test]
fn at_a_terminal_it_is_asked_for() {
    let story = Story::new().file("a.rhai", SHOW);
    Terminal::start(&story.command("ccrun a.rhai"))
        .sees("domain")
        .types("BAD")
        .sees("domain")
        .types("typed.in")
        .sees("typed.in 7d")
        .exit(0);
}
