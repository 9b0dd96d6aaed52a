use ccrun_kernel::Registry;
use ccrun_kernel::testing::{eval, eval_dry};

use super::namespace;

#[test]
fn every_example_runs_also_in_a_dry_run() {
    for primitive in Registry::new(vec![namespace()]).primitives() {
        for example in primitive
            .doc
            .examples
            .iter()
            .filter(|_| primitive.namespace == "sys")
        {
            if let Err(error) = eval(vec![namespace()], &example.code) {
                panic!("{}: {error:?}", primitive.path());
            }
            if let (Err(error), _) = eval_dry(vec![namespace()], &example.code) {
                panic!("{} in a dry run: {error:?}", primitive.path());
            }
        }
    }
}

#[test]
fn what_the_kernel_says_is_what_scripts_get() {
    let script = r#"
        let m = sys::memory();
        assert(m.used + m.available == m.total, "used and available are all there is");
        let d = sys::disk("/");
        assert(d.used + d.free == d.total);
        assert(d.path == "/");
        let own = sys::processes(#{ sort: "cpu", limit: 100000 });
        assert(own.len() >= 1);
        assert(sys::processes(#{ limit: 2 }).len() <= 2);
        assert(sys::processes(#{ name: "no such process" }).len() == 0);
        [m.total.bytes, sys::hostname(), own.map(|p| p.pid)]
    "#;
    let found = eval(vec![namespace()], script)
        .unwrap()
        .into_array()
        .unwrap();
    #[allow(
        clippy::disallowed_methods,
        reason = "compared with the system's own words"
    )]
    let (meminfo, hostname) = (
        std::fs::read_to_string("/proc/meminfo").unwrap(),
        std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap(),
    );
    let total = meminfo
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<i64>()
        .unwrap()
        * 1024;
    assert_eq!(found[0].as_int().unwrap(), total);
    // Threads are none: each process is the leader of its group.
    for pid in found[2].clone().into_typed_array::<i64>().unwrap() {
        #[allow(
            clippy::disallowed_methods,
            reason = "compared with the system's own words"
        )]
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let group = status.lines().find_map(|line| line.strip_prefix("Tgid:"));
        assert_eq!(
            group.map_or(pid, |group| group.trim().parse().unwrap()),
            pid
        );
    }
    assert_eq!(found[1].clone().into_string().unwrap(), hostname.trim());
}

#[test]
fn wrong_paths_and_options_are_named() {
    for (script, kind) in [
        (r#"sys::disk("/no/such/path")"#, "sys.not_found"),
        (r#"sys::processes(#{ sort: "name" })"#, "argument.type"),
        (r#"sys::processes(#{ limits: 3 })"#, "argument.unknown_key"),
    ] {
        assert_eq!(
            eval(vec![namespace()], script).unwrap_err().kind(),
            kind,
            "{script}"
        );
    }
}
