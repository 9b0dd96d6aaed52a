use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::effect::Effect::{Change, Pure, Read};

fn needs(header: &str) -> Needs {
    let source = format!("runbook(#{{ needs: {header} }});");
    let header = crate::runbook::parse("test.rhai", source)
        .unwrap()
        .header
        .unwrap();
    header.needs.unwrap().based_on(Path::new("/srv/app"))
}

fn error(header: &str) -> Error {
    let source = format!("runbook(#{{ needs: {header} }});");
    crate::runbook::parse("test.rhai", source).unwrap_err()
}

#[test]
fn both_effects_or_each_its_own() {
    let needs = needs(
        r#"#{ pg: ["app*"], fs: #{ read: ["/etc/**"], change: ["data/"] }, http: "*", sh: true, s3: [] }"#,
    );
    for (capability, effect, resource, allowed) in [
        ("pg", Read, "app_test", true),
        ("pg", Change, "app_test", true),
        ("pg", Read, "postgres", false),
        ("fs", Read, "/etc/ssl/cert.pem", true),
        ("fs", Read, "/etc", true),
        ("fs", Change, "/etc/ssl/cert.pem", false),
        ("fs", Change, "/srv/app/data/a/b.csv", true),
        ("fs", Change, "/srv/app/data", true),
        ("fs", Read, "/srv/app/data/a", false),
        ("fs", Change, "/srv/app/database", false),
        ("http", Change, "api.example.org:443", true),
        ("sh", Change, "/usr/bin/rsync", true),
        ("s3", Read, "backups", false),
        ("docker", Read, "postgres", false),
        ("docker", Pure, "anything", true),
    ] {
        assert_eq!(
            needs.allows(capability, effect, resource),
            allowed,
            "{effect} {capability} {resource}"
        );
    }
}

