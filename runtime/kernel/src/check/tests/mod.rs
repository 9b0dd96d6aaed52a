//! Scripts with the findings that they are to give.
//!
//! A comment `//~ rule: text` says that `rule` has a finding on this line with `text` underlined;
//! several are separated by `//~`. There must be these findings and no others.

mod calls;
mod files;
mod inputs;
mod needs;
mod options;
mod primitives;
mod steps;
mod variables;

use std::sync::Arc;

use super::*;

fn registry() -> Registry {
    Registry::new(primitives::namespaces())
}

fn library() -> Modules {
    Arc::new(
        [(
            "web",
            "fn fetch(url) { http::get(url) }\nfn save(path) { fs::write(path, \"x\"); }",
        )]
        .into(),
    )
}

fn findings(script: &str) -> Vec<Finding> {
    check_as("test.rhai", script)
}

fn check_as(name: &str, script: &str) -> Vec<Finding> {
    Checker::new(&registry(), &library()).check_text(name, script)
}

/// A finding as the comments write it.
fn shown(script: &str, finding: &Finding) -> String {
    let line = script
        .lines()
        .nth(finding.location.line - 1)
        .unwrap_or_default();
    let text: String = line
        .chars()
        .skip(finding.location.column - 1)
        .take(finding.length)
        .collect();
    format!("{}: {}: {text}", finding.location.line, finding.rule)
}

fn expected(script: &str) -> Vec<String> {
    let mut list = Vec::new();
    for (index, line) in script.lines().enumerate() {
        for comment in line.split("//~").skip(1) {
            list.push(format!("{}: {}", index + 1, comment.trim()));
        }
    }
    list
}

/// The script gives the findings of its comments.
#[track_caller]
fn expect(script: &str) {
    let found = findings(script);
    let mut shown: Vec<String> = found.iter().map(|finding| shown(script, finding)).collect();
    let mut expected = expected(script);
    shown.sort();
    expected.sort();
    let odd = |list: &[String], other: &[String]| -> Vec<String> {
        list.iter()
            .filter(|line| !other.contains(line))
            .cloned()
            .collect()
    };
    assert!(
        shown == expected,
        "not expected: {:#?}\nnot found: {:#?}",
        odd(&shown, &expected),
        odd(&expected, &shown),
    );
}

/// The script gives this one finding of the rule, with this message and suggestion.
#[track_caller]
fn says(script: &str, rule: &str, message: &str, suggestion: &str) -> Finding {
    let found = findings(script);
    let finding = found.iter().find(|finding| finding.rule == rule);
    let finding = finding.unwrap_or_else(|| panic!("no {rule} in {found:#?}"));
    assert_eq!(finding.message, message);
    assert_eq!(
        finding.suggestion.as_deref().unwrap_or_default(),
        suggestion
    );
    finding.clone()
}
