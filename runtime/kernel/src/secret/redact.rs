//! Masking the known secrets in texts and streams.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aho_corasick::{AhoCorasick, MatchKind};
use parking_lot::{Mutex, RwLock};

use super::{Secret, forms, mask};

/// A secret shorter than this is masked as a whole word only: `no` in `no` but not in `now`.
const SHORT: usize = 4;

/// Knows the secrets of a run and masks them. Clones share what they know.
#[derive(Clone, Default)]
pub struct Redactor(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// Whether there is anything to mask: looked at for every event.
    any: AtomicBool,
    known: Mutex<Vec<(String, String)>>,
    matcher: RwLock<Option<Arc<Matcher>>>,
}

struct Matcher {
    automaton: AhoCorasick,
    masks: Vec<String>,
    short: Vec<bool>,
    /// The bytes of the longest form.
    longest: usize,
}

impl Redactor {
    /// Learn a secret. An empty one masks nothing.
    pub fn add(&self, secret: &Secret) {
        if secret.is_empty() {
            return;
        }
        let mut known = self.0.known.lock();
        let entry = (secret.name().to_owned(), secret.expose().to_owned());
        if known.contains(&entry) {
            return;
        }
        known.push(entry);
        *self.0.matcher.write() = None;
        self.0.any.store(true, Ordering::Release);
    }

    /// The text with every known secret masked.
    #[must_use]
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let Some(matcher) = self.matcher() else {
            return Cow::Borrowed(text);
        };
        let mut out = String::new();
        let mut copied = 0;
        for (range, which) in matcher.find(text.as_bytes(), true) {
            out.push_str(&text[copied..range.start]);
            out.push_str(&matcher.masks[which]);
            copied = range.end;
        }
        if copied == 0 {
            return Cow::Borrowed(text);
        }
        out.push_str(&text[copied..]);
        Cow::Owned(out)
    }

    /// Mask every text in the value, keys included.
    pub fn redact_json(&self, value: &mut serde_json::Value) {
        use serde_json::Value;
        if !self.0.any.load(Ordering::Acquire) {
            return;
        }
        match value {
            Value::String(text) => {
                if let Cow::Owned(masked) = self.redact(text) {
                    *text = masked;
                }
            }
            // A secret of digits is one as a number, too.
            Value::Number(number) => {
                if let Cow::Owned(masked) = self.redact(&number.to_string()) {
                    *value = Value::String(masked);
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.redact_json(item)),
            Value::Object(map) => {
                let entries = std::mem::take(map);
                for (key, mut item) in entries {
                    self.redact_json(&mut item);
                    map.insert(self.redact(&key).into_owned(), item);
                }
            }
            Value::Null | Value::Bool(_) => {}
        }
    }

    /// A redactor for a stream of bytes.
    #[must_use]
    pub fn stream(&self) -> StreamRedactor {
        StreamRedactor {
            redactor: self.clone(),
            held: Vec::new(),
        }
    }

    fn matcher(&self) -> Option<Arc<Matcher>> {
        if !self.0.any.load(Ordering::Acquire) {
            return None;
        }
        if let Some(matcher) = &*self.0.matcher.read() {
            return Some(Arc::clone(matcher));
        }
        let known = self.0.known.lock();
        let matcher = Matcher::new(&known).map(Arc::new);
        self.0.matcher.write().clone_from(&matcher);
        matcher
    }
}

impl Matcher {
    fn new(known: &[(String, String)]) -> Option<Self> {
        let mut patterns = Vec::new();
        let mut masks = Vec::new();
        let mut short = Vec::new();
        for (name, text) in known {
            for form in forms::of(text) {
                short.push(form.chars().count() < SHORT);
                masks.push(mask(name));
                patterns.push(form);
            }
        }
        let longest = patterns.iter().map(String::len).max()?;
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(&patterns)
            .ok()?;
        Some(Self {
            automaton,
            masks,
            short,
            longest,
        })
    }

    /// The matches, and which pattern each is of. Without `ended` a short one that touches the end
    /// is not known to be a whole word yet.
    fn find<'a>(
        &'a self,
        text: &'a [u8],
        ended: bool,
    ) -> impl Iterator<Item = (std::ops::Range<usize>, usize)> + 'a {
        let wordy = |byte: Option<&u8>| {
            byte.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_' || *b >= 0x80)
        };
        self.automaton.find_iter(text).filter_map(move |found| {
            let range = found.range();
            let which = found.pattern().as_usize();
            if self.short[which] {
                let before = range.start.checked_sub(1).and_then(|at| text.get(at));
                let inside_a_word = wordy(before) || wordy(text.get(range.end));
                if inside_a_word || (!ended && range.end == text.len()) {
                    return None;
                }
            }
            Some((range, which))
        })
    }
}

/// Masks secrets in a stream, also one that is split over two chunks.
pub struct StreamRedactor {
    redactor: Redactor,
    held: Vec<u8>,
}

impl StreamRedactor {
    /// Take a chunk; returns what can be shown already. As many bytes are held back as the longest
    /// secret could still need to be completed.
    pub fn push(&mut self, chunk: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(chunk);
        let Some(matcher) = self.redactor.matcher() else {
            return std::mem::take(&mut self.held);
        };
        // What begins before this point has all the bytes it could need.
        let safe = (self.held.len() + 1).saturating_sub(matcher.longest + 1);
        let mut out = Vec::new();
        let mut copied = 0;
        for (range, which) in matcher.find(&self.held, false) {
            if range.start >= safe {
                break;
            }
            out.extend_from_slice(&self.held[copied..range.start]);
            out.extend_from_slice(matcher.masks[which].as_bytes());
            copied = range.end;
        }
        if safe > copied {
            out.extend_from_slice(&self.held[copied..safe]);
            copied = safe;
        }
        self.held.drain(..copied);
        out
    }

    /// The stream ended; returns what was held back.
    pub fn finish(&mut self) -> Vec<u8> {
        let held = std::mem::take(&mut self.held);
        let Some(matcher) = self.redactor.matcher() else {
            return held;
        };
        let mut out = Vec::new();
        let mut copied = 0;
        for (range, which) in matcher.find(&held, true) {
            out.extend_from_slice(&held[copied..range.start]);
            out.extend_from_slice(matcher.masks[which].as_bytes());
            copied = range.end;
        }
        out.extend_from_slice(&held[copied..]);
        out
    }
}
