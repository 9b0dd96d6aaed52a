//! What an alert is.

use std::collections::BTreeMap;
use std::fmt;

use ccrun_kernel::rhai::Dynamic;
use ccrun_kernel::value::closest;
use ccrun_kernel::{FromArg, Mismatch};
use serde::{Deserialize, Serialize};

/// How serious.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Look at it when there is time.
    Warning,
    /// Look at it today.
    Error,
    /// Get up.
    Critical,
}

impl Severity {
    /// All, the least serious first.
    pub const ALL: [Self; 4] = [Self::Info, Self::Warning, Self::Error, Self::Critical];

    /// The name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }

    /// A sign that is seen before the words are read.
    #[must_use]
    pub fn sign(self) -> &'static str {
        match self {
            Self::Info => "ℹ️",
            Self::Warning => "⚠️",
            Self::Error => "❗",
            Self::Critical => "🚨",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromArg for Severity {
    fn type_name() -> String {
        "string".into()
    }

    fn from_arg(value: Dynamic) -> Result<Self, Mismatch> {
        let text = String::from_arg(value)?;
        let found = Self::ALL.into_iter().find(|one| one.name() == text);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::name);
            Mismatch::Value(match closest(&text, names) {
                Some(nearest) => format!("`{text}` is no severity; did you mean `{nearest}`?"),
                None => format!("`{text}` is no severity: it is one of {}", names.join(", ")),
            })
        })
    }
}

/// What is said of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It is there.
    Trigger,
    /// Somebody looks after it.
    Acknowledge,
    /// It is over.
    Resolve,
}

impl Action {
    /// The name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Trigger => "trigger",
            Self::Acknowledge => "acknowledge",
            Self::Resolve => "resolve",
        }
    }
}

/// An alert, and what is said of it now.
#[derive(Debug, Clone)]
pub struct Alert {
    /// What is said of it.
    pub action: Action,
    /// The same for the same trouble.
    pub key: String,
    /// How serious.
    pub severity: Severity,
    /// Where it comes from: the target, unless the runbook says otherwise.
    pub source: String,
    /// What it is, in a line.
    pub title: String,
    /// What is known.
    pub body: String,
    /// What tells it from others: for routing, silences and receivers.
    pub labels: BTreeMap<String, String>,
    /// Where to look.
    pub link: Option<String>,
    /// Since when it is there.
    pub since: jiff::Timestamp,
    /// Now.
    pub now: jiff::Timestamp,
}

impl Alert {
    /// What people read first: `[CRITICAL] …`, `[RESOLVED] …`.
    #[must_use]
    pub fn headline(&self) -> String {
        format!("[{}] {}", self.state().to_uppercase(), self.title)
    }

    /// `critical`, `resolved`, `acknowledged`.
    #[must_use]
    pub fn state(&self) -> &'static str {
        match self.action {
            Action::Trigger => self.severity.name(),
            Action::Acknowledge => "acknowledged",
            Action::Resolve => "resolved",
        }
    }

    /// The sign before the headline.
    #[must_use]
    pub fn sign(&self) -> &'static str {
        match self.action {
            Action::Trigger => self.severity.sign(),
            Action::Acknowledge => "👀",
            Action::Resolve => "✅",
        }
    }

    /// What stands below the text: the source, the labels, the key.
    #[must_use]
    pub fn facts(&self) -> Vec<(String, String)> {
        let mut facts = vec![
            ("source".to_owned(), self.source.clone()),
            ("severity".to_owned(), self.severity.name().to_owned()),
        ];
        facts.extend(self.labels.clone());
        facts.push(("key".to_owned(), self.key.clone()));
        facts.retain(|(_, value)| !value.trim().is_empty());
        facts
    }

    /// A label, or one of what every alert has.
    #[must_use]
    pub fn label(&self, name: &str) -> Option<&str> {
        match name {
            "severity" => Some(self.severity.name()),
            "source" => Some(&self.source),
            "key" => Some(&self.key),
            other => self.labels.get(other).map(String::as_str),
        }
    }

    /// As JSON, for webhooks and templates.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "action": self.action.name(),
            "key": self.key,
            "severity": self.severity.name(),
            "source": self.source,
            "title": self.title,
            "body": self.body,
            "labels": self.labels,
            "link": self.link,
            "since": self.since.to_string(),
            "time": self.now.to_string(),
        })
    }
}

/// Whether a text fits a pattern, in which `*` stands for anything.
#[must_use]
pub fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.len() >= last.len() && rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, text, yes) in [
            ("backup", "backup", true),
            ("backup", "backups", false),
            ("backup*", "backup/app", true),
            ("*", "", true),
            ("*app", "backup/app", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b", "a", false),
            ("ab*b", "ab", false),
        ] {
            assert_eq!(fits(pattern, text), yes, "{pattern} {text}");
        }
    }
}
