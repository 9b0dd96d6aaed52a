use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use age::secrecy::ExposeSecret;
use age::x25519::Identity;

use super::*;

fn file_in(folder: &Path) -> AgeFile {
    let config = AgeConfig {
        identity: Some("identity.txt".into()),
        ..AgeConfig::default()
    };
    AgeFile::new(&config, folder)
}

#[test]
fn what_was_set_is_read_back_and_not_in_the_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = file_in(folder.path());
    file.set("A", "hunter2 \"quoted\"\nline").expect("set");
    file.generate("B", 40).expect("generated");
    assert_eq!(file.get("A").expect("A"), "hunter2 \"quoted\"\nline");
    assert_eq!(file.get("B").expect("B").len(), 40);
    assert_eq!(file.names().expect("names"), ["A", "B"]);
    let bytes = std::fs::read(file.path()).expect("the file");
    assert!(!bytes.windows(7).any(|w| w == b"hunter2"));
}

#[test]
fn a_file_that_cannot_be_opened_is_never_replaced() {
    let folder = tempfile::tempdir().expect("a folder");
    file_in(folder.path()).set("A", "1").expect("set");
    let before = std::fs::read(folder.path().join("secrets.age")).expect("the file");
    std::fs::remove_file(folder.path().join("identity.txt")).expect("removed");
    let error = file_in(folder.path())
        .set("B", "2")
        .expect_err("no identity");
    assert_eq!(error.kind(), "secret.no_identity");

    let other = Identity::generate();
    std::fs::write(
        folder.path().join("identity.txt"),
        other.to_string().expose_secret(),
    )
    .expect("another identity");
    let error = file_in(folder.path())
        .set("B", "2")
        .expect_err("wrong identity");
    assert_eq!(error.kind(), "secret.wrong_identity");
    assert_eq!(
        std::fs::read(folder.path().join("secrets.age")).expect("the file"),
        before
    );

    std::fs::write(folder.path().join("secrets.age"), "garbage").expect("damaged");
    let error = file_in(folder.path()).set("B", "2").expect_err("damaged");
    assert_eq!(error.kind(), "secret.age_file");
}

#[test]
fn two_writers_lose_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    file_in(folder.path()).set("first", "1").expect("set");
    std::thread::scope(|threads| {
        for n in 0..8 {
            let path = folder.path();
            threads.spawn(move || file_in(path).set(&format!("N{n}"), "x").expect("set"));
        }
    });
    assert_eq!(file_in(folder.path()).names().expect("names").len(), 9);
}

#[test]
fn a_typo_is_answered_with_the_nearest() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = file_in(folder.path());
    file.set("SMTP_PASSWORD", "1").expect("set");
    let error = file.get("SMTP_PASWORD").expect_err("not there");
    assert_eq!(error.hint_text(), Some("did you mean `SMTP_PASSWORD`?"));
}

#[test]
fn a_generated_secret_replaces_none_and_one_can_be_removed() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = file_in(folder.path());
    file.set("A", "1").expect("set");
    assert_eq!(
        file.generate("A", 20).expect_err("exists").kind(),
        "secret.exists"
    );
    assert_eq!(file.get("A").expect("A"), "1");
    file.remove("A").expect("removed");
    assert_eq!(
        file.remove("A").expect_err("gone").kind(),
        "secret.not_found"
    );
}

#[test]
fn only_its_owner_can_read_it_and_nothing_else_is_left() {
    let folder = tempfile::tempdir().expect("a folder");
    file_in(folder.path()).set("A", "1").expect("set");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder.path()).expect("the folder") {
        let entry = entry.expect("an entry");
        let mode = entry.metadata().expect("its mode").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.path());
        names.push(entry.file_name());
    }
    names.sort();
    assert_eq!(names, ["identity.txt", "secrets.age"]);
}

#[test]
fn an_identity_is_never_replaced() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("new/identity.txt");
    generate_identity(&path).expect("made");
    let before = std::fs::read(&path).expect("the identity");
    assert_eq!(
        generate_identity(&path).expect_err("is there").kind(),
        "secret.identity_exists"
    );
    assert_eq!(std::fs::read(&path).expect("the identity"), before);
}

/// An age file made by another tool.
fn foreign(folder: &Path, content: &str, readers: &[&Identity], armored: bool) {
    let recipients: Vec<_> = readers.iter().map(|reader| reader.to_public()).collect();
    let encryptor =
        age::Encryptor::with_recipients(recipients.iter().map(|r| r as &dyn age::Recipient))
            .expect("recipients");
    let format = if armored {
        age::armor::Format::AsciiArmor
    } else {
        age::armor::Format::Binary
    };
    let file = File::create(folder.join("secrets.age")).expect("created");
    let armor = age::armor::ArmoredWriter::wrap_output(file, format).expect("armor");
    let mut writer = encryptor.wrap_output(armor).expect("encrypts");
    writer.write_all(content.as_bytes()).expect("written");
    writer
        .finish()
        .and_then(|armor| armor.finish())
        .expect("finished");
}

