use ccrun_kernel::journal::Process;
use ccrun_kernel::runbook::trigger::RunPolicy;
use serde_json::{Map, json};

use super::*;

fn new(dedup: &str) -> NewFire {
    NewFire {
        dedup: dedup.to_owned(),
        trigger: "t1".to_owned(),
        runbook: "backup".to_owned(),
        path: "backup.rhai".to_owned(),
        source: "h".to_owned(),
        cause: "schedule",
        payload: json!({ "kind": "schedule" }),
        params: Map::new(),
        policy: FirePolicy::of(&RunPolicy::default()),
        chain: vec!["a".to_owned(), "b".to_owned()],
        due: Timestamp::now(),
        not_before: Timestamp::now(),
        status: Status::Queued,
        error: None,
        run: None,
    }
}

async fn one(ledger: &Ledger, dedup: &str) -> Option<Fire> {
    let fires = ledger
        .record(vec![new(dedup)], With::default())
        .await
        .unwrap();
    fires.into_iter().next()
}

async fn a_firing_is_recorded_once_and_claimed_once(ledger: Ledger, other: Ledger) {
    let fire = one(&ledger, "x").await.unwrap();
    assert_eq!(fire.chain, ["a", "b"]);
    // Noticed again, by another daemon: nothing.
    assert!(one(&other, "x").await.is_none());

    let me = Process::current();
    assert!(
        ledger.claim(&fire.id, "r1", &me).await.unwrap().is_none(),
        "not started yet"
    );
    assert!(ledger.start(&fire.id, "r1").await.unwrap());
    assert!(
        !other.start(&fire.id, "r2").await.unwrap(),
        "somebody else was first"
    );
    // Its daemon died before the process claimed it: started again under another run.
    assert!(other.take_back(&fire.id, "r1").await.unwrap());
    assert!(other.start(&fire.id, "r3").await.unwrap());
    assert!(
        ledger.claim(&fire.id, "r1", &me).await.unwrap().is_none(),
        "too late"
    );
    let claimed = other.claim(&fire.id, "r3", &me).await.unwrap().unwrap();
    assert_eq!(
        (claimed.status, claimed.process),
        (Status::Running, Some(me))
    );
    assert!(!other.take_back(&fire.id, "r3").await.unwrap());

    assert!(
        !ledger
            .finish(&fire.id, "r1", Status::Done, None)
            .await
            .unwrap()
    );
    assert!(
        ledger
            .finish(&fire.id, "r3", Status::Failed, Some("no"))
            .await
            .unwrap()
    );
    assert_eq!(ledger.untold().await.unwrap().len(), 1);
    assert!(
        ledger
            .retry(&fire.id, "r3", Timestamp::now(), "again")
            .await
            .unwrap()
    );
    let again = ledger.fire(&fire.id).await.unwrap().unwrap();
    assert_eq!(
        (again.status, again.attempt, again.run),
        (Status::Queued, 2, None)
    );
}

async fn what_belongs_together_is_recorded_together(ledger: Ledger, _other: Ledger) {
    let at: Timestamp = "2026-03-29T01:00:00Z".parse().unwrap();
    let changes = FileChanges {
        trigger: "t1".to_owned(),
        set: (0..1200)
            .map(|n| (format!("f{n}"), n.to_string()))
            .collect(),
        removed: Vec::new(),
    };
    let with = With {
        cursor: Some(("t1".to_owned(), at)),
        files: Some(changes),
        ..With::default()
    };
    let fires = ledger
        .record(vec![new("x"), new("x"), new("y")], with)
        .await
        .unwrap();
    assert_eq!(fires.len(), 2);
    assert!(fires[0].id < fires[1].id);
    assert_eq!(ledger.cursor("t1").await.unwrap(), Some(at));
    assert_eq!(ledger.files("t1").await.unwrap().len(), 1200);

    let gone = FileChanges {
        trigger: "t1".to_owned(),
        set: vec![("f1".to_owned(), "new".to_owned())],
        removed: (2..1200).map(|n| format!("f{n}")).collect(),
    };
    assert!(
        ledger
            .merge(&fires[0].id, &json!({ "count": 2 }), gone)
            .await
            .unwrap()
    );
    let files: Vec<_> = ledger.files("t1").await.unwrap().into_iter().collect();
    assert_eq!(
        files,
        [("f0".into(), "0".into()), ("f1".into(), "new".into())]
    );
    assert!(
        ledger
            .settle(&fires[0].id, Status::Skipped, "at work")
            .await
            .unwrap()
    );
    assert!(
        !ledger
            .merge(&fires[0].id, &json!({}), FileChanges::default())
            .await
            .unwrap()
    );
    assert_eq!(ledger.open_fires().await.unwrap().len(), 1);
}

