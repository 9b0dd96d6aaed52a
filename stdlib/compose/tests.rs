//! Against a real engine and the real Compose.

use ccrun_kernel::rhai::{Array, Dynamic, Map};
use ccrun_kernel::testing::{TestRun, eval_in};
use ccrun_kernel::{Error, Result};
use ccrun_tests::docker::ComposeProject;

use super::namespace;

/// A web server with a health check, and a job that ends.
const STACK: &str = r#"
services:
  web:
    image: IMAGE
    command: sh -c "echo LEVEL=$$LEVEL > /tmp/index.html; exec httpd -f -p 8080 -h /tmp"
    environment: { LEVEL: "${LEVEL:-info}", API_TOKEN: "${API_TOKEN:-none}" }
    healthcheck:
      test: ["CMD", "wget", "-q", "-O", "-", "http://127.0.0.1:8080/index.html"]
      interval: 500ms
      timeout: 2s
      retries: 2
    stop_grace_period: 1s
    init: true
  job:
    image: IMAGE
    command: echo done
    labels: { ccrun.oneshot: "true" }
"#;

fn run(project: &ComposeProject, script: &str) -> Result<Dynamic> {
    let script = format!("let stack = compose::project(); {script}");
    eval_in(project.folder(), vec![namespace()], &script)
}

fn does(project: &ComposeProject, script: &str) -> Dynamic {
    match run(project, script) {
        Ok(value) => value,
        Err(error) => panic!("{script}: {error:?} {:?}", error.details()),
    }
}

fn fails(project: &ComposeProject, script: &str) -> Error {
    run(project, script).unwrap_err()
}

fn names(map: &Map, key: &str) -> Vec<String> {
    map[key].clone().into_typed_array::<String>().unwrap()
}

#[test]
fn a_project_comes_up_and_the_second_time_nothing_is_touched() {
    let project = ComposeProject::new(STACK);
    let first = does(&project, "stack.up()").cast::<Map>();
    assert_eq!(names(&first, "created"), ["job", "web"]);
    let before = project.containers();
    assert_eq!(before.len(), 2);

    let second = does(&project, "stack.up()").cast::<Map>();
    assert!(!second["changed"].as_bool().unwrap());
    assert_eq!(project.containers(), before);
    assert_eq!(does(&project, "stack.drift().len()").as_int().unwrap(), 0);

    let table = does(&project, "stack.ps()").cast::<Array>();
    let web = table[1].clone().cast::<Map>();
    assert_eq!(
        (web["service"].to_string(), web["health"].to_string()),
        ("web".into(), "healthy".into())
    );
    let job = table[0].clone().cast::<Map>();
    assert_eq!(job["exit_code"].as_int().unwrap(), 0);

    drop(does(&project, "stack.down()"));
    assert_eq!(project.containers(), Vec::<String>::new());
}

#[test]
fn what_differs_is_told_without_secrets_and_then_mended() {
    let project = ComposeProject::new(STACK);
    std::fs::write(project.path(".env"), "API_TOKEN=first-secret-token\n").unwrap();
    drop(does(&project, "stack.up()"));
    std::fs::write(
        project.path(".env"),
        "API_TOKEN=other-secret-token\nLEVEL=debug\n",
    )
    .unwrap();

    let drift = does(&project, "stack.drift()").cast::<Array>();
    let [only] = <[Dynamic; 1]>::try_from(drift).unwrap();
    let only = only.cast::<Map>();
    assert_eq!(only["action"].to_string(), "recreate");
    assert_eq!(
        names(&only, "reasons"),
        ["API_TOKEN has another value", "LEVEL: info → debug"]
    );

    let before = project.containers();
    let dry = TestRun::new(project.folder(), vec![namespace()]).dry();
    let (result, records) = dry.eval("compose::project().up()");
    drop(result.unwrap());
    let told = serde_json::to_string(
        &records
            .iter()
            .map(|record| &record.event)
            .collect::<Vec<_>>(),
    )
    .unwrap();
    assert!(told.contains("recreate web"), "{told}");
    assert!(!told.contains("secret-token"), "{told}");
    assert_eq!(project.containers(), before, "a dry run changes nothing");

    let did = does(&project, "stack.up()").cast::<Map>();
    assert_eq!(names(&did, "recreated"), ["web"]);
    let seen = does(
        &project,
        r#"stack.exec_read("web", ["cat", "/tmp/index.html"]).stdout"#,
    );
    assert_eq!(seen.to_string(), "LEVEL=debug");
}

