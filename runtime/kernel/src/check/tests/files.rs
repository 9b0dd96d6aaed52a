#![allow(clippy::disallowed_methods, reason = "files of the test")]

use std::path::Path;

use super::{Checker, Finding, library, registry};
use crate::testing::Scratch;

fn write(folder: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

fn check(files: &[(&str, &str)]) -> Vec<(String, String)> {
    let folder = Scratch::new();
    write(&folder.0, files);
    let found = Checker::new(&registry(), &library()).check_file(&folder.0.join("main.rhai"));
    let short = |finding: &Finding| {
        let source = Path::new(&finding.location.source);
        let name = source.strip_prefix(&folder.0).unwrap_or(source);
        format!("{}:{}", name.display(), finding.location.line)
    };
    found
        .iter()
        .map(|finding| (short(finding), finding.rule.to_owned()))
        .collect()
}

#[test]
fn what_two_files_share_is_told_once() {
    let folder = Scratch::new();
    let main = "import \"lib/team\" as team;\nprint(team::hello());\n";
    write(
        &folder.0,
        &[
            ("a.rhai", main),
            ("b.rhai", main),
            ("lib/team.rhai", "fn hello() { nope() }\n"),
        ],
    );
    let (registry, modules) = (registry(), library());
    let checker = Checker::new(&registry, &modules);
    let found = checker.check_files([folder.0.join("a.rhai"), folder.0.join("b.rhai")]);
    assert_eq!(found.len(), 1, "{found:#?}");
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected
        .iter()
        .map(|(place, rule)| ((*place).to_owned(), (*rule).to_owned()))
        .collect()
}

#[test]
fn modules_are_checked_where_they_are() {
    let found = check(&[
        (
            "main.rhai",
            "import \"lib/team\" as team;\nprint(team::hello(1));\nprint(team::helo());\nteam::hidden();\n\
             print(team::inner::deep() + team::inner::deeper());\nprint(team::LIMIT + team::LIMITS);\n\
             import \"lib/other\" as other;\n",
        ),
        (
            "lib/team.rhai",
            "import \"other\" as inner;\nexport const LIMIT = 5;\nfn hello(x) { nope(x) }\nprivate fn hidden() { 1 }\n",
        ),
        ("lib/other.rhai", "fn deep() { params.anything }\n"),
    ]);
    let expected = pairs(&[
        ("main.rhai:3", "unknown-function"),
        ("main.rhai:4", "unknown-function"),
        ("main.rhai:5", "unknown-function"),
        ("main.rhai:6", "unknown-variable"),
        ("main.rhai:7", "unused-import"),
        ("lib/team.rhai:3", "unknown-function"),
    ]);
    assert_eq!(found, expected);
}

#[test]
fn imports_that_bring_nothing() {
    let found = check(&[
        (
            "main.rhai",
            "import \"lib/taem\" as a;\nimport \"../x\" as b;\nimport \"/etc/x\" as c;\nimport \"std/wib\" as d;\n\
             import \"lib/round\" as e;\nimport \"lib/broken\" as f;\na::x(); b::x(); c::x(); d::x(); e::x(); f::x();\n",
        ),
        ("lib/team.rhai", ""),
        (
            "lib/round.rhai",
            "import \"about\" as about;\nfn x() { about::x() }\n",
        ),
        (
            "lib/about.rhai",
            "import \"round\" as round;\nfn x() { round::x() }\n",
        ),
        ("lib/broken.rhai", "fn x( {"),
    ]);
    let expected = pairs(&[
        ("main.rhai:1", "import-not-found"),
        ("main.rhai:2", "import-outside"),
        ("main.rhai:3", "import-outside"),
        ("main.rhai:4", "import-not-found"),
        ("lib/about.rhai:1", "import-circular"),
        ("lib/broken.rhai:1", "syntax"),
    ]);
    assert_eq!(found, expected);
}

#[test]
fn a_file_that_imports_itself_by_any_name() {
    for path in ["main", "./main", "././main.rhai", "lib/round", "link/main"] {
        let folder = Scratch::new();
        write(
            &folder.0,
            &[
                ("main.rhai", &format!("import \"{path}\" as m;\nm::x();\n")),
                (
                    "lib/round.rhai",
                    "import \"./round\" as m;\nfn x() { m::x() }\n",
                ),
            ],
        );
        std::os::unix::fs::symlink(&folder.0, folder.0.join("link")).unwrap();
        let found = Checker::new(&registry(), &library()).check_file(&folder.0.join("main.rhai"));
        let rules: Vec<&str> = found.iter().map(|finding| finding.rule).collect();
        assert_eq!(rules, ["import-circular"], "{path}");
    }
}

#[test]
fn a_function_of_a_module_changes_things_too() {
    let found = check(&[
        (
            "main.rhai",
            "runbook(#{ needs: #{ fs: \"*\" } });\nimport \"lib/team\" as team;\nteam::save();\nstep(\"a\", || team::save());\n",
        ),
        (
            "lib/team.rhai",
            "fn save() { put() }\nfn put() { fs::write(\"/a\", \"b\"); docker::containers(); }\n",
        ),
    ]);
    let expected = pairs(&[
        ("main.rhai:3", "change-outside-step"),
        ("main.rhai:3", "undeclared-permission"),
    ]);
    assert_eq!(found, expected);
}

#[test]
fn files_that_are_none() {
    assert_eq!(check(&[]), pairs(&[("main.rhai:1", "unreadable")]));
    assert_eq!(
        check(&[("main.rhai", "")]),
        pairs(&[("main.rhai:1", "empty")])
    );
    assert_eq!(
        check(&[("main.rhai", "let x = ;")]),
        pairs(&[("main.rhai:1", "syntax")])
    );
    assert_eq!(
        check(&[("main.rhai", "\0\0")]),
        pairs(&[("main.rhai:1", "unreadable")])
    );
}
