//! The condition of a policy, taken apart as far as AND, OR and NOT: the server writes it back with every part in
//! parentheses, so that much can be told for sure. What is between them stays text.

/// A condition.
#[derive(Debug, PartialEq, Eq)]
pub enum Condition {
    /// All of them.
    And(Vec<Condition>),
    /// One of them.
    Or(Vec<Condition>),
    /// The opposite.
    Not(Box<Condition>),
    /// Anything else, as the server writes it, without the parentheses around it.
    Plain(String),
}

impl Condition {
    /// Take a text apart.
    pub fn of(text: &str) -> Self {
        let text = bare(text);
        for (word, make) in [
            (" OR ", Self::Or as fn(Vec<Self>) -> Self),
            (" AND ", Self::And),
        ] {
            let parts = split(text, word);
            if parts.len() > 1 {
                return make(parts.into_iter().map(Self::of).collect());
            }
        }
        match text.strip_prefix("NOT ") {
            Some(rest) => Self::Not(Box::new(Self::of(rest))),
            None => Self::Plain(text.to_owned()),
        }
    }

    /// Whether it holds for every row, whoever asks.
    pub fn is_always(&self) -> bool {
        match self {
            Self::And(parts) => parts.iter().all(Self::is_always),
            Self::Or(parts) => parts.iter().any(Self::is_always) || is_either(parts),
            Self::Not(part) => part.is_never(),
            Self::Plain(text) => text.eq_ignore_ascii_case("true") || constants(text) == Some(true),
        }
    }

    fn is_never(&self) -> bool {
        match self {
            Self::And(parts) => parts.iter().any(Self::is_never),
            Self::Or(parts) => parts.iter().all(Self::is_never),
            Self::Not(part) => part.is_always(),
            Self::Plain(text) => {
                text.eq_ignore_ascii_case("false") || constants(text) == Some(false)
            }
        }
    }

    /// Whether it asks no more than that somebody is signed in: then it holds for every row.
    pub fn is_anybody(&self) -> bool {
        match self {
            Self::And(parts) => {
                parts
                    .iter()
                    .all(|part| part.is_anybody() || part.is_always())
                    && parts.iter().any(Self::is_anybody)
            }
            Self::Or(parts) => parts.iter().any(Self::is_anybody),
            Self::Not(part) => match part.as_ref() {
                Self::Plain(text) => {
                    who(text.trim_end_matches(" IS NULL")).is_some() && text.ends_with(" IS NULL")
                }
                _ => false,
            },
            Self::Plain(text) => {
                if let Some(asked) = text.strip_suffix(" IS NOT NULL") {
                    return who(asked).is_some_and(|who| who.starts_with("auth."));
                }
                let Some((left, right)) = text.split_once(" = ") else {
                    return false;
                };
                let is_role = |side: &str| {
                    who(side).is_some_and(|who| who == "auth.role()" || who.contains("->> 'role'"))
                };
                let is_word = |side: &str| bare(side).starts_with("'authenticated'");
                (is_role(left) && is_word(right)) || (is_word(left) && is_role(right))
            }
        }
    }

