use super::{expect, says};

#[test]
fn changes_outside_of_steps() {
    expect(
        r#"
runbook(#{ needs: #{ docker: "*" } });
let c = docker::container("a");
c.restart(); //~ change-outside-step: restart
step("a", || { c.restart(); parallel([|| c.restart()]); });
if c.name == "b" { c.remove(); } //~ change-outside-step: remove
each([c], |one| one.restart()); //~ change-outside-step: restart
defer(|| c.remove());
step("b", #{ undo: |_r| c.remove() }, || 1);
let kept = || c.restart();
step("c", || kept.call());
fn inner(c) { c.restart(); }
fn deploy(c) { inner(c); step("inner", || c.restart()); }
fn stepped(c) { step("d", || inner(c)); }
fn never(c) { c.restart(); }
deploy(c); //~ change-outside-step: deploy
stepped(c);
step("e", || deploy(c));
check("f", || c.name == "x");
"#,
    );
    says(
        "runbook(#{ needs: #{ docker: \"*\" } });\nfn f() { docker::container(\"a\").restart(); }\nf();",
        "change-outside-step",
        "`f` makes changes (Container.restart) and is called outside of any step",
        "it runs again on resume: put it into `step(\"…\", || …)`",
    );
}

#[test]
fn values_that_a_resume_loses() {
    expect(
        r#"
let id = ();
let list = [];
let map = #{};
let total = 0;
let text = "";
let hidden = 0;
step("a", || {
    id = 5; //~ lost-on-resume: id
    list.push(1); //~ lost-on-resume: list
    map.key = 1; //~ lost-on-resume: map
    total += 1; //~ lost-on-resume: total
    hidden = 1;
    print(hidden);
    let own = 1;
    own = 2;
    print(own);
    each([1], |x| { text += x; }); //~ lost-on-resume: text
    step("b", || { own = 3; }); //~ lost-on-resume: own
    print(own);
});
print(`${id} ${list} ${map} ${total} ${text}`);
let c = docker::container("a"); //~ unused-variable: c
step("c", || { c = 1; });
"#,
    );
    says(
        "let id = 0;\nstep(\"make\", || { id = 5; });\nprint(id);",
        "lost-on-resume",
        "`id` is assigned inside the step \"make\": a resume skips the step, and the value is lost",
        "let the step return it: `let id = step(…, || …)`",
    );
}

#[test]
fn updates_that_get_lost() {
    expect(
        r#"
let total = 0;
let m = #{ n: 0 };
let list = [];
each([1, 2], |x| {
    total += x;
    list.push(x);
    m.n += x;
    m.n = m.n + x; //~ lost-update: m
    total = total + x; //~ lost-update: total
    let own = 0;
    own = own + x;
    own
});
parallel([|| { m.n = m.n * 2; }]); //~ lost-update: m
for x in 0..3 { total = total + x; }
print(`${total} ${m} ${list}`);
"#,
    );
}

#[test]
fn two_steps_of_one_name() {
    expect(
        r#"
step("a", || { step("b", || 1); step("b", || 2); }); //~ duplicate-step: "b"
step("b", || 1);
step("a", || 1); //~ duplicate-step: "a"
for x in 0..2 { step("c", || x); }
for x in 0..2 { step("c", || x); }
each([1], |x| { step("d", || x); });
let n = 1;
if n == 1 { step("e", || 1); } else { step("e", || 2); }
step("f", || 1);
if true { step("f", || 1); } //~ duplicate-step: "f"
step(`g ${n}`, || 1);
step(`g ${n}`, || 1);
fn twice() { step("b", || 1); step("b", || 2); } //~ duplicate-step: "b"
twice();
"#,
    );
}
