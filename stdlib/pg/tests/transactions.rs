//! `db.transaction`.

use serde_json::json;

use super::Bed;

fn accounts() -> Bed {
    Bed::with("create table t (id int primary key, n int); insert into t values (1, 0)")
}

#[test]
fn it_commits_when_the_closure_returns_and_rolls_back_when_it_throws() {
    let bed = accounts();
    assert_eq!(
        bed.json(
            "db.transaction(|tx| {
                tx.execute(`update t set n = 5 where id = $1`, [1]);
                [tx.value(`select n from t`), tx.one(`select * from t`), tx.query(`select n from t for update`)]
             })"
        ),
        json!([5, {"id": 1, "n": 5}, [{"n": 5}]])
    );
    assert_eq!(bed.psql("select n from t"), "5");
    let error =
        bed.error("db.transaction(|tx| { tx.execute(`update t set n = 6`); throw \"stop\"; })");
    assert_eq!(error.message(), "stop");
    assert_eq!(bed.psql("select n from t"), "5");
    let error = bed.error("db.transaction(|tx| { tx.execute(`insert into t values (1, 1)`); })");
    assert_eq!(error.kind(), "pg.unique_violation");
}

#[test]
fn a_handle_ends_with_its_closure() {
    let bed = accounts();
    let error = bed.error("let kept = db.transaction(|tx| tx); kept.value(`select 1`)");
    assert_eq!(error.kind(), "pg.transaction_ended");
}

#[test]
fn a_caught_error_does_not_make_a_silent_rollback() {
    let bed = accounts();
    let error = bed.error(
        "db.transaction(|tx| {
            tx.execute(`update t set n = 7`);
            try { tx.execute(`insert into t values (1, 1)`); } catch {}
         })",
    );
    assert_eq!(error.kind(), "pg.transaction_aborted");
    assert!(error.message().contains("duplicate key"), "{error:?}");
    assert_eq!(bed.psql("select n from t"), "0");
    let error = bed.error(
        "db.transaction(|tx| { try { tx.query(`select * from nowhere`); } catch {} tx.execute(`select 1`); })",
    );
    assert_eq!(error.kind(), "pg.transaction_aborted");
}

#[test]
fn a_savepoint_can_fail_alone() {
    let bed = accounts();
    assert_eq!(
        bed.json(
            "db.transaction(|tx| {
                tx.execute(`update t set n = 8`);
                let kind = ();
                try { tx.savepoint(|tx| { tx.execute(`update t set n = 9`); tx.execute(`insert into t values (1, 1)`); }); }
                catch (e) { kind = e.kind; }
                let inner = tx.savepoint(|tx| { tx.value(`select 1`); tx.execute(`insert into t values (2, 2)`) });
                tx.savepoint(|tx| tx.value(`select 1`));
                tx.value(`select 1`);
                tx.savepoint(|tx| 1);
                [kind, inner]
             })"
        ),
        json!(["pg.unique_violation", 1])
    );
    assert_eq!(
        bed.psql("select string_agg(n::text, ',' order by id) from t"),
        "8,2"
    );
}

#[test]
fn queries_in_a_transaction_only_ask() {
    let bed = accounts();
    bed.psql(
        "create function sneak() returns int language sql as $$ insert into t values (100, 1) returning id $$;
         create sequence s; create view sly as select sneak()",
    );
    for sql in [
        "insert into t values (3, 3) returning *",
        "with x as (insert into t values (3, 3) returning *) select * from x",
        "select sneak()",
        "select * from sly",
        "select nextval('s')",
        "commit",
        "set transaction read write",
        "select pg_terminate_backend(0)",
    ] {
        let error = bed.error(&format!("db.transaction(|tx| tx.query(\"{sql}\"))"));
        assert_eq!(error.kind(), "pg.read_only", "{sql}: {error:?}");
    }
    // It may call functions and set what holds for the transaction, and can write afterwards.
    assert_eq!(
        bed.json(
            "db.transaction(|tx| {
                tx.value(`select set_config('my.tenant', 'a', true)`);
                let tenant = tx.value(`select current_setting('my.tenant')`);
                tx.query(`explain analyze create table made as select 1`);
                [tenant, tx.execute(`insert into t values (4, 4)`), tx.execute_returning(`select sneak() as id`)]
             })"
        ),
        json!(["a", 1, [{"id": 100}]])
    );
    assert_eq!(
        bed.psql("select to_regclass('made') is null, count(*) from t"),
        "t|3"
    );
    assert_eq!(
        bed.json("db.execute_returning(`select current_setting('my.tenant', true) as t`)[0].t"),
        json!(null)
    );
}

#[test]
fn the_session_is_the_transactions_own() {
    let bed = accounts();
    for sql in ["commit", "rollback", "begin", "set search_path = x"] {
        let error = bed.error(&format!("db.transaction(|tx| tx.execute(\"{sql}\"))"));
        assert_eq!(error.kind(), "pg.session_statement", "{sql}");
    }
    assert_eq!(
        bed.json(
            "db.transaction(|tx| { tx.execute(`set local search_path = pg_catalog`); tx.value(`show search_path`) })"
        ),
        json!("pg_catalog")
    );
}

#[test]
fn options_are_the_servers() {
    let bed = accounts();
    assert_eq!(
        bed.json("db.transaction(#{ isolation: \"serializable\" }, |tx| tx.value(`show transaction_isolation`))"),
        json!("serializable")
    );
    let error = bed.error("db.transaction(#{ read_only: true }, |tx| tx.execute(`delete from t`))");
    assert_eq!(error.kind(), "pg.read_only");
    let error = bed.error("db.transaction(#{ isolation: \"none\" }, |tx| 1)");
    assert_eq!(error.kind(), "pg.bad_option");
    let error = bed.error("db.transaction(#{ retires: 1 }, |tx| 1)");
    assert_eq!(error.kind(), "argument.unknown_key");
}

#[test]
fn a_serialization_failure_is_tried_again() {
    let bed = accounts();
    // The other connection changes the row after the transaction has its snapshot.
    let body = "let other = pg::connect(#{ url: \"URL\", application_name: \"other\" });
        let attempts = 0;
        let run = || db.transaction(#{ isolation: \"repeatable read\", retry: RETRY }, |tx| {
            attempts += 1;
            let n = tx.value(`select n from t where id = 1`);
            if attempts == 1 { other.execute(`update t set n = n + 1 where id = 1`); }
            tx.execute(`update t set n = $1 where id = 1`, [n + 10]);
            attempts
        });
        run.call()"
        .replace("URL", &bed.url());
    assert_eq!(bed.json(&body.replace("RETRY", "2")), json!(2));
    assert_eq!(bed.psql("select n from t"), "11");
    let error = bed.error(&body.replace("RETRY", "0"));
    assert_eq!(error.kind(), "pg.serialization_failure");
    assert!(error.is_retryable());
}
