#![allow(
    clippy::disallowed_methods,
    reason = "tests look at the files themselves"
)]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use ccrun_kernel::event::{Event, Outcome, Record};
use ccrun_kernel::permission::{Needs, Policy};
use ccrun_kernel::rhai::Dynamic;
use ccrun_kernel::secret::Secret;
use ccrun_kernel::testing::{Scratch, TestRun, eval_in};
use ccrun_kernel::{Error, Registry, Result};

use super::namespace;

fn run(folder: &Scratch, script: &str) -> Result<Dynamic> {
    eval_in(&folder.0, vec![namespace()], script)
}

fn does(folder: &Scratch, script: &str) {
    if let Err(error) = run(folder, script) {
        panic!("{script}: {error:?}");
    }
}

fn fails(folder: &Scratch, script: &str) -> (String, String, String) {
    let error: Error = run(folder, script).unwrap_err();
    let hint = error.hint_text().unwrap_or_default().to_owned();
    (error.kind().to_owned(), error.message().to_owned(), hint)
}

fn text(folder: &Scratch, name: &str) -> String {
    fs::read_to_string(folder.0.join(name)).unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// How the last change ended.
fn outcome(records: &[Record]) -> Outcome {
    let ends = records.iter().rev().find_map(|record| match &record.event {
        Event::EffectFinished { outcome, .. } => Some(*outcome),
        _ => None,
    });
    ends.unwrap()
}

fn policy(folder: &Scratch, patterns: &str) -> Policy {
    let toml: toml::Table = format!("fs = [{patterns}]").parse().unwrap();
    Policy::new(
        Some(Needs::from_toml(&toml.into(), &folder.0).unwrap()),
        None,
    )
}

#[test]
fn every_example_runs() {
    for primitive in Registry::new(vec![namespace()]).primitives() {
        for example in primitive
            .doc
            .examples
            .iter()
            .filter(|_| primitive.namespace == "fs")
        {
            if let Err(error) = run(&Scratch::new(), &example.code) {
                panic!("{}: {error:?}", primitive.path());
            }
        }
    }
}

#[test]
fn what_is_written_is_read_and_keeps_mode_and_owner() {
    let folder = Scratch::new();
    fs::write(folder.0.join("a"), "old").unwrap();
    fs::set_permissions(folder.0.join("a"), fs::Permissions::from_mode(0o4751)).unwrap();
    let owner = if rustix::process::geteuid().is_root() {
        4711
    } else {
        rustix::process::geteuid().as_raw()
    };
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(folder.0.join("a"), Some(owner), Some(owner)).unwrap();
        fs::set_permissions(folder.0.join("a"), fs::Permissions::from_mode(0o4751)).unwrap();
    }
    does(
        &folder,
        r#"fs::write("a", "new\n"); assert(fs::read("a") == "new\n");"#,
    );
    let found = fs::metadata(folder.0.join("a")).unwrap();
    assert_eq!((found.mode() & 0o7777, found.uid()), (0o4751, owner));
    assert_eq!(names(&folder.0), ["a"]);
}

