use super::{expect, says};

#[test]
fn keys_of_options_maps() {
    expect(
        r#"
runbook(#{ needs: #{ docker: "*" } });
let c = docker::container("a");
step("a", #{ retry: 3, retrys: 1 }, || { //~ unknown-option: retrys
    c.restart(#{ timout: "20s" }); //~ unknown-option: timout
    docker::pull("a", #{}); //~ missing-option: #{
    docker::pull("a", #{ tag: "1", memory: "64MiB", layers: [1, 2] });
});
parallel(#{ limits: 4 }, [|| 1]); //~ unknown-option: limits
each([1], #{ limit: 4 }, |x| x);
let options = #{ anything: 1 };
step("b", options, || 1);
"#,
    );
    let script = "docker::container(\"a\").restart(#{ timout: \"20s\" });";
    let finding = says(
        script,
        "unknown-option",
        "Container.restart has no option `timout`",
        "did you mean `timeout`?",
    );
    assert_eq!(finding.replacement.as_deref(), Some("timeout"));
    says(
        "docker::pull(\"a\", #{});",
        "missing-option",
        "docker::pull needs the option `tag` (string)",
        "Which one.",
    );
}

#[test]
fn literals_of_the_wrong_type() {
    expect(
        r#"
runbook(#{ needs: #{ docker: "*" } });
let c = docker::container("a");
let wait = "5s";
step("a", #{ timeout: true, backoff: "5 minuts", retry: "3", when: 1 == 1 }, || { //~ wrong-option: true //~ wrong-option: "5 minuts" //~ wrong-option: "3"
    c.restart(#{ timeout: 20 }); //~ wrong-option: 20
    c.restart(#{ timeout: wait, signal: () });
    c.restart(#{ timeout: `${wait}` });
    docker::pull("a", #{ tag: 1, memory: "much", layers: [1, "2"] }); //~ wrong-option: 1 //~ wrong-option: "much" //~ wrong-option: "2"
    c.restart("20s"); //~ wrong-type: "20s"
});
docker::container(5); //~ wrong-type: 5
fs::read(wait); //~ undeclared-permission: read
"#,
    );
    says(
        "step(\"a\", #{ timeout: true }, || 1);",
        "wrong-option",
        "option `timeout` of step: expected duration, found bool",
        "write `timeout: \"5m\"`",
    );
}

#[test]
fn secrets_that_are_written_down() {
    expect(
        r#"
runbook(#{ needs: #{ http: "*" } });
let connect = #{ password: "hunter2", user: "a", note: "" }; //~ literal-secret: "hunter2"
let fine = #{ password: "secret:NAME", token: connect.note, api_key: "" };
print(#{ "db-password": "x", fine: fine }); //~ literal-secret: "x"
print("postgres://a:b@c/d"); //~ literal-secret: "postgres://a:b@c/d"
step("a", || http::login("root", "toor")); //~ literal-secret: "toor"
"#,
    );
}
