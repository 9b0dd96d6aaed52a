use sqlx::Executor as _;

use super::*;

#[tokio::test]
async fn a_finished_step_survives_a_crash_with_everything_before_it() {
    let scene = Scene::with_run().await;
    let journal = &scene.journal;
    for n in 0..40 {
        journal.event("r", json!({ "n": n }));
    }
    journal.effect("r", effect(1, "change"));
    journal.start_step("r", &new_step("B")).await.unwrap();
    journal
        .finish_step("r", &finished("A", json!([1, "two"])))
        .await
        .unwrap();

    let (_copy, found) = scene.after_crash().await;
    let steps = found.steps("r").await.unwrap();
    let stand: Vec<_> = steps
        .iter()
        .map(|s| (s.key.path.as_str(), s.status))
        .collect();
    assert_eq!(stand, [("B", StepStatus::Running), ("A", StepStatus::Done)]);
    assert_eq!(steps[1].result, Some(json!([1, "two"])));
    assert_eq!(found.effects("r").await.unwrap(), [effect(1, "change")]);
    let events = found.events("r").await.unwrap();
    assert_eq!(
        events,
        (0..40).map(|n| json!({ "n": n })).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn runs_answers_and_deferred_actions_survive_a_crash() {
    let scene = Scene::with_run().await;
    let journal = &scene.journal;
    journal
        .answer("r", "Deploy?Go on?", &json!(false))
        .await
        .unwrap();
    journal
        .answer("r", "Deploy?Go on?", &json!(true))
        .await
        .unwrap();
    journal
        .defer_added("r", "1", Some("Deploy"), &json!({ "line": 7 }))
        .await
        .unwrap();
    journal
        .defer_added("r", "2", None, &json!(null))
        .await
        .unwrap();
    journal.defer_done("r", "2").await.unwrap();
    let recap = Some(json!({ "steps": 0 }));
    journal
        .finish_run(
            "r",
            RunStatus::Failed,
            Some(json!("no")),
            recap,
            Timestamp::now(),
        )
        .await
        .unwrap();

    let (_copy, found) = scene.after_crash().await;
    assert_eq!(found.run("r").await.unwrap().status, RunStatus::Failed);
    let answers = found.answers("r").await.unwrap();
    assert_eq!(
        answers.into_iter().collect::<Vec<_>>(),
        [("Deploy?Go on?".to_owned(), json!(true))]
    );
    let left = DeferredRow {
        key: "1".into(),
        step: Some("Deploy".into()),
        action: json!({ "line": 7 }),
    };
    assert_eq!(found.deferred("r").await.unwrap(), [left]);
}

#[tokio::test]
async fn flush_makes_buffered_rows_durable() {
    let scene = Scene::with_run().await;
    scene.journal.event("r", json!("kept"));
    scene.journal.flush().await.unwrap();
    let (_copy, found) = scene.after_crash().await;
    assert_eq!(found.events("r").await.unwrap(), [json!("kept")]);
}

#[tokio::test]
async fn closing_and_dropping_write_what_is_left() {
    let scene = Scene::with_run().await;
    scene.journal.event("r", json!("first"));
    scene.journal.close().await.unwrap();
    let other = scene.other().await;
    assert_eq!(other.events("r").await.unwrap(), [json!("first")]);
    other.event("r", json!("second"));
    drop(other);
    let third = scene.other().await;
    until(async || third.events("r").await.unwrap().len() == 2).await;
}

#[tokio::test]
async fn buffered_rows_are_written_without_anybody_asking() {
    let scene = Scene::with_run().await;
    let other = scene.other().await;
    for n in 1..=2 {
        // The second time the writer has to wake from its sleep again.
        scene.journal.event("r", json!(n));
        until(async || other.events("r").await.unwrap().len() == n).await;
    }
}

#[tokio::test]
async fn a_wrong_row_does_not_take_others_with_it() {
    let scene = Scene::with_run().await;
    scene.journal.event("never begun", json!(1));
    scene.journal.event("r", json!(2));
    scene
        .journal
        .finish_step("r", &finished("A", json!(3)))
        .await
        .unwrap();
    assert_eq!(scene.journal.events("r").await.unwrap(), [json!(2)]);
    assert_eq!(scene.journal.steps("r").await.unwrap().len(), 1);
    // Whoever handed over the wrong row is told once, even if another's commit met it first.
    let told = scene.journal.commit("never begun".into()).await;
    assert_eq!(told.unwrap_err().kind(), "journal.failed");
    scene.journal.commit("never begun".into()).await.unwrap();
    let error = scene
        .journal
        .finish_step("never begun", &finished("A", json!(3)))
        .await;
    assert_eq!(error.unwrap_err().kind(), "journal.failed");
}

#[tokio::test]
async fn rows_that_could_not_be_written_follow_when_that_works() {
    let scene = Scene::with_run().await;
    // SQLite gives the result code of a full disk when the file may not grow.
    set(&scene.journal, "PRAGMA max_page_count = 1").await;
    scene.journal.event("r", json!("x".repeat(500_000)));
    let step = finished("A", json!(1));
    let error = scene.journal.finish_step("r", &step).await.unwrap_err();
    assert_eq!(error.kind(), "journal.disk_full");
    // There is room for the step, once nothing big stands before it.
    let mut rows = scene.journal.buffer().take().rows;
    rows.retain(|row| row.weight() < 100_000);
    scene.journal.buffer().put_back(rows);
    scene.journal.flush().await.unwrap();
    assert_eq!(
        scene.other().await.steps("r").await.unwrap()[0].result,
        Some(json!(1))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_journals_and_many_tasks_record_at_once() {
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
            let run = format!("run{n}");
            journal.start_run(&new_run(&run)).await.unwrap();
            for m in 0..20 {
                let path = format!("Step {m}");
                journal.event(&run, json!(m));
                journal.start_step(&run, &new_step(&path)).await.unwrap();
                journal
                    .finish_step(&run, &finished(&path, json!(m)))
                    .await
                    .unwrap();
            }
            journal
                .finish_run(&run, RunStatus::Done, None, None, Timestamp::now())
                .await
                .unwrap();
        });
    }
    tasks.join_all().await;
    for n in 0..32 {
        let run = format!("run{n}");
        assert_eq!(other.steps(&run).await.unwrap().len(), 20, "{run}");
        assert_eq!(
            other.events(&run).await.unwrap(),
            (0..20).map(|m| json!(m)).collect::<Vec<_>>()
        );
        assert_eq!(
            scene.journal.run(&run).await.unwrap().status,
            RunStatus::Done
        );
    }
}

#[tokio::test]
async fn many_threads_without_a_runtime_may_hand_over_events() {
    let scene = Scene::with_run().await;
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..500).for_each(|n| scene.journal.event("r", json!(n))));
        }
    });
    assert_eq!(scene.journal.events("r").await.unwrap().len(), 4000);
}

