//! Shells complete it, and know their language.

use std::process::Command;

use ccrun_tests::typed::Story;

#[test]
fn every_shell_gets_a_script() {
    let story = Story::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        story
            .types(&format!("ccrun completions {shell}"))
            .exits(0)
            .prints("resume");
    }
    let script = story
        .command("ccrun completions bash")
        .output()
        .unwrap()
        .stdout;
    story.write("completions.bash", script);
    let checked = Command::new("bash")
        .arg("-n")
        .arg(story.path("completions.bash"))
        .output()
        .unwrap();
    assert!(
        checked.status.success(),
        "{}",
        String::from_utf8_lossy(&checked.stderr)
    );
}

#[test]
fn a_typo_gets_the_nearest_name() {
    let story = Story::new()
        .file("ccrun.toml", "[target.production]\n")
        .file("runbooks/deploy.rhai", "runbook(#{});\n");
    story.types("ccrun histroy").exits(2).says("history");
    story.types("ccrun depoly").exits(2).says("deploy");
    story
        .types("ccrun deploy --target prodution")
        .exits(2)
        .says("production");
    story.types("ccrun deploy").exits(0);
    story.types("ccrun list").exits(0).prints("deploy");
    story.types("ccrun doc fs::raed").exits(2).says("fs::read");
    story.write("ccrun.toml", "[target.production]\nprotekt = true\n");
    story.types("ccrun deploy").exits(2).says("protect");
}

#[test]
fn the_library_is_documented_like_the_rest() {
    let story = Story::new();
    story.types("ccrun doc").exits(0).prints("std/prometheus");
    story
        .types("ccrun doc std/prometheus")
        .exits(0)
        .prints("query(server, expression)")
        .prints("import \"std/prometheus\" as prometheus;")
        .hides("private");
    story
        .types("ccrun doc std/loki::push")
        .exits(0)
        .prints("push(server, labels, lines)");
    story
        .types("ccrun doc std/promethus")
        .exits(2)
        .says("did you mean `std/prometheus`?");
    story
        .types("ccrun doc std/loki::pusch")
        .exits(2)
        .says("did you mean `std/loki::push`?");
    let module = story.json("ccrun doc std/grafana");
    assert!(
        module["functions"].as_array().unwrap().len() > 5,
        "{module}"
    );
}
