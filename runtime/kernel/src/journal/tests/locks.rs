use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn holder(run: &str) -> Holder {
    Holder {
        run: Some(run.to_owned()),
        person: "ann".to_owned(),
        process: Process::current(),
        reason: "backup".to_owned(),
        since: time("2026-01-02T03:04:05Z"),
    }
}

fn by_hand() -> Holder {
    Holder {
        run: None,
        process: dead_process(),
        ..holder("")
    }
}

async fn lock(scene: &Scene, holder: &Holder, lease: Duration) -> LockOutcome {
    scene.journal.lock("backup", holder, lease).await.unwrap()
}

fn held_by(outcome: LockOutcome) -> Holder {
    match outcome {
        LockOutcome::HeldBy(held) => held.holder,
        other => panic!("not held: {other:?}"),
    }
}

fn taken_from(outcome: LockOutcome) -> Holder {
    match outcome {
        LockOutcome::TakenOver(held) => held.holder,
        other => panic!("not taken over: {other:?}"),
    }
}

#[tokio::test]
async fn one_holds_a_lock_and_is_named() {
    let scene = Scene::new().await;
    assert_eq!(
        lock(&scene, &holder("a"), HOUR).await,
        LockOutcome::Acquired
    );
    assert_eq!(held_by(lock(&scene, &holder("b"), HOUR).await), holder("a"));
    assert_eq!(
        lock(&scene, &holder("a"), HOUR).await,
        LockOutcome::Acquired,
        "its own again"
    );
    let locks = scene.other().await.locks().await.unwrap();
    assert_eq!(
        (locks.len(), locks[0].name.as_str(), locks[0].stale),
        (1, "backup", false)
    );
    assert_eq!(locks[0].holder, holder("a"));
}

#[tokio::test]
async fn a_lock_is_released_by_its_holder_only() {
    let scene = Scene::new().await;
    lock(&scene, &holder("a"), HOUR).await;
    assert!(!scene.journal.release_lock("backup", "b").await.unwrap());
    assert!(!scene.journal.renew_lock("backup", "b", HOUR).await.unwrap());
    assert!(scene.journal.renew_lock("backup", "a", HOUR).await.unwrap());
    assert!(scene.journal.release_lock("backup", "a").await.unwrap());
    assert!(
        !scene.journal.renew_lock("backup", "a", HOUR).await.unwrap(),
        "it was lost"
    );
    assert_eq!(
        lock(&scene, &holder("b"), HOUR).await,
        LockOutcome::Acquired
    );
}

#[tokio::test]
async fn the_lock_of_a_dead_process_is_taken_over() {
    let scene = Scene::new().await;
    let dead = Holder {
        process: dead_process(),
        ..holder("a")
    };
    lock(&scene, &dead, HOUR).await;
    assert!(scene.journal.locks().await.unwrap()[0].stale);
    assert_eq!(taken_from(lock(&scene, &holder("b"), HOUR).await), dead);
    assert_eq!(held_by(lock(&scene, &holder("c"), HOUR).await), holder("b"));
}

#[tokio::test]
async fn a_living_process_keeps_its_lock_beyond_the_lease() {
    let scene = Scene::new().await;
    lock(&scene, &holder("a"), Duration::ZERO).await;
    assert_eq!(held_by(lock(&scene, &holder("b"), HOUR).await), holder("a"));
}

#[tokio::test]
async fn on_another_host_the_lease_decides() {
    let scene = Scene::new().await;
    let elsewhere = Holder {
        process: process_elsewhere(),
        ..holder("a")
    };
    lock(&scene, &elsewhere, HOUR).await;
    assert_eq!(held_by(lock(&scene, &holder("b"), HOUR).await), elsewhere);
    scene
        .journal
        .renew_lock("backup", "a", Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(
        taken_from(lock(&scene, &holder("b"), HOUR).await),
        elsewhere
    );
}

#[tokio::test]
async fn a_lock_taken_by_hand_stays_until_it_is_taken_away() {
    let scene = Scene::new().await;
    assert_eq!(
        lock(&scene, &by_hand(), Duration::ZERO).await,
        LockOutcome::Acquired
    );
    assert_eq!(held_by(lock(&scene, &holder("b"), HOUR).await), by_hand());
    assert_eq!(held_by(lock(&scene, &by_hand(), HOUR).await), by_hand());
    let locks = scene.journal.locks().await.unwrap();
    assert_eq!((locks[0].expires, locks[0].stale), (None, false));
    let released = scene
        .journal
        .force_release("backup")
        .await
        .unwrap()
        .unwrap();
    assert_eq!(released.holder, by_hand());
    assert_eq!(scene.journal.force_release("backup").await.unwrap(), None);
    assert_eq!(
        lock(&scene, &holder("b"), HOUR).await,
        LockOutcome::Acquired
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_who_try_at_once_one_gets_it() {
    let scene = Scene::new().await;
    let other = scene.other().await;
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..32 {
        let journal = if n % 2 == 0 {
            scene.journal.clone()
        } else {
            other.clone()
        };
        tasks.spawn(async move {
            journal
                .lock("backup", &holder(&format!("run{n}")), HOUR)
                .await
                .unwrap()
        });
    }
    let outcomes = tasks.join_all().await;
    let acquired = outcomes
        .iter()
        .filter(|outcome| **outcome == LockOutcome::Acquired)
        .count();
    assert_eq!(acquired, 1, "{outcomes:?}");
}
