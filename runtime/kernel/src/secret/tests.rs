//! No known secret gets through, in any form, however the text is cut.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use proptest::prelude::*;

use super::*;

const MASK: &str = "‹secret KEY›";

fn knowing(text: &str) -> Redactor {
    let redactor = Redactor::default();
    redactor.add(&Secret::new("KEY", text));
    redactor
}

/// What a stream shows of the chunks.
fn streamed<'c>(redactor: &Redactor, chunks: impl IntoIterator<Item = &'c [u8]>) -> Vec<u8> {
    let mut stream = redactor.stream();
    let mut shown = Vec::new();
    for chunk in chunks {
        shown.extend(stream.push(chunk));
    }
    shown.extend(stream.finish());
    shown
}

/// The text cut at pseudo-random places.
fn cut<'t>(mut text: &'t [u8], sizes: &[usize]) -> Vec<&'t [u8]> {
    let mut chunks = Vec::new();
    for size in sizes {
        let (chunk, rest) = text.split_at((*size).min(text.len()));
        chunks.push(chunk);
        text = rest;
    }
    chunks.push(text);
    chunks
}

#[test]
fn a_secret_prints_as_its_name() {
    let secret = Secret::new("KEY", "hunter22");
    assert_eq!(format!("{secret} {secret:?}"), "‹secret KEY› ‹secret KEY›");
    assert_eq!(
        serde_json::to_string(&secret).expect("json"),
        r#"{"$secret":"KEY"}"#
    );
}

#[test]
fn secrets_are_equal_by_text() {
    let secret = Secret::new("A", "hunter22");
    assert_eq!(secret, Secret::new("B", "hunter22"));
    assert_ne!(secret, Secret::new("A", "hunter23"));
    assert_ne!(secret, Secret::new("A", "hunter222"));
}

#[test]
fn short_secrets_are_masked_as_words_only() {
    let redactor = knowing("no");
    assert_eq!(
        redactor.redact("no, not now: no"),
        "‹secret KEY›, not now: ‹secret KEY›"
    );
    for size in 1..6 {
        let text = b"casino no, not now: no";
        let shown = streamed(&redactor, text.chunks(size));
        assert_eq!(
            String::from_utf8(shown).expect("text"),
            "casino ‹secret KEY›, not now: ‹secret KEY›"
        );
    }
}

#[test]
fn a_short_secret_inside_a_word_hides_no_other() {
    let redactor = knowing("oxygen");
    redactor.add(&Secret::new("SHORT", "no"));
    assert_eq!(redactor.redact("noxygen"), "n‹secret KEY›");
}

#[test]
fn an_empty_secret_masks_nothing() {
    assert_eq!(knowing("").redact("anything"), "anything");
}

#[test]
fn overlapping_secrets_are_masked_whole() {
    let redactor = Redactor::default();
    redactor.add(&Secret::new("SHORT", "abcd"));
    redactor.add(&Secret::new("LONG", "abcdefgh"));
    redactor.add(&Secret::new("TAIL", "ghijkl"));
    assert_eq!(
        redactor.redact("x abcdefgh abcd"),
        "x ‹secret LONG› ‹secret SHORT›"
    );
    assert_eq!(redactor.redact("abcdefghijkl."), "‹secret LONG›.");
}

#[test]
fn masking_twice_is_masking_once() {
    for text in ["secret", "postgres", "‹secret", "KEY›"] {
        let redactor = knowing(text);
        let once = redactor.redact(&format!("is {text}!")).into_owned();
        assert_eq!(once, format!("is {MASK}!"));
        assert_eq!(redactor.redact(&once), once);
    }
}

#[test]
fn the_password_of_basic_authentication_is_masked() {
    for password in ["pass", "correct horse battery"] {
        for user in ["a", "ab", "abc", "admin"] {
            let encoded = STANDARD.encode(format!("{user}:{password}"));
            let shown = knowing(password).redact(&encoded).into_owned();
            assert!(shown.contains(MASK), "{user}: {shown}");
        }
    }
}

