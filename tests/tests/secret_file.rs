//! `ccrun secret`: the age-encrypted file.

use std::io::Write as _;
use std::process::Stdio;

use ccrun_tests::typed::Story;

#[test]
fn secrets_go_in_by_standard_input_and_never_show() {
    let story = Story::new()
        .file("ccrun.toml", "[target.local]\n")
        .file("a.rhai", "runbook(#{ needs: #{ secret: \"*\" } });\nlet s = secret(\"DB_PASSWORD\");\nprint(`${s} ${s.len}`);\n");
    let mut set = story
        .command("ccrun secret set DB_PASSWORD")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    set.stdin
        .take()
        .unwrap()
        .write_all(b"correct horse battery\n")
        .unwrap();
    let set = set.wait_with_output().unwrap();
    assert!(
        set.status.success(),
        "{}",
        String::from_utf8_lossy(&set.stderr)
    );

    story
        .types("ccrun secret generate API_KEY --length 40")
        .exits(0);
    story
        .types("ccrun secret list")
        .exits(0)
        .prints("API_KEY")
        .prints("DB_PASSWORD");
    story
        .types("ccrun secret get DB_PASSWORD")
        .exits(0)
        .prints("correct horse battery");
    story
        .types("ccrun secret generate API_KEY")
        .exits(1)
        .says("already");
    story
        .types("ccrun a.rhai")
        .exits(0)
        .prints("‹secret DB_PASSWORD› 21")
        .hides("correct horse");
    for file in ["secrets.age", ".ccrun/journal.db"] {
        let bytes = std::fs::read(story.path(file)).unwrap_or_default();
        assert!(
            !bytes.windows(13).any(|part| part == b"correct horse"),
            "{file}"
        );
    }

    story
        .types("ccrun secret remove DB_PASSWORD")
        .exits(3)
        .says("--yes");
    story
        .types("ccrun secret remove DB_PASSWORD --yes")
        .exits(0);
    story
        .types("ccrun secret list")
        .exits(0)
        .hides("DB_PASSWORD");
    story
        .types("ccrun secret remove DB_PASSWORD --yes")
        .exits(1)
        .says("DB_PASSWORD");
    story
        .types("ccrun secret get API_KYE")
        .exits(1)
        .says("API_KEY");
}

#[test]
fn a_secret_in_the_output_of_a_program_is_masked_across_its_pieces() {
    // Longer than a piece of a line that is told at once, so that the secret stands across the cut.
    let story = Story::new()
        .file("ccrun.toml", "")
        .file("a.rhai", r#"runbook(#{ needs: #{ sh: "*", secret: "*" } });
let s = secret("TOKEN");
step("Print", || sh::run(["sh", "-c", "head -c 4090 /dev/zero | tr '\\0' x; printf '%s\n' \"$T\""], #{ env: #{ T: s }, echo: true }));
"#);
    let seen = story
        .command("ccrun a.rhai")
        .env("TOKEN", "a-token-that-is-split")
        .output()
        .unwrap();
    let all = format!(
        "{}{}",
        String::from_utf8_lossy(&seen.stdout),
        String::from_utf8_lossy(&seen.stderr)
    );
    assert!(seen.status.success(), "{all}");
    assert!(all.contains("xxxx"), "the line is shown: {all}");
    for part in ["a-toke", "n-that-is-split", "that-is"] {
        assert!(!all.contains(part), "{part} shows in {all}");
    }
}
