//! A finding of `ccrun check`: the line, a caret, what to write instead.

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use ccrun_kernel::check::{Finding, Severity};

/// The finding for a terminal.
#[must_use]
pub fn render(finding: &Finding) -> String {
    let level = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let text = std::fs::read_to_string(&finding.location.source).unwrap_or_default();
    let mut group = Group::with_title(
        level
            .primary_title(finding.message.as_str())
            .id(finding.rule),
    );
    match super::error::span_of(&text, &finding.location, finding.length) {
        Some(span) if !text.is_empty() => {
            group = group.element(
                Snippet::source(text.as_str())
                    .path(finding.location.source.as_str())
                    .annotation(AnnotationKind::Primary.span(span)),
            );
        }
        _ => group = group.element(Level::NOTE.message(format!("at {}", finding.location))),
    }
    let mut report = vec![group];
    if let Some(suggestion) = &finding.suggestion {
        report.push(Group::with_title(
            Level::HELP.secondary_title(suggestion.as_str()),
        ));
    }
    let renderer = if console::colors_enabled() {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    renderer.decor_style(DecorStyle::Ascii).render(&report)
}
