//! `parallel` and `each`: many at once, and one error that stops the others.

use ccrun_tests::typed::Story;

#[test]
fn a_thousand_closures_complete() {
    Story::new()
        .file(
            "a.rhai",
            "runbook(#{});\nlet all = [];\nfor i in 0..1000 { all.push(|| i); }\n\
             let results = parallel(#{ limit: 64 }, all);\nprint(results.len());",
        )
        .types("ccrun a.rhai")
        .exits(0)
        .prints("1000");
}

#[test]
fn an_error_in_one_names_its_place_and_cancels_the_others() {
    let story = Story::new().file(
        "a.rhai",
        r#"runbook(#{ needs: #{ fs: "*" } });
each(range(0, 1000).collect(), #{ limit: 64 }, |i| {
    if i == 100 {
        throw "the hundredth";
    }
    fs::append(`done-${i}`, "x");
});
"#
        .replace("range(0, 1000).collect()", "numbers()")
            + "fn numbers() { let all = []; for i in 0..1000 { all.push(i); } all }\n",
    );
    story
        .types("ccrun a.rhai")
        .exits(1)
        .says("the hundredth")
        .says("a.rhai:4:");
    let done = (0..1000).filter(|i| story.path(&format!("done-{i}")).exists());
    let done = done.count();
    assert!(done < 500, "the others went on: {done} ended");
}