#[test]
fn a_write_that_changes_nothing_says_so() {
    let folder = Scratch::new();
    let twice = |script: &str| {
        let (result, records) = TestRun::new(&folder.0, vec![namespace()]).eval(script);
        result.map(drop).unwrap();
        outcome(&records)
    };
    let write = r#"fs::write("a", "same", #{ mode: "0640" })"#;
    assert_eq!(twice(write), Outcome::Done);
    let before = fs::metadata(folder.0.join("a")).unwrap().ino();
    assert_eq!(twice(write), Outcome::Unchanged);
    assert_eq!(fs::metadata(folder.0.join("a")).unwrap().ino(), before);
    assert_eq!(
        twice(r#"fs::write("a", "same", #{ mode: "0600" })"#),
        Outcome::Done
    );
    for (script, first) in [
        (r#"fs::create_dir("d")"#, Outcome::Done),
        (r#"fs::chmod("a", "0640")"#, Outcome::Done),
        (r#"fs::symlink("a", "l")"#, Outcome::Done),
        (r#"fs::copy("a", "b")"#, Outcome::Done),
    ] {
        assert_eq!(twice(script), first, "{script}");
        assert_eq!(twice(script), Outcome::Unchanged, "{script}");
    }
    assert_eq!(twice(r#"fs::remove("none")"#), Outcome::Unchanged);
    assert_eq!(twice(r#"fs::remove_all("none")"#), Outcome::Unchanged);
}

#[test]
fn errors_name_the_path_and_what_to_do() {
    let folder = Scratch::new();
    fs::create_dir(folder.0.join("dir")).unwrap();
    fs::write(folder.0.join("config.toml"), [0xff, 0x41]).unwrap();
    let root = fs::canonicalize(&folder.0).unwrap();
    let root = root.display();

    let (kind, message, hint) = fails(&folder, r#"fs::read("confg.toml")"#);
    assert_eq!(kind, "fs.not_found");
    assert_eq!(
        message,
        format!("can't read {root}/confg.toml: it does not exist")
    );
    assert_eq!(hint, format!("did you mean {root}/config.toml?"));

    let (kind, message, hint) = fails(&folder, r#"fs::write("a/b/c", "x")"#);
    assert_eq!(kind, "fs.not_found");
    assert_eq!(
        message,
        format!("can't write {root}/a/b/c: there is no directory {root}/a/b")
    );
    assert!(hint.contains("parents: true"), "{hint}");
    let (_, _, hint) = fails(&folder, r#"fs::append("dri/x", "x")"#);
    assert_eq!(hint, format!("did you mean {root}/dir?"));
    let (_, _, hint) = fails(&folder, r#"fs::read("a/b/c")"#);
    assert_eq!(
        hint,
        format!("the directory {root}/a does not exist either")
    );

    for (script, kind) in [
        (r#"fs::read("config.toml")"#, "fs.not_utf8"),
        (r#"fs::each_line("config.toml", |l| ())"#, "fs.not_utf8"),
        (r#"fs::read("dir")"#, "fs.is_a_directory"),
        (r#"fs::write("dir", "x")"#, "fs.is_a_directory"),
        (r#"fs::remove("dir")"#, "fs.is_a_directory"),
        (r#"fs::append("dir", "x")"#, "fs.is_a_directory"),
        (r#"fs::copy("config.toml", "dir")"#, "fs.is_a_directory"),
        (r#"fs::list("config.toml")"#, "fs.not_a_directory"),
        (r#"fs::read("config.toml/x")"#, "fs.not_a_directory"),
        (r#"fs::create_dir("config.toml")"#, "fs.already_exists"),
        (
            r#"fs::symlink("x", "config.toml", #{ replace: true })"#,
            "fs.already_exists",
        ),
        (
            r#"fs::copy("config.toml", "config.toml", #{ overwrite: false })"#,
            "fs.already_exists",
        ),
        (
            r#"fs::rename("config.toml", "dir", #{ overwrite: false })"#,
            "fs.already_exists",
        ),
        (r#"fs::rename("none", "dir/x")"#, "fs.not_found"),
        (r#"fs::read_link("dir")"#, "fs.not_a_link"),
        (r#"fs::read("/dev/zero")"#, "fs.not_a_file"),
        (r#"fs::write("/dev/null", "x")"#, "fs.not_a_file"),
        (r#"fs::read("config.toml", #{ max: "1" })"#, "fs.too_large"),
        (
            r#"fs::chown("dir", "nobody-of-that-name")"#,
            "fs.unknown_user",
        ),
        (r#"fs::chmod("dir", 640)"#, "argument.type"),
        (r#"fs::chmod("dir", "0999")"#, "argument.type"),
        (r#"fs::read("")"#, "argument.type"),
        (r#"fs::read("~other/x")"#, "argument.type"),
        (r#"fs::write("a", 5)"#, "argument.type"),
        (
            r#"fs::write("a", "x", #{ mod: "0600" })"#,
            "argument.unknown_key",
        ),
    ] {
        assert_eq!(fails(&folder, script).0, kind, "{script}");
    }
    assert_eq!(names(&folder.0), ["config.toml", "dir"]);
}

#[test]
fn a_pipe_is_refused_without_waiting_for_its_other_end() {
    let folder = Scratch::new();
    let made = std::process::Command::new("mkfifo")
        .arg(folder.0.join("pipe"))
        .status()
        .unwrap();
    assert!(made.success());
    for script in [
        r#"fs::read("pipe")"#,
        r#"fs::write("pipe", "x")"#,
        r#"fs::sha256("pipe")"#,
        r#"fs::each_line("pipe", |l| ())"#,
    ] {
        assert_eq!(fails(&folder, script).0, "fs.not_a_file", "{script}");
    }
}

#[test]
fn links_are_followed_before_the_permission_is_asked_for() {
    let folder = Scratch::new();
    let outside = Scratch::new();
    fs::write(outside.0.join("secret"), "outside").unwrap();
    fs::create_dir(folder.0.join("data")).unwrap();
    symlink(&outside.0, folder.0.join("data/link")).unwrap();
    symlink(outside.0.join("secret"), folder.0.join("data/file")).unwrap();
    symlink("../data/loop", folder.0.join("data/loop")).unwrap();
    let denied = |script: &str| {
        let run =
            TestRun::new(&folder.0, vec![namespace()]).policy(policy(&folder, r#""data/**""#));
        run.eval(script).0
    };
    for script in [
        r#"fs::read("data/link/secret")"#,
        r#"fs::read("data/file")"#,
        r#"fs::write("data/link/new", "x")"#,
        r#"fs::write("data/file", "x")"#,
        r#"fs::append("data/link/../x", "x")"#,
        r#"fs::list("data/link")"#,
        r#"fs::glob("data/link/*")"#,
        r#"fs::glob("data/../**")"#,
        r#"fs::copy("data/x", "data/link/x")"#,
        r#"fs::metadata("data/file")"#,
        r#"fs::temp_file()"#,
    ] {
        assert_eq!(
            denied(script).unwrap_err().kind(),
            "permission_denied",
            "{script}"
        );
    }
    assert_eq!(
        denied(r#"fs::read("data/loop")"#).unwrap_err().kind(),
        "argument.type"
    );
    // What works on the link itself stays inside.
    for script in [
        r#"fs::write("data/ok", "x")"#,
        r#"fs::metadata("data/file", #{ follow: false })"#,
        r#"fs::read_link("data/file")"#,
        r#"fs::remove("data/file")"#,
        r#"fs::remove_all("data/link")"#,
    ] {
        if let Err(error) = denied(script) {
            panic!("{script}: {error:?}");
        }
    }
    assert_eq!(
        fs::read_to_string(outside.0.join("secret")).unwrap(),
        "outside"
    );
    assert_eq!(names(&folder.0.join("data")), ["loop", "ok"]);
}

#[test]
fn a_search_through_all_levels_needs_more_than_one_level() {
    let folder = Scratch::new();
    let search = |pattern: &str, needs: &str| {
        let run = TestRun::new(&folder.0, vec![namespace()]).policy(policy(&folder, needs));
        run.eval(&format!("fs::glob({pattern:?})")).0.is_ok()
    };
    assert!(search("logs/*.gz", r#""logs/*""#));
    assert!(search("logs/**/*.gz", r#""logs/**""#));
    assert!(search("logs/**", r#""logs/""#));
    assert!(!search("logs/**", r#""logs/*""#));
    assert!(!search("logs/*/x", r#""logs/*""#));
    assert!(!search("*", r#""logs/**""#));
}

#[test]
fn a_link_to_a_file_stays_when_the_file_is_written() {
    let folder = Scratch::new();
    fs::write(folder.0.join("real"), "old").unwrap();
    symlink("real", folder.0.join("link")).unwrap();
    does(&folder, r#"fs::write("link", "new")"#);
    assert_eq!(text(&folder, "real"), "new");
    assert!(
        fs::symlink_metadata(folder.0.join("link"))
            .unwrap()
            .is_symlink()
    );
}

#[test]
fn patterns_find_what_a_shell_finds() {
    let folder = Scratch::new();
    for name in [
        "a.log",
        "b.log",
        "c.txt",
        ".hidden.log",
        "x/a.log",
        "x/y/deep.log",
        "we[i]rd",
        "é.log",
    ] {
        let path = folder.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }
    symlink(&folder.0, folder.0.join("x/around")).unwrap();
    let root = fs::canonicalize(&folder.0).unwrap();
    let found = |pattern: &str| -> Vec<String> {
        let found = run(&folder, &format!("fs::glob({pattern:?})")).unwrap();
        let found = found.into_typed_array::<String>().unwrap();
        let prefix = format!("{}/", root.display());
        found
            .iter()
            .map(|path| path.strip_prefix(&prefix).unwrap_or(path).to_owned())
            .collect()
    };
    assert_eq!(found("*.log"), ["a.log", "b.log", "é.log"]);
    assert_eq!(found("?.log"), ["a.log", "b.log", "é.log"]);
    assert_eq!(found("[ab].log"), ["a.log", "b.log"]);
    assert_eq!(found("[!b].log"), ["a.log", "é.log"]);
    assert_eq!(found("[a-b]*"), ["a.log", "b.log"]);
    assert_eq!(found("*.{txt,log}"), ["a.log", "b.log", "c.txt", "é.log"]);
    assert_eq!(
        found("**/*.log"),
        ["a.log", "b.log", "x/a.log", "x/y/deep.log", "é.log"]
    );
    assert_eq!(
        found("x/**"),
        ["x/a.log", "x/around", "x/y", "x/y/deep.log"]
    );
    assert_eq!(found(".*.log"), [".hidden.log"]);
    assert_eq!(found("we\\[i\\]rd"), ["we[i]rd"]);
    assert_eq!(found("x/a.log"), ["x/a.log"]);
    assert!(found("none/*").is_empty());
    for wrong in ["a[", "{a", "*/../x", "a{b/c}"] {
        assert_eq!(
            fails(&folder, &format!("fs::glob({wrong:?})")).0,
            "argument.type",
            "{wrong}"
        );
    }
}

#[test]
fn lines_of_any_file_come_one_by_one() {
    let folder = Scratch::new();
    let line = "x".repeat(100);
    let many: String = (0..50_000).map(|n| format!("{n} {line}\r\n")).collect();
    fs::write(folder.0.join("big"), many).unwrap();
    let script = r#"
        let last = ();
        let n = fs::each_line("big", |line| { last = line; });
        assert(n == 50000);
        assert(last.len() == 106 && last.starts_with("49999 "));
        assert(fs::each_line("big", |line| line != "2 " + last.sub_string(6)) == 3);
    "#;
    does(&folder, script);

    fs::write(folder.0.join("long"), "ab\ncdefgh\n").unwrap();
    let (kind, message, _) = fails(
        &folder,
        r#"fs::each_line("long", #{ max_line: "5" }, |l| ())"#,
    );
    assert_eq!(kind, "fs.line_too_long");
    assert!(message.starts_with("line 2 of "), "{message}");
    fs::write(folder.0.join("mixed"), b"a\n\xff\nb").unwrap();
    does(
        &folder,
        r#"assert(fs::each_line("mixed", #{ lossy: true }, |l| ()) == 3)"#,
    );
    assert_eq!(
        fails(&folder, r#"fs::each_line("long", |l| { throw "enough" })"#).1,
        "enough"
    );
}

#[test]
fn precious_directories_are_not_removed() {
    let folder = Scratch::new();
    fs::create_dir(folder.0.join("sub")).unwrap();
    symlink("..", folder.0.join("sub/up")).unwrap();
    // In a dry run, which refuses them by the same rule: a mistake here must not cost the machine.
    for path in [".", "..", "/", "~", "/etc", "/usr/../tmp", "sub/.."] {
        let script = format!("fs::remove_all({path:?})");
        let (result, _) = TestRun::new(&folder.0, vec![namespace()])
            .dry()
            .eval(&script);
        assert_eq!(result.unwrap_err().kind(), "fs.refused", "{path}");
    }
    assert_eq!(fails(&folder, r#"fs::remove_all(".")"#).0, "fs.refused");
    does(&folder, r#"fs::remove_all("sub")"#);
    assert!(names(&folder.0).is_empty());
}

#[test]
fn a_dry_run_changes_nothing_and_shows_what_would_change() {
    let folder = Scratch::new();
    fs::write(folder.0.join("app.conf"), "port = 80\nhost = a\n").unwrap();
    fs::write(folder.0.join("old"), "12345").unwrap();
    fs::create_dir(folder.0.join("dir")).unwrap();
    let script = r#"
        fs::write("app.conf", "port = 81\nhost = a\n");
        fs::write("app.conf", "port = 80\nhost = a\n");
        fs::write("new", "a\n");
        fs::append("old", "more");
        fs::remove("old");
        fs::remove_all("dir");
        fs::rename("old", "older");
        fs::copy("old", "copy");
        fs::create_dir("a/b");
        fs::chmod("old", "0600");
        fs::chown("old", "4711");
        fs::symlink("x", "link");
        let t = fs::temp_file();
        fs::write(t, "x");
    "#;
    let (result, records) = TestRun::new(&folder.0, vec![namespace()])
        .dry()
        .eval(script);
    result.map(drop).unwrap();
    assert_eq!(names(&folder.0), ["app.conf", "dir", "old"]);
    assert_eq!(text(&folder, "app.conf"), "port = 80\nhost = a\n");
    assert_eq!(text(&folder, "old"), "12345");
    let planned: Vec<_> = records
        .iter()
        .filter_map(|record| match &record.event {
            Event::Planned(change) => Some(change),
            _ => None,
        })
        .collect();
    assert_eq!(planned.len(), 14);
    let diff = planned[0].preview.diff.as_deref().unwrap();
    assert!(
        diff.contains("-port = 80\n+port = 81\n host = a\n"),
        "{diff}"
    );
    assert!(planned[0].undo.as_deref().unwrap().contains("patch -R"));
    assert!(planned[1].preview.unchanged);
    assert!(planned[2].preview.diff.as_deref().unwrap().contains("+a\n"));
    assert!(
        planned[2]
            .undo
            .as_deref()
            .unwrap()
            .starts_with("fs::remove(")
    );
    assert!(
        planned[4].preview.summary.ends_with("old (5 B)"),
        "{}",
        planned[4].preview.summary
    );
    assert_eq!(planned[4].undo, None);
    assert_eq!(planned[13].depends_on, [planned[12].number]);
}

#[test]
fn a_dry_run_finds_what_could_not_work() {
    let folder = Scratch::new();
    for (script, kind) in [
        (
            r#"fs::write("a", "a"); fs::copy(".", "b")"#,
            "fs.is_a_directory",
        ),
        (r#"fs::remove_all("/")"#, "fs.refused"),
        (
            r#"fs::chown(".", "nobody-of-that-name")"#,
            "fs.unknown_user",
        ),
    ] {
        let (result, _) = TestRun::new(&folder.0, vec![namespace()])
            .dry()
            .eval(script);
        assert_eq!(result.unwrap_err().kind(), kind, "{script}");
    }
}

#[test]
fn a_plan_goes_on_with_what_an_earlier_change_will_make() {
    let folder = Scratch::new();
    let script = r#"
        fs::create_dir("d");
        fs::write("d/new", "a");
        fs::append("d/log", "a");
        fs::copy("d/new", "copy");
        fs::rename("d/new", "d/other");
        fs::chmod("d/other", "0600");
        fs::chown("d/other", "0");
        archive::gzip("dump.sql", "dump.sql.gz");
        archive::zstd_decompress("dump.zst", "dump");
        archive::tar("d", "d.tar");
        archive::untar("d.tar", "e");
    "#;
    let spaces = vec![namespace(), crate::archive::namespace()];
    let (result, records) = TestRun::new(&folder.0, spaces).dry().eval(script);
    result.map(drop).unwrap();
    assert!(names(&folder.0).is_empty());
    let said = |record: &Record| match &record.event {
        Event::Planned(change) => Some(change.preview.summary.clone()),
        _ => None,
    };
    let said: Vec<String> = records.iter().filter_map(said).collect();
    assert_eq!(said.len(), 11);
    assert!(
        said[3].ends_with("d/new does not exist yet)"),
        "{}",
        said[3]
    );
    assert!(
        said[7].ends_with("dump.sql does not exist yet)"),
        "{}",
        said[7]
    );
}

#[test]
fn a_secret_is_written_narrowly_and_never_shown() {
    let folder = Scratch::new();
    let secret = || {
        let mut run = TestRun::new(&folder.0, vec![namespace()]);
        let secret = Secret::new("TOKEN", "hunter2-hunter2-hunter2");
        run.spec.secrets.redactor().add(&secret);
        run.spec
            .params
            .insert("token".into(), Dynamic::from(secret));
        run
    };
    let script = r#"fs::write("token", params.token); fs::write("url", "old");"#;
    let (result, records) = secret().dry().eval(script);
    result.map(drop).unwrap();
    let shown = format!("{records:?}");
    assert!(!shown.contains("hunter2"), "{shown}");
    secret().eval(script).0.map(drop).unwrap();
    assert_eq!(text(&folder, "token"), "hunter2-hunter2-hunter2");
    assert_eq!(
        fs::metadata(folder.0.join("token")).unwrap().mode() & 0o777,
        0o600
    );

    // Nor where it stands in a text that a diff shows.
    fs::write(folder.0.join("url"), "token=hunter2-hunter2-hunter2\n").unwrap();
    let (result, records) = secret().dry().eval(script);
    result.map(drop).unwrap();
    let shown = format!("{records:?}");
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn temporary_files_go_with_the_run() {
    let folder = Scratch::new();
    let script = r#"
        let file = fs::temp_file(#{ suffix: ".sql" });
        let dir = fs::temp_dir();
        fs::write(file, "x");
        fs::write(`${dir}/a/b`, "x", #{ parents: true });
        assert(fs::metadata(file).mode == "0600" && fs::metadata(dir).mode == "0700");
        [file, dir]
    "#;
    let paths = run(&folder, script)
        .unwrap()
        .into_typed_array::<String>()
        .unwrap();
    assert!(paths[0].ends_with(".sql"));
    for path in paths {
        assert!(!Path::new(&path).exists(), "{path}");
    }
    assert_eq!(
        fails(&folder, r#"fs::temp_file(#{ suffix: "/../x" })"#).0,
        "fs.invalid_suffix"
    );
}

#[test]
fn a_cancelled_write_leaves_nothing() {
    let folder = Scratch::new();
    fs::write(folder.0.join("big"), "old").unwrap();
    fs::File::create(folder.0.join("huge"))
        .unwrap()
        .set_len(2 << 30)
        .unwrap();
    // Cancelled from outside as soon as the temporary file is seen.
    let run = TestRun::new(&folder.0, vec![namespace()]);
    let cancel = run.spec.cancel.clone();
    let watched = folder.0.clone();
    let watcher = std::thread::spawn(move || {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while std::time::Instant::now() < deadline {
            if names(&watched)
                .iter()
                .any(|name| name.starts_with(".ccrun-"))
            {
                cancel.cancel();
                return true;
            }
        }
        false
    });
    let (result, _) = run.eval(r#"fs::copy("huge", "big")"#);
    assert!(watcher.join().unwrap());
    assert_eq!(result.unwrap_err().kind(), "interrupted");
    assert_eq!(names(&folder.0), ["big", "huge"]);
    assert_eq!(text(&folder, "big"), "old");
}