async fn recovery_is_told_from_success(ledger: Ledger, _other: Ledger) {
    for (failing, before) in [
        (false, false),
        (true, false),
        (true, true),
        (false, true),
        (false, false),
    ] {
        assert_eq!(ledger.is_failing("backup").await.unwrap(), before);
        let with = With {
            last: Some(("backup".to_owned(), failing)),
            ..With::default()
        };
        ledger.record(Vec::new(), with).await.unwrap();
    }
    assert!(ledger.last().await.unwrap()["backup"].success.is_some());
    ledger.stop("t1", "backup", "too often").await.unwrap();
    assert_eq!(ledger.stopped().await.unwrap()[0].reason, "too often");
    assert_eq!(ledger.go_on("backup").await.unwrap(), 1);
}

/// A database of its own.
fn database() -> String {
    let postgres = ccrun_tests::postgres::Postgres::shared();
    postgres.url_of(&postgres.create_database())
}

#[tokio::test]
async fn a_firing_is_recorded_once_and_claimed_once_in_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Ledger::open(folder.path());
    a_firing_is_recorded_once_and_claimed_once(open().await.unwrap(), open().await.unwrap()).await;
}

#[tokio::test]
async fn a_firing_is_recorded_once_and_claimed_once_in_postgres() {
    let url = database();
    let open = || Ledger::open_postgres(&url);
    a_firing_is_recorded_once_and_claimed_once(open().await.unwrap(), open().await.unwrap()).await;
}

#[tokio::test]
async fn what_belongs_together_is_recorded_together_in_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Ledger::open(folder.path());
    what_belongs_together_is_recorded_together(open().await.unwrap(), open().await.unwrap()).await;
}

#[tokio::test]
async fn what_belongs_together_is_recorded_together_in_postgres() {
    let url = database();
    let open = || Ledger::open_postgres(&url);
    what_belongs_together_is_recorded_together(open().await.unwrap(), open().await.unwrap()).await;
}

#[tokio::test]
async fn recovery_is_told_from_success_in_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Ledger::open(folder.path());
    recovery_is_told_from_success(open().await.unwrap(), open().await.unwrap()).await;
}

#[tokio::test]
async fn recovery_is_told_from_success_in_postgres() {
    let url = database();
    let open = || Ledger::open_postgres(&url);
    recovery_is_told_from_success(open().await.unwrap(), open().await.unwrap()).await;
}

#[tokio::test]
async fn one_daemon_leads_in_postgres_until_its_connection_ends() {
    let url = database();
    Ledger::open_postgres(&url).await.unwrap();
    let mut first = crate::Lead::in_postgres(&url).await.unwrap().unwrap();
    assert!(first.is_held().await);
    assert!(crate::Lead::in_postgres(&url).await.unwrap().is_err());
    drop(first);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while crate::Lead::in_postgres(&url).await.unwrap().is_err() {
        assert!(
            std::time::Instant::now() < deadline,
            "the server takes the lock back"
        );
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn many_at_once_record_and_start_each_firing_once() {
    let folder = tempfile::tempdir().unwrap();
    let url = database();
    for shared in [false, true] {
        let mut tasks = Vec::new();
        for _ in 0..4 {
            let ledger = match shared {
                false => Ledger::open(folder.path()).await.unwrap(),
                true => Ledger::open_postgres(&url).await.unwrap(),
            };
            tasks.push(tokio::spawn(async move {
                let (mut recorded, mut started) = (0, 0);
                for n in 0..40 {
                    recorded += usize::from(one(&ledger, &n.to_string()).await.is_some());
                    for fire in ledger.open_fires().await.unwrap() {
                        let run = uuid::Uuid::now_v7().to_string();
                        started += usize::from(ledger.start(&fire.id, &run).await.unwrap());
                    }
                }
                (recorded, started)
            }));
        }
        let mut all = (0, 0);
        for task in tasks {
            let (recorded, started) = task.await.unwrap();
            all = (all.0 + recorded, all.1 + started);
        }
        assert_eq!(all, (40, 40), "shared: {shared}");
    }
}
