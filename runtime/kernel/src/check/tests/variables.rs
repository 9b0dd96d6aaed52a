use super::{expect, says};

#[test]
fn variables_that_there_are_not() {
    expect(
        r#"
let name = "a";
print(nmae); //~ unknown-variable: nmae
print(name + target + trigger);
let f = |x| x + y; //~ unknown-variable: y
print(f.call(1));
{ let inner = 1; print(inner); }
print(inner); //~ unknown-variable: inner
fn g(x) { x + name + target } //~ unknown-variable: name
print(g(1));
const LIMIT = 3;
fn h() { global::LIMIT + global::LIMITS + LIMIT } //~ unknown-variable: LIMITS //~ unknown-variable: LIMIT
print(h());
try { throw 1; } catch (err) { print(err); }
for (item, index) in [1] { print(item + index); }
print(item); //~ unknown-variable: item
let later = later_on; //~ unknown-variable: later_on
let later_on = 1;
print(later + later_on);
if None == 1 { nothing = 2; } //~ unknown-variable: None //~ unknown-variable: nothing
"#,
    );
    says(
        "let name = 1;\nfn g() { name }\nprint(g() + name);",
        "unknown-variable",
        "there is no variable `name` here",
        "a function (`fn`) sees only its parameters: pass `name` to it, or make it a `const` and write `global::name`",
    );
    says(
        "print(None);",
        "unknown-variable",
        "there is no variable `None` here",
        "the value that is nothing is `()`",
    );
    says(
        "print(docker);",
        "unknown-variable",
        "there is no variable `docker` here",
        "`docker` is a namespace: its functions are `docker::…`",
    );
}

#[test]
fn variables_that_nobody_reads() {
    expect(
        r#"
let unread = 1; //~ unused-variable: unread
let _meant = 1;
let assigned = 1; //~ unused-variable: assigned
assigned = 2;
const UNREAD = 1; //~ unused-variable: UNREAD
let captured = 1;
let f = || captured;
print(f.call());
let shadowed = 1; //~ unused-variable: shadowed
let shadowed = 2;
print(`${shadowed}`);
export let passed = 1;
fn g(unused_parameter) { let inside = 1; } //~ unused-variable: inside
g(1);
"#,
    );
}

#[test]
fn names_of_namespaces() {
    expect(
        r#"
let docker = 1; //~ shadowed-namespace: docker
print(docker);
let f = |fs| fs; //~ shadowed-namespace: |
print(f.call(1));
for http in [1] { print(http); } //~ shadowed-namespace: http
"#,
    );
}

#[test]
fn code_that_never_runs() {
    expect(
        r#"
fn f(x) {
    if x { return 1; print("a"); } //~ unreachable: print
    if x { return 1; } else { throw 2; }
    print("b"); //~ unreachable: print
}
loop { break; print("c"); } //~ unreachable: print
for x in [1] { if x == 1 { continue; } print(x); }
f(1);
exit(1);
print("d"); //~ unreachable: print
"#,
    );
}

#[test]
fn a_comment_silences_a_rule() {
    expect(
        r#"
let a = 1; // ccrun: allow(unused-variable)
// ccrun: allow(unused-variable, unknown-function): on purpose
let b = nope();
let c = nope(); //~ unused-variable: c //~ unknown-function: nope
let d = 1; // ccrun: allow(unused-varable) //~ unused-variable: d //~ unknown-rule: unused-varable
"#,
    );
}
