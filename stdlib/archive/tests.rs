#![allow(
    clippy::disallowed_methods,
    reason = "tests look at the files themselves"
)]

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use ccrun_kernel::event::Event;
use ccrun_kernel::rhai::Dynamic;
use ccrun_kernel::testing::{Scratch, TestRun, eval_in};
use ccrun_kernel::{Error, Registry, Result};

use super::namespace;

fn run(folder: &Scratch, script: &str) -> Result<Dynamic> {
    eval_in(&folder.0, vec![namespace(), crate::fs::namespace()], script)
}

fn does(folder: &Scratch, script: &str) {
    if let Err(error) = run(folder, script) {
        panic!("{script}: {error:?}");
    }
}

fn fails(folder: &Scratch, script: &str) -> (String, String) {
    let error: Error = run(folder, script).unwrap_err();
    assert!(error.hint_text().is_some(), "{script}: {error:?}");
    (error.kind().to_owned(), error.message().to_owned())
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn tool(folder: &Scratch, command: &[&str]) {
    let done = std::process::Command::new(command[0])
        .args(&command[1..])
        .current_dir(&folder.0)
        .output()
        .unwrap();
    assert!(
        done.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
}

/// An archive with what no honest program writes.
fn hostile(folder: &Scratch, entries: &[(&str, u8, &str)]) {
    let mut bytes = Vec::new();
    for (name, kind, link) in entries {
        let mut header = tar::Header::new_gnu();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(tar::EntryType::new(*kind));
        header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link.as_bytes());
        let content: &[u8] = if *kind == b'0' { b"evil" } else { b"" };
        header.set_size(content.len() as u64);
        header.set_mode(0o4777);
        header.set_cksum();
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.resize(bytes.len() + 1024, 0);
    fs::write(folder.0.join("x.tar"), bytes).unwrap();
}

#[test]
fn every_example_runs() {
    for primitive in Registry::new(vec![namespace()]).primitives() {
        for example in primitive
            .doc
            .examples
            .iter()
            .filter(|_| primitive.namespace == "archive")
        {
            if let Err(error) = run(&Scratch::new(), &example.code) {
                panic!("{}: {error:?}", primitive.path());
            }
        }
    }
}

#[test]
fn what_is_compressed_here_is_read_by_the_usual_tools_and_back() {
    let folder = Scratch::new();
    let text: String = (0..200_000).map(|n| format!("line {n}\n")).collect();
    fs::write(folder.0.join("a"), &text).unwrap();
    does(
        &folder,
        r#"
        let size = archive::gzip("a", "a.gz", #{ level: 1 });
        assert(size < fs::metadata("a").size && size == fs::metadata("a.gz").size);
        archive::zstd_compress("a", "a.zst", #{ level: 5, threads: 4 });
    "#,
    );
    tool(&folder, &["sh", "-ec", "gzip -dc a.gz | cmp - a"]);
    assert_eq!(
        zstd::decode_all(fs::File::open(folder.0.join("a.zst")).unwrap()).unwrap(),
        text.as_bytes()
    );
    // Streams one after the other are one.
    tool(
        &folder,
        &[
            "sh",
            "-ec",
            "(gzip -c a; gzip -c a) > two.gz; cat a a > two; cat a.zst a.zst > two.zst",
        ],
    );
    does(
        &folder,
        r#"
        archive::gunzip("two.gz", "two.copy");
        assert(fs::sha256("two.copy") == fs::sha256("two"));
        archive::zstd_decompress("two.zst", "two.copy2");
        assert(fs::sha256("two.copy2") == fs::sha256("two"));
    "#,
    );
}

#[test]
fn damaged_and_wrong_data_is_refused_and_the_old_file_stays() {
    let folder = Scratch::new();
    fs::write(folder.0.join("a"), "hello hello hello").unwrap();
    does(
        &folder,
        r#"archive::gzip("a", "a.gz"); archive::zstd_compress("a", "a.zst");"#,
    );
    for (name, unpack) in [("a.gz", "gunzip"), ("a.zst", "zstd_decompress")] {
        let good = fs::read(folder.0.join(name)).unwrap();
        let mut flipped = good.clone();
        let at = good.len() - 6;
        flipped[at] ^= 0x55;
        for bad in [&good[..good.len() - 3], &flipped, b"plain text", b""] {
            fs::write(folder.0.join("bad"), bad).unwrap();
            fs::write(folder.0.join("out"), "old").unwrap();
            let (kind, _) = fails(&folder, &format!(r#"archive::{unpack}("bad", "out")"#));
            assert_eq!(kind, "archive.corrupt", "{name} {bad:?}");
            assert_eq!(fs::read_to_string(folder.0.join("out")).unwrap(), "old");
        }
    }
    for (script, kind) in [
        (r#"archive::gzip("none", "x.gz")"#, "fs.not_found"),
        (r#"archive::gzip(".", "x.gz")"#, "fs.is_a_directory"),
        (r#"archive::gzip("a", "a")"#, "archive.same_file"),
        (
            r#"archive::gzip("a", "x.gz", #{ level: 10 })"#,
            "archive.level",
        ),
        (
            r#"archive::zstd_compress("a", "x.zst", #{ level: 23 })"#,
            "archive.level",
        ),
        (
            r#"archive::tar("a", "x.tar", #{ compression: "bzip2" })"#,
            "argument.type",
        ),
        (r#"archive::untar("a", "out.d")"#, "archive.corrupt"),
        (r#"archive::list("a.gz")"#, "archive.corrupt"),
        (
            r#"archive::tar(".", "x.tar", #{ only: ["../etc"] })"#,
            "archive.unsafe_entry",
        ),
    ] {
        assert_eq!(fails(&folder, script).0, kind, "{script}");
    }
    assert!(!folder.0.join("out.d").exists());
    assert!(
        names(&folder.0)
            .iter()
            .all(|name| !name.starts_with(".ccrun-") && !name.starts_with("x."))
    );
}

#[test]
fn a_bomb_is_stopped() {
    let folder = Scratch::new();
    let mut encoder = zstd::Encoder::new(Vec::new(), 19).unwrap();
    let zeros = vec![0; 1 << 20];
    for _ in 0..200 {
        encoder.write_all(&zeros).unwrap();
    }
    fs::write(folder.0.join("bomb.zst"), encoder.finish().unwrap()).unwrap();
    assert!(fs::metadata(folder.0.join("bomb.zst")).unwrap().len() < 100_000);
    let script = r#"archive::zstd_decompress("bomb.zst", "out", #{ max_size: "10MiB" })"#;
    let (kind, message) = fails(&folder, script);
    assert_eq!(kind, "archive.too_large");
    assert!(
        message.ends_with("holds more than 10 MiB, which is as much as is accepted"),
        "{message}"
    );
    assert_eq!(names(&folder.0), ["bomb.zst"]);
    assert_eq!(
        fails(
            &folder,
            r#"archive::decompress(fs::read_bytes("bomb.zst"))"#
        )
        .0,
        "archive.too_large"
    );

    tool(
        &folder,
        &[
            "sh",
            "-ec",
            "head -c 30000000 /dev/zero > big; tar czf big.tgz big; rm big",
        ],
    );
    for script in [
        r#"archive::untar("big.tgz", "out", #{ max_size: "1MiB" })"#,
        r#"archive::list("big.tgz", #{ max_size: "1MiB" })"#,
    ] {
        assert_eq!(fails(&folder, script).0, "archive.too_large", "{script}");
    }
    let script = r#"archive::untar("big.tgz", "out", #{ max_entries: 0 })"#;
    assert_eq!(fails(&folder, script).0, "archive.too_many_entries");
    // A file that claims to be large, and has holes.
    tool(
        &folder,
        &[
            "sh",
            "-ec",
            "truncate -s 100G hole; tar cSf hole.tar hole; rm hole",
        ],
    );
    let script = r#"archive::untar("hole.tar", "out", #{ max_size: "1GiB" })"#;
    assert_eq!(fails(&folder, script).0, "archive.too_large");
    assert!(!folder.0.join("out").exists());
}

#[test]
fn a_name_that_never_ends_is_not_taken_into_memory() {
    let folder = Scratch::new();
    for kind in [b'L', b'x'] {
        let mut header = tar::Header::new_gnu();
        header.set_path("././@LongLink").unwrap();
        header.set_entry_type(tar::EntryType::new(kind));
        header.set_size(3 << 30);
        header.set_cksum();
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.write_all(header.as_bytes()).unwrap();
        let name = vec![b'a'; 1 << 20];
        for _ in 0..64 {
            encoder.write_all(&name).unwrap();
        }
        fs::write(folder.0.join("x.tar.zst"), encoder.finish().unwrap()).unwrap();
        for script in [
            r#"archive::untar("x.tar.zst", "out")"#,
            r#"archive::list("x.tar.zst")"#,
        ] {
            assert_eq!(fails(&folder, script).0, "archive.too_large", "{script}");
        }
    }
}

#[test]
fn a_folder_comes_back_as_it_was() {
    let folder = Scratch::new();
    let root = folder.0.join("site");
    let long = format!("{}/{}", "d".repeat(120), "f".repeat(120));
    for (name, content) in [
        ("index.html", "<p>"),
        ("a/b/c.txt", "deep"),
        (long.as_str(), "long"),
        ("empty", ""),
    ] {
        fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
        fs::write(root.join(name), content).unwrap();
    }
    fs::set_permissions(root.join("index.html"), fs::Permissions::from_mode(0o640)).unwrap();
    fs::create_dir(root.join("locked")).unwrap();
    fs::write(root.join("locked/x"), "x").unwrap();
    fs::set_permissions(root.join("locked"), fs::Permissions::from_mode(0o550)).unwrap();
    symlink("../index.html", root.join("a/link")).unwrap();
    tool(
        &folder,
        &["touch", "-d", "2020-02-03T04:05:06Z", "site/index.html"],
    );
    tool(&folder, &["mkfifo", "site/pipe"]);
    for name in ["s.tar", "s.tar.gz", "s.tgz", "s.tar.zst"] {
        let script = format!(
            r#"
            let made = archive::tar("site", "{name}", #{{ exclude: ["*.txt"], threads: 2 }});
            let out = archive::untar("{name}", "copy-{name}");
            assert(made.entries == 9 && out.entries == 9, `${{made}} ${{out}}`);
            assert(made.content == out.size && made.content == 8);
            archive::list("{name}").map(|e| e.path)
            "#
        );
        let paths = run(&folder, &script)
            .unwrap()
            .into_typed_array::<String>()
            .unwrap();
        let expected = [
            "a",
            "a/b",
            "a/link",
            &"d".repeat(120),
            &long,
            "empty",
            "index.html",
            "locked",
            "locked/x",
        ];
        assert_eq!(paths, expected);
        let copy = folder.0.join(format!("copy-{name}"));
        let index = fs::metadata(copy.join("index.html")).unwrap();
        assert_eq!(
            (index.mode() & 0o7777, index.mtime()),
            (0o640, 1_580_702_706)
        );
        assert_eq!(
            fs::metadata(copy.join("locked")).unwrap().mode() & 0o777,
            0o550
        );
        assert_eq!(
            fs::read_link(copy.join("a/link")).unwrap(),
            Path::new("../index.html")
        );
        assert_eq!(fs::read_to_string(copy.join(&long)).unwrap(), "long");
        // And tar(1) agrees.
        tool(
            &folder,
            &[
                "sh",
                "-ec",
                "rm -rf other; mkdir other; case $1 in *.zst) exit 0;; esac; tar xf $1 -C other; cmp other/index.html site/index.html",
                "sh",
                name,
            ],
        );
    }
}

#[test]
fn an_archive_in_its_own_folder_does_not_hold_itself() {
    let folder = Scratch::new();
    fs::write(folder.0.join("a"), "a").unwrap();
    let script = r#"
        archive::tar(".", "all.tar");
        archive::tar(".", "all.tar");
        assert(archive::list("all.tar").map(|e| e.path) == ["a"]);
        archive::tar(".", "some.tar.gz", #{ only: ["a"], prefix: "x/y" });
        assert(archive::list("some.tar.gz").map(|e| e.path) == ["x/y/a"]);
        archive::tar("a", "one.tar");
        assert(archive::list("one.tar").map(|e| e.path) == ["a"]);
    "#;
    does(&folder, script);
}

#[test]
fn what_would_leave_the_folder_is_refused_before_anything_is_written() {
    let folder = Scratch::new();
    for evil in [
        ("../evil", b'0', ""),
        ("a/../../evil", b'0', ""),
        ("/tmp/ccrun-evil", b'0', ""),
        ("link", b'2', "/etc/passwd"),
        ("link", b'2', "../outside"),
        ("d/link", b'2', "x/../../outside"),
        ("hard", b'1', "/etc/passwd"),
        ("hard", b'1', "../outside"),
        ("link", b'2', ""),
    ] {
        hostile(&folder, &[("good", b'0', ""), evil]);
        let (kind, message) = fails(&folder, r#"archive::untar("x.tar", "out")"#);
        assert_eq!(kind, "archive.unsafe_entry", "{evil:?}");
        assert!(message.contains(evil.0), "{message}");
        assert_eq!(
            fails(&folder, r#"archive::list("x.tar")"#).0,
            "archive.unsafe_entry"
        );
        assert_eq!(names(&folder.0), ["x.tar"], "{evil:?}");
    }
    // Through a link of the archive itself, or one that is there already.
    hostile(
        &folder,
        &[("d", b'5', ""), ("l", b'2', "d"), ("l/evil", b'0', "")],
    );
    assert_eq!(
        fails(&folder, r#"archive::untar("x.tar", "out")"#).0,
        "fs.unsafe_path"
    );
    assert!(names(&folder.0.join("out/d")).is_empty());
    let outside = Scratch::new();
    fs::remove_dir_all(folder.0.join("out")).unwrap();
    fs::create_dir(folder.0.join("out")).unwrap();
    symlink(&outside.0, folder.0.join("out/l")).unwrap();
    hostile(&folder, &[("l/evil", b'0', "")]);
    assert_eq!(
        fails(&folder, r#"archive::untar("x.tar", "out")"#).0,
        "fs.unsafe_path"
    );
    hostile(&folder, &[("good", b'0', ""), ("l", b'0', "")]);
    does(&folder, r#"archive::untar("x.tar", "out")"#);
    assert!(names(&outside.0).is_empty());
    // The link was replaced, not followed; and the mode is a tame one.
    let found = fs::symlink_metadata(folder.0.join("out/l")).unwrap();
    assert!(found.is_file());
    assert_eq!(found.mode() & 0o7777, 0o777);
}

#[test]
fn devices_are_left_out_and_hard_links_made() {
    let folder = Scratch::new();
    hostile(
        &folder,
        &[
            ("a", b'0', ""),
            ("b", b'1', "a"),
            ("null", b'3', ""),
            ("pipe", b'6', ""),
        ],
    );
    let (result, records) = TestRun::new(&folder.0, vec![namespace()])
        .eval(r#"archive::untar("x.tar", "out").entries"#);
    assert_eq!(result.unwrap().as_int(), Ok(4));
    assert_eq!(names(&folder.0.join("out")), ["a", "b"]);
    assert_eq!(fs::metadata(folder.0.join("out/a")).unwrap().nlink(), 2);
    let warned = |text: &str| {
        records
            .iter()
            .any(|r| matches!(&r.event, Event::Log { message, .. } if message.contains(text)))
    };
    assert!(warned("left out null") && warned("left out pipe"));
}

#[test]
fn files_that_are_there_are_replaced_only_if_that_is_wanted() {
    let folder = Scratch::new();
    hostile(&folder, &[("a", b'0', ""), ("b", b'0', "")]);
    fs::create_dir(folder.0.join("out")).unwrap();
    fs::write(folder.0.join("out/b"), "mine").unwrap();
    fs::write(folder.0.join("out/c"), "also mine").unwrap();
    assert_eq!(
        fails(
            &folder,
            r#"archive::untar("x.tar", "out", #{ overwrite: false })"#
        )
        .0,
        "fs.already_exists"
    );
    assert_eq!(names(&folder.0.join("out")), ["b", "c"]);
    does(&folder, r#"archive::untar("x.tar", "out")"#);
    assert_eq!(names(&folder.0.join("out")), ["a", "b", "c"]);
    assert_eq!(fs::read_to_string(folder.0.join("out/b")).unwrap(), "evil");
}

#[test]
fn blobs_are_compressed_in_memory() {
    let folder = Scratch::new();
    does(
        &folder,
        r#"
        let text = "hello ";
        for n in 0..10 { text += text; }
        for kind in ["gzip", "zstd"] {
            let small = archive::compress(text, #{ compression: kind, level: 9 });
            assert(small.len() < 100);
            assert(archive::decompress(small).as_string() == text);
        }
    "#,
    );
    assert_eq!(
        fails(&folder, "archive::decompress(blob(10, 65))").0,
        "archive.corrupt"
    );
    assert_eq!(
        fails(
            &folder,
            r#"archive::decompress(archive::compress("hello"), #{ max_size: "4" })"#
        )
        .0,
        "archive.too_large"
    );
}

#[test]
fn a_dry_run_changes_nothing_and_says_how_much_it_would() {
    let folder = Scratch::new();
    hostile(&folder, &[("a", b'0', ""), ("b", b'0', "")]);
    fs::create_dir(folder.0.join("out")).unwrap();
    fs::write(folder.0.join("out/b"), "mine").unwrap();
    let script = r#"
        archive::untar("x.tar", "out");
        archive::untar("x.tar", "new");
        archive::tar("out", "out.tar");
        archive::gzip("x.tar", "x.tar.gz");
    "#;
    let (result, records) = TestRun::new(&folder.0, vec![namespace()])
        .dry()
        .eval(script);
    result.map(drop).unwrap();
    assert_eq!(names(&folder.0), ["out", "x.tar"]);
    assert_eq!(names(&folder.0.join("out")), ["b"]);
    let planned: Vec<_> = records
        .iter()
        .filter_map(|record| match &record.event {
            Event::Planned(change) => Some(&change.preview),
            _ => None,
        })
        .collect();
    assert!(
        planned[0].summary.contains("(2 entries, 8 B)"),
        "{}",
        planned[0].summary
    );
    assert!(
        planned[0].summary.ends_with("replacing 1 files"),
        "{}",
        planned[0].summary
    );
    assert!(
        planned[1]
            .undo
            .as_deref()
            .unwrap()
            .starts_with("fs::remove_all(")
    );
    assert!(
        planned[2].summary.contains("(1 entries, 4 B)"),
        "{}",
        planned[2].summary
    );
    assert!(planned[3].summary.starts_with("compress "));
}
