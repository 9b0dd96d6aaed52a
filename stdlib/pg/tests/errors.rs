//! What is said when a statement fails.

use super::Bed;

#[test]
fn errors_have_kinds_and_hints() {
    let bed = Bed::with(
        "create table customers (id int primary key, name text not null, n int check (n > 0));
         create table orders (customer int references customers);
         create schema hidden; create table hidden.secrets (id int);
         insert into customers values (1, 'a', 1)",
    );
    for (script, kind, hint) in [
        (
            "db.execute(`insert into customers values (1, 'b', 1)`)",
            "pg.unique_violation",
            "on conflict",
        ),
        (
            "db.execute(`insert into customers values (2, null, 1)`)",
            "pg.not_null_violation",
            "",
        ),
        (
            "db.execute(`insert into orders values (9)`)",
            "pg.foreign_key_violation",
            "",
        ),
        (
            "db.execute(`drop table customers`)",
            "pg.dependent_objects",
            "CASCADE",
        ),
        (
            "db.query(`select * from costumers`)",
            "pg.undefined_table",
            "did you mean `customers`?",
        ),
        (
            "db.query(`select * from secrets`)",
            "pg.undefined_table",
            "did you mean `hidden.secrets`?",
        ),
        (
            "db.transaction(|tx| tx.query(`select * from costumers`))",
            "pg.undefined_table",
            "did you mean `customers`?",
        ),
        (
            "db.query(`select nam from customers`)",
            "pg.undefined_column",
            "customers.name",
        ),
        (
            "db.query(`select nofunction(1)`)",
            "pg.undefined_function",
            "",
        ),
        ("db.query(`select 1::notype`)", "pg.undefined_object", ""),
        ("db.query(`select 1/0`)", "pg.division_by_zero", ""),
        ("db.query(`select 'x'::int`)", "pg.bad_value", ""),
        (
            "db.execute(`create table customers ()`)",
            "pg.already_exists",
            "",
        ),
        ("db.execute(`select 1; select 2`)", "pg.syntax", "db.script"),
        (
            "db.execute(`insert into customers values (5, 'x', 1)`); db.query(`update customers set n = 1`)",
            "pg.read_only",
            "execute",
        ),
        ("db.query(``)", "pg.syntax", ""),
        ("db.query(`select $1`, [#{}])", "pg.bad_parameter", "cast"),
        (
            "db.execute_returning(`select '{[1,2)}'::int4multirange`)",
            "pg.unreadable_type",
            "::text",
        ),
    ] {
        let error = bed.error(script);
        assert_eq!(error.kind(), kind, "{script}: {error:?}");
        assert!(
            error.hint_text().unwrap_or_default().contains(hint),
            "{script}: {:?}",
            error.hint_text()
        );
    }
}

#[test]
fn a_syntax_error_shows_the_line_and_the_place() {
    let bed = Bed::new();
    let error = bed.error("db.query(`select 1,\n  2 form pg_class`)");
    assert_eq!(error.kind(), "pg.syntax");
    assert!(
        error.message().contains("line 2:   2 form pg_class"),
        "{error:?}"
    );
    let caret = error.message().lines().last().unwrap().find('^').unwrap();
    assert_eq!(
        &error.message().lines().nth(1).unwrap()[caret..],
        "pg_class"
    );
    assert_eq!(error.details()["sql_line"], 2);
    assert_eq!(error.code_text(), Some("42601"));
}

#[test]
fn constraint_errors_name_the_constraint() {
    let bed = Bed::with("create table t (id int primary key); insert into t values (1)");
    let error = bed.error("db.execute(`insert into t values ($1)`, [1])");
    assert_eq!(error.details()["constraint"], "t_pkey");
    assert_eq!(error.details()["table"], "t");
    assert!(
        error.message().contains("Key (id)=(1) already exists"),
        "{error:?}"
    );
    assert!(!error.is_retryable());
}

#[test]
fn locks_and_timeouts_can_be_tried_again() {
    let bed = Bed::with("create table t (id int)");
    let url = bed.url();
    let error = bed.error(&format!(
        "let hasty = pg::connect(#{{ url: \"{url}\", settings: #{{ lock_timeout: \"50ms\" }} }});
         db.transaction(|tx| {{ tx.execute(`lock table t`); hasty.execute(`insert into t values (1)`); }})"
    ));
    assert_eq!(error.kind(), "pg.lock_timeout");
    assert!(error.is_retryable());
    let error = bed.error(&format!(
        "pg::connect(#{{ url: \"{url}\", settings: #{{ statement_timeout: \"50ms\" }} }}).value(`select pg_sleep(5)`)"
    ));
    assert_eq!(error.kind(), "pg.cancelled");
    assert!(error.hint_text().unwrap().contains("statement_timeout"));
}
