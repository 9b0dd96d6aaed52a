//! Going on where a run stopped.

use std::time::Duration;

use ccrun_tests::typed::Story;
use rand::Rng;

const STEPS: usize = 20;

/// Twenty steps, each of which appends its number to a file and returns it.
fn twenty_steps() -> String {
    let mut text = String::from("runbook(#{ needs: #{ fs: [\"./out/**\"] } });\n");
    for n in 0..STEPS {
        text.push_str(&format!(
            "step(\"S{n}\", || {{ sleep(\"1ms\"); fs::append(\"out/log\", \"{n}\\n\"); {n} }});\n"
        ));
    }
    text
}

/// What is reported as done is done once: a step that the journal holds as completed never runs
/// again. (One that was killed between its work and its record runs again, as documented.)
#[test]
fn a_run_killed_at_any_moment_goes_on_and_repeats_nothing_that_completed() {
    for _ in 0..50 {
        let story = Story::new()
            .file("twenty.rhai", twenty_steps())
            .file("out/log", "");
        let mut child = story.starts("ccrun twenty.rhai -q");
        let patience = rand::rng().random_range(5_000..90_000);
        std::thread::sleep(Duration::from_micros(patience));
        child.kill().expect("killed");
        child.wait().expect("waited for");

        let runs = story.json("ccrun history");
        let before: Vec<String> = match runs[0]["run"].as_str() {
            // Killed before it began: there is nothing to resume.
            None => {
                story.types("ccrun twenty.rhai -q").exits(0);
                Vec::new()
            }
            Some(_) if runs[0]["status"] == "done" => continue,
            Some(run) => {
                assert_eq!(runs[0]["status"], "interrupted");
                let done = done_steps(&story, run);
                let log = story.read("out/log");
                for step in &done {
                    let line = step.trim_start_matches('S');
                    assert_eq!(
                        count(&log, line),
                        1,
                        "{step} is recorded, so its effect is there"
                    );
                }
                let resumed = story.types("ccrun resume -q");
                resumed.exits(0);
                assert_eq!(done_steps(&story, run).len(), STEPS);
                done
            }
        };
        let log = story.read("out/log");
        for step in &before {
            let line = step.trim_start_matches('S');
            assert_eq!(
                count(&log, line),
                1,
                "{step} had completed and must not run again"
            );
        }
        for n in 0..STEPS {
            assert!(count(&log, &n.to_string()) >= 1, "S{n} ran");
        }
    }
}

fn done_steps(story: &Story, run: &str) -> Vec<String> {
    let shown = story.json(&format!("ccrun show {run}"));
    shown["steps"]
        .as_array()
        .expect("steps")
        .iter()
        .filter(|step| step["status"] == "done")
        .map(|step| step["path"].as_str().expect("a path").to_owned())
        .collect()
}

fn count(log: &str, line: &str) -> usize {
    log.lines().filter(|l| *l == line).count()
}

