use indexmap::IndexMap;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::runbook::parse;
use crate::secret::Secret;
use crate::value::{show, to_json};

fn specs(params: &str) -> IndexMap<String, ParamSpec> {
    let source = format!("runbook(#{{ params: #{{ {params} }} }});");
    parse("test.rhai", source).unwrap().header.unwrap().params
}

fn spec(param: &str) -> ParamSpec {
    specs(&format!("p: {param}")).shift_remove("p").unwrap()
}

fn declaration_error(param: &str) -> (String, String) {
    let source = format!("runbook(#{{ params: #{{ p: {param} }} }});");
    let error = parse("test.rhai", source).unwrap_err();
    assert!(error.location().is_some(), "{error:?}");
    assert!(
        matches!(error.kind(), "header.param" | "header.unknown_key"),
        "{error:?}"
    );
    (
        error.message().to_owned(),
        error.hint_text().unwrap_or_default().to_owned(),
    )
}

fn sources(pairs: &[&str]) -> ParamSources {
    ParamSources::new("backup.rhai").pairs(pairs).unwrap()
}

const BACKUP: &str = r#"
    database: #{ help: "Database to back up", pattern: "[a-z_]+" },
    keep:     #{ type: "duration", default: "7d" },
    size:     #{ type: "size", default: 1024 },
    mode:     #{ type: "choice", choices: ["full", "schema"], default: "full" },
    tables:   #{ type: "list", default: [] },
    token:    #{ type: "secret", required: false },
    dry:      #{ default: false },
"#;

#[test]
fn values_come_from_the_nearest_source() {
    let specs = specs(BACKUP);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("params.toml");
    std::fs::write(
        &file,
        "mode = \"schema\"\nkeep = \"3d\"\ntables = [\"a\"]\n",
    )
    .unwrap();
    let variable = |name: &str, value: &str| (format!("CCRUN_PARAM_{name}"), value.to_owned());
    let given = sources(&["database=app", "keep=1h"])
        .file(&file)
        .unwrap()
        .environment([
            variable("MODE", "full"),
            variable("DRY", "yes"),
            ("HOME".into(), "/".into()),
        ]);
    let resolved = resolve(&specs, &given).unwrap();
    let named: Vec<(&str, ParamSource)> = resolved
        .sources
        .iter()
        .map(|(name, source)| (name.as_str(), *source))
        .collect();
    assert_eq!(
        named,
        [
            ("database", ParamSource::CommandLine),
            ("keep", ParamSource::CommandLine),
            ("size", ParamSource::Default),
            ("mode", ParamSource::File),
            ("tables", ParamSource::File),
            ("token", ParamSource::Default),
            ("dry", ParamSource::Environment),
        ]
    );
    assert!(resolved.warnings.is_empty(), "{:?}", resolved.warnings);
    let values = Dynamic::from_map(resolved.finish().unwrap());
    assert_eq!(
        show(&values),
        "#{ database: \"app\", dry: true, keep: 1h, mode: \"schema\", size: 1 KiB, tables: [\"a\"], token: () }"
    );
}

