use ccrun_kernel::event::Event;
use ccrun_kernel::rhai::Dynamic;
use ccrun_kernel::testing::{Scratch, TestRun, eval};
use ccrun_kernel::value::show;
use ccrun_kernel::{Error, Result};
use proptest::prelude::*;

use super::namespace;

const KEY: &str = "0123456789abcdef0123456789abcdef";

/// `{"alg":"HS256","typ":"JWT"}` and `{"sub":"1234567890","name":"John Doe","iat":1516239022}` with the
/// key of the token everybody knows.
const KNOWN: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIyfQ.SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c";

fn run(script: &str) -> Result<Dynamic> {
    eval(
        vec![
            namespace(),
            crate::secret::namespace(),
            crate::time::namespace(),
        ],
        script,
    )
}

fn shown(script: &str) -> String {
    run(script).map_or_else(|error| panic!("{script}: {error:?}"), |value| show(&value))
}

fn error(script: &str) -> Error {
    run(script).expect_err(script)
}

fn part(json: &str) -> String {
    super::encoding::base64_encode(
        ccrun_kernel::Bytes(json.as_bytes().to_vec()),
        ccrun_kernel::FromArg::from_arg(Dynamic::from(ccrun_kernel::rhai::Map::from([(
            "url".into(),
            true.into(),
        )])))
        .unwrap(),
    )
}

#[test]
fn the_known_token_verifies() {
    assert_eq!(
        shown(&format!(
            r#"crypto::jwt_verify("{KNOWN}", "your-256-bit-secret")"#
        )),
        r#"#{ iat: 1516239022, name: "John Doe", sub: "1234567890" }"#
    );
}

#[test]
fn a_token_is_a_secret_that_never_shows() {
    let folder = Scratch::new();
    let script = format!(
        r#"let token = crypto::jwt_sign(#{{ role: "service_role" }}, "{KEY}", #{{ name: "SERVICE" }});
           print(token); print(json::stringify([1])); throw `failed with ${{token}}`;"#
    );
    let namespaces = vec![namespace(), crate::json::namespace()];
    let (result, records) = TestRun::new(&folder.0, namespaces).eval(&script);
    assert!(format!("{records:?} {result:?}").contains("‹secret SERVICE›"));
    assert!(!format!("{records:?} {result:?}").contains("eyJ"));
}

