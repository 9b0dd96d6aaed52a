//! What every primitive owes its users: documentation, an example that runs, a permission.

use std::sync::Arc;

use ccrun_kernel::check::{Checker, Severity};
use ccrun_kernel::effect::Effect;
use ccrun_kernel::permission::{Needs, Policy};
use ccrun_kernel::testing::{Scratch, TestRun};
use ccrun_kernel::{Primitive, PrimitiveKind, Registry};

fn primitives() -> Vec<Arc<Primitive>> {
    Registry::new(ccrun_stdlib::namespaces())
        .primitives()
        .to_vec()
}

fn complain(what: &str, complaints: &[String]) {
    assert!(complaints.is_empty(), "{what}:\n{}", complaints.join("\n"));
}

#[test]
fn every_primitive_says_what_it_is_and_shows_how_to_use_it() {
    let complaints: Vec<String> = primitives()
        .iter()
        .filter(|p| p.kind != PrimitiveKind::Getter)
        .filter_map(|p| {
            let missing = if p.doc.summary.is_empty() {
                "a summary"
            } else if p.doc.examples.is_empty() {
                "an example"
            } else if p.effect != Effect::Pure && p.doc.errors.is_empty() {
                "its errors"
            } else {
                return None;
            };
            Some(format!("  {} lacks {missing}", p.path()))
        })
        .collect();
    complain("undocumented primitives", &complaints);
}

#[test]
fn no_two_primitives_share_a_signature() {
    let mut seen = std::collections::HashMap::new();
    let mut complaints = Vec::new();
    for primitive in primitives() {
        for arity in primitive.arities() {
            if let Some(other) = seen.insert((primitive.path(), arity), primitive.signature()) {
                complaints.push(format!("  {} hides {other}", primitive.signature()));
            }
        }
    }
    complain("primitives that hide each other", &complaints);
}

#[test]
fn every_example_runs() {
    let mut complaints = Vec::new();
    for primitive in primitives() {
        for example in primitive.doc.examples.iter().filter(|example| example.runs) {
            let folder = Scratch::new();
            let run = TestRun::new(&folder.0, ccrun_stdlib::namespaces());
            if let (Err(error), _) = run.eval(&example.code) {
                complaints.push(format!(
                    "  {}: {error:?}\n{}",
                    primitive.path(),
                    example.code
                ));
            }
        }
    }
    complain("examples that fail", &complaints);
}

#[test]
fn examples_and_library_modules_have_no_mistakes() {
    let registry = Registry::new(ccrun_stdlib::namespaces());
    let modules = ccrun_stdlib::modules();
    let checker = Checker::new(&registry, &modules);
    let examples = registry.primitives().iter().flat_map(|primitive| {
        primitive
            .doc
            .examples
            .iter()
            .map(|example| (primitive.path(), example.code.clone()))
    });
    let library = modules
        .iter()
        .map(|(name, text)| (format!("std/{name}"), (*text).to_owned()));
    let complaints: Vec<String> = examples
        .chain(library)
        .flat_map(|(name, text)| {
            let findings = checker.check_text(&name, &text);
            let errors = findings
                .into_iter()
                .filter(|f| f.severity == Severity::Error);
            errors
                .map(|f| format!("  {}: {}", f.location, f.message))
                .collect::<Vec<_>>()
        })
        .collect();
    complain("examples that do not check", &complaints);
}

#[test]
fn no_example_changes_anything_in_a_dry_run() {
    let mut complaints = Vec::new();
    for primitive in primitives() {
        for example in primitive.doc.examples.iter().filter(|example| example.runs) {
            let folder = Scratch::new();
            let run = TestRun::new(&folder.0, ccrun_stdlib::namespaces()).dry();
            // What it reads may be missing: an earlier line would have made it. That is no crash
            // of the plan's making.
            drop(run.eval(&example.code));
            let left: Vec<_> = std::fs::read_dir(&folder.0)
                .expect("the scratch folder")
                .flatten()
                .map(|entry| entry.path())
                .collect();
            if !left.is_empty() {
                complaints.push(format!("  {} left {left:?}", primitive.path()));
            }
        }
    }
    complain("changes made by a dry run", &complaints);
}

#[test]
fn nothing_that_touches_the_world_runs_without_permission() {
    let mut complaints = Vec::new();
    for primitive in primitives().iter().filter(|p| p.effect != Effect::Pure) {
        for example in &primitive.doc.examples {
            let folder = Scratch::new();
            // Which project it is, is known before a permission for it can be asked.
            std::fs::write(folder.0.join("compose.yml"), "services: {}\n").unwrap();
            let run = TestRun::new(&folder.0, ccrun_stdlib::namespaces())
                .policy(Policy::new(Some(Needs::nothing()), None));
            match run.eval(&example.code).0 {
                Err(error) if error.kind() == "permission_denied" => {}
                other => complaints.push(format!("  {}: {other:?}", primitive.path())),
            }
        }
    }
    complain("primitives that ran with everything denied", &complaints);
}
