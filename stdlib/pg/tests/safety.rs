//! What queries and dry runs cannot do.

use ccrun_kernel::event::Event;
use ccrun_kernel::permission::{Needs, Policy};
use ccrun_kernel::testing::{Scratch, TestRun};

use super::Bed;

/// Ways to write, or to make later statements write, that a script may try in a query.
const TRICKS: [&str; 15] = [
    "insert into t values (1)",
    "with x as (insert into t values (1) returning *) select * from x",
    "select 1 into made",
    "select sneak()",
    "select * from sly",
    "select nextval('s')",
    "set default_transaction_read_only = off",
    "set transaction read write",
    "begin read write",
    "do $$ begin set default_transaction_read_only = off; commit; insert into t values (1); end $$",
    "call sneak_procedure()",
    "select set_config('transaction_read_only', 'off', false), sneak()",
    "copy t to program 'true'",
    "explain analyze insert into t values (1)",
    "select 1; insert into t values (1)",
];

fn bed() -> Bed {
    Bed::with(
        "create table t (id int); create sequence s;
         create function sneak() returns int language plpgsql as $$ begin
            perform set_config('transaction_read_only', 'off', true);
            insert into t values (1); return 1; end $$;
         create view sly as select sneak();
         create procedure sneak_procedure() language plpgsql as $$ begin
            perform set_config('default_transaction_read_only', 'off', false);
            commit; insert into t values (1); end $$;
         create function exec(sql text) returns text language plpgsql as $$
            declare r text; begin execute sql into r; return r; end $$;",
    )
}

#[test]
fn a_query_cannot_write() {
    let bed = bed();
    for sql in TRICKS {
        let error = bed.error(&format!("db.query(\"{sql}\")"));
        assert!(
            [
                "pg.read_only",
                "pg.syntax",
                "pg.bad_value",
                "pg.failed",
                "pg.in_transaction"
            ]
            .contains(&error.kind()),
            "{sql}: {error:?}"
        );
    }
    // What a query sets does not last, so that the next one is as read-only as the first.
    let error = bed.error(
        "db.query(`select exec('select set_config(''default_transaction_read_only'', ''off'', false)')`);
         db.query(`select set_config('search_path', 'nowhere', false)`);
         if db.value(`show search_path`) == \"nowhere\" { throw \"it lasts\"; }
         db.query(`explain analyze create table made as select 1`);
         db.query(`select sneak()`)",
    );
    assert!(
        ["pg.read_only", "pg.in_transaction"].contains(&error.kind()),
        "{error:?}"
    );
    assert_eq!(
        bed.psql(
            "select (select count(*) from t), to_regclass('made') is null, not is_called from s"
        ),
        "0|t|t"
    );
}

#[test]
fn functions_that_act_on_the_server_are_no_queries() {
    let bed = bed();
    let error = bed.error("db.value(`select pg_terminate_backend(1)`)");
    assert_eq!(error.kind(), "pg.read_only");
    assert!(error.hint_text().unwrap().contains("execute_returning"));
}

