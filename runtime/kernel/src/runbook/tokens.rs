//! What a step does, as a fingerprint of its text: whoever resumes a run after an edit is told which
//! steps are still the same.

use rhai::{Engine, Position, Token};
use sha2::{Digest, Sha256};

/// One call of `step` or `defer`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepBody {
    /// The name, if it is written there as a plain string.
    pub name: Option<String>,
    /// Where the call begins.
    pub position: Position,
    /// Where its closing parenthesis is.
    pub end: Position,
    /// 16 hexadecimal digits over everything between the parentheses. White space, line breaks and
    /// comments do not count.
    pub hash: String,
}

/// A call whose closing parenthesis has not come yet.
struct Open {
    slot: usize,
    position: Position,
    name: Option<String>,
    tokens: usize,
    depth: usize,
    digest: Sha256,
}

/// Every call of `step` and `defer` in a source, in the order in which they begin; nested ones too.
/// A source with a syntax error gives what there is before it.
#[must_use]
pub fn step_bodies(source: &str) -> Vec<StepBody> {
    let mut engine = Engine::new_raw();
    super::free_words(&mut engine);
    let inputs = [source];
    let (tokens, control) = engine.lex(&inputs);

    let mut found: Vec<Option<StepBody>> = Vec::new();
    let mut open: Vec<Open> = Vec::new();
    let mut parentheses = 0_usize;
    // Braces inside of `${…}`, one counter for each text that is open.
    let mut texts: Vec<usize> = Vec::new();
    let mut candidate: Option<Position> = None;
    let mut after_qualifier = false;

    for (token, position) in tokens {
        if matches!(token, Token::EOF | Token::LexError(_)) {
            break;
        }
        if matches!(token, Token::Comment(_)) {
            continue;
        }
        // Everything after an opening parenthesis belongs to the call, up to the closing one.
        if matches!(token, Token::RightParen) {
            parentheses = parentheses.saturating_sub(1);
            if let Some(call) = open.pop_if(|call| call.depth == parentheses) {
                found[call.slot] = Some(StepBody {
                    name: call.name,
                    position: call.position,
                    end: position,
                    hash: hex::encode(&call.digest.finalize()[..8]),
                });
            }
        }
        for call in &mut open {
            call.take(&token);
        }
        match &token {
            Token::LeftParen | Token::Unit => {
                if let Some(start) = candidate
                    && matches!(token, Token::LeftParen)
                {
                    open.push(Open::new(found.len(), start, parentheses));
                    found.push(None);
                }
                if matches!(token, Token::LeftParen) {
                    parentheses += 1;
                }
            }
            Token::InterpolatedString(_) => texts.push(0),
            Token::LeftBrace | Token::MapStart => {
                if let Some(braces) = texts.last_mut() {
                    *braces += 1;
                }
            }
            Token::RightBrace => {
                if let Some(braces) = texts.last_mut() {
                    *braces = braces.saturating_sub(1);
                    if *braces == 0 {
                        // The rest of the text follows; the lexer wants to be told.
                        texts.pop();
                        control.borrow_mut().is_within_text = true;
                    }
                }
            }
            _ => {}
        }
        candidate = match &token {
            Token::Identifier(name) if !after_qualifier && is_step(name) => Some(position),
            _ => None,
        };
        after_qualifier = matches!(
            token,
            Token::Period | Token::Elvis | Token::DoubleColon | Token::Fn
        );
    }
    found.into_iter().flatten().collect()
}

fn is_step(name: &str) -> bool {
    matches!(name, "step" | "defer")
}

impl Open {
    fn new(slot: usize, position: Position, depth: usize) -> Self {
        Self {
            slot,
            position,
            name: None,
            tokens: 0,
            depth,
            digest: Sha256::new(),
        }
    }

