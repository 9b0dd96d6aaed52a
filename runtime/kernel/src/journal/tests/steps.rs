use super::*;

#[tokio::test]
async fn a_step_is_read_back_as_it_was_recorded() {
    let scene = Scene::with_run().await;
    let step = FinishedStep {
        status: StepStatus::Failed,
        attempt: 3,
        result: None,
        result_kept: false,
        error: Some(json!({ "kind": "pg.failed" })),
        ..finished("Deploy/Pull\u{0} images", json!(null))
    };
    scene.journal.finish_step("r", &step).await.unwrap();
    assert_eq!(
        scene.journal.steps("r").await.unwrap(),
        [StepRow {
            key: step.key,
            body: step.body,
            status: step.status,
            attempt: 3,
            result: None,
            result_kept: false,
            started: step.started,
            elapsed: Some(step.elapsed),
            error: step.error,
            restarted: None,
        }]
    );
}

#[tokio::test]
async fn steps_are_told_apart_by_path_occurrence_and_inputs() {
    let scene = Scene::with_run().await;
    let keys = [
        key("A"),
        key("B"),
        StepKey {
            occurrence: 2,
            ..key("A")
        },
        StepKey {
            inputs: "i2".to_owned(),
            ..key("A")
        },
    ];
    for key in &keys {
        let step = FinishedStep {
            key: key.clone(),
            ..finished("", json!(1))
        };
        scene.journal.finish_step("r", &step).await.unwrap();
    }
    let found: Vec<StepKey> = scene
        .journal
        .steps("r")
        .await
        .unwrap()
        .into_iter()
        .map(|step| step.key)
        .collect();
    assert_eq!(found, keys);
}

#[tokio::test]
async fn steps_come_in_the_order_in_which_they_began() {
    let scene = Scene::with_run().await;
    for path in ["Outer", "Outer/1", "Outer/2"] {
        scene
            .journal
            .start_step("r", &new_step(path))
            .await
            .unwrap();
    }
    for path in ["Outer/2", "Outer/1", "Outer"] {
        scene
            .journal
            .finish_step("r", &finished(path, json!(path)))
            .await
            .unwrap();
    }
    let steps = scene.journal.steps("r").await.unwrap();
    let paths: Vec<_> = steps.iter().map(|step| step.key.path.as_str()).collect();
    assert_eq!(paths, ["Outer", "Outer/1", "Outer/2"]);
    assert!(
        steps
            .iter()
            .all(|step| step.status == StepStatus::Done && step.restarted.is_none())
    );
}

#[tokio::test]
async fn a_finished_step_stays_until_a_newer_finish() {
    let scene = Scene::with_run().await;
    let journal = &scene.journal;
    journal
        .finish_step("r", &finished("A", json!("first")))
        .await
        .unwrap();
    let again = NewStep {
        body: "b2".to_owned(),
        ..new_step("A")
    };
    journal.start_step("r", &again).await.unwrap();
    let step = journal.steps("r").await.unwrap().remove(0);
    assert_eq!((step.status, step.body.as_str()), (StepStatus::Done, "b1"));
    assert_eq!(step.result, Some(json!("first")));
    assert_eq!(
        step.restarted,
        Some(again.started),
        "it may be half-way between now"
    );
    let second = FinishedStep {
        body: "b2".to_owned(),
        ..finished("A", json!("second"))
    };
    journal.finish_step("r", &second).await.unwrap();
    let step = journal.steps("r").await.unwrap().remove(0);
    assert_eq!((step.result, step.restarted), (Some(json!("second")), None));
    assert_eq!(step.body, "b2");
}

#[tokio::test]
async fn a_step_that_never_ended_is_running_from_its_last_start() {
    let scene = Scene::with_run().await;
    let first = new_step("A");
    let second = NewStep {
        attempt: 2,
        body: "b2".to_owned(),
        ..new_step("A")
    };
    for step in [&first, &second] {
        scene.journal.start_step("r", step).await.unwrap();
        scene.journal.flush().await.unwrap();
    }
    let step = scene.journal.steps("r").await.unwrap().remove(0);
    assert_eq!((step.status, step.attempt), (StepStatus::Running, 2));
    assert_eq!((step.started, step.restarted), (second.started, None));
    assert_eq!((step.body.as_str(), step.elapsed), ("b2", None));
}

#[tokio::test]
async fn a_result_too_deep_to_read_back_is_not_kept() {
    let scene = Scene::with_run().await;
    let deep = (0..500).fold(json!(1), |inner, _| json!([inner]));
    scene.journal.event("r", deep.clone());
    scene
        .journal
        .finish_step("r", &finished("A", deep))
        .await
        .unwrap();
    let step = scene.journal.steps("r").await.unwrap().remove(0);
    assert_eq!(
        (step.status, step.result, step.result_kept),
        (StepStatus::Done, None, false)
    );
    assert_eq!(scene.journal.events("r").await.unwrap().len(), 1);
}
