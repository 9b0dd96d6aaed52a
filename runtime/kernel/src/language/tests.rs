//! The words of the language, as a script author meets them.

use std::path::Path;

use rhai::Dynamic;

use crate::error::{Error, Result};
use crate::event::{CheckStatus, Event, Record, StepStatus};
use crate::run::Limits;
use crate::testing::{Scratch, TestRun, eval};

fn run(script: &str) -> Result<Dynamic> {
    eval(Vec::new(), script)
}

fn fails(script: &str) -> Error {
    run(script).expect_err(script)
}

fn recorded(script: &str) -> (Result<Dynamic>, Vec<Record>) {
    let folder = Scratch::new();
    TestRun::new(&folder.0, Vec::new()).eval(script)
}

fn int(script: &str) -> i64 {
    run(script).expect(script).as_int().expect("an int")
}

#[test]
fn a_step_returns_what_its_closure_returns() {
    assert_eq!(int("let x = 20; step(\"Add\", || x + 22)"), 42);
}

#[test]
fn a_variable_of_the_script_goes_before_params_and_target() {
    assert_eq!(int("[1, 2].map(|target| target * 10)[1]"), 20);
    assert_eq!(int("fn f(params) { params + 1 } f(1)"), 2);
}

#[test]
fn what_is_in_order_needs_no_fix() {
    let fix = |status: &str| {
        let script = format!("check(\"x\", || #{{ status: \"{status}\", fix: \"do it\" }}).fix");
        run(&script).expect("a finding")
    };
    assert!(fix("ok").is_unit());
    assert_eq!(fix("warn").into_string().expect("a text"), "do it");
}

#[test]
fn steps_nest_and_are_told_in_order() {
    let (_, records) = recorded("step(\"A\", || step(\"B\", || 1))");
    let told: Vec<String> = records
        .iter()
        .filter_map(|r| match &r.event {
            Event::StepStarted { .. } => Some(format!("start {}", r.step.as_deref()?)),
            Event::StepFinished {
                status: StepStatus::Done,
                ..
            } => Some(format!("done {}", r.step.as_deref()?)),
            _ => None,
        })
        .collect();
    assert_eq!(told, ["start A", "start A/B", "done A/B", "done A"]);
}

#[test]
fn a_failing_step_is_tried_again() {
    let script = "
        let tries = [];
        step(\"Flaky\", #{ retry: 3, backoff: \"1ms\" }, || {
            tries.push(1);
            if tries.len() < 3 { throw \"not yet\"; }
        });
        tries.len()";
    assert_eq!(int(script), 3);
    let error = fails("step(\"Bad\", #{ retry: 1, backoff: \"1ms\" }, || throw \"never\")");
    assert_eq!(error.message(), "never");
    assert_eq!(error.step(), Some("Bad"));
}

