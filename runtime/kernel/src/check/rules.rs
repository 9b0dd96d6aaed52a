//! The rules by name.

use serde::Serialize;

use super::finding::Severity;

/// What a rule looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// The stable name, for `// ccrun: allow(NAME)` and `--output json`.
    pub id: &'static str,
    /// How bad its findings are.
    pub severity: Severity,
    /// What is wrong, and why it matters.
    pub explanation: &'static str,
}

const fn error(id: &'static str, explanation: &'static str) -> Rule {
    Rule {
        id,
        severity: Severity::Error,
        explanation,
    }
}

const fn warning(id: &'static str, explanation: &'static str) -> Rule {
    Rule {
        id,
        severity: Severity::Warning,
        explanation,
    }
}

/// All rules, by subject.
pub const RULES: &[Rule] = &[
    // The file.
    error("unreadable", "The file can't be read, or is no text."),
    error("empty", "The file holds no statement and no function."),
    error("syntax", "The file is not valid Rhai: nothing of it runs."),
    // The header.
    error(
        "header-not-first",
        "`runbook(#{ … })` must be the first statement: it is read without running the rest.",
    ),
    error("header-twice", "A runbook has one header."),
    error(
        "header-not-literal",
        "The header is read without running the runbook, so nothing in it may be computed.",
    ),
    error(
        "header-unknown-key",
        "A key of the header that nobody reads.",
    ),
    error("header-invalid", "A value in the header that does not fit."),
    warning(
        "header-missing",
        "A runbook that changes something has no header, so it may touch everything the target allows, and `list`, parameters, triggers and locks do not know it.",
    ),
    // Names and calls.
    error(
        "unknown-namespace",
        "No namespace and no import of this name exists.",
    ),
    error(
        "unknown-function",
        "No function of this name exists: the call fails when the run reaches it.",
    ),
    error(
        "unknown-method",
        "No type has a method or property of this name.",
    ),
    error(
        "unknown-variable",
        "No variable of this name is in sight here.",
    ),
    error(
        "wrong-arguments",
        "No function of this name takes this number of arguments.",
    ),
    error(
        "method-as-property",
        "A method without its parentheses: it is not called.",
    ),
    error(
        "property-as-method",
        "A property with parentheses: there is no such method.",
    ),
    error(
        "wrong-type",
        "A literal of a type that the parameter does not take.",
    ),
    // Options.
    error(
        "unknown-option",
        "A key of an options map that the function does not know.",
    ),
    error(
        "missing-option",
        "An options map without a key that must be given.",
    ),
    error(
        "wrong-option",
        "An option with a literal value that it does not take.",
    ),
    // Permissions.
    error(
        "undeclared-permission",
        "The runbook uses something that `needs` in its header does not declare: the run is refused there.",
    ),
    warning(
        "unused-permission",
        "`needs` declares something that the runbook does not use: declare the least.",
    ),
    error(
        "unknown-permission",
        "`needs` names a capability that no function asks for.",
    ),
    // Parameters.
    error(
        "undeclared-param",
        "`params.NAME` where the header declares no parameter NAME.",
    ),
    warning(
        "unused-param",
        "The header declares a parameter that the runbook does not use.",
    ),
    // Steps.
    warning(
        "change-outside-step",
        "A change outside of any step runs again on resume, and has no step to retry, skip or undo it.",
    ),
    warning(
        "lost-on-resume",
        "A variable of the outside is assigned inside a step: when `resume` skips the step, the assignment does not happen. Return the value from the step instead.",
    ),
    warning(
        "lost-update",
        "Closures that run at the same time read a shared variable and write it back: updates get lost.",
    ),
    warning(
        "duplicate-step",
        "Two steps have the same name at the same place, so the journal and `--from` can't tell them apart by it.",
    ),
    // Imports.
    error(
        "import-not-found",
        "The imported module does not exist or can't be read.",
    ),
    error("import-circular", "Modules import each other in a circle."),
    error(
        "import-outside",
        "An import that leaves the folder of the runbook.",
    ),
    warning("unused-import", "An import whose name is never used."),
    // Variables and flow.
    warning("unused-variable", "A variable that is never read."),
    warning(
        "shadowed-namespace",
        "A variable, parameter or import with the name of a namespace.",
    ),
    warning(
        "unreachable",
        "Code after `return`, `throw`, `break`, `continue` or `exit` never runs.",
    ),
    // Secrets.
    warning(
        "literal-secret",
        "A password, key or token is written in the file: whoever reads it has it.",
    ),
    // The comments themselves.
    warning(
        "unknown-rule",
        "A comment `// ccrun: allow(…)` names a rule that does not exist.",
    ),
];

/// How bad the findings of a rule are.
pub fn severity(id: &str) -> Severity {
    find(id).map_or(Severity::Error, |rule| rule.severity)
}

/// Whether there is such a rule.
pub fn known(id: &str) -> bool {
    find(id).is_some()
}

/// The rule for an error that the kernel found when it read the file.
pub fn of_error(kind: &str) -> &'static str {
    match kind {
        "syntax" => "syntax",
        "runbook.empty" => "empty",
        "header.not_first" => "header-not-first",
        "header.twice" => "header-twice",
        "header.not_literal" => "header-not-literal",
        "header.unknown_key" => "header-unknown-key",
        kind if kind.starts_with("header.") => "header-invalid",
        _ => "unreadable",
    }
}

fn find(id: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.id == id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_has_its_own_name_and_an_explanation() {
        for (index, rule) in RULES.iter().enumerate() {
            assert!(
                !RULES[..index].iter().any(|earlier| earlier.id == rule.id),
                "{}",
                rule.id
            );
            assert!(rule.explanation.ends_with('.'), "{}", rule.id);
            assert!(
                rule.id.chars().all(|c| c.is_ascii_lowercase() || c == '-'),
                "{}",
                rule.id
            );
        }
    }
}
