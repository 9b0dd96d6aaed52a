use ccrun_kernel::Result;
use ccrun_kernel::event::Event;
use ccrun_kernel::rhai::Dynamic;
use ccrun_kernel::testing::{Scratch, TestRun};

fn events(script: &str) -> (Result<Dynamic>, Vec<Event>) {
    let folder = Scratch::new();
    let run = TestRun::new(
        &folder.0,
        vec![super::namespace(), crate::secret::namespace()],
    );
    let (result, records) = run.eval(script);
    (
        result,
        records.into_iter().map(|record| record.event).collect(),
    )
}

fn output(script: &str) -> Vec<String> {
    let (result, events) = events(script);
    if let Err(error) = result {
        panic!("{script}: {error:?}");
    }
    let texts = events.into_iter().filter_map(|event| match event {
        Event::Output { text } => Some(text),
        _ => None,
    });
    texts.collect()
}

#[test]
fn what_is_printed() {
    assert_eq!(
        output(
            r#"
            ui::heading("Containers");
            ui::table([#{ name: "web" }]);
            ui::table([]);
            ui::json(#{ a: [1] });
            ui::diff("a\n", "b\n");
            ui::diff("a\n", "a\n");
            "#
        ),
        [
            "\nContainers\n──────────",
            "name\n────\nweb",
            "(no rows)",
            "{\n  \"a\": [\n    1\n  ]\n}",
            "--- old\n+++ new\n@@ -1 +1 @@\n-a\n+b",
        ]
    );
}

#[test]
fn json_masks_secrets() {
    assert_eq!(
        output(r#"ui::json(#{ password: secret::generate(32, #{ name: "PW" }) })"#),
        ["{\n  \"password\": \"‹secret PW›\"\n}"]
    );
}

#[test]
fn progress_ends_once_and_at_the_latest_with_the_script() {
    for script in [
        r#"let p = ui::progress("Copying", 3); p.advance(2); p.advance(); p.done(); p.done(); p.advance(5);"#,
        r#"let p = ui::progress("Copying", 3); p.set(3);"#,
    ] {
        let (result, events) = events(script);
        drop(result.unwrap());
        let ends: Vec<_> = events
            .into_iter()
            .filter_map(|event| match event {
                Event::Progress {
                    label,
                    done,
                    total,
                    finished: true,
                    ..
                } => Some((label, done, total)),
                _ => None,
            })
            .collect();
        assert_eq!(ends, [("Copying".to_owned(), 3, Some(3))], "{script}");
    }
}

#[test]
fn two_at_the_same_time_are_told_apart() {
    let (result, events) =
        events(r#"let a = ui::progress("A"); let b = ui::progress("B"); a.set(1); b.set(1);"#);
    drop(result.unwrap());
    let mut ids: Vec<u64> = events
        .into_iter()
        .filter_map(|event| match event {
            Event::Progress {
                id, finished: true, ..
            } => Some(id),
            _ => None,
        })
        .collect();
    ids.dedup();
    assert_eq!(ids.len(), 2);
}
