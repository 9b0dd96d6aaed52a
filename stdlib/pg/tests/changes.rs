//! `execute`, `execute_returning`, `script`.

use serde_json::json;

use super::Bed;

#[test]
fn changes_say_how_many_rows_and_which() {
    let bed = Bed::with("create table t (id int generated always as identity, name text)");
    assert_eq!(
        bed.json(
            "let made = db.execute_returning(`insert into t (name) values ($1), ($2) returning id, name`, [\"a\", \"b\"]);
             let changed = db.execute(`update t set name = upper(name)`);
             [made, changed, db.execute(`create table u ()`), db.execute(`delete from t where id = $1`, [1])]"
        ),
        json!([[{"id": 1, "name": "a"}, {"id": 2, "name": "b"}], 2, 0, 1])
    );
    assert_eq!(bed.psql("select name from t"), "B");
}

#[test]
fn statements_that_need_no_transaction_work() {
    let bed = Bed::with("create table t (id int)");
    bed.run("db.execute(`vacuum t`); db.execute(`create index concurrently i on t (id)`)");
    assert_eq!(
        bed.psql("select count(*) from pg_indexes where indexname = 'i'"),
        "1"
    );
}

#[test]
fn sessions_are_not_for_scripts_to_keep() {
    let bed = Bed::with("create table t (id int)");
    for sql in [
        "begin",
        "commit",
        "set search_path = x",
        "reset all",
        "listen x",
        "savepoint a",
    ] {
        let error = bed.error(&format!("db.execute(`{sql}`)"));
        assert_eq!(error.kind(), "pg.session_statement", "{sql}");
    }
    // What leaves traces by other ways closes its connection.
    assert_eq!(
        bed.json(
            "db.execute(`select set_config('search_path', 'nowhere', false)`);
             db.execute(`create temp table only_here ()`);
             db.execute(`do $$ begin perform set_config('search_path', 'nowhere', false); end $$`);
             db.execute_returning(`select current_setting('search_path') as path, to_regclass('only_here')::text as gone`)"
        ),
        json!([{"path": "\"$user\", public", "gone": null}])
    );
}

#[test]
fn a_script_is_all_or_nothing() {
    let bed = Bed::new();
    bed.run("db.script(`create table a (id int primary key); insert into a values (1); set search_path = x;`)");
    assert_eq!(bed.json("db.value(`select count(*) from a`)"), json!(1));

    let error = bed.error("db.script(`\ninsert into a values (2);\n\ninsert into a values (1);\ninsert into a values (3);`)");
    assert_eq!(error.kind(), "pg.unique_violation");
    // Rhai drops the line break after an opening backtick.
    assert!(
        error
            .message()
            .contains("line 3: insert into a values (1);"),
        "{error:?}"
    );
    assert_eq!(error.details()["sql_line"], 3);
    assert_eq!(bed.psql("select count(*) from a"), "1");

    let error = bed.error("db.script(`select 1;\nselect wrong from a;`)");
    assert_eq!(error.kind(), "pg.undefined_column");
    assert!(
        error
            .message()
            .contains("line 2: select wrong from a;\n               ^"),
        "{error:?}"
    );

    let error = bed.error("db.script(`begin; insert into a values (5);`)");
    assert_eq!(error.kind(), "pg.transaction_open");
    assert_eq!(bed.psql("select count(*) from a"), "1");
    bed.run("db.script(`begin; insert into a values (5); commit; select 1`)");
    assert_eq!(bed.psql("select count(*) from a"), "2");
    bed.run("db.script(`-- nothing\n;;`)");
}
