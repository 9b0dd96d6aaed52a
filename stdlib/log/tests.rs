use ccrun_kernel::event::{Event, Level};
use ccrun_kernel::testing::{Scratch, TestRun};

fn messages(script: &str) -> Vec<(Level, String)> {
    let folder = Scratch::new();
    let run = TestRun::new(
        &folder.0,
        vec![super::namespace(), crate::secret::namespace()],
    );
    let (result, records) = run.eval(script);
    if let Err(error) = result {
        panic!("{script}: {error:?}");
    }
    let logs = records.into_iter().filter_map(|record| match record.event {
        Event::Log { level, message } => Some((level, message)),
        _ => None,
    });
    logs.collect()
}

#[test]
fn each_level_has_its_word_and_fields_follow() {
    assert_eq!(
        messages(
            r#"
            log::debug("asked");
            log::info("pulled", #{ image: "caddy:2", layers: 7, note: "two words", empty: "" });
            log::warn("ends soon");
            log::error("no answer", #{ tags: ["a"] });
            "#
        ),
        [
            (Level::Debug, "asked".to_owned()),
            (
                Level::Info,
                r#"pulled empty="" image=caddy:2 layers=7 note="two words""#.to_owned()
            ),
            (Level::Warn, "ends soon".to_owned()),
            (Level::Error, r#"no answer tags=["a"]"#.to_owned()),
        ]
    );
}

#[test]
fn a_secret_is_masked_in_fields() {
    let logged =
        messages(r#"log::info("signed in", #{ token: secret::generate(32, #{ name: "TOKEN" }) })"#);
    assert_eq!(
        logged,
        [(Level::Info, "signed in token=‹secret TOKEN›".to_owned())]
    );
}
