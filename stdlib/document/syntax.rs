//! Syntax errors that show the place.

use ccrun_kernel::Error;

use super::Format;

/// How much of a long line is shown on each side of the place, in characters.
const AROUND: usize = 40;

/// A place in a text. Lines and columns count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl Place {
    /// The place of a byte. One past the end is the end.
    #[must_use]
    pub fn of_byte(text: &str, byte: usize) -> Self {
        let before = &text[..text.floor_char_boundary(byte)];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Self {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }

    /// From a line and the number of a byte in it, both from 1.
    #[must_use]
    pub fn of_byte_column(text: &str, line: usize, column: usize) -> Self {
        let content = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
        let before = &content[..content.floor_char_boundary(column.saturating_sub(1))];
        Self {
            line: line.max(1),
            column: before.chars().count() + 1,
        }
    }
}

/// The line with a caret under the place, as it stands in messages.
#[must_use]
pub fn excerpt(text: &str, place: Place) -> String {
    let line: Vec<char> = text
        .lines()
        .nth(place.line - 1)
        .unwrap_or_default()
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let at = (place.column - 1).min(line.len());
    let start = at.saturating_sub(AROUND);
    let end = (at + AROUND).min(line.len());
    let left = if start > 0 { "…" } else { "" };
    let right = if end < line.len() { "…" } else { "" };
    let shown: String = line[start..end].iter().collect();
    let number = place.line.to_string();
    let margin = " ".repeat(number.len());
    let indent = " ".repeat(at - start + left.chars().count());
    format!("  {number} | {left}{shown}{right}\n  {margin} | {indent}^")
}

/// The error for a text that is not of the format.
#[must_use]
pub fn syntax_error(format: Format, text: &str, place: Place, why: &str) -> Error {
    let Place { line, column } = place;
    let title = format.title;
    let error = Error::new(
        format.kind("syntax"),
        format!(
            "not valid {title}: {why} at line {line}, column {column}\n{}",
            excerpt(text, place)
        ),
    )
    .detail("line", line)
    .detail("column", column);
    if text.trim().is_empty() {
        return error.hint("the text is empty: look at where it comes from");
    }
    if text.trim_start().starts_with("<!") || text.trim_start().starts_with("<html") {
        return error.hint(
            "this is a web page: look at the URL it comes from, and at the status of the answer",
        );
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_shown_in_its_line() {
        let text = "one\nzwölf: [1, 2\nthree";
        let place = Place::of_byte(text, text.find('[').unwrap());
        assert_eq!(place, Place { line: 2, column: 8 });
        assert_eq!(excerpt(text, place), "  2 | zwölf: [1, 2\n    |        ^");
        assert_eq!(Place::of_byte_column(text, 2, 9), place);
    }

    #[test]
    fn a_long_line_is_cut_and_the_end_of_the_text_is_a_place() {
        let text = "é".repeat(500);
        let shown = excerpt(&text, Place::of_byte(&text, 500));
        let (line, caret) = shown.split_once('\n').unwrap();
        assert_eq!(line.chars().count(), 6 + 82);
        assert_eq!(line.chars().nth(caret.chars().count() - 1), Some('é'));
        let end = Place::of_byte("a\n", 99);
        assert_eq!(end, Place { line: 2, column: 1 });
        assert_eq!(excerpt("a\n", end), "  2 | \n    | ^");
    }
}
