use super::*;

async fn kind_of(journal: &Journal, prefix: &str) -> String {
    journal.run(prefix).await.unwrap_err().kind().to_owned()
}

#[tokio::test]
async fn a_run_is_read_back_as_it_was_recorded() {
    let scene = Scene::with_run().await;
    let run = scene.journal.run("r").await.unwrap();
    let new = new_run("r");
    assert_eq!(
        run,
        RunRow {
            id: new.id,
            runbook: new.runbook,
            source_hash: new.source_hash,
            target: new.target,
            params: new.params,
            mode: new.mode,
            parent: new.parent,
            user: new.user,
            process: new.process,
            status: RunStatus::Running,
            attempt: 1,
            started: new.started,
            finished: None,
            error: None,
            recap: None,
        }
    );
    assert_eq!(scene.journal.source("r").await.unwrap(), new.source);
    let end = time("2026-01-02T03:05:00Z");
    let recap = Some(json!({ "steps": 3 }));
    scene
        .journal
        .finish_run("r", RunStatus::Done, None, recap.clone(), end)
        .await
        .unwrap();
    let run = scene.journal.run("r").await.unwrap();
    assert_eq!(
        (run.status, run.finished, run.recap),
        (RunStatus::Done, Some(end), recap)
    );
}

#[tokio::test]
async fn a_run_is_found_by_the_beginning_of_its_id() {
    let scene = Scene::new().await;
    for id in ["7f3a", "7f3b", "7f", "a%_c", "é1"] {
        scene.journal.start_run(&new_run(id)).await.unwrap();
    }
    let journal = &scene.journal;
    assert_eq!(journal.run("7f3a").await.unwrap().id, "7f3a");
    assert_eq!(
        journal.run("7f").await.unwrap().id,
        "7f",
        "an exact id is meant"
    );
    assert_eq!(journal.run("a%").await.unwrap().id, "a%_c");
    assert_eq!(journal.run("é").await.unwrap().id, "é1");
    assert_eq!(kind_of(journal, "").await, "journal.run_not_found");
    assert_eq!(kind_of(journal, "%").await, "journal.run_not_found");
    let missing = journal.run("9").await.unwrap_err();
    assert_eq!(missing.kind(), "journal.run_not_found");
    assert!(missing.hint_text().unwrap().contains("ccrun history"));
    let ambiguous = journal.run("7").await.unwrap_err();
    assert_eq!(ambiguous.kind(), "journal.run_ambiguous");
    for id in ["7f3a", "7f3b", "7f "] {
        assert!(ambiguous.message().contains(id), "{ambiguous}");
    }
    assert!(!ambiguous.message().contains("a%_c"), "{ambiguous}");
}

#[tokio::test]
async fn an_id_is_given_once_and_an_unknown_run_cannot_end() {
    let scene = Scene::with_run().await;
    let again = scene.journal.start_run(&new_run("r")).await.unwrap_err();
    assert_eq!(again.kind(), "journal.run_exists");
    let end = scene
        .journal
        .finish_run("x", RunStatus::Done, None, None, Timestamp::now())
        .await;
    assert_eq!(end.unwrap_err().kind(), "journal.run_not_found");
}

#[tokio::test]
async fn the_list_is_filtered_newest_first() {
    let scene = Scene::new().await;
    for (n, runbook, target) in [
        (1, "a/Backup.rhai", "production"),
        (2, "a/deploy.rhai", "staging"),
        (3, "b/backup.rhai", "staging"),
    ] {
        let run = NewRun {
            runbook: runbook.to_owned(),
            target: Some(target.to_owned()),
            started: time(&format!("2026-01-0{n}T00:00:00Z")),
            ..new_run(&n.to_string())
        };
        scene.journal.start_run(&run).await.unwrap();
    }
    scene
        .journal
        .finish_run("2", RunStatus::Failed, None, None, Timestamp::now())
        .await
        .unwrap();
    let all = RunFilter::default();
    for (filter, expected) in [
        (all.clone(), "321"),
        (
            RunFilter {
                runbook: Some("backup".into()),
                ..all.clone()
            },
            "31",
        ),
        (
            RunFilter {
                target: Some("staging".into()),
                ..all.clone()
            },
            "32",
        ),
        (
            RunFilter {
                since: Some(time("2026-01-02T00:00:00Z")),
                ..all.clone()
            },
            "32",
        ),
        (
            RunFilter {
                status: Some(RunStatus::Failed),
                ..all.clone()
            },
            "2",
        ),
        (
            RunFilter {
                status: Some(RunStatus::Running),
                ..all.clone()
            },
            "31",
        ),
        (
            RunFilter {
                limit: Some(2),
                ..all.clone()
            },
            "32",
        ),
        (
            RunFilter {
                limit: Some(0),
                ..all.clone()
            },
            "",
        ),
        (
            RunFilter {
                runbook: Some("%".into()),
                ..all.clone()
            },
            "",
        ),
    ] {
        let runs = scene.journal.runs(&filter).await.unwrap();
        let ids: String = runs.iter().map(|run| run.id.as_str()).collect();
        assert_eq!(ids, expected, "{filter:?}");
    }
}

