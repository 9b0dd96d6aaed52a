//! Programs and files in containers.

use super::*;

#[test]
fn a_program_gets_its_input_and_gives_its_output_byte_by_byte() {
    let bed = Containers::new();
    let _ = bed.run("web", SLEEP, &["sleep", "600"]);
    assert_eq!(
        gives(
            &bed,
            r#"let out = docker::container("NAME-web").exec(["sh", "-c", "echo $LEVEL; id -u; pwd; echo oops >&2; exit 3"], #{ env: #{ LEVEL: "a b" }, user: "7", workdir: "/tmp", check: false }); [out.status, out.success, out.stdout, out.stderr, out.truncated]"#
        ),
        json!([3, false, "a b\n7\n/tmp", "oops", false])
    );
    // Every byte there is, more than one frame of them.
    assert_eq!(
        gives(
            &bed,
            r#"
            let bytes = blob();
            for i in 0..200000 { bytes.push(i % 256); }
            let out = docker::container("NAME-web").exec_read(["cat"], #{ stdin: bytes, binary: true });
            [out.stdout == bytes, out.stdout.len]
        "#
        ),
        json!([true, 200_000])
    );
    assert_eq!(
        gives(
            &bed,
            r#"let out = docker::container("NAME-web").exec(["sh", "-c", "yes | head -c 3000000; exit 0"], #{ max_output: "64KiB" }); [out.truncated, out.stdout.len < 70000]"#
        ),
        json!([true, true])
    );
    // A program that does not read what it is given.
    assert_eq!(
        gives(
            &bed,
            r#"let text = "x"; text.pad(5000000, "x"); docker::container("NAME-web").exec(["true"], #{ stdin: text }).status"#
        ),
        json!(0)
    );
}

#[test]
fn output_goes_into_a_file_only_if_the_program_ends_well() {
    let bed = Containers::new();
    let _ = bed.run("web", SLEEP, &["sleep", "600"]);
    let folder = Scratch::new();
    let size = run_in(&folder, &bed, r#"docker::container("NAME-web").exec_to_file(["head", "-c", "50000000", "/dev/zero"], "zeros").size"#).unwrap();
    assert_eq!(to_json(&size), "47.7 MiB");
    assert_eq!(
        std::fs::metadata(folder.0.join("zeros")).unwrap().len(),
        50_000_000
    );
    let failed = run_in(
        &folder,
        &bed,
        r#"docker::container("NAME-web").exec_to_file(["sh", "-c", "echo half; exit 1"], "zeros")"#,
    );
    assert_eq!(failed.unwrap_err().kind(), "docker.exec_failed");
    assert_eq!(
        std::fs::metadata(folder.0.join("zeros")).unwrap().len(),
        50_000_000
    );
    assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 1);
}

#[test]
fn what_goes_wrong_inside_is_told() {
    let bed = Containers::new();
    let web = bed.run("web", SLEEP, &["sleep", "600"]);
    let error = fails(
        &bed,
        r#"docker::container("NAME-web").exec(["sh", "-c", "echo the reason >&2; exit 4"])"#,
    );
    assert_eq!(
        (
            error.kind(),
            error.message().contains("status 4") && error.message().contains("the reason")
        ),
        ("docker.exec_failed", true)
    );
    assert_eq!(
        fails(
            &bed,
            r#"docker::container("NAME-web").exec(["no-such-program"])"#
        )
        .kind(),
        "docker.exec_failed"
    );
    let error = fails(
        &bed,
        r#"docker::container("NAME-web").exec(["sleep", "60"], #{ timeout: "300ms" })"#,
    );
    assert_eq!(error.kind(), "docker.timeout");
    // The container is killed while a program runs in it.
    let killer = std::thread::spawn(move || {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while !docker(&["top", &web]).contains("sleep 77") {
            assert!(
                std::time::Instant::now() < deadline,
                "the program does not start"
            );
        }
        let _ = docker(&["kill", &web]);
    });
    let error = fails(
        &bed,
        r#"docker::container("NAME-web").exec(["sleep", "77"])"#,
    );
    killer.join().unwrap();
    assert_eq!(error.kind(), "docker.exec_failed");
    assert!(
        error.message().contains("because the container ended"),
        "{}",
        error.message()
    );
    let error = fails(&bed, r#"docker::container("NAME-web").exec(["true"])"#);
    assert_eq!(error.kind(), "docker.conflict");
}

#[test]
fn a_program_runs_in_a_new_container_that_goes_with_it() {
    let bed = Containers::new();
    assert_eq!(
        gives(
            &bed,
            r#"let out = docker::run("ccrun-test/busybox:1", #{ command: ["sh", "-c", "cat; echo $A >&2; exit 5"], stdin: "in", env: #{ A: "b" }, name: "NAME-job", check: false }); [out.status, out.stdout, out.stderr]"#
        ),
        json!([5, "in", "b"])
    );
    let error = fails(
        &bed,
        r#"docker::run("ccrun-test/busybox:1", #{ command: ["sh", "-c", "echo why >&2; exit 6"], name: "NAME-job" })"#,
    );
    assert!(
        error.kind() == "docker.exec_failed" && error.message().contains("why"),
        "{error:?}"
    );
    let error = fails(
        &bed,
        r#"docker::run("ccrun-test/busybox:1", #{ command: ["sleep", "60"], name: "NAME-job", timeout: "500ms" })"#,
    );
    assert_eq!(error.kind(), "docker.timeout");
    let error = fails(
        &bed,
        r#"step("too long", #{ timeout: "500ms" }, || docker::run("ccrun-test/busybox:1", #{ command: ["sleep", "60"], name: "NAME-job" }))"#,
    );
    assert_eq!(error.kind(), "timeout", "{error:?}");
    // At once, because ccrun may end after that.
    let filter = format!("name={}", bed.name);
    assert_eq!(docker(&["ps", "-aq", "--filter", &filter]), "");
    assert_eq!(
        fails(&bed, r#"docker::run("ccrun-test/no-such-image:1")"#).kind(),
        "docker.image_missing"
    );
    assert_eq!(
        gives(
            &bed,
            &format!(
                r#"let c = docker::run("ccrun-test/busybox:1", #{{ command: ["sleep", "600"], name: "NAME-on", labels: #{{ "ccrun.test.name": "{0}", "ccrun.test": "docker" }}, memory: "32MiB", ports: "127.0.0.1::80", detach: true }}); let ports = c.reload().ports; [c.state, c.inspect().host_config.memory == "32MiB", ports.len, ports[0].starts_with("127.0.0.1:")]"#,
                bed.name
            )
        ),
        json!(["running", true, 1, true])
    );
}

#[test]
fn files_and_folders_go_in_and_come_out() {
    let bed = Containers::new();
    let _ = bed.run("web", SLEEP, &["sleep", "600"]);
    let folder = Scratch::new();
    std::fs::create_dir_all(folder.0.join("conf/deep")).unwrap();
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    std::fs::write(folder.0.join("conf/deep/blob"), &bytes).unwrap();
    std::fs::write(folder.0.join("conf/a.txt"), "a").unwrap();
    std::os::unix::fs::symlink("a.txt", folder.0.join("conf/link")).unwrap();
    let out = run_in(&folder, &bed, r#"
        let c = docker::container("NAME-web");
        let size = c.copy_in("conf", "/tmp/there");
        c.copy_in("conf/a.txt", "/tmp/one.txt");
        let back = c.copy_out("/tmp/there", "back");
        c.copy_out("/tmp/one.txt", "one.txt");
        [size == back, c.exec_read(["ls", "-l", "/tmp/there/link"]).stdout.ends_with("-> a.txt"), c.exec_read(["cat", "/tmp/one.txt"]).stdout]
    "#).unwrap();
    assert_eq!(to_json(&out), json!([true, true, "a"]));
    assert!(std::fs::read(folder.0.join("back/deep/blob")).unwrap() == bytes);
    assert_eq!(
        std::fs::read_to_string(folder.0.join("one.txt")).unwrap(),
        "a"
    );
    assert_eq!(
        std::fs::read_link(folder.0.join("back/link"))
            .unwrap()
            .to_str(),
        Some("a.txt")
    );
    for (script, kind) in [
        (
            r#"docker::container("NAME-web").copy_out("/tmp/nothing", "x")"#,
            "docker.not_found",
        ),
        (
            r#"docker::container("NAME-web").copy_in("conf", "/no/such/folder/x")"#,
            "docker.not_found",
        ),
        (
            r#"docker::container("NAME-web").copy_in("missing", "/tmp/x")"#,
            "fs.not_found",
        ),
        (
            r#"docker::container("NAME-web").copy_in("conf", "tmp")"#,
            "docker.path",
        ),
    ] {
        assert_eq!(
            run_in(&folder, &bed, script).unwrap_err().kind(),
            kind,
            "{script}"
        );
    }
    assert!(!folder.0.join("x").exists());
}

#[test]
fn a_file_of_any_size_is_read_by_a_program() {
    let bed = Containers::new();
    let _ = bed.run("web", SLEEP, &["sleep", "600"]);
    let folder = Scratch::new();
    std::fs::write(folder.0.join("zeros"), vec![0_u8; 50_000_000]).unwrap();
    let counted = run_in(
        &folder,
        &bed,
        r#"docker::container("NAME-web").exec_from_file(["wc", "-c"], "zeros").stdout"#,
    );
    assert_eq!(to_json(&counted.unwrap()), "50000000");
    // One that does not read to the end is judged by its status.
    let status = run_in(
        &folder,
        &bed,
        r#"docker::container("NAME-web").exec_from_file(["head", "-c", "1"], "zeros").status"#,
    );
    assert_eq!(to_json(&status.unwrap()), 0);
    let missing = run_in(
        &folder,
        &bed,
        r#"docker::container("NAME-web").exec_from_file(["cat"], "nothing")"#,
    );
    assert_eq!(missing.unwrap_err().kind(), "fs.not_found");
}
