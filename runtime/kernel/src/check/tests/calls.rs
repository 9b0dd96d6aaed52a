use super::{expect, says};

#[test]
fn functions_and_namespaces_that_there_are_not() {
    expect(
        r#"
docker::contaners(); //~ unknown-function: contaners
dokcer::containers(); //~ unknown-namespace: dokcer
containers(); //~ unknown-function: containers
prnt(1); //~ unknown-function: prnt
print(docker::containers().len());
print(docker::containers().lenn()); //~ unknown-method: lenn
docker::inner::x(); //~ unknown-namespace: docker
let size = max(1, 2) + [1].len() + "a".to_upper().len();
print(`${size} ${nope()}`); //~ unknown-function: nope
"#,
    );
    says(
        "docker::contaners();",
        "unknown-function",
        "there is no function `docker::contaners`",
        "did you mean `containers`?",
    );
    says(
        "dokcer::x();",
        "unknown-namespace",
        "there is no namespace and no import `dokcer`",
        "did you mean `docker`?",
    );
    let finding = says(
        "containers();",
        "unknown-function",
        "there is no function `containers`",
        "did you mean `docker::containers`?",
    );
    assert_eq!(finding.replacement.as_deref(), Some("docker::containers"));
    says(
        "let db = 1; db::query(db);",
        "unknown-namespace",
        "there is no namespace and no import `db`",
        "`db` is a variable: write `db.query(…)`",
    );
    says(
        "docker::restart();",
        "unknown-function",
        "there is no function `docker::restart`",
        "`Container.restart` is a method: call it on the object",
    );
    says(
        "fs::get(\"x\");",
        "unknown-function",
        "there is no function `fs::get`",
        "did you mean `http::get`?",
    );
    says(
        "let f = |x| x; f(1);",
        "unknown-function",
        "there is no function `f`; there is a variable of that name",
        "call the closure in it with `f.call(…)`",
    );
}

#[test]
fn closures_functions_and_dead_code_are_looked_into() {
    expect(
        r#"
fn helper(x) { nope(x) } //~ unknown-function: nope
let c = [1, 2].map(|x| nope(x)); //~ unknown-function: nope
if false { nope(c); } //~ unknown-function: nope
let later = || { let inner = || nope(c); inner.call() }; //~ unknown-function: nope
later.call();
switch helper(1) { 1 => nope(1), 2 if nope(2) => 1, _ => 3 } //~ unknown-function: nope //~ unknown-function: nope
"#,
    );
}

#[test]
fn numbers_of_arguments() {
    expect(
        r#"
runbook(#{ needs: #{ docker: "*" } });
docker::container("a", "b"); //~ wrong-arguments: container
docker::containers();
step("a"); //~ wrong-arguments: step
assert(true);
fn two(a, b) { a + b }
two(1); //~ wrong-arguments: two
two(1, 2);
let c = docker::container("a");
step("b", || { c.restart(#{}, 2); }); //~ wrong-arguments: restart
step("c", || { c.restart(); });
max(1, 2, 3); //~ wrong-arguments: max
"#,
    );
    says(
        "fs::write(\"a\");",
        "wrong-arguments",
        "`fs::write` takes 2 arguments, and not 1",
        "it is `fs::write(path: string, text: string)`",
    );
    says(
        "fn two(a, b) { a + b } two();",
        "wrong-arguments",
        "`two` takes 2 arguments, and not 0",
        "it is `two(a, b)`",
    );
}

#[test]
fn methods_and_properties() {
    expect(
        r#"
runbook(#{ needs: #{ docker: "*" } });
let c = docker::container("a");
print(c.name);
print(c.name()); //~ property-as-method: name
print(c.nam); //~ unknown-method: nam
step("a", || { c.restart; c.remove(); }); //~ method-as-property: restart
step("b", || c.restrat()); //~ unknown-method: restrat
step("c", || c.push(1)); //~ unknown-method: push
for one in docker::containers() {
    print(one.names); //~ unknown-method: names
}
fn unknown(x) {
    x.restrat(); //~ unknown-method: restrat
    x.whatever;
    x.restart; //~ method-as-property: restart
    x.image(); //~ property-as-method: image
    x.image
}
unknown(c);
let handlers = #{ nothing: || 1 };
handlers.nothing();
print(docker::containers()[0].nam); //~ unknown-method: nam
print(c.to_string());
"#,
    );
    says(
        "let c = docker::container(\"a\"); c.restrat();",
        "unknown-method",
        "a Container has no method `restrat`",
        "did you mean `restart`?",
    );
    let finding = says(
        "fn f(x) { x.restart; 1 } f(1);",
        "method-as-property",
        "`restart` is a method: without `()` it is not called",
        "write `restart()`",
    );
    assert_eq!(finding.replacement.as_deref(), Some("restart()"));
}

#[test]
fn functions_by_name_and_closures_in_maps() {
    expect(
        r#"
fn helper() { 1 }
let f = Fn("helper");
let g = Fn("helpr"); //~ unknown-function: "helpr"
let handlers = #{ written: || 1 };
handlers.later = || 2;
print(f.call() + g.call() + handlers.written() + handlers.later());
print(handlers.never()); //~ unknown-method: never
"#,
    );
    let script = "fn helper() { 1 }\nFn(\"helpr\").call();";
    let finding = says(
        script,
        "unknown-function",
        "there is no function `helpr`",
        "did you mean `helper`?",
    );
    assert_eq!(finding.replacement.as_deref(), Some("\"helper\""));
}

#[test]
fn a_type_is_not_guessed() {
    expect(
        r#"
let c = docker::container("a");
c = #{ push: 1 };
c.push(1);
print(c.anything);
let list = [];
list.push(c);
list.remove(0);
"#,
    );
}
