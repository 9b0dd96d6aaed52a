//! One at a time: the lock of a runbook.

use ccrun_tests::typed::Story;

const DEPLOY: &str = r#"runbook(#{ needs: #{ fs: "*" }, lock: "deploy" });
step("Begin", || fs::append("log", "begin\n"));
step("Wait", || while !fs::exists("go") { sleep("20ms"); });
step("End", || fs::append("log", "end\n"));
"#;

fn until(what: &str, is_so: impl Fn() -> bool) {
    let started = std::time::Instant::now();
    while !is_so() {
        assert!(started.elapsed().as_secs() < 30, "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_second_run_names_the_first_or_waits_for_it() {
    let story = Story::new()
        .file("ccrun.toml", "")
        .file("deploy.rhai", DEPLOY);
    let mut first = story.starts("ccrun deploy.rhai");
    until("the first run begins", || {
        story.read("log").contains("begin")
    });
    story
        .types("ccrun deploy.rhai")
        .exits(3)
        .says("deploy")
        .says("operator")
        .says("ccrun lock release deploy");
    story
        .types("ccrun lock status")
        .exits(0)
        .prints("deploy")
        .prints("operator");

    let mut second = story.starts("ccrun deploy.rhai --lock-wait 30s");
    story.write("go", "");
    assert!(first.wait().unwrap().success());
    assert!(second.wait().unwrap().success());
    assert_eq!(story.read("log"), "begin\nend\nbegin\nend\n");
}

#[test]
fn a_lock_taken_by_hand_is_not_waited_for() {
    let story = Story::new()
        .file("ccrun.toml", "")
        .file("deploy.rhai", DEPLOY)
        .file("go", "");
    story
        .command("ccrun lock take deploy --reason")
        .arg("the disk is being replaced")
        .output()
        .unwrap();
    story
        .types("ccrun deploy.rhai --lock-wait 30s")
        .exits(3)
        .says("the disk is being replaced");
    story.types("ccrun lock release deploy").exits(0);
    story.types("ccrun deploy.rhai").exits(0);
    story
        .types("ccrun lock release deploy")
        .exits(0)
        .says("nobody holds a lock `deploy`");
}
