//! Values of every type, there and back.

use serde_json::{Value, json};

use super::Bed;

/// The value of an SQL expression, as a script sees it.
fn read(bed: &Bed, expression: &str) -> Value {
    bed.json(&format!("db.value(`select {expression}`)"))
}

#[test]
fn every_type_becomes_a_natural_value() {
    let bed = Bed::with(
        "create type mood as enum ('sad', 'ok'); create domain positive as int check (value > 0);
         create type pair as (a int, b text); create type nest as (p pair, list mood[]);
         create extension if not exists citext; create extension if not exists hstore;
         create extension if not exists ltree;",
    );
    for (expression, expected) in [
        ("true", json!(true)),
        ("1::int2", json!(1)),
        ("-2147483648", json!(-2_147_483_648_i64)),
        ("9223372036854775807", json!(9_223_372_036_854_775_807_i64)),
        ("4294967295::oid", json!(4_294_967_295_i64)),
        ("0.1::float4", json!(0.1)),
        ("1.5::float8", json!(1.5)),
        ("'NaN'::float8", json!("NaN")),
        ("12.50::numeric", json!(12.5)),
        (
            "12345678901234567890123456789012345.5::numeric",
            json!("12345678901234567890123456789012345.5"),
        ),
        ("'NaN'::numeric", json!("NaN")),
        ("'-Infinity'::numeric", json!("-Infinity")),
        ("'-3.50'::money", json!(-3.5)),
        ("'é'::text", json!("é")),
        ("'a'::char(3)", json!("a  ")),
        ("'x'::\"char\"", json!("x")),
        ("'n'::name", json!("n")),
        ("'Ab'::citext", json!("Ab")),
        ("'\\x00ff'::bytea", json!("AP8=")),
        (
            "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'::uuid",
            json!("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        ),
        (
            "'{\"a\": [1, 2.5, null]}'::json",
            json!({"a": [1, 2.5, null]}),
        ),
        ("'[true, \"x\"]'::jsonb", json!([true, "x"])),
        ("'2024-02-29'::date", json!("2024-02-29")),
        ("'0044-03-15 BC'::date", json!("0044-03-15 BC")),
        ("'infinity'::date", json!("infinity")),
        ("'14:30'::time", json!("14:30:00")),
        ("'14:30:00.5+02'::timetz", json!("14:30:00.5+02:00")),
        (
            "'2024-02-29 14:30'::timestamp",
            json!("2024-02-29T14:30:00"),
        ),
        (
            "'2024-02-29 14:30+02'::timestamptz",
            json!("2024-02-29T12:30:00Z"),
        ),
        ("'infinity'::timestamptz", json!("infinity")),
        (
            "'290000-01-01'::timestamptz",
            json!("290000-01-01T00:00:00Z"),
        ),
        ("'1 day 2 hours'::interval", json!("1d2h")),
        ("'1 year 2 mons -3 days'::interval", json!("P1Y2M-3D")),
        ("'10.0.0.1'::inet", json!("10.0.0.1")),
        ("'10.0.0.1/8'::inet", json!("10.0.0.1/8")),
        ("'2001:db8::/32'::cidr", json!("2001:db8::/32")),
        ("'08:00:2b:01:02:03'::macaddr", json!("08:00:2b:01:02:03")),
        (
            "'08:00:2b:01:02:03:04:05'::macaddr8",
            json!("08:00:2b:01:02:03:04:05"),
        ),
        ("B'10110'", json!("10110")),
        ("B'101'::varbit", json!("101")),
        ("'<a/>'::xml", json!("<a/>")),
        ("'16/B374D848'::pg_lsn", json!("16/B374D848")),
        ("'(0,1)'::tid", json!("(0,1)")),
        ("'7'::xid", json!(7)),
        ("'7'::xid8", json!(7)),
        ("'pg_class'::regclass", json!(1259)),
        ("'10:20:10,14'::pg_snapshot", json!("10:20:10,14")),
        ("'fat:2A cat:3'::tsvector", json!("'cat':3 'fat':2A")),
        (
            "'fat & (rat | !cat:*)'::tsquery",
            json!("'fat' & ( 'rat' | !'cat':* )"),
        ),
        ("'a <-> b'::tsquery", json!("'a' <-> 'b'")),
        ("'(1,2.5)'::point", json!("(1,2.5)")),
        ("'((0,0),(1,1))'::box", json!("(1,1),(0,0)")),
        ("'[(0,0),(1,1)]'::lseg", json!("[(0,0),(1,1)]")),
        ("'[(0,0),(1,1)]'::path", json!("[(0,0),(1,1)]")),
        (
            "'((0,0),(1,1),(2,0))'::polygon",
            json!("((0,0),(1,1),(2,0))"),
        ),
        ("'{1,2,3}'::line", json!("{1,2,3}")),
        ("'<(0,0),2>'::circle", json!("<(0,0),2>")),
        ("'$.a[*]'::jsonpath", json!("$.\"a\"[*]")),
        ("array[1, null, 3]", json!([1, null, 3])),
        ("array[[1, 2], [3, 4]]", json!([[1, 2], [3, 4]])),
        ("'{}'::int[]", json!([])),
        ("array['a b', null]::text[]", json!(["a b", null])),
        ("array['sad', 'ok']::mood[]", json!(["sad", "ok"])),
        ("array['{\"a\": 1}']::jsonb[]", json!([{"a": 1}])),
        ("'1 2'::int2vector", json!([1, 2])),
        (
            "'[1,5)'::int4range",
            json!({"lower": 1, "upper": 5, "lower_inclusive": true, "upper_inclusive": false, "empty": false}),
        ),
        (
            "'(,2024-01-01]'::daterange",
            json!({"lower": null, "upper": "2024-01-02", "lower_inclusive": false, "upper_inclusive": false, "empty": false}),
        ),
        (
            "'empty'::numrange",
            json!({"lower": null, "upper": null, "lower_inclusive": false, "upper_inclusive": false, "empty": true}),
        ),
        ("'ok'::mood", json!("ok")),
        ("5::positive", json!(5)),
        ("row(1, 'x')::pair", json!({"a": 1, "b": "x"})),
        (
            "row(row(1, null)::pair, array['ok']::mood[])::nest",
            json!({"p": {"a": 1, "b": null}, "list": ["ok"]}),
        ),
        (
            "row(1, 'x'::text, null)",
            json!({"f1": 1, "f2": "x", "f3": null}),
        ),
        ("'a=>1, b=>NULL'::hstore", json!({"a": "1", "b": null})),
        ("'a.b.c'::ltree", json!("a.b.c")),
        ("null", json!(null)),
        ("pg_sleep(0)", json!(null)),
    ] {
        assert_eq!(read(&bed, expression), expected, "{expression}");
    }
}

#[test]
fn types_that_cannot_travel_in_binary_are_read_as_well() {
    let bed = Bed::with("create table t (id int primary key, spans int4multirange)");
    bed.psql("insert into t values (1, '{[1,3), [5,7)}'), (2, '{}'), (3, null)");
    let span = |lower: i64, upper: i64| json!({"lower": lower, "upper": upper, "lower_inclusive": true, "upper_inclusive": false, "empty": false});
    assert_eq!(
        bed.json("db.query(`select * from t where id < $1 order by id -- all`, [9])"),
        json!([
            {"id": 1, "spans": [span(1, 3), span(5, 7)]},
            {"id": 2, "spans": []},
            {"id": 3, "spans": null},
        ])
    );
    // relacl is aclitem[], relpartbound is pg_node_tree.
    let row = bed.json("db.one(`select * from pg_class where relname = 'pg_proc';`)");
    assert_eq!(row["relname"], "pg_proc");
    assert_eq!(row["relacl"], "{postgres=arwdDxt/postgres,=r/postgres}");
    assert_eq!(
        bed.json("db.query(`select * from t where false`)"),
        json!([])
    );
}

#[test]
fn parameters_take_the_types_of_the_statement() {
    let bed =
        Bed::with("create type mood as enum ('sad', 'ok'); create type pair as (a int, b text);");
    for (kind, value, expected) in [
        ("bool", "true", json!(true)),
        ("int2", "7", json!(7)),
        ("int8", "\"12\"", json!(12)),
        ("float8", "2", json!(2.0)),
        ("float4", "1.5", json!(1.5)),
        ("numeric", "3", json!(3)),
        ("numeric", "\"1.10\"", json!(1.1)),
        ("numeric", "1.25", json!(1.25)),
        ("text", "\"a'b\"", json!("a'b")),
        ("varchar(3)", "\"abc\"", json!("abc")),
        (
            "uuid",
            "\"A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11\"",
            json!("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        ),
        (
            "timestamptz",
            "\"2024-01-01\"",
            json!("2024-01-01T00:00:00Z"),
        ),
        (
            "timestamptz",
            "db.value(`select '2024-01-01 10:00Z'::timestamptz`)",
            json!("2024-01-01T10:00:00Z"),
        ),
        ("date", "\"2024-01-31\"", json!("2024-01-31")),
        (
            "date",
            "db.value(`select '2024-01-01 10:00Z'::timestamptz`)",
            json!("2024-01-01"),
        ),
        ("interval", "\"90 minutes\"", json!("1h30m")),
        (
            "interval",
            "db.value(`select '5 min'::interval`)",
            json!("5m"),
        ),
        ("jsonb", "#{ a: [1, ()] }", json!({"a": [1, null]})),
        ("json", "[1, \"x\"]", json!([1, "x"])),
        ("jsonb", "\"{\\\"a\\\": 1}\"", json!({"a": 1})),
        ("bytea", "blob(2, 255)", json!("//8=")),
        ("inet", "\"10.0.0.1\"", json!("10.0.0.1")),
        ("mood", "\"ok\"", json!("ok")),
        ("mood[]", "[\"ok\", ()]", json!(["ok", null])),
        ("int4[]", "[1, 2, ()]", json!([1, 2, null])),
        ("int4[]", "[]", json!([])),
        ("int4[]", "[[1, 2], [3, 4]]", json!([[1, 2], [3, 4]])),
        ("int4[]", "\"{5,6}\"", json!([5, 6])),
        ("text[]", "[\"a,b\", \"c\\\"d\"]", json!(["a,b", "c\"d"])),
        ("inet[]", "[\"10.0.0.1\", ()]", json!(["10.0.0.1", null])),
        ("jsonb[]", "[#{ a: 1 }]", json!([{"a": 1}])),
        (
            "pair",
            "#{ a: 1, b: \"x, \\\"y\\\"\" }",
            json!({"a": 1, "b": "x, \"y\""}),
        ),
        ("tsquery", "\"fat & rat\"", json!("'fat' & 'rat'")),
        ("text", "()", json!(null)),
        ("int4", "()", json!(null)),
    ] {
        let script = format!("db.value(`select $1::{kind}`, [{value}])");
        // With the same parameter twice, one of them inside of a string.
        assert_eq!(bed.json(&script), expected, "{script}");
    }
    assert_eq!(
        bed.json(
            "let r = db.value(`select '[1,5)'::int4range`); db.value(`select $1::int4range`, [r])"
        ),
        json!({"lower": 1, "upper": 5, "lower_inclusive": true, "upper_inclusive": false, "empty": false})
    );
}

#[test]
fn a_wrong_parameter_is_named() {
    let bed = Bed::with("create table t (id int2, day timestamptz, net inet)");
    for (script, message) in [
        (
            "db.query(`select * from t where id = $1`, [40000])",
            "$1 is int2, and a int was given: 40000 is not between",
        ),
        (
            "db.query(`select * from t where day > $1 and id = $2`, [\"2024-01-01\", \"x\"])",
            "$2 is int2",
        ),
        (
            "db.query(`select * from t where id = $1 and day > $2`, [1, \"no day\"])",
            "$2 is timestamptz: ",
        ),
        (
            "db.query(`select * from t where net = $1 and day > $2`, [\"10.0.0.1\", \"no day\"])",
            "$2 is timestamptz: ",
        ),
        (
            "db.query(`select * from t where id = $1`, [#{}])",
            "$1 is int2, and a map was given",
        ),
        (
            "db.query(`select * from t where id = $1`)",
            "the statement has 1 parameter, and 0 given",
        ),
        (
            "db.query(`select 1`, [1])",
            "the statement has 0 parameters, and 1 given",
        ),
    ] {
        let error = bed.error(script);
        assert_eq!(error.kind(), "pg.bad_parameter", "{script}: {error:?}");
        assert!(error.message().starts_with(message), "{script}: {error:?}");
        assert!(error.hint_text().is_some());
    }
}

#[test]
fn columns_of_the_same_name_are_all_there() {
    let bed = Bed::new();
    assert_eq!(
        bed.json("db.one(`select 1 as id, 2 as id, 3 as id_2, 4`)"),
        json!({"id": 1, "id_2": 2, "id_2_2": 3, "?column?": 4})
    );
}
