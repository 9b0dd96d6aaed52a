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

#[test]
fn parameters_are_options_after_the_runbooks_name() {
    let story = Story::new().file("ccrun.toml", "[target.here]\n").file(
        "runbooks/look.rhai",
        r#"//! Look around.
runbook(#{ params: #{
    since: #{ type: "duration", default: "30m", help: "How far back" },
    fix:   #{ type: "bool", default: false, help: "Mend it" },
    where_to: #{ type: "choice", choices: ["here", "there"], default: "here" },
} });
print(`${params.since} ${params.fix} ${params.where_to}`);"#,
    );
    let prints = |line: &str, text: &str| {
        story.types(line).exits(0).prints(text);
    };
    prints("ccrun look --since 2h --fix", "2h true here");
    prints(
        "ccrun run look --since=2h --where-to there",
        "2h false there",
    );
    prints(
        "ccrun look --fix=false -p since=5m --quiet",
        "5m false here",
    );
    prints("ccrun plan look --fix", "true");
    // ccrun's own options go before those of the runbook.
    prints("ccrun look --target here --fix --yes", "true");
    story
        .types("ccrun look --help")
        .exits(0)
        .prints("Look around.")
        .prints("--since <DURATION>")
        .prints("How far back [default: 30m]")
        .prints("here, there");
    story
        .types("ccrun look --sinse 2h")
        .exits(2)
        .says("did you mean `--since`?");
    story
        .types("ccrun look --where-to nowhere")
        .exits(2)
        .says("there");
    story
        .types("ccrun look --since")
        .exits(2)
        .says("needs a value");
    story.types("ccrun lock --fix").exits(2);
    story
        .types("ccrun words -- look")
        .exits(0)
        .prints("--where-to");
    story.types("ccrun words --").exits(0).prints("look");
}
