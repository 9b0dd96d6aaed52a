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
