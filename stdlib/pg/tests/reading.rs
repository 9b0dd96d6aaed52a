//! `query`, `one`, `value`, `each_row`.

use serde_json::json;

use super::Bed;

#[test]
fn rows_one_row_and_one_value() {
    let bed =
        Bed::with("create table t (id int, name text); insert into t values (1, 'a'), (2, null)");
    assert_eq!(
        bed.json("db.query(`select * from t order by id`)"),
        json!([{"id": 1, "name": "a"}, {"id": 2, "name": null}])
    );
    assert_eq!(
        bed.json("db.one(`select * from t where id = $1`, [1])"),
        json!({"id": 1, "name": "a"})
    );
    assert_eq!(
        bed.json("db.value(`select name from t where id = 2`)"),
        json!(null)
    );
    assert_eq!(
        bed.json("db.query(`select * from t where false`)"),
        json!([])
    );
    assert_eq!(
        bed.error("db.one(`select * from t where false`)").kind(),
        "pg.no_rows"
    );
    assert_eq!(
        bed.error("db.value(`select id from t`)").kind(),
        "pg.many_rows"
    );
    assert_eq!(bed.json("db.value(`show server_encoding`)"), json!("UTF8"));
    assert_eq!(bed.json("db.query(`values (1), (2)`).len()"), json!(2));
    assert_eq!(bed.json("db.query(`explain select 1`).len()"), json!(1));
}

#[test]
fn each_row_goes_through_many_and_can_stop() {
    let bed = Bed::new();
    assert_eq!(
        bed.json(
            "let sum = 0;
             let rows = db.each_row(`select n from generate_series(1, $1) n`, [5000], |row| { sum += row.n; });
             [rows, sum]"
        ),
        json!([5000, 12_502_500])
    );
    assert_eq!(
        bed.json(
            "let seen = [];
             let rows = db.each_row(`select n from generate_series(1, 100000000) n`, |row| { seen.push(row.n); seen.len() < 3 });
             [rows, seen, db.value(`select 1`)]"
        ),
        json!([3, [1, 2, 3], 1])
    );
    // The statement that was left in the middle does not go on in the server.
    bed.psql(
        "do $$ begin for i in 1..200 loop
           exit when not exists (select from pg_stat_activity where query like '%100000000%'
             and datname = current_database() and pid <> pg_backend_pid() and state = 'active');
           perform pg_sleep(0.05), pg_stat_clear_snapshot(); if i = 200 then raise 'still running'; end if;
         end loop; end $$",
    );
    let error = bed.error("db.each_row(`select 1`, |row| { throw \"enough\"; })");
    assert_eq!(error.message(), "enough");
    assert_eq!(
        bed.error("db.each_row(`delete from pg_class`, |row| 1)")
            .kind(),
        "pg.read_only"
    );
}

#[test]
fn queries_go_on_after_tables_change() {
    let bed = Bed::with("create table t (a int); insert into t values (1)");
    assert_eq!(
        bed.json(
            "let before = db.one(`select * from t`);
             db.execute(`alter table t add column b text default 'x'`);
             db.execute(`insert into t select * from t`);
             db.execute(`alter table t alter column a type bigint`);
             [before, db.query(`select * from t`).len(), db.execute_returning(`insert into t select * from t limit 1 returning *`)]"
        ),
        json!([{"a": 1}, 2, [{"a": 1, "b": "x"}]])
    );
}

#[test]
fn queries_go_on_after_a_connection_broke() {
    let bed = Bed::new();
    assert_eq!(
        bed.json(
            "let pid = db.value(`select pg_backend_pid()`);
             db.execute(`select pg_terminate_backend($1)`, [pid]);
             db.value(`select 5`)"
        ),
        json!(5)
    );
}

#[test]
fn an_answer_beyond_memory_is_refused_and_the_database_stays_usable() {
    let bed = Bed::new();
    let result = bed.json(
        "let kind = (); try { db.query(`select repeat('x', 1000000) from generate_series(1, 1000)`); } catch (e) { kind = e.kind; }
         [kind, db.value(`select 1`)]",
    );
    assert_eq!(result, json!(["pg.result_too_large", 1]));
}

#[test]
fn parallel_queries_share_the_pool() {
    let bed = Bed::new();
    let numbers = bed.json(&format!(
        "let tasks = [];
         for i in 0..40 {{
             let mine = pg::connect(\"{}\");
             tasks.push(|| mine.value(`select pg_backend_pid() from pg_sleep(0.01)`));
         }}
         parallel(#{{ limit: 20 }}, tasks)",
        bed.url()
    ));
    let mut pids: Vec<i64> = numbers
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|n| n.as_i64())
        .collect();
    assert_eq!(pids.len(), 40);
    pids.sort_unstable();
    pids.dedup();
    assert!(pids.len() <= 10, "{} connections", pids.len());
}
