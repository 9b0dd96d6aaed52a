//! Errors: what happened, where, and what to do now.

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use ccrun_kernel::{Error, Location};

/// A text that was run, and what places in it are called by.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// The file, or another name such as `-e`.
    pub name: &'a str,
    /// Its text as it was run, whatever the file says by now.
    pub text: &'a str,
}

/// The error for a terminal: the snippet with a caret, the step, the hint.
#[must_use]
pub fn render(error: &Error, source: Option<Source<'_>>) -> String {
    let text = error.location().and_then(|at| source_text(at, source));
    let mut group = Group::with_title(Level::ERROR.primary_title(error.message()).id(error.kind()));
    let mut has_snippet = false;
    if let (Some(at), Some(text)) = (error.location(), &text)
        && let Some(span) = span_of(text, at, 0)
    {
        has_snippet = true;
        group = group.element(
            Snippet::source(text.as_str())
                .path(at.source.as_str())
                .annotation(AnnotationKind::Primary.span(span)),
        );
    } else if let Some(at) = error.location() {
        group = group.element(Level::NOTE.message(format!("at {at}")));
    }
    if let Some(step) = error.step() {
        group = group.element(Level::NOTE.message(format!("in step `{step}`")));
    }
    for (key, value) in error.details() {
        if let Some(text) = value.as_str()
            && text.lines().count() <= 12
            // Programs want each fact by its name; a person has read it in the sentence.
            && !error.message().contains(text)
        {
            group = group.element(Level::NOTE.message(format!("{key}: {text}")));
        }
    }
    let mut report = vec![group];
    if let Some(hint) = error.hint_text() {
        report.push(Group::with_title(Level::HELP.secondary_title(hint)));
    }
    let renderer = if console::colors_enabled_stderr() {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    let text = renderer.decor_style(DecorStyle::Ascii).render(&report);
    if has_snippet {
        return text;
    }
    // The gutter of a snippet that is not there.
    let lines = text.lines();
    let lines: Vec<&str> = lines
        .filter(|line| console::strip_ansi_codes(line).trim() != "|")
        .collect();
    lines.join("\n")
}

/// The text in which it happened: what was run, or, for a module of it, what stands in the library or on the disk.
fn source_text(at: &Location, source: Option<Source<'_>>) -> Option<String> {
    if let Some(module) = at.source.strip_prefix("std/") {
        return ccrun_stdlib::modules()
            .get(module)
            .map(|&text| text.to_owned());
    }
    let ran = source.filter(|source| source.text.lines().count() >= at.line);
    if let Some(source) = ran.filter(|source| source.name == at.source) {
        return Some(source.text.to_owned());
    }
    let on_disk = std::fs::read_to_string(&at.source).ok();
    on_disk.or_else(|| ran.map(|source| source.text.to_owned()))
}

/// The bytes to underline: so many characters from the position, or with 0 the word there.
#[must_use]
pub fn span_of(text: &str, at: &Location, length: usize) -> Option<std::ops::Range<usize>> {
    let line_start = text
        .split_inclusive('\n')
        .take(at.line.checked_sub(1)?)
        .map(str::len)
        .sum::<usize>();
    let line = text.get(line_start..)?.lines().next().unwrap_or_default();
    let column = line
        .char_indices()
        .nth(at.column.saturating_sub(1))
        .map_or(line.len(), |(offset, _)| offset);
    let rest = &line[column..];
    let word = match length {
        0 => rest
            .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'))
            .unwrap_or(rest.len()),
        characters => rest.chars().take(characters).map(char::len_utf8).sum(),
    };
    let start = line_start + column;
    Some(start..(start + word.max(1)).min(text.len()).max(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_place_there_is_no_empty_gutter() {
        console::set_colors_enabled_stderr(false);
        let error = Error::new("usage", "there is no runbook x").hint("`ccrun list`");
        let text = render(&error, None);
        assert_eq!(
            text,
            "error[usage]: there is no runbook x\nhelp: `ccrun list`"
        );
    }

    #[test]
    fn an_error_in_the_library_shows_the_librarys_lines() {
        let at = Location {
            source: "std/prometheus".into(),
            line: 1,
            column: 1,
        };
        console::set_colors_enabled_stderr(false);
        let ran = Source {
            name: "a.rhai",
            text: "first line of the script\n",
        };
        let text = render(&Error::new("x.y", "it failed").at(Some(at)), Some(ran));
        assert!(text.contains("std/prometheus:1:1"), "{text}");
        assert!(
            text.contains("Prometheus") && !text.contains("first line"),
            "{text}"
        );
    }

    #[test]
    fn the_caret_stands_under_the_call_after_wide_characters() {
        let at = Location {
            source: "a.rhai".into(),
            line: 2,
            column: 12,
        };
        let error = Error::new("docker.not_found", "there is no container `é`")
            .hint("`docker ps -a`")
            .at(Some(at));
        console::set_colors_enabled_stderr(false);
        let text = render(
            &error,
            Some(Source {
                name: "a.rhai",
                text: "let x = 1;\nlet é = 1; docker::container(\"é\");\n",
            }),
        );
        assert!(text.contains("a.rhai:2:12"), "{text}");
        assert!(text.contains("           ^^^^^^^^^^^^^^^^^"), "{text}");
        assert!(text.contains("help: `docker ps -a`"), "{text}");
    }
}