#[test]
fn secrets_of_the_model_are_secrets_in_the_script() {
    let project = ComposeProject::new(STACK);
    std::fs::write(project.path(".env"), "API_TOKEN=first-secret-token\n").unwrap();
    let model = does(&project, "`${stack.config().services.web.environment}`").to_string();
    assert!(
        model.contains("LEVEL") && !model.contains("first-secret-token"),
        "{model}"
    );
}

#[test]
fn a_service_that_never_gets_healthy_says_what_its_check_says() {
    let project = ComposeProject::new(&STACK.replace("-p 8080", "-p 8081"));
    let error = fails(&project, r#"stack.up(#{ timeout: "20s" })"#);
    assert_eq!(error.kind(), "compose.unhealthy");
    assert!(error.message().contains("web unhealthy"), "{error:?}");
    assert!(error.message().contains("can't connect"), "{error:?}");
    assert!(error.hint_text().unwrap().contains("logs web"), "{error:?}");
}

#[test]
fn a_job_that_fails_fails_at_once_with_its_last_words() {
    let project = ComposeProject::new(&STACK.replace(
        "command: echo done",
        "command: sh -c \"echo no such table; exit 3\"",
    ));
    let error = fails(&project, r#"stack.up(#{ timeout: "10m" })"#);
    assert_eq!(error.kind(), "compose.unhealthy");
    assert!(
        error.message().contains("job exited with status 3"),
        "{error:?}"
    );
    assert!(error.message().contains("no such table"), "{error:?}");
}

#[test]
fn a_service_that_ends_again_and_again_is_not_taken_for_running() {
    let project = ComposeProject::new(
        "services:\n  worker:\n    image: IMAGE\n    command: sh -c \"echo no broker; sleep 0.2; exit 1\"\n    restart: always\n",
    );
    let error = fails(&project, r#"stack.up(#{ timeout: "1m" })"#);
    assert_eq!(error.kind(), "compose.unhealthy");
    assert!(error.message().contains("restarted"), "{error:?}");
    assert!(error.message().contains("no broker"), "{error:?}");
}

#[test]
fn what_is_optional_only_warns() {
    let optional = STACK.replace(
        "    labels: { ccrun.oneshot: \"true\" }",
        "    labels: { ccrun.optional: \"true\" }",
    );
    let project =
        ComposeProject::new(&optional.replace("command: echo done", "command: sh -c \"exit 1\""));
    let did = does(&project, "stack.up()");
    assert!(did.cast::<Map>()["changed"].as_bool().unwrap());
    let standing = does(&project, "stack.wait_healthy()").cast::<Map>();
    assert_eq!(standing["job"].to_string(), "exited with status 1");
    assert_eq!(standing["web"].to_string(), "healthy");
}

#[test]
fn a_dependency_that_does_not_come_up_is_named_with_its_reason() {
    let file = format!(
        "{}  api:\n    image: IMAGE\n    command: sleep 100\n    depends_on: {{ web: {{ condition: service_healthy }} }}\n",
        STACK.replace("-p 8080", "-p 8081")
    );
    let project = ComposeProject::new(&file);
    let error = fails(&project, r#"stack.up(#{ timeout: "30s" })"#);
    assert_eq!(error.kind(), "compose.unhealthy");
    assert!(error.message().contains("web unhealthy"), "{error:?}");
}

#[test]
fn a_missing_variable_a_missing_image_and_a_broken_file_are_told_apart() {
    let project = ComposeProject::new(&STACK.replace("${LEVEL:-info}", "${LEVEL:?which level}"));
    let error = fails(&project, "stack.config()");
    assert_eq!(error.kind(), "compose.unset_variable");
    assert!(error.message().contains("which level"), "{error:?}");
    assert!(error.hint_text().unwrap().contains(".env"), "{error:?}");

    project.write(&STACK.replace("IMAGE", "no.such.host.invalid/web:1"));
    assert_eq!(fails(&project, "stack.up()").kind(), "docker.image_missing");

    project.write("services: [");
    assert_eq!(
        fails(&project, "stack.services()").kind(),
        "compose.invalid"
    );

    project.write(STACK);
    let error = fails(&project, r#"stack.up(#{ services: ["wbe"] })"#);
    assert_eq!(error.kind(), "compose.no_service");
    assert_eq!(error.hint_text(), Some("did you mean `web`?"));
}

#[test]
fn a_taken_port_is_told_with_who_may_have_it() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let project = ComposeProject::new(&STACK.replace(
        "    init: true\n",
        &format!("    init: true\n    ports: [\"127.0.0.1:{port}:8080\"]\n"),
    ));
    let error = fails(&project, "stack.up()");
    assert_eq!(error.kind(), "docker.port_taken", "{error:?}");
}

#[test]
fn containers_that_were_stopped_are_started_again() {
    let project = ComposeProject::new(STACK);
    drop(does(&project, r#"stack.up(); stack.stop(["web"])"#));
    let drift = does(&project, "stack.drift()").cast::<Array>();
    assert_eq!(
        drift[0].clone().cast::<Map>()["action"].to_string(),
        "start"
    );
    let did = does(&project, "stack.up()").cast::<Map>();
    assert_eq!(names(&did, "started"), ["web"]);
}

#[test]
fn orphans_and_scale_are_seen() {
    let project = ComposeProject::new(STACK);
    let did = does(&project, "stack.up(#{ scale: #{ web: 2 } })").cast::<Map>();
    assert_eq!(names(&did, "created"), ["job", "web"]);
    assert_eq!(project.containers().len(), 3);
    let without_job = STACK.split("  job:").next().unwrap().to_owned();
    project.write(&without_job);
    let drift = does(&project, "stack.drift()").cast::<Array>();
    let actions: Vec<String> = drift
        .into_iter()
        .map(|difference| {
            let difference = difference.cast::<Map>();
            format!("{} {}", difference["action"], difference["service"])
        })
        .collect();
    assert_eq!(actions, ["remove web", "orphan job"]);
    drop(does(&project, "stack.up(#{ remove_orphans: true })"));
    assert_eq!(project.containers().len(), 1);
}

#[test]
fn programs_run_inside_with_input_and_secret_variables() {
    let project = ComposeProject::new(STACK);
    drop(does(&project, "stack.up()"));
    let seen = does(
        &project,
        r#"stack.exec("web", ["sh", "-c", "cat; echo $TOKEN; id -u"], #{ stdin: "in ", env: #{ TOKEN: "t0ken" }, user: "65534" }).stdout"#,
    );
    assert_eq!(seen.to_string(), "in t0ken\n65534");
    let error = fails(
        &project,
        r#"stack.exec("web", ["sh", "-c", "echo bad >&2; exit 4"])"#,
    );
    assert_eq!(error.kind(), "sh.failed");
    assert!(error.message().contains('4'), "{error:?}");
    let code = does(
        &project,
        r#"stack.exec("web", ["false"], #{ check: false }).status"#,
    );
    assert_eq!(code.as_int().unwrap(), 1);
    let logs = does(&project, r#"stack.logs(#{ services: ["job"] })"#).cast::<Array>();
    assert_eq!(logs[0].clone().cast::<Map>()["line"].to_string(), "done");
}

#[test]
fn an_engine_that_is_not_there_is_named() {
    let project = ComposeProject::new(STACK);
    std::fs::write(
        project.path("ccrun.toml"),
        "[target.local]\ndocker = \"unix:///nonexistent/docker.sock\"\n",
    )
    .unwrap();
    let error = fails(&project, "stack.ps()");
    assert_eq!(error.kind(), "docker.unreachable");
    assert!(
        error
            .message()
            .contains("/nonexistent/docker.sock (from `docker` of [target.local])"),
        "{error:?}"
    );
    assert!(
        error
            .hint_text()
            .unwrap()
            .contains("systemctl start docker"),
        "{error:?}"
    );
}

/// Two versions of a service, and a file of the project's mounted into it.
const VERSIONED: &str = r#"
services:
  web:
    image: IMAGE
    command: sh -c "cp /etc/motd /tmp/index.html; echo $$VERSION >> /tmp/index.html; exec httpd -f -p 8080 -h /tmp"
    environment: { VERSION: "${VERSION:-one}" }
    volumes: [ "./motd:/etc/motd:ro", "data:/data" ]
    healthcheck: { test: ["CMD", "wget", "-q", "-O", "-", "http://127.0.0.1:8080/index.html"], interval: 500ms, retries: 4 }
    stop_grace_period: 1s
    init: true
volumes:
  data:
"#;

const SERVED: &str = r#"stack.exec_read("web", ["cat", "/tmp/index.html"]).stdout"#;

#[test]
fn going_back_brings_back_containers_and_files_and_leaves_the_data() {
    let project = ComposeProject::new(VERSIONED);
    std::fs::write(project.path("motd"), "hello\n").unwrap();
    drop(does(
        &project,
        r#"stack.up(); stack.exec("web", ["sh", "-c", "echo kept > /data/x"])"#,
    ));
    let id = does(
        &project,
        r#"stack.snapshot(#{ note: "v1", good: true }).id"#,
    )
    .to_string();

    std::fs::write(project.path("motd"), "broken\n").unwrap();
    project.write(&format!(
        "{}\n",
        VERSIONED.replace(":-one", ":-two").replace(
            "volumes:\n  data",
            "  extra:\n    image: IMAGE\n    command: sleep 100\nvolumes:\n  data"
        )
    ));
    drop(does(&project, "stack.up()"));
    assert_eq!(does(&project, SERVED).to_string(), "broken\ntwo");

    let back = does(&project, "stack.rollback()").cast::<Map>();
    assert_eq!(back["release"].to_string(), id);
    assert_eq!(
        names(&back, "recreated"),
        [format!("{}-web-1", project.name)]
    );
    assert_eq!(
        names(&back, "removed"),
        [format!("{}-extra-1", project.name)]
    );
    assert_eq!(does(&project, SERVED).to_string(), "hello\none");
    let data = does(
        &project,
        r#"stack.exec_read("web", ["cat", "/data/x"]).stdout"#,
    );
    assert_eq!(data.to_string(), "kept");
    // Once more, and there is nothing to do; and what ran before can be had again.
    let again = does(&project, "stack.rollback()").cast::<Map>();
    assert!(names(&again, "recreated").is_empty());
    drop(does(&project, "stack.rollback(stack.releases()[0].id)"));
    assert_eq!(does(&project, SERVED).to_string(), "broken\ntwo");
}

#[test]
fn without_a_release_or_its_image_nothing_is_changed() {
    let project = ComposeProject::new(STACK);
    drop(does(&project, "stack.up()"));
    let before = project.containers();
    assert_eq!(
        fails(&project, "stack.rollback()").kind(),
        "compose.no_release"
    );
    assert_eq!(
        fails(&project, r#"stack.rollback("../../etc")"#).kind(),
        "compose.release"
    );
    drop(does(&project, "stack.snapshot(#{ good: true })"));
    let file = std::fs::read_dir(project.path(".ccrun/releases").join(&project.name))
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    let file = file.path().join("release.json");
    let text = std::fs::read_to_string(&file).unwrap();
    let mut release: serde_json::Value = serde_json::from_str(&text).unwrap();
    for container in release["containers"].as_array_mut().unwrap() {
        container["Id"] = "0".repeat(64).into();
        container["Image"] = format!("sha256:{}", "0".repeat(64)).into();
    }
    std::fs::write(&file, release.to_string()).unwrap();
    let error = fails(&project, "stack.rollback()");
    assert_eq!(error.kind(), "docker.image_missing");
    assert!(error.message().contains("nothing was changed"), "{error:?}");
    assert_eq!(project.containers(), before);
}

#[test]
fn a_service_is_replaced_beside_the_old_one() {
    let project = ComposeProject::new(VERSIONED);
    std::fs::write(project.path("motd"), "hello\n").unwrap();
    drop(does(&project, "stack.up()"));
    let old = project.containers();
    let nothing = does(&project, r#"stack.rolling("web")"#).cast::<Map>();
    assert!(!nothing["changed"].as_bool().unwrap());

    project.write(&VERSIONED.replace(":-one", ":-two"));
    let did = does(&project, r#"stack.rolling("web", #{ settle: "0s" })"#).cast::<Map>();
    assert_eq!(names(&did, "stopped"), [format!("{}-web-1", project.name)]);
    let new = project.containers();
    assert_eq!(new.len(), 1);
    assert_ne!(new, old);
    assert_eq!(does(&project, SERVED).to_string(), "hello\ntwo");
    assert_eq!(does(&project, "stack.drift().len()").as_int().unwrap(), 0);
}

#[test]
fn the_old_ones_can_be_left_for_a_proxy_that_is_told_first() {
    let project = ComposeProject::new(VERSIONED);
    std::fs::write(project.path("motd"), "hello\n").unwrap();
    drop(does(&project, "stack.up()"));
    project.write(&VERSIONED.replace(":-one", ":-two"));
    let did = does(
        &project,
        r#"stack.rolling("web", #{ settle: "0s", keep_old: true })"#,
    )
    .cast::<Map>();
    let (old, new) = (
        format!("{}-web-1", project.name),
        format!("{}-web-2", project.name),
    );
    assert_eq!(names(&did, "old"), [old.as_str()]);
    assert_eq!(names(&did, "started"), [new.as_str()]);
    assert!(names(&did, "stopped").is_empty());
    assert_eq!(project.containers().len(), 2);
    let all = fails(
        &project,
        &format!(r#"stack.retire("web", ["{old}", "{new}"])"#),
    );
    assert_eq!(all.kind(), "compose.not_rolling");
    assert_eq!(project.containers().len(), 2);
    let gone = does(&project, &format!(r#"stack.retire("web", ["{old}"])"#)).cast::<Array>();
    assert_eq!(gone[0].clone().into_string().unwrap(), old);
    assert_eq!(project.containers().len(), 1);
    let again = does(&project, &format!(r#"stack.retire("web", ["{old}"])"#)).cast::<Array>();
    assert!(again.is_empty());
}

#[test]
fn a_new_one_that_fails_goes_and_the_old_one_stays() {
    let project = ComposeProject::new(VERSIONED);
    std::fs::write(project.path("motd"), "hello\n").unwrap();
    drop(does(&project, "stack.up()"));
    let old = project.containers();
    project.write(&VERSIONED.replace(":-one", ":-two").replace(
        "exec httpd",
        "echo no route to the database; exit 1; exec httpd",
    ));
    let error = fails(&project, r#"stack.rolling("web", #{ timeout: "20s" })"#);
    assert_eq!(error.kind(), "compose.unhealthy");
    assert!(
        error.message().contains("the old one still serves"),
        "{error:?}"
    );
    assert!(
        error.message().contains("no route to the database"),
        "{error:?}"
    );
    assert_eq!(project.containers(), old);
    assert_eq!(does(&project, SERVED).to_string(), "hello\none");

    project.write(&VERSIONED.replace(
        "    init: true\n",
        "    init: true\n    ports: [\"127.0.0.1:18999:8080\"]\n",
    ));
    assert_eq!(
        fails(&project, r#"stack.rolling("web")"#).kind(),
        "compose.not_rolling"
    );
}
