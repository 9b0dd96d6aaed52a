//! No known secret gets through, in any form, however the text is cut.

use base64::Engine as _;
use proptest::prelude::*;

use super::*;

fn knowing(text: &str) -> Redactor {
    let redactor = Redactor::default();
    redactor.add(&Secret::new("KEY", text));
    redactor
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
fn short_secrets_are_masked_as_words_only() {
    let redactor = knowing("no");
    assert_eq!(
        redactor.redact("no, not now: no"),
        "‹secret KEY›, not now: ‹secret KEY›"
    );
}

#[test]
fn an_empty_secret_masks_nothing() {
    assert_eq!(knowing("").redact("anything"), "anything");
}

#[test]
fn the_longest_of_overlapping_secrets_is_masked() {
    let redactor = Redactor::default();
    redactor.add(&Secret::new("SHORT", "abcd"));
    redactor.add(&Secret::new("LONG", "abcdefgh"));
    assert_eq!(
        redactor.redact("x abcdefgh abcd"),
        "x ‹secret LONG› ‹secret SHORT›"
    );
}

#[test]
fn basic_authentication_is_masked() {
    let redactor = knowing("correct horse battery");
    for user in ["a", "ab", "abc", "admin"] {
        let plain = format!("{user}:correct horse battery");
        let encoded = base64::engine::general_purpose::STANDARD.encode(plain);
        let shown = redactor.redact(&encoded).into_owned();
        assert!(shown.contains("‹secret KEY›"), "{user}: {shown}");
    }
}

#[test]
fn references_are_recognised() {
    assert_eq!(reference("secret:PASSWORD"), Some("PASSWORD"));
    assert_eq!(reference("slack:secret:HOOK"), Some("HOOK"));
    assert_eq!(reference("my secret: is safe"), None);
    assert_eq!(reference("nosecret:X"), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_form_gets_through(secret in "[!-~äß€]{4,40}", before in ".{0,20}", after in ".{0,20}") {
        let redactor = knowing(&secret);
        let quoted = serde_json::to_string(&secret).expect("json");
        let forms = [
            secret.clone(),
            quoted[1..quoted.len() - 1].to_owned(),
            hex::encode(&secret),
            base64::engine::general_purpose::STANDARD.encode(&secret),
            base64::engine::general_purpose::URL_SAFE.encode(&secret),
            percent_encoding::utf8_percent_encode(&secret, percent_encoding::NON_ALPHANUMERIC).to_string(),
        ];
        for form in forms {
            let text = format!("{before}{form}{after}");
            let shown = redactor.redact(&text).into_owned();
            let without_masks = shown.replace("‹secret KEY›", "\u{0}");
            prop_assert!(!without_masks.contains(&secret), "{text:?} -> {shown:?}");
            prop_assert!(shown.contains("‹secret KEY›"), "{form:?} in {text:?} -> {shown:?}");
        }
    }

    #[test]
    fn a_stream_is_masked_however_it_is_cut(
        secret in "[a-zA-Z0-9]{4,24}",
        parts in proptest::collection::vec("[a-z ]{0,12}", 1..6),
        cuts in proptest::collection::vec(1_usize..7, 1..60),
    ) {
        let redactor = knowing(&secret);
        let text = parts.join(&secret);
        let mut stream = redactor.stream();
        let mut shown = Vec::new();
        let mut rest = text.as_bytes();
        for cut in cuts {
            let (chunk, left) = rest.split_at(cut.min(rest.len()));
            shown.extend(stream.push(chunk));
            rest = left;
        }
        shown.extend(stream.push(rest));
        shown.extend(stream.finish());
        let shown = String::from_utf8(shown).expect("text stays text");
        prop_assert_eq!(shown, redactor.redact(&text).into_owned());
    }

    #[test]
    fn text_without_secrets_is_left_alone(text in "\\PC{0,80}") {
        let redactor = knowing("a secret that is nowhere else 4711");
        prop_assert_eq!(redactor.redact(&text), text.as_str());
    }

    #[test]
    fn json_is_masked_in_keys_and_values(secret in "[a-z0-9]{6,20}") {
        let mut value = serde_json::json!({ secret.clone(): [secret.clone(), { "x": format!("<{secret}>") }] });
        knowing(&secret).redact_json(&mut value);
        prop_assert!(!value.to_string().contains(&secret));
    }
}
