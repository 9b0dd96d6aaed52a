//! Which sources a target has, and what is said when they are not as configured.

use std::path::Path;

use super::*;

fn config(text: &str) -> SecretsConfig {
    ::toml::from_str(text).expect("a configuration")
}

fn described(config: &SecretsConfig, base: &Path) -> Vec<String> {
    let (sources, _) = sources(config, base).expect("sources");
    sources
        .iter()
        .map(|source| source.describe().replace(&base.display().to_string(), "…"))
        .collect()
}

#[track_caller]
fn refused(text: &str, base: &Path) -> Error {
    match sources(&config(text), base) {
        Ok(_) => panic!("it was taken"),
        Err(error) => error,
    }
}

#[test]
fn sources_are_there_in_their_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let base = folder.path();
    std::fs::write(base.join(".env"), "A=1").expect("written");
    std::fs::write(base.join("secrets.age"), "").expect("written");
    std::fs::create_dir(base.join("docker")).expect("made");
    let text = r#"
        docker_dir = "docker"
        vault = { address = "https://vault.example.org", path = "app" }
    "#;
    let all = [
        "the environment",
        "…/.env",
        "…/secrets.age",
        "…/docker",
        "Vault at https://vault.example.org (secret/app)",
    ];
    assert_eq!(described(&config(text), base), all);
    let ordered = config(r#"order = ["age", "environment"]"#);
    assert_eq!(
        described(&ordered, base),
        ["…/secrets.age", "the environment"]
    );
}

#[test]
fn what_is_not_as_configured_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let base = folder.path();
    for (text, said) in [
        (r#"docker_dir = "nowhere""#, "nowhere is not there"),
        (r#"order = ["vault"]"#, "Vault, which is not configured"),
        (
            r#"vault = { address = "not a URL", path = "x" }"#,
            "is no URL",
        ),
        (r#"order = ["enviroment"]"#, "no secret source `enviroment`"),
    ] {
        let error = refused(text, base);
        assert_eq!(error.kind(), "secret.config", "{text}");
        assert!(error.message().contains(said), "{text}: {error}");
    }
    let error = refused(r#"order = ["enviroment"]"#, base);
    assert_eq!(error.hint_text(), Some("did you mean `environment`?"));
    let (_, warnings) = sources(&config(r#"age = { file = "x.age" }"#), base).expect("sources");
    assert!(warnings[0].contains("x.age is not there"), "{warnings:?}");
    // Not there yet: whoever makes it must be able to run.
    let (_, warnings) = sources(&config(r#"env_file = ".env.production""#), base).expect("sources");
    assert!(
        warnings[0].contains(".env.production is not there"),
        "{warnings:?}"
    );
    assert!(::toml::from_str::<SecretsConfig>("oder = []").is_err());
}

#[tokio::test]
async fn the_first_source_that_has_it_wins() {
    let folder = tempfile::tempdir().expect("a folder");
    let base = folder.path();
    std::fs::write(
        base.join(".env"),
        "CCRUN_TEST_DB=from the file\nCCRUN_TEST_EMPTY=",
    )
    .expect("written");
    std::fs::create_dir(base.join("docker")).expect("made");
    std::fs::write(base.join("docker/CCRUN_TEST_DB"), "from Docker").expect("written");
    std::fs::write(base.join("docker/CCRUN_TEST_EMPTY"), "filled").expect("written");
    let (sources, _) = sources(&config(r#"docker_dir = "docker""#), base).expect("sources");
    let redactor = ccrun_kernel::secret::Redactor::default();
    let store = ccrun_kernel::secret::SecretStore::new(sources, redactor.clone());
    assert_eq!(
        store.get("CCRUN_TEST_DB").await.expect("there").expose(),
        "from the file"
    );
    assert_eq!(
        store.get("CCRUN_TEST_EMPTY").await.expect("there").expose(),
        "filled"
    );
    assert_eq!(
        redactor.redact("is from the file"),
        "is ‹secret CCRUN_TEST_DB›"
    );
    let error = store.get("CCRUN_TEST_EMTPY").await.expect_err("not there");
    assert_eq!(error.kind(), "secret.not_found");
    assert_eq!(error.hint_text(), Some("did you mean `CCRUN_TEST_EMPTY`?"));
    let asked = error.message();
    assert!(
        asked.contains("the environment, ") && asked.contains(".env, "),
        "{asked}"
    );
}