#[tokio::test]
async fn a_flood_is_bounded_and_says_what_it_lost() {
    let scene = Scene::with_run().await;
    // Nothing can be written while another process writes.
    let mut other = schema::open_again(scene.journal.path(), false)
        .await
        .unwrap();
    other.execute("BEGIN IMMEDIATE").await.unwrap();
    let flood = 80_000;
    for n in 0..flood {
        scene.journal.event("r", json!(n));
    }
    scene.journal.effect("r", effect(1, "read"));
    scene.journal.effect("r", effect(2, "change"));
    let room = tokio::time::timeout(Duration::from_millis(1), scene.journal.room());
    assert!(room.await.is_err(), "whoever can wait, waits");
    other.execute("COMMIT").await.unwrap();
    scene.journal.room().await;
    scene
        .journal
        .finish_step("r", &finished("A", json!(1)))
        .await
        .unwrap();

    let events = scene.journal.events("r").await.unwrap();
    let gap = events.last().unwrap();
    assert_eq!(gap["event"], "journal_gap");
    let kept = events.len() - 1;
    assert_eq!(
        kept + usize::try_from(gap["lost"].as_u64().unwrap()).unwrap(),
        flood + 1
    );
    assert!(kept < flood, "nothing was dropped");
    assert_eq!(
        scene.journal.effects("r").await.unwrap(),
        [effect(2, "change")]
    );
    assert_eq!(scene.journal.steps("r").await.unwrap().len(), 1);
}

#[tokio::test]
async fn somebody_who_stops_waiting_breaks_nothing() {
    let scene = Scene::with_run().await;
    for n in 0..200 {
        let path = format!("Step {n}");
        let step = finished(&path, json!(n));
        let patience = Duration::from_micros(n * 5);
        let _ = tokio::time::timeout(patience, scene.journal.finish_step("r", &step)).await;
    }
    scene.journal.flush().await.unwrap();
    let mut results: Vec<_> = scene
        .journal
        .steps("r")
        .await
        .unwrap()
        .into_iter()
        .filter_map(|s| s.result)
        .collect();
    results.sort_by_key(Value::as_u64);
    assert_eq!(results, (0..200).map(|n| json!(n)).collect::<Vec<_>>());
}
