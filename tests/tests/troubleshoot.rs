//! Troubleshooting: a fault is named first, with what follows from it, and what is offered mends it.
//!
//! `CCRUN_TROUBLE=all` tries every fault, `CCRUN_TROUBLE=postgres,redis` those whose name has one of that in it; without it some
//! of each sort.
#![cfg_attr(
    not(feature = "soak"),
    allow(
        dead_code,
        unused_imports,
        reason = "the faults are tried by `make soak`"
    )
)]

use ccrun_tests::docker::docker;
use ccrun_tests::trouble::{Bed, Case, Cure, is_green, told};

/// What the stack of these tests has more: a schema cache as the real PostgREST has, and a small disk for Redis.
const EXTRA: &str = "services:
  postgrest:
    environment: { STANDIN_SCHEMA_CACHE: \"on\" }
volumes:
  redis_data:
    driver: local
    driver_opts: { type: tmpfs, device: tmpfs, o: \"size=24m\" }
";

/// The same with more for one service.
fn extra(bed: &Bed, service: &str, more: &str) {
    let text = match service {
        "postgrest" => EXTRA.replace(
            "STANDIN_SCHEMA_CACHE: \"on\"",
            &format!("STANDIN_SCHEMA_CACHE: \"on\", {more}"),
        ),
        _ => EXTRA.replace(
            "services:\n",
            &format!("services:\n  {service}:\n    {more}\n"),
        ),
    };
    bed.stack.extra(&text);
    bed.up(service);
}

fn plain(bed: &Bed) {
    bed.stack.extra(EXTRA);
}

fn stop(bed: &Bed, service: &str) {
    let _name = docker(&["stop", "--time", "1", &bed.container(service)]);
}

fn pause(bed: &Bed, service: &str) {
    let _name = docker(&["pause", &bed.container(service)]);
}

/// Change what Caddy serves; it may only read it itself.
fn frontend(bed: &Bed, script: &str) {
    let volume = format!("{}_frontend:/www", bed.stack.name);
    let _said = docker(&[
        "run",
        "--rm",
        "--network",
        "none",
        "--volume",
        &volume,
        "--entrypoint",
        "sh",
        "ccrun-testbed/caddy:latest",
        "-c",
        script,
    ]);
}

/// A session that holds a transaction open until it is ended.
fn hold(bed: &Bed, statement: &str) {
    bed.sql_for_long(&format!("BEGIN; {statement};\n\\! sleep 600"));
}

const fn case(
    name: &'static str,
    finds: (&'static str, &'static str),
    fault: fn(&Bed),
    cure: Cure,
) -> Case {
    Case {
        name,
        finds,
        fault,
        cure,
        options: "",
        often: false,
    }
}

const fn often(case: Case) -> Case {
    Case {
        often: true,
        ..case
    }
}

const fn with(options: &'static str, case: Case) -> Case {
    Case { options, ..case }
}

use Cure::{Offered, Person, Then};

const CASES: &[Case] = &[
    // ---- containers ----------------------------------------------------------------------------
    often(case(
        "postgres stopped",
        ("container/stopped", "postgres"),
        |bed| stop(bed, "postgres"),
        Offered,
    )),
    case(
        "redis stopped",
        ("container/stopped", "redis"),
        |bed| stop(bed, "redis"),
        Offered,
    ),
    case(
        "seaweedfs stopped",
        ("container/stopped", "seaweedfs"),
        |bed| stop(bed, "seaweedfs"),
        Offered,
    ),
    case(
        "caddy stopped",
        ("container/stopped", "caddy"),
        |bed| stop(bed, "caddy"),
        Offered,
    ),
    case(
        "prometheus stopped",
        ("container/stopped", "prometheus"),
        |bed| stop(bed, "prometheus"),
        Offered,
    ),
    case(
        "alertmanager stopped",
        ("container/stopped", "alertmanager"),
        |bed| stop(bed, "alertmanager"),
        Offered,
    ),
    case(
        "loki down",
        ("container/stopped", "loki"),
        |bed| stop(bed, "loki"),
        Offered,
    ),
    case(
        "mail server stopped",
        ("container/stopped", "postal-smtp"),
        |bed| stop(bed, "postal-smtp"),
        Offered,
    ),
    case(
        "exporter stopped",
        ("container/stopped", "node-exporter"),
        |bed| stop(bed, "node-exporter"),
        Offered,
    ),
    often(case(
        "postgrest paused",
        ("container/paused", "postgrest"),
        |bed| pause(bed, "postgrest"),
        Offered,
    )),
    case(
        "postgres paused",
        ("container/paused", "postgres"),
        |bed| pause(bed, "postgres"),
        Offered,
    ),
    case(
        "grafana paused",
        ("container/paused", "grafana"),
        |bed| pause(bed, "grafana"),
        Offered,
    ),
    case(
        "gotrue killed",
        ("container/stopped", "supabase_auth"),
        |bed| {
            let _name = docker(&["kill", &bed.container("supabase_auth")]);
        },
        Offered,
    ),
    case(
        "realtime removed",
        ("container/missing", "realtime"),
        |bed| {
            let _name = docker(&["rm", "--force", &bed.container("realtime")]);
        },
        Offered,
    ),
    case(
        "realtime crashes",
        ("container/crashing", "realtime"),
        |bed| {
            extra(
                bed,
                "realtime",
                "command: [\"sh\", \"-c\", \"echo it breaks; exit 3\"]",
            );
        },
        Then(plain),
    ),
    often(case(
        "realtime killed for want of memory",
        ("container/oom", "realtime"),
        |bed| {
            extra(bed, "realtime", "mem_limit: 8m");
        },
        Then(plain),
    )),
    case(
        "pgadmin unhealthy, and optional",
        ("container/unhealthy", "pgadmin"),
        |bed| {
            extra(
                bed,
                "pgadmin",
                "healthcheck: { test: [\"CMD\", \"false\"], interval: 1s, retries: 1, start_period: 0s }",
            );
        },
        Then(plain),
    ),
    case(
        "postgrest off its network",
        ("container/network", "postgrest"),
        |bed| {
            let network = format!("{}_backend", bed.stack.name);
            let _nothing = docker(&[
                "network",
                "disconnect",
                &network,
                &bed.container("postgrest"),
            ]);
        },
        Offered,
    ),
    // ---- postgres ------------------------------------------------------------------------------
    often(case(
        "password changed after the first start",
        ("postgres/password", "AUTHENTICATOR_PASSWORD"),
        |bed| {
            bed.sql("ALTER ROLE authenticator PASSWORD 'another'");
        },
        Offered,
    )),
    case(
        "superuser's password changed",
        ("postgres/password", "POSTGRES_PASSWORD"),
        |bed| {
            bed.sql("ALTER ROLE postgres PASSWORD 'another'");
        },
        Offered,
    ),
    case(
        "connections exhausted",
        ("postgres/connections", "connections"),
        |bed| {
            let script = "import asyncio, asyncpg
async def main():
    held = []
    while len(held) < 110:
        try: held.append(await asyncpg.connect(user='owner', database='command_center', host='/var/run/postgresql', server_settings={'application_name': 'leak'}))
        except Exception: break
    await asyncio.sleep(600)
asyncio.run(main())";
            bed.inside_for_long("postgres", &format!("python3 -c \"{script}\""));
        },
        Offered,
    ),
    often(with(
        "--blocked-after 1s",
        case(
            "blocking lock",
            ("postgres/blocked", "a lock of session"),
            |bed| {
                hold(bed, "LOCK TABLE public.tasks IN ACCESS EXCLUSIVE MODE");
                bed.sql_for_long("SELECT count(*) FROM public.tasks;");
            },
            Offered,
        ),
    )),
    with(
        "--idle-after 1s",
        case(
            "idle transaction",
            ("postgres/idle-in-transaction", "holds a transaction open"),
            |bed| {
                hold(bed, "SELECT count(*) FROM public.domains");
            },
            Offered,
        ),
    ),
    with(
        "--slow-after 1s",
        case(
            "long query",
            ("postgres/long-query", "a statement runs"),
            |bed| {
                bed.sql_for_long("SELECT pg_sleep(600);");
            },
            Offered,
        ),
    ),
    often(case(
        "table without an index",
        ("postgres/index-missing", "tasks has no index on user_id"),
        |bed| {
            bed.sql("DROP INDEX public.tasks_user; WITH d AS (INSERT INTO public.domains (name, owner_id) VALUES ('many', gen_random_uuid()) RETURNING id) INSERT INTO public.tasks (domain_id, user_id, title) SELECT d.id, gen_random_uuid(), 'task ' || n FROM d, generate_series(1, 3000) n; ANALYZE public.tasks");
        },
        Offered,
    )),
    case(
        "invalid index",
        ("postgres/index-invalid", "tasks_domain"),
        |bed| {
            bed.sql("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'public.tasks_domain'::regclass");
        },
        Offered,
    ),
    with(
        "--mean-after 50ms",
        case(
            "slow statement",
            ("postgres/slow-statement", "a statement takes"),
            |bed| {
                bed.sql("SELECT pg_stat_statements_reset(); DO $$ BEGIN FOR n IN 1..6 LOOP PERFORM count(*) FROM generate_series(1, 600000) AS slow (x); END LOOP; END $$");
                for _ in 0..6 {
                    bed.sql("SELECT count(*) FROM generate_series(1, 600000) AS slow (x)");
                }
            },
            Offered,
        ),
    ),
    case(
        "read-only server",
        ("postgres/read-only", "read-only"),
        |bed| {
            bed.sql("ALTER SYSTEM SET default_transaction_read_only = on");
            bed.sql("SELECT pg_reload_conf()");
        },
        Offered,
    ),
    case(
        "autovacuum off",
        ("postgres/autovacuum", "autovacuum"),
        |bed| {
            bed.sql("ALTER SYSTEM SET autovacuum = off");
            bed.sql("SELECT pg_reload_conf()");
        },
        Offered,
    ),
    with(
        "--slot-wal 1MiB",
        case(
            "forgotten replication slot",
            ("postgres/slot", "forgotten"),
            |bed| {
                bed.sql("SELECT pg_create_physical_replication_slot('forgotten', true)");
                bed.sql("CREATE TABLE public.much AS SELECT repeat('x', 2000) AS x FROM generate_series(1, 4000)");
                bed.sql("DROP TABLE public.much");
            },
            Offered,
        ),
    ),
    // ---- postgrest -----------------------------------------------------------------------------
    often(case(
        "wrong JWT secret",
        ("postgrest/jwt-secret", "another secret"),
        |bed| {
            bed.set(
                "PGRST_JWT_SECRET",
                "another-secret-that-is-long-enough-for-anybody",
            );
            bed.up("postgrest");
        },
        Offered,
    )),
    often(case(
        "schema cache stale",
        ("postgrest/stale-cache", "fresh"),
        |bed| {
            bed.sql("CREATE TABLE public.fresh (id int PRIMARY KEY); ALTER TABLE public.fresh ENABLE ROW LEVEL SECURITY; GRANT ALL ON public.fresh TO service_role");
        },
        Offered,
    )),
    case(
        "pool exhausted",
        ("postgrest/pool", "wait for a connection"),
        |bed| {
            bed.sql("CREATE OR REPLACE FUNCTION public.nap() RETURNS int LANGUAGE sql SECURITY DEFINER AS $$ SELECT 1 FROM pg_sleep(120) $$");
            bed.sql(
                "GRANT EXECUTE ON FUNCTION public.nap() TO anon; NOTIFY pgrst, 'reload schema'",
            );
            bed.inside_for_long("postgrest", "for n in $(seq 16); do wget -q -O /dev/null http://127.0.0.1:3000/rpc/nap & done; wait");
        },
        Offered,
    ),
    case(
        "clock wrong",
        ("postgrest/clock", "clock"),
        |bed| extra(bed, "postgrest", "STANDIN_CLOCK: \"-300\""),
        Then(plain),
    ),
    with(
        "--answer-after 300ms",
        case(
            "slow network",
            ("postgrest/slow", "takes"),
            |bed| extra(bed, "postgrest", "STANDIN_DELAY: \"0.6\""),
            Person(|bed| {
                plain(bed);
                bed.up("postgrest");
            }),
        ),
    ),
    // ---- row-level security --------------------------------------------------------------------
    often(case(
        "dropped policy",
        ("rls/no-policy", "public.tasks"),
        |bed| bed.sql("DROP POLICY tasks_of_owner ON public.tasks"),
        Person(|bed| {
            bed.sql("CREATE POLICY tasks_of_owner ON public.tasks FOR ALL TO authenticated USING (user_id = (SELECT auth.uid())) WITH CHECK (user_id = (SELECT auth.uid()) AND domain_id IN (SELECT id FROM public.domains WHERE owner_id = (SELECT auth.uid())))");
        }),
    )),
    case(
        "row-level security off",
        ("rls/off", "public.domains"),
        |bed| bed.sql("ALTER TABLE public.domains DISABLE ROW LEVEL SECURITY"),
        Offered,
    ),
    // ---- the object store ----------------------------------------------------------------------
    often(case(
        "read-only volumes",
        ("storage/read-only", "read-only"),
        |bed| {
            let script =
                "weed shell -master=localhost:9333 <<'END'\nlock\nvolume.list\nunlock\nEND";
            let said = docker(&["exec", &bed.container("seaweedfs"), "sh", "-c", script]);
            let ids: Vec<&str> = said
                .split("volume Id:")
                .skip(1)
                .filter_map(|rest| rest.split(',').next())
                .collect();
            assert!(!ids.is_empty(), "no volumes: {said}");
            let marks: Vec<String> = ids
                .iter()
                .map(|id| format!("volume.mark -node seaweedfs:8080 -volumeId {id} -readonly"))
                .collect();
            bed.inside(
                "seaweedfs",
                &format!(
                    "weed shell -master=localhost:9333 <<'END'\nlock\n{}\nunlock\nEND",
                    marks.join("\n")
                ),
            );
        },
        Offered,
    )),
    case(
        "wrong S3 key",
        ("storage/keys", "keys"),
        |bed| bed.set("S3_SECRET_KEY", "0123456789012345678901234567890123456789"),
        Then(Bed::restore_env),
    ),
    // ---- the way in ----------------------------------------------------------------------------
    often(case(
        "caddy passes on to the wrong service",
        ("proxy/route", "/api/"),
        |bed| {
            bed.edit(
                "stack/caddy/Caddyfile",
                "dynamic a postgrest 3000",
                "dynamic a postgrst 3000",
            );
            bed.inside(
                "caddy",
                "caddy reload --config /etc/caddy/Caddyfile --adapter caddyfile",
            );
        },
        Then(|bed| {
            bed.edit(
                "stack/caddy/Caddyfile",
                "dynamic a postgrst 3000",
                "dynamic a postgrest 3000",
            )
        }),
    )),
    case(
        "caddy changed behind its file",
        ("proxy/stale", "another configuration"),
        |bed| {
            bed.inside("caddy", "sed 's/dynamic a supabase_auth 9999/dynamic a supabase_auth 9998/' /etc/caddy/Caddyfile >/tmp/other && caddy reload --config /tmp/other --adapter caddyfile");
        },
        Offered,
    ),
    case(
        "Caddyfile broken",
        ("proxy/config", "Caddyfile is wrong"),
        |bed| {
            bed.edit(
                "stack/caddy/Caddyfile",
                "encode zstd gzip",
                "encoode zstd gzip",
            );
        },
        Person(|bed| {
            bed.edit(
                "stack/caddy/Caddyfile",
                "encoode zstd gzip",
                "encode zstd gzip",
            )
        }),
    ),
    case(
        "DNS broken",
        ("proxy/dns", "name server"),
        |bed| bed.inside("caddy", "echo nameserver 192.0.2.1 >/etc/resolv.conf"),
        Offered,
    ),
    case(
        "frontend gone",
        ("proxy/frontend", "the frontend answers"),
        |bed| frontend(bed, "mv /www/current /www/gone"),
        Person(|bed| frontend(bed, "mv /www/gone /www/current")),
    ),
    case(
        "certificate near its end",
        ("proxy/certificate", "good for"),
        |bed| {
            bed.inside("caddy", "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost -keyout /data/near.key -out /data/near.pem");
            bed.edit(
                "stack/caddy/Caddyfile",
                "{$CADDY_SITE} {",
                "{$CADDY_SITE} {\n\ttls /data/near.pem /data/near.key",
            );
            let web = bed.stack.web;
            extra(
                bed,
                "caddy",
                &format!(
                    "environment: {{ CADDY_SITE: \"localhost:{web}\" }}\n    ports: !override [\"127.0.0.1:{web}:{web}\"]"
                ),
            );
        },
        Person(|bed| {
            bed.edit(
                "stack/caddy/Caddyfile",
                "{$CADDY_SITE} {\n\ttls /data/near.pem /data/near.key",
                "{$CADDY_SITE} {",
            );
            plain(bed);
            bed.up("caddy");
        }),
    ),
    // ---- mail, cache ---------------------------------------------------------------------------
    case(
        "SMTP refuses",
        ("mail/smtp", "postal-smtp"),
        |bed| bed.inside("postal-smtp", "smtpctl pause smtp"),
        Offered,
    ),
    often(case(
        "redis full",
        ("cache/memory", "takes no more"),
        |bed| {
            bed.inside("redis", "export REDISCLI_AUTH=$REDIS_PASSWORD; redis-cli CONFIG SET maxmemory-policy noeviction; for n in $(seq 400); do redis-cli SET fill:$n $(head -c 8000 /dev/zero | tr '\\0' x) >/dev/null; done; redis-cli CONFIG SET maxmemory $(redis-cli INFO memory | sed -n 's/^used_memory:\\([0-9]*\\).*/\\1/p')");
        },
        Offered,
    )),
    case(
        "redis password changed",
        ("cache/password", "password"),
        |bed| {
            bed.inside(
                "redis",
                "REDISCLI_AUTH=$REDIS_PASSWORD redis-cli CONFIG SET requirepass other",
            );
        },
        Offered,
    ),
    case(
        "redis a replica of somebody",
        ("cache/replica", "replica"),
        |bed| {
            bed.inside(
                "redis",
                "REDISCLI_AUTH=$REDIS_PASSWORD redis-cli REPLICAOF 192.0.2.1 6379",
            );
        },
        Offered,
    ),
    often(case(
        "full disk",
        ("resources/disk", "redis"),
        |bed| bed.inside("redis", "head -c 24900000 /dev/zero >/data/fill"),
        Person(|bed| {
            bed.inside(
                "redis",
                "rm /data/fill; REDISCLI_AUTH=$REDIS_PASSWORD redis-cli BGSAVE",
            );
        }),
    )),
    // ---- what watches --------------------------------------------------------------------------
    often(case(
        "rule file broken",
        ("monitoring/config", "rule file"),
        |bed| {
            bed.edit(
                "stack/prometheus/rules/command_center.yml",
                "expr: pg_up == 0 or absent(pg_up)",
                "expr: pg_up == == 0",
            );
        },
        Person(|bed| {
            bed.edit(
                "stack/prometheus/rules/command_center.yml",
                "expr: pg_up == == 0",
                "expr: pg_up == 0 or absent(pg_up)",
            )
        }),
    )),
    case(
        "prometheus target down",
        ("monitoring/target", "node"),
        |bed| {
            bed.edit(
                "stack/prometheus/prometheus.yml",
                "node-exporter:9100",
                "node-exporter:9199",
            );
            let _said = docker(&["kill", "--signal", "HUP", &bed.container("prometheus")]);
        },
        Person(|bed| {
            bed.edit(
                "stack/prometheus/prometheus.yml",
                "node-exporter:9199",
                "node-exporter:9100",
            );
            let _said = docker(&["kill", "--signal", "HUP", &bed.container("prometheus")]);
        }),
    ),
    case(
        "grafana's password changed",
        ("monitoring/grafana-password", "password"),
        |bed| {
            bed.inside(
                "grafana",
                "printf %s other | grafana cli admin reset-admin-password --password-from-stdin",
            );
        },
        Offered,
    ),
    // ---- the machine ---------------------------------------------------------------------------
    case(
        "memory near its limit",
        ("resources/memory", "realtime"),
        |bed| {
            bed.inside_for_long("realtime", "python3 -c 'x = bytearray(480 << 20); import time; x[::4096] = b\"x\" * len(x[::4096]); time.sleep(600)'");
        },
        Offered,
    ),
    with(
        "--cpu 0.4",
        case(
            "processors busy",
            ("resources/cpu", "realtime"),
            |bed| {
                bed.inside_for_long("realtime", "while :; do :; done & while :; do :; done");
            },
            Offered,
        ),
    ),
];

/// On a machine with nothing else to do: a load that is too high is a cause of its own, and then stands first.
#[cfg(feature = "soak")]
#[test]
fn each_fault_is_named_first_and_mended() {
    let wanted = std::env::var("CCRUN_TROUBLE").unwrap_or_default();
    let chosen: Vec<&Case> = CASES
        .iter()
        .filter(|case| match wanted.as_str() {
            "" => case.often,
            "all" => true,
            parts => parts.split(',').any(|part| case.name.contains(part)),
        })
        .collect();
    assert!(!chosen.is_empty(), "no fault has {wanted:?} in its name");
    let bed = Bed::new("trouble", EXTRA);
    bed.sweep_until("", std::time::Duration::from_secs(60), is_green)
        .unwrap_or_else(|found| panic!("on a healthy stack there is:\n{found}"));
    the_library_does_what_it_says(&bed);
    let mut failed = Vec::new();
    for case in &chosen {
        match bed.try_out(case) {
            Ok(took) => println!("{:45} {:6.1} s", case.name, took.as_secs_f64()),
            Err(why) => {
                println!("{:45} FAILED\n{why}", case.name);
                failed.push(format!("{}: {why}", case.name));
            }
        }
    }
    assert!(
        failed.is_empty(),
        "{} of {} faults:\n{}\nleft: {}",
        failed.len(),
        chosen.len(),
        failed.join("\n"),
        told(&bed.sweep(""))
    );
}

fn the_library_does_what_it_says(bed: &Bed) {
    let script = ccrun_tests::stack::root().join("tests/library/stack.rhai");
    bed.stack
        .types(&format!("ccrun {}", script.display()))
        .exits(0)
        .prints("every module does what it says");
}

#[test]
fn the_doctor_the_baseline_and_one_area_alone() {
    let bed = Bed::new("doctor", EXTRA);
    bed.sweep_until("", std::time::Duration::from_secs(60), is_green)
        .unwrap_or_else(|found| panic!("on a healthy stack there is:\n{found}"));

    // Which policy decides: of a row that is somebody's, the owner sees one and a stranger none.
    let (owner, stranger) = (
        "00000000-0000-0000-0000-00000000000a",
        "00000000-0000-0000-0000-00000000000b",
    );
    bed.sql(&format!(
        "INSERT INTO public.domains (name, owner_id) VALUES ('hers', '{owner}')"
    ));
    let asked = |who: &[&str]| {
        let output = bed
            .stack
            .story
            .command("ccrun troubleshoot/rls")
            .args(who)
            .args(["--query", "select name from domains"])
            .output()
            .expect("ccrun starts");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let seen = asked(&["--user", owner]);
    assert!(seen.contains("all 1 rows are visible"), "{seen}");
    let seen = asked(&["--user", stranger]);
    let verdict =
        "domains_of_owner of public.domains lets none of its 1 rows through for this user";
    assert!(seen.contains(verdict), "{seen}");
    assert!(
        seen.contains("Filter: (owner_id") || seen.contains("Index Cond: (owner_id"),
        "{seen}"
    );
    let seen = asked(&["--role", "anon"]);
    assert!(seen.contains("refused: permission denied"), "{seen}");

    // What is different from when all was well; nobody is asked, so nothing is mended.
    stop(&bed, "redis");
    bed.stack
        .types("ccrun troubleshoot --baseline --fix")
        .exits(1)
        .prints("new: redis is stopped")
        .prints("container/stopped");
    bed.stack
        .types("ccrun troubleshoot/cache")
        .exits(1)
        .prints("redis is stopped");
    bed.stack
        .types("ccrun troubleshoot/mail")
        .exits(0)
        .prints("no finding above info");
    bed.stack.types("ccrun troubleshoot --fix --yes").exits(0);
    bed.stack
        .types("ccrun troubleshoot --baseline")
        .exits(0)
        .prints("nothing changed");
}

/// Everything between double quotes in the modules of the areas.
fn texts() -> Vec<String> {
    let folder = ccrun_tests::stack::root().join("runbooks/troubleshoot/lib");
    let files = std::fs::read_dir(folder).expect("the modules");
    files
        .flatten()
        .flat_map(|file| {
            let source = std::fs::read_to_string(file.path()).expect("a module");
            let parts: Vec<String> = source.split('"').map(str::to_owned).collect();
            parts.into_iter().skip(1).step_by(2)
        })
        .collect()
}

#[test]
fn every_finding_has_its_place_in_the_book() {
    let book = ccrun_tests::stack::root().join("docs/src/troubleshoot");
    let mut count = 0;
    for id in texts() {
        let Some((area, name)) = id.split_once('/') else {
            continue;
        };
        let word = |text: &str| {
            !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c == '-')
        };
        let page = book.join(format!("{area}.md"));
        if !word(area) || !word(name) || !page.exists() {
            continue;
        }
        count += 1;
        let text = std::fs::read_to_string(&page).expect("the page");
        assert!(
            text.lines().any(|line| line == format!("## {name}")),
            "{} says nothing about {id}",
            page.display()
        );
    }
    assert!(count > 90, "only {count} findings were seen");
}

/// The functions of a script: name, number of parameters; and the names that it calls without saying of what module.
fn functions(source: &str) -> (Vec<(String, usize)>, Vec<String>) {
    let mut defined = Vec::new();
    let mut called = Vec::new();
    let word = |c: char| c.is_alphanumeric() || c == '_';
    for line in source
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
    {
        let head = line.strip_prefix("private ").unwrap_or(line);
        let mut rest = line;
        if let Some((name, after)) = head.strip_prefix("fn ").and_then(|f| f.split_once('(')) {
            let (params, body) = after.split_once(')').unwrap_or((after, ""));
            let count = params.split(',').filter(|p| !p.trim().is_empty()).count();
            defined.push((name.to_owned(), count));
            rest = body;
        }
        for (at, _) in rest.match_indices('(') {
            let before = &rest[..at];
            let start = before.rfind(|c| !word(c)).map_or(0, |i| i + 1);
            let qualified = before[..start].ends_with(['.', ':']);
            if start < at && !qualified {
                called.push(before[start..].to_owned());
            }
        }
    }
    (defined, called)
}

/// Rhai 1.27 remembers what a call by name alone means, and still does after control has passed to another module
/// (`FnResolutionCache` is not pushed in `call_script_fn`): two modules with functions of one name and number of
/// parameters would get each other's.
#[test]
fn no_module_calls_a_function_by_a_name_that_another_module_has() {
    let root = ccrun_tests::stack::root();
    let mut modules = Vec::new();
    for folder in ["stdlib/rhai", "runbooks/lib", "runbooks/troubleshoot/lib"] {
        for file in std::fs::read_dir(root.join(folder))
            .expect(folder)
            .flatten()
        {
            let source = std::fs::read_to_string(file.path()).expect("a module");
            modules.push((file.path(), functions(&source)));
        }
    }
    assert!(modules.len() > 25, "{} modules", modules.len());
    for (path, (defined, called)) in &modules {
        for function in defined.iter().filter(|(name, _)| called.contains(name)) {
            for (other, (theirs, _)) in &modules {
                assert!(
                    path == other || !theirs.contains(function) || is_excused(function),
                    "{} calls {} by its name alone, and {} has one of {} parameters too",
                    path.display(),
                    function.0,
                    other.display(),
                    function.1
                );
            }
        }
    }
}

/// Functions of that name that are only called with another number of parameters.
fn is_excused(function: &(String, usize)) -> bool {
    function == &("query".to_owned(), 2)
}
