use std::sync::Arc;

use ccrun_kernel::permission::{Needs, Policy};
use ccrun_kernel::rhai::Dynamic;
use ccrun_kernel::secret::{Redactor, Secret, SecretSource, SecretStore};
use ccrun_kernel::testing::{Scratch, TestRun};
use ccrun_kernel::value::show;
use ccrun_kernel::{BoxFuture, Error, Result};

use super::namespace;

const PASSWORD: &str = "hunter2/&-and more";

/// One secret, one empty one, and one source that fails.
struct Vault;

impl SecretSource for Vault {
    fn describe(&self) -> String {
        "the vault of the test".to_owned()
    }

    fn get<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<String>>> {
        Box::pin(async move {
            match name {
                "PASSWORD" => Ok(Some(PASSWORD.to_owned())),
                "EMPTY" => Ok(Some(String::new())),
                "SEALED" => Err(Error::new("vault.sealed", "the vault is sealed")),
                _ => Ok(None),
            }
        })
    }

    fn names(&self) -> BoxFuture<'_, Result<Vec<String>>> {
        Box::pin(async { Ok(vec!["PASSWORD".to_owned()]) })
    }
}

fn test_run(folder: &Scratch) -> TestRun {
    let mut run = TestRun::new(&folder.0, vec![namespace(), crate::text::namespace()]);
    run.spec.secrets = SecretStore::new(vec![Arc::new(Vault)], Redactor::default());
    run
}

fn run(script: &str) -> Result<Dynamic> {
    let folder = Scratch::new();
    test_run(&folder).eval(script).0
}

fn shown(script: &str) -> String {
    run(script).map_or_else(|error| panic!("{script}: {error:?}"), |value| show(&value))
}

fn exposed(script: &str) -> String {
    run(script)
        .unwrap_or_else(|error| panic!("{script}: {error:?}"))
        .cast::<Secret>()
        .expose()
        .to_owned()
}

