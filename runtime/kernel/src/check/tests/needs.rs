use super::{expect, says};

#[test]
fn used_and_not_declared() {
    expect(
        r#"
runbook(#{ needs: #{ docker: ["db"], fs: #{ read: ["/etc/**"] } } });
docker::container("db");
docker::container("web"); //~ undeclared-permission: "web"
let c = docker::container("db");
step("a", || { c.restart(); });
fs::read("/etc/hosts");
fs::read("/srv/x"); //~ undeclared-permission: "/srv/x"
step("b", || {
    fs::write("/etc/hosts", "x"); //~ undeclared-permission: write
    fs::write("/etc/group", "x");
});
fn fetch() { http::get("https://example.org") } //~ undeclared-permission: get
print(fetch());
"#,
    );
    says(
        "runbook(#{});\nhttp::get(\"https://a\");\nhttp::get(\"https://b\");",
        "undeclared-permission",
        "http::get needs `http` to read, which the header does not declare (and one more place uses it)",
        "write in the header: `needs: #{ http: [\"https://a\", \"https://b\"] }`",
    );
}

#[test]
fn declared_and_not_used() {
    expect(
        r#"
runbook(#{
    needs: #{
        docker: "*",
        http: ["a"], //~ unused-permission: http
        dokcer: "*", //~ unknown-permission: dokcer
    },
});
fn f(x) { x.remove(); }
step("a", || f(#{}));
"#,
    );
}

#[test]
fn what_modules_use_counts() {
    expect(
        r#"
runbook(#{ needs: #{ fs: "*" } });
import "std/web" as web;
print(web::fetch("https://a")); //~ undeclared-permission: fetch
web::save("/x"); //~ change-outside-step: save
"#,
    );
}

#[test]
fn parameters() {
    expect(
        r#"
runbook(#{
    params: #{
        keep: #{ type: "duration", default: "7d" },
        unread: #{ type: "string", default: "" }, //~ unused-param: unread
        asked: #{ type: "string", default: "" },
        indexed: #{ type: "string", default: "" },
    },
});
print(params.keep);
print(params.keeep); //~ undeclared-param: keeep
print(params["indexed"]);
let f = || params.kept; //~ undeclared-param: kept
fn inside() { params.no } //~ undeclared-param: no
print(f.call() + inside() + ask("?", #{ param: "asked" }));
"#,
    );
    expect(
        "runbook(#{ params: #{ a: #{ type: \"string\", default: \"\" } } });\nprint(params.keys());",
    );
    expect(
        "runbook(#{ params: #{ a: #{ type: \"string\", default: \"\" } } });\nlet f = || params;\nprint(f.call());",
    );
    expect("print(params.x); //~ undeclared-param: x");
    expect(
        "runbook(#{ params: #{ keep: #{ type: \"string\", default: \"\" } } });\nprint(params.kep); //~ undeclared-param: kep",
    );
    says(
        "runbook(#{ params: #{ keep: #{ type: \"string\", default: \"\" } } });\nprint(params.kep);",
        "undeclared-param",
        "the header declares no parameter `kep`",
        "did you mean `keep`?",
    );
}

#[test]
fn headers_with_mistakes() {
    expect("print(1);\nrunbook(#{}); //~ header-not-first: runbook");
    expect(
        "runbook(#{ parms: #{} }); //~ header-unknown-key: parms\nnope(); //~ unknown-function: nope",
    );
    expect("let x = 1; print(x);\nprint(2);");
    expect("runbook(#{});\nrunbook(#{}); //~ header-twice: runbook");
    expect("runbook(#{ lock: `a${1}` }); //~ header-not-literal: `a${1}`");
    expect("runbook(#{ timeout: \"soon\" }); //~ header-invalid: \"soon\"");
    expect(
        "docker::container(\"a\").restart(); //~ header-missing: docker //~ change-outside-step: restart",
    );
    expect("fn f() { docker::container(\"a\").restart(); }");
}