#[test]
fn a_step_that_takes_too_long_is_stopped_where_it_is() {
    for body in ["sleep(\"10s\")", "let x = 0; while true { x += 1 }"] {
        let error = fails(&format!(
            "step(\"Slow\", #{{ timeout: \"50ms\" }}, || {{ {body} }})"
        ));
        assert_eq!(error.kind(), "timeout", "{body}");
        assert_eq!(error.message(), "step `Slow` took longer than 50ms");
    }
    // The script inside can't swallow its own deadline, the one outside may.
    let script = "
        let seen = ();
        try {
            step(\"Slow\", #{ timeout: \"50ms\" }, || { try { sleep(\"10s\") } catch { } 1 })
        } catch (err) { seen = err.kind }
        seen";
    assert_eq!(
        run(script).expect(script).into_string().expect("a kind"),
        "timeout"
    );
}

#[test]
fn when_and_an_empty_name() {
    assert!(
        run("step(\"Never\", #{ when: false }, || throw 1)")
            .expect("skipped")
            .is_unit()
    );
    assert_eq!(fails("step(\" \", || 1)").kind(), "step.name");
}

#[test]
fn a_typo_in_an_option_names_the_nearest() {
    let error = fails("step(\"A\", #{ timout: \"1s\" }, || 1)");
    assert_eq!(error.message(), "step has no option `timout`");
    assert_eq!(error.hint_text(), Some("did you mean `timeout`?"));
    assert_eq!(
        error.location().map(|at| (at.line, at.column)),
        Some((1, 1))
    );
    let error = fails("step(\"A\", #{ timeout: \"5 minuts\" }, || 1)");
    assert!(
        error.message().starts_with("option `timeout` of step"),
        "{}",
        error.message()
    );
}

#[test]
fn an_error_stands_where_the_call_is_inside_closures_and_functions() {
    let script = "fn deep(x) {\n    [x].map(|y| {\n        assert(y == 2, \"not two\")\n    })\n}\nstep(\"A\", || deep(1))";
    let error = fails(script);
    assert_eq!(error.kind(), "assertion_failed");
    assert_eq!(
        error.location().map(|at| (at.line, at.column)),
        Some((3, 9))
    );
    assert_eq!(error.step(), Some("A"));
}

#[test]
fn a_caught_error_is_a_map_and_a_thrown_text_stays_a_text() {
    let script = "let seen; try { assert(false, \"no\") } catch (err) { seen = `${err.kind} ${err.message} ${err.line}` } seen";
    assert_eq!(
        run(script).expect(script).into_string().expect("text"),
        "assertion_failed no 1"
    );
    let script =
        "let seen; try { step(\"A\", || throw \"plain\") } catch (err) { seen = err } seen";
    assert_eq!(
        run(script).expect(script).into_string().expect("text"),
        "plain"
    );
}

#[test]
fn parallel_keeps_the_order_and_the_captured_values() {
    let script = "
        let base = 10;
        let out = each([1, 2, 3, 4], #{ limit: 2 }, |n| base + n);
        out[0] * 1000000 + out[3]";
    assert_eq!(int(script), 11_000_014);
}

#[test]
fn a_thousand_closures_complete() {
    let script = "
        let items = [];
        for i in 0..1000 { items.push(i); }
        let out = each(items, #{ limit: 64 }, |i| { sleep(\"1ms\"); i });
        let sum = 0;
        for n in out { sum += n; }
        sum";
    assert_eq!(int(script), 499_500);
}

#[test]
fn one_error_cancels_the_others_and_is_reported_with_its_position() {
    let script = "
        let items = [];
        for i in 0..1000 { items.push(i); }
        each(items, #{ limit: 64 }, |i| {
            if i == 5 { throw #{ kind: \"mine\", message: `job ${i}` }; }
            sleep(\"60s\");
        })";
    let started = std::time::Instant::now();
    let error = fails(script);
    assert_eq!(error.kind(), "mine");
    assert_eq!(error.message(), "job 5");
    assert_eq!(error.location().map(|at| at.line), Some(5));
    assert!(
        started.elapsed().as_secs() < 30,
        "the others were cancelled"
    );
}

#[test]
fn a_deferred_action_is_told_what_the_run_failed_with() {
    let told = |script: &str| {
        let ask = "defer(|failure| print(if failure == () { \"nothing\" } else { `${failure.kind}: ${failure.message}` }));";
        let (_, records) = recorded(&format!("{ask} {script}"));
        let outputs = records.iter().filter_map(|record| match &record.event {
            Event::Output { text } => Some(text.clone()),
            _ => None,
        });
        outputs.collect::<Vec<_>>()
    };
    assert_eq!(told(""), ["nothing"]);
    assert_eq!(
        told("throw #{ kind: \"a.b\", message: \"no\" };"),
        ["a.b: no"]
    );
    assert_eq!(
        told("check(\"c\", || false);"),
        ["check.failed: a step or check failed"]
    );
}

#[test]
fn deferred_actions_run_last_first_whatever_happens() {
    let (result, records) =
        recorded("defer(|| print(\"one\")); defer(|| print(\"two\")); throw \"x\"");
    assert!(result.is_err());
    let out: Vec<&str> = records
        .iter()
        .filter_map(|r| match &r.event {
            Event::Output { text } => Some(text.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(out, ["two", "one"]);
}

#[test]
fn checks_are_collected_and_do_not_stop_the_runbook() {
    let (result, records) = recorded(
        "check(\"good\", || true);
         check(\"bad\", #{ fix: \"mend it\" }, || false);
         check(\"soft\", #{ severity: \"warn\" }, || throw \"broken\");
         check(\"told\", || #{ status: \"ok\", evidence: \"42\" });
         print(\"the end\")",
    );
    assert!(result.is_ok());
    let found: Vec<_> = records
        .iter()
        .filter_map(|r| match &r.event {
            Event::Check {
                name,
                status,
                evidence,
                fix,
                ..
            } => Some((name.as_str(), *status, evidence.as_str(), fix.as_deref())),
            _ => None,
        })
        .collect();
    assert_eq!(
        found,
        [
            ("good", CheckStatus::Ok, "", None),
            ("bad", CheckStatus::Fail, "", Some("mend it")),
            ("soft", CheckStatus::Warn, "broken", None),
            ("told", CheckStatus::Ok, "42", None),
        ]
    );
    let Some(Event::RunFinished { recap, .. }) = records.last().map(|r| &r.event) else {
        panic!("the run ends with its recap")
    };
    assert_eq!((recap.failed, recap.warnings), (1, 1));
}

#[test]
fn questions_without_anybody_take_the_default_or_say_so() {
    assert_eq!(
        run("ask(\"Who?\", #{ default: \"Ada\" })")
            .expect("default")
            .into_string()
            .expect("text"),
        "Ada"
    );
    let error = fails("choose(\"How?\", [\"fast\", \"safe\"])");
    assert_eq!(error.kind(), "refused");
    assert_eq!(
        error.message(),
        "nobody is here to answer: How? (answers: fast, safe)"
    );
    assert_eq!(fails("confirm(\"Sure?\")").kind(), "refused");
    assert_eq!(
        fails("choose(\"How?\", [\"a\"], #{ default: \"b\" })").message(),
        "`b` is no answer to: How?"
    );
}

#[test]
fn scripts_without_an_end_are_stopped() {
    for (script, kind) in [
        ("loop { }", "limit.operations"),
        ("let x = 0; while true { x += 1 }", "limit.operations"),
        ("fn f(x) { f(x + 1) } f(0)", "limit.recursion"),
        ("let s = \"x\"; loop { s += s }", "limit.size"),
        ("let s = \"\"; s.pad(10_000_000_000, 'x'); s", "limit.size"),
        ("let a = [1]; loop { a += a }", "limit.size"),
        ("let a = []; loop { a = [a] }", ""),
        ("try { loop { } } catch { 1 }", "limit.operations"),
    ] {
        let folder = Scratch::new();
        let mut test = TestRun::new(&folder.0, Vec::new());
        // The limits of a run, but for a debug build of the interpreter.
        test.spec.limits = Limits {
            operations: 300_000,
            ..Limits::default()
        };
        let error = test.eval(script).0.expect_err(script);
        assert!(error.kind().starts_with("limit."), "{script}: {error:?}");
        assert!(
            kind.is_empty() || error.kind() == kind,
            "{script}: {error:?}"
        );
    }
}

#[test]
fn params_are_seen_inside_functions_and_closures() {
    let folder = Scratch::new();
    let mut test = TestRun::new(&folder.0, Vec::new());
    test.spec.params.insert("keep".into(), 7_i64.into());
    let script = "fn f() { params.keep } step(\"A\", || f() + params.keep)";
    assert_eq!(test.eval(script).0.expect(script).as_int(), Ok(14));
}

#[test]
fn imports_are_relative_and_cannot_leave() {
    let folder = Scratch::new();
    let write = |name: &str, text: &str| {
        let path = folder.0.join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("mkdir");
        std::fs::write(path, text).expect("write");
    };
    write(
        "lib/team.rhai",
        "import \"more\" as more; fn two() { more::one() + 1 }",
    );
    write("lib/more.rhai", "fn one() { 1 }");
    write("lib/a.rhai", "import \"b\" as b;");
    write("lib/b.rhai", "import \"a\" as a;");
    write(
        "lib/bad.rhai",
        "fn broken() {\n  assert(false, \"in the module\")\n}",
    );
    let go = |script: &str| program(&folder.0, script);
    assert_eq!(
        go("import \"lib/team\" as team; team::two()")
            .expect("two")
            .as_int(),
        Ok(2)
    );
    let error = go("import \"../etc/passwd\" as x;").expect_err("leaves");
    assert_eq!(error.kind(), "import.outside");
    let error = go("import \"lib/a\" as a;").expect_err("circular");
    assert_eq!(error.kind(), "import.circular", "{error:?}");
    let error = go("import \"lib/bad\" as bad;\nbad::broken()").expect_err("throws");
    let at = error.location().expect("a place");
    assert!(at.source.ends_with("lib/bad.rhai"), "{at}");
    assert_eq!((at.line, at.column), (2, 3));
}

/// Run a script as if it stood in a file of the folder.
fn program(folder: &Path, script: &str) -> Result<Dynamic> {
    let path = folder.join("main.rhai");
    TestRun::new(folder, Vec::new())
        .eval_as(&path.display().to_string(), script)
        .0
}
