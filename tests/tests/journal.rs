//! The journal's disk and file when they are not as they should be: nothing is lost or made worse.

use std::path::{Path, PathBuf};
use std::process::Command;

use ccrun_tests::typed::Story;

const HELLO: &str = "runbook(#{});\nstep(\"Greet\", || print(\"hello\"));\n";

/// A small file system of its own, gone when the test ends.
struct Disk(PathBuf);

impl Disk {
    fn mount(path: PathBuf, options: &str) -> Self {
        std::fs::create_dir_all(&path).expect("the mount point");
        run(Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "none"])
            .arg(&path));
        Self(path)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn run(command: &mut Command) {
    let output = command.output().expect("mount is installed");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "this test mounts a tmpfs, as root: {said}"
    );
}

/// Where the story's journal lies, found by running something once.
fn journal_of(story: &Story) -> PathBuf {
    story.types("ccrun a.rhai").exits(0);
    find(&story.path("")).expect("a run leaves a journal")
}

fn find(folder: &Path) -> Option<PathBuf> {
    std::fs::read_dir(folder).ok()?.flatten().find_map(|entry| {
        let path = entry.path();
        match path.file_name()?.to_str()? {
            "journal.db" => Some(path),
            _ if path.is_dir() => find(&path),
            _ => None,
        }
    })
}

#[test]
fn one_from_a_newer_version_is_left_alone() {
    let story = Story::new().file("a.rhai", HELLO);
    let journal = journal_of(&story);
    // The user version lies at byte 60 of the header: https://sqlite.org/fileformat.html#user_version_number
    let mut bytes = std::fs::read(&journal).expect("the journal");
    bytes[60..64].copy_from_slice(&9_999_u32.to_be_bytes());
    for suffix in ["-wal", "-shm"] {
        let mut name = journal.clone().into_os_string();
        name.push(suffix);
        let _ = std::fs::remove_file(name);
    }
    std::fs::write(&journal, &bytes).expect("the journal");
    story
        .types("ccrun a.rhai")
        .exits(1)
        .says("journal.newer")
        .says("help:")
        .hides("hello");
    assert!(
        std::fs::read(&journal).expect("the journal") == bytes,
        "it was changed"
    );
}

#[test]
fn a_read_only_disk_is_named_before_anything_runs() {
    let story = Story::new().file("a.rhai", HELLO);
    let folder = journal_of(&story).parent().expect("its folder").to_owned();
    let _disk = Disk::mount(folder, "ro,size=64k");
    let seen = story.types("ccrun a.rhai");
    assert!(
        seen.text().contains("read-only") || seen.text().contains("readonly"),
        "{}",
        seen.text()
    );
    seen.hides("panicked").says("help:");
}

#[test]
fn a_full_disk_is_named_and_the_file_stays_as_it_was() {
    let story = Story::new().file(
        "a.rhai",
        "runbook(#{ needs: #{ fs: \"*\" } });\n\
         let text = \"x\"; for i in 0..20 { text += text; }\n\
         step(\"Fill\", || fs::write(\"disk/file\", text));\n",
    );
    let disk = Disk::mount(story.path("disk"), "size=64k");
    story.write("disk/file", "precious");
    story
        .types("ccrun a.rhai")
        .exits(1)
        .says("io.disk_full")
        .says("help:");
    assert_eq!(story.read("disk/file"), "precious");
    drop(disk);
}
