//! Output, kept within bounds.

use std::collections::VecDeque;

use ccrun_kernel::value::Size;

/// Keeps the beginning and the end of a stream, and counts what it leaves out between them: the
/// beginning says what was going on, the end how it failed.
pub struct Capture {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    /// For each of the two.
    half: usize,
    total: u64,
}

impl Capture {
    /// One that keeps `limit` bytes.
    #[must_use]
    pub fn new(limit: Size) -> Self {
        let half = usize::try_from(limit.bytes() / 2).unwrap_or(usize::MAX);
        Self {
            head: Vec::new(),
            tail: VecDeque::new(),
            half,
            total: 0,
        }
    }

    /// Take more.
    pub fn push(&mut self, bytes: &[u8]) {
        self.total += bytes.len() as u64;
        let (head, rest) = bytes.split_at(bytes.len().min(self.half - self.head.len()));
        self.head.extend_from_slice(head);
        let rest = &rest[rest.len().saturating_sub(self.half)..];
        let surplus = (self.tail.len() + rest.len()).saturating_sub(self.half);
        self.tail.drain(..surplus);
        self.tail.extend(rest);
    }

    /// How much came in.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// How much was left out.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.total - self.head.len() as u64 - self.tail.len() as u64
    }

    /// The bytes that were kept.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.head.clone();
        bytes.extend(&self.tail);
        bytes
    }

    /// The text, which says where something was left out. What is not UTF-8 becomes `�`.
    #[must_use]
    pub fn text(&self) -> String {
        let cut = self.left_out();
        if cut == 0 {
            return String::from_utf8_lossy(&self.bytes()).into_owned();
        }
        let tail: Vec<u8> = self.tail.iter().copied().collect();
        format!(
            "{}\n… {} left out …\n{}",
            String::from_utf8_lossy(&self.head),
            Size::from_bytes(cut),
            String::from_utf8_lossy(&tail)
        )
    }

    /// The last lines that say something, at most `count`.
    #[must_use]
    pub fn last_lines(&self, count: usize) -> Vec<String> {
        let text = self.text();
        let said = text
            .lines()
            .rev()
            .filter(|line| !line.trim().is_empty())
            .take(count);
        let mut lines: Vec<String> = said.map(|line| line.chars().take(300).collect()).collect();
        lines.reverse();
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_and_the_end_are_kept() {
        let mut capture = Capture::new(Size::from_bytes(8));
        for piece in ["ab", "cdef", "", "g"] {
            capture.push(piece.as_bytes());
        }
        assert_eq!(capture.text(), "abcdefg");
        capture.push(b"hijklmnopqrstuvwxyz");
        assert_eq!(capture.text(), "abcd\n… 18 B left out …\nwxyz");
        assert_eq!((capture.total(), capture.left_out()), (26, 18));
        capture.push(b"!");
        assert_eq!(capture.bytes(), b"abcdxyz!");
    }
}
