use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn a_new_journal_is_for_its_owner_alone() {
    let above = tempfile::tempdir().unwrap();
    let folder = above.path().join("state/ccrun");
    let journal = Journal::open(&folder).await.unwrap();
    journal.start_run(&new_run("r")).await.unwrap();
    assert_eq!(journal.path(), folder.join("journal.db"));
    assert_eq!(mode(&folder), 0o700);
    for file in ["journal.db", "journal.db-wal", "journal.db-shm"] {
        assert_eq!(mode(&folder.join(file)), 0o600, "{file}");
    }
}

#[tokio::test]
async fn the_settings_are_the_durable_ones() {
    let scene = Scene::new().await;
    let settings: (String, i64, i64, i64) = scene
        .journal
        .work(|connection| {
            Box::pin(async move {
                let sql = "SELECT journal_mode, synchronous, foreign_keys, timeout FROM
                    pragma_journal_mode, pragma_synchronous, pragma_foreign_keys, pragma_busy_timeout";
                Ok(sqlx::query_as(sql).fetch_one(connection).await?)
            })
        })
        .await
        .unwrap();
    assert_eq!(settings, ("wal".to_owned(), 2, 1, 5000));
}

#[tokio::test]
async fn a_journal_of_a_newer_version_is_refused_and_left_as_it_is() {
    let scene = Scene::with_run().await;
    let path = scene.journal.path().to_owned();
    scene.journal.close().await.unwrap();
    sql(
        &path,
        "PRAGMA user_version = 99; CREATE TABLE from_the_future (x)",
    )
    .await;
    let before = std::fs::read(&path).unwrap();

    let error = Journal::open(scene.folder.path()).await.unwrap_err();
    assert_eq!(error.kind(), "journal.newer");
    let supported = format!("up to version {SCHEMA_VERSION}");
    for part in ["version 99", &supported, path.to_str().unwrap()] {
        assert!(error.message().contains(part), "{error}");
    }
    assert!(error.hint_text().unwrap().contains("upgrade ccrun"));
    assert!(
        std::fs::read(&path).unwrap() == before,
        "the file was touched"
    );
}

#[tokio::test]
async fn a_damaged_file_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let damaged = "this was a journal once ".repeat(1000);
    std::fs::write(&path, &damaged).unwrap();
    let error = Journal::open(folder.path()).await.unwrap_err();
    assert_eq!(error.kind(), "journal.corrupt");
    assert!(error.message().contains(path.to_str().unwrap()), "{error}");
    assert!(
        error.hint_text().unwrap().contains("mv "),
        "{:?}",
        error.hint_text()
    );
    assert_eq!(std::fs::read_to_string(&path).unwrap(), damaged);
}

#[tokio::test]
async fn damage_inside_the_file_is_told_as_damage() {
    let scene = Scene::with_run().await;
    let path = scene.journal.path().to_owned();
    for n in 0..50 {
        let step = finished(&format!("Step {n}"), json!("x".repeat(500)));
        scene.journal.finish_step("r", &step).await.unwrap();
    }
    scene.journal.close().await.unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[4096..].fill(0x5a);
    std::fs::write(&path, &bytes).unwrap();
    let read = async { Journal::open(scene.folder.path()).await?.steps("r").await };
    assert_eq!(read.await.unwrap_err().kind(), "journal.corrupt");
    assert!(
        std::fs::read(&path).unwrap() == bytes,
        "the file was touched"
    );
}

#[tokio::test]
async fn the_database_of_another_program_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    sql(&path, "CREATE TABLE contacts (name)").await;
    let error = Journal::open(folder.path()).await.unwrap_err();
    assert_eq!(error.kind(), "journal.corrupt");
    assert!(error.message().contains("another program"), "{error}");
}

#[tokio::test]
async fn a_folder_that_is_a_file_is_a_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state");
    std::fs::write(&file, "").unwrap();
    let error = Journal::open(&file).await.unwrap_err();
    assert_eq!(error.kind(), "journal.cannot_open");
    assert!(error.message().contains("state/journal.db"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_may_open_a_new_journal_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut opening = tokio::task::JoinSet::new();
    for n in 0..16 {
        let folder = folder.path().to_owned();
        opening.spawn(async move {
            let journal = Journal::open(&folder).await.unwrap();
            journal
                .start_run(&new_run(&format!("run{n}")))
                .await
                .unwrap();
            journal.close().await.unwrap();
        });
    }
    opening.join_all().await;
    let journal = Journal::open(folder.path()).await.unwrap();
    assert_eq!(journal.runs(&RunFilter::default()).await.unwrap().len(), 16);
}

#[tokio::test]
async fn what_sqlite_refuses_is_said_for_an_operator() {
    let scene = Scene::with_run().await;
    // SQLite itself gives the result codes of a full disk and of a read-only one.
    for (pragma, kind, hint) in [
        (
            "PRAGMA max_page_count = 1",
            "journal.disk_full",
            "free space",
        ),
        ("PRAGMA query_only = on", "journal.read_only", "writable"),
    ] {
        let other = scene.other().await;
        set(&other, pragma).await;
        let step = finished("A", json!("x".repeat(2_000_000)));
        let error = other.finish_step("r", &step).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.message().contains("journal.db"), "{error}");
        assert!(
            error.hint_text().unwrap().contains(hint),
            "{:?}",
            error.hint_text()
        );
    }
}

#[tokio::test]
async fn a_journal_locked_for_too_long_is_busy_and_worth_another_try() {
    let scene = Scene::with_run().await;
    set(&scene.journal, "PRAGMA busy_timeout = 10").await;
    let mut other = schema::open_again(scene.journal.path(), false)
        .await
        .unwrap();
    sqlx::raw_sql("BEGIN IMMEDIATE")
        .execute(&mut other)
        .await
        .unwrap();
    let step = finished("A", json!(1));
    let error = scene.journal.finish_step("r", &step).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), ("journal.busy", true));
    assert!(error.message().contains("journal.db"), "{error}");
    sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();
    scene.journal.flush().await.unwrap();
    assert_eq!(
        scene.journal.steps("r").await.unwrap().len(),
        1,
        "it followed"
    );
}

#[tokio::test]
async fn a_closed_journal_says_so() {
    let scene = Scene::with_run().await;
    scene.journal.close().await.unwrap();
    scene.journal.close().await.unwrap();
    let error = scene
        .journal
        .finish_step("r", &finished("A", json!(1)))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), "journal.closed");
    (0..10_000).for_each(|n| scene.journal.event("r", json!(n)));
    scene.journal.room().await;
}
