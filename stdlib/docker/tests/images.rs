//! Images, networks, volumes, and pruning them.

use super::*;

#[test]
fn images_are_named_saved_loaded_and_removed() {
    let bed = Containers::new();
    let folder = Scratch::new();
    let out = run_in(&folder, &bed, r#"
        let id = docker::image("ccrun-test/busybox:1").id;
        docker::tag("ccrun-test/busybox:1", "NAME:2");
        let named = docker::images(#{ name: "NAME" });
        let size = docker::save("NAME:2", "image.tar");
        docker::remove_image("NAME:2"); docker::remove_image("NAME:2");
        let gone = docker::images(#{ name: "NAME" }).len;
        let said = docker::load("image.tar");
        let back = docker::image("NAME:2").id == id;
        docker::remove_image("NAME:2");
        [named[0].name == "NAME:2", named[0].id == id, size > "100KiB", gone, said.contains("NAME:2"), back]
    "#).unwrap();
    assert_eq!(to_json(&out), json!([true, true, true, 0, true, true]));
    let error = run_in(&folder, &bed, r#"docker::image("ccrun-test/busibox:1")"#).unwrap_err();
    assert_eq!(error.kind(), "docker.image_missing");
    assert!(
        error.hint_text().unwrap().contains("ccrun-test/busybox:1"),
        "{error:?}"
    );
}

#[test]
fn a_registry_that_never_answers_is_given_up() {
    let bed = Containers::new();
    let folder = Scratch::new();
    // It takes connections, and says nothing.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let there = listener.local_addr().unwrap();
    for script in [
        format!(r#"docker::pull("{there}/app:1", #{{ silence: "1s" }})"#),
        format!(
            r#"docker::tag("ccrun-test/busybox:1", "{there}/app:1");
               try {{ docker::push("{there}/app:1", #{{ silence: "1s" }}) }}
               catch (error) {{ docker::remove_image("{there}/app:1"); throw error; }}"#
        ),
    ] {
        let error = run_in(&folder, &bed, &script).unwrap_err();
        assert!(
            error.to_string().contains("said nothing of it for 1s"),
            "{error:?}"
        );
    }
}

#[test]
fn networks_and_volumes_are_made_and_removed_once() {
    let bed = Containers::new();
    let _ = bed.run("web", SLEEP, &["sleep", "600"]);
    assert_eq!(
        gives(
            &bed,
            r#"
            docker::create_network("NAME-net", #{ internal: true }); docker::create_network("NAME-net");
            docker::connect("NAME-net", "NAME-web", #{ aliases: ["db"] }); docker::connect("NAME-net", "NAME-web");
            let inside = docker::network("NAME-net").containers.values().map(|c| c.name);
            docker::disconnect("NAME-net", "NAME-web"); docker::disconnect("NAME-net", "NAME-web");
            let internal = docker::network("NAME-net").internal;
            docker::remove_network("NAME-net"); docker::remove_network("NAME-net");
            docker::create_volume("NAME-data", #{ labels: #{ Purpose: "test" } }); docker::create_volume("NAME-data");
            let purpose = docker::volume("NAME-data").labels.Purpose;
            docker::remove_volume("NAME-data"); docker::remove_volume("NAME-data");
            [inside, internal, purpose]
        "#
        ),
        json!([[format!("{}-web", bed.name)], true, "test"])
    );
    assert_eq!(
        fails(&bed, r#"docker::network("NAME-net")"#).kind(),
        "docker.not_found"
    );
    assert_eq!(
        fails(&bed, r#"docker::volume("NAME-data")"#).kind(),
        "docker.not_found"
    );
}

#[test]
fn an_image_is_built_and_a_failing_step_is_named() {
    let bed = Containers::new();
    let folder = Scratch::new();
    std::fs::create_dir_all(folder.0.join("app/node_modules")).unwrap();
    std::fs::write(folder.0.join("app/node_modules/big.js"), "x").unwrap();
    std::fs::write(folder.0.join("app/main.txt"), "hello").unwrap();
    std::fs::write(folder.0.join("app/.dockerignore"), "node_modules\n").unwrap();
    std::fs::write(
        folder.0.join("app/Dockerfile"),
        "FROM ccrun-test/busybox:1\nARG LEVEL=none\nCOPY . /app\nRUN echo level $LEVEL > /app/level\n",
    )
    .unwrap();
    let out = run_in(&folder, &bed, r#"
        let id = docker::build("app", #{ tag: "NAME:built", args: #{ LEVEL: "high" }, labels: #{ "ccrun.test": "docker" } });
        let out = docker::run("NAME:built", #{ command: ["sh", "-c", "cat /app/main.txt /app/level; ls /app"] }).stdout;
        let same = docker::image("NAME:built").id == id;
        docker::remove_image("NAME:built");
        [out, same]
    "#).unwrap();
    assert_eq!(
        to_json(&out),
        json!(["hellolevel high\nDockerfile\nlevel\nmain.txt", true])
    );

    std::fs::write(
        folder.0.join("app/Dockerfile"),
        "FROM ccrun-test/busybox:1\nRUN echo compiling && exit 7\n",
    )
    .unwrap();
    let error = run_in(
        &folder,
        &bed,
        r#"docker::build("app", #{ tag: "NAME:broken" })"#,
    )
    .unwrap_err();
    assert_eq!(error.kind(), "docker.build_failed");
    for part in ["Step 2/2", "exit 7", "compiling"] {
        assert!(error.message().contains(part), "{}", error.message());
    }
    let error = run_in(
        &folder,
        &bed,
        r#"docker::build("nothing", #{ tag: "NAME:x" })"#,
    )
    .unwrap_err();
    assert_eq!(error.kind(), "fs.not_found");
}

#[test]
fn pruning_takes_what_it_said_it_would() {
    let bed = Containers::new();
    let old = bed.run("old", &[], &["true"]);
    bed.wait_for_state(&old, "exited");
    let web = bed.run("web", SLEEP, &["sleep", "600"]);
    let only = format!("#{{ label: \"{}\", images: \"none\" }}", bed.label());
    let folder = Scratch::new();
    let (result, records) = TestRun::new(&folder.0, vec![namespace()])
        .dry()
        .eval(&format!("docker::prune({only})"));
    assert!(result.is_ok(), "{result:?}");
    let told = format!("{records:?}");
    assert!(told.contains(&format!("container {old}")), "{told}");
    assert!(!told.contains(&web), "{told}");
    assert_eq!(
        gives(&bed, &format!("docker::prune({only}).containers.len")),
        1
    );
    assert_eq!(
        gives(&bed, &format!("docker::prune({only}).containers.len")),
        0
    );
    assert_eq!(
        gives(
            &bed,
            r#"docker::ps(#{ name: "NAME", all: true }).map(|c| c.name)"#
        ),
        json!([web])
    );
    let error = fails(
        &bed,
        r#"docker::prune(#{ label: "none-such", volumes: true, older_than: "1d" })"#,
    );
    assert_eq!(error.kind(), "docker.invalid");
    assert!(
        gives(&bed, "docker::disk_usage().images.count")
            .as_i64()
            .unwrap()
            > 0
    );
}
