//! The forms in which a secret appears in longer texts.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};

/// A form shorter than this would mask what only looks alike.
const LEAST: usize = 4;

/// What a URL leaves as it is (RFC 3986, unreserved).
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

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

/// Every form of `text` that is to be masked, the text itself first.
pub fn of(text: &str) -> Vec<String> {
    let mut forms = vec![text.to_owned()];
    if text.chars().count() < LEAST {
        return forms;
    }
    forms.extend(
        text.lines()
            .map(str::trim)
            .filter(|l| l.chars().count() >= 8)
            .map(str::to_owned),
    );
    forms.extend(base64(text.as_bytes()));
    for set in [UNRESERVED, USERINFO, NON_ALPHANUMERIC] {
        let encoded = utf8_percent_encode(text, set).to_string();
        forms.push(encoded.replace("%20", "+"));
        forms.push(lower_escapes(&encoded));
        forms.push(encoded);
    }
    let json = serde_json::Value::from(text).to_string();
    forms.push(json[1..json.len() - 1].to_owned());
    forms.push(text.escape_debug().to_string());
    forms.push(text.replace('\'', r"'\''"));
    forms.push(hex::encode(text));
    forms.push(hex::encode_upper(text));
    forms.retain(|form| form.chars().count() >= LEAST);
    forms.sort_unstable();
    forms.dedup();
    forms
}

/// The base64 of the text alone, and what of it is the same wherever it begins in a longer text:
/// three alignments, without the characters that its neighbours share.
fn base64(text: &[u8]) -> Vec<String> {
    let mut forms = Vec::new();
    for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
        for shift in 0..3 {
            let mut shifted = vec![0; shift];
            shifted.extend_from_slice(text);
            let encoded = engine.encode(&shifted);
            let start = [0, 2, 3][shift];
            let whole = (shifted.len() / 3) * 4;
            // The last, incomplete group depends on what follows, but for its first characters.
            let end = whole + [0, 1, 2][shifted.len() % 3];
            // The part that depends on the text alone is long enough to be its own.
            if let Some(inner) = encoded.get(start..end.min(encoded.len()))
                && inner.len() >= 6
            {
                forms.push(inner.to_owned());
            }
        }
        forms.push(engine.encode(text));
    }
    forms
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
