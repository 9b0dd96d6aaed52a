//! What a runbook may touch.

use ccrun_tests::typed::Story;

#[test]
fn the_target_narrows_what_the_header_asks_for() {
    let story = Story::new()
        .file(
            "ccrun.toml",
            "[target.production]\n[target.production.needs]\nfs = { read = [\"**\"], change = [\"./out/**\"] }\n",
        )
        .file(
            "a.rhai",
            "runbook(#{ params: #{ to: #{ type: \"string\" } }, needs: #{ fs: \"*\" } });\nstep(\"Write\", || fs::write(params.to, \"x\", #{ parents: true }));\n",
        );
    story.types("ccrun a.rhai -p to=out/x").exits(0);
    story
        .types("ccrun a.rhai -p to=elsewhere")
        .exits(3)
        .says("permission_denied")
        .says("ccrun.toml");
    assert!(!story.path("elsewhere").exists());
}

#[test]
fn the_least_header_is_recorded() {
    let story = Story::new()
        .file("ccrun.toml", "")
        .file("in.txt", "x")
        .file(
            "a.rhai",
            "runbook(#{ needs: #{ fs: \"*\" } });\nstep(\"Copy\", || fs::write(\"out.txt\", fs::read(\"in.txt\")));\n",
        );
    story
        .types("ccrun a.rhai --record-needs")
        .exits(0)
        .prints("needs:")
        .prints("in.txt")
        .prints("out.txt");
}
