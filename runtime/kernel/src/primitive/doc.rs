//! The doc comment of a primitive, taken apart.

/// Documentation with its examples as data.
#[derive(Debug, Clone, Default)]
pub struct Doc {
    /// The first paragraph.
    pub summary: String,
    /// The text between the summary and the sections.
    pub body: String,
    /// The text under `# Errors`.
    pub errors: String,
    /// The code blocks under `# Example` or `# Examples`.
    pub examples: Vec<Example>,
}

/// A code block that the tests run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// The script.
    pub code: String,
    /// Whether it can run without any service (not marked `no_run`).
    pub runs: bool,
}

impl Doc {
    /// Read a doc comment.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut doc = Self::default();
        let mut section = String::new();
        let mut prose: Vec<&str> = Vec::new();
        let mut code: Option<(Vec<&str>, bool)> = None;
        let mut errors: Vec<&str> = Vec::new();
        for line in text.lines() {
            if let Some((lines, runs)) = &mut code {
                if line.trim_start().starts_with("```") {
                    doc.examples.push(Example {
                        code: lines.join("\n"),
                        runs: *runs,
                    });
                    code = None;
                } else {
                    lines.push(line);
                }
            } else if let Some(title) = line.strip_prefix("# ") {
                section = title.trim().to_lowercase();
            } else if section.starts_with("example") && line.trim_start().starts_with("```") {
                code = Some((Vec::new(), !line.contains("no_run")));
            } else if section == "errors" {
                errors.push(line);
            } else if section.is_empty() {
                prose.push(line);
            }
        }
        let prose = prose.join("\n");
        let (summary, body) = prose
            .trim()
            .split_once("\n\n")
            .unwrap_or((prose.trim(), ""));
        doc.summary = summary.replace('\n', " ");
        doc.body = body.trim().to_owned();
        doc.errors = errors.join("\n").trim().to_owned();
        doc
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_and_examples_are_taken_apart() {
        let doc = Doc::parse(
            "Restart it.\nAt once.\n\nMore.\n\n# Errors\n`a.b` if not.\n\n# Example\n```rhai\nf();\n```\n```rhai,no_run\ng();\n```",
        );
        assert_eq!(doc.summary, "Restart it. At once.");
        assert_eq!(doc.body, "More.");
        assert_eq!(doc.errors, "`a.b` if not.");
        assert_eq!(
            doc.examples,
            [
                Example {
                    code: "f();".into(),
                    runs: true
                },
                Example {
                    code: "g();".into(),
                    runs: false
                }
            ]
        );
    }
}
