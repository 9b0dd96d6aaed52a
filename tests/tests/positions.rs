//! Where it went wrong: file, line and caret, however deep.

use ccrun_tests::typed::Story;

const MISSING: &str = "fs::read(\"missing\")";

#[test]
fn in_closures_functions_and_modules() {
    let story = Story::new()
        .file("ccrun.toml", "")
        .file(
            "closure.rhai",
            format!("runbook(#{{ needs: #{{ fs: \"*\" }} }});\nstep(\"Read\", || {{\n    [1].for_each(|x| {{\n        {MISSING};\n    }});\n}});\n"),
        )
        .file(
            "function.rhai",
            format!("runbook(#{{ needs: #{{ fs: \"*\" }} }});\nfn deep(n) {{\n    if n > 0 {{ deep(n - 1) }} else {{\n        {MISSING}\n    }}\n}}\nstep(\"Read\", || deep(3));\n"),
        )
        .file(
            "lib/team.rhai",
            format!("// A library.\nfn look() {{\n    {MISSING}\n}}\n"),
        )
        .file(
            "module.rhai",
            "runbook(#{ needs: #{ fs: \"*\" } });\nimport \"lib/team\" as team;\nstep(\"Read\", || team::look());\n",
        );
    for (file, place) in [
        ("closure.rhai", "closure.rhai:4:13"),
        ("function.rhai", "function.rhai:4:13"),
        ("module.rhai", "lib/team.rhai:3:9"),
    ] {
        story
            .types(&format!("ccrun {file}"))
            .exits(1)
            .says("fs.not_found")
            .says(place)
            .says("^^^^")
            .says("in step `Read`");
    }
}
