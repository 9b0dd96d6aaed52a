//! Splitting SQL into words, names, strings and signs.

use std::ops::Range;

/// The sort of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A keyword or a name.
    Word,
    /// A name in double quotes.
    QuotedName,
    /// A string or a number.
    Literal,
    /// `$1`
    Parameter,
    /// Anything else, one character.
    Symbol,
}

/// A piece of SQL.
#[derive(Debug, Clone, Copy)]
pub struct Token<'a> {
    /// Its sort.
    pub kind: Kind,
    /// Its text.
    pub text: &'a str,
    /// Where it begins.
    pub start: usize,
}

impl Token<'_> {
    /// Where it stands.
    pub fn range(&self) -> Range<usize> {
        self.start..self.start + self.text.len()
    }
}

/// Splits SQL by <https://www.postgresql.org/docs/current/sql-syntax-lexical.html>.
pub struct Lexer<'a> {
    sql: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    /// From the beginning.
    #[must_use]
    pub fn new(sql: &'a str) -> Self {
        Self { sql, at: 0 }
    }

    fn rest(&self) -> &'a str {
        &self.sql[self.at..]
    }

    fn skip_blank(&mut self) {
        loop {
            let rest = self.rest();
            let trimmed = rest.trim_start();
            self.at += rest.len() - trimmed.len();
            if trimmed.starts_with("--") {
                self.at += trimmed.find('\n').unwrap_or(trimmed.len());
            } else if trimmed.starts_with("/*") {
                self.at += comment_length(trimmed);
            } else {
                return;
            }
        }
    }
}

impl<'a> Iterator for Lexer<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        self.skip_blank();
        let rest = self.rest();
        let first = rest.chars().next()?;
        let (kind, length) = match first {
            '\'' => (Kind::Literal, quoted_length(rest, '\'', false)),
            'e' | 'E' if rest[1..].starts_with('\'') => {
                (Kind::Literal, 1 + quoted_length(&rest[1..], '\'', true))
            }
            'b' | 'B' | 'x' | 'X' | 'n' | 'N' if rest[1..].starts_with('\'') => {
                (Kind::Literal, 1 + quoted_length(&rest[1..], '\'', false))
            }
            'u' | 'U' if rest[1..].starts_with("&'") => {
                (Kind::Literal, 2 + quoted_length(&rest[2..], '\'', false))
            }
            // An escaped name could spell anything: it counts as an unknown function.
            'u' | 'U' if rest[1..].starts_with("&\"") => {
                (Kind::QuotedName, 2 + quoted_length(&rest[2..], '"', false))
            }
            '"' => (Kind::QuotedName, quoted_length(rest, '"', false)),
            '$' => match dollar_quote_length(rest) {
                Some(length) => (Kind::Literal, length),
                None => {
                    let digits = rest[1..].bytes().take_while(u8::is_ascii_digit).count();
                    let kind = if digits > 0 {
                        Kind::Parameter
                    } else {
                        Kind::Symbol
                    };
                    (kind, 1 + digits)
                }
            },
            c if c.is_ascii_digit() => {
                let number = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '_';
                (
                    Kind::Literal,
                    rest.find(|c| !number(c)).unwrap_or(rest.len()),
                )
            }
            c if is_name(c) => (Kind::Word, rest.find(|c| !is_name(c)).unwrap_or(rest.len())),
            c => (Kind::Symbol, c.len_utf8()),
        };
        let token = Token {
            kind,
            text: &rest[..length],
            start: self.at,
        };
        self.at += length;
        Some(token)
    }
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '$' || !c.is_ascii()
}

/// The length of `'…'`, with the quote doubled inside, and a backslash escaping in `E'…'`.
fn quoted_length(text: &str, quote: char, backslash: bool) -> usize {
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if backslash && c == '\\' {
            chars.next();
        } else if c == quote {
            if chars.peek().is_some_and(|(_, next)| *next == quote) {
                chars.next();
            } else {
                return at + 1;
            }
        }
    }
    text.len()
}

/// The length of `$tag$ … $tag$`, if it is one.
fn dollar_quote_length(text: &str) -> Option<usize> {
    let tag_end = text[1..].find('$')? + 2;
    let tag = &text[..tag_end];
    let inner = &tag[1..tag_end - 1];
    let is_tag = inner.chars().all(|c| is_name(c) && c != '$')
        && !inner.starts_with(|c: char| c.is_ascii_digit());
    if !is_tag {
        return None;
    }
    let close = text[tag_end..].find(tag)?;
    Some(tag_end + close + tag.len())
}

/// The length of a comment, which may have comments inside.
fn comment_length(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}
