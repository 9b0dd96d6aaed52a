//! `rls-audit`, `rls-validate` and `rls-watch`, as somebody runs them.

use ccrun_tests::isolation::Bed;

const WIDE: &str = "CREATE POLICY wide ON public.tasks FOR SELECT TO authenticated USING (true)";
const MENDED: &str = "DROP POLICY wide ON public.tasks";
const TRUNCATE: &str = "GRANT TRUNCATE ON public.tasks TO authenticated";

#[test]
fn the_audit_ends_as_its_findings_are() {
    let bed = Bed::new();
    let audit = |more: &str| bed.story.types(&format!("ccrun rls-audit {more}"));
    audit("").exits(0).prints("nothing was found");

    drop(bed.server.psql("base", WIDE));
    audit("")
        .exits(1)
        .prints("public.tasks: wide")
        .prints("SELECT USING (true) for authenticated")
        .prints("ALTER POLICY wide ON public.tasks USING")
        .prints("guide/rls-rules.html#policy_always_true");
    drop(bed.server.psql("base", MENDED));

    // A warning alone.
    drop(bed.server.psql("base", TRUNCATE));
    audit("").exits(0).prints("truncate_granted");
    audit("-p fail=warn").exits(1);
    // What is not shown fails the run all the same.
    audit("-p severity=error -p fail=warn")
        .exits(1)
        .hides("may TRUNCATE it");
    audit("-p severity=error").exits(0);
}

#[test]
fn what_is_accepted_has_a_reason_and_an_end() {
    let bed = Bed::new();
    drop(bed.server.psql("base", TRUNCATE));
    let entry = |more: &str| {
        bed.story.write(
            "rls-baseline.toml",
            format!("[[accepted]]\nrule = \"truncate_granted\"\nobject = \"public.tasks\"\n{more}"),
        );
        bed.story.types("ccrun rls-audit -p fail=warn")
    };
    entry("reason = \"a test table\"\nexpires = 2199-01-01\n")
        .exits(0)
        .says("a test table");
    entry("reason = \"a test table\"\nexpires = 2020-01-01\n")
        .exits(1)
        .says("it counts again");
    entry("expires = 2199-01-01\n")
        .exits(1)
        .says("has no reason");
    entry("reason = \"for ever\"\n")
        .exits(1)
        .says("has no expires");
}

#[test]
fn findings_are_written_for_machines() {
    let bed = Bed::new();
    drop(bed.server.psql("base", WIDE));
    let audit = |more: &str| bed.story.types(&format!("ccrun rls-audit {more}"));
    audit("-p format=sarif -p file=rls.sarif").exits(1);
    let sarif: serde_json::Value =
        serde_json::from_str(&bed.story.read("rls.sarif")).expect("JSON");
    assert_eq!(sarif["version"], "2.1.0");
    let run = &sarif["runs"][0];
    let result = run["results"]
        .as_array()
        .and_then(|list| {
            list.iter()
                .find(|one| one["ruleId"] == "policy_always_true")
        })
        .expect("the finding");
    assert_eq!(result["level"], "error");
    // Code scanning takes no result without a file.
    assert_eq!(
        result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"],
        "rls-baseline.toml"
    );
    let rules = run["tool"]["driver"]["rules"].as_array().expect("rules");
    assert!(rules.iter().any(|rule| rule["id"] == "policy_always_true"));

    audit("-p format=junit -p file=rls.xml").exits(1);
    let junit = bed.story.read("rls.xml");
    assert!(
        junit.starts_with("<?xml") && junit.contains("failures=\"2\""),
        "{junit}"
    );
    assert!(
        junit.contains(
            "<testcase classname=\"policy_always_true\" name=\"public.tasks: wide\"><failure"
        ),
        "{junit}"
    );

    assert!(!junit.contains("\\n"), "{junit}");

    // Nothing else is on standard output.
    let output = bed
        .story
        .command("ccrun rls-audit -p format=json")
        .output()
        .expect("ccrun starts");
    let found: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).expect("JSON alone");
    assert!(found.iter().any(|one| one["rule"] == "policy_always_true"
        && one["severity"] == "error"
        && one["docs"] == "guide/rls-rules.html#policy_always_true"));
}

#[test]
fn the_validation_says_what_it_does_and_what_it_found() {
    let bed = Bed::new();
    let validate = |more: &str| bed.story.types(&format!("ccrun rls-validate --yes {more}"));
    let before = bed.everything("base");
    validate("-p report=rls.html")
        .exits(0)
        .says("in one transaction of base that is rolled back")
        .prints("Tenants are isolated");
    assert_eq!(bed.everything("base"), before);
    let page = bed.story.read("rls.html");
    assert!(
        page.contains("no leak") && page.contains("public.tasks"),
        "{page}"
    );

    drop(bed.server.psql("base", WIDE));
    validate("-p report=rls.html")
        .exits(1)
        // Who did the same with the same outcome stands in one line, with the statement.
        .prints("B; authenticated, no sub; authenticated, no tenant: SELECT 1 FROM public.tasks WHERE id = ")
        .prints("ALTER POLICY wide ON public.tasks USING");
    let page = bed.story.read("rls.html");
    assert!(page.contains("class=\"leak\">LEAK"), "{page}");
}

#[test]
fn a_protected_target_is_asked_for_and_what_is_not_rolled_back_is_refused() {
    let bed = Bed::new();
    let before = bed.everything("base");
    bed.story
        .types("ccrun rls-validate --target production")
        .exits(3)
        .says("`production` is protected");
    assert_eq!(bed.everything("base"), before);
    bed.story
        .types("ccrun rls-validate --target production --yes")
        .exits(0)
        .says("in one transaction of base that is rolled back");
    assert_eq!(bed.everything("base"), before);

    // Another database is written to by a trigger: no rollback takes that back.
    drop(bed.server.psql(
        "base",
        "CREATE FUNCTION public.tells() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM dblink_exec('dbname=other', 'SELECT 1'); RETURN new; END $$;
         CREATE TRIGGER tells AFTER INSERT ON public.tasks FOR EACH ROW EXECUTE FUNCTION public.tells()",
    ));
    bed.story
        .types("ccrun rls-validate --target production --yes")
        .exits(1)
        .says("public.tells of public.tasks")
        .says("not rolled back");
}

#[test]
fn what_is_new_is_told_until_it_is_mended() {
    let bed = Bed::new();
    let watch = || bed.story.types("ccrun rls-watch --yes");
    drop(bed.server.psql("base", TRUNCATE));
    // What there is at the first look is known.
    watch().exits(0).prints("all known");
    drop(bed.server.psql("base", WIDE));
    watch()
        .exits(1)
        .prints("policy_always_true public.tasks: wide")
        .prints("B: SELECT 1 FROM public.tasks");
    // Still there, so still told: an alert must not be resolved by looking away.
    watch()
        .exits(1)
        .prints("policy_always_true public.tasks: wide");
    drop(bed.server.psql("base", MENDED));
    watch().exits(0);
    drop(bed.server.psql("base", WIDE));
    watch().exits(1);
    let accepted = [
        "policy_always_true public.tasks: wide",
        "multiple_permissive public.tasks: tasks_of_owner, wide",
        "leak public.tasks",
    ]
    .map(|one| {
        let (rule, object) = one.split_once(' ').expect("two words");
        format!("[[accepted]]\nrule = \"{rule}\"\nobject = \"{object}\"\nreason = \"meant\"\nexpires = 2199-01-01\n")
    });
    bed.story.write("rls-baseline.toml", accepted.concat());
    watch().exits(0);
}
