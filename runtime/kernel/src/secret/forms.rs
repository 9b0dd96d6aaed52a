//! The forms in which a secret appears in longer texts.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};

/// A form shorter than this would mask what only looks alike.
const LEAST: usize = 4;

/// A line of a secret shorter than this is not one by itself: `}` or `fi`.
const LEAST_LINE: usize = 8;

/// Above so many bytes (no password, no key) only the text, its lines and its base64 are known:
/// all its forms together would be 25 times as long.
const MOST: usize = 64 * 1024;

/// What RFC 3986 leaves as it is.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// What HTML forms leave as it is (URL standard, `application/x-www-form-urlencoded`).
const FORM: &AsciiSet = &UNRESERVED.add(b'~').remove(b'*');

/// What JavaScript's `encodeURIComponent` leaves as it is.
const COMPONENT: &AsciiSet = &UNRESERVED
    .remove(b'!')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*');

/// What tools encode in the user part of a URL, at the least.
const USERINFO: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'`')
    .add(b'{')
    .add(b'}')
    .add(b'/')
    .add(b':')
    .add(b';')
    .add(b'=')
    .add(b'@')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'|')
    .add(b'%');

/// Every form of `text` that is to be masked; none of them is empty.
pub fn of(text: &str) -> Vec<String> {
    if text.chars().count() < LEAST {
        return vec![text.to_owned()];
    }
    let mut forms = vec![text.to_owned()];
    forms.extend(lines(text));
    forms.extend(base64(text.as_bytes()));
    if text.len() <= MOST {
        forms.extend(percent(text));
        forms.extend(escaped(text));
        forms.push(hex::encode(text));
        forms.push(hex::encode_upper(text));
    }
    forms.retain(|form| form.chars().count() >= LEAST);
    forms.sort_unstable();
    forms.dedup();
    forms
}

/// The lines of a key or a file, which are shown one by one.
fn lines(text: &str) -> impl Iterator<Item = String> {
    text.lines()
        .map(str::trim)
        .filter(|line| line.chars().count() >= LEAST_LINE)
        // `-----BEGIN PRIVATE KEY-----` is in every key.
        .filter(|line| !(line.starts_with("-----") && line.ends_with("-----")))
        .map(str::to_owned)
}

/// The base64 of the text alone, what of it is the same wherever it begins in a longer text (three
/// alignments, without the characters that its neighbours share), and its lines as tools wrap it.
fn base64(text: &[u8]) -> Vec<String> {
    let mut forms = Vec::new();
    for (engine, padded) in [(STANDARD_NO_PAD, STANDARD), (URL_SAFE_NO_PAD, URL_SAFE)] {
        for shift in 0..3 {
            let mut shifted = vec![0; shift];
            shifted.extend_from_slice(text);
            let encoded = engine.encode(&shifted);
            let start = [0, 2, 3][shift];
            let end = shifted.len() * 8 / 6;
            forms.push(encoded[start..end].to_owned());
        }
        let encoded = engine.encode(text);
        // RFC 2045 wraps at 76 characters, RFC 7468 (PEM) at 64.
        for width in [76, 64] {
            let pieces = encoded.as_bytes().chunks(width);
            forms.extend(
                pieces
                    .filter(|piece| piece.len() >= LEAST_LINE)
                    .map(|piece| String::from_utf8_lossy(piece).into_owned()),
            );
        }
        forms.push(encoded);
        forms.push(padded.encode(text));
    }
    forms
}

fn percent(text: &str) -> Vec<String> {
    let mut forms = Vec::new();
    for set in [UNRESERVED, FORM, COMPONENT, USERINFO, NON_ALPHANUMERIC] {
        let encoded = utf8_percent_encode(text, set).to_string();
        for form in [encoded.replace("%20", "+"), encoded] {
            forms.push(lower_escapes(&form));
            forms.push(form);
        }
    }
    forms
}

/// As it stands in JSON, in a shell's quotes, in an SQL literal, in a debugging print.
fn escaped(text: &str) -> Vec<String> {
    let inner = |quoted: String| quoted[1..quoted.len() - 1].to_owned();
    let json = inner(serde_json::Value::from(text).to_string());
    vec![
        ascii_json(&json),
        // Go's encoder spares HTML, PHP's the slash.
        json.replace('<', r"\u003c")
            .replace('>', r"\u003e")
            .replace('&', r"\u0026"),
        json.replace('/', r"\/"),
        // JSON that is a text in JSON.
        inner(serde_json::Value::from(json.as_str()).to_string()),
        json,
        inner(format!("{text:?}")),
        text.replace('\'', r"'\''"),
        text.replace('\'', r#"'"'"'"#),
        text.replace('\'', "''"),
    ]
}

/// JSON without characters beyond ASCII, as Python writes it.
fn ascii_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() {
            out.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            // Writing to a string can't fail.
            let _ = write!(out, "\\u{unit:04x}");
        }
    }
    out
}

fn lower_escapes(encoded: &str) -> String {
    let mut out = String::with_capacity(encoded.len());
    let mut left = 0_u8;
    for c in encoded.chars() {
        if c == '%' {
            left = 3;
        }
        out.push(if left > 0 { c.to_ascii_lowercase() } else { c });
        left = left.saturating_sub(1);
    }
    out
}