#[test]
fn what_is_not_known_yet_takes_any_grant_and_no_denial() {
    let check = |header: &str, capability: &str| {
        let denied = needs(r#"#{ alert: ["page"] }"#);
        Policy::new(Some(needs(header)), None)
            .denying(denied)
            .check(capability, Change, ANYTHING)
    };
    assert!(check(r#"#{ alert: ["ops"] }"#, "alert").is_ok());
    assert!(check(r#"#{ alert: "*" }"#, "alert").is_ok());
    for header in [
        r#"#{ alert: [] }"#,
        r#"#{ alert: #{ read: ["ops"] } }"#,
        "#{}",
    ] {
        let error = check(header, "alert").unwrap_err();
        assert_eq!(error.kind(), "permission_denied");
        assert!(
            error.hint_text().unwrap().contains(r#"alert: "#),
            "{error:?}"
        );
        assert!(error.hint_text().unwrap().contains(r#"["*"]"#), "{error:?}");
    }
    // What it turns out to be is asked again.
    let ops = Policy::new(Some(needs(r#"#{ alert: ["ops"] }"#)), None);
    assert!(ops.check("alert", Change, "page").is_err());
}

#[test]
fn a_star_stays_within_one_part_of_a_path() {
    let needs = needs(
        r#"#{ fs: ["/var/log/*.log", "conf/**/x.toml"], http: ["*.example.org:*"], docker: ["ghcr.io/*/web"] }"#,
    );
    for (capability, resource, allowed) in [
        ("fs", "/var/log/app.log", true),
        ("fs", "/var/log/nginx/app.log", false),
        ("fs", "/srv/app/conf/x.toml", true),
        ("fs", "/srv/app/conf/a/b/x.toml", true),
        ("http", "api.example.org:443", true),
        ("http", "a.b.example.org:443", true),
        ("http", "example.org:443", false),
        ("docker", "ghcr.io/team/web", true),
        ("docker", "ghcr.io/team/other/web", false),
    ] {
        assert_eq!(
            needs.allows(capability, Read, resource),
            allowed,
            "{capability} {resource}"
        );
    }
}

#[test]
fn nothing_climbs_out_of_a_folder() {
    let needs = needs(r#"#{ fs: ["data/**", "/tmp/x/*"] }"#);
    for resource in [
        "/srv/app/data/../secret",
        "/srv/app/data/a/../../../../etc/shadow",
        "/srv/app/data/./../.env",
        "data/../../../etc/shadow",
        "/tmp/x/../y",
        "/tmp/x/a/..//../../etc",
    ] {
        assert!(!needs.allows("fs", Read, resource), "{resource}");
    }
    assert!(needs.allows("fs", Read, "/srv/app//data/./a/../b"));
}

#[test]
fn a_folder_with_special_letters_is_meant_literally() {
    let source = r#"runbook(#{ needs: #{ fs: ["data/*"] } });"#;
    let needs = crate::runbook::parse("t", source)
        .unwrap()
        .header
        .unwrap()
        .needs
        .unwrap();
    let needs = needs.based_on(Path::new("/srv/[old] app*"));
    assert!(needs.allows("fs", Read, "/srv/[old] app*/data/x"));
    assert!(!needs.allows("fs", Read, "/srv/o app1/data/x"));
}

#[test]
fn a_denial_names_the_line_that_would_allow_it() {
    let check = |policy: &Policy, capability, effect, resource| {
        let error = policy.check(capability, effect, resource).unwrap_err();
        assert_eq!(error.kind(), "permission_denied");
        (
            error.message().to_owned(),
            error.hint_text().unwrap().to_owned(),
        )
    };
    let header = needs(r#"#{ fs: #{ read: ["conf/**"] }, pg: ["app"] }"#);
    let policy = Policy::new(Some(header), None);
    assert_eq!(
        check(&policy, "fs", Read, "/etc/shadow"),
        (
            "permission denied: read fs /etc/shadow (the header does not declare it)".into(),
            r#"to allow it, write in the header: needs: #{ fs: #{ read: ["conf/**", "/etc/shadow"] } }"#.into()
        )
    );
    assert_eq!(
        check(&policy, "fs", Change, "/etc/we[i]rd").1,
        r#"to allow it, write in the header: needs: #{ fs: #{ read: ["conf/**"], change: ["/etc/we[[]i[]]rd"] } }"#
    );
    assert_eq!(
        check(&policy, "s3", Change, "backups").1,
        r#"to allow it, write in the header: needs: #{ s3: #{ change: ["backups"] } }"#
    );
    assert!(policy.check("pg", Change, "app").is_ok());
    assert!(policy.check("s3", Pure, "backups").is_ok());

    let toml: toml::Table = r#"fs = { read = ["/etc/*"] }"#.parse().unwrap();
    let target = Needs::from_toml(&toml.into(), Path::new("/srv")).unwrap();
    let policy = Policy::new(None, Some(target)).target_name("production");
    assert!(policy.check("fs", Read, "/etc/hosts").is_ok());
    assert_eq!(
        check(&policy, "fs", Change, "/etc/hosts"),
        (
            "permission denied: change fs /etc/hosts (the target production does not allow it)".into(),
            r#"to allow it, write in ccrun.toml under [target.production.needs]: fs = { read = ["/etc/*"], change = ["/etc/hosts"] }"#.into()
        )
    );
}

#[test]
fn the_header_proposed_by_a_denial_allows_the_call() {
    let first = needs(r#"#{ fs: ["conf/**"] }"#);
    let resource = "/etc/we[i]rd*{a}";
    let error = Policy::new(Some(first), None)
        .check("fs", Change, resource)
        .unwrap_err();
    let line = error.hint_text().unwrap().rsplit_once("needs: ").unwrap().1;
    assert!(needs(line).allows("fs", Change, resource), "{line}");
    assert!(!needs(line).allows("fs", Change, "/etc/weirdXa"), "{line}");
}

#[test]
fn the_header_starts_from_the_folder_of_the_run_and_the_target_from_its_own() {
    let toml: toml::Table = r#"fs = ["data/**"]"#.parse().unwrap();
    let target = Needs::from_toml(&toml.into(), Path::new("/srv")).unwrap();
    let policy = Policy::new(Some(needs(r#"#{ fs: ["data/**"] }"#)), Some(target));
    let check = |policy: &Policy, path| policy.check("fs", Read, path).is_ok();
    assert!(check(
        &policy.clone().based_at(Path::new("/srv")),
        "/srv/data/x"
    ));
    assert!(!check(
        &policy.clone().based_at(Path::new("/home")),
        "/srv/data/x"
    ));
    assert!(!check(&policy.based_at(Path::new("/home")), "/home/data/x"));
}

#[test]
fn a_target_only_narrows() {
    let wide = needs(r#"#{ fs: "*", pg: "*" }"#);
    let narrow = needs(r#"#{ fs: ["/srv/**"] }"#);
    let policy = Policy::new(Some(narrow.clone()), Some(wide.clone()));
    assert!(policy.check("pg", Read, "app").is_err());
    let policy = Policy::new(Some(wide.clone()), Some(narrow));
    assert!(policy.check("pg", Read, "app").is_err());
    assert!(policy.check("fs", Read, "/srv/x").is_ok());
    let policy = policy.denying(needs(r#"#{ fs: ["/srv/secret"] }"#));
    assert!(policy.check("fs", Read, "/srv/x").is_ok());
    assert!(policy.check("fs", Read, "/srv/secret").is_err());
    assert!(Policy::new(None, None).check("fs", Change, "/").is_ok());
    assert!(
        Policy::new(Some(Needs::nothing()), None)
            .check("fs", Read, "/")
            .is_err()
    );
}

#[test]
fn wrong_needs_are_errors_at_their_place() {
    let shown = |header: &str| {
        let error = error(header);
        (
            error.kind().to_owned(),
            error.message().to_owned(),
            error.location().unwrap().column,
        )
    };
    let at = "runbook(#{ needs: ".len() + 1;
    assert_eq!(
        shown("[]"),
        (
            "header.needs".into(),
            "`needs` is a map, and not an array".into(),
            at
        )
    );
    assert_eq!(
        shown("#{ fs: 5 }"),
        (
            "header.needs".into(),
            "`needs.fs` names resources, and not 5".into(),
            at + 7
        )
    );
    assert_eq!(
        shown("#{ fs: #{ reed: [] } }"),
        (
            "header.unknown_key".into(),
            "`needs.fs` has no key `reed`".into(),
            at + 10
        )
    );
    assert_eq!(
        shown(r#"#{ fs: ["[a"] }"#),
        (
            "header.needs".into(),
            "`needs.fs`: \"[a\" is not a pattern: unclosed character class; missing ']'".into(),
            at + 8
        )
    );
    assert_eq!(
        shown(r#"#{ fs: ["~/.ssh"] }"#).1,
        "`needs.fs`: \"~/.ssh\" is not a pattern: write the home folder in full"
    );
}

#[test]
fn a_recording_is_the_least_header_and_allows_the_run() {
    let recorder = Recorder::new("/srv/app");
    assert_eq!(recorder.header(), "needs: #{},");
    let used = [
        ("pg", Read, "app"),
        ("pg", Change, "app"),
        ("fs", Read, "/srv/app/conf/b.toml"),
        ("fs", Read, "/srv/app/conf/a*.toml"),
        ("fs", Change, "/var/backups/x"),
        ("fs", Read, "/srv/app/conf/b.toml"),
        ("http", Read, "api.example.org:443"),
        ("crypto", Pure, ""),
    ];
    for (capability, effect, resource) in used {
        recorder.record(capability, effect, resource);
    }
    let header = recorder.header();
    assert_eq!(
        header,
        r#"needs: #{
    fs: #{ read: ["conf/a[*].toml", "conf/b.toml"], change: ["/var/backups/x"] },
    http: #{ read: ["api.example.org:443"] },
    pg: ["app"],
},"#
    );
    let needs = needs(header.trim_start_matches("needs: ").trim_end_matches(','));
    for (capability, effect, resource) in used {
        assert!(
            needs.allows(capability, effect, resource),
            "{capability} {resource}"
        );
    }
    assert!(!needs.allows("fs", Read, "/srv/app/conf/ab.toml"));
}

proptest! {
    /// Whatever path is asked for, with whatever `..` in it, only what is inside is allowed.
    #[test]
    fn only_what_is_inside_is_allowed(
        parts in prop::collection::vec("(data|etc|\\.\\.|\\.||x)", 0..8),
    ) {
        let needs = needs(r#"#{ fs: ["data/**"] }"#);
        let resource = format!("/{}", parts.join("/"));
        let mut real = std::path::PathBuf::from("/");
        for part in &parts {
            match part.as_str() {
                ".." => { real.pop(); }
                "." | "" => {}
                part => real.push(part),
            }
        }
        prop_assert_eq!(needs.allows("fs", Read, &resource), real.starts_with("/srv/app/data"));
        let resource = format!("/srv/app/{}", parts.join("/"));
        let allowed = needs.allows("fs", Read, &resource);
        let mut real = std::path::PathBuf::from("/srv/app");
        for part in &parts {
            match part.as_str() {
                ".." => { real.pop(); }
                "." | "" => {}
                part => real.push(part),
            }
        }
        prop_assert_eq!(allowed, real.starts_with("/srv/app/data"));
    }

    #[test]
    fn no_pattern_panics(text in ".{0,20}") {
        if let Ok(mut pattern) = Pattern::new(&text) {
            pattern.base_on(Path::new("/a"));
            let _ = pattern.matches("/a/b");
        }
    }
}