    fn take(&mut self, token: &Token) {
        let (sort, text) = match token {
            Token::StringConstant(text) => (b's', text.to_string()),
            Token::InterpolatedString(text) => (b'i', text.to_string()),
            Token::CharConstant(c) => (b'c', c.to_string()),
            other => (b't', other.to_string()),
        };
        // With its length in front, no two lists of tokens read the same.
        self.digest.update([sort]);
        self.digest.update((text.len() as u64).to_le_bytes());
        self.digest.update(text.as_bytes());
        match self.tokens {
            0 if sort == b's' => self.name = Some(text),
            1 if !matches!(token, Token::Comma) => self.name = None,
            _ => {}
        }
        self.tokens += 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hash(source: &str) -> String {
        let bodies = step_bodies(source);
        assert_eq!(bodies.len(), 1, "{source}");
        bodies[0].hash.clone()
    }

    #[test]
    fn steps_are_found_with_their_names_and_places() {
        let source = r#"
            let result = step("Dump", #{ retry: 3 }, || {
                step(`inner ${db + "}"} end`, || print(")"));
                defer(|| cleanup());
            });
            x.step("method"); other::step("qualified"); fn step(a) { }
            step("A" + "B", || 1);
            step("Last", || `${#{ a: `${1}` }} )`)
        "#;
        let bodies = step_bodies(source);
        let seen: Vec<(Option<&str>, usize, usize)> = bodies
            .iter()
            .map(|b| {
                let line = |p: Position| p.line().unwrap();
                (b.name.as_deref(), line(b.position), line(b.end))
            })
            .collect();
        assert_eq!(
            seen,
            [
                (Some("Dump"), 2, 5),
                (None, 3, 3),
                (None, 4, 4),
                (None, 7, 7),
                (Some("Last"), 8, 8),
            ]
        );
    }

    #[test]
    fn only_what_matters_changes_the_hash() {
        let base = hash(r#"step("A", || { work(1, "x y") })"#);
        assert_eq!(
            base,
            hash("step( \"A\",\n  || {\n // why\n work(1, /* how */ \"x y\") } )")
        );
        assert_eq!(base.len(), 16);
        for other in [
            r#"step("A", || { work(2, "x y") })"#,
            r#"step("A", || { work(1, "x  y") })"#,
            r#"step("A", || { work(1, `x y${}`) })"#,
            r#"step("B", || { work(1, "x y") })"#,
            r#"step("A", || { work(1, "x y"); })"#,
        ] {
            assert_ne!(base, hash(other), "{other}");
        }
        assert_ne!(hash("step(`a ${b} c`)"), hash("step(`a ${c} c`)"));
        assert_ne!(hash("step(`a ${b} c`)"), hash("step(`a ${b} d`)"));
    }

    #[test]
    fn a_change_inside_changes_the_outer_step_too() {
        let one = step_bodies(r#"step("A", || { step("B", || 1) })"#);
        let two = step_bodies(r#"step("A", || { step("B", || 2) })"#);
        assert_ne!(one[0].hash, two[0].hash);
        assert_ne!(one[1].hash, two[1].hash);
    }

    #[test]
    fn a_step_without_an_end_is_left_out() {
        assert_eq!(step_bodies(r#"step("A", || 1); step("B", || {"#).len(), 1);
        assert_eq!(step_bodies(r#"step("A", || "unterminated)"#), []);
        assert_eq!(step_bodies("step()"), []);
    }

    proptest! {
        #[test]
        fn no_text_panics(parts in prop::collection::vec(
            prop_oneof![
                Just("step("), Just("\"a\""), Just("`"), Just("${"), Just("}"), Just("{"),
                Just(")"), Just("("), Just("//"), Just("/*"), Just("*/"), Just("\n"), Just("#{"),
                Just("\\"), Just("'"), Just("defer("), Just(", || "), Just("1.5"), Just("é"),
                Just("#\""), Just("\"#"),
            ],
            0..40,
        )) {
            let _ = step_bodies(&parts.concat());
        }
    }
}