#[test]
fn a_dry_run_changes_nothing_and_lists_what_it_would() {
    let bed = bed();
    for sql in TRICKS {
        let (result, _) = bed.dry(&format!("db.query(\"{sql}\")"));
        assert!(result.is_err(), "{sql}");
    }
    let (result, records) = bed.dry(
        "db.execute(`insert into t values (1)`);
         db.script(`drop table t`);
         let made = db.execute_returning(`insert into t values (2) returning id`);
         try { db.query(`select sneak()`); } catch {}
         db.query(`explain analyze create table made as select 1`);
         db.transaction(|tx| {
             tx.execute(`delete from t`);
             tx.value(`select count(*) from t`)
         })",
    );
    assert_eq!(result.unwrap().as_int(), Ok(0));
    let planned: Vec<String> = records
        .iter()
        .filter_map(|record| match &record.event {
            Event::Planned(change) => Some(change.primitive.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(
        planned,
        [
            "Database.execute",
            "Database.script",
            "Database.execute_returning",
            "Transaction.execute"
        ]
    );
    assert_eq!(
        bed.psql(
            "select (select count(*) from t), to_regclass('made') is null, not is_called from s"
        ),
        "0|t|t"
    );
}

#[test]
fn a_transaction_of_a_dry_run_reads_for_real_and_cannot_write() {
    let bed = bed();
    bed.psql("insert into t values (41)");
    let (result, _) =
        bed.dry("db.transaction(|tx| tx.value(`select id from t for update skip locked`))");
    assert_eq!(result.unwrap().as_int(), Ok(41));
    for sql in TRICKS {
        let (result, _) = bed.dry(&format!("db.transaction(|tx| tx.query(\"{sql}\"))"));
        assert!(result.is_err(), "{sql}");
    }
    assert_eq!(bed.psql("select count(*) from t"), "1");
}

#[test]
fn a_permission_to_read_does_not_let_a_transaction_write() {
    let bed = bed();
    let needs = toml::from_str::<toml::Value>("pg = { read = [\"127.0.0.1\"] }").unwrap();
    let policy = || {
        Policy::new(
            Some(Needs::from_toml(&needs, std::path::Path::new("/")).unwrap()),
            None,
        )
    };
    let eval = |body: &str| {
        let folder = Scratch::new();
        let run = TestRun::new(&folder.0, vec![crate::pg::namespace()]).policy(policy());
        run.eval(&bed.script(body)).0
    };
    assert_eq!(eval("db.value(`select 1`)").unwrap().as_int(), Ok(1));
    for body in [
        "db.execute(`delete from t`)",
        "db.transaction(|tx| tx.execute(`delete from t`))",
    ] {
        assert_eq!(
            eval(body).unwrap_err().kind(),
            "permission_denied",
            "{body}"
        );
    }
    for sql in TRICKS {
        let error = eval(&format!("db.transaction(|tx| tx.query(\"{sql}\"))")).unwrap_err();
        assert_ne!(error.kind(), "permission_denied", "{sql}");
    }
    assert_eq!(
        bed.psql("select (select count(*) from t), not is_called from s"),
        "0|t"
    );
}

#[test]
fn a_session_with_a_snapshot_cannot_become_read_write() {
    let bed = bed();
    let told = std::panic::catch_unwind(|| {
        bed.psql("begin read only; select 1; set transaction read write")
    });
    assert!(told.is_err());
}

#[test]
fn a_plan_says_how_many_rows_and_finds_what_can_never_work() {
    let bed = bed();
    bed.psql("insert into t select generate_series(1, 500); analyze t");
    let (result, records) = bed.dry(
        "db.execute(`delete from t where id <= $1`, [500]);
         db.execute(`insert into later values (1)`);
         db.transaction(|tx| tx.execute(`update t set id = id`));
         db.execute(`create table later ()`)",
    );
    assert!(result.is_ok(), "{result:?}");
    let summaries: Vec<String> = records
        .iter()
        .filter_map(|record| match &record.event {
            Event::Planned(change) => Some(change.preview.summary.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(
        summaries,
        [
            "delete from t where id <= $1 (about 500 rows, by the planner's estimate)",
            "",
            "update t set id = id (about 500 rows, by the planner's estimate)",
            ""
        ]
    );
    assert_eq!(bed.psql("select count(*) from t"), "500");
    let (result, _) = bed.dry("db.execute(`delete form t`)");
    assert_eq!(result.unwrap_err().kind(), "pg.syntax");
    let (result, _) = bed.dry("db.execute(`set search_path = x`)");
    assert_eq!(result.unwrap_err().kind(), "pg.session_statement");
}

#[test]
fn a_cancelled_run_leaves_nothing_running_in_the_server() {
    let bed = Bed::with("create table t (id int)");
    let folder = Scratch::new();
    let run = TestRun::new(&folder.0, vec![crate::pg::namespace()]);
    let cancel = run.spec.cancel.clone();
    let script = bed.script(
        "db.transaction(|tx| { tx.execute(`insert into t values (1)`); tx.execute(`select pg_sleep(600)`); })",
    );
    let wait_for = |what: &str| {
        bed.psql(&format!(
            "do $$ begin for i in 1..400 loop
               perform pg_stat_clear_snapshot();
               exit when {what} exists (select from pg_stat_activity where query like '%pg_sleep(600)%'
                 and datname = current_database() and pid <> pg_backend_pid() and state = 'active');
               perform pg_sleep(0.025); if i = 400 then raise 'not so'; end if;
             end loop; end $$"
        ))
    };
    std::thread::scope(|threads| {
        let running = threads.spawn(|| run.eval(&script).0);
        wait_for("");
        cancel.cancel();
        assert_eq!(running.join().unwrap().unwrap_err().kind(), "interrupted");
    });
    wait_for("not");
    assert_eq!(bed.psql("select count(*) from t"), "0");
}
