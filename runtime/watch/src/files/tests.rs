use std::path::Path;
use std::time::{Duration, Instant};

use ccrun_kernel::runbook::{TriggerSource, parse};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;

fn watched(key: &str, text: &str) -> Watched {
    let source = format!("runbook(#{{ on: #{{ {text} }} }});");
    let header = parse("t.rhai", source).unwrap().header.unwrap();
    match &header.on[0].source {
        TriggerSource::Files(files) => Watched {
            key: key.to_owned(),
            files: files.clone(),
            known: None,
        },
        other => panic!("{other:?}"),
    }
}

struct Scene {
    folder: tempfile::TempDir,
    watcher: FileWatcher,
    events: UnboundedReceiver<FileEvent>,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (sender, events) = unbounded_channel();
        let watcher = FileWatcher::start(folder.path().to_owned(), sender).unwrap();
        Self {
            folder,
            watcher,
            events,
        }
    }

    fn root(&self) -> &Path {
        self.folder.path()
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::create_dir_all(self.root().join(name).parent().unwrap()).unwrap();
        std::fs::write(self.root().join(name), text).unwrap();
    }

    fn next(&mut self, within: Duration) -> Option<FileEvent> {
        let deadline = Instant::now() + within;
        loop {
            match self.events.try_recv() {
                Ok(event) => return Some(event),
                Err(_) if Instant::now() > deadline => return None,
                Err(_) => std::thread::yield_now(),
            }
        }
    }

    /// The firings until all of these changes were told; that there is one for each name.
    fn changes(&mut self, expected: &[&str]) -> usize {
        let mut missing: Vec<&str> = expected.to_vec();
        let mut fired = 0;
        while !missing.is_empty() {
            match self.next(Duration::from_secs(10)) {
                Some(FileEvent::Changed(_, changes, _)) => {
                    fired += 1;
                    for change in changes {
                        let told = format!("{} {}", change.change.as_str(), change.path);
                        missing.retain(|missing| *missing != told);
                    }
                }
                Some(FileEvent::Seen(_)) => {}
                Some(FileEvent::Trouble(text)) => panic!("{text}"),
                None => panic!("never told: {missing:?}"),
            }
        }
        fired
    }

    fn quiet(&mut self) {
        while let Some(event) = self.next(Duration::from_millis(300)) {
            assert!(!matches!(event, FileEvent::Changed(..)), "{event:?}");
        }
    }
}