#[test]
fn a_key_is_masked_line_by_line() {
    let key = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIIrH\nnYD8NEzbf2MPMqPDaMfP2vkz\n-----END PRIVATE KEY-----\n";
    let redactor = knowing(key);
    assert_eq!(
        redactor.redact("| nYD8NEzbf2MPMqPDaMfP2vkz |"),
        format!("| {MASK} |")
    );
    assert_eq!(
        redactor.redact("expected -----BEGIN PRIVATE KEY-----"),
        "expected -----BEGIN PRIVATE KEY-----"
    );
    let wrapped = STANDARD.encode(key);
    for line in wrapped.as_bytes().chunks(76) {
        let line = std::str::from_utf8(line).expect("ASCII");
        assert_eq!(redactor.redact(line).trim_end_matches('='), MASK);
    }
}

#[test]
fn text_is_shown_at_once_unless_it_may_begin_a_secret() {
    let mut stream = knowing(&"k3y-".repeat(1000)).stream();
    assert_eq!(stream.push(b"pulling image\n"), b"pulling image\n");
    assert_eq!(stream.push(b"done k3y-"), b"done ");
    assert_eq!(stream.push(b" no key"), b"k3y- no key");
}

#[test]
fn an_endless_secret_does_not_fill_the_memory() {
    let mut stream = knowing("aaaa").stream();
    let mut shown = stream.push(b"aaa");
    for _ in 0..1000 {
        shown.extend(stream.push(b"aaaaaaaaa"));
    }
    shown.extend(stream.finish());
    assert_eq!(String::from_utf8(shown).expect("text"), MASK);
}

#[test]
fn bytes_that_are_no_text_pass() {
    let redactor = knowing("hunter22");
    let bytes = b"\xff\xfe\x80hunter22\xc3\x28\0";
    let shown = streamed(&redactor, bytes.chunks(1));
    assert_eq!(
        shown,
        [
            b"\xff\xfe\x80".as_slice(),
            MASK.as_bytes(),
            b"\xc3\x28\0".as_slice()
        ]
        .concat()
    );
}

#[test]
fn secrets_are_learned_while_others_are_masked() {
    let redactor = knowing("hunter22");
    std::thread::scope(|threads| {
        for thread in 0..4 {
            let redactor = redactor.clone();
            threads.spawn(move || {
                for n in 0..20 {
                    let text = format!("password-{thread}-{n}-x");
                    redactor.add(&Secret::new("OTHER", text.as_str()));
                    assert_eq!(redactor.redact(&text), "‹secret OTHER›");
                    assert_eq!(redactor.redact("hunter22"), MASK);
                }
            });
        }
    });
}

#[test]
fn nothing_is_copied_where_nothing_is_masked() {
    assert!(matches!(
        knowing("hunter22").redact("hunter"),
        Cow::Borrowed(_)
    ));
    assert!(matches!(
        Redactor::default().redact("hunter22"),
        Cow::Borrowed(_)
    ));
}

#[test]
fn references_are_recognised() {
    assert_eq!(reference("secret:PASSWORD"), Some("PASSWORD"));
    assert_eq!(reference("slack:secret:HOOK"), Some("HOOK"));
    assert_eq!(reference("my secret: is safe"), None);
    assert_eq!(reference("nosecret:X"), None);
}

/// Any text of 4 to 64 characters.
fn any_secret() -> impl Strategy<Value = String> {
    proptest::collection::vec(any::<char>(), 4..64).prop_map(|chars| chars.into_iter().collect())
}

/// Many lines of few different characters, so that secrets overlap and repeat.
fn narrow(range: std::ops::Range<usize>) -> impl Strategy<Value = String> {
    proptest::collection::vec(prop::sample::select(vec!['a', 'b', ' ', '‹', 'é']), range)
        .prop_map(|chars| chars.into_iter().collect())
}