#[test]
fn what_is_wrong_with_a_token_has_a_kind_of_its_own() {
    let sign =
        |claims: &str, options: &str| format!(r#"crypto::jwt_sign({claims}, "{KEY}", {options})"#);
    let plain = sign("#{ sub: 1 }", "#{}");
    let none = format!("{}.{}.", part(r#"{"alg":"none"}"#), part(r#"{"sub":"1"}"#));
    let text_exp = r#"#{ exp: "tomorrow" }"#;
    for (script, kind) in [
        (
            format!(r#"crypto::jwt_verify({plain}, "other")"#),
            "crypto.jwt_signature",
        ),
        (format!(r#"crypto::jwt_verify({plain}, "")"#), "crypto.key"),
        (
            format!(r#"crypto::jwt_verify("{none}", "{KEY}")"#),
            "crypto.jwt_algorithm",
        ),
        (
            format!(r#"crypto::jwt_verify("{none}", "{KEY}", #{{ algorithms: ["none"] }})"#),
            "crypto.jwt_algorithm",
        ),
        (
            format!(r#"crypto::jwt_verify({plain}, "{KEY}", #{{ algorithms: ["HS512"] }})"#),
            "crypto.jwt_algorithm",
        ),
        (
            format!(r#"crypto::jwt_sign(#{{}}, "{KEY}", #{{ algorithm: "RS256" }})"#),
            "crypto.jwt_algorithm",
        ),
        (
            format!(
                r#"crypto::jwt_verify({}, "{KEY}")"#,
                sign("#{ exp: 1 }", "#{}")
            ),
            "crypto.jwt_expired",
        ),
        (
            format!(
                r#"crypto::jwt_verify({}, "{KEY}")"#,
                sign("#{}", r#"#{ expires_in: "-1s" }"#)
            ),
            "crypto.jwt_expired",
        ),
        (
            format!(r#"crypto::jwt_verify({plain}, "{KEY}", #{{ require_expiry: true }})"#),
            "crypto.jwt_expired",
        ),
        (
            format!(r#"crypto::jwt_verify({}, "{KEY}")"#, sign(text_exp, "#{}")),
            "crypto.jwt_malformed",
        ),
        (
            format!(
                r#"crypto::jwt_verify({}, "{KEY}")"#,
                sign(r#"#{ nbf: time::now() + "1h" }"#, "#{}")
            ),
            "crypto.jwt_not_yet",
        ),
        (
            format!(
                r#"crypto::jwt_verify({}, "{KEY}")"#,
                sign(r#"#{ aud: "a" }"#, "#{}")
            ),
            "crypto.jwt_audience",
        ),
        (
            format!(
                r#"crypto::jwt_verify({}, "{KEY}", #{{ audience: "b" }})"#,
                sign(r#"#{ aud: ["a"] }"#, "#{}")
            ),
            "crypto.jwt_audience",
        ),
        (
            format!(r#"crypto::jwt_verify({plain}, "{KEY}", #{{ audience: "b" }})"#),
            "crypto.jwt_audience",
        ),
        (
            format!(r#"crypto::jwt_verify({plain}, "{KEY}", #{{ issuer: "b" }})"#),
            "crypto.jwt_issuer",
        ),
        (
            format!(
                r#"crypto::jwt_verify({}, "{KEY}")"#,
                sign("#{}", "#{ header: #{ crit: [\"x\"] } }")
            ),
            "crypto.jwt_malformed",
        ),
        (
            format!(r#"crypto::jwt_verify("a.b", "{KEY}")"#),
            "crypto.jwt_malformed",
        ),
        (
            format!(r#"crypto::jwt_verify("a.b.c.d", "{KEY}")"#),
            "crypto.jwt_malformed",
        ),
        (
            r#"crypto::jwt_decode("é.é.é")"#.to_owned(),
            "crypto.jwt_malformed",
        ),
        (
            format!(r#"crypto::jwt_sign(#{{ password: secret::generate(20) }}, "{KEY}")"#),
            "crypto.secret",
        ),
    ] {
        let error = error(&script);
        assert_eq!(error.kind(), kind, "{script}: {error}");
    }
    let bearer = error(&format!(r#"crypto::jwt_verify("Bearer a.b", "{KEY}")"#));
    assert_eq!(bearer.hint_text(), Some("leave out `Bearer `"));
}

#[test]
fn leeway_and_parties_are_allowed_for() {
    for script in [
        format!(
            r#"crypto::jwt_verify(crypto::jwt_sign(#{{}}, "{KEY}", #{{ expires_in: "-5s" }}), "{KEY}", #{{ leeway: "30s" }})"#
        ),
        format!(
            r#"crypto::jwt_verify(crypto::jwt_sign(#{{ aud: ["a", "b"], iss: "me" }}, "{KEY}"), "{KEY}", #{{ audience: "b", issuer: "me" }})"#
        ),
        r#"let key = secret::generate(64); crypto::jwt_verify(crypto::jwt_sign(#{}, key, #{ algorithm: "HS512" }), key, #{ algorithms: ["HS512"] })"#.to_owned(),
    ] {
        shown(&script);
    }
    assert_eq!(
        shown(&format!(
            r#"let t = crypto::jwt_sign(#{{ exp: time::parse("2100-01-01") }}, "{KEY}", #{{ issued_at: false, header: #{{ kid: "1" }} }}); crypto::jwt_decode(t)"#
        )),
        r#"#{ claims: #{ exp: 4102444800 }, header: #{ alg: "HS256", kid: "1", typ: "JWT" } }"#
    );
}

#[test]
fn a_weak_key_draws_a_warning() {
    let folder = Scratch::new();
    let (result, records) =
        TestRun::new(&folder.0, vec![namespace()]).eval(r#"crypto::jwt_sign(#{}, "short")"#);
    drop(result.unwrap());
    assert!(records.iter().any(|record| matches!(
        &record.event,
        Event::Log { message, .. } if message == "a key of 5 bytes is weak for HS256: RFC 7518 asks for 32"
    )));
}

#[test]
fn random_values_are_within_their_limits() {
    assert_eq!(shown("crypto::random_string(0)"), "");
    assert_eq!(
        shown(
            r#"let s = crypto::random_string(400, #{ alphabet: "aab" }); s.contains("a") && s.contains("b")"#
        ),
        "true"
    );
    for script in [
        r#"crypto::random_string(9, #{ alphabet: "aa" })"#,
        "crypto::random_bytes(2000000)",
        "crypto::random_string(2000000)",
    ] {
        assert_eq!(error(script).kind(), "crypto.random", "{script}");
    }
}

#[test]
fn wrong_encodings_are_named() {
    let alphabet = error(r#"crypto::base64_decode("YT8-")"#);
    assert_eq!(alphabet.kind(), "crypto.base64");
    assert_eq!(
        alphabet.hint_text(),
        Some("it is written in the other alphabet: `#{ url: true }`")
    );
    assert_eq!(
        shown(r#"crypto::base64_decode_text("aGVs\n bG8")"#),
        "hello"
    );
    assert_eq!(
        error(r#"crypto::base64_decode_text("/w==")"#).kind(),
        "crypto.not_text"
    );
    assert_eq!(error(r#"crypto::hex_decode("0g")"#).kind(), "crypto.hex");
    assert_eq!(
        error(r#"crypto::sha256(secret::generate(20))"#).kind(),
        "argument.type"
    );
}

proptest! {
    #[test]
    fn bytes_come_back_from_their_text(bytes in prop::collection::vec(any::<u8>(), 0..200), url: bool) {
        let options = || {
            let map = ccrun_kernel::rhai::Map::from([("url".into(), url.into())]);
            ccrun_kernel::FromArg::from_arg(Dynamic::from(map)).unwrap()
        };
        let text = super::encoding::base64_encode(ccrun_kernel::Bytes(bytes.clone()), options());
        prop_assert_eq!(super::encoding::base64_decode(text, options()).unwrap(), bytes.clone());
        let text = super::encoding::hex_encode(ccrun_kernel::Bytes(bytes.clone()));
        prop_assert_eq!(super::encoding::hex_decode(text).unwrap(), bytes);
    }

    /// No token with one character changed verifies.
    #[test]
    fn a_tampered_token_is_refused(at in 0..KNOWN.len(), with in "[A-Za-z0-9_.-]") {
        prop_assume!(&KNOWN[at..=at] != with.as_str());
        let mut token = KNOWN.to_owned();
        token.replace_range(at..=at, &with);
        let plain = |text: &str| ccrun_kernel::MaybeSecret::Plain(text.to_owned());
        let options = ccrun_kernel::FromArg::from_arg(Dynamic::from(ccrun_kernel::rhai::Map::new())).unwrap();
        let verified = super::jwt::jwt_verify(plain(&token), plain("your-256-bit-secret"), options);
        let kind = verified.expect_err(&token).kind().to_owned();
        prop_assert!(kind.starts_with("crypto.jwt_"), "{}", kind);
    }

    #[test]
    fn no_token_panics(token in "[A-Za-z0-9_.=é -]{0,80}") {
        let _ = super::jwt::jwt_decode(ccrun_kernel::MaybeSecret::Plain(token));
    }
}