#[tokio::test]
async fn a_run_whose_process_is_gone_is_shown_as_interrupted() {
    let scene = Scene::with_run().await;
    let dead = NewRun {
        process: dead_process(),
        ..new_run("dead")
    };
    scene.journal.start_run(&dead).await.unwrap();
    assert_eq!(
        scene.journal.run("dead").await.unwrap().status,
        RunStatus::Interrupted
    );
    assert_eq!(
        scene.journal.run("r").await.unwrap().status,
        RunStatus::Running
    );
    let interrupted = RunFilter {
        status: Some(RunStatus::Interrupted),
        limit: Some(1),
        ..RunFilter::default()
    };
    assert_eq!(
        scene.journal.runs(&interrupted).await.unwrap()[0].id,
        "dead"
    );
    let running = RunFilter {
        status: Some(RunStatus::Running),
        ..RunFilter::default()
    };
    assert_eq!(scene.journal.runs(&running).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_run_on_another_host_is_believed_while_it_gives_signs_of_life() {
    let scene = Scene::new().await;
    let run = |id: &str, started| NewRun {
        process: process_elsewhere(),
        started,
        ..new_run(id)
    };
    scene
        .journal
        .start_run(&run("fresh", Timestamp::now()))
        .await
        .unwrap();
    scene
        .journal
        .start_run(&run("silent", time("2026-01-01T00:00:00Z")))
        .await
        .unwrap();
    assert_eq!(
        scene.journal.run("fresh").await.unwrap().status,
        RunStatus::Running
    );
    assert_eq!(
        scene.journal.run("silent").await.unwrap().status,
        RunStatus::Interrupted
    );
}

#[tokio::test]
async fn signs_of_life_are_recorded_while_a_run_is_at_work() {
    let folder = tempfile::tempdir().unwrap();
    let often = Duration::from_millis(10);
    let journal = Journal::open_beating(folder.path(), often).await.unwrap();
    journal.start_run(&new_run("r")).await.unwrap();
    // As seen from another host, a run without a sign of life since January is not at work.
    sql(
        journal.path(),
        "UPDATE runs SET host = 'another-host', seen = started",
    )
    .await;
    let other = Journal::open(folder.path()).await.unwrap();
    until(async || other.run("r").await.unwrap().status == RunStatus::Running).await;
    journal
        .finish_run("r", RunStatus::Done, None, None, Timestamp::now())
        .await
        .unwrap();
    assert!(journal.buffer().active.lock().is_empty());
}

#[tokio::test]
async fn a_dead_run_is_claimed_and_keeps_what_it_had() {
    let scene = Scene::new().await;
    let dead = NewRun {
        process: dead_process(),
        ..new_run("r")
    };
    scene.journal.start_run(&dead).await.unwrap();
    scene
        .journal
        .finish_step("r", &finished("A", json!(1)))
        .await
        .unwrap();
    let claimed = scene
        .journal
        .claim_run("r", &Process::current())
        .await
        .unwrap();
    assert_eq!((claimed.status, claimed.attempt), (RunStatus::Running, 2));
    assert_eq!(claimed.process, Process::current());
    assert_eq!((claimed.started, claimed.finished), (dead.started, None));
    assert_eq!(
        scene.journal.steps("r").await.unwrap()[0].status,
        StepStatus::Done
    );
}

#[tokio::test]
async fn a_failed_run_is_claimed_by_one_process_only() {
    let scene = Scene::with_run().await;
    let error = Some(json!("no"));
    scene
        .journal
        .finish_run("r", RunStatus::Failed, error, None, Timestamp::now())
        .await
        .unwrap();
    let mut child = std::process::Command::new("sleep")
        .arg("60")
        .spawn()
        .unwrap();
    let other = Process {
        pid: child.id(),
        pid_start: 0,
        ..Process::current()
    };
    assert_eq!(
        scene.journal.claim_run("r", &other).await.unwrap().error,
        None
    );
    let refused = scene
        .journal
        .claim_run("r", &Process::current())
        .await
        .unwrap_err();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(refused.kind(), "journal.run_active");
    for part in [other.pid.to_string(), other.host] {
        assert!(refused.message().contains(&part), "{refused}");
    }
    // That process was killed, so the run is free.
    scene
        .journal
        .claim_run("r", &Process::current())
        .await
        .unwrap();
    let missing = scene
        .journal
        .claim_run("x", &Process::current())
        .await
        .unwrap_err();
    assert_eq!(missing.kind(), "journal.run_not_found");
}
