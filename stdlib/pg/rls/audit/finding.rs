//! What the audit finds.

use ccrun_kernel::rhai::{Dynamic, Map};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Wrong on most days.
    Warn,
    /// Somebody reads or writes what is not theirs.
    Error,
}

impl Severity {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }

    /// What a word means.
    pub fn of(word: &str) -> Option<Self> {
        [Self::Info, Self::Warn, Self::Error]
            .into_iter()
            .find(|severity| severity.word() == word)
    }
}

/// What a rule says of everything it finds.
#[derive(Debug)]
pub struct Rule {
    /// Its name, which is also the anchor in the docs.
    pub id: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// In a few words.
    pub title: &'static str,
    /// Why it matters.
    pub why: &'static str,
}

/// One thing that was found.
#[derive(Debug)]
pub struct Finding {
    /// The rule.
    pub rule: &'static Rule,
    /// What it is about.
    pub object: String,
    /// What was seen.
    pub evidence: String,
    /// The SQL that mends it; a comment where there is none.
    pub fix: String,
}

impl Finding {
    /// As scripts get it.
    pub fn into_map(self) -> Map {
        let text = |text: &str| Dynamic::from(text.to_owned());
        Map::from_iter([
            ("rule".into(), text(self.rule.id)),
            ("severity".into(), text(self.rule.severity.word())),
            ("title".into(), text(self.rule.title)),
            ("object".into(), self.object.into()),
            ("evidence".into(), self.evidence.into()),
            ("why".into(), text(self.rule.why)),
            ("fix".into(), self.fix.into()),
            (
                "docs".into(),
                format!("guide/rls-rules.html#{}", self.rule.id).into(),
            ),
        ])
    }
}

/// A name as SQL has it: quoted where that is needed.
pub fn quoted(name: &str) -> String {
    let plain = name
        .chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty();
    match plain {
        true => name.to_owned(),
        false => format!("\"{}\"", name.replace('"', "\"\"")),
    }
}