const FAILS: &str = r#"
runbook(#{ needs: #{} });
let a = step("First", || 1);
step("Second", || print("second runs"));
step("Third", || assert(a == 2, "not two"));
step("Fourth", || print("fourth runs"));
"#;

#[test]
fn a_corrected_runbook_reuses_what_completed_and_says_so() {
    let story = Story::new().file("a.rhai", FAILS);
    story
        .types("ccrun a.rhai")
        .exits(1)
        .prints("second runs")
        .says("ccrun resume");
    story.write("a.rhai", FAILS.replace("a == 2", "a == 1"));
    story
        .types("ccrun resume")
        .exits(0)
        .says("2 reused, 1 changed, 1 new")
        .says("done before")
        .says("done: 4 steps (2 reused)")
        .prints("fourth runs")
        .hides("second runs");
    story.types("ccrun resume").exits(1);
}

#[test]
fn a_completed_step_that_changed_is_not_silently_run_again() {
    let story = Story::new().file("a.rhai", FAILS);
    story.types("ccrun a.rhai").exits(1);
    let edited = FAILS
        .replace("a == 2", "a == 1")
        .replace("second runs", "second again");
    story.write("a.rhai", edited);
    story
        .types("ccrun resume")
        .exits(3)
        .says("its text changed since");
    story
        .types("ccrun resume --changed keep")
        .exits(0)
        .hides("second again")
        .prints("fourth runs");

    let story = Story::new().file("a.rhai", FAILS);
    story.types("ccrun a.rhai").exits(1);
    let edited = FAILS
        .replace("a == 2", "a == 1")
        .replace("second runs", "second again");
    story.write("a.rhai", edited);
    story
        .types("ccrun resume --changed rerun")
        .exits(0)
        .prints("second again");
}

#[test]
fn from_runs_a_step_and_what_follows_in_a_new_run() {
    let story = Story::new().file("a.rhai", FAILS.replace("a == 2", "a == 1"));
    story.types("ccrun a.rhai").exits(0);
    story
        .types("ccrun resume --from Third")
        .exits(1)
        .says("no run stopped half-way");
    let runs = story.json("ccrun history");
    let run = runs[0]["run"].as_str().expect("a run").to_owned();
    story
        .types(&format!("ccrun resume {run} --from Third"))
        .exits(0)
        .hides("second runs")
        .prints("fourth runs");
    let runs = story.json("ccrun history");
    assert_eq!(runs.as_array().map(Vec::len), Some(2));
    assert_eq!(runs[0]["parent"].as_str(), Some(run.as_str()));
}

#[test]
fn what_was_deferred_before_a_kill_still_happens() {
    let script = r#"
runbook(#{ needs: #{ fs: ["./out/**"] } });
let who = "the lamp";
step("Switch on", || { defer(|| fs::write("out/off", who)); fs::write("out/on", "1") });
step("Wait", || { if !fs::exists("out/go") { fs::write("out/waiting", "1"); sleep("60s") } });
"#;
    let story = Story::new().file("a.rhai", script).file("out/x", "");
    let mut child = story.starts("ccrun a.rhai");
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while !story.path("out/waiting").exists() {
        assert!(
            std::time::Instant::now() < deadline,
            "the second step begins"
        );
        std::thread::yield_now();
    }
    child.kill().expect("killed");
    child.wait().expect("waited for");
    assert!(!story.path("out/off").exists());
    story.write("out/go", "");
    story.types("ccrun resume").exits(0);
    assert_eq!(story.read("out/off"), "the lamp");
}

#[test]
fn steps_whose_names_are_made_up_as_they_run_are_counted_too() {
    let script = r#"runbook(#{ needs: #{ fs: "*" } });
for n in 1..=3 { step(`Write ${n}`, || fs::write(`out-${n}`, "x")); }
step("Check", || assert(fs::exists("ready"), "not ready"));
"#;
    let story = Story::new().file("ccrun.toml", "").file("a.rhai", script);
    story.types("ccrun a.rhai").exits(1);
    story.write("ready", "");
    story
        .types("ccrun resume")
        .exits(0)
        .says("3 reused, 0 changed, 0 new")
        .says("4 steps (3 reused)");
}

#[test]
fn a_fork_is_a_new_run_that_begins_where_the_old_one_stopped() {
    let script = r#"runbook(#{ needs: #{ fs: "*" } });
step("Once", || fs::append("log", "once\n"));
step("Check", || assert(fs::exists("ready"), "not ready"));
"#;
    let story = Story::new().file("ccrun.toml", "").file("a.rhai", script);
    story.types("ccrun a.rhai").exits(1);
    story.write("ready", "");
    story.types("ccrun resume --fork").exits(0);
    assert_eq!(story.read("log"), "once\n");
    let runs = story.json("ccrun history");
    assert_eq!(runs.as_array().unwrap().len(), 2);
    assert_eq!(runs[0]["status"], "done");
    assert_eq!(runs[0]["parent"], runs[1]["run"]);
    assert_eq!(runs[1]["status"], "failed");
}
