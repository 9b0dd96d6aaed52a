//! Texts cut to what receivers take, between two characters.

/// What stands where something was left out.
const MORE: char = '…';

/// At most so many UTF-16 units: what Slack, Discord and Opsgenie count as characters. A text in fewer units has no
/// more characters, however they are counted.
#[must_use]
pub fn cut(text: &str, most: usize) -> String {
    cut_by(text, most, char::len_utf16)
}

/// At most so many bytes of UTF-8.
#[must_use]
pub fn cut_bytes(text: &str, most: usize) -> String {
    cut_by(text, most, char::len_utf8)
}

fn cut_by(text: &str, most: usize, size: fn(char) -> usize) -> String {
    if text.chars().map(size).sum::<usize>() <= most {
        return text.to_owned();
    }
    let room = most.saturating_sub(size(MORE));
    let mut used = 0;
    let mut cut = String::new();
    for c in text.chars() {
        used += size(c);
        if used > room {
            break;
        }
        cut.push(c);
    }
    if most >= size(MORE) {
        cut.push(MORE);
    }
    cut
}

/// The text in pieces of at most so many UTF-16 units, broken between lines where that can be; at most so many
/// pieces, the last one cut.
#[must_use]
pub fn pieces(text: &str, most: usize, count: usize) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        if pieces.len() + 1 == count {
            pieces.push(cut(rest, most));
            break;
        }
        let mut used = 0;
        let mut end = rest.len();
        for (at, c) in rest.char_indices() {
            used += c.len_utf16();
            if used > most {
                end = at;
                break;
            }
        }
        if end < rest.len()
            && let Some(line) = rest[..end].rfind('\n')
            && line > 0
        {
            end = line;
        }
        pieces.push(rest[..end].to_owned());
        rest = rest[end..].trim_start_matches('\n');
    }
    pieces
}

/// At most so many bytes of what identifies something: the beginning, and a hash of the whole, so that two long
/// keys stay two.
#[must_use]
pub fn identifier(text: &str, most: usize) -> String {
    use sha2::{Digest as _, Sha256};
    if text.len() <= most {
        return text.to_owned();
    }
    let hash = hex::encode(&Sha256::digest(text)[..8]);
    let mut end = most - hash.len() - 1;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}-{hash}", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters_and_never_longer() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abcd", 3), "ab…");
        // 🚨 is two units of UTF-16 and four bytes of UTF-8.
        assert_eq!(cut("🚨🚨🚨", 5), "🚨🚨…");
        assert_eq!(cut("🚨🚨🚨", 4), "🚨…");
        assert_eq!(cut_bytes("äöü", 5), "ä…");
        assert_eq!(cut_bytes("äöü", 6), "äöü");
        assert_eq!(cut("abc", 0), "");
    }

    #[test]
    fn pieces_break_between_lines() {
        assert_eq!(pieces("one\ntwo\nthree", 8, 5), ["one\ntwo", "three"]);
        assert_eq!(pieces("abcdefgh", 3, 2), ["abc", "de…"]);
        assert!(pieces("", 3, 2).is_empty());
    }

    #[test]
    fn long_keys_stay_different() {
        let (a, b) = ("x".repeat(300) + "a", "x".repeat(300) + "b");
        assert_eq!(identifier(&a, 255).len(), 255);
        assert_ne!(identifier(&a, 255), identifier(&b, 255));
        assert_eq!(identifier("short", 255), "short");
        assert!(identifier(&"ä".repeat(300), 255).len() <= 255);
    }
}