#[test]
fn changes_of_each_kind_are_told() {
    let mut scene = Scene::new();
    scene.write("a.sql", "1");
    scene
        .watcher
        .watch(vec![watched("t", r#"files: "**/*.sql", debounce: "20ms""#)]);
    scene.quiet();
    scene.write("a.sql", "22");
    assert_eq!(scene.changes(&["modify a.sql"]), 1);
    scene.write("b.sql", "1");
    scene.write("c.txt", "1");
    scene.changes(&["create b.sql"]);
    std::fs::remove_file(scene.root().join("b.sql")).unwrap();
    scene.changes(&["delete b.sql"]);
    scene.quiet();
}

#[test]
fn an_editor_that_renames_on_save_modifies() {
    for debounce in ["0ms", "50ms"] {
        let mut scene = Scene::new();
        scene.write("a.sql", "1");
        scene.watcher.watch(vec![watched(
            "t",
            &format!(r#"files: "*.sql", debounce: "{debounce}""#),
        )]);
        scene.quiet();
        // Like vim: the old file becomes the backup, the new one is written, the backup goes.
        let (file, backup) = (scene.root().join("a.sql"), scene.root().join("a.sql~"));
        std::fs::rename(&file, &backup).unwrap();
        scene.write("a.sql", "22");
        std::fs::remove_file(&backup).unwrap();
        assert_eq!(scene.changes(&["modify a.sql"]), 1, "{debounce}");
        // Like many others: a new file takes the old one's name.
        scene.write(".a.sql.swp", "333");
        std::fs::rename(scene.root().join(".a.sql.swp"), &file).unwrap();
        scene.changes(&["modify a.sql"]);
    }
}

#[test]
fn folders_that_come_later_and_go_are_watched() {
    let mut scene = Scene::new();
    scene.watcher.watch(vec![watched(
        "t",
        r#"files: "deep/er/**/*.sql", debounce: "20ms""#,
    )]);
    scene.quiet();
    for name in ["deep/er/a.sql", "deep/er/x/y/b.sql", "deep/other/c.sql"] {
        scene.write(name, "1");
    }
    scene.changes(&["create deep/er/a.sql", "create deep/er/x/y/b.sql"]);
    scene.write("deep/er/x/y/b.sql", "22");
    scene.changes(&["modify deep/er/x/y/b.sql"]);
    std::fs::remove_dir_all(scene.root().join("deep")).unwrap();
    scene.changes(&["delete deep/er/a.sql", "delete deep/er/x/y/b.sql"]);
    scene.write("deep/er/a.sql", "333");
    scene.changes(&["create deep/er/a.sql"]);
    // One that is moved in with all that is in it.
    std::fs::create_dir_all(scene.root().join("aside/z")).unwrap();
    std::fs::write(scene.root().join("aside/z/d.sql"), "1").unwrap();
    std::fs::rename(
        scene.root().join("aside"),
        scene.root().join("deep/er/moved"),
    )
    .unwrap();
    scene.changes(&["create deep/er/moved/z/d.sql"]);
}

#[test]
fn ignored_files_are_left_alone_until_they_are_not() {
    let mut scene = Scene::new();
    scene.write(".gitignore", "out/\n*.tmp\n");
    scene.write("out/a.sql", "1");
    scene
        .watcher
        .watch(vec![watched("t", r#"files: "**/*", debounce: "20ms""#)]);
    scene.quiet();
    scene.write("out/a.sql", "22");
    scene.write("b.tmp", "1");
    scene.quiet();
    scene.write(".gitignore", "*.tmp\n");
    scene.changes(&["modify .gitignore", "create out/a.sql"]);
}

#[test]
fn files_behind_links_are_watched() {
    let mut scene = Scene::new();
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::write(elsewhere.path().join("target"), "1").unwrap();
    // As Kubernetes mounts configuration: `..data` leads to the current version.
    scene.write("..v1/conf", "1");
    scene.write("..v2/conf", "22");
    let link =
        |to: &Path, name: &str| std::os::unix::fs::symlink(to, scene.root().join(name)).unwrap();
    link(&elsewhere.path().join("target"), "link");
    link(Path::new("..v1"), "..data");
    link(Path::new("..data/conf"), "conf");
    scene.watcher.watch(vec![watched(
        "t",
        r#"files: ["link", "conf"], debounce: "20ms""#,
    )]);
    scene.quiet();
    std::fs::write(elsewhere.path().join("target"), "22").unwrap();
    scene.changes(&["modify link"]);
    std::os::unix::fs::symlink("..v2", scene.root().join("..tmp")).unwrap();
    std::fs::rename(scene.root().join("..tmp"), scene.root().join("..data")).unwrap();
    scene.changes(&["modify conf"]);
}

#[test]
fn only_the_kinds_asked_for_fire_and_polling_sees_the_same() {
    let mut scene = Scene::new();
    scene.write("a", "1");
    scene.watcher.watch(vec![watched(
        "t",
        r#"files: "*", on: "delete", poll: "100ms", debounce: "0ms""#,
    )]);
    scene.quiet();
    scene.write("a", "22");
    scene.write("b", "22");
    scene.quiet();
    std::fs::remove_file(scene.root().join("a")).unwrap();
    assert_eq!(scene.changes(&["delete a"]), 1);
}

#[test]
fn what_changed_while_nobody_watched_is_told_once() {
    let mut scene = Scene::new();
    for name in ["a", "b", "c"] {
        scene.write(name, "1");
    }
    let trigger = watched("t", r#"files: "*", debounce: "20ms""#);
    scene.watcher.watch(vec![trigger.clone()]);
    let Some(FileEvent::Seen(seen)) = scene.next(Duration::from_secs(10)) else {
        panic!()
    };
    assert_eq!(seen.set.len(), 3);
    let known = |set: &[(String, String)]| {
        set.iter()
            .map(|(name, stamp)| (name.clone(), Stamp::parse(stamp).unwrap()))
            .collect()
    };
    let again = Watched {
        known: Some(known(&seen.set)),
        ..trigger
    };
    // The daemon was not there.
    let (sender, events) = unbounded_channel();
    scene.watcher = FileWatcher::start(scene.root().to_owned(), sender).unwrap();
    scene.events = events;
    scene.write("a", "22");
    std::fs::remove_file(scene.root().join("b")).unwrap();
    scene.watcher.watch(vec![again.clone()]);
    assert_eq!(scene.changes(&["modify a", "delete b"]), 1);
    scene.watcher.watch(vec![again]);
    scene.quiet();
}

#[test]
fn a_burst_of_ten_thousand_changes_is_one_firing() {
    let mut scene = Scene::new();
    std::fs::create_dir(scene.root().join("burst")).unwrap();
    scene
        .watcher
        .watch(vec![watched("t", r#"files: "**/*.sql", debounce: "1s""#)]);
    scene.quiet();
    for n in 0..10_000 {
        std::fs::write(scene.root().join(format!("burst/{n}.sql")), "1").unwrap();
    }
    let Some(FileEvent::Changed(_, changes, seen)) = scene.next(Duration::from_secs(60)) else {
        panic!()
    };
    assert_eq!((changes.len(), seen.set.len()), (10_000, 10_000));
    scene.quiet();
}
