use ccrun_kernel::Registry;
use ccrun_kernel::testing::{Scratch, TestRun, eval};

use super::namespace;

#[test]
fn every_example_runs() {
    for primitive in Registry::new(vec![namespace()]).primitives() {
        for example in primitive
            .doc
            .examples
            .iter()
            .filter(|_| primitive.namespace == "env")
        {
            if let Err(error) = eval(vec![namespace()], &example.code) {
                panic!("{}: {error:?}", primitive.path());
            }
        }
    }
}

#[test]
fn a_missing_variable_is_named_with_the_one_that_was_meant() {
    let error = eval(vec![namespace()], r#"env::require("PATHH")"#).unwrap_err();
    assert_eq!(error.kind(), "env.missing");
    assert_eq!(
        error.message(),
        "the environment variable `PATHH` is not set"
    );
    assert_eq!(error.hint_text(), Some("did you mean `PATH`?"));
    for name in ["", "A=B", "A\\x00B"] {
        let script = format!(r#"assert(env::get("{name}", 7) == 7)"#);
        if let Err(error) = eval(vec![namespace()], &script) {
            panic!("{name}: {error:?}");
        }
    }
}

#[test]
fn a_secret_in_the_environment_never_shows() {
    // The only way to set a variable is to start a process with it: this test, once more.
    const NAME: &str = "CCRUN_TEST_TOKEN";
    const TEXT: &str = "hunter2-hunter2-hunter2";
    let folder = Scratch::new();
    if std::env::vars_os().all(|(name, _)| name != NAME) {
        #[allow(clippy::disallowed_methods, reason = "a test starts itself")]
        let again = std::process::Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "env::tests::a_secret_in_the_environment_never_shows",
            ])
            .env(NAME, TEXT)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&again.stdout);
        assert!(
            again.status.success() && said.contains("1 passed"),
            "{said}"
        );
        return;
    }
    let script = format!(
        r#"
        let token = env::get("{NAME}");
        assert(type_of(token) == "Secret");
        print(`it is ${{token}} or {TEXT}`);
        token
        "#
    );
    let (result, records) = TestRun::new(&folder.0, vec![namespace()]).eval(&script);
    let shown = format!("{records:?}");
    assert!(!shown.contains(TEXT), "{shown}");
    assert!(result.unwrap().is::<ccrun_kernel::secret::Secret>());
}
