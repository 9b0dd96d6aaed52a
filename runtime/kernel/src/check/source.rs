//! The text of a file: what stands where, and the comments that silence a rule.

/// A file's text, by lines.
pub struct Source<'s> {
    name: String,
    lines: Vec<&'s str>,
    silences: Vec<Silence<'s>>,
}

/// `// ccrun: allow(rule)`: no findings of this rule on this line and on the next.
#[derive(Debug, PartialEq, Eq)]
pub struct Silence<'s> {
    pub rule: &'s str,
    /// Where the name of the rule stands.
    pub line: usize,
    pub column: usize,
}

const ALLOW: &str = "ccrun: allow(";

impl<'s> Source<'s> {
    pub fn new(name: &str, text: &'s str) -> Self {
        let lines: Vec<&str> = text.lines().collect();
        let silences = lines
            .iter()
            .enumerate()
            .flat_map(|(at, line)| silences(line, at + 1))
            .collect();
        Self {
            name: name.to_owned(),
            lines,
            silences,
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn silences(&self) -> &[Silence<'s>] {
        &self.silences
    }

    /// Whether a comment silences the rule on this line.
    pub fn allows(&self, line: usize, rule: &str) -> bool {
        self.silences.iter().any(|silence| {
            silence.rule == rule && (silence.line == line || silence.line + 1 == line)
        })
    }

    /// The column in which the text of a line begins.
    pub fn indent(&self, line: usize) -> usize {
        let text = self.from(line, 1);
        text.chars()
            .take_while(|letter| letter.is_whitespace())
            .count()
            + 1
    }

    /// The rest of a line from a column on.
    pub fn from(&self, line: usize, column: usize) -> &'s str {
        let Some(text) = line.checked_sub(1).and_then(|index| self.lines.get(index)) else {
            return "";
        };
        let start = text
            .char_indices()
            .nth(column.saturating_sub(1))
            .map_or(text.len(), |(at, _)| at);
        &text[start..]
    }

    /// How many characters the token has that begins here.
    pub fn length_at(&self, line: usize, column: usize) -> usize {
        let rest = self.from(line, column);
        let mut letters = rest.chars();
        let length = match letters.next() {
            Some(quote @ ('"' | '\'' | '`')) => quoted_length(letters, quote),
            Some('#') if rest.starts_with("#{") => 2,
            Some(first) if first.is_ascii_digit() => rest
                .chars()
                .take_while(|c| is_word(*c) || *c == '.')
                .count(),
            Some(first) if is_word(first) => rest.chars().take_while(|c| is_word(*c)).count(),
            _ => 1,
        };
        length.max(1)
    }
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// The length of a string up to its closing quote, both quotes included; to the end of the line for
/// one that goes on in the next.
fn quoted_length(letters: impl Iterator<Item = char>, quote: char) -> usize {
    let mut length = 1;
    let mut escaped = false;
    for letter in letters {
        length += 1;
        if !escaped && letter == quote {
            break;
        }
        escaped = !escaped && letter == '\\' && quote != '`';
    }
    length
}

fn silences(text: &str, line: usize) -> Vec<Silence<'_>> {
    let comment = text
        .find("//")
        .and_then(|from| Some(from + text[from..].find(ALLOW)?));
    let Some(start) = comment.map(|at| at + ALLOW.len()) else {
        return Vec::new();
    };
    let end = text[start..]
        .find(')')
        .map_or(text.len(), |length| start + length);
    let mut found = Vec::new();
    let mut at = start;
    for part in text[start..end].split(',') {
        let lead = part.len() - part.trim_start().len();
        let rule = part.trim();
        if !rule.is_empty() {
            let column = text[..at + lead].chars().count() + 1;
            found.push(Silence { rule, line, column });
        }
        at += part.len() + 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_at_a_place_is_measured_in_characters() {
        let text = "let größe = \"a\\\"ü\"; f(#{ x: `ab${1}` }, 12.5) \"open\n+";
        let source = Source::new("t", text);
        for (column, token) in [
            (1, "let"),
            (5, "größe"),
            (11, "="),
            (13, "\"a\\\"ü\""),
            (23, "#{"),
            (29, "`ab${1}`"),
            (41, "12.5"),
            (47, "\"open"),
        ] {
            assert_eq!(
                source.length_at(1, column),
                token.chars().count(),
                "{column} {token}"
            );
        }
        assert_eq!(source.length_at(2, 1), 1);
        assert_eq!(source.length_at(9, 9), 1);
        assert_eq!(source.length_at(0, 0), 1);
    }

    #[test]
    fn a_silence_holds_for_its_line_and_the_next() {
        let source = Source::new(
            "t",
            "ü // ccrun: allow(one-rule, two-rule): because\nx\ny\n\"ccrun: allow(no)\"",
        );
        assert_eq!(
            source.silences(),
            [
                Silence {
                    rule: "one-rule",
                    line: 1,
                    column: 19
                },
                Silence {
                    rule: "two-rule",
                    line: 1,
                    column: 29
                }
            ]
        );
        assert!(source.allows(1, "one-rule") && source.allows(2, "two-rule"));
        assert!(!source.allows(3, "one-rule") && !source.allows(1, "third"));
    }
}