/// The forms of a secret in which others write it.
fn written(secret: &str) -> Vec<String> {
    let quoted = serde_json::to_string(secret).expect("json");
    let percent = utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string();
    let form = url_form(secret);
    let mut forms = vec![
        secret.to_owned(),
        quoted[1..quoted.len() - 1].to_owned(),
        hex::encode(secret),
        hex::encode_upper(secret),
        percent,
        form,
        secret.replace('\'', r"'\''"),
    ];
    for engine in [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD] {
        for user in ["", "a:", "ab:", "abc:"] {
            forms.push(engine.encode(format!("{user}{secret}")));
        }
    }
    forms
}

/// `application/x-www-form-urlencoded`, by the definition of the URL standard.
fn url_form(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b' ' => "+".to_owned(),
        b'*' | b'-' | b'.' | b'_' => char::from(byte).to_string(),
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_form_gets_through(secret in any_secret(), before in "\\PC{0,20}", after in "\\PC{0,20}") {
        let redactor = knowing(&secret);
        for form in written(&secret) {
            let text = format!("{before}{form}{after}");
            let shown = redactor.redact(&text).into_owned();
            prop_assert!(shown.contains(MASK), "{form:?} in {text:?} -> {shown:?}");
            prop_assert!(!shown.split(MASK).any(|part| part.contains(&secret)), "{text:?} -> {shown:?}");
        }
    }

    #[test]
    fn a_stream_shows_what_the_whole_text_would(
        secrets in proptest::collection::vec(narrow(1..7), 1..5),
        text in narrow(0..60),
        sizes in proptest::collection::vec(1_usize..7, 0..40),
    ) {
        let redactor = Redactor::default();
        for (n, secret) in secrets.iter().enumerate() {
            redactor.add(&Secret::new(format!("S{n}"), secret.as_str()));
        }
        let shown = streamed(&redactor, cut(text.as_bytes(), &sizes));
        let whole = redactor.redact(&text).into_owned();
        prop_assert_eq!(String::from_utf8(shown).expect("text"), whole);
    }

    #[test]
    fn a_form_split_over_chunks_is_masked(
        secret in any_secret(),
        before in "\\PC{0,20}",
        sizes in proptest::collection::vec(1_usize..9, 0..60),
    ) {
        let redactor = knowing(&secret);
        for form in written(&secret) {
            let text = format!("{before}{form}");
            let shown = streamed(&redactor, cut(text.as_bytes(), &sizes));
            let shown = String::from_utf8(shown).expect("text");
            prop_assert_eq!(&shown, &redactor.redact(&text).into_owned());
            prop_assert!(shown.contains(MASK), "{form:?} -> {shown:?}");
        }
    }

    #[test]
    fn text_without_secrets_is_left_alone(text in "\\PC{0,80}", bytes in proptest::collection::vec(any::<u8>(), 0..200), sizes in proptest::collection::vec(1_usize..9, 0..60)) {
        let redactor = knowing("a secret that is nowhere else 4711");
        prop_assert_eq!(redactor.redact(&text), text.as_str());
        prop_assert_eq!(streamed(&redactor, cut(&bytes, &sizes)), bytes);
    }

    #[test]
    fn json_is_masked_in_keys_and_values(secret in any_secret()) {
        let mut value = serde_json::json!({ secret.clone(): [secret.clone(), { "x": format!("<{secret}>") }] });
        knowing(&secret).redact_json(&mut value);
        let mut shown = vec![&value];
        while let Some(value) = shown.pop() {
            match value {
                serde_json::Value::String(text) => prop_assert!(!text.replace(MASK, "").contains(&secret)),
                serde_json::Value::Array(items) => shown.extend(items),
                serde_json::Value::Object(map) => {
                    prop_assert!(map.keys().all(|key| !key.replace(MASK, "").contains(&secret)));
                    shown.extend(map.values());
                }
                _ => {}
            }
        }
    }
}
