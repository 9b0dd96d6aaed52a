//! What a check has to say.

use rhai::Position;
use serde::Serialize;

use super::rules;
use super::source::Source;
use crate::error::Location;
use crate::value::closest;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It cannot work, or not as it is meant.
    Error,
    /// It works, and is likely to surprise.
    Warning,
}

/// One thing that was found in a file, with its place.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Finding {
    /// The stable name of the rule: `unknown-function`. See [`super::rules()`].
    pub rule: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in a sentence.
    pub message: String,
    /// Where it begins.
    pub location: Location,
    /// How many characters it covers, for the underline.
    pub length: usize,
    /// What to do about it.
    pub suggestion: Option<String>,
    /// What to write instead of the underlined text, where that is certain enough to offer.
    pub replacement: Option<String>,
}

impl Finding {
    /// Say what to do.
    pub(super) fn suggest(&mut self, text: impl Into<String>) -> &mut Self {
        self.suggestion = Some(text.into());
        self
    }

    /// Say which text to put in the place of what is underlined.
    pub(super) fn replace_with(&mut self, text: impl Into<String>) -> &mut Self {
        self.replacement = Some(text.into());
        self
    }

    /// Propose the candidate that was probably meant, or else `otherwise`.
    pub(super) fn nearest<'c>(
        &mut self,
        name: &str,
        candidates: impl IntoIterator<Item = &'c str>,
        otherwise: impl FnOnce() -> String,
    ) -> &mut Self {
        match closest(name, candidates) {
            Some(meant) => self
                .suggest(format!("did you mean `{meant}`?"))
                .replace_with(meant),
            None => match otherwise() {
                text if text.is_empty() => self,
                text => self.suggest(text),
            },
        }
    }
}

/// Collects the findings in one file.
pub struct Report<'s> {
    source: &'s Source<'s>,
    findings: Vec<Finding>,
}

impl<'s> Report<'s> {
    pub fn new(source: &'s Source<'s>) -> Self {
        Self {
            source,
            findings: Vec::new(),
        }
    }

    /// A finding at a place; the word, text or sign that stands there is underlined.
    pub fn add(
        &mut self,
        rule: &'static str,
        position: Position,
        message: impl Into<String>,
    ) -> &mut Finding {
        let location = Location::of(self.source.name(), position);
        self.add_at(rule, location.as_ref(), message)
    }

    /// A finding about the whole of a statement: its line is pointed at where it begins.
    pub fn add_line(
        &mut self,
        rule: &'static str,
        position: Position,
        message: impl Into<String>,
    ) -> &mut Finding {
        let line = position.line().unwrap_or(1);
        let source = self.source.name().to_owned();
        let at = Location {
            source,
            line,
            column: self.source.indent(line),
        };
        self.add_at(rule, Some(&at), message)
    }

    /// A finding at a place that is already a location of this file.
    pub fn add_at(
        &mut self,
        rule: &'static str,
        location: Option<&Location>,
        message: impl Into<String>,
    ) -> &mut Finding {
        let (line, column) = location.map_or((1, 1), |at| (at.line, at.column.max(1)));
        let index = self.findings.len();
        self.findings.push(Finding {
            rule,
            severity: rules::severity(rule),
            message: message.into(),
            location: Location {
                source: self.source.name().to_owned(),
                line,
                column,
            },
            length: self.source.length_at(line, column),
            suggestion: None,
            replacement: None,
        });
        &mut self.findings[index]
    }

    /// What was found and is not silenced by a comment, in the order of the file.
    pub fn finish(mut self) -> Vec<Finding> {
        self.silences();
        let source = self.source;
        self.findings
            .retain(|finding| !source.allows(finding.location.line, finding.rule));
        for finding in &mut self.findings {
            // A name that is written as a text stays one.
            let text = source.from(finding.location.line, finding.location.column);
            if let Some(replacement) = &mut finding.replacement
                && text.starts_with('"')
                && !replacement.starts_with('"')
            {
                *replacement = format!("\"{replacement}\"");
            }
        }
        self.findings
            .sort_by_key(|finding| (finding.location.line, finding.location.column, finding.rule));
        self.findings.dedup();
        self.findings
    }

    /// A comment that silences a rule that there is not silences nothing: say so.
    fn silences(&mut self) {
        let source = self.source;
        for silence in source.silences() {
            if rules::known(silence.rule) {
                continue;
            }
            let at = Location {
                source: source.name().to_owned(),
                line: silence.line,
                column: silence.column,
            };
            let length = silence.rule.chars().count();
            let ids = rules::RULES.iter().map(|rule| rule.id);
            let finding = self
                .add_at(
                    "unknown-rule",
                    Some(&at),
                    format!("there is no rule `{}`", silence.rule),
                )
                .nearest(silence.rule, ids, || {
                    "`ccrun check --rules` lists them".to_owned()
                });
            finding.length = length.max(1);
        }
    }
}
