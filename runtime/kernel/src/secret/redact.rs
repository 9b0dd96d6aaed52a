//! Masking the known secrets in texts and streams.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock};

use super::Secret;
use super::matcher::Matcher;

/// Knows the secrets of a run and masks them. Clones share what they know.
#[derive(Clone, Default)]
pub struct Redactor(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// Whether there is anything to mask: looked at for every event.
    any: AtomicBool,
    known: Mutex<Vec<Secret>>,
    /// Built when it is needed, again after a secret was added.
    matcher: RwLock<Option<Arc<Matcher>>>,
}

impl Redactor {
    /// Learn a secret. An empty one masks nothing.
    pub fn add(&self, secret: &Secret) {
        if secret.is_empty() {
            return;
        }
        let mut known = self.0.known.lock();
        let same = |other: &Secret| other.name() == secret.name() && other == secret;
        if known.iter().any(same) {
            return;
        }
        known.push(secret.clone());
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
        for found in matcher.find(text.as_bytes(), None, true) {
            out.push_str(&text[copied..found.range.start]);
            out.push_str(matcher.mask(found.form));
            copied = found.range.end;
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
            before: None,
            hidden: 0,
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
        // Another thread may have built it while this one waited.
        if let Some(matcher) = &*self.0.matcher.read() {
            return Some(Arc::clone(matcher));
        }
        let matcher = Arc::new(Matcher::new(&known));
        *self.0.matcher.write() = Some(Arc::clone(&matcher));
        Some(matcher)
    }
}

/// Masks secrets in a stream, also one that is split over two chunks. Bytes that are no text pass
/// as they are.
pub struct StreamRedactor {
    redactor: Redactor,
    held: Vec<u8>,
    /// The byte before `held`: whether a short secret begins a word depends on it.
    before: Option<u8>,
    /// So many bytes of `held` belong to a secret whose mask was shown already.
    hidden: usize,
}

impl StreamRedactor {
    /// Take a chunk; returns what can be shown already. Only what may be the beginning of a secret
    /// is held back.
    pub fn push(&mut self, chunk: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(chunk);
        match self.redactor.matcher() {
            Some(matcher) => {
                let decided = matcher.decided(&self.held);
                self.show(&matcher, decided, false)
            }
            None => std::mem::take(&mut self.held),
        }
    }

    /// The stream ended; returns what was held back.
    pub fn finish(&mut self) -> Vec<u8> {
        match self.redactor.matcher() {
            Some(matcher) => self.show(&matcher, self.held.len(), true),
            None => std::mem::take(&mut self.held),
        }
    }

    /// Shows what begins before `decided`, and keeps the rest.
    fn show(&mut self, matcher: &Matcher, decided: usize, ended: bool) -> Vec<u8> {
        let mut out = Vec::new();
        let mut copied = self.hidden;
        for found in matcher.find(&self.held, self.before, ended) {
            if found.range.start >= decided {
                break;
            }
            // What overlaps a secret that was masked already goes under the same mask.
            if found.range.start >= copied {
                out.extend_from_slice(&self.held[copied..found.range.start]);
                out.extend_from_slice(matcher.mask(found.form).as_bytes());
            }
            copied = copied.max(found.range.end);
        }
        if copied < decided {
            out.extend_from_slice(&self.held[copied..decided]);
        }
        self.hidden = copied.saturating_sub(decided);
        self.before = self.held[..decided].last().copied().or(self.before);
        self.held.drain(..decided);
        out
    }
}
