//! From the engine's frames to lines.
//!
//! A frame is what a container happened to write at once: half a line, three lines, a part of a letter.
//! The two streams come mixed, so each has a line of its own under way.

use bollard::container::LogOutput;

/// Which stream a line was written to. With a terminal there is only one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

impl Stream {
    /// Its name in scripts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Out => "stdout",
            Self::Err => "stderr",
        }
    }
}

/// The stream and the bytes of a frame.
pub fn frame(output: LogOutput) -> (Stream, tokio_util::bytes::Bytes) {
    match output {
        LogOutput::StdErr { message } => (Stream::Err, message),
        LogOutput::StdOut { message }
        | LogOutput::Console { message }
        | LogOutput::StdIn { message } => (Stream::Out, message),
    }
}

/// More than this of a line is not kept.
const LONGEST: usize = 1 << 20;

/// Puts frames together to lines.
#[derive(Default)]
pub struct Lines {
    out: Vec<u8>,
    err: Vec<u8>,
    stamped: bool,
}

impl Lines {
    /// For frames each of which begins with the time, as the engine writes it: `2026-11-23T…Z `. The engine
    /// cuts lines of more than 16 KiB in pieces and puts the time before each.
    pub fn stamped() -> Self {
        Self {
            stamped: true,
            ..Self::default()
        }
    }

    /// Take a frame, and tell each line that is complete with it, without its end.
    pub fn push(&mut self, stream: Stream, bytes: &[u8], mut told: impl FnMut(Stream, &[u8])) {
        let line = match stream {
            Stream::Out => &mut self.out,
            Stream::Err => &mut self.err,
        };
        let mut rest = bytes;
        if self.stamped
            && !line.is_empty()
            && let Some(space) = rest.iter().take(40).position(|&byte| byte == b' ')
        {
            rest = &rest[space + 1..];
        }
        while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
            if line.is_empty() {
                told(stream, trimmed(&rest[..end]));
            } else {
                grow(line, &rest[..end]);
                told(stream, trimmed(line));
                line.clear();
            }
            rest = &rest[end + 1..];
        }
        grow(line, rest);
    }

    /// Tell the lines that have no end.
    pub fn finish(mut self, mut told: impl FnMut(Stream, &[u8])) {
        for (stream, line) in [(Stream::Out, &mut self.out), (Stream::Err, &mut self.err)] {
            if !line.is_empty() {
                told(stream, trimmed(line));
            }
        }
    }
}

fn grow(line: &mut Vec<u8>, bytes: &[u8]) {
    let room = LONGEST.saturating_sub(line.len());
    line.extend_from_slice(&bytes[..bytes.len().min(room)]);
}

/// Without the `\r` that a terminal puts before the end.
fn trimmed(line: &[u8]) -> &[u8] {
    let line = &line[..line.len().min(LONGEST)];
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(lines: &mut Lines, frames: &[(Stream, &[u8])]) -> Vec<String> {
        let mut seen = Vec::new();
        for (stream, bytes) in frames {
            lines.push(*stream, bytes, |stream, line| {
                seen.push(format!(
                    "{}:{}",
                    stream.name(),
                    String::from_utf8_lossy(line)
                ));
            });
        }
        seen
    }

    #[test]
    fn mixed_streams_and_split_letters_come_together() {
        let mut lines = Lines::default();
        let letter = "ü".as_bytes();
        let seen = told(
            &mut lines,
            &[
                (Stream::Out, b"a"),
                (Stream::Out, &letter[..1]),
                (Stream::Err, b"oops\nmore"),
                (Stream::Out, &letter[1..]),
                (Stream::Out, b"b\r\n\nlast"),
            ],
        );
        assert_eq!(seen, ["stderr:oops", "stdout:aüb", "stdout:"]);
        let mut rest = Vec::new();
        lines.finish(|stream, line| rest.push((stream, line.to_vec())));
        assert_eq!(
            rest,
            [
                (Stream::Out, b"last".to_vec()),
                (Stream::Err, b"more".to_vec())
            ]
        );
    }

    #[test]
    fn the_time_before_the_second_half_of_a_line_goes() {
        let mut lines = Lines::stamped();
        let seen = told(
            &mut lines,
            &[
                (Stream::Out, b"2026-11-23T12:00:00.000000000Z first "),
                (Stream::Out, b"2026-11-23T12:00:00.000000001Z second\n"),
            ],
        );
        assert_eq!(seen, ["stdout:2026-11-23T12:00:00.000000000Z first second"]);
    }

    #[test]
    fn a_line_without_end_does_not_grow_without_end() {
        let mut lines = Lines::default();
        for _ in 0..40 {
            lines.push(Stream::Out, &[b'x'; 100_000], |_, _| panic!("no line yet"));
        }
        assert!(lines.out.len() <= LONGEST);
    }
}