    /// What in it is compared with itself, `m.team = m.team`: a name in a subquery that was meant for the table outside,
    /// and was found inside.
    pub fn compared_with_itself(text: &str) -> Option<String> {
        static PAIR: std::sync::LazyLock<regex::Regex> = std::sync::LazyLock::new(|| {
            regex::Regex::new(r#"((?:"[^"]+"|\w+)(?:\.(?:"[^"]+"|\w+))*)(\))? = \(?((?:"[^"]+"|\w+)(?:\.(?:"[^"]+"|\w+))*)"#)
                .expect("a pattern that is tested")
        });
        PAIR.captures_iter(text).find_map(|found| {
            let whole = found.get(0)?;
            // A call, a longer name, or a type: `(a)::text = text`.
            let is_call = text[whole.end()..].starts_with(['(', '.', ':'])
                || text[..whole.start()].ends_with(':');
            let (left, right) = (&found[1], &found[3]);
            (left == right && !is_call && left.parse::<f64>().is_err())
                .then(|| whole.as_str().to_owned())
        })
    }
}

/// `a IS NULL` beside `a IS NOT NULL`.
fn is_either(parts: &[Condition]) -> bool {
    let texts: Vec<&str> = parts
        .iter()
        .filter_map(|part| match part {
            Condition::Plain(text) => Some(text.as_str()),
            _ => None,
        })
        .collect();
    texts.iter().any(|text| {
        text.strip_suffix(" IS NULL")
            .is_some_and(|what| texts.contains(&format!("{what} IS NOT NULL").as_str()))
    })
}

/// Whether two constants are the same, where that is what is asked.
fn constants(text: &str) -> Option<bool> {
    let (left, right) = text.split_once(" = ")?;
    let constant = |side: &str| {
        let side = bare(side);
        let is_text = side.starts_with('\'') && side.matches('\'').count() == 2;
        (is_text || side.parse::<f64>().is_ok() || side == "true" || side == "false")
            .then(|| side.to_owned())
    };
    Some(constant(left)? == constant(right)?)
}

/// Who is asking, out of `( SELECT auth.uid() AS uid)` or without the SELECT.
fn who(text: &str) -> Option<&str> {
    let mut text = bare(text);
    if let Some(rest) = text.strip_prefix("SELECT ") {
        text = bare(rest.rsplit_once(" AS ").map_or(rest, |(call, _)| call));
    }
    text.starts_with("auth.").then_some(text).or_else(|| {
        // `(( SELECT auth.jwt() AS jwt) ->> 'role'::text)`
        (text.contains("auth.jwt()") && text.contains("->>")).then_some(text)
    })
}

/// Without the parentheses around all of it.
fn bare(text: &str) -> &str {
    let mut text = text.trim();
    while text.starts_with('(') && closing(text) == Some(text.len() - 1) {
        text = text[1..text.len() - 1].trim();
    }
    text
}

/// Where the parenthesis that opens a text is closed.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, sign) in signs(text) {
        match sign {
            '(' => depth += 1,
            ')' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

/// The parts between a word that stands outside of parentheses and quotes.
fn split<'t>(text: &'t str, word: &str) -> Vec<&'t str> {
    let mut parts = Vec::new();
    let (mut depth, mut from) = (0_usize, 0);
    // A condition that is a subquery has words of its own.
    if text.starts_with("SELECT ") || text.starts_with("CASE ") {
        return vec![text];
    }
    for (at, sign) in signs(text) {
        match sign {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ' ' if depth == 0 && at >= from && text[at..].starts_with(word) => {
                parts.push(&text[from..at]);
                from = at + word.len();
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    parts
}

/// The characters that are not in quotes, and where they are.
fn signs(text: &str) -> impl Iterator<Item = (usize, char)> + '_ {
    let mut quote = None;
    text.char_indices().filter(move |&(_, sign)| match quote {
        Some(open) => {
            if sign == open {
                quote = None;
            }
            false
        }
        None => {
            if sign == '\'' || sign == '"' {
                quote = Some(sign);
                return false;
            }
            true
        }
    })
}

#[cfg(test)]
mod tests {
    use super::Condition;

    #[test]
    fn what_always_holds_is_recognised_and_what_does_not_is_not() {
        for text in [
            "true",
            "(true)",
            "((user_id = auth.uid()) OR true)",
            "((user_id = auth.uid()) OR true OR (a = 1))",
            "(1 = 1)",
            "('a'::text = 'a'::text)",
            "(true OR (a = 1))",
            "(NOT false)",
            "((a = 1) OR (true AND (2 = 2)))",
            "((user_id IS NULL) OR (user_id IS NOT NULL))",
        ] {
            assert!(Condition::of(text).is_always(), "{text}");
        }
        for text in [
            "(is_public = true)",
            "(user_id = auth.uid())",
            "(a OR (b = true))",
            "(published IS TRUE)",
            "(1 = 2)",
            "(false)",
            "((user_id = auth.uid()) AND ((a = 1) OR true))",
            "((name = 'this OR true'::text) AND (user_id = auth.uid()))",
            "(name = ' OR true OR '::text)",
        ] {
            assert!(!Condition::of(text).is_always(), "{text}");
        }
    }

    #[test]
    fn being_signed_in_is_no_question_about_the_row() {
        for text in [
            "(auth.role() = 'authenticated'::text)",
            "(( SELECT auth.role() AS role) = 'authenticated'::text)",
            "(auth.uid() IS NOT NULL)",
            "(( SELECT auth.uid() AS uid) IS NOT NULL)",
            "((auth.jwt() ->> 'role'::text) = 'authenticated'::text)",
            "((user_id = auth.uid()) OR (auth.uid() IS NOT NULL))",
        ] {
            assert!(Condition::of(text).is_anybody(), "{text}");
        }
        for text in [
            "((auth.uid() IS NOT NULL) AND (user_id = auth.uid()))",
            "(user_id = auth.uid())",
            "(user_id IS NOT NULL)",
            "(auth.role() = 'service_role'::text)",
            "(status = 'authenticated'::text)",
        ] {
            assert!(!Condition::of(text).is_anybody(), "{text}");
        }
    }

    #[test]
    fn a_name_that_was_found_in_the_wrong_table_is_recognised() {
        let found = |text: &str| Condition::compared_with_itself(text);
        assert_eq!(
            found(
                "(EXISTS ( SELECT 1 FROM members m WHERE ((m.team = m.team) AND (m.user_id = auth.uid()))))"
            ),
            Some("m.team = m.team".to_owned())
        );
        for text in [
            "(EXISTS ( SELECT 1 FROM members m WHERE (m.team = teams.team)))",
            "(user_id = auth.uid())",
            "(auth.uid() = auth.uid())",
            "(1 = 1)",
            "(a = a.b)",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }
}
