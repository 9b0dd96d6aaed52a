//! Finding the forms of secrets in bytes.

use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickKind, Input, MatchKind};

use super::{Secret, forms};

/// A secret shorter than this is masked as a whole word only: `no` in `no` but not in `now`.
const SHORT: usize = 4;

/// Above so many bytes of forms the fastest automaton is too large: a private key of 3 KB would
/// take 34 MB and 75 ms in it, 0.8 MB and 18 ms in the compact one.
const FEW: usize = 8 * 1024;

/// Finds every form of every known secret.
pub struct Matcher {
    automaton: AhoCorasick,
    forms: Vec<Form>,
    /// The places of `forms` in the order of their texts, to look beginnings up.
    sorted: Vec<Vec<u8>>,
    begins: [bool; 256],
    longest: usize,
}

struct Form {
    mask: String,
    short: bool,
}

/// A stretch that is to be masked: one secret, or several that overlap.
pub struct Found {
    /// Where.
    pub range: Range<usize>,
    /// The form that begins it.
    pub form: usize,
}

impl Matcher {
    /// A matcher for these secrets.
    pub fn new(secrets: &[Secret]) -> Self {
        let mut texts: Vec<String> = Vec::new();
        let mut known = Vec::new();
        for secret in secrets {
            for text in forms::of(secret.expose()) {
                known.push(Form {
                    mask: secret.mask(),
                    short: text.chars().count() < SHORT,
                });
                texts.push(text);
            }
            // A mask is left as it is, so that masking twice is masking once.
            known.push(Form {
                mask: secret.mask(),
                short: false,
            });
            texts.push(secret.mask());
        }
        let bytes: usize = texts.iter().map(String::len).sum();
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .kind((bytes > FEW).then_some(AhoCorasickKind::ContiguousNFA))
            .build(&texts)
            .expect("secrets have less than 2^31 bytes together");
        let mut begins = [false; 256];
        for text in &texts {
            begins[usize::from(text.as_bytes()[0])] = true;
        }
        let longest = texts.iter().map(String::len).max().unwrap_or(0);
        let mut sorted: Vec<Vec<u8>> = texts.into_iter().map(String::into_bytes).collect();
        sorted.sort_unstable();
        sorted.dedup();
        Self {
            automaton,
            forms: known,
            sorted,
            begins,
            longest,
        }
    }

    /// What stands in the place of a form.
    pub fn mask(&self, form: usize) -> &str {
        &self.forms[form].mask
    }

    /// What is to be masked, from left to right. `before` is the byte before the text; without
    /// `ended` a short secret at the end is not known to be a whole word yet.
    pub fn find<'a>(
        &'a self,
        text: &'a [u8],
        before: Option<u8>,
        ended: bool,
    ) -> impl Iterator<Item = Found> + 'a {
        let mut at = 0;
        let mut pending: Option<Found> = None;
        std::iter::from_fn(move || {
            // Every place is asked, also inside a match: another secret may begin there, and a
            // match that is no whole word must not hide one that counts.
            while at < text.len()
                && let Some(found) = self.automaton.find(Input::new(text).range(at..))
            {
                let (range, form) = (found.range(), found.pattern().as_usize());
                at = range.start + 1;
                if self.forms[form].short && !whole_word(text, &range, before, ended) {
                    continue;
                }
                match &mut pending {
                    Some(earlier) if range.start < earlier.range.end => {
                        earlier.range.end = earlier.range.end.max(range.end);
                    }
                    _ => {
                        if let Some(done) = pending.replace(Found { range, form }) {
                            return Some(done);
                        }
                    }
                }
            }
            at = text.len();
            pending.take()
        })
    }

    /// How much of the text is decided whatever follows it: the rest is the beginning of a form.
    pub fn decided(&self, text: &[u8]) -> usize {
        (text.len().saturating_sub(self.longest)..text.len())
            .find(|&at| self.begins[usize::from(text[at])] && self.continues(&text[at..]))
            .unwrap_or(text.len())
    }

    /// Whether a form goes on after these bytes, or is these bytes and needs to be a whole word.
    fn continues(&self, beginning: &[u8]) -> bool {
        let at = self
            .sorted
            .partition_point(|form| form.as_slice() < beginning);
        self.sorted[at..]
            .iter()
            .take(2)
            .any(|form| form.starts_with(beginning) && form.len() > beginning.len())
            || (self.sorted.get(at).is_some_and(|form| form == beginning)
                && std::str::from_utf8(beginning).is_ok_and(|text| text.chars().count() < SHORT))
    }
}

fn whole_word(text: &[u8], range: &Range<usize>, before: Option<u8>, ended: bool) -> bool {
    let of_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80;
    let before = match range.start {
        0 => before,
        start => Some(text[start - 1]),
    };
    match text.get(range.end) {
        _ if before.is_some_and(of_word) => false,
        Some(after) => !of_word(*after),
        None => ended,
    }
}
