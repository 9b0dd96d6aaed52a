//! What ran: `history` and `show`.

use ccrun_tests::typed::Story;

#[test]
fn runs_are_listed_and_filtered() {
    let story = Story::new()
        .file("ccrun.toml", "")
        .file(
            "good.rhai",
            "runbook(#{ needs: #{ fs: \"*\" } });\nstep(\"Write\", || fs::write(\"x\", \"1\"));\n",
        )
        .file(
            "bad.rhai",
            "runbook(#{});\nstep(\"Fail\", || throw \"no luck\");\n",
        );
    story.types("ccrun history").exits(0).says("no such runs");
    story.types("ccrun good.rhai").exits(0);
    story.types("ccrun bad.rhai").exits(1);
    story
        .types("ccrun history")
        .exits(0)
        .prints("good.rhai")
        .prints("bad.rhai");
    story
        .types("ccrun history --status failed")
        .exits(0)
        .prints("bad.rhai")
        .hides("good.rhai");
    story
        .types("ccrun history good")
        .exits(0)
        .prints("good.rhai")
        .hides("bad.rhai");
    story
        .types("ccrun history --status faild")
        .exits(2)
        .says("failed");
    let runs = story.json("ccrun history --limit 1");
    assert_eq!(runs.as_array().unwrap().len(), 1);
    assert_eq!(runs[0]["status"], "failed");
    let id = runs[0]["run"].as_str().unwrap().to_owned();

    story
        .types(&format!("ccrun show {}", &id[..6]))
        .exits(0)
        .prints("Fail")
        .prints("no luck");
    story.types("ccrun show good").exits(1).says("no run");
    let shown = story.json(&format!("ccrun show {id}"));
    assert_eq!(shown["steps"][0]["status"], "failed");
}

#[test]
fn a_run_knows_the_last_one_that_was_good() {
    let story = Story::new()
        .file("ccrun.toml", "[target.here]\n[target.there]\n")
        .file(
            "look.rhai",
            r#"runbook(#{ params: #{ n: #{ type: "int", default: 0 }, good: #{ type: "bool", default: true } } });
let before = last_good("Look");
print(if before == () { "none" } else { `before: ${before.value.n}` });
step("Look", || #{ n: params.n });
check("Good", || params.good);"#,
        );
    let look = |options: &str| story.types(&format!("ccrun look.rhai --target here {options}"));
    look("--n 1").exits(0).prints("none");
    look("--n 2 --good=false").exits(1).prints("before: 1");
    look("--n 3").exits(0).prints("before: 1");
    look("--n 4").exits(0).prints("before: 3");
    // Another target's runs are none of this one's, nor are another runbook's.
    story
        .types("ccrun look.rhai --target there")
        .exits(0)
        .prints("none");
    story.write("other.rhai", story.read("look.rhai"));
    story
        .types("ccrun other.rhai --target here")
        .exits(0)
        .prints("none");
}