#[test]
fn every_type_reads_what_it_accepts() {
    for (param, text, value) in [
        (r#"#{ type: "string" }"#, " a b ", json!(" a b ")),
        (r#"#{ type: "int" }"#, "-1_000", json!(-1000)),
        (r#"#{ type: "float" }"#, "2", json!(2.0)),
        (r#"#{ type: "bool" }"#, "Yes", json!(true)),
        (r#"#{ type: "duration" }"#, "90s", json!("1m30s")),
        (r#"#{ type: "size" }"#, "1536", json!("1.5 KiB")),
        (r#"#{ type: "path" }"#, "./a b", json!("./a b")),
        (r#"#{ choices: ["a", "b"] }"#, "b", json!("b")),
        (r#"#{ type: "int", choices: [1, 2] }"#, "2", json!(2)),
        (r#"#{ type: "list" }"#, "a, b,c", json!(["a", "b", "c"])),
        (r#"#{ type: "list" }"#, r#"["a,b", 5]"#, json!(["a,b", "5"])),
        (r#"#{ type: "list" }"#, "", json!([])),
        (
            r#"#{ type: "secret" }"#,
            "secret:TOKEN",
            json!("‹secret TOKEN›"),
        ),
        (
            r#"#{ type: "secret" }"#,
            "hunter2-and-more",
            json!("‹secret p›"),
        ),
    ] {
        assert_eq!(
            to_json(&parse_value(&spec(param), text).unwrap()),
            value,
            "{param} {text}"
        );
    }
}

#[test]
fn a_type_may_be_left_out() {
    for (param, kind) in [
        ("#{}", ParamKind::String),
        ("#{ default: 5 }", ParamKind::Int),
        ("#{ default: 0.5 }", ParamKind::Float),
        ("#{ default: true }", ParamKind::Bool),
        ("#{ default: [\"a\"] }", ParamKind::List),
        ("#{ choices: [\"a\"] }", ParamKind::Choice),
    ] {
        assert_eq!(spec(param).kind, kind, "{param}");
    }
    assert!(spec("#{}").required);
    assert!(!spec("#{ default: () }").required);
    assert!(!spec("#{ required: false }").required);
}

#[test]
fn a_wrong_value_names_the_parameter_and_what_it_accepts() {
    let invalid = |param: &str, text: &str| {
        let error = parse_value(&spec(param), text).unwrap_err();
        assert_eq!(error.kind(), "param.invalid");
        (
            error.message().to_owned(),
            error.hint_text().unwrap().to_owned(),
        )
    };
    assert_eq!(
        invalid(r#"#{ type: "duration", default: "7d" }"#, "5 apples"),
        (
            "parameter `p` takes a duration such as 30s, 5m, 1h30m or 7d, and not `5 apples`"
                .into(),
            "for example --param p=7d".into()
        )
    );
    assert_eq!(
        invalid(r#"#{ choices: ["full", "schema only"] }"#, "ful"),
        (
            "parameter `p` takes one of full, schema only, and not `ful`".into(),
            "did you mean `full`?".into()
        )
    );
    assert_eq!(
        invalid(r#"#{ choices: ["a b"] }"#, "zzzzz").1,
        "for example --param p='a b'"
    );
    assert_eq!(
        invalid(r#"#{ pattern: "[a-z]+" }"#, "abc1").0,
        "parameter `p` takes a text matching `[a-z]+`, and not `abc1`",
        "a pattern is about the whole text"
    );
    assert_eq!(
        invalid(r#"#{ type: "list", pattern: "[a-z]+" }"#, "ab,C").0,
        "parameter `p` takes texts, separated by commas, each matching `[a-z]+`, and not `C`"
    );
    for (param, text) in [
        (r#"#{ type: "int" }"#, "1.5"),
        (r#"#{ type: "int" }"#, "99999999999999999999"),
        (r#"#{ type: "float" }"#, "NaN"),
        (r#"#{ type: "bool" }"#, "maybe"),
        (r#"#{ type: "size" }"#, "big"),
        (r#"#{ type: "path" }"#, ""),
        (r#"#{ type: "secret" }"#, "secret:"),
        (r#"#{ type: "secret" }"#, ""),
        (r#"#{ type: "int", choices: [1, 2] }"#, "3"),
    ] {
        invalid(param, text);
    }
}

#[test]
fn the_message_says_where_a_wrong_value_stands() {
    let specs = specs(BACKUP);
    let variable = ("CCRUN_PARAM_KEEP".to_owned(), "x".to_owned());
    let error = resolve(&specs, &sources(&["database=a"]).environment([variable])).unwrap_err();
    assert_eq!(
        error.message(),
        "parameter `keep` takes a duration such as 30s, 5m, 1h30m or 7d, and not `x` (from CCRUN_PARAM_KEEP)"
    );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("p.json");
    std::fs::write(&file, r#"{ "keep": 7 }"#).unwrap();
    let error = resolve(&specs, &sources(&[]).file(&file).unwrap()).unwrap_err();
    assert!(error.message().contains("and not `7` (from "), "{error}");
    assert!(error.message().ends_with("p.json)"), "{error}");
}

#[test]
fn an_unknown_parameter_is_refused_with_the_nearest() {
    let specs = specs(BACKUP);
    let error = resolve(&specs, &sources(&["databse=a"])).unwrap_err();
    assert_eq!(error.kind(), "param.unknown");
    assert_eq!(
        error.message(),
        "there is no parameter `databse` (from --param)"
    );
    assert_eq!(
        error.hint_text().unwrap(),
        "did you mean `database`? the parameters are database, keep, size, mode, tables, token, dry"
    );
    let none = IndexMap::new();
    let error = resolve(&none, &sources(&["x=1"])).unwrap_err();
    assert_eq!(
        error.hint_text().unwrap(),
        "the runbook takes no parameters"
    );

    let stray = ("CCRUN_PARAM_DATABSE".to_owned(), "a".to_owned());
    let resolved = resolve(&specs, &sources(&["database=a"]).environment([stray])).unwrap();
    assert_eq!(
        resolved.warnings,
        [
            "CCRUN_PARAM_DATABSE is set, but there is no such parameter: did you mean CCRUN_PARAM_DATABASE?"
        ]
    );
}

#[test]
fn all_that_is_missing_is_named_at_once() {
    let specs = specs(
        r#"
        database: #{ help: "Database to back up" },
        keep:     #{ type: "duration" },
        mode:     #{ choices: ["full", "schema only"], help: "What to copy" },
        note:     #{ required: false },
    "#,
    );
    let mut resolved = resolve(&specs, &sources(&[])).unwrap();
    let missing: Vec<&str> = resolved
        .missing
        .iter()
        .map(|spec| spec.name.as_str())
        .collect();
    assert_eq!(missing, ["database", "keep", "mode"]);
    let error = resolved.clone().finish().unwrap_err();
    assert_eq!(error.kind(), "param.missing");
    assert_eq!(
        error.message(),
        "3 parameters are missing:\
         \n  database: Database to back up (a text)\
         \n  keep (a duration such as 30s, 5m, 1h30m or 7d)\
         \n  mode: What to copy (one of full, schema only)"
    );
    assert_eq!(
        error.hint_text().unwrap(),
        "for example: ccrun backup.rhai --param database=TEXT --param keep=30m --param mode=full"
    );

    // On a terminal they are asked for instead.
    for (name, answer) in [("database", "app"), ("keep", "2d"), ("mode", "full")] {
        let value = parse_value(&specs[name], answer).unwrap();
        resolved.answer(&specs[name], value);
    }
    assert_eq!(resolved.sources["keep"], ParamSource::Prompt);
    let values = resolved.finish().unwrap();
    assert_eq!(show(&values["keep"]), "2d");
    assert!(values["note"].is_unit());
}

#[test]
fn a_list_may_be_given_in_parts_and_nothing_else_twice() {
    let specs = specs(BACKUP);
    let given = sources(&["database=a", "tables=a,b", "tables=c"]);
    let values = resolve(&specs, &given).unwrap().finish().unwrap();
    assert_eq!(show(&values["tables"]), r#"["a", "b", "c"]"#);
    let error = resolve(&specs, &sources(&["keep=1d", "keep=2d"])).unwrap_err();
    assert_eq!(
        error.message(),
        "parameter `keep` is given 2 times and takes one value"
    );
    let error = ParamSources::new("x").pairs(["novalue"]).unwrap_err();
    assert_eq!(error.message(), "a parameter is given as NAME=VALUE");
}

#[test]
fn a_secret_on_the_command_line_works_and_warns_and_never_shows() {
    let specs = specs(r#"token: #{ type: "secret" }"#);
    let resolved = resolve(&specs, &sources(&["token=hunter2-and-more"])).unwrap();
    assert_eq!(
        resolved.warnings,
        [
            "the secret `token` is visible in the process list and in the shell's history: give it as `--param token=secret:NAME`"
        ]
    );
    assert!(!show(&resolved.values["token"]).contains("hunter2"));
    assert_eq!(
        resolved.values["token"]
            .read_lock::<Secret>()
            .unwrap()
            .expose(),
        "hunter2-and-more"
    );

    let resolved = resolve(&specs, &sources(&["token=secret:API_TOKEN"])).unwrap();
    assert!(resolved.warnings.is_empty());
    let reference = resolved.values["token"].clone().cast::<KeptSecret>();
    assert_eq!(reference, KeptSecret("API_TOKEN".into()));

    let twice = resolve(&specs, &sources(&["token=hunter2", "token=hunter3"])).unwrap_err();
    assert!(!format!("{} {:?}", twice.message(), twice.hint_text()).contains("hunter"));
}

#[test]
fn a_declaration_that_contradicts_itself_is_refused() {
    for (param, message) in [
        ("5", "parameter `p` must be a map, and not 5"),
        ("#{ typ: \"int\" }", "parameter `p` has no key `typ`"),
        (
            "#{ type: \"integr\" }",
            "parameter `p` has the unknown type `integr`",
        ),
        (
            "#{ type: 5 }",
            "`type` of parameter `p` is a text, and not 5",
        ),
        (
            "#{ type: \"choice\" }",
            "parameter `p` is a choice without `choices`",
        ),
        (
            "#{ choices: [] }",
            "`choices` of parameter `p` is an array of texts",
        ),
        (
            "#{ choices: [()] }",
            "`choices` of parameter `p` is an array of texts",
        ),
        (
            "#{ type: \"bool\", choices: [\"a\"] }",
            "parameter `p` of type bool can't have `choices`",
        ),
        (
            "#{ type: \"int\", pattern: \"a\" }",
            "parameter `p` of type int can't have a `pattern`",
        ),
        (
            "#{ pattern: \"[a\" }",
            "`pattern` of parameter `p` is not a regular expression: unclosed character class",
        ),
        (
            "#{ type: \"int\", default: \"x\" }",
            "the default of parameter `p` must be a whole number, and not \"x\"",
        ),
        (
            "#{ type: \"duration\", default: 7 }",
            "the default of parameter `p` must be a duration such as 30s, 5m, 1h30m or 7d, and not 7",
        ),
        (
            "#{ choices: [\"a\"], default: \"b\" }",
            "the default of parameter `p` must be one of a, and not \"b\"",
        ),
        (
            "#{ pattern: \"[a-z]\", default: \"B\" }",
            "the default of parameter `p` must be a text matching `[a-z]`, and not \"B\"",
        ),
        (
            "#{ type: \"secret\", default: \"hunter2\" }",
            "the default of parameter `p` would be a secret in the file",
        ),
        (
            "#{ required: 1 }",
            "`required` of parameter `p` is true or false",
        ),
        (
            "#{ help: 1 }",
            "`help` of parameter `p` is a text, and not 1",
        ),
    ] {
        assert_eq!(declaration_error(param).0, message, "{param}");
    }
    assert_eq!(
        declaration_error("#{ type: \"integr\" }").1,
        "did you mean `int`?"
    );
    assert_eq!(
        declaration_error("#{ type: \"uuid\" }").1,
        "the types are string, int, float, bool, duration, size, path, choice, list, secret"
    );
    let source = "runbook(#{ params: #{ \"dry-run\": #{} } });";
    let error = parse("t", source).unwrap_err();
    assert_eq!(
        error.message(),
        "`dry-run` can't be the name of a parameter"
    );
}

#[test]
fn a_file_of_parameters_that_is_wrong_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let read = |name: &str, text: &str| {
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        let error = ParamSources::new("x").file(&file).unwrap_err();
        assert_eq!(error.kind(), "param.file");
        error
            .message()
            .split(": ")
            .skip(1)
            .collect::<Vec<_>>()
            .join(": ")
    };
    assert_eq!(
        read("a.json", "[1]"),
        "it must be one object, `{ \"name\": value }`"
    );
    assert!(read("a.json", "{").starts_with("not valid JSON: "));
    assert!(read("a.toml", "x = ").starts_with("not valid TOML: "));
    assert_eq!(read("a.yaml", "x: 1"), "it is YAML");
    assert_eq!(read("a.txt", "x: 1"), "it is neither JSON nor TOML");
    let missing = ParamSources::new("x")
        .file(&folder.path().join("none.json"))
        .unwrap_err();
    assert_eq!(missing.kind(), "param.file");
}

proptest! {
    #[test]
    fn no_value_makes_the_reader_panic(
        kind in "(string|int|float|bool|duration|size|path|list|secret)",
        text in "(.{0,20}|\\[.{0,10}|-?[0-9._]{0,30}[a-zA-Z]{0,3}|secret:.{0,3})",
    ) {
        let spec = spec(&format!("#{{ type: \"{kind}\" }}"));
        let _ = parse_value(&spec, &text);
        let specs = IndexMap::from([("p".to_owned(), spec)]);
        let _ = resolve(&specs, &sources(&[&format!("p={text}"), ]));
        let _ = ParamSources::new("x").pairs([text]);
    }

    /// Whatever is wrong with it, a secret does not appear in the message.
    #[test]
    fn no_error_shows_a_secret(text in "[a-z]{12}") {
        let specs = specs(r#"token: #{ type: "secret" }"#);
        for pairs in [
            vec![format!("token=secret:{}", " ")],
            vec![format!("token={text}"), format!("token={text}")],
            vec![text.clone()],
        ] {
            let error = match ParamSources::new("x").pairs(pairs) {
                Err(error) => error,
                Ok(given) => match resolve(&specs, &given) {
                    Err(error) => error,
                    Ok(_) => continue,
                },
            };
            let shown = format!("{} {:?} {}", error.message(), error.hint_text(), error.to_json());
            prop_assert!(!shown.contains(&text), "{}", shown);
        }
    }
}