fn identity_in(folder: &Path) -> Identity {
    let identity = Identity::generate();
    let text = format!("# mine\n{}\n", identity.to_string().expose_secret());
    std::fs::write(folder.join("identity.txt"), text).expect("the identity");
    identity
}

#[test]
fn files_of_other_tools_are_read_armored_and_as_env_lines() {
    let folder = tempfile::tempdir().expect("a folder");
    let identity = identity_in(folder.path());
    for (content, armored) in [("A = 'pa$word'", true), ("export A=pa$word # why", false)] {
        foreign(folder.path(), content, &[&identity], armored);
        assert_eq!(file_in(folder.path()).get("A").expect("A"), "pa$word");
    }
    file_in(folder.path()).set("B", "2").expect("set");
    assert_eq!(file_in(folder.path()).names().expect("names"), ["A", "B"]);
    foreign(folder.path(), "[table]\nhunter2", &[&identity], false);
    let error = file_in(folder.path()).get("A").expect_err("malformed");
    assert_eq!(error.kind(), "secret.age_file");
    assert!(!error.to_string().contains("hunter2"));
}

#[test]
fn a_colleague_is_not_locked_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mine, other) = (identity_in(folder.path()), Identity::generate());
    foreign(folder.path(), "A = '1'", &[&mine, &other], true);
    let error = file_in(folder.path())
        .set("B", "2")
        .expect_err("one reader less");
    assert_eq!(error.kind(), "secret.recipients");
    let named = AgeConfig {
        identity: Some("identity.txt".into()),
        recipients: vec![other.to_public().to_string()],
        ..AgeConfig::default()
    };
    AgeFile::new(&named, folder.path())
        .set("B", "2")
        .expect("set");
    // The colleague reads it.
    let text = other.to_string();
    std::fs::write(folder.path().join("identity.txt"), text.expose_secret()).expect("written");
    assert_eq!(file_in(folder.path()).get("B").expect("B"), "2");
}

#[test]
fn a_passphrase_opens_what_it_closed() {
    let passphrase = |text: &str| Key::Passphrase(text.to_owned().into());
    let mut recipient = age::scrypt::Recipient::new("correct horse".to_owned().into());
    recipient.set_work_factor(4);
    let encryptor =
        age::Encryptor::with_recipients(std::iter::once(&recipient as &dyn age::Recipient))
            .expect("a recipient");
    let mut file = Vec::new();
    let mut writer = encryptor.wrap_output(&mut file).expect("encrypts");
    writer.write_all(b"A = '1'").expect("written");
    writer.finish().expect("finished");
    assert!(Header::read(&file).passphrase);
    assert_eq!(
        passphrase("correct horse").decrypt(&file).expect("opens"),
        "A = '1'"
    );
    assert!(passphrase("wrong horse").decrypt(&file).is_err());
    let recipients = ["age1x".to_owned()];
    assert!(passphrase("x").encryptor(&recipients).is_err());
}

/// Not a test of its own: what the next one starts, and kills.
#[test]
fn writes_until_killed() {
    let Some(folder) = std::env::var_os("CCRUN_TEST_WRITES_IN") else {
        return;
    };
    let file = file_in(Path::new(&folder));
    for n in 0_u64.. {
        file.set("N", &n.to_string()).expect("set");
    }
}

#[test]
fn a_killed_writer_leaves_the_file_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = file_in(folder.path());
    file.set("KEPT", "yes").expect("set");
    file.set("N", "none").expect("set");
    for _ in 0..5 {
        let before = file.get("N").expect("N");
        let mut writer = Command::new(std::env::current_exe().expect("this test"))
            .args([
                "--exact",
                "secret::source::age_file::tests::writes_until_killed",
            ])
            .env("CCRUN_TEST_WRITES_IN", folder.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("started");
        // Once it writes, any moment is as good as another.
        let started = std::time::Instant::now();
        while file.get("N").expect("whole") == before {
            assert!(started.elapsed().as_secs() < 30, "it never wrote");
        }
        writer.kill().expect("killed");
        writer.wait().expect("gone");
        assert_eq!(file.get("KEPT").expect("whole"), "yes");
        file.get("N").expect("whole");
        // The lock went with it.
        file.set("N", "none").expect("set");
    }
}