#[test]
fn both_spellings_give_the_secret() {
    for script in [
        r#"secret("PASSWORD")"#,
        r#"secret::get("PASSWORD")"#,
        r#"secret::secret("PASSWORD")"#,
    ] {
        assert_eq!(exposed(script), PASSWORD, "{script}");
        assert_eq!(shown(script), "‹secret PASSWORD›", "{script}");
    }
    assert_eq!(
        shown(r#"fn f() { secret("PASSWORD") } f()"#),
        "‹secret PASSWORD›"
    );
}

#[test]
fn a_missing_one_names_the_nearest() {
    let error = run(r#"secret("PASSWROD")"#).unwrap_err();
    assert_eq!(error.kind(), "secret.not_found");
    assert_eq!(error.hint_text(), Some("did you mean `PASSWORD`?"));
    assert_eq!(
        shown(r#"[secret::exists("PASSWORD"), secret::exists("EMPTY"), secret::exists("NONE")]"#),
        "[true, false, false]"
    );
    assert_eq!(
        run(r#"secret::exists("SEALED")"#).unwrap_err().kind(),
        "vault.sealed"
    );
}

#[test]
fn a_runbook_gets_only_the_secrets_it_declared() {
    for script in [
        r#"secret("PASSWORD")"#,
        r#"secret::get("PASSWORD")"#,
        r#"secret::exists("PASSWORD")"#,
    ] {
        let folder = Scratch::new();
        let policy = Policy::new(Some(Needs::nothing()), None);
        let error = test_run(&folder).policy(policy).eval(script).0.unwrap_err();
        assert_eq!(error.kind(), "permission_denied", "{script}");
    }
}

#[test]
fn what_is_made_of_secrets_is_one() {
    assert_eq!(
        exposed(r#"secret::concat(["Bearer ", secret("PASSWORD"), 7])"#),
        format!("Bearer {PASSWORD}7")
    );
    assert_eq!(
        exposed(
            r#"secret::template("u:{{ pw | urlencode }}@{{ host }} {{ pw | b64encode }}", #{ pw: secret("PASSWORD"), host: "db" })"#
        ),
        "u:hunter2%2F%26-and%20more@db aHVudGVyMi8mLWFuZCBtb3Jl"
    );
    assert_eq!(
        exposed(r#"secret::json(#{ user: "app", auth: [#{ password: secret("PASSWORD") }] })"#),
        format!(r#"{{"auth":[{{"password":"{PASSWORD}"}}],"user":"app"}}"#)
    );
    for (script, name) in [
        (
            r#"secret::concat(["a", secret("PASSWORD"), secret("PASSWORD")])"#,
            "PASSWORD",
        ),
        (
            r#"secret::concat([secret("PASSWORD"), secret::generate(20, #{ name: "SALT" })])"#,
            "PASSWORD+SALT",
        ),
        (r#"secret::concat(["a"])"#, "text"),
        (r#"secret::template("x", #{})"#, "template"),
        (r#"secret::json(#{ a: [secret("PASSWORD")] })"#, "PASSWORD"),
    ] {
        assert_eq!(shown(&format!("{script}.name")), name, "{script}");
    }
}

#[test]
fn nothing_made_of_a_secret_shows() {
    let folder = Scratch::new();
    let (result, records) = test_run(&folder).eval(
        r#"
        let pw = secret("PASSWORD");
        let url = secret::template("postgres://{{ pw | urlencode }}@db", #{ pw: pw });
        let all = [pw, url, secret::concat(["x", pw]), secret::json(#{ pw: pw }), secret::generate(20)];
        print(all); print(`${url}`); debug(all); print(#{ a: all });
        for one in all { try { text::template("{{ s }}", #{ s: one }); } catch (e) { print(e); } }
        try { secret::template("{{ pw + 1 }}", #{ pw: pw }); } catch (e) { print(e); }
        try { secret::template("{{ pw | nosuch }}", #{ pw: pw }); } catch (e) { print(e); }
        throw #{ kind: "x", message: `${pw} ${url}` };
        "#,
    );
    let seen = format!("{records:?} {result:?}");
    for text in [PASSWORD, "hunter2", "aHVudGVy"] {
        assert!(!seen.contains(text), "{seen}");
    }
    assert!(seen.contains("‹secret PASSWORD›"), "{seen}");
}

#[test]
fn secrets_are_compared_without_being_seen() {
    for (script, result) in [
        (r#"secret("PASSWORD") == secret::get("PASSWORD")"#, "true"),
        (r#"secret("PASSWORD") != secret::get("PASSWORD")"#, "false"),
        (r#"secret("PASSWORD") == secret::generate(20)"#, "false"),
        (r#"secret("PASSWORD") != secret::generate(20)"#, "true"),
        (r#"secret("PASSWORD") == "hunter2/&-and more""#, "true"),
        (
            r#"secret("PASSWORD").matches("hunter2/&-and more")"#,
            "true",
        ),
        (
            r#"secret("PASSWORD").matches(secret::concat([secret("PASSWORD")]))"#,
            "true",
        ),
        (r#"secret("PASSWORD").len"#, "18"),
        (
            r#"secret("PASSWORD").fingerprint() == secret::concat([secret("PASSWORD")]).fingerprint()"#,
            "true",
        ),
        (r#"secret("PASSWORD").fingerprint().len()"#, "12"),
    ] {
        assert_eq!(shown(script), result, "{script}");
    }
}

#[test]
fn there_is_no_way_to_the_text() {
    for script in [
        r#"secret("PASSWORD").reveal()"#,
        r#"secret("PASSWORD").text"#,
        r#"secret("PASSWORD").to_upper()"#,
        r#"secret("PASSWORD")[0]"#,
        r#"secret("PASSWORD").to_blob()"#,
        r#"text::lines(secret("PASSWORD"))"#,
        r#"secret::generate(7)"#,
    ] {
        assert!(run(script).is_err(), "{script}");
    }
}
